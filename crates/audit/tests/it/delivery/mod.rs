//! Evidence on its way to places that other people made.

mod anchors;
mod exports;
mod forms;
pub(crate) mod parts;
mod restored;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign_audit::delivery::{Deliveries, DeliveryParts, DeliveryStatus, EvidenceConfig, statuses};
use countersign_audit::tail::{Filter, list};
use serde_json::json;

use crate::fixture::Fixture;

impl Fixture {
    /// Starts what a configuration says.
    pub(crate) async fn deliveries(&self, config: serde_json::Value) -> Deliveries {
        let config: EvidenceConfig = serde_json::from_value(config).expect("well-formed");
        let parts = DeliveryParts {
            recorder: None,
            pool: self.pool().clone(),
            clock: self.clock.clone(),
            random: Arc::clone(&self.random),
            role: "identity",
        };
        Deliveries::start(&config, parts).await.expect("starts")
    }

    /// Ids of all records.
    pub(crate) async fn ids(&self) -> BTreeSet<String> {
        let records = list(self.pool(), &Filter::default(), None, 1000)
            .await
            .expect("lists");
        records
            .records
            .iter()
            .map(|record| record.id.to_string())
            .collect()
    }

    pub(crate) async fn status(&self, name: &str) -> DeliveryStatus {
        for _ in 0..600 {
            let mut found = statuses(self.pool()).await.expect("reads").into_iter();
            if let Some(status) = found.find(|status| status.name == name) {
                return status;
            }
            // It has not been begun yet.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{name} was not begun within 30 s");
    }
}

/// Waits until something holds; says what did not.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: not within 30 s");
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_by_name() {
    let check = |config: serde_json::Value| {
        let config = serde_json::from_value::<EvidenceConfig>(config).map_err(|error| error.to_string())?;
        config.check().map_err(|error| error.to_string())
    };
    let s3 = |members: serde_json::Value| {
        let mut s3 = json!({"bucket": "evidence", "region": "us-east-1"});
        for (name, value) in members.as_object().expect("members") {
            s3[name] = value.clone();
        }
        json!({"anchors": [{"name": "worm", "to": {"s3": s3}}]})
    };
    let webhook = |url: &str, secret: &str| json!({"exports": [{"name": "siem", "to": {"webhook": {"url": url, "secret": secret}}}]});
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    check(s3(
        json!({"prefix": "a/b-", "lock": {"mode": "compliance", "days": 365}}),
    ))
    .expect("usable");
    check(webhook("https://siem.example/in", secret)).expect("usable");
    for (config, key) in [
        (s3(json!({"bucket": "Evidence"})), "anchors[0].to.s3.bucket"),
        (s3(json!({"prefix": "../x"})), "anchors[0].to.s3.prefix"),
        (s3(json!({"access_key_id": "x"})), "anchors[0].to.s3"),
        (
            s3(json!({"endpoint": "http://h/path"})),
            "anchors[0].to.s3.endpoint",
        ),
        (
            s3(json!({"lock": {"mode": "governance", "days": 0}})),
            "lock.days",
        ),
        (s3(json!({"lock": {"mode": "forever", "days": 1}})), "forever"),
        (s3(json!({"colour": "red"})), "colour"),
        (
            webhook("https://user@siem.example/in", secret),
            "exports[0].to.webhook.url",
        ),
        (webhook("ftp://siem.example", secret), "exports[0].to.webhook.url"),
        (
            webhook("https://siem.example/in", "short"),
            "exports[0].to.webhook.secret",
        ),
        (
            json!({"anchors": [{"name": "a b", "to": {"file": "/x"}}]}),
            "anchors[0].name",
        ),
        (
            json!({"anchors": [{"name": "a", "to": {"file": "/x"}}, {"name": "a", "to": {"file": "/y"}}]}),
            "anchors[1].name",
        ),
        (
            json!({"anchors": [{"name": "a", "to": {"syslog": {"address": "log.example"}}}]}),
            "syslog.address",
        ),
        (
            json!({"exports": [{"name": "a", "batch": 0, "to": {"directory": "/x"}}]}),
            "exports[0].batch",
        ),
    ] {
        let error = check(config).expect_err(key);
        assert!(error.contains(key), "{key}: {error}");
    }
}

/// A batch whose name is there counts as taken, and the name says nothing of the export.
#[test]
fn two_exports_to_one_place_are_refused() {
    let check = |places: [serde_json::Value; 2]| {
        let [first, second] = places;
        let config = json!({"exports": [
            {"name": "a", "format": "ocsf", "to": first}, {"name": "b", "format": "cloudtrail", "to": second},
        ]});
        let config: EvidenceConfig = serde_json::from_value(config).expect("well-formed");
        config.check().map_err(|error| error.to_string())
    };
    let directory = |path: &str| json!({"directory": path});
    let s3 = |endpoint: Option<&str>, bucket: &str, prefix: &str, region: &str| json!({"s3": {"endpoint": endpoint, "bucket": bucket, "prefix": prefix, "region": region}});
    let (minio, other) = (
        Some("http://minio.example:9000"),
        Some("http://other.example:9000"),
    );
    for (places, key) in [
        ([directory("/evidence"), directory("/evidence")], "directory"),
        ([directory("/evidence"), directory("/./evidence//")], "directory"),
        (
            [
                s3(None, "records", "a/", "us-east-1"),
                s3(None, "records", "a/", "eu-west-1"),
            ],
            "s3",
        ),
        (
            [
                s3(minio, "records", "", "us-east-1"),
                s3(Some("http://minio.example:9000/"), "records", "./", "us-east-1"),
            ],
            "s3",
        ),
    ] {
        let rule = "is another export's place: give it a directory or prefix of its own";
        let expected = format!("evidence.exports[1].to.{key}: {rule}");
        assert_eq!(check(places.clone()), Err(expected), "{places:?}");
    }
    let syslog = json!({"syslog": {"address": "tcp://log.example:601"}});
    for places in [
        [directory("/evidence/a"), directory("/evidence/b")],
        [
            s3(minio, "records", "a/", "us-east-1"),
            s3(minio, "records", "b/", "us-east-1"),
        ],
        [
            s3(minio, "records", "", "us-east-1"),
            s3(other, "records", "", "us-east-1"),
        ],
        [
            s3(None, "records", "", "us-east-1"),
            s3(None, "records2", "", "us-east-1"),
        ],
        // A message says which export it is of.
        [syslog.clone(), syslog],
    ] {
        check(places.clone()).unwrap_or_else(|error| panic!("{places:?}: {error}"));
    }
    // What two anchors put at one place is the same.
    let anchors: EvidenceConfig = serde_json::from_value(json!({"anchors": [
        {"name": "a", "to": {"file": "/kept"}}, {"name": "b", "to": {"file": "/kept"}},
    ]}))
    .expect("well-formed");
    anchors.check().expect("usable");
}
