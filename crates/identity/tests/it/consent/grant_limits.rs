//! Grants that end by age, disuse or a date of the operator's.

use std::time::Duration;

use serde_json::{Value, json};

use super::vendor::Next;
use super::{Ask, System};

const DAY: Duration = Duration::from_hours(24);

/// Waits until the one grant has ended by a limit, which is looked for in the background.
async fn ended(system: &System) -> Value {
    for _ in 0..200 {
        let grants = system.grants().await;
        if grants[0]["state"] != "ACTIVE" {
            return grants[0].clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the grant did not end: {:?}", system.grants().await);
}

#[tokio::test]
async fn a_grant_ends_at_the_first_limit_that_it_reaches() {
    for (limits, days, reason) in [
        (json!({"max_age_days": 30, "unused_days": 90}), 31, "max_age"),
        (json!({"max_age_days": 365, "unused_days": 90}), 91, "unused"),
    ] {
        let system = System::start_with(json!({ "grant_limits": limits })).await;
        let (alice, agent) = (system.person("alice"), system.workload("agent"));
        system.vendor.will(Next::Tokens {
            expires_in: 1_000_000_000,
        });
        alice.connects(agent.asks_for_token(&alice).await.link()).await;
        let wat = agent.wat(&alice).await;
        assert!(agent.asks(&wat, &Ask::default()).await.token().is_some());
        system.clock.advance(DAY * (days - 2));
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_eq!(system.grants().await[0]["state"], "ACTIVE", "{reason}: not yet");
        system.clock.advance(DAY * 2);
        let grant = ended(&system).await;
        assert_eq!(grant["reason"], reason, "{grant}");
        let wat = agent.wat(&alice).await;
        let answer = agent.asks(&wat, &Ask::default()).await;
        assert_eq!(
            (answer.token(), answer.session_status()),
            (None, "IN_PROGRESS"),
            "{reason}"
        );
    }
}
