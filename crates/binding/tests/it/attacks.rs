//! Rows of the attack matrix that this page owns.

use http::{Method, StatusCode};

use crate::harness::{
    ACCOUNT_ORIGIN, BROWSER_COOKIE, Binding, COMPLETE, DESCRIBE, HANDLE, PATH, at, denied, encode, fields,
    session, text,
};

#[tokio::test]
async fn a05_only_a_post_of_our_own_page_completes() {
    let binding = Binding::start().await;
    binding
        .identity_answers(DESCRIBE, 200, session("CODE_HELD"))
        .await;
    binding
        .identity_answers(COMPLETE, 200, serde_json::json!({}))
        .await;
    let page = binding.show("alice", HANDLE).await;
    assert_eq!(page.status, StatusCode::OK);
    let form = fields(&text(&page));
    let own = ("origin", ACCOUNT_ORIGIN);

    // Loaded as a part of another page, or ahead of the person: nothing is even asked.
    let before = binding.identity_calls().await;
    for headers in [
        [("sec-fetch-dest", "image"), ("sec-fetch-mode", "no-cors")],
        [("sec-fetch-dest", "iframe"), ("sec-fetch-mode", "navigate")],
        [("sec-fetch-dest", "empty"), ("sec-fetch-mode", "cors")],
        [("sec-purpose", "prefetch"), ("sec-fetch-mode", "navigate")],
    ] {
        let answer = binding
            .send("alice", Method::GET, &at(HANDLE), &headers, "")
            .await;
        assert!(!answer.status.is_success(), "{headers:?}");
        assert!(fields(&text(&answer)).is_empty(), "{headers:?}");
    }
    let head = binding.send("alice", Method::HEAD, &at(HANDLE), &[], "").await;
    assert_eq!(head.status, StatusCode::NO_CONTENT);
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let answer = binding.send("alice", method, &at(HANDLE), &[own], "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    assert_eq!(binding.identity_calls().await, before);

    // Posted from elsewhere, by script, or without the page's own token.
    let post = async |headers: &[(&str, &str)], body: &str| {
        binding
            .send("alice", Method::POST, PATH, headers, body)
            .await
            .status
    };
    let full = encode(&form);
    assert_eq!(post(&[], &full).await, StatusCode::FORBIDDEN);
    for origin in ["null", "http://localhost:8400", "http://evil.example"] {
        assert_eq!(
            post(&[("origin", origin)], &full).await,
            StatusCode::FORBIDDEN,
            "{origin}"
        );
    }
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-dest", "iframe"),
    ] {
        assert_eq!(
            post(&[own, (name, value)], &full).await,
            StatusCode::FORBIDDEN,
            "{name}: {value}"
        );
    }
    let mut stripped = form.clone();
    stripped.remove("csrf_token");
    assert_eq!(post(&[own], &encode(&stripped)).await, StatusCode::BAD_REQUEST);
    stripped.insert("csrf_token".to_owned(), "1.x".to_owned());
    assert_eq!(post(&[own], &encode(&stripped)).await, StatusCode::FORBIDDEN);
    assert_eq!(binding.calls(COMPLETE).await.len(), 0);

    // Each is handed to the identity service's audit trail, under a reason of a closed list.
    let mut recorded = std::collections::BTreeSet::new();
    for _ in 0..200 {
        recorded = binding
            .calls("/countersign/RecordBindingRefusal")
            .await
            .iter()
            .map(|call| call["reason"].as_str().expect("a reason").to_owned())
            .collect();
        if recorded.len() == 4 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    let reasons = ["cross_origin", "invalid_csrf_token", "not_a_document", "prefetch"];
    assert!(recorded.iter().eq(reasons), "{recorded:?}");

    // And the real one, to show that the above could have.
    assert_eq!(
        post(&[own, ("sec-fetch-site", "same-origin")], &full).await,
        StatusCode::OK
    );
    assert_eq!(binding.calls(COMPLETE).await.len(), 1);
}

#[tokio::test]
async fn a05_a_form_is_of_one_person_one_login_and_one_session() {
    let binding = Binding::start().await;
    binding
        .identity_answers(DESCRIBE, 200, session("CODE_HELD"))
        .await;
    binding
        .identity_answers(COMPLETE, 200, serde_json::json!({}))
        .await;
    let form = fields(&text(&binding.show("mallory", HANDLE).await));

    assert_eq!(binding.submit("alice", &form).await.status, StatusCode::FORBIDDEN);
    let mut other = form.clone();
    other.insert("session_id".to_owned(), format!("{HANDLE}X"));
    assert_eq!(
        binding.submit("mallory", &other).await.status,
        StatusCode::FORBIDDEN
    );
    binding.clock.advance(std::time::Duration::from_hours(1));
    assert_eq!(
        binding.submit("mallory", &form).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(binding.calls(COMPLETE).await.len(), 0);
}

#[tokio::test]
async fn a05_no_page_can_frame_this_one_or_hold_its_window() {
    let binding = Binding::start().await;
    binding
        .identity_answers(DESCRIBE, 200, session("CODE_HELD"))
        .await;
    let answer = binding.show("alice", HANDLE).await;
    let policy = answer.headers["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(policy.contains("form-action 'self'"), "{policy}");
    assert!(!policy.contains("unsafe-inline"), "{policy}");
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
    ] {
        assert_eq!(answer.headers[name], value, "{name}");
    }
}

#[tokio::test]
async fn b09_only_what_looks_like_a_handle_is_looked_up() {
    let binding = Binding::start().await;
    binding
        .identity_answers(DESCRIBE, 200, session("CODE_HELD"))
        .await;
    let prefix = "urn:ietf:params:oauth:request_uri:";
    let long = format!("{prefix}{}", "a".repeat(1025 - prefix.len()));
    for handle in [
        "",
        "abc",
        prefix,
        "URN:ietf:params:oauth:request_uri:abc",
        "urn:ietf:params:oauth:request_url:abc",
        "urn:ietf:params:oauth:request_uri:a b",
        "urn:ietf:params:oauth:request_uri:abc\0",
        "urn:ietf:params:oauth:request_uri:abc\n",
        "urn:ietf:params:oauth:request_uri:a/../b",
        "urn:ietf:params:oauth:request_uri:é",
        " urn:ietf:params:oauth:request_uri:abc",
        &long,
    ] {
        let answer = binding.show("alice", handle).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{handle:?}");
    }
    for query in [
        "",
        "?",
        "?state=x",
        "?session_id",
        "?session_id=urn%3",
        "?session_id=a&session_id=b",
    ] {
        let answer = binding
            .send("alice", Method::GET, &format!("{PATH}{query}"), &[], "")
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
    }
    assert_eq!(binding.identity_calls().await, 0);
    let longest = format!("{prefix}{}", "a".repeat(1024 - prefix.len()));
    assert_eq!(binding.show("alice", &longest).await.status, StatusCode::OK);
}

#[tokio::test]
async fn tokens_of_other_doors_and_strangers_get_no_page() {
    let binding = Binding::start().await;
    binding
        .identity_answers(DESCRIBE, 200, session("CODE_HELD"))
        .await;
    let agents = binding.user_token("alice", "dev-agent");
    let identitys = binding.user_token("alice", "identity");
    for token in [agents.as_str(), &identitys, "x", ""] {
        let headers = [("x-countersign-user-token", token)];
        let answer = binding.send_bare(Method::GET, &at(HANDLE), &headers, "").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{token}");
    }
    let answer = binding.send_bare(Method::GET, &at(HANDLE), &[], "").await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let mine = binding.user_token("alice", "binding");
    let twice = [
        ("x-countersign-user-token", mine.as_str()),
        ("x-countersign-user-token", mine.as_str()),
    ];
    let answer = binding.send_bare(Method::GET, &at(HANDLE), &twice, "").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "one person at a time");
    assert_eq!(binding.identity_calls().await, 0);
}

#[tokio::test]
async fn a01_somebody_elses_session_is_discarded_and_not_explained() {
    let binding = Binding::start().await;
    binding.describe_answers("userIdentifier", 403, denied()).await;
    binding
        .describe_answers("browser", 200, session("CODE_HELD"))
        .await;
    binding.identity_answers(COMPLETE, 403, denied()).await;

    // Another browser: nothing, not even that there is a session.
    let stranger = binding.show("mallory", HANDLE).await;
    assert_eq!(stranger.status, StatusCode::FORBIDDEN);
    assert!(!text(&stranger).contains("ledgerline"));
    assert!(!text(&stranger).contains("another account"));

    // The browser in which it was started.
    let cookie = [("cookie", BROWSER_COOKIE)];
    let page = binding
        .send("victim", Method::GET, &at(HANDLE), &cookie, "")
        .await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let page = text(&page);
    assert!(page.contains("another account"));
    assert!(!page.contains("ledgerline") && !page.contains("issues:read"));
    assert!(page.contains("data-auto-submit"));
    let answer = binding.submit("victim", &fields(&page)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let calls = binding.calls(COMPLETE).await;
    assert_eq!(
        calls.len(),
        1,
        "the wrong person's completion is what drops the code"
    );
    assert_eq!(calls[0]["sessionUri"], HANDLE);
}
