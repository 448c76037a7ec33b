//! Session tokens: what a caller with temporary credentials presents beside its signature.
//!
//! The token holds the session sealed under the account's credential key, the secret access key too, so that nothing
//! is stored for a session. It belongs to one access key id: beside another it does not open. The account stands
//! before it in clear, since the key to open it with depends on it.

use countersign_crypto::{Aad, ExposeSecret as _, Keyring, Random, SecretString, Timestamp};
use serde::{Deserialize, Serialize};

/// A session of a role.
#[derive(Debug, Clone)]
pub(crate) struct RoleSession {
    /// The role's internal id: one deleted and made again under its old name is another one.
    pub(crate) role_id: String,
    /// `RoleSessionName`.
    pub(crate) name: String,
    /// What its requests are signed with.
    pub(crate) secret: SecretString,
    /// The first second at which it is over.
    pub(crate) expires: Timestamp,
    /// Issuer, audience and subject of the token that it was made for: the role must trust it still.
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) subject: String,
}

/// The sealed content. Times are whole seconds.
#[derive(Serialize, Deserialize)]
struct Content {
    role: String,
    name: String,
    secret: String,
    expires: i64,
    issuer: String,
    audience: String,
    subject: String,
}

/// Seals `session` as the token that goes with `access_key_id`. The keyring is the one of purpose `Credential` of
/// `account`.
pub(crate) fn seal(
    keyring: &Keyring,
    random: &dyn Random,
    account: &str,
    access_key_id: &str,
    session: &RoleSession,
) -> SecretString {
    let content = Content {
        role: session.role_id.clone(),
        name: session.name.clone(),
        secret: session.secret.expose_secret().to_owned(),
        expires: session.expires.as_secs(),
        issuer: session.issuer.clone(),
        audience: session.audience.clone(),
        subject: session.subject.clone(),
    };
    let plaintext = zeroize::Zeroizing::new(serde_json::to_vec(&content).unwrap_or_default());
    drop(SecretString::from(content.secret));
    let sealed = keyring.seal_token(random, &aad(account, access_key_id), &plaintext);
    format!("{account}.{sealed}").into()
}

/// The account that a token says it is of, and its sealed part.
pub(crate) fn split(token: &str) -> Option<(&str, &str)> {
    token.split_once('.')
}

/// Opens the sealed part of a token; `None` if this service did not make it for this account and access key, or it was
/// changed since. Whether the session is over is for the caller to see.
pub(crate) fn open(
    keyring: &Keyring,
    account: &str,
    access_key_id: &str,
    sealed: &str,
) -> Option<RoleSession> {
    let plaintext = keyring.open_token(&aad(account, access_key_id), sealed).ok()?;
    let content: Content = serde_json::from_slice(plaintext.expose_secret()).ok()?;
    Some(RoleSession {
        role_id: content.role,
        name: content.name,
        secret: content.secret.into(),
        expires: Timestamp::from_secs(content.expires),
        issuer: content.issuer,
        audience: content.audience,
        subject: content.subject,
    })
}

fn aad(account: &str, access_key_id: &str) -> Aad {
    Aad::new(account, "role_session", access_key_id, "session_token")
}
