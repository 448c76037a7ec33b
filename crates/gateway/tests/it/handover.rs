use std::time::Duration;

use http::Method;

use crate::support::{Browser, System};

/// The URL with the one-time code, not yet opened, and the browser it is for.
async fn code_for(system: &System) -> (String, Browser) {
    let mut browser = Browser::new();
    let url = format!("{}/chat", system.app);
    let code = browser
        .follow_to(&url, &format!("{}/oauth2/idpresponse", system.app))
        .await;
    (code, browser)
}

fn has_app_ticket(browser: &Browser) -> bool {
    !browser.cookies_of("countersign-app-").is_empty()
}

#[tokio::test]
async fn a_code_is_redeemed_once() {
    let mut system = System::start().await;
    let (url, mut browser) = code_for(&system).await;
    let mut copy = browser.clone();
    let answer = browser.get(&url).await;
    assert_eq!(answer.location(), format!("{}/chat", system.app));
    assert!(has_app_ticket(&browser));

    let answer = copy.get(&url).await;
    assert_eq!(answer.status, 401);
    assert!(!has_app_ticket(&copy));
    let last = system.audit().await.pop().expect("a record");
    assert_eq!(
        last,
        (
            "Handover".to_owned(),
            "refused".to_owned(),
            Some("AuthInvalidHandover".to_owned())
        )
    );
}

#[tokio::test]
async fn a_code_works_only_in_the_browser_that_asked() {
    let system = System::start().await;
    let (url, mut own) = code_for(&system).await;
    let mut other = Browser::new();
    assert_eq!(other.get(&url).await.status, 401);
    // Not with a login of its own under way either.
    other.get(&format!("{}/chat", system.app)).await;
    assert_eq!(other.get(&url).await.status, 401);
    assert!(!has_app_ticket(&other));
    // A code that somebody else opened in vain is still good.
    assert_eq!(own.get(&url).await.status, 302);
}

#[tokio::test]
async fn a_code_is_good_for_a_minute() {
    let system = System::start().await;
    let (url, mut browser) = code_for(&system).await;
    system.clock.advance(Duration::from_mins(1));
    assert_eq!(browser.get(&url).await.status, 401);
    assert!(!has_app_ticket(&browser));
}

#[tokio::test]
async fn a_code_dies_with_its_session() {
    let system = System::start().await;
    let (url, mut browser) = code_for(&system).await;
    let logout = format!("{}/logout", system.account);
    assert_eq!(
        browser
            .get_with(&logout, &[("sec-fetch-site", "none"), ("accept", "text/html")])
            .await
            .status,
        302
    );
    assert_eq!(browser.get(&url).await.status, 401);
    assert!(!has_app_ticket(&browser));
}

#[tokio::test]
async fn codes_go_to_the_app_origin_alone() {
    let system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    let state = "A".repeat(43);
    for query in [
        format!("origin=account&state={state}"),
        format!("origin=https://evil.example&state={state}"),
        format!("origin=app&state={state}&return=https://evil.example"),
        format!("origin=app&origin=app&state={state}"),
        "origin=app&state=short".to_owned(),
        format!("origin=app&state={}", "A%26".repeat(11)),
        "origin=app".to_owned(),
    ] {
        let answer = browser
            .get(&format!("{}/oauth2/handover?{query}", system.account))
            .await;
        assert_eq!(answer.status, 401, "{query}");
    }
    let answer = browser
        .get(&format!(
            "{}/oauth2/handover?origin=app&state={state}",
            system.account
        ))
        .await;
    assert!(
        answer
            .location()
            .starts_with(&format!("{}/oauth2/idpresponse?code=", system.app))
    );
    assert_eq!(
        browser
            .get(&format!(
                "{}/oauth2/handover?origin=app&state={state}",
                system.app
            ))
            .await
            .status,
        200,
        "the app origin hands nothing over: this path is the agent's"
    );
}

#[tokio::test]
async fn a12_tickets_do_not_work_across_origins() {
    let system = System::start().await;
    let alice = system.logged_in("alice").await;
    let app = alice.cookies_of("countersign-app-").remove(0).1;
    let account = alice.cookies_of("countersign-account-").remove(0).1;
    assert_ne!(app, account);
    let mut browser = Browser::new();
    let swapped = format!("countersign-account-8400={app}; countersign-app-8400={account}");
    let answer = browser
        .get_with(
            &format!("{}/connections", system.account),
            &[("cookie", &swapped)],
        )
        .await;
    assert_eq!(answer.status, 302, "to log in");
    let answer = browser
        .get_with(&format!("{}/", system.app), &[("cookie", &swapped)])
        .await;
    assert_eq!(answer.status, 302, "to log in");
}

#[tokio::test]
async fn a12_the_account_origin_answers_no_script_frame_or_post_of_another_origin() {
    let mut system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    let url = format!("{}/connections", system.account);
    let app = system.app.clone();
    // In dev the two origins are one site: `same-site` must not be enough.
    for site in ["same-site", "cross-site"] {
        for (mode, dest) in [
            ("cors", "empty"),
            ("no-cors", "image"),
            ("navigate", "iframe"),
            ("navigate", "object"),
        ] {
            let headers = [
                ("sec-fetch-site", site),
                ("sec-fetch-mode", mode),
                ("sec-fetch-dest", dest),
                ("origin", &app),
            ];
            let answer = browser.get_with(&url, &headers).await;
            assert_eq!(answer.status, 403, "{site} {mode} {dest}");
        }
        let headers = [
            ("sec-fetch-site", site),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
            ("origin", &app),
        ];
        let answer = browser.send(Method::POST, &url, &headers, "decision=allow").await;
        assert_eq!(answer.status, 403, "{site} form post");
        let answer = browser.get_with(&url, &headers).await;
        assert_eq!(answer.status, 200, "{site}: a link may lead here");
    }
    let own = [
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-dest", "empty"),
    ];
    assert_eq!(browser.get_with(&url, &own).await.status, 200);
    // A popup that the agent opens gets no handle: COOP is on every answer of the account origin.
    let answer = browser.get(&url).await;
    assert_eq!(answer.headers["cross-origin-opener-policy"], "same-origin");
    let refusals = system.audit().await;
    assert!(refusals.iter().any(|(_, outcome, reason)| {
        outcome == "refused" && reason.as_deref() == Some("CrossOriginRequest")
    }));
}

#[tokio::test]
async fn a12_no_service_worker_is_installed_on_either_origin() {
    let system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    for url in [
        format!("{}/sw.js", system.app),
        format!("{}/connections/sw.js", system.account),
    ] {
        assert_eq!(browser.get_with(&url, &[("accept", "*/*")]).await.status, 200);
        let script = [
            ("service-worker", "script"),
            ("sec-fetch-dest", "serviceworker"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert_eq!(browser.get_with(&url, &script).await.status, 403, "{url}");
    }
}
