//! `DescribeHealth`: how the identity service stands, as the replica that answers sees it.

use serde::{Deserialize, Serialize};

use crate::time::EpochSeconds;
use crate::validate::{Checker, Validate};

operation! {
    /// How the identity service stands, as the replica that answers sees it.
    DescribeHealth: "countersign" "/countersign/DescribeHealth" => 200
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Input {}

/// The response body. Counts end at 10,000.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// `sqlite` or `postgres`.
    pub database: String,
    /// Milliseconds that the database took to answer.
    pub database_ms: f64,
    /// Whether changes of other replicas arrive within a second.
    pub change_feed_fresh: bool,
    /// Whether the account's keys can be read.
    pub keys_readable: bool,
    /// How far the evidence is anchored.
    pub audit: AuditHealth,
    /// How the account's grants are.
    pub grants: GrantHealth,
    /// What is still to be withdrawn at services.
    pub revocations: RevocationHealth,
    /// The gateways that may ask who is stopped.
    pub gateways: Vec<GatewayHealth>,
    /// Who called last, and from where; at most 20.
    pub callers: Vec<CallerHealth>,
}

/// How far the evidence is anchored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditHealth {
    /// The number of the last checkpoint; 0 before the first.
    pub checkpoint: i64,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_time: Option<EpochSeconds>,
    /// Records that no checkpoint covers yet.
    pub unanchored_records: i64,
    /// Seconds since the first of them was made.
    pub anchor_lag_seconds: f64,
}

/// How the account's grants are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GrantHealth {
    /// The person has to consent again before a token is given.
    pub needs_consent: i64,
    /// A refresh was sent whose answer never came.
    pub outcome_unknown: i64,
    /// They give tokens still, and their last refresh failed.
    pub failing: i64,
    /// They cannot be refreshed, and their token ends within a day or has ended.
    pub ending: i64,
}

/// What is still to be withdrawn at services.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RevocationHealth {
    /// To be tried, for the first time or again.
    pub pending: i64,
    /// Since when the oldest of them waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<EpochSeconds>,
    /// Given up within the last 30 days.
    pub failed: i64,
}

/// A gateway.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayHealth {
    /// The issuer of its user tokens.
    pub issuer: String,
    /// Whether it is configured to ask for the list of stops.
    pub follows_stops: bool,
    /// When it last asked this replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_asked_time: Option<EpochSeconds>,
}

/// A caller of the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallerHealth {
    /// The principal.
    pub principal_name: String,
    /// Its network address; of IPv6 the first 64 bits.
    pub address: String,
    /// When it first came from there.
    pub first_seen_time: EpochSeconds,
    /// When it last did, to about a minute.
    pub last_seen_time: EpochSeconds,
}

impl Validate for Input {
    fn validate(&self, _: &mut Checker) {}
}
