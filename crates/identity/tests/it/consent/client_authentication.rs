//! How this service proves itself to providers: attack row E8, on the wire.

use countersign_crypto::{Algorithm, Clock as _, JwkSet, JwtPolicy, SigningKey, verify_jwt};
use http::StatusCode;
use serde_json::{Value, json};

use super::vendor::AUTHORIZATION;
use super::{Answer, System, Workload, expose, text};

const ARN: &str = "arn:aws:kms:us-east-1:000000000000:key/11111111-2222-3333-4444-555555555555";
const UNLISTED: &str = "arn:aws:kms:us-east-1:000000000000:key/99999999-2222-3333-4444-555555555555";

/// A P-256 key: its PEM for us, its public half for the provider.
fn key() -> (String, JwkSet) {
    let pkcs8 = expose(&SigningKey::generate_pkcs8());
    let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &pkcs8);
    let public = SigningKey::from_pkcs8("k1", &pkcs8).expect("a key").public_jwk();
    (
        format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n"),
        JwkSet { keys: vec![public] },
    )
}

/// Registers the provider `p` anew with these members, and asks for a token of the workload itself.
async fn asks_as(system: &System, members: Value) -> Answer {
    let mut config = system.provider_config("p", "the:client/id");
    let custom = config["oauth2ProviderConfigInput"]["customOauth2ProviderConfig"]
        .as_object_mut()
        .expect("an object");
    for (name, value) in members.as_object().expect("an object") {
        if value.is_null() {
            custom.remove(name);
        } else {
            custom.insert(name.clone(), value.clone());
        }
    }
    let path = "/identities/DeleteOauth2CredentialProvider";
    system.call(&system.admin, path, &json!({"name": "p"})).await;
    system.control("CreateOauth2CredentialProvider", config).await;
    let agent = Workload {
        credentials: system.admin.clone(),
        ..system.workload("agent")
    };
    let minted = agent.mint("", json!({})).await;
    let body = json!({
        "workloadIdentityToken": text(&minted.body["workloadAccessToken"]),
        "resourceCredentialProviderName": "p", "scopes": [], "oauth2Flow": "M2M",
    });
    system
        .call(&agent.credentials, "/identities/oauth2/token", &body)
        .await
}

#[tokio::test]
async fn e08_a_client_proves_itself_as_registered_and_to_its_own_server_alone() {
    let (pem, public) = key();
    let system = System::start_with(json!({
        "client_keys": [{"arn": ARN, "private_key": pem, "kid": "k1"}],
    }))
    .await;
    // RFC 6749 section 2.3.1: form-encoded, then joined and base64.
    let secret = json!({"clientSecret": "p:w %+&=\u{fc}\n"});
    assert!(asks_as(&system, secret.clone()).await.token().is_some());
    let sent = system.vendor.last_request();
    let encoded = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        "the%3Aclient%2Fid:p%3Aw+%25%2B%26%3D%C3%BC%0A",
    );
    assert_eq!(sent[AUTHORIZATION], format!("Basic {encoded}"));
    assert!(!sent.contains_key("client_id") && !sent.contains_key("client_secret"));

    let mut post = secret;
    post["clientAuthenticationMethod"] = json!("CLIENT_SECRET_POST");
    assert!(asks_as(&system, post).await.token().is_some());
    let sent = system.vendor.last_request();
    assert!(!sent.contains_key(AUTHORIZATION));
    assert_eq!(
        (&*sent["client_id"], &*sent["client_secret"]),
        ("the:client/id", "p:w %+&=\u{fc}\n")
    );

    let signs = |payload: Value| {
        json!({
            "clientSecret": null,
            "clientAuthenticationMethod": "PRIVATE_KEY_JWT",
            "privateKeyJwtConfig": {
                "privateKeySource": {"kmsKeySource": {"kmsKeyArn": ARN}},
                "signingAlgorithm": "ES256",
                "additionalHeaderClaims": {"x5t": "thumb"},
                "additionalPayloadClaims": payload,
            },
        })
    };
    let issuer = system.vendor.issuer();
    let token_endpoint = format!("{issuer}/token");
    for (payload, audience) in [
        (json!({"tenant": "t"}), &issuer),
        (json!({"tenant": "t", "aud": issuer}), &issuer),
        (json!({"tenant": "t", "aud": token_endpoint}), &token_endpoint),
    ] {
        let answer = asks_as(&system, signs(payload)).await;
        assert!(answer.token().is_some(), "{answer:?}");
        let sent = system.vendor.last_request();
        assert!(!sent.contains_key(AUTHORIZATION) && !sent.contains_key("client_secret"));
        assert_eq!(
            sent["client_assertion_type"],
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        let policy = JwtPolicy {
            issuer: "the:client/id",
            audiences: &[audience],
            algorithms: &[Algorithm::Es256],
            leeway_secs: 0,
            typ: Some(&["JWT"]),
        };
        let verified = verify_jwt(&sent["client_assertion"], &public, &policy, system.clock.now());
        let verified = verified.expect("an assertion");
        assert_eq!(verified.claims["aud"], json!(audience), "one audience, as text");
        assert_eq!(
            (&verified.claims["sub"], &verified.claims["tenant"]),
            (&json!("the:client/id"), &json!("t"))
        );
        assert_eq!(
            (&verified.header["x5t"], &verified.header["kid"]),
            (&json!("thumb"), &json!("k1"))
        );
    }

    let sent_before = system.vendor.token_requests();
    for elsewhere in [
        "https://evil.example/token",
        &format!("{issuer}/"),
        &format!("{issuer}.evil.example"),
    ] {
        let answer = asks_as(&system, signs(json!({"aud": elsewhere}))).await;
        assert_eq!(
            (answer.status, answer.error().0),
            (StatusCode::BAD_REQUEST, "ValidationException")
        );
        assert!(answer.error().1.contains("aud"), "{answer:?}");
    }
    assert_eq!(
        system.vendor.token_requests(),
        sent_before,
        "an assertion for elsewhere was sent"
    );
}

/// Design D22: what an ARN stands for is the operator's to say.
#[tokio::test]
async fn keys_that_the_operator_did_not_list_sign_nothing() {
    let (pem, _) = key();
    let system = System::start_with(json!({"client_keys": [{"arn": ARN, "private_key": pem}]})).await;
    let signs = |arn: &str, algorithm: &str| {
        json!({
            "clientSecret": null, "clientAuthenticationMethod": "PRIVATE_KEY_JWT",
            "privateKeyJwtConfig": {
                "privateKeySource": {"kmsKeySource": {"kmsKeyArn": arn}}, "signingAlgorithm": algorithm,
            },
        })
    };
    for (members, says) in [
        (signs(UNLISTED, "ES256"), "client_keys"),
        (signs(ARN, "RS256"), "does not fit"),
        (signs(ARN, "PS256"), "does not fit"),
        (
            json!({"clientSecret": null, "clientAuthenticationMethod": "AWS_IAM_ID_TOKEN_JWT"}),
            "AWS_IAM_ID_TOKEN_JWT",
        ),
    ] {
        let answer = asks_as(&system, members).await;
        assert_eq!(
            (answer.status, answer.error().0),
            (StatusCode::BAD_REQUEST, "ValidationException"),
            "{answer:?}"
        );
        assert!(answer.error().1.contains(says), "{says}: {answer:?}");
    }
    assert_eq!(system.vendor.token_requests(), 0);
}
