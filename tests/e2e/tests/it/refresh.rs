//! Ledgerline's access tokens live two minutes, and its refresh tokens rotate: what people never notice.

use e2e::{Person, System};
use url::Url;

#[tokio::test]
async fn an_expired_access_token_is_refreshed_without_asking() {
    // Two minutes is too long to wait here; the playground can issue shorter ones.
    let system = System::start_with(e2e::system::Options {
        arguments: vec!["--playground-token-lifetime".to_owned(), "3".to_owned()],
        ..Default::default()
    });
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("list my open issues", "s").await;
    let consent = events.until("consent").await;
    alice
        .consents(&Url::parse(consent.data["url"].as_str().expect("a link")).expect("a URL"))
        .await;
    events.answer().await;
    for round in 0..3 {
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        let mut events = alice.asks("list my open issues", &format!("round-{round}")).await;
        let answer = events.answer().await;
        assert!(answer.contains("ALICE-1"), "round {round}: {answer}");
    }
    let log: serde_json::Value = alice
        .browser
        .client()
        .get(system.ledgerline("/playground/token-requests"))
        .send()
        .await
        .expect("the playground answers")
        .json()
        .await
        .expect("JSON");
    let text = log.to_string();
    assert!(
        text.matches("refresh_token").count() >= 3,
        "each round refreshed: {text}"
    );
}
