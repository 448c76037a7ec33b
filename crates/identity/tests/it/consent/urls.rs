//! Attack rows D: where browsers are sent, and what they are sent with.

use http::StatusCode;
use serde_json::json;

use super::vendor::{Vendor, parameters};
use super::{Ask, RETURN_URL, System, assert_invalid_session, text};

#[tokio::test]
async fn d01_only_a_registered_return_url_is_accepted() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let message = "You must register and use at least one ResourceOauth2ReturnUrl on your workload identity to use this flow";
    for wrong in [
        "https://account.test.evil.example/oauth2/session-binding",
        "https://account.test@evil.example/oauth2/session-binding",
        "https://user@account.test/oauth2/session-binding",
        "https://account.test:444/oauth2/session-binding",
        "http://account.test/oauth2/session-binding",
        "https://account.test./oauth2/session-binding",
        "https://account.test/oauth2/session-binding/",
        "https://account.test/oauth2/session-binding/..",
        "https://account.test/oauth2/../oauth2/session-binding",
        "https://account.test/oauth2/%2e%2e/session-binding",
        "https://account.test/oauth2\\session-binding",
        "https://account.test/oauth2/session-binding#x",
        "https://account.test/oauth2/session-binding?x=1",
        "https://ACCOUNT.test/oauth2/session-binding",
        "https://account.test/OAUTH2/session-binding",
        "https://аccount.test/oauth2/session-binding",
        "https://account.test/oauth2/session-bindin",
    ] {
        let answer = agent
            .asks(
                &wat,
                &Ask {
                    more: json!({"resourceOauth2ReturnUrl": wrong}),
                    ..Ask::default()
                },
            )
            .await;
        assert_eq!(
            (answer.status, answer.error()),
            (StatusCode::BAD_REQUEST, ("ValidationException", message)),
            "{wrong}"
        );
    }
    let none = agent
        .asks(
            &wat,
            &Ask {
                more: json!({"resourceOauth2ReturnUrl": null}),
                ..Ask::default()
            },
        )
        .await;
    assert_eq!(none.error().1, message);
    assert_eq!(agent.asks(&wat, &Ask::default()).await.status, StatusCode::OK);
}

#[tokio::test]
async fn d03_a_return_url_removed_on_the_way_is_not_used() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let agreed = alice.starts(agent.asks(&wat, &Ask::default()).await.link()).await;
    let write = Ask {
        scopes: vec!["write"],
        ..Ask::default()
    };
    let refused = alice.starts(agent.asks(&wat, &write).await.link()).await;
    let urls = json!(["https://account.test/elsewhere"]);
    system
        .control(
            "UpdateWorkloadIdentity",
            json!({"name": "agent", "allowedResourceOauth2ReturnUrls": urls}),
        )
        .await;
    let page = alice.agrees(&agreed, "alice").await;
    assert_eq!((page.status, page.location()), (StatusCode::FORBIDDEN, ""));
    let denied = [("error", "access_denied"), ("iss", &*system.vendor.issuer())];
    let page = alice.opens(&Vendor::callback(&refused, &denied)).await;
    assert_eq!((page.status, page.location()), (StatusCode::FORBIDDEN, ""));
    system.assert_nothing_happened().await;
}

#[tokio::test]
async fn d04_no_parameter_decides_where_a_browser_goes() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let evil = "https://evil.example/";
    let state = format!("{evil}?&session_id=x&error=y#{evil}");
    let pending = agent
        .asks(
            &wat,
            &Ask {
                more: json!({"customState": state}),
                ..Ask::default()
            },
        )
        .await;
    let link = format!("{}&next={evil}&redirect_uri={evil}&return={evil}", pending.link());
    let login = alice.opens_anonymously(&link).await;
    assert_eq!(
        login.location(),
        pending.link().replace("/authorize?", "/authorize/login?")
    );
    let back = alice.opens(&format!("{}&next={evil}", login.location())).await;
    assert_eq!(back.location(), pending.link());
    let vendor_url = alice.starts(pending.link()).await;
    let callback = format!(
        "{}&next={evil}&session_id={evil}",
        system.vendor.agree(&vendor_url, "alice")
    );
    let page = alice.opens(&callback).await;
    assert!(
        page.location()
            .starts_with(&format!("{RETURN_URL}?session_id=urn%3Aietf")),
        "{page:?}"
    );
    assert_eq!(
        page.parameter("state").as_deref(),
        Some(&*state),
        "handed back as it came, inside one parameter"
    );
    assert_eq!(page.location().matches("session_id=").count(), 1);
}

#[tokio::test]
async fn d05_nothing_of_an_answer_leaves_its_parameter() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let state = "a\r\nSet-Cookie: x=1\u{0}<script>";
    let pending = agent
        .asks(
            &agent.wat(&alice).await,
            &Ask {
                more: json!({"customState": state}),
                ..Ask::default()
            },
        )
        .await;
    let vendor_url = alice.starts(pending.link()).await;
    let error = [
        ("error", "server_error"),
        (
            "error_description",
            "x\r\nLocation: https://evil.example/\u{e9}<script>&state=evil",
        ),
        ("iss", &*system.vendor.issuer()),
    ];
    let page = alice.opens(&Vendor::callback(&vendor_url, &error)).await;
    assert_eq!(page.status, StatusCode::FOUND);
    assert!(!page.headers.contains_key("set-cookie"));
    assert_eq!(page.parameter("state").as_deref(), Some(state));
    let description = page.parameter("error_description").expect("a description");
    assert!(
        description
            .bytes()
            .all(|byte| (0x20..=0x7e).contains(&byte) && byte != b'"' && byte != b'\\')
    );
}

#[tokio::test]
async fn d06_custom_state_is_short_and_comes_back_as_text() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let asks = async |state: &str| {
        let more = json!({"customState": state});
        agent
            .asks(
                &wat,
                &Ask {
                    more,
                    ..Ask::default()
                },
            )
            .await
    };
    for wrong in [String::new(), "x".repeat(4097), "\u{e9}".repeat(4097)] {
        let answer = asks(&wrong).await;
        assert_eq!(
            (answer.status, answer.error().0),
            (StatusCode::BAD_REQUEST, "ValidationException"),
            "{} characters",
            wrong.chars().count()
        );
        assert!(answer.error().1.contains("customState"), "{answer:?}");
    }
    system.assert_nothing_happened().await;

    let longest = "\u{1f600}<script>".repeat(455);
    let binary = "\u{1}\u{7f}\u{0}\u{feff}\u{202e}&state=evil#?=%00";
    let html = "\"><script>alert(1)</script><a href='https://evil.example'>";
    for state in [&*longest, binary, html] {
        let pending = asks(state).await;
        assert_eq!(pending.status, StatusCode::OK, "{pending:?}");
        let question = alice.opens(pending.link()).await;
        assert!(!question.body.contains("script>alert") && !question.body.contains("evil"));
        let on = alice.answers(&question, "allow").await;
        let page = alice.agrees(on.location(), "alice").await;
        assert_eq!(page.parameter("state").as_deref(), Some(state));
        assert_eq!(
            page.location().matches("state=").count(),
            1,
            "{}",
            page.location()
        );
        assert!(
            page.location()
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"<>\"'".contains(&byte)),
            "{}",
            page.location()
        );
    }
}

#[tokio::test]
async fn e09_a_form_post_response_is_answered_405_and_recorded() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let vendor_url = alice.starts(agent.asks_for_token(&alice).await.link()).await;
    let callback = system.vendor.agree(&vendor_url, "alice");
    let (path, query) = callback.split_once('?').expect("a query");
    for (url, form) in [(path, query), (&*callback, "")] {
        let request = alice
            .request(http::Method::POST, url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.to_owned().into())
            .expect("a request");
        let page = alice.send(request).await;
        assert_eq!(
            (page.status, page.location()),
            (StatusCode::METHOD_NOT_ALLOWED, ""),
            "{page:?}"
        );
    }
    system.assert_nothing_happened().await;
    system
        .assert_recorded("FrontChannel", "refused", "wrong_method")
        .await;
    // The response itself is still good, the documented way.
    let handle = alice.opens(&callback).await.handle();
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_path_that_is_nothing_of_ours_is_refused_and_recorded() {
    let system = System::start().await;
    let page = system
        .person("mallory")
        .opens("/identities/oauth2/callback")
        .await;
    assert_eq!((page.status, page.location()), (StatusCode::NOT_FOUND, ""));
    system
        .assert_recorded("FrontChannel", "refused", "no_such_page")
        .await;
}

#[tokio::test]
async fn d07_refusals_of_the_authorization_server_end_the_session_and_reach_the_return_url() {
    for (error, state) in [
        ("access_denied", "DENIED"),
        ("server_error", "FAILED"),
        ("something_new", "FAILED"),
        ("", "FAILED"),
    ] {
        let system = System::start().await;
        let (alice, agent) = (system.person("alice"), system.workload("agent"));
        let wat = agent.wat(&alice).await;
        let pending = agent
            .asks(
                &wat,
                &Ask {
                    more: json!({"customState": "st"}),
                    ..Ask::default()
                },
            )
            .await;
        let vendor_url = alice.starts(pending.link()).await;
        let issuer = system.vendor.issuer();
        let mut answer = vec![("error_description", "no thanks"), ("iss", &*issuer)];
        if !error.is_empty() {
            answer.push(("error", error));
        }
        let callback = Vendor::callback(&vendor_url, &answer);
        // In another browser, or with another state, it is a page of ours.
        let stranger = system.person("mallory");
        assert_eq!(stranger.opens(&callback).await.location(), "");
        assert_eq!(
            alice
                .opens(&callback.replace("state=", "state=x"))
                .await
                .location(),
            ""
        );
        let page = alice.opens(&callback).await;
        assert_eq!(page.status, StatusCode::FOUND, "{error}: {page:?}");
        let expected = if error.is_empty() { "server_error" } else { error };
        assert_eq!(page.parameter("error").as_deref(), Some(expected));
        assert_eq!(page.parameter("state").as_deref(), Some("st"));
        let described = alice.describes(&page.handle()).await;
        assert_eq!(
            (text(&described.body["state"]), text(&described.body["error"])),
            (state, expected)
        );
        assert_eq!(
            agent.polls(&wat, pending.session_uri()).await.session_status(),
            "FAILED"
        );
        assert_invalid_or_explained(&alice.completes(&page.handle()).await);
        system.assert_nothing_happened().await;
    }
}

/// A session that failed at the vendor completes as nothing, and may say why to its own person.
fn assert_invalid_or_explained(answer: &super::Answer) {
    if answer.status == StatusCode::FORBIDDEN {
        assert_invalid_session(answer);
    } else {
        assert_eq!(
            (answer.status, answer.error().0),
            (StatusCode::BAD_REQUEST, "ValidationException")
        );
    }
}

#[tokio::test]
async fn d08_redirects_and_pages_leave_no_trace_elsewhere() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let pending = agent.asks_for_token(&alice).await;
    let login = alice.opens_anonymously(pending.link()).await;
    let question = alice.opens(pending.link()).await;
    let on = alice.answers(&question, "allow").await;
    let back = alice.agrees(on.location(), "alice").await;
    let dead = alice.opens(pending.link()).await;
    for (page, referrer) in [
        (&login, "no-referrer"),
        (&question, "same-origin"),
        (&on, "no-referrer"),
        (&back, "no-referrer"),
        (&dead, "no-referrer"),
    ] {
        assert_eq!(page.headers["referrer-policy"], referrer, "{}", page.status);
        assert_eq!(page.headers["cache-control"], "no-store", "{}", page.status);
        assert_eq!(page.headers["cross-origin-opener-policy"], "same-origin");
        let policy = page.headers["content-security-policy"].to_str().expect("ASCII");
        assert!(
            policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(
            !page.body.contains("src=") && !page.body.contains("https://"),
            "a page loads nothing"
        );
    }
    let cookie = question.headers["set-cookie"].to_str().expect("ASCII");
    assert!(cookie.starts_with("__Host-countersign-browser="), "{cookie}");
    for attribute in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let state = &parameters(on.location())["state"];
    for page in [&question, &dead] {
        assert!(!page.body.contains(state.as_str()));
    }
}

/// No secret of a flow is in the database in clear, nor in its write-ahead log.
#[tokio::test]
async fn d10_nothing_that_could_be_used_is_stored_in_clear() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let more =
        json!({"customState": "canary-custom-state", "customParameters": {"hint": "canary-parameter"}});
    let ask = Ask {
        more,
        ..Ask::default()
    };
    let pending = agent.asks(&wat, &ask).await;
    let vendor_url = alice.starts(pending.link()).await;
    let callback = system.vendor.agree(&vendor_url, "canary-account");
    let handle = alice.opens(&callback).await.handle();
    let on_disk = |needle: &str| {
        let files = std::fs::read_dir(system.directory.path())
            .expect("the directory")
            .flatten();
        files
            .map(|file| std::fs::read(file.path()).expect("a file"))
            .any(|bytes| bytes.windows(needle.len()).any(|part| part == needle.as_bytes()))
    };
    assert!(on_disk("session-binding"), "the search finds what is there");
    let mut canaries = vec![
        wat.clone(),
        pending.session_uri().to_owned(),
        pending
            .session_uri()
            .rsplit(':')
            .next()
            .unwrap_or_default()
            .to_owned(),
        handle.clone(),
        handle.rsplit(':').next().unwrap_or_default().to_owned(),
        parameters(&vendor_url)["state"].clone(),
        parameters(&callback)["code"].clone(),
        "canary-custom-state".to_owned(),
        "canary-parameter".to_owned(),
        "canary-account".to_owned(),
        alice.token("binding"),
    ];
    assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
    let token = agent.asks(&wat, &ask).await.token().expect("a token").to_owned();
    canaries.extend([
        token.clone(),
        token.replace("access", "refresh"),
        "client-secret-canary".to_owned(),
    ]);
    let exchange = system.vendor.memory.lock().expect("not poisoned").requests[0].clone();
    canaries.push(exchange["code_verifier"].clone());
    for canary in canaries {
        assert!(!on_disk(&canary), "{canary} is stored in clear");
    }
}
