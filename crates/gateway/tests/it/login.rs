use std::time::Duration;

use countersign_crypto::SystemRandom;
use http::Method;

use crate::support::{Answer, Browser, Counters, Lie, System};

/// What a browser that has not logged in is asked for at the provider.
async fn begun(system: &System, browser: &mut Browser, path: &str) -> String {
    let url = format!("{}{path}", system.account);
    browser
        .follow_to(&url, &format!("{}/oauth2/idpresponse", system.account))
        .await
}

fn tickets(browser: &Browser) -> usize {
    browser.cookies_of("countersign-account-").len() + browser.cookies_of("countersign-app-").len()
}

#[tokio::test]
async fn a_person_logs_in_once_for_both_origins() {
    let mut system = System::start().await;
    let mut browser = Browser::new();
    let answer = browser.follow(&format!("{}/chat?q=1", system.app)).await;
    assert_eq!(
        (answer.status, answer.url.as_str()),
        (200, format!("{}/chat?q=1", system.app).as_str())
    );
    assert!(
        answer
            .visited
            .iter()
            .any(|url| url.starts_with(&format!("{}/oauth2/handover?", system.account)))
    );
    assert_eq!(tickets(&browser), 2);
    assert!(
        browser.cookies_of("countersign-login-").is_empty(),
        "transactions are over"
    );
    // The account origin knows the person already.
    let answer = browser.get(&format!("{}/connections", system.account)).await;
    assert_eq!(answer.status, 200);
    let done = |action: &str| (action.to_owned(), "done".to_owned(), None);
    assert_eq!(system.audit().await, [done("Login"), done("Handover")]);
}

#[tokio::test]
async fn cookies_have_their_attributes() {
    let system = System::start().await;
    let mut browser = Browser::new();
    let answer = browser.get(&format!("{}/connections", system.account)).await;
    let cookie = answer.headers["set-cookie"].to_str().expect("a text").to_owned();
    assert!(cookie.starts_with("countersign-login-8400-account-"), "{cookie}");
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=900"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    assert_eq!(answer.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn cookies_of_an_https_origin_are_secure_and_of_this_host_alone() {
    // TLS ends before the gateway here, as at a load balancer.
    let system = System::start_with(|config| {
        config.listeners.account.origin = "https://account.example".parse().expect("an origin");
        config.cookie_suffix = String::new();
    })
    .await;
    let mut browser = Browser::new();
    let host = [("host", "account.example"), ("accept", "text/html")];
    let set = |answer: &Answer, name: &str| {
        let all = answer.headers.get_all("set-cookie").iter();
        let mut of_name = all.filter_map(|cookie| cookie.to_str().ok().filter(|text| text.starts_with(name)));
        of_name.next().expect(name).to_owned()
    };
    let begun = browser
        .get_with(&format!("{}/connections", system.account), &host)
        .await;
    let transaction = set(&begun, "__Host-countersign-login-");
    let back = browser.get(begun.location()).await;
    let back = back
        .location()
        .strip_prefix("https://account.example")
        .expect("the origin")
        .to_owned();
    let done = browser
        .get_with(&format!("{}{back}", system.account), &host)
        .await;
    let ticket = set(&done, "__Host-countersign-account=");
    let over = set(&done, "__Host-countersign-login-");
    for cookie in [transaction, ticket, over] {
        let attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
        for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(attributes.contains(&attribute), "{attribute}: {attributes:?}");
        }
        assert!(!cookie.contains("Domain"), "{attributes:?}");
    }
}

#[tokio::test]
async fn g01_an_answer_to_somebody_elses_login_makes_no_session() {
    let mut system = System::start().await;
    let mut mallory = Browser::new();
    let url = begun(&system, &mut mallory, "/connections").await;

    let mut victim = Browser::new();
    let answer = victim.get(&url).await;
    assert_eq!(answer.status, 401);
    assert_eq!(tickets(&victim), 0);

    // Neither when the victim is logging in too.
    begun(&system, &mut victim, "/connections").await;
    let answer = victim.get(&url).await;
    assert_eq!(answer.status, 401);
    assert_eq!(tickets(&victim), 0);
    assert_eq!(system.provider.exchanges(), 0, "the code is not spent");

    // Nor with the victim's transaction cookie under the name of Mallory's.
    let (name, _) = mallory.cookies_of("countersign-login-").remove(0);
    let (_, value) = victim.cookies_of("countersign-login-").remove(0);
    victim.cookies.insert(("localhost".to_owned(), name), value);
    assert_eq!(victim.get(&url).await.status, 401);
    assert_eq!((tickets(&victim), system.provider.exchanges()), (0, 0));

    let reasons: Vec<_> = system
        .audit()
        .await
        .into_iter()
        .map(|(action, outcome, reason)| {
            assert_eq!((action.as_str(), outcome.as_str()), ("LoginRefused", "refused"));
            reason.expect("a reason")
        })
        .collect();
    assert_eq!(
        reasons,
        [
            "AuthMissingAWSALBAuthNonce",
            "AuthInvalidStateParam",
            "AuthInvalidStateParam"
        ]
    );
}

#[tokio::test]
async fn an_answer_is_good_once() {
    let system = System::start().await;
    let mut browser = Browser::new();
    let url = begun(&system, &mut browser, "/connections").await;
    let before = browser.clone();
    assert_eq!(browser.get(&url).await.status, 302);
    assert_eq!(browser.get(&url).await.status, 401, "the transaction is over");
    let mut copy = before;
    assert_eq!(copy.get(&url).await.status, 401, "the provider takes a code once");
    assert_eq!(tickets(&copy), 0);
}

#[tokio::test]
async fn g04_a_login_takes_at_most_fifteen_minutes() {
    let mut system = System::start().await;
    let mut browser = Browser::new();
    let in_time = begun(&system, &mut browser, "/connections?1").await;
    system.clock.advance(Duration::from_secs(899));
    assert_eq!(browser.get(&in_time).await.status, 302);
    let mut browser = Browser::new();
    let late = begun(&system, &mut browser, "/connections?2").await;
    system.clock.advance(Duration::from_mins(15));
    assert_eq!(browser.get(&late).await.status, 401);
    assert_eq!(tickets(&browser), 0);
    let reason = system.audit().await.pop().and_then(|(_, _, reason)| reason);
    assert_eq!(reason.as_deref(), Some("AuthLoginExpired"));
}

#[tokio::test]
async fn g07_a_deep_link_comes_back_byte_for_byte() {
    let system = System::start().await;
    let deep =
        "/oauth2/session-binding?session_id=urn%3Aietf:params:oauth:request_uri:aB%2Fc+d==&x=%20&y=a%26b&y=2";
    let answer = Browser::new().follow(&format!("{}{deep}", system.account)).await;
    assert_eq!(answer.url, format!("{}{deep}", system.account));
    assert_eq!(answer.json()["target"], deep);
    let deep = "/chat?session_id=a%2Fb+c==&next=https://evil.example/";
    let answer = Browser::new().follow(&format!("{}{deep}", system.app)).await;
    assert_eq!(answer.json()["target"], deep);
}

#[tokio::test]
async fn g07_no_login_returns_to_another_origin() {
    let system = System::start().await;
    for origin in [&system.app, &system.account] {
        for path in [
            "//evil.example",
            "//evil.example/connections",
            "///evil.example",
            "/\\evil.example",
        ] {
            let answer = raw(origin, &format!("GET {path} HTTP/1.1")).await;
            assert!(
                answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.1 404"),
                "{path}: {answer}"
            );
            assert!(
                !answer.to_lowercase().contains("\r\nlocation:"),
                "{path}: {answer}"
            );
        }
        let answer = raw(origin, "GET http://evil.example/connections HTTP/1.1").await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert!(!answer.to_lowercase().contains("\r\nlocation:"), "{answer}");
    }
    // A path too long for its cookie is refused, not cut.
    let long = format!("{}/connections?{}", system.account, "a".repeat(2_100));
    assert_eq!(Browser::new().get(&long).await.status, 414);
}

/// Sends a request line as it is.
async fn raw(origin: &str, line: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let authority = origin.trim_start_matches("http://");
    let mut stream = tokio::net::TcpStream::connect(authority)
        .await
        .expect("a connection");
    let request = format!("{line}\r\nHost: {authority}\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn g06_a_provider_that_lies_gets_nobody_in() {
    for (lie, status, reason) in [
        (Lie::Denies, 401, "AuthProviderDenied"),
        (Lie::Fails, 561, "AuthProviderError"),
        (Lie::TokenEndpointDown, 500, "AuthTokenEpRequestFailed"),
        (Lie::TokenEndpointSlow, 500, "AuthTokenEpRequestTimeout"),
        (Lie::RefusesCode, 401, "AuthInvalidGrantError"),
        (Lie::NoIdToken, 401, "AuthInvalidTokenResponse"),
        (Lie::OtherNonce, 401, "AuthInvalidAWSALBAuthNonce"),
        (Lie::OtherIssuer, 401, "AuthInvalidIdToken"),
        (Lie::OtherAudience, 401, "AuthInvalidIdToken"),
        (Lie::Expired, 401, "AuthInvalidIdToken"),
        (Lie::OtherKey, 401, "AuthInvalidIdToken"),
        (Lie::AlgNone, 401, "AuthInvalidIdToken"),
        (Lie::OtherIss, 401, "AuthInvalidIssuer"),
        (Lie::UserinfoOfSomebodyElse, 401, "AuthInvalidUserinfoResponse"),
        (Lie::UserinfoRefuses, 561, "AuthProviderError"),
        (Lie::UserinfoSlow, 500, "AuthUserinfoEpRequestTimeout"),
        (Lie::HugeClaims, 500, "AuthUserinfoResponseSizeExceeded"),
        (Lie::SubjectWithNewline, 401, "AuthInvalidUserinfoResponse"),
    ] {
        let mut system = System::start().await;
        system.provider.lie(lie);
        let mut browser = Browser::new();
        let answer = browser.follow(&format!("{}/connections", system.account)).await;
        assert_eq!(answer.status, status, "{lie:?}");
        assert!(answer.body.contains("<html"), "{lie:?}: a page");
        assert!(
            !answer.body.contains(reason),
            "{lie:?}: the page does not say why"
        );
        assert_eq!(
            browser.cookies.len(),
            0,
            "{lie:?}: no ticket, and the transaction is over"
        );
        let expected = (
            "LoginRefused".to_owned(),
            "refused".to_owned(),
            Some(reason.to_owned()),
        );
        assert_eq!(system.audit().await, [expected], "{lie:?}");
    }
}

#[tokio::test]
async fn g05_claims_that_do_not_fit_into_headers_are_refused_at_login() {
    let counters = Counters::default();
    let _counting = metrics::set_default_local_recorder(&counters);
    let system = System::start().await;
    system.provider.lie(Lie::HugeClaims);
    let mut browser = Browser::new();
    let answer = browser.follow(&format!("{}/connections", system.account)).await;
    assert_eq!((answer.status, tickets(&browser)), (500, 0));
    let counted = ["ELBAuthUserClaimsSizeExceeded", "ELBAuthSuccess"].map(|name| counters.of(name));
    assert_eq!(counted, [1, 0]);
}

#[tokio::test]
async fn g08_what_cannot_be_repeated_is_refused_not_redirected() {
    let system = System::start().await;
    let mut browser = Browser::new();
    let invocations = format!("{}/invocations", system.app);
    let json = [
        ("content-type", "application/json"),
        ("accept", "text/event-stream"),
        ("sec-fetch-mode", "cors"),
    ];
    let answer = browser.send(Method::POST, &invocations, &json, "{}").await;
    assert_eq!(answer.status, 401);
    assert!(answer.json()["requestId"].is_string());
    for headers in [
        &[("sec-fetch-mode", "cors")][..],
        &[("accept", "application/json")],
        &[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")],
    ] {
        let answer = browser.get_with(&invocations, headers).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    assert_eq!(
        browser.get(&invocations).await.status,
        302,
        "a navigation logs in"
    );
    let form = [
        ("accept", "text/html"),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let answer = browser
        .send(
            Method::POST,
            &format!("{}/connections", system.account),
            &form,
            "a=b",
        )
        .await;
    assert_eq!(answer.status, 401);
    // Elsewhere a script is redirected like everybody.
    let answer = browser
        .get_with(&format!("{}/page", system.app), &[("accept", "application/json")])
        .await;
    assert_eq!(answer.status, 302);
}

#[tokio::test]
async fn two_tabs_log_in_side_by_side() {
    let system = System::start().await;
    let mut browser = Browser::new();
    let one = begun(&system, &mut browser, "/connections?tab=1").await;
    let two = begun(&system, &mut browser, "/connections?tab=2").await;
    let first = browser.get(&one).await;
    assert_eq!(first.location(), format!("{}/connections?tab=1", system.account));
    let second = browser.get(&two).await;
    assert_eq!(second.location(), format!("{}/connections?tab=2", system.account));
}

#[tokio::test]
async fn logins_under_way_do_not_pile_up() {
    let system = System::start().await;
    let mut browser = Browser::new();
    for n in 0..20 {
        assert_eq!(
            browser
                .get(&format!("{}/connections?{n}", system.account))
                .await
                .status,
            302
        );
        assert!(browser.cookies.len() <= 5, "{}", browser.cookies.len());
    }
}

#[tokio::test]
async fn another_person_gets_another_session() {
    let mut system = System::start().await;
    let mut browser = Browser::new();
    let url = begun(&system, &mut browser, "/connections").await;
    browser.get(&url).await;
    let alice = browser.clone();
    // Bob logs in on the same machine, by a login that began before.
    system.provider.user("bob");
    let mut other_tab = Browser::new();
    let url = begun(&system, &mut other_tab, "/connections").await;
    for (key, value) in other_tab.cookies {
        browser.cookies.insert(key, value);
    }
    browser.get(&url).await;
    let answer = browser.get(&format!("{}/connections", system.account)).await;
    assert_eq!(answer.json()["headers"]["x-amzn-oidc-identity"], "bob-1001");
    let answer = alice
        .clone()
        .get(&format!("{}/connections", system.account))
        .await;
    assert_eq!(answer.status, 302, "alice's session in this browser is over");
    let replaced = (
        "EndSession".to_owned(),
        "done".to_owned(),
        Some("replaced".to_owned()),
    );
    assert!(system.audit().await.contains(&replaced));
}

#[tokio::test]
async fn sessions_and_keys_outlive_a_restart() {
    let mut system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    let answer = browser.get(&format!("{}/", system.app)).await;
    let kid = countersign_crypto::alb::kid(
        answer.json()["headers"]["x-amzn-oidc-data"]
            .as_str()
            .expect("a token"),
    );
    system.restart().await;
    let answer = browser.get(&format!("{}/", system.app)).await;
    assert_eq!(answer.status, 200);
    let data = answer.json()["headers"]["x-amzn-oidc-data"]
        .as_str()
        .expect("a token")
        .to_owned();
    assert_eq!(countersign_crypto::alb::kid(&data), kid);
}

#[tokio::test]
async fn limits_end_a_session() {
    let system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    system.clock.advance(Duration::from_secs(1_799));
    assert_eq!(browser.get(&format!("{}/", system.app)).await.status, 200);
    system.clock.advance(Duration::from_secs(1_801));
    assert_eq!(browser.get(&format!("{}/", system.app)).await.status, 302);
}

#[tokio::test]
async fn g02_a_tossed_cookie_is_refused() {
    let system = System::start().await;
    let alice = system.logged_in("alice").await;
    let (name, value) = alice.cookies_of("countersign-app-").remove(0);
    let two = format!("{name}={value}; {name}={value}");
    let url = format!("{}/", system.app);
    let mut browser = Browser::new();
    assert_eq!(browser.get_with(&url, &[("cookie", &two)]).await.status, 401);
    for forged in [
        value[..value.len() - 1].to_owned(),
        countersign_crypto::token(&SystemRandom),
        "x".repeat(4_000),
    ] {
        let answer = browser
            .get_with(&url, &[("cookie", &format!("{name}={forged}"))])
            .await;
        assert_eq!(answer.status, 302, "as good as none");
    }
    assert_eq!(
        browser
            .get_with(&url, &[("cookie", &format!("{name}={value}"))])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_lost_store_is_503_and_never_login_free() {
    let mut system = System::start().await;
    let mut alice = system.logged_in("alice").await;
    let (app, authorize) = (
        format!("{}/", system.app),
        format!("{}/identities/oauth2/authorize", system.account),
    );
    assert_eq!(
        alice.get(&authorize).await.json()["headers"]["x-amzn-oidc-identity"],
        "alice-1001"
    );
    system.lose_store().await;
    assert_eq!(alice.get(&app).await.status, 200, "within the second");
    system.clock.advance(Duration::from_secs(1));
    for url in [
        &app,
        &authorize,
        &format!("{}/connections", system.account),
        &format!("{}/logout", system.app),
    ] {
        assert_eq!(
            alice
                .get_with(url, &[("accept", "text/html"), ("sec-fetch-site", "none")])
                .await
                .status,
            503,
            "{url}"
        );
    }
    assert_eq!(
        alice.cookies_of("countersign-app-").len(),
        1,
        "the ticket is kept for later"
    );
    let callback = format!("{}/identities/oauth2/callback/1", system.account);
    assert_eq!(
        alice.get(&callback).await.status,
        200,
        "what needs no session goes on"
    );
}

#[tokio::test]
async fn nothing_personal_is_stored_in_clear() {
    let mut system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    let answer = browser.get(&format!("{}/", system.app)).await;
    let headers = answer.json()["headers"].clone();
    let access_token = headers["x-amzn-oidc-accesstoken"]
        .as_str()
        .expect("a token")
        .to_owned();
    let ticket = browser.cookies_of("countersign-app-").remove(0).1;
    let stored = system.database_bytes().await;
    let stored = String::from_utf8_lossy(&stored);
    for secret in [access_token.as_str(), "alice-1001", "alice@example.com", &ticket] {
        assert!(!stored.contains(secret), "{secret}");
    }
}
