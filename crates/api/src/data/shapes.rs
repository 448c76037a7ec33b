//! Shapes that several operations of the data plane share.

use serde::{Deserialize, Serialize};

use crate::sensitive::Sensitive;
use crate::validate::{Checker, pattern};

/// How the resource token is obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Oauth2Flow {
    /// Authorization code, with the person's consent.
    #[default]
    #[serde(rename = "USER_FEDERATION")]
    UserFederation,
    /// Client credentials.
    #[serde(rename = "M2M")]
    M2m,
    /// Exchange of the person's own token (RFC 8693 or RFC 7523).
    #[serde(rename = "ON_BEHALF_OF_TOKEN_EXCHANGE")]
    OnBehalfOfTokenExchange,
}

impl Oauth2Flow {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserFederation => "USER_FEDERATION",
            Self::M2m => "M2M",
            Self::OnBehalfOfTokenExchange => "ON_BEHALF_OF_TOKEN_EXCHANGE",
        }
    }
}

/// How far an authorization session is. Success has no word of its own: the access token says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SessionStatus {
    /// Not decided yet.
    InProgress,
    /// Denied, failed, expired, rejected or superseded.
    Failed,
}

union! {
    /// Who the person is: the artefact by which the workload access token was minted.
    UserIdentifier {
        /// A JWT about the person.
        "userToken" => UserToken(Sensitive),
        /// The caller's own name for the person.
        "userId" => UserId(String),
    }
}

impl Default for UserIdentifier {
    fn default() -> Self {
        Self::UserId(String::new())
    }
}

impl UserIdentifier {
    /// Checks the member that is set.
    pub(crate) fn validate(&self, check: &mut Checker) {
        match self {
            Self::UserToken(token) => user_token(check, "userToken", token),
            Self::UserId(id) => user_id(check, "userId", id),
        }
    }
}

/// `WorkloadIdentityNameType`.
pub(crate) fn workload_name(check: &mut Checker, member: &str, name: &str) {
    check.text(member, name, 3..=255, &pattern::WORKLOAD_NAME);
}

/// `CredentialProviderName`.
pub(crate) fn provider_name(check: &mut Checker, member: &str, name: &str) {
    check.text(member, name, 1..=128, &pattern::PROVIDER_NAME);
}

/// `WorkloadIdentityTokenType`.
pub(crate) fn workload_access_token(check: &mut Checker, member: &str, token: &Sensitive) {
    check.length(member, token.expose(), 1..=131_072);
}

/// Longest user token, bytes: what the verifier takes. The model has 131,072 characters.
pub const MAX_USER_TOKEN_BYTES: usize = 16_384;

/// `UserTokenType`.
pub(crate) fn user_token(check: &mut Checker, member: &str, token: &Sensitive) {
    let token = token.expose();
    if token.len() > MAX_USER_TOKEN_BYTES {
        check.fail(member, format!("must have at most {MAX_USER_TOKEN_BYTES} bytes"));
    } else {
        check.text(member, token, 1..=MAX_USER_TOKEN_BYTES, &pattern::USER_TOKEN);
    }
}

/// `UserIdType`. Control characters are ours to refuse: the id stands on pages and in audit records.
pub(crate) fn user_id(check: &mut Checker, member: &str, id: &str) {
    check.text(member, id, 1..=128, &pattern::PRINTABLE);
}

/// `RequestUri`.
pub(crate) fn request_uri(check: &mut Checker, member: &str, uri: &str) {
    check.text(member, uri, 1..=1024, &pattern::REQUEST_URI);
}
