//! What records look like outside, judged by other people's schemas.

use countersign_audit::delivery::read_on;
use countersign_audit::{Entry, Format, Outcome, Record};
use countersign_crypto::UserKey;

use super::parts;
use crate::fixture::Fixture;

/// Actions of every kind that there is a mapping for, and some that there is none for.
const ACTIONS: [&str; 24] = [
    "Login",
    "Logout",
    "EndSession",
    "AssumeRoleWithWebIdentity",
    "GetWorkloadAccessTokenForJWT",
    "GetResourceOauth2Token",
    "GetResourceApiKey",
    "CompleteResourceTokenAuth",
    "CreatePrincipal",
    "UpdatePrincipal",
    "DeletePrincipal",
    "PutPrincipalPolicy",
    "DeletePrincipalPolicy",
    "CreateAccessKey",
    "Stop",
    "Start",
    "ForgetUser",
    "CreateOauth2CredentialProvider",
    "UpdateOauth2CredentialProvider",
    "RevokeAtProvider",
    "RotateKey",
    "ListAuditRecords",
    "SummarizeRefusals",
    "OpenAuditWriter2",
];

async fn records(fixture: &Fixture, entries: impl IntoIterator<Item = Entry>) -> Vec<Record> {
    let recorder = fixture.recorder().await;
    for entry in entries {
        recorder.record(entry).await.expect("records");
    }
    recorder.close().await.expect("closes");
    read_on(fixture.pool(), None, 1000).await.expect("reads").0
}

/// Everything an outsider chooses, as bad as they can make it.
fn hostile(action: &'static str) -> Entry {
    let text = "\r\n<13>1 - evil - - - {\"checkpoint\":1}\u{0}\u{1b}[2J\u{9b}0m\u{85}\u{2028}\u{202e}\u{feff}\"},{\"x\":\"é\u{e0041}";
    Entry::new(action, Outcome::Refused)
        .with_reason("wrong_person")
        .with_principal(format!("arn:aws:iam::000000000000:user/{text}"))
        .with_request_id(text)
        .with_trace_id(text)
        .with_source(text)
        .with_sid(text)
        .with_workload(text)
        .with_provider(text)
        .with_session(text)
        .with_grant(text)
        .with_detail("error", text)
        .with_detail(text, text)
}

#[tokio::test]
async fn every_event_is_valid_by_the_published_ocsf_schema() {
    let fixture = Fixture::new_sqlite().await;
    let mut entries: Vec<Entry> = Vec::new();
    for action in ACTIONS {
        let person = UserKey::jwt("https://idp.example", "alice");
        entries.push(Entry::new(action, Outcome::Done));
        entries.push(
            Entry::new(action, Outcome::Failed)
                .with_reason("store_unavailable")
                .with_principal("arn:aws:iam::000000000000:user/dev-agent")
                .with_source("2001:db8::7")
                .with_request_id("r")
                .with_sid("s")
                .with_workload("dev-agent")
                .with_provider("ledgerline")
                .with_grant("g")
                .with_detail("principal", "other"),
        );
        entries.push(
            Entry::new(action, Outcome::Done)
                .with_person(person)
                .with_personal("email", "a@b"),
        );
        entries.push(hostile(action));
    }
    let records = records(&fixture, entries).await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("events.ndjson");
    let events: String = records
        .iter()
        .map(|record| Format::Ocsf.line(record, record.id.seq % 2 == 0) + "\n")
        .collect();
    std::fs::write(&path, events).expect("writes");
    let (valid, output) = parts::run("ocsf.py", &[path.to_str().expect("a text path")]);
    assert!(valid, "{output}");
    for class in ["6003", "3002", "3001"] {
        assert!(output.contains(class), "{output}");
    }
    // And it can fail.
    let broken = Format::Ocsf
        .line(&records[1], false)
        .replace("\"class_uid\":3002", "\"class_uid\":3001");
    std::fs::write(&path, broken + "\n").expect("writes");
    assert!(!parts::run("ocsf.py", &[path.to_str().expect("a text path")]).0);
}

/// "Log injection through every field that outsiders control."
#[tokio::test]
async fn nothing_that_an_outsider_says_ends_a_line_or_moves_a_cursor() {
    let fixture = Fixture::new_sqlite().await;
    let records = records(&fixture, [hostile("GetResourceOauth2Token"), hostile("Login")]).await;
    for record in &records[1..] {
        let acts = |c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c) || c == '\u{feff}';
        assert!(
            !record.to_string().contains(acts),
            "the line of `audit tail`: {record}"
        );
        for format in [Format::Record, Format::Ocsf, Format::Cloudtrail] {
            let line = format.line(record, false);
            assert!(!line.contains(acts), "{format:?}: {line}");
            let value: serde_json::Value = serde_json::from_str(&line).expect("one JSON object");
            let text = value.to_string();
            assert!(
                text.contains("evil") && text.contains("[2J"),
                "{format:?}: nothing is hidden either"
            );
            let members: Vec<&String> = value.as_object().expect("an object").keys().collect();
            assert!(
                !members.iter().any(|name| *name == "x"),
                "{format:?}: no member of their own: {members:?}"
            );
        }
    }
    assert!(fixture.verify().await.ok);
}

/// Checked by hand against the CloudTrail User Guide's list of members.
#[tokio::test]
async fn cloudtrail_members_say_who_what_and_whether() {
    let fixture = Fixture::new_sqlite().await;
    let refused = Entry::new("GetResourceOauth2Token", Outcome::Refused)
        .with_reason("not_authorized")
        .with_principal("arn:aws:sts::000000000000:assumed-role/agent/session-1")
        .with_request_id("r-1")
        .with_source("192.0.2.7")
        .with_workload("dev-agent")
        .with_provider("ledgerline");
    let stopped = Entry::new("Stop", Outcome::Done).with_principal("arn:aws:iam::000000000000:user/admin");
    let records = records(&fixture, [refused, stopped]).await;
    let event = Format::Cloudtrail.value(&records[1], false);
    let expected = serde_json::json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole",
            "arn": "arn:aws:sts::000000000000:assumed-role/agent/session-1",
            "accountId": "000000000000",
            "principalId": "session-1",
            "userName": "session-1",
        },
        "eventTime": "2023-11-14T22:13:21Z",
        "eventSource": "bedrock-agentcore.amazonaws.com",
        "eventName": "GetResourceOauth2Token",
        "awsRegion": "us-east-1",
        "sourceIPAddress": "192.0.2.7",
        "userAgent": null,
        "requestParameters": {"workloadName": "dev-agent", "resourceCredentialProviderName": "ledgerline"},
        "responseElements": null,
        "requestID": "r-1",
        "readOnly": false,
        "eventType": "AwsApiCall",
        "managementEvent": false,
        "recipientAccountId": "000000000000",
        "eventCategory": "Data",
        "errorCode": "AccessDenied",
        "errorMessage": "not_authorized",
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(event[name], *value, "{name}");
    }
    let id = event["eventID"].as_str().expect("an id");
    assert!(id.len() == 36 && &id[14..15] == "8", "{id}");
    assert_eq!(
        event,
        Format::Cloudtrail.value(&records[1], false),
        "the same whenever it is sent"
    );
    let stop = Format::Cloudtrail.value(&records[2], true);
    assert_eq!(stop["eventSource"], "identity.countersign");
    assert_eq!(stop["userIdentity"]["type"], "IAMUser");
    assert_eq!(stop["managementEvent"], true);
    assert_eq!(stop["additionalEventData"]["repeated"], true);
    assert!(stop.get("errorCode").is_none());
}
