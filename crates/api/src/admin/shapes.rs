//! Shapes that several of our extension operations share.

use serde::{Deserialize, Serialize};

use crate::data::{Oauth2Flow, provider_name, user_id, workload_name};
use crate::time::EpochSeconds;
use crate::validate::{Checker, pattern};

pub(crate) use crate::control::page;

/// Longest policy document, in characters of JSON.
pub(crate) const MAX_DOCUMENT: usize = 20_480;

/// The states of an authorization session (design chapter 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SessionState {
    /// Nobody has opened its URL yet.
    Created,
    /// A browser is on its way through the provider.
    Started,
    /// The provider has answered with a code; completion is awaited.
    CodeHeld,
    /// The code is being exchanged.
    Exchanging,
    /// The grant is stored.
    Completed,
    /// The person said no.
    Denied,
    /// The provider or the exchange failed.
    Failed,
    /// Its ten minutes are over.
    Expired,
    /// Somebody else tried to complete it.
    Rejected,
    /// A newer session took its place.
    Superseded,
}

/// Whether a grant gives tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GrantState {
    /// It does.
    Active,
    /// The person has to consent again.
    NeedsConsent,
    /// It was revoked.
    Revoked,
}

/// One person's consent for one agent at one service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Grant {
    /// Its id.
    pub grant_id: String,
    /// Its ARN.
    pub grant_arn: String,
    /// The agent.
    pub workload_name: String,
    /// The service.
    pub credential_provider_name: String,
    /// How tokens are obtained.
    pub oauth2_flow: Oauth2Flow,
    /// The person's user key, 64 hex digits.
    pub user_key: String,
    /// What was granted.
    pub scopes: Vec<String>,
    /// Whether it gives tokens.
    pub state: GrantState,
    /// The person's account at the service, by the service's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The same account's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// Whether there is a refresh token.
    pub refreshable: bool,
    /// When the person consented.
    pub created_time: EpochSeconds,
    /// When it last changed.
    pub last_updated_time: EpochSeconds,
    /// When a token was last read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_time: Option<EpochSeconds>,
    /// When the stored access token expires, as far as the service said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_expires_at: Option<EpochSeconds>,
}

/// A caller of the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    /// Its name.
    pub principal_name: String,
    /// Its ARN.
    pub principal_arn: String,
    /// When it was made.
    pub created_time: EpochSeconds,
}

/// An access key without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessKey {
    /// Its id.
    pub access_key_id: String,
    /// Whose it is.
    pub principal_name: String,
    /// When it was made.
    pub created_time: EpochSeconds,
}

/// What can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    /// A person.
    #[default]
    User,
    /// A workload identity.
    Workload,
    /// A credential provider.
    Provider,
    /// A caller of the API.
    Principal,
    /// The whole account.
    Account,
}

/// A stop in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// What kind of subject.
    pub subject_kind: SubjectKind,
    /// Which; a user by user key.
    pub subject: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub stopped_time: EpochSeconds,
}

/// An access token that has left the vault and has not expired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveToken {
    /// The grant it belongs to.
    pub grant_id: String,
    /// When it expires; absent where the service did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<EpochSeconds>,
}

/// Checks an identifier of ours.
pub(crate) fn id(check: &mut Checker, member: &str, id: &str) {
    check.text(member, id, 1..=128, &pattern::ID);
}

/// Checks a principal's name.
pub(crate) fn principal_name(check: &mut Checker, member: &str, name: &str) {
    check.text(member, name, 1..=64, &pattern::PRINCIPAL_NAME);
}

/// Checks a person: published id, user key or the caller's own id.
pub(crate) fn user(check: &mut Checker, member: &str, user: &str) {
    user_id(check, member, user);
}

/// Checks the subject of a stop.
pub(crate) fn subject(check: &mut Checker, kind: SubjectKind, subject: &str) {
    match kind {
        SubjectKind::User => user(check, "subject", subject),
        SubjectKind::Workload => workload_name(check, "subject", subject),
        SubjectKind::Provider => provider_name(check, "subject", subject),
        SubjectKind::Principal => principal_name(check, "subject", subject),
        SubjectKind::Account => {
            let digits = subject.len() == 12 && subject.bytes().all(|b| b.is_ascii_digit());
            check.require(digits, "subject", "must be an account id of 12 digits");
        }
    }
}
