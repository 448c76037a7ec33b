use askama::Template;
use axum::body::to_bytes;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_crypto::sha256;
use countersign_web::page::{Action, Button, Fact, FormPage, Layout, Message, Tone, found, see_other};
use countersign_web::security_headers::FormAction;
use http::StatusCode;

async fn html(response: Response) -> String {
    let body = to_bytes(response.into_body(), 1 << 20).await.expect("complete");
    String::from_utf8(body.to_vec()).expect("UTF-8")
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().expect("ASCII")
}

/// The `sha256-…` source of the text between the tags, as a browser computes it.
fn source(html: &str, open: &str, close: &str) -> String {
    let (_, rest) = html.split_once(open).expect("opened");
    let (text, _) = rest.split_once(close).expect("closed");
    format!("'sha256-{}'", STANDARD.encode(sha256(text.as_bytes())))
}

#[tokio::test]
async fn whatever_is_shown_is_text() {
    let evil = "<script>alert(1)</script>\"'";
    let message = Message::new(evil)
        .lead(evil)
        .tone(Tone::Problem)
        .fact(Fact::text(evil, evil))
        .fact(Fact::list("Scopes", [evil]))
        .detail(evil)
        .person(Some(evil))
        .action(Action::primary(evil, format!("/x?{evil}")));
    let form = FormPage::new(evil, format!("/post?{evil}"))
        .lead(evil)
        .hidden(evil, evil)
        .button(Button::primary(evil).id(evil).field(evil, evil));
    for page in [html(message.render()).await, html(form.render()).await] {
        assert!(!page.contains("<script>") && !page.contains("\"'"), "{page}");
    }
}

#[tokio::test]
async fn d04_links_lead_to_pages_and_nowhere_else() {
    let mut message = Message::new("Links");
    for href in [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "/\\evil.example",
        "x",
    ] {
        message = message.action(Action::secondary("go", href));
    }
    assert!(!html(message.clone().render()).await.contains("class=\"button"));
    let message = message
        .action(Action::primary("go", "/own"))
        .action(Action::primary("go", "https://app.example/"));
    assert_eq!(html(message.render()).await.matches("class=\"button").count(), 2);
}

#[tokio::test]
async fn d08_pages_load_nothing_and_allow_only_their_own_style_and_script() {
    let form = FormPage::new("Confirm", "/post")
        .button(Button::primary("Yes").id("confirm-binding").auto_submit(true));
    let response = form.render();
    let policy = header(&response, "content-security-policy").to_owned();
    assert_eq!(
        header(&response, "referrer-policy"),
        "same-origin",
        "under no-referrer the post has Origin: null"
    );
    let page = html(response).await;
    assert!(
        policy.contains(&format!("style-src {};", source(&page, "<style>", "</style>"))),
        "{policy}"
    );
    assert!(
        policy.contains(&format!(
            "script-src {};",
            source(&page, "<script type=\"module\">", "</script>")
        )),
        "{policy}"
    );
    assert!(
        policy.contains("default-src 'none'") && policy.ends_with("form-action 'self'"),
        "{policy}"
    );
    assert!(
        page.contains(r#"id="confirm-binding" data-auto-submit"#),
        "{page}"
    );
    assert!(
        !page.contains(" src=") && !page.contains("@import") && !page.contains("url("),
        "{page}"
    );

    let message = Message::new("Done")
        .tone(Tone::Success)
        .status(StatusCode::CONFLICT)
        .render();
    assert_eq!(message.status(), StatusCode::CONFLICT);
    assert_eq!(header(&message, "referrer-policy"), "no-referrer");
    assert_eq!(header(&message, "cache-control"), "no-store");
    let policy = header(&message, "content-security-policy");
    assert!(
        !policy.contains("script-src") && policy.ends_with("form-action 'none'"),
        "{policy}"
    );
}

#[tokio::test]
async fn d08_redirects_are_not_stored_and_tell_the_next_page_nothing() {
    for (response, status) in [
        (found("https://a.example/?code=c"), 302),
        (see_other("/next"), 303),
    ] {
        assert_eq!(response.status(), status);
        assert_eq!(header(&response, "referrer-policy"), "no-referrer");
        assert_eq!(header(&response, "cache-control"), "no-store");
    }
    let broken = found("https://a.example/\r\nset-cookie: x=y");
    assert_eq!(broken.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!broken.headers().contains_key("location") && !broken.headers().contains_key("set-cookie"));
}

#[tokio::test]
async fn other_crates_fill_the_layout_with_templates_of_their_own() {
    #[derive(Template)]
    #[template(source = "<h1>{{ name }}</h1>", ext = "html")]
    struct Connections<'a> {
        name: &'a str,
    }
    let layout = Layout::new("Connections")
        .wide()
        .person(Some("Alice"))
        .form_action(FormAction::Origins(vec!["https://as.example".into()]));
    let response = layout.render(&Connections { name: "A&B" });
    assert!(header(&response, "content-security-policy").ends_with("form-action 'self' https://as.example"));
    let page = html(response).await;
    assert!(
        page.contains("<title>Connections · Countersign</title>") && page.contains("<h1>A&#38;B</h1>"),
        "{page}"
    );
    assert!(
        page.contains("Alice") && page.contains("href=\"/logout\""),
        "{page}"
    );
}
