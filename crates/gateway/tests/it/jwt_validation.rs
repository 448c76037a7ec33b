//! The `jwt-validation` action, with tokens that another library has made.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::support::START;
use crate::support::program::{Python, exchange, in_front_of};

#[derive(Deserialize)]
struct Issuer {
    port: u16,
    tokens: BTreeMap<String, String>,
}

#[tokio::test]
async fn programs_come_in_with_a_token_and_with_nothing_less() {
    let mut program = Python::start("jwt_issuer.py", &[&START.to_string()]);
    let issuer: Issuer = serde_json::from_str(&program.line().await).expect("JSON");
    let rules = format!(
        r#"rules = [{{ priority = 1, conditions = {{ path_pattern = ["/api/*"] }}, actions = [
             {{ type = "jwt-validation", issuer = "https://issuer.example", jwks_endpoint = "http://127.0.0.1:{port}/keys",
                additional_claims = [
                  {{ name = "client_id", format = "single-string", values = ["batch"] }},
                  {{ name = "scope", format = "space-separated-values", values = ["write"] }} ] }},
             {{ type = "forward", target_group = "agent" }} ] }}]"#,
        port = issuer.port
    );
    let (mut system, _) = in_front_of(vec![], &rules).await;
    let mut config = system.config();
    config.outbound_allow.push(
        format!("127.0.0.1:{}", issuer.port)
            .parse()
            .expect("host and port"),
    );
    system.reload(config).await.expect("a good configuration");
    let port = system.serve_listener("plain").await;
    let ask = async |authorization: &str| {
        let request =
            format!("GET /api/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{authorization}\r\n");
        exchange(port, request).await
    };
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");

    let good = &issuer.tokens["good"];
    let answer = ask(&bearer(good)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains(good.as_str()), "the token is passed on: {answer}");
    assert!(!answer.contains("x-amzn-oidc"), "nobody has logged in: {answer}");
    for (name, token) in issuer.tokens.iter().filter(|(name, _)| *name != "good") {
        let answer = ask(&bearer(token)).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{name}: {answer}");
        assert!(
            answer.contains("www-authenticate: Bearer\r\n") && !answer.contains("batch"),
            "{name}: {answer}"
        );
    }
    for authorization in [
        String::new(),
        format!("Authorization: Basic {good}\r\n"),
        format!("Authorization: {good}\r\n"),
        "Authorization: Bearer \r\n".to_owned(),
        "Authorization: Bearer a.b.c\r\n".to_owned(),
        bearer(good).repeat(2),
    ] {
        let answer = ask(&authorization).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{authorization:?}: {answer}");
    }

    // A new key is fetched when its first token comes; the old one is then worth nothing.
    program.tell("rotate").await;
    let rotated = program.line().await;
    // The key set is not asked for again at once, however many unknown keys come.
    system.clock.advance(Duration::from_mins(2));
    let answer = ask(&bearer(&rotated)).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let answer = ask(&bearer(good)).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    // An issuer whose keys cannot be had lets nobody in.
    drop(program);
    system.clock.advance(Duration::from_hours(24));
    let answer = ask(&bearer(&rotated)).await;
    assert!(!answer.contains(" 200 "), "{answer}");
}
