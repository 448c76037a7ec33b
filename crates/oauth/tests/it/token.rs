use std::time::Duration;

use countersign_crypto::{ExposeSecret as _, SecretString};
use countersign_oauth::revoke::{Revocable, Revocation, TokenKind, revoke};
use countersign_oauth::token::{CodeExchange, Refresh};
use countersign_oauth::vendor::{Dialect, SecretMethod, vendor};
use countersign_oauth::{ClientAuthentication, Outcome, TokenEndpoint, TokenError, TokenSet};
use serde_json::json;
use url::Url;
use wiremock::matchers::{body_json, body_string, header, method, path};
use wiremock::{Mock, ResponseTemplate};

use crate::World;

const STANDARD: Revocation = Revocation::Standard(Revocable::Both);

async fn exchange(world: &World, url: &Url) -> Result<TokenSet, TokenError> {
    let authentication = ClientAuthentication::Basic("secret".into());
    let endpoint = TokenEndpoint {
        client: &world.client,
        url,
        client_id: "client",
        authentication: &authentication,
        dialect: &Dialect::STANDARD,
    };
    let (code, verifier) = (SecretString::from("code"), SecretString::from("verifier"));
    let exchange = CodeExchange {
        code: &code,
        redirect_uri: "https://account.example/cb",
        verifier: Some(&verifier),
        resources: &[],
    };
    endpoint.exchange_code(&exchange).await
}

async fn answered(response: ResponseTemplate) -> Result<TokenSet, TokenError> {
    let world = World::new().await;
    Mock::given(method("POST"))
        .and(path("/token"))
        .respond_with(response)
        .mount(&world.server)
        .await;
    exchange(&world, &world.url("/token")).await
}

#[tokio::test]
async fn the_requests_are_what_the_rfcs_say() {
    let world = World::new().await;
    let tokens =
        || ResponseTemplate::new(200).set_body_json(json!({ "access_token": "a", "token_type": "Bearer" }));
    Mock::given(method("POST"))
        .and(path("/token"))
        .and(header("authorization", "Basic Y2xpZW50OnNlY3JldA=="))
        .and(header("accept", "application/json"))
        .and(body_string(
            "grant_type=authorization_code&code=code&redirect_uri=https%3A%2F%2Faccount.example%2Fcb&code_verifier=verifier",
        ))
        .respond_with(tokens())
        .expect(1)
        .mount(&world.server)
        .await;
    exchange(&world, &world.url("/token")).await.expect("tokens");

    Mock::given(method("POST"))
        .and(path("/refresh"))
        .and(body_string(
            "grant_type=refresh_token&refresh_token=r&resource=https%3A%2F%2Fa.example&resource=https%3A%2F%2Fb.example&client_id=client&client_secret=secret",
        ))
        .respond_with(tokens())
        .expect(1)
        .mount(&world.server)
        .await;
    let authentication = ClientAuthentication::Post("secret".into());
    let url = world.url("/refresh");
    let endpoint = TokenEndpoint {
        client: &world.client,
        url: &url,
        client_id: "client",
        authentication: &authentication,
        dialect: &Dialect::STANDARD,
    };
    let refresh_token = SecretString::from("r");
    let resources = ["https://a.example".to_owned(), "https://b.example".to_owned()];
    let refresh = Refresh {
        refresh_token: &refresh_token,
        scopes: None,
        resources: &resources,
    };
    let set = endpoint.refresh(&refresh).await.expect("tokens");
    assert_eq!(set.access_token.expose_secret(), "a");
    assert!(set.refresh_token.is_none(), "the caller keeps the old one");
}

#[tokio::test]
async fn e03_wrong_content_types_do_not_matter() {
    let set = answered(ResponseTemplate::new(200).set_body_raw(r#"{"access_token":"a"}"#, "text/html")).await;
    assert_eq!(set.expect("tokens").access_token.expose_secret(), "a");
    let set =
        answered(ResponseTemplate::new(200).set_body_raw("access_token=a&scope=", "application/json")).await;
    assert_eq!(set.expect("tokens").scope, Some(vec![]));
}

#[tokio::test]
async fn e03_html_and_oversized_answers_fail() {
    let html = answered(ResponseTemplate::new(200).set_body_raw("<html>ok</html>", "text/html")).await;
    assert!(matches!(html, Err(TokenError::Malformed(_))), "{html:?}");
    let huge = format!(r#"{{"access_token":"a","x":"{}"}}"#, "x".repeat(10_000_000));
    let huge = answered(ResponseTemplate::new(200).set_body_string(huge))
        .await
        .expect_err("10 MB");
    assert!(matches!(huge, TokenError::Broken(_)), "{huge}");
    assert_eq!(huge.outcome(), Outcome::Unknown);
}

#[tokio::test]
async fn e03_a_redirect_is_not_followed() {
    let world = World::new().await;
    for status in [301, 302, 307, 308] {
        let at = format!("/token/{status}");
        Mock::given(path(at.as_str()))
            .respond_with(
                ResponseTemplate::new(status).insert_header("location", world.url("/thief").as_str()),
            )
            .mount(&world.server)
            .await;
        assert_eq!(
            exchange(&world, &world.url(&at)).await.err(),
            Some(TokenError::Status(status))
        );
    }
    let requests = world.server.received_requests().await.expect("recorded");
    assert!(requests.iter().all(|request| request.url.path() != "/thief"));
}

#[tokio::test]
async fn e03_slow_and_absent_servers_are_told_apart() {
    let slow = ResponseTemplate::new(200)
        .set_body_string("access_token=a")
        .set_delay(Duration::from_secs(5));
    let slow = answered(slow).await.expect_err("too slow");
    assert_eq!(
        (slow.clone(), slow.outcome()),
        (TokenError::Timeout, Outcome::Unknown)
    );

    let world = World::new().await;
    // The guard refuses this address; nothing is sent.
    let refused = exchange(&world, &Url::parse("http://127.0.0.1:1/token").expect("a URL"))
        .await
        .expect_err("refused");
    assert_eq!(refused.outcome(), Outcome::NotSent);
}

#[tokio::test]
async fn errors_name_no_secret() {
    let body = json!({ "error": "invalid_grant", "error_description": "code\r\nspent" });
    let error = answered(ResponseTemplate::new(400).set_body_json(body))
        .await
        .expect_err("refused");
    assert!(error.is_invalid_grant());
    assert_eq!(error.outcome(), Outcome::Refused);
    let text = format!("{error} {error:?}");
    assert!(!text.contains("secret") && !text.contains("verifier"), "{text}");
    assert!(text.contains("code??spent"), "{text}");
    let set =
        answered(ResponseTemplate::new(200).set_body_string("access_token=sesame&refresh_token=sesame"))
            .await;
    assert!(!format!("{:?}", set.expect("tokens")).contains("sesame"));
}

#[tokio::test]
async fn revocation_sends_token_and_hint() {
    let world = World::new().await;
    Mock::given(path("/revoke"))
        .and(body_string(
            "token=r&token_type_hint=refresh_token&client_id=client",
        ))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&world.server)
        .await;
    let url = world.url("/revoke");
    let endpoint = TokenEndpoint {
        client: &world.client,
        url: &url,
        client_id: "client",
        authentication: &ClientAuthentication::None,
        dialect: &Dialect::STANDARD,
    };
    revoke(&endpoint, STANDARD, &"r".into(), TokenKind::Refresh)
        .await
        .expect("revoked");
    let nowhere = world.url("/nowhere");
    let endpoint = TokenEndpoint {
        url: &nowhere,
        ..endpoint
    };
    let failed = revoke(&endpoint, STANDARD, &"r".into(), TokenKind::Access).await;
    assert_eq!(failed, Err(TokenError::Status(404)));
}

/// What revoking the access token `a` gives by `name`'s recipe, where only `expected` at `/r` is answered.
async fn revoked(
    name: &str,
    expected: wiremock::MockBuilder,
    answer: ResponseTemplate,
) -> Result<(), TokenError> {
    let world = World::new().await;
    expected.respond_with(answer).mount(&world.server).await;
    let url = world.url("/r");
    let known = vendor(name).expect("a vendor");
    let authentication = match known.client_authentication {
        SecretMethod::Basic => ClientAuthentication::Basic("secret".into()),
        SecretMethod::Post => ClientAuthentication::Post("secret".into()),
    };
    let endpoint = TokenEndpoint {
        client: &world.client,
        url: &url,
        client_id: "cl/ient",
        authentication: &authentication,
        dialect: &Dialect::STANDARD,
    };
    let recipe = known.revocation;
    assert_eq!(recipe.wants(false), Some(TokenKind::Access));
    revoke(&endpoint, recipe, &"a".into(), TokenKind::Access).await
}

#[tokio::test]
async fn tokens_are_revoked_the_vendors_way() {
    const BASIC: &str = "Basic Y2wlMkZpZW50OnNlY3JldA==";
    let ok = || ResponseTemplate::new(200);
    let github = || {
        Mock::given(method("DELETE"))
            .and(path("/r/cl%2Fient/grant"))
            .and(header("authorization", BASIC))
            .and(body_json(json!({"access_token": "a"})))
    };
    assert_eq!(
        revoked("GithubOauth2", github(), ResponseTemplate::new(204)).await,
        Ok(())
    );
    // GitHub knows no such token: that is what was asked for.
    assert_eq!(
        revoked("GithubOauth2", github(), ResponseTemplate::new(404)).await,
        Ok(())
    );
    let refused = revoked("GithubOauth2", github(), ResponseTemplate::new(401)).await;
    assert_eq!(refused, Err(TokenError::Status(401)));

    let bearer = |verb| {
        Mock::given(method(verb))
            .and(path("/r"))
            .and(header("authorization", "Bearer a"))
    };
    assert_eq!(revoked("DropboxOauth2", bearer("POST"), ok()).await, Ok(()));
    assert_eq!(revoked("FacebookOauth2", bearer("DELETE"), ok()).await, Ok(()));
    let told = ok().set_body_json(json!({"ok": true, "revoked": true}));
    assert_eq!(revoked("SlackOauth2", bearer("POST"), told).await, Ok(()));
    // Failure with status 200.
    let told = ok().set_body_json(json!({"ok": false, "error": "invalid_auth"}));
    assert_eq!(
        revoked("SlackOauth2", bearer("POST"), told)
            .await
            .expect_err("refused")
            .code(),
        "not_revoked"
    );

    let notion = Mock::given(method("POST"))
        .and(path("/r"))
        .and(header("authorization", BASIC))
        .and(body_json(json!({"token": "a"})));
    assert_eq!(revoked("NotionOauth2", notion, ok()).await, Ok(()));
    // A redirect would carry the token to somewhere else.
    let moved = ResponseTemplate::new(307).insert_header("location", "/elsewhere");
    assert_eq!(
        revoked("DropboxOauth2", bearer("POST"), moved).await,
        Err(TokenError::Status(307))
    );
}

#[tokio::test]
async fn a_vendors_dialect_shapes_the_request() {
    let world = World::new().await;
    let tokens = ResponseTemplate::new(200).set_body_json(json!({"access_token": "long"}));
    let json_body = json!({
        "grant_type": "authorization_code", "code": "code", "redirect_uri": "https://account.example/cb",
    });
    for expected in [
        Mock::given(header("content-type", "application/json")).and(body_json(json_body)),
        Mock::given(body_string(
            "grant_type=fb_exchange_token&fb_exchange_token=short",
        )),
    ] {
        expected
            .respond_with(tokens.clone())
            .expect(1)
            .mount(&world.server)
            .await;
    }
    let url = world.url("/token");
    let basic = ClientAuthentication::Basic("secret".into());
    let at = |name: &str| TokenEndpoint {
        client: &world.client,
        url: &url,
        client_id: "client",
        authentication: &basic,
        dialect: &vendor(name).expect("a vendor").dialect,
    };
    let exchange = CodeExchange {
        code: &"code".into(),
        redirect_uri: "https://account.example/cb",
        verifier: None,
        resources: &[],
    };
    at("NotionOauth2").exchange_code(&exchange).await.expect("tokens");
    let refresh = Refresh {
        refresh_token: &"short".into(),
        scopes: None,
        resources: &[],
    };
    let renewed = at("FacebookOauth2").refresh(&refresh).await.expect("tokens");
    assert_eq!(
        renewed.refresh_token.expect("the token itself").expose_secret(),
        "long"
    );
}
