use std::time::Duration;

use countersign_audit::tail::{Filter, list};
use countersign_audit::{Entry, Outcome};
use countersign_crypto::UserKey;

use crate::fixture::fixtures;

/// D15: strangers cannot fill the disk.
#[tokio::test]
async fn ten_refusals_of_a_stranger_a_minute_and_one_summary() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        let refusal = || {
            Entry::new("GetResourceOauth2Token", Outcome::Refused)
                .with_reason("signature_mismatch")
                .with_person(UserKey::id("a name the stranger made up"))
                .with_personal("userId", "a name the stranger made up")
        };
        for _ in 0..500 {
            recorder.record_unauthenticated_refusal("192.0.2.66", refusal());
        }
        fixture.clock.advance(Duration::from_mins(1));
        recorder.record_unauthenticated_refusal("192.0.2.66", refusal());
        recorder.close().await.expect("closes");

        let refused = Filter {
            outcome: Some("refused".to_owned()),
            ..Filter::default()
        };
        let records = list(fixture.pool(), &refused, None, 1000)
            .await
            .expect("lists")
            .records;
        let summaries: Vec<_> = records
            .iter()
            .filter(|record| record.action == "SummarizeRefusals")
            .collect();
        assert_eq!(
            records.len(),
            12,
            "{}: ten, a summary, and one of the next minute",
            fixture.db.name
        );
        assert_eq!(summaries.len(), 1);
        assert_eq!(summaries[0].detail["count"], 490);
        assert_eq!(summaries[0].reason.as_deref(), Some("signature_mismatch"));
        assert!(
            records
                .iter()
                .all(|record| record.source.as_deref() == Some("192.0.2.66"))
        );
        assert!(
            records.iter().all(|record| record.person.is_none()),
            "an unproven name is not evidence"
        );
        assert!(fixture.verify().await.ok, "{}", fixture.db.name);
    }
}
