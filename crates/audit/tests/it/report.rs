use std::sync::Arc;
use std::time::Duration;

use countersign_audit::report::{Account, Query, Release, Report, Validity, report};
use countersign_audit::{Entry, Outcome, PersonKeys, Recorder, forget};
use countersign_crypto::{Timestamp, UserKey};

use crate::fixture::{Fixture, START, fixtures};

fn alice() -> UserKey {
    UserKey::jwt("https://idp.example", "alice")
}

fn release(grant: &str, expires: i64) -> Entry {
    Entry::new("GetResourceOauth2Token", Outcome::Done)
        .with_workload("dev-agent")
        .with_provider("ledgerline")
        .with_grant(grant)
        .with_session(format!("session-{grant}"))
        .with_person(alice())
        .with_detail("flow", "USER_FEDERATION")
        .with_detail("released", true)
        .with_detail("scopes", serde_json::json!(["issues:read", "issues:write"]))
        .with_detail("expires", expires)
}

/// A day: three grants of alice's, one revoked at the service, one whose revocation failed, one alive; an agent's own
/// token, an API key, and what must not be in any report.
async fn a_day(fixture: &Fixture, recorder: &Recorder) {
    let later = fixture.clock_now().as_secs() + 7200;
    let write = async |entry: Entry| {
        fixture.clock.advance(Duration::from_secs(1));
        recorder.record(entry).await.expect("records");
    };
    for (grant, name) in [
        ("g-revoked", "=alice"),
        ("g-failed", "alice"),
        ("g-alive", "alice"),
    ] {
        write(
            Entry::new("CompleteResourceTokenAuth", Outcome::Done)
                .with_grant(grant)
                .with_person(alice())
                .with_personal("account_id", "1001")
                .with_personal("account_name", name),
        )
        .await;
        write(release(grant, later)).await;
    }
    let m2m = Entry::new("GetResourceOauth2Token", Outcome::Done)
        .with_workload("robot")
        .with_provider("ledgerline")
        .with_detail("flow", "M2M")
        .with_detail("released", true)
        .with_detail("scopes", serde_json::json!(["issues:read"]))
        .with_detail("expires", fixture.clock_now().as_secs() + 10);
    write(m2m).await;
    write(
        Entry::new("GetResourceApiKey", Outcome::Done)
            .with_workload("robot")
            .with_provider("weather")
            .with_detail("released", true),
    )
    .await;
    // An answer with a consent link, and a refusal: nothing left.
    write(
        Entry::new("GetResourceOauth2Token", Outcome::Done)
            .with_workload("dev-agent")
            .with_session("s"),
    )
    .await;
    write(Entry::new("GetResourceOauth2Token", Outcome::Refused).with_reason("user_stopped")).await;
    write(Entry::new("RevokeAtProvider", Outcome::Done).with_grant("g-revoked")).await;
    write(Entry::new("RevokeGrant", Outcome::Done).with_grant("g-failed")).await;
    write(
        Entry::new("RevokeAtProvider", Outcome::Failed)
            .with_grant("g-failed")
            .with_reason("unsupported"),
    )
    .await;
    // Many uses and refreshes later the revocation is still found, and whose account it was.
    for _ in 0..230 {
        recorder.record(release("g-alive", later)).await.expect("records");
        let refresh = Entry::new("RefreshGrant", Outcome::Done).with_grant("g-alive");
        recorder.record(refresh).await.expect("records");
    }
    fixture.clock.advance(Duration::from_mins(1));
}

fn by_grant<'a>(report: &'a Report, grant: &str) -> &'a Release {
    let found = report
        .releases
        .iter()
        .find(|release| release.grant.as_deref() == Some(grant));
    found.expect("it was released")
}

#[tokio::test]
async fn a_report_says_what_was_released_and_what_became_of_it() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        a_day(&fixture, &recorder).await;
        let keys = PersonKeys::new(fixture.pool(), Arc::clone(&fixture.persons));
        let now = fixture.clock_now();
        let asked = |fill: &dyn Fn(&mut Query)| {
            let mut query = Query::between(START, now);
            fill(&mut query);
            query
        };
        let of = async |query: Query| {
            report(fixture.pool(), Some(&keys), query, now)
                .await
                .expect("reports")
        };

        let all = of(asked(&|_| ())).await;
        assert_eq!(
            all.releases.len(),
            3 + 230 + 2,
            "{}: no more and no less",
            fixture.db.name
        );
        assert!(!all.truncated);
        assert!(all.releases.is_sorted_by_key(|release| release.at));
        let revoked = by_grant(&all, "g-revoked");
        assert!(
            matches!(revoked.validity, Validity::Revoked { .. }),
            "{:?}",
            revoked.validity
        );
        assert_eq!(revoked.scopes, ["issues:read", "issues:write"]);
        let account = Account::Known {
            id: "1001".to_owned(),
            name: Some("=alice".to_owned()),
        };
        assert_eq!(revoked.account, account);
        assert!(matches!(by_grant(&all, "g-alive").account, Account::Known { .. }));
        let failed = by_grant(&all, "g-failed");
        assert!(
            matches!(failed.validity, Validity::Valid { .. }),
            "the service did not take it back"
        );
        let revocation = failed.revocation.as_ref().expect("it was tried");
        assert_eq!(
            (revocation.outcome.as_str(), revocation.reason.as_deref()),
            ("failed", Some("unsupported"))
        );
        assert_eq!(by_grant(&all, "g-alive").revocation, None);
        let robot = of(asked(&|query| query.workload = Some("robot".to_owned()))).await;
        assert_eq!(robot.releases.len(), 2);
        assert!(matches!(robot.releases[0].validity, Validity::Ended { .. }));
        assert_eq!(
            robot.releases[1].validity,
            Validity::Unknown,
            "nobody says how long a key is good"
        );
        assert_eq!(robot.still_valid, 1);
        assert_eq!(
            of(asked(&|query| query.provider = Some("weather".to_owned())))
                .await
                .releases
                .len(),
            1
        );
        assert_eq!(
            of(asked(&|query| query.grant = Some("g-failed".to_owned())))
                .await
                .releases
                .len(),
            1
        );
        let person = keys
            .pseudonym(&alice())
            .await
            .expect("reads")
            .expect("she is recorded");
        let mut hers = asked(&|query| query.user = Some("alice".to_owned()));
        assert!(
            of(hers.clone()).await.releases.is_empty(),
            "nobody of that name is recorded"
        );
        hers.persons = vec![person];
        assert_eq!(of(hers).await.releases.len(), 233);
        assert!(of(Query::between(START, START)).await.releases.is_empty());
        let few = of(asked(&|query| query.limit = 10)).await;
        assert_eq!((few.releases.len(), few.truncated), (10, true));

        let sealed = report(fixture.pool(), None, asked(&|_| ()), now)
            .await
            .expect("reports");
        assert_eq!(by_grant(&sealed, "g-revoked").account, Account::Sealed);
        forget(fixture.pool(), &fixture.persons, &alice(), now)
            .await
            .expect("forgets");
        let forgotten = of(asked(&|_| ())).await;
        assert_eq!(by_grant(&forgotten, "g-revoked").account, Account::Forgotten);
        assert_eq!(forgotten.releases.len(), all.releases.len(), "the records stay");
        recorder.close().await.expect("closes");
        assert!(fixture.verify().await.ok, "{}: and verify", fixture.db.name);
    }
}

#[tokio::test]
async fn spreadsheets_and_pages_of_a_report_carry_nothing_that_acts() {
    let fixture = Fixture::new_sqlite().await;
    let recorder = fixture.recorder().await;
    a_day(&fixture, &recorder).await;
    recorder
        .record(
            Entry::new("GetResourceApiKey", Outcome::Done)
                .with_workload("<script>alert(1)</script>\r\n\u{202e}")
                .with_provider("a\",=b")
                .with_detail("released", true),
        )
        .await
        .expect("records");
    let keys = PersonKeys::new(fixture.pool(), Arc::clone(&fixture.persons));
    let now = Timestamp::from_secs(fixture.clock_now().as_secs() + 1);
    let found = report(fixture.pool(), Some(&keys), Query::between(START, now), now)
        .await
        .expect("reports");
    let csv = found.csv();
    assert_eq!(
        csv.matches("\r\n").count(),
        found.releases.len() + 1,
        "a line a release"
    );
    assert!(csv.contains("\"'=alice\""), "a formula is text");
    assert!(csv.contains("\"a\"\",=b\""), "RFC 4180");
    let page = found.html().expect("renders");
    assert!(
        page.starts_with("<!doctype html>") && !page.contains("<script"),
        "{page}"
    );
    assert!(!page.contains('\u{202e}') && !csv.contains('\u{202e}'));
    for word in [
        "g-revoked",
        "=alice (1001)",
        "issues:read issues:write",
        "RevokeAtProvider: failed (unsupported)",
    ] {
        assert!(page.contains(word), "{word}");
    }
}
