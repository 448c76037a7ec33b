//! Workload access tokens (design D7): sealed, self-contained, good for an hour. Nothing is looked up to
//! open one (but for a JWT too long to travel inside, when it is exchanged), and nobody but this service can read or make one. What it names is checked again at each use:
//! the workload must still exist, and neither it nor the person may be stopped.

use std::time::Duration;

use countersign_api::Sensitive;
use countersign_crypto::{
    Aad, ExposeSecret as _, Keyring, OpenError, Random, SecretString, Timestamp, UserKey, uuid_v7,
};
use serde::{Deserialize, Serialize};

use crate::operation::OperationError;
use crate::state::State;
use crate::store::inbound_jwt;

/// How long one is good for. Pollers of the SDKs reuse one for ten minutes.
pub(crate) const LIFETIME: Duration = Duration::from_hours(1);
/// Longest inbound JWT that travels inside. A longer one waits in a sealed row, so that tokens stay short.
const MAX_INBOUND_JWT: usize = 8 * 1024;

/// An opened workload access token.
#[derive(Debug, Clone)]
pub(crate) struct WorkloadAccessToken {
    /// The workload's internal id: a workload deleted and made again under its old name is another one.
    pub(crate) workload_id: String,
    /// `None`: the agent alone.
    pub(crate) user: Option<WatUser>,
}

/// For whom an agent acts.
#[derive(Debug, Clone)]
pub(crate) struct WatUser {
    pub(crate) key: UserKey,
    /// The published user id of a person whom the start page can recognise (design D11).
    pub(crate) person: Option<String>,
    /// The browser session, where a gateway of ours said so.
    pub(crate) sid: Option<String>,
    /// The audience of the JWT that proved the person.
    pub(crate) audience: Option<String>,
    /// That JWT, for an on-behalf-of exchange.
    pub(crate) inbound_jwt: Option<InboundJwt>,
}

/// How a workload access token carries the JWT that proved its person.
#[derive(Debug, Clone)]
pub(crate) enum InboundJwt {
    /// Inside itself.
    Inside(SecretString),
    /// In the row of this id, which dies with it.
    Row(String),
}

/// Why a workload access token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WatError {
    /// Not made by this service for this account, or changed since.
    #[error("not a workload access token of this account")]
    NotOurs,
    /// Past its hour.
    #[error("the workload access token has expired")]
    Expired,
}

impl WatError {
    /// The word for the audit record.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::NotOurs => "wat_not_ours",
            Self::Expired => "wat_expired",
        }
    }
}

/// The sealed content. Times are whole seconds.
#[derive(Serialize, Deserialize)]
struct Content {
    workload: String,
    expires: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<UserKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    person: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt_row: Option<String>,
}

/// Seals a token for `workload_id` and `user`. The keyring is the one of purpose `WorkloadAccessToken` of `account`.
pub(crate) fn mint(
    keyring: &Keyring,
    random: &dyn Random,
    account: &str,
    workload_id: &str,
    user: Option<WatUser>,
    now: Timestamp,
) -> SecretString {
    let mut content = Content {
        workload: workload_id.to_owned(),
        expires: now.plus(LIFETIME).as_secs(),
        user: None,
        person: None,
        sid: None,
        audience: None,
        jwt: None,
        jwt_row: None,
    };
    if let Some(user) = user {
        let (jwt, jwt_row) = match user.inbound_jwt {
            Some(InboundJwt::Inside(jwt)) => (Some(jwt.expose_secret().to_owned()), None),
            Some(InboundJwt::Row(id)) => (None, Some(id)),
            None => (None, None),
        };
        content = Content {
            user: Some(user.key),
            person: user.person,
            sid: user.sid,
            audience: user.audience,
            jwt,
            jwt_row,
            ..content
        };
    }
    let plaintext = zeroize::Zeroizing::new(serde_json::to_vec(&content).unwrap_or_default());
    keyring.seal_token(random, &aad(account), &plaintext).into()
}

/// Opens a token of `account`.
pub(crate) fn open(
    keyring: &Keyring,
    account: &str,
    token: &str,
    now: Timestamp,
) -> Result<WorkloadAccessToken, WatError> {
    let plaintext = keyring
        .open_token(&aad(account), token)
        .map_err(|_| WatError::NotOurs)?;
    let content: Content =
        serde_json::from_slice(plaintext.expose_secret()).map_err(|_| WatError::NotOurs)?;
    if now.as_secs() >= content.expires {
        return Err(WatError::Expired);
    }
    let user = content.user.map(|key| WatUser {
        key,
        person: content.person,
        sid: content.sid,
        audience: content.audience,
        inbound_jwt: content
            .jwt
            .map(|jwt| InboundJwt::Inside(jwt.into()))
            .or(content.jwt_row.map(InboundJwt::Row)),
    });
    Ok(WorkloadAccessToken {
        workload_id: content.workload,
        user,
    })
}

/// Makes `jwt` travel with a token that is minted at `now`.
pub(crate) async fn carry(
    state: &State,
    account: &str,
    jwt: &Sensitive,
    now: Timestamp,
) -> Result<InboundJwt, OperationError> {
    if jwt.expose().len() <= MAX_INBOUND_JWT {
        return Ok(InboundJwt::Inside(jwt.clone().into_secret()));
    }
    let id = uuid_v7(&*state.clock, &*state.random).to_string();
    let keyring = &state.keys(account)?.workload_access_token;
    let sealed = keyring.seal(&*state.random, &row_aad(account, &id), jwt.expose().as_bytes());
    inbound_jwt::insert(
        &state.pool,
        account,
        &id,
        &sealed.into_bytes(),
        now.plus(LIFETIME),
    )
    .await?;
    Ok(InboundJwt::Row(id))
}

/// The JWT that a token carries; `None` once its row is gone.
pub(crate) async fn inbound_jwt(
    state: &State,
    account: &str,
    carried: &InboundJwt,
    now: Timestamp,
) -> Result<Option<SecretString>, OperationError> {
    let id = match carried {
        InboundJwt::Inside(jwt) => return Ok(Some(jwt.clone())),
        InboundJwt::Row(id) => id,
    };
    let Some(sealed) = inbound_jwt::find(&state.pool, account, id, now).await? else {
        return Ok(None);
    };
    let unreadable = |error: OpenError| OperationError::internal("inbound_jwt_unreadable", error);
    let keyring = &state.keys(account)?.workload_access_token;
    let plaintext = keyring.open(&row_aad(account, id), &sealed).map_err(unreadable)?;
    let text =
        std::str::from_utf8(plaintext.expose_secret()).map_err(|_| unreadable(OpenError::Malformed))?;
    Ok(Some(text.to_owned().into()))
}

fn row_aad(account: &str, id: &str) -> Aad {
    Aad::new(account, "inbound_jwt", id, "jwt")
}

fn aad(account: &str) -> Aad {
    Aad::new(account, "workload_access_token", "", "")
}
