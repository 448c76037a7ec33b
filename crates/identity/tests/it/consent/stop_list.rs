//! Who is stopped, as gateways are told, and what they may say in return.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::{Map, Value, json};

use super::actors::{Ask, Page};
use super::{FRONT, GATEWAY, IDP, OTHER_GATEWAY, System};
use countersign_crypto::{Clock as _, UserKey, published_user_id};

impl System {
    /// A token that the gateway makes for itself, with further claims.
    fn own_token(&self, issuer: &str, audience: &str, more: &Value) -> String {
        let now = self.clock.now().as_secs();
        let mut claims = json!({"iss": issuer, "aud": audience, "iat": now, "exp": now + 60, "jti": "j"});
        for (name, value) in more.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        self.gateway.sign_jwt(Map::new(), &claims).expect("a token")
    }

    async fn stops(&self, method: Method, token: Option<&str>, body: &str) -> Page {
        let host = FRONT.trim_start_matches("https://");
        let mut request = Request::builder()
            .method(method)
            .uri("/identities/stops")
            .header("host", host);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        self.front_channel(request).await
    }

    async fn listed(&self) -> Value {
        let token = self.own_token(GATEWAY, "stops", &json!({}));
        let page = self.stops(Method::GET, Some(&token), "").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert_eq!(page.headers["cache-control"], "no-store");
        serde_json::from_str(&page.body).expect("JSON")
    }
}

#[tokio::test]
async fn a_gateway_is_told_who_is_stopped_and_nothing_else() {
    let system = System::start().await;
    assert_eq!(system.listed().await, json!({"account": false, "users": []}));
    let key = UserKey::jwt(IDP, "alice").to_hex();
    let published = published_user_id(IDP, "bob");
    system.stop("user", &key).await;
    system.stop("user", &published).await;
    system.stop("workload", "agent").await;
    let mut users = [key, published];
    users.sort();
    let mut listed = system.listed().await;
    let found = listed["users"].as_array_mut().expect("users");
    found.sort_by_key(|user| user.as_str().map(str::to_owned));
    assert_eq!(listed, json!({"account": false, "users": users}));
}

#[tokio::test]
async fn nobody_else_is_told() {
    let system = System::start().await;
    let person = system.person("alice");
    let about_somebody = system.own_token(
        GATEWAY,
        "stops",
        &json!({"idp_iss": IDP, "idp_sub": "alice", "sub": "s"}),
    );
    let wrong_key = {
        let other = countersign_crypto::SigningKey::from_pkcs8(
            "gateway-key",
            &super::expose(&countersign_crypto::SigningKey::generate_pkcs8()),
        )
        .expect("a key");
        let now = system.clock.now().as_secs();
        let claims = json!({"iss": GATEWAY, "aud": "stops", "iat": now, "exp": now + 60});
        other.sign_jwt(Map::new(), &claims).expect("a token")
    };
    let no_gateway = system.own_token("https://evil.test", "stops", &json!({}));
    let expired = system.own_token(
        GATEWAY,
        "stops",
        &json!({"exp": system.clock.now().as_secs() - 11}),
    );
    for token in [
        None,
        Some(""),
        Some("forged"),
        Some(about_somebody.as_str()),
        Some(wrong_key.as_str()),
        Some(no_gateway.as_str()),
        Some(expired.as_str()),
        Some(person.token("identity").as_str()),
        Some(person.token("binding").as_str()),
        Some(person.token("agent").as_str()),
        Some(person.token("stops").as_str()),
        Some(system.own_token(GATEWAY, "identity", &json!({})).as_str()),
    ] {
        for method in [Method::GET, Method::POST] {
            let body = json!({"userKey": UserKey::jwt(IDP, "alice").to_hex()}).to_string();
            let page = system.stops(method, token, &body).await;
            assert_eq!(page.status, StatusCode::UNAUTHORIZED, "{token:?}");
            assert!(page.body.is_empty(), "{}", page.body);
        }
    }
    assert_eq!(system.listed().await["users"], json!([]));
    // And the token for this door opens no other.
    let own = system.own_token(GATEWAY, "stops", &json!({}));
    let minted = system
        .workload("agent")
        .mint("ForJWT", json!({"userToken": own}))
        .await;
    assert_ne!(minted.status, StatusCode::OK);
}

#[tokio::test]
async fn a_logout_stops_a_person_where_configuration_says_so() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let body = json!({"userKey": UserKey::jwt(IDP, "alice").to_hex()}).to_string();
    let other = system.own_token(OTHER_GATEWAY, "stops", &json!({}));
    let refused = system.stops(Method::POST, Some(&other), &body).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "its policy is another");
    let token = system.own_token(GATEWAY, "stops", &json!({}));
    for malformed in [
        "",
        "{}",
        r#"{"userKey":"alice"}"#,
        &format!("{}{body}", " ".repeat(2_000)),
    ] {
        let refused = system.stops(Method::POST, Some(&token), malformed).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{malformed:?}");
    }
    assert_eq!(system.listed().await["users"], json!([]), "nothing has happened");

    for _ in 0..2 {
        let stopped = system.stops(Method::POST, Some(&token), &body).await;
        assert_eq!(
            stopped.status,
            StatusCode::NO_CONTENT,
            "also when it is said twice"
        );
    }
    let record = system.last_record("StopOnLogout").await;
    assert_eq!(record["outcome"], "done");
    assert_eq!(record["detail"]["gateway"], GATEWAY);
    assert_eq!(system.listed().await["users"].as_array().map(Vec::len), Some(1));
    let refused = agent.asks(&wat, &Ask::default()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{refused:?}");
}
