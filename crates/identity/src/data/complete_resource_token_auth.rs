//! `CompleteResourceTokenAuth`: the person in front of the binding page is the one for whom the agent asked. Only
//! now is the code exchanged (design D10), once, however many callers say so.
//!
//! Only the completion handle opens this door. To everybody but that person a session that is wrong in any way is
//! the same "Invalid or expired session"; what was wrong stands in the audit record.

use std::time::Duration;

use countersign_api::data::complete_resource_token_auth::{Input, Output};
use countersign_api::data::{CompleteResourceTokenAuth, UserIdentifier};
use countersign_api::{ApiError, Arn, ValidationReason};
use countersign_crypto::SecretString;

use super::{invalid_session, refused_user_token, user_subjects};
use crate::config::SidRule;
use crate::operation::{Call, Handle, OperationError};
use crate::session::{self, EXCHANGE_TIME, Secrets, SessionUri, Status};
use crate::state::State;
use crate::stops::Subject;
use crate::store::authorization_session::{self, Ending, SessionRow};
use crate::store::grant::GrantRow;
use crate::user_artifact::{Door, Identified, from_user_id, from_user_token};
use crate::vault::consent::{self, Consented, Stored};
use crate::vault::provider::ExchangeError;
use crate::vault::revoke::discard;
use crate::vault::{AccountIdentity, Provider};

/// How long a second caller waits for the first one's exchange.
const WAIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(100);

impl Handle for CompleteResourceTokenAuth {
    #[tracing::instrument(name = "identity.complete_resource_token_auth", skip_all)]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let (region, account) = (call.region().to_owned(), call.account().to_owned());
        match &input.user_identifier {
            UserIdentifier::UserId(user_id) => call.context.user_id = Some(user_id.clone()),
            UserIdentifier::UserToken(token) => call.context.inbound_jwt = Some(token.clone()),
        }
        call.authorize(&[
            Arn::token_vault(&region, &account),
            Arn::directory(&region, &account),
        ])
        .await?;
        let handle = SessionUri::parse(&input.session_uri).ok_or_else(|| {
            let error = ApiError::field(
                "sessionUri",
                "must be what came back to the return URL as session_id",
            );
            OperationError::refused("malformed_session_uri", error)
        })?;
        let presented = identify(call, &input.user_identifier).await?;
        let session = find(call, &handle).await?;
        admit(call, &session, &presented).await?;
        complete(call, session).await
    }
}

async fn identify(call: &mut Call, identifier: &UserIdentifier) -> Result<Identified, OperationError> {
    let presented = match identifier {
        UserIdentifier::UserId(user_id) => from_user_id(user_id),
        UserIdentifier::UserToken(token) => {
            from_user_token(&call.state, call.account(), Door::Completion, token.expose())
                .await
                .map_err(|error| {
                    refused_user_token(&error, ApiError::access_denied("Invalid or expired session"))
                })?
        }
    };
    call.entry.person = Some(presented.key);
    call.entry.sid.clone_from(&presented.sid);
    call.entry
        .personal
        .insert("user".to_owned(), presented.name.clone().into());
    Ok(presented)
}

/// The session of a handle, if this caller may complete sessions of its workload and provider.
async fn find(call: &mut Call, handle: &SessionUri) -> Result<SessionRow, OperationError> {
    let session = authorization_session::find_by_handle(&call.state.pool, &handle.hash()).await?;
    let session = session.filter(|session| session.account == call.account());
    let session = session.ok_or_else(|| invalid_session("unknown_session"))?;
    call.entry.session = Some(session.id.clone());
    call.entry.workload = Some(session.workload_name.clone());
    call.entry.provider = Some(session.provider_name.clone());
    let (region, account) = (call.region().to_owned(), call.account().to_owned());
    call.authorize(&[
        Arn::oauth2_provider(&region, &account, &session.provider_name),
        Arn::token_vault(&region, &account),
        Arn::workload_identity(&region, &account, &session.workload_name),
        Arn::directory(&region, &account),
    ])
    .await
    .map_err(|_| invalid_session("not_authorized"))?;
    Ok(session)
}

/// The same person, not stopped, in the browser session of the request.
async fn admit(call: &mut Call, session: &SessionRow, presented: &Identified) -> Result<(), OperationError> {
    if presented.key != session.user_key {
        if session.status == Status::CodeHeld {
            // The code is somebody's consent that reached the wrong person: nobody may use it any more.
            let ending = Ending {
                status: Status::Rejected,
                reason: "wrong_person",
                error: None,
            };
            authorization_session::end(
                &call.state.pool,
                &session.id,
                Status::CodeHeld,
                ending,
                None,
                call.now,
            )
            .await?;
        }
        return Err(invalid_session("wrong_person"));
    }
    let mut subjects = vec![
        Subject::Workload(session.workload_name.clone()),
        Subject::Provider(session.provider_name.clone()),
    ];
    subjects.extend(user_subjects(session.user_key, session.person.as_deref()));
    call.check_stops(subjects).await?;
    if session.sid.is_some() && session.sid != presented.sid {
        match call.state.settings(&session.account).sid {
            SidRule::Require => return Err(invalid_session("other_browser_session")),
            SidRule::Warn => {
                call.entry
                    .detail
                    .insert("other_browser_session".to_owned(), true.into());
            }
        }
    }
    Ok(())
}

/// Exchanges the code, or waits for whoever does.
async fn complete(call: &mut Call, session: SessionRow) -> Result<Output, OperationError> {
    let began = call.now;
    let mut session = session;
    loop {
        let now = call.state.clock.now();
        let lapsed = session.deadline <= now;
        match session.status {
            Status::Completed => {
                call.entry.grant.clone_from(&session.grant_id);
                call.entry.detail.insert("repeated".to_owned(), true.into());
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

/// The audit reason for a session that cannot be completed.
const fn dead(status: Status) -> &'static str {
    match status {
        Status::Rejected => "already_rejected",
        Status::Expired => "expired",
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
    Refused {
        reason: &'static str,
        code: String,
    },
    Lapsed,
}

/// Runs the exchange in a task of its own: it must come to its end even if this call does not.
async fn exchange(call: &mut Call, session: SessionRow) -> Result<Output, OperationError> {
    let exchanged = tokio::spawn(exchange_and_store(call.state.clone(), session)).await;
    let exchanged = exchanged.map_err(|error| OperationError::internal("exchange_panicked", error))??;
    match exchanged {
        Exchanged::Granted {
            grant,
            identity,
            replaced_other_account,
        } => {
            call.entry.grant = Some(grant.id.clone());
            call.entry
                .detail
                .insert("scopes".to_owned(), grant.scopes.clone().into());
            if replaced_other_account > 0 {
                call.entry
                    .detail
                    .insert("replaced_other_account".to_owned(), replaced_other_account.into());
            }
            if let Some(identity) = identity {
                call.entry
                    .personal
                    .insert("account_id".to_owned(), identity.id.into());
                call.entry
                    .personal
                    .insert("account_name".to_owned(), identity.name.into());
            }
            Ok(Output {})
        }
        Exchanged::Refused { reason, code } => {
            call.entry.detail.insert("error".to_owned(), code.clone().into());
            Err(refused_exchange(reason, &code))
        }
        Exchanged::Lapsed => Err(invalid_session("exchange_interrupted")),
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
    let keyring = &state.keys(&session.account)?.vault;
    let secrets = Secrets::open(keyring, session).map_err(unreadable)?;
    let code: Option<SecretString> = session::open_code(keyring, session).map_err(unreadable)?;
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
    let stored = consent::store(state, session, &secrets, &provider, &consented).await?;
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
        Stored::OtherAccount => {
            discard(state, &provider, &tokens).await;
            refused("other_account", "other_account")
        }
        Stored::Lapsed => {
            discard(state, &provider, &tokens).await;
            Ok(Exchanged::Lapsed)
        }
    }
}
