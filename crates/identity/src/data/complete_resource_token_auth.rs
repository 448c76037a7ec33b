//! `CompleteResourceTokenAuth`: the person in front of the binding page is the one for whom the agent asked. Only
//! now is the code exchanged (design D10), once, however many callers say so.
//!
//! Only the completion handle opens this door ([`presented_session`]).

use std::time::Duration;

use countersign_api::data::CompleteResourceTokenAuth;
use countersign_api::data::complete_resource_token_auth::{Input, Output};
use countersign_api::{ApiError, ValidationReason};
use countersign_crypto::SecretString;
use countersign_outbound::trace;

use super::invalid_session;
use super::presented_session::{self, record_before, record_granted};
use crate::operation::{Call, Handle, OperationError};
use crate::session::{self, EXCHANGE_TIME, Secrets, Status};
use crate::state::State;
use crate::store::authorization_session::{self, Ending, SessionRow};
use crate::store::grant::GrantRow;
use crate::vault::consent::{self, Consented, Stored};
use crate::vault::provider::ExchangeError;
use crate::vault::revoke::discard;
use crate::vault::{AccountIdentity, Provider};

/// How long a second caller waits for the first one's exchange.
const WAIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

impl Handle for CompleteResourceTokenAuth {
    #[tracing::instrument(name = "identity.complete_resource_token_auth", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let session = presented_session::admit(call, &input.session_uri, &input.user_identifier).await?;
        complete(call, session).await
    }
}

/// Exchanges the code, or waits for whoever does.
async fn complete(call: &mut Call, session: SessionRow) -> Result<Output, OperationError> {
    let began = call.now;
    let mut session = session;
    loop {
        let now = call.state.clock.now();
        let lapsed = session.lapsed(now);
        match session.status {
            Status::Completed => {
                call.entry.grant.clone_from(&session.grant_id);
                call.entry.detail.insert("repeated".to_owned(), true.into());
                return Ok(Output {});
            }
            // The exchange is over; what is left is another operation's business.
            Status::Confirming if !lapsed => {
                call.entry.grant.clone_from(&session.grant_id);
                let detail = &mut call.entry.detail;
                detail.insert("repeated".to_owned(), true.into());
                detail.insert("awaits_confirmation".to_owned(), true.into());
                return Ok(Output {});
            }
            Status::CodeHeld if lapsed => {
                let ending = Ending {
                    status: Status::Expired,
                    reason: "expired",
                    error: None,
                };
                authorization_session::end(
                    &call.state.pool,
                    &session.id,
                    Status::CodeHeld,
                    ending,
                    None,
                    now,
                )
                .await?;
                return Err(invalid_session("expired"));
            }
            Status::CodeHeld => {
                if overtaken(call, &session).await? {
                    return Err(invalid_session("superseded"));
                }
                let deadline = now.plus(EXCHANGE_TIME);
                if authorization_session::begin_exchange(&call.state.pool, &session.id, deadline, now).await?
                {
                    return exchange(call, session).await;
                }
            }
            Status::Exchanging if lapsed => return Err(invalid_session("exchange_interrupted")),
            Status::Exchanging if now.since(began) < WAIT => tokio::time::sleep(POLL).await,
            Status::Exchanging => {
                let error = ApiError::throttled("The session is being completed; try again.", 1);
                return Err(OperationError::refused("exchange_under_way", error));
            }
            // The same person learns why the exchange failed, as often as they ask.
            Status::Failed if session.error.is_some() => {
                let code = session.error.as_deref().unwrap_or_default();
                return Err(refused_exchange("exchange_failed", code));
            }
            status => return Err(invalid_session(dead(status))),
        }
        let current = authorization_session::find(&call.state.pool, &session.id).await?;
        session = current.ok_or_else(|| invalid_session("unknown_session"))?;
    }
}

/// Whether a newer request for the same has been completed: then this one's code is not sent any more.
async fn overtaken(call: &Call, session: &SessionRow) -> Result<bool, OperationError> {
    let mut tx = call.state.pool.begin().await?;
    let overtaken = authorization_session::end_overtaken(&mut tx, session, call.now).await?;
    tx.commit().await?;
    Ok(overtaken)
}

/// The audit reason for a session that cannot be completed.
const fn dead(status: Status) -> &'static str {
    match status {
        Status::Rejected => "already_rejected",
        Status::Expired | Status::Confirming => "expired",
        Status::Superseded => "superseded",
        Status::Denied => "denied",
        Status::Failed => "already_failed",
        _ => "no_code",
    }
}

fn refused_exchange(reason: &'static str, code: &str) -> OperationError {
    let message = format!("The authorization server did not give a token: {code}");
    OperationError::refused(
        reason,
        ApiError::validation(ValidationReason::FieldValidationFailed, message),
    )
}

/// How the one exchange of a session ended.
enum Exchanged {
    Granted {
        grant: Box<GrantRow>,
        identity: Option<AccountIdentity>,
        replaced_other_account: usize,
    },
    Waits {
        grant: Box<GrantRow>,
        identity: Option<AccountIdentity>,
        before: Option<AccountIdentity>,
    },
    Refused {
        reason: &'static str,
        code: String,
    },
    Lapsed,
    Overtaken,
}

/// Runs the exchange in a task of its own: it must come to its end even if this call does not. It stays in the call's
/// trace.
async fn exchange(call: &mut Call, session: SessionRow) -> Result<Output, OperationError> {
    let exchange = trace::carried(exchange_and_store(call.state.clone(), session));
    let exchanged = tokio::spawn(exchange).await;
    let exchanged = exchanged.map_err(|error| OperationError::internal("exchange_panicked", error))??;
    match exchanged {
        Exchanged::Granted {
            grant,
            identity,
            replaced_other_account,
        } => {
            record_granted(call, &grant, identity);
            if replaced_other_account > 0 {
                call.entry
                    .detail
                    .insert("replaced_other_account".to_owned(), replaced_other_account.into());
            }
            Ok(Output {})
        }
        Exchanged::Waits {
            grant,
            identity,
            before,
        } => {
            record_granted(call, &grant, identity);
            record_before(call, before);
            call.entry
                .detail
                .insert("awaits_confirmation".to_owned(), true.into());
            Ok(Output {})
        }
        Exchanged::Refused { reason, code } => {
            call.entry.detail.insert("error".to_owned(), code.clone().into());
            Err(refused_exchange(reason, &code))
        }
        Exchanged::Lapsed => Err(invalid_session("exchange_interrupted")),
        Exchanged::Overtaken => Err(invalid_session("superseded")),
    }
}

async fn exchange_and_store(state: State, session: SessionRow) -> Result<Exchanged, OperationError> {
    let outcome = try_exchange(&state, &session).await;
    let (reason, code) = match &outcome {
        Ok(Exchanged::Refused { reason, code }) => (*reason, Some(code.as_str())),
        Ok(_) => return outcome,
        Err(_) => ("exchange_not_stored", None),
    };
    // The code is gone, so whatever went wrong is final.
    let ending = Ending {
        status: Status::Failed,
        reason,
        error: code,
    };
    let now = state.clock.now();
    authorization_session::end(&state.pool, &session.id, Status::Exchanging, ending, None, now).await?;
    outcome
}

async fn try_exchange(state: &State, session: &SessionRow) -> Result<Exchanged, OperationError> {
    let refused = |reason, code: &str| {
        Ok(Exchanged::Refused {
            reason,
            code: code.to_owned(),
        })
    };
    let unreadable = |error| OperationError::internal("session_unreadable", error);
    // Also what the tokens are sealed with, should the vault close during the exchange.
    let keyring = state.vault_keyring(&session.account)?;
    let secrets = Secrets::open(&keyring, session).map_err(unreadable)?;
    let code: Option<SecretString> = session::open_code(&keyring, session).map_err(unreadable)?;
    let Some(code) = code else {
        return refused("no_code", "no_code");
    };
    let row = state
        .cache
        .provider_by_id(&session.account, &session.provider_id)
        .await?;
    let Some(row) = row.filter(|row| row.config_version == session.provider_version) else {
        // A changed provider must not receive what was consented to under the old one (attack row C5).
        return refused("provider_changed", "provider_changed");
    };
    let provider = match Provider::resolve(state, row).await {
        Ok(provider) => provider,
        Err(error) => return refused("provider_unusable", ExchangeError::Provider(error).code()),
    };
    let consented = match provider.exchange(state, &secrets, &code).await {
        Ok(consented) => consented,
        Err(error) => {
            tracing::warn!(session.id = session.id, %error, "an exchange failed");
            return refused("exchange_failed", error.code());
        }
    };
    let stored = consent::store(state, session, &secrets, &provider, &consented, &keyring).await?;
    let Consented { tokens, identity } = consented;
    match stored {
        Stored::Granted {
            grant,
            replaced_other_account,
        } => Ok(Exchanged::Granted {
            grant,
            identity,
            replaced_other_account,
        }),
        Stored::Waits { grant, before } => Ok(Exchanged::Waits {
            grant,
            identity,
            before,
        }),
        Stored::OtherAccount => {
            discard(state, &provider, &tokens).await;
            refused("other_account", "other_account")
        }
        // Its tokens are let go of, not revoked: many a vendor would end the newer ones with them.
        Stored::Overtaken => Ok(Exchanged::Overtaken),
        Stored::Lapsed => {
            discard(state, &provider, &tokens).await;
            Ok(Exchanged::Lapsed)
        }
    }
}
