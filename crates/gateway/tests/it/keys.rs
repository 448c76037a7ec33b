use crate::support::{Browser, System};

#[tokio::test]
async fn discovery_leads_to_the_keys() {
    let system = System::start().await;
    let mut browser = Browser::new();
    let issuer = format!("{}/default", system.keys);
    let answer = browser
        .get(&format!("{issuer}/.well-known/openid-configuration"))
        .await;
    assert_eq!(answer.headers["cache-control"], "public, max-age=300");
    assert_eq!(answer.headers["content-type"], "application/json");
    let document = answer.json();
    assert_eq!(document["issuer"], issuer);
    let jwks = browser
        .get(document["jwks_uri"].as_str().expect("a URL"))
        .await
        .json();
    let keys = jwks["keys"].as_array().expect("keys");
    assert_eq!(keys.len(), 1);
    assert_eq!(
        (&keys[0]["kty"], &keys[0]["crv"], &keys[0]["alg"]),
        (&"EC".into(), &"P-256".into(), &"ES256".into())
    );
    assert!(keys[0].get("d").is_none(), "public halves alone");
    let kid = keys[0]["kid"].as_str().expect("a key id");
    let pem = browser.get(&format!("{issuer}/{kid}")).await;
    assert!(pem.body.starts_with("-----BEGIN PUBLIC KEY-----"), "{}", pem.body);
}

#[tokio::test]
async fn nothing_else_is_served() {
    let system = System::start().await;
    let mut browser = Browser::new();
    for path in [
        "/",
        "/default",
        "/11111111-1111-4111-8111-111111111111",
        "/..%2fkey",
        "/default/a/b",
        "/logout",
    ] {
        assert_eq!(
            browser.get(&format!("{}{path}", system.keys)).await.status,
            404,
            "{path}"
        );
    }
    let answer = browser
        .send(
            http::Method::POST,
            &format!("{}/default/jwks.json", system.keys),
            &[],
            "",
        )
        .await;
    assert_eq!(answer.status, 405);
    let answer = browser
        .get_with(
            &format!("{}/default/jwks.json", system.keys),
            &[("host", "evil.example")],
        )
        .await;
    assert_eq!(answer.status, 421);
}
