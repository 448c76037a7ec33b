//! People whom neither a gateway of ours nor the caller vouches for, but a configured issuer (design D9).

use http::StatusCode;
use serde_json::{Value, json};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{Ask, System, assert_invalid_session, expose, text};
use countersign_crypto::{Clock as _, JwkSet, SigningKey};

/// An OpenID provider: a key, and the documents that lead to it.
struct Issuer {
    server: MockServer,
    key: SigningKey,
}

impl Issuer {
    async fn start() -> Self {
        let key =
            SigningKey::from_pkcs8("foreign-key", &expose(&SigningKey::generate_pkcs8())).expect("a key");
        let server = MockServer::start().await;
        let uri = server.uri();
        let metadata = json!({
            "issuer": uri,
            "authorization_endpoint": format!("{uri}/authorize"),
            "token_endpoint": format!("{uri}/token"),
            "jwks_uri": format!("{uri}/jwks.json"),
        });
        let keys = JwkSet {
            keys: vec![key.public_jwk()],
        };
        for (at, document) in [
            ("/.well-known/openid-configuration", metadata),
            ("/jwks.json", serde_json::to_value(keys).expect("JSON")),
        ] {
            let answer = ResponseTemplate::new(200).set_body_json(document);
            Mock::given(path(at)).respond_with(answer).mount(&server).await;
        }
        Self { server, key }
    }

    fn token(&self, now: i64, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "iss": self.server.uri(), "aud": "agents", "sub": "carol", "iat": now, "exp": now + 300,
        });
        change(&mut claims);
        self.key
            .sign_jwt(serde_json::Map::new(), &claims)
            .expect("signed")
    }
}

/// What is wrong with a token, and how it gets so.
type Refusal = (&'static str, fn(&mut Value));

#[tokio::test]
async fn a_configured_issuers_token_proves_a_person_at_both_doors() {
    let issuer = Issuer::start().await;
    let system = System::start_with(json!({
        "user_issuers": [{"issuer": issuer.server.uri(), "audiences": ["agents"], "workloads": ["agent"]}],
        "outbound_allow": [issuer.server.address().to_string()],
    }))
    .await;
    let now = system.clock.now().as_secs();
    let agent = system.workload("agent");
    let minted = agent
        .mint("ForJWT", json!({"userToken": issuer.token(now, |_| ())}))
        .await;
    assert_eq!(minted.status, StatusCode::OK, "{minted:?}");

    let refusals: [Refusal; 6] = [
        ("another audience", |claims| claims["aud"] = json!("others")),
        ("another issuer", |claims| {
            claims["iss"] = json!("https://idp.example");
        }),
        ("expired", |claims| {
            claims["exp"] = json!(claims["iat"].as_i64().map(|at| at - 31));
        }),
        ("no subject", |claims| claims["sub"] = Value::Null),
        ("an empty subject", |claims| claims["sub"] = json!("")),
        ("a subject that is a number", |claims| claims["sub"] = json!(1001)),
    ];
    for (what, change) in refusals {
        let refused = agent
            .mint("ForJWT", json!({"userToken": issuer.token(now, change)}))
            .await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{what}: {refused:?}");
    }

    let other_key =
        SigningKey::from_pkcs8("foreign-key", &expose(&SigningKey::generate_pkcs8())).expect("a key");
    let forged = Issuer {
        server: issuer.server,
        key: other_key,
    };
    let refused = agent
        .mint("ForJWT", json!({"userToken": forged.token(now, |_| ())}))
        .await;
    assert_eq!(
        refused.status,
        StatusCode::UNAUTHORIZED,
        "another key under the same id"
    );
}

/// What an issuer's entry does not state is refused: workloads, `typ`, algorithms, ID tokens.
#[tokio::test]
async fn an_issuers_entry_is_all_that_is_believed_of_it() {
    let issuer = Issuer::start().await;
    let address = issuer.server.address().to_string();
    let entry = |members: Value| {
        let mut entry =
            json!({"issuer": issuer.server.uri(), "audiences": ["agents"], "workloads": ["agent"]});
        for (name, value) in members.as_object().expect("an object") {
            entry[name] = value.clone();
        }
        json!({"user_issuers": [entry], "outbound_allow": [address]})
    };
    let sign = |typ: Option<&str>, claims: &Value, now: i64| {
        let mut all = json!({"iss": issuer.server.uri(), "aud": "agents", "sub": "carol", "iat": now, "exp": now + 300});
        for (name, value) in claims.as_object().expect("an object") {
            all[name] = value.clone();
        }
        let header = typ.map(|typ| ("typ".to_owned(), json!(typ)));
        issuer
            .key
            .sign_jwt(header.into_iter().collect(), &all)
            .expect("signed")
    };
    let (plain, nonce, at_hash) = (json!({}), json!({"nonce": "n"}), json!({"at_hash": "h"}));
    let (cognito, keycloak) = (json!({"token_use": "id"}), json!({"typ": "ID"}));
    let access = json!({"token_use": "access", "nonce": "n"});
    for (members, typ, claims, accepted) in [
        (json!({}), None, &plain, true),
        (json!({}), Some("JWT"), &plain, true),
        (json!({}), Some("at+jwt"), &plain, true),
        (json!({}), Some("application/AT+JWT"), &nonce, true),
        (json!({}), Some("logout+jwt"), &plain, false),
        (json!({}), Some("dpop+jwt"), &plain, false),
        (json!({"typ": ["at+jwt"]}), Some("JWT"), &plain, false),
        (json!({}), None, &nonce, false),
        (json!({}), None, &at_hash, false),
        (json!({}), None, &cognito, false),
        (json!({}), None, &keycloak, false),
        (json!({}), Some("at+jwt"), &cognito, false),
        (json!({}), None, &access, false),
        (json!({"id_tokens": true}), None, &nonce, true),
        (json!({"id_tokens": true}), None, &cognito, true),
        (json!({"algorithms": ["RS256", "PS256"]}), None, &plain, false),
        (json!({"workloads": ["other-agent"]}), None, &plain, false),
        (json!({"workloads": ["*"]}), None, &plain, true),
    ] {
        let system = System::start_with(entry(members.clone())).await;
        let token = sign(typ, claims, system.clock.now().as_secs());
        let minted = system
            .workload("agent")
            .mint("ForJWT", json!({"userToken": token}))
            .await;
        let expected = if accepted {
            StatusCode::OK
        } else {
            StatusCode::UNAUTHORIZED
        };
        assert_eq!(minted.status, expected, "{members} {typ:?} {claims}: {minted:?}");
    }
}

#[tokio::test]
async fn a_person_of_a_configured_issuer_completes_with_a_newer_token() {
    let issuer = Issuer::start().await;
    let system = System::start_with(json!({
        "user_issuers": [{"issuer": issuer.server.uri(), "audiences": ["agents"], "workloads": ["agent"]}],
        "outbound_allow": [issuer.server.address().to_string()],
    }))
    .await;
    let agent = system.workload("agent");
    let token = |change: fn(&mut Value)| issuer.token(system.clock.now().as_secs(), change);
    let minted = agent.mint("ForJWT", json!({"userToken": token(|_| ())})).await;
    let wat = text(&minted.body["workloadAccessToken"]);
    let complete = async |handle: &str, token: String| {
        let body = json!({"sessionUri": handle, "userIdentifier": {"userToken": token}});
        system
            .call(&system.binding, "/identities/CompleteResourceTokenAuth", &body)
            .await
    };

    // Nobody to recognise: the start page sends the browser on at once (design D11).
    let consents = async |name: &str| {
        let browser = system.person(name);
        let on = browser
            .opens_anonymously(agent.asks(wat, &Ask::default()).await.link())
            .await;
        browser.agrees(on.location(), name).await.handle()
    };

    let handle = consents("mallory").await;
    assert_invalid_session(&complete(&handle, token(|claims| claims["sub"] = json!("mallory"))).await);
    system.assert_nothing_happened().await;

    let handle = consents("carol").await;
    system.clock.advance(std::time::Duration::from_secs(100));
    assert_eq!(
        complete(&handle, token(|_| ())).await.status,
        StatusCode::OK,
        "tokens rotate, people stay"
    );
    assert!(agent.asks(wat, &Ask::default()).await.token().is_some());
}

/// A workload that is taken off an issuer's list gets nothing of what that issuer's people have begun for it.
#[tokio::test]
async fn the_workload_list_holds_at_completion_too() {
    let issuer = Issuer::start().await;
    let system = System::start_with(json!({
        "user_issuers": [{"issuer": issuer.server.uri(), "audiences": ["agents"], "workloads": ["agent"]}],
        "outbound_allow": [issuer.server.address().to_string()],
    }))
    .await;
    let token = issuer.token(system.clock.now().as_secs(), |_| ());
    let agent = system.workload("agent");
    let minted = agent.mint("ForJWT", json!({"userToken": token})).await;
    let asked = agent
        .asks(text(&minted.body["workloadAccessToken"]), &Ask::default())
        .await;
    let browser = system.person("carol");
    let on = browser.opens_anonymously(asked.link()).await;
    let handle = browser.agrees(on.location(), "carol").await.handle();

    let body = json!({"sessionUri": handle, "userIdentifier": {"userToken": token}});
    let path = "/identities/CompleteResourceTokenAuth";
    let listed = |workload: &str| {
        let workload = workload.to_owned();
        move |config: &mut countersign_identity::Config| config.user_issuers[0].workloads = vec![workload]
    };
    let system = system.restarted_with(listed("other-agent")).await;
    assert_invalid_session(&system.call(&system.binding, path, &body).await);
    system.assert_nothing_happened().await;
    system
        .assert_recorded("CompleteResourceTokenAuth", "refused", "workload_not_listed")
        .await;

    let system = system.restarted_with(listed("agent")).await;
    let completed = system.call(&system.binding, path, &body).await;
    assert_eq!(
        completed.status,
        StatusCode::OK,
        "{completed:?}: a refusal changes nothing"
    );
}
