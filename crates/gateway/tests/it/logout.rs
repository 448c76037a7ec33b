use http::Method;

use crate::support::{Browser, System};

const TYPED: &[(&str, &str)] = &[("sec-fetch-site", "none"), ("accept", "text/html")];
const FROM_ELSEWHERE: &[(&str, &str)] = &[("sec-fetch-site", "cross-site"), ("accept", "text/html")];

async fn is_logged_in(system: &System, browser: &Browser) -> (bool, bool) {
    let app = browser.clone().get(&format!("{}/", system.app)).await.status;
    let account = browser
        .clone()
        .get(&format!("{}/connections", system.account))
        .await
        .status;
    (app == 200, account == 200)
}

#[tokio::test]
async fn g10_a_logout_ends_the_session_on_both_origins_and_at_the_provider() {
    for origin in ["app", "account"] {
        let mut system = System::start().await;
        let mut browser = system.logged_in("alice").await;
        let stolen = browser.clone();
        assert_eq!(is_logged_in(&system, &stolen).await, (true, true));
        let base = if origin == "app" {
            &system.app
        } else {
            &system.account
        };
        let answer = browser.get_with(&format!("{base}/logout"), TYPED).await;
        assert_eq!(answer.status, 302);
        let location = url::Url::parse(answer.location()).expect("a URL");
        assert!(
            location
                .as_str()
                .starts_with(&format!("{}/end?", system.provider.issuer)),
            "{location}"
        );
        let query: std::collections::HashMap<_, _> = location.query_pairs().into_owned().collect();
        assert_eq!(
            query["post_logout_redirect_uri"],
            format!("{}/logged-out", system.account)
        );
        assert_eq!(query["client_id"], "gateway");
        assert_eq!(query["id_token_hint"].split('.').count(), 3);

        // g03: a copy of the tickets is worth nothing, at once.
        assert_eq!(is_logged_in(&system, &stolen).await, (false, false), "{origin}");
        let landing = browser.get(&format!("{}/logged-out", system.account)).await;
        assert_eq!(landing.status, 200, "public");
        let last = system.audit().await.pop().expect("a record");
        assert_eq!(last, ("Logout".to_owned(), "done".to_owned(), None));
    }
}

#[tokio::test]
async fn g03_a_copied_ticket_is_worth_nothing_after_logout() {
    let mut system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    let stolen = browser.clone();
    browser
        .get_with(&format!("{}/logout", system.account), TYPED)
        .await;
    assert_eq!(is_logged_in(&system, &stolen).await, (false, false), "at once");
    system.restart().await;
    assert_eq!(is_logged_in(&system, &stolen).await, (false, false), "for good");
}

#[tokio::test]
async fn another_site_cannot_log_anybody_out() {
    let mut system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    let url = format!("{}/logout", system.account);
    for headers in [
        FROM_ELSEWHERE,
        &[("sec-fetch-site", "same-site"), ("accept", "text/html")],
        &[("accept", "text/html")],
        &[("referer", "https://evil.example/"), ("accept", "text/html")],
        &[
            ("sec-fetch-site", "none"),
            ("sec-purpose", "prefetch"),
            ("accept", "text/html"),
        ],
    ] {
        let answer = browser.get_with(&url, headers).await;
        assert_eq!(answer.status, 200, "{headers:?}: a question");
        assert!(answer.body.contains("<form"), "{headers:?}");
    }
    assert_eq!(browser.send(Method::HEAD, &url, TYPED, "").await.status, 200);
    assert_eq!(is_logged_in(&system, &browser).await, (true, true));

    let form = [
        ("content-type", "application/x-www-form-urlencoded"),
        ("accept", "text/html"),
    ];
    let page = browser.get_with(&url, FROM_ELSEWHERE).await.body;
    let token = csrf_token(&page);
    for (origin, body) in [
        ("https://evil.example", format!("csrf_token={token}")),
        (system.app.as_str(), format!("csrf_token={token}")),
        (system.account.as_str(), "csrf_token=forged".to_owned()),
    ] {
        let headers = [form[0], form[1], ("origin", origin)];
        assert_eq!(
            browser.send(Method::POST, &url, &headers, &body).await.status,
            403,
            "{origin}"
        );
    }
    assert_eq!(
        browser
            .send(Method::POST, &url, &form, &format!("csrf_token={token}"))
            .await
            .status,
        403
    );
    assert_eq!(is_logged_in(&system, &browser).await, (true, true));

    let origin = system.account.clone();
    let headers = [form[0], form[1], ("origin", origin.as_str())];
    assert_eq!(
        browser
            .send(Method::POST, &url, &headers, &format!("csrf_token={token}"))
            .await
            .status,
        302
    );
    assert_eq!(is_logged_in(&system, &browser).await, (false, false));
    let reasons: Vec<_> = system
        .audit()
        .await
        .into_iter()
        .filter_map(|(_, _, reason)| reason)
        .collect();
    assert_eq!(reasons, ["InvalidCsrfToken"; 4]);
}

fn csrf_token(page: &str) -> String {
    let field = page
        .split("<input")
        .find(|input| input.contains("name=\"csrf_token\""))
        .expect("a field");
    let value = field
        .split("value=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a value");
    value.to_owned()
}

#[tokio::test]
async fn a_logout_without_a_session_lands_softly() {
    let system = System::start().await;
    let mut browser = Browser::new();
    let answer = browser.get_with(&format!("{}/logout", system.app), TYPED).await;
    assert_eq!(answer.location(), format!("{}/logged-out", system.app));
    assert_eq!(browser.get(answer.location()).await.status, 200);
}

#[tokio::test]
async fn a_referer_of_our_own_is_enough_without_fetch_metadata() {
    let system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    let referer = format!("{}/connections", system.account);
    let url = format!("{}/logout", system.account);
    let evil = format!("{}.evil.example/", system.account);
    assert_eq!(
        browser
            .get_with(&url, &[("referer", &evil), ("accept", "text/html")])
            .await
            .status,
        200
    );
    assert_eq!(
        browser
            .get_with(&url, &[("referer", &referer), ("accept", "text/html")])
            .await
            .status,
        302
    );
    assert_eq!(is_logged_in(&system, &browser).await, (false, false));
}
