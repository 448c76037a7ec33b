//! What a login brought, and how it is written into a sealed record.

use countersign_crypto::{ExposeSecret, SecretString, Timestamp, UserKey, sha256_parts};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

/// What a login at the identity provider brought.
#[derive(Debug)]
pub(crate) struct Login {
    /// The application that was logged in to; empty on the app and account origins.
    pub(crate) application: String,
    /// Issuer of the identity provider.
    pub(crate) issuer: String,
    /// Its subject.
    pub(crate) subject: String,
    /// The provider's own session (`sid` of the ID token), which its logout names.
    pub(crate) idp_sid: Option<String>,
    /// When the person authenticated there.
    pub(crate) auth_time: Timestamp,
    /// Userinfo claims.
    pub(crate) claims: Map<String, Value>,
    /// Access token for the provider's userinfo.
    pub(crate) access_token: SecretString,
    /// When the access token ends and the claims are to be refreshed; `None` where the provider does not
    /// say.
    pub(crate) access_expires_at: Option<Timestamp>,
    /// For refreshing; without one the claims stay as they are until the session ends.
    pub(crate) refresh_token: Option<SecretString>,
    /// Kept for the hint of RP-initiated logout.
    pub(crate) id_token: SecretString,
}

/// A login as it is sealed. Members that later versions added have defaults.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(default)]
    application: String,
    issuer: String,
    subject: String,
    #[serde(default)]
    idp_sid: Option<String>,
    auth_time: i64,
    claims: Map<String, Value>,
    access_token: String,
    #[serde(default)]
    access_expires_at: Option<i64>,
    #[serde(default)]
    refresh_token: Option<String>,
    id_token: String,
}

impl Login {
    /// Who this is, in the audit trail and everywhere else.
    pub(crate) fn user_key(&self) -> UserKey {
        UserKey::jwt(&self.issuer, &self.subject)
    }

    /// The provider's session, as rows are found by it.
    pub(crate) fn idp_session(&self) -> Option<String> {
        self.idp_sid.as_deref().map(|sid| idp_session(&self.issuer, sid))
    }

    /// Whether the claims are to be refreshed before they are used again: as on an ALB, when the access
    /// token has ended.
    pub(crate) fn is_stale(&self, now: Timestamp) -> bool {
        self.refresh_token.is_some() && self.access_expires_at.is_some_and(|end| now >= end)
    }

    /// The same, to be refreshed by another token.
    pub(super) fn with_refresh_token(&self, refresh_token: SecretString) -> Self {
        Self {
            application: self.application.clone(),
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            idp_sid: self.idp_sid.clone(),
            auth_time: self.auth_time,
            claims: self.claims.clone(),
            access_token: self.access_token.clone(),
            access_expires_at: self.access_expires_at,
            refresh_token: Some(refresh_token),
            id_token: self.id_token.clone(),
        }
    }

    pub(super) fn to_record(&self) -> Zeroizing<Vec<u8>> {
        let record = Record {
            application: self.application.clone(),
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            idp_sid: self.idp_sid.clone(),
            auth_time: self.auth_time.as_secs(),
            claims: self.claims.clone(),
            access_token: self.access_token.expose_secret().to_owned(),
            access_expires_at: self.access_expires_at.map(Timestamp::as_secs),
            refresh_token: self
                .refresh_token
                .as_ref()
                .map(|token| token.expose_secret().to_owned()),
            id_token: self.id_token.expose_secret().to_owned(),
        };
        Zeroizing::new(serde_json::to_vec(&record).expect("text and JSON values serialise"))
    }

    pub(super) fn from_record(bytes: &[u8]) -> Option<Self> {
        let record: Record = serde_json::from_slice(bytes).ok()?;
        Some(Self {
            application: record.application,
            issuer: record.issuer,
            subject: record.subject,
            idp_sid: record.idp_sid,
            auth_time: Timestamp::from_secs(record.auth_time),
            claims: record.claims,
            access_token: record.access_token.into(),
            access_expires_at: record.access_expires_at.map(Timestamp::from_secs),
            refresh_token: record.refresh_token.map(SecretString::from),
            id_token: record.id_token.into(),
        })
    }
}

/// The stored name of a provider's session.
pub(crate) fn idp_session(issuer: &str, sid: &str) -> String {
    hex::encode(sha256_parts(&[issuer.as_bytes(), sid.as_bytes()]))
}
