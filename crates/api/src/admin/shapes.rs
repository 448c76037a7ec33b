//! Shapes that several of our extension operations share.

use std::collections::BTreeMap;

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
    /// Another account than before was connected: the grant is stored and not served until the person has confirmed it.
    Confirming,
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
    /// It does, once the refresh under way has its answer.
    Refreshing,
    /// A refresh was sent and its answer never came: whether the refresh token is spent is not known yet.
    OutcomeUnknown,
    /// The person has to consent again.
    NeedsConsent,
    /// It is of another account than before, and gives no token until the person has confirmed it.
    Unconfirmed,
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
    /// Why it gives none any more, or why its last refresh gave none: `invalid_grant`, `timeout`, `interrupted`, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
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
    /// How its withdrawal at the service stands, once it has ended with tokens to withdraw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<Revocation>,
}

/// The withdrawal of an ended grant's tokens at the service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revocation {
    /// How far it is.
    pub state: RevocationState,
    /// What the last attempt came to: `revoked`, `not_answered`, `not_offered`, `provider_deleted`, `provider_changed`,
    /// `no_token`, `vault_unreadable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often it was tried.
    pub attempts: i64,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<EpochSeconds>,
    /// When it last changed.
    pub last_updated_time: EpochSeconds,
}

/// How far a revocation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RevocationState {
    /// It is to be tried, for the first time or again.
    Pending,
    /// The service withdrew the token.
    Done,
    /// It will not be tried again.
    Failed,
}

/// A caller of the API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Principal {
    /// Its name.
    pub principal_name: String,
    /// Its ARN: of a role if it has a trust policy, else of a user.
    pub principal_arn: String,
    /// When it was made.
    pub created_time: EpochSeconds,
    /// Its tags, `aws:PrincipalTag/*` to policies.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Who may assume it as a role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_policy: Option<TrustPolicy>,
    /// Whether its policy joins what is kept apart (design D6), because somebody said that this is meant.
    #[serde(default)]
    pub break_glass: bool,
}

/// Who may assume a principal as a role, by `AssumeRoleWithWebIdentity`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustPolicy {
    /// Any of them may; at most 20.
    pub trusted: Vec<TrustedToken>,
    /// Longest session in seconds, 900 to 43,200.
    #[serde(default = "max_session_duration")]
    pub max_session_duration: i64,
}

/// A kind of token that is trusted: all three must be as it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrustedToken {
    /// Its `iss`; one of the issuers that the operator has configured for workloads.
    pub issuer: String,
    /// Its `aud`, exactly.
    pub audience: String,
    /// Its `sub`, where `*` is any run of characters and `?` any one; more than wildcards alone.
    pub subject: String,
}

const fn max_session_duration() -> i64 {
    3600
}

/// An access key without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessKey {
    /// Its id.
    pub access_key_id: String,
    /// Whose it is.
    pub principal_name: String,
    /// Whether it signs.
    #[serde(default)]
    pub status: AccessKeyStatus,
    /// When it last signed a request, to about a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_time: Option<EpochSeconds>,
    /// When it was made.
    pub created_time: EpochSeconds,
}

/// Whether an access key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum AccessKeyStatus {
    /// It does.
    #[default]
    Active,
    /// It does not, until it is made active again.
    Inactive,
}

/// What a key of an account is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyPurpose {
    /// Tokens, client secrets and sessions in the token vault.
    #[default]
    Vault,
    /// Secrets of access keys, and temporary credentials.
    Credential,
    /// Workload access tokens.
    WorkloadAccessToken,
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum KeyState {
    /// It seals and opens.
    Primary,
    /// It opens what it sealed; or it is new, and seals in some seconds.
    Enabled,
    /// It is not used any more.
    Retired,
}

/// A key of an account, without the key itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    /// UUID.
    pub key_id: String,
    /// What it is for.
    pub purpose: KeyPurpose,
    /// Counts up at each rotation, from 1.
    pub version: i64,
    /// Where it is in its life.
    pub state: KeyState,
    /// The root key that wraps it: a file's fingerprint, or the ARN of a KMS key.
    pub root_key: String,
    /// Stored values that only this key opens, for a key that was replaced: at 0 it can be retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_values: Option<i64>,
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
    /// The ARN of who stopped it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_by: Option<String>,
}

/// An access token that has left the vault and has not expired.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveToken {
    /// The grant it belongs to; absent for what belongs to none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<String>,
    /// How the agent came by it; absent for an API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oauth2_flow: Option<Oauth2Flow>,
    /// The agent that has it.
    #[serde(default)]
    pub workload_name: String,
    /// The service that takes it.
    #[serde(default)]
    pub credential_provider_name: String,
    /// When it last left the vault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_released_time: Option<EpochSeconds>,
    /// When it expires; absent where the service did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<EpochSeconds>,
    /// The record of its release, where it was found by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_record_id: Option<String>,
}

/// Checks an identifier of ours.
pub(crate) fn id(check: &mut Checker, member: &str, id: &str) {
    check.text(member, id, 1..=128, &pattern::ID);
}

/// Checks a principal's name.
pub(crate) fn principal_name(check: &mut Checker, member: &str, name: &str) {
    check.text(member, name, 1..=64, &pattern::PRINCIPAL_NAME);
}

/// Checks a trust policy.
pub(crate) fn trust_policy(check: &mut Checker, trust: &TrustPolicy) {
    check.count("trusted", trust.trusted.len(), 0..=20);
    check.range("maxSessionDuration", trust.max_session_duration, 900..=43_200);
    check.each("trusted", &trust.trusted, |check, place, token| {
        check.nested(place, |check| {
            check.length("issuer", &token.issuer, 1..=2048);
            check.length("audience", &token.audience, 1..=1024);
            check.require(
                !token.audience.contains('*'),
                "audience",
                "is compared exactly: no wildcards",
            );
            check.length("subject", &token.subject, 1..=1024);
            let named = token.subject.chars().any(|char| !"*?".contains(char));
            check.require(
                named,
                "subject",
                "must say more than wildcards: any token of the issuer would do",
            );
        });
    });
}

/// Checks a principal's tags.
pub(crate) fn principal_tags(check: &mut Checker, tags: &BTreeMap<String, String>) {
    check.count("tags", tags.len(), 0..=50);
    for (key, value) in tags {
        check.length("tags", key, 1..=128);
        check.length("tags", value, 0..=256);
    }
}

/// Checks a person: published id, user key or the caller's own id.
pub(crate) fn user(check: &mut Checker, member: &str, user: &str) {
    user_id(check, member, user);
}

/// Checks the members by which a list is only of one person, workload identity or provider.
pub(crate) fn only(
    check: &mut Checker,
    of_user: Option<&str>,
    of_workload: Option<&str>,
    of_provider: Option<&str>,
) {
    if let Some(subject) = of_user {
        user(check, "user", subject);
    }
    if let Some(name) = of_workload {
        workload_name(check, "workloadName", name);
    }
    if let Some(name) = of_provider {
        provider_name(check, "credentialProviderName", name);
    }
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
