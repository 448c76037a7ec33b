use countersign_crypto::{Algorithm, Clock, JwkSet, JwtPolicy, alb, published_user_id, verify_jwt};
use serde_json::Value;

use crate::support::SIGNER;
use crate::support::{Answer, Browser, START, System};

fn header<'a>(echo: &'a Value, name: &str) -> Option<&'a str> {
    echo["headers"][name].as_str()
}

#[tokio::test]
async fn the_alb_headers_verify_against_the_served_key() {
    let system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    let echo = browser.get(&format!("{}/", system.app)).await.json();
    assert_eq!(header(&echo, "x-amzn-oidc-identity"), Some("alice-1001"));
    assert_eq!(header(&echo, "x-amzn-oidc-accesstoken").map(str::len), Some(43));

    let data = header(&echo, "x-amzn-oidc-data").expect("the claims");
    let parts: Vec<&str> = data.split('.').collect();
    assert!(
        parts.iter().all(|part| part.len() % 4 == 0),
        "padded base64url in all three parts: {data}"
    );
    let kid = alb::kid(data).expect("a key id");
    for path in [format!("/{kid}"), format!("/default/{kid}")] {
        let pem = Browser::new().get(&format!("{}{path}", system.keys)).await;
        assert_eq!(pem.headers["cache-control"], "public, max-age=300");
        let expect = alb::AlbExpectation {
            signers: &[SIGNER.to_owned()],
            issuer: &system.provider.issuer,
            client: "gateway",
            leeway_secs: 0,
        };
        let verified = alb::verify(data, &pem.body, &expect, system.clock.now()).expect("a valid token");
        let claims = verified.claims;
        assert_eq!(claims["sub"], "alice-1001");
        assert_eq!(claims["name"], "alice Ünïcode");
        assert_eq!(claims["email_verified"], "true", "odd types pass through");
        assert_eq!(claims["exp"], START + 120);
        assert_eq!(claims["iss"], system.provider.issuer);
    }
}

#[tokio::test]
async fn each_role_gets_a_user_token_for_itself() {
    let system = System::start().await;
    let mut browser = system.logged_in("alice").await;
    let jwks = Browser::new()
        .get(&format!("{}/default/jwks.json", system.keys))
        .await;
    let keys = JwkSet::from_json(jwks.body.as_bytes()).expect("a key set");
    let issuer = format!("{}/default", system.keys);
    let mut sids = std::collections::BTreeSet::new();
    for (url, audience) in [
        (format!("{}/", system.app), "dev-agent"),
        (format!("{}/oauth2/session-binding", system.account), "binding"),
        (format!("{}/connections", system.account), "identity"),
        (
            format!("{}/identities/oauth2/authorize/login?x=1", system.account),
            "identity",
        ),
        (
            format!("{}/identities/oauth2/authorize?x=1", system.account),
            "identity",
        ),
    ] {
        let echo = browser.get(&url).await.json();
        let token = header(&echo, "x-countersign-user-token").expect("a user token");
        let policy = JwtPolicy {
            issuer: &issuer,
            audiences: &[audience],
            algorithms: &[Algorithm::Es256],
            leeway_secs: 0,
            typ: Some(&["JWT"]),
        };
        let claims = verify_jwt(token, &keys, &policy, system.clock.now())
            .expect("a valid token")
            .claims;
        assert_eq!(claims["aud"], audience, "one audience");
        assert_eq!(claims["idp_iss"], system.provider.issuer);
        assert_eq!(claims["idp_sub"], "alice-1001");
        assert_eq!(
            claims["sub"],
            published_user_id(&system.provider.issuer, "alice-1001")
        );
        assert_eq!(claims["auth_time"], START - 5);
        assert_eq!(
            (&claims["iat"], &claims["exp"]),
            (&START.into(), &(START + 300).into())
        );
        assert_eq!(claims["name"], "alice Ünïcode");
        sids.insert(claims["sid"].as_str().expect("a sid").to_owned());
    }
    assert_eq!(sids.len(), 1, "one session on both origins");
}

#[tokio::test]
async fn where_login_is_optional_nobody_is_nobody() {
    let system = System::start().await;
    let mut browser = Browser::new();
    for path in [
        "/identities/oauth2/authorize?request_uri=x",
        "/identities/oauth2/callback/1?code=c",
    ] {
        let answer = browser.get(&format!("{}{path}", system.account)).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_no_identity(&answer, path);
    }
    // A route without authentication tells nobody who is logged in.
    let mut browser = system.logged_in("alice").await;
    let answer = browser
        .get(&format!("{}/identities/oauth2/callback/1", system.account))
        .await;
    assert_no_identity(&answer, "callback");
}

fn assert_no_identity(answer: &Answer, context: &str) {
    let echo = answer.json();
    for name in [
        "x-amzn-oidc-data",
        "x-amzn-oidc-identity",
        "x-amzn-oidc-accesstoken",
        "x-countersign-user-token",
    ] {
        assert_eq!(header(&echo, name), None, "{context}: {name}");
    }
}

/// What an attacker sends, in spellings that some framework folds into the real name.
const SPOOFED: [&str; 14] = [
    "x-amzn-oidc-data",
    "X-Amzn-Oidc-Data",
    "X-AMZN-OIDC-IDENTITY",
    "x_amzn_oidc_data",
    "X_Amzn_Oidc_Identity",
    "x-amzn_oidc-accesstoken",
    "x.amzn.oidc.data",
    "x-amzn-oidc-anything",
    "X-Amzn-Mtls-Clientcert",
    "x_amzn_mtls_clientcert_leaf",
    "X-Countersign-User-Token",
    "x_countersign_user_token",
    "X-Forwarded-User",
    "Forwarded",
];

#[tokio::test]
async fn f09_no_identity_header_of_a_client_reaches_a_target() {
    let system = System::start().await;
    let alice = system.logged_in("alice").await;
    let spoofed: Vec<(&str, &str)> = SPOOFED
        .iter()
        .map(|&name| (name, "spoofed"))
        .chain([("accept", "text/html")])
        .collect();
    for (browser, path) in [
        (&alice, format!("{}/", system.app)),
        (&alice, format!("{}/connections", system.account)),
        (&alice, format!("{}/identities/oauth2/authorize", system.account)),
        (&alice, format!("{}/identities/oauth2/callback/1", system.account)),
        (
            &Browser::new(),
            format!("{}/identities/oauth2/authorize", system.account),
        ),
        (
            &Browser::new(),
            format!("{}/identities/oauth2/callback/1", system.account),
        ),
    ] {
        for mut browser in [browser.clone(), browser.http2()] {
            let answer = browser.get_with(&path, &spoofed).await;
            assert_eq!(answer.status, 200, "{path}");
            assert!(!answer.body.contains("spoofed"), "{path}: {}", answer.body);
        }
    }
}

#[tokio::test]
async fn f09_nor_by_trailers_or_connection() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let system = System::start().await;
    let alice = system.logged_in("alice").await;
    let authority = system.app.trim_start_matches("http://");
    let request = format!(
        "POST /x HTTP/1.1\r\nHost: {authority}\r\nCookie: {}\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\
         Trailer: x-amzn-oidc-data\r\nConnection: close, x-amzn-oidc-identity\r\n\r\n\
         2\r\nhi\r\n0\r\nx-amzn-oidc-data: spoofed\r\n\r\n",
        alice.cookie_header("localhost")
    );
    let mut stream = tokio::net::TcpStream::connect(authority)
        .await
        .expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.contains("spoofed"), "{answer}");
    assert!(answer.contains("\"trailers\":null"), "{answer}");
    // A client cannot have the gateway's own headers dropped as hop-by-hop.
    assert!(
        answer.contains("\"x-amzn-oidc-identity\":\"alice-1001\""),
        "{answer}"
    );
}
