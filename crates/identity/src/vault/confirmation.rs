//! Another account than before, with `account_change = confirm` (design D12): the new grant waits, sealed and unserved,
//! for the person's second word. It comes from the binding page, within ten minutes, or the grant ends and is revoked
//! at the vendor; the earlier one stays as it is until then.

use std::time::Duration;

use countersign_db::DbError;

use super::holdings::Holdings;
use super::{AccountIdentity, VaultError, revoke};
use crate::session::{CONFIRM_TIME, Status};
use crate::state::State;
use crate::store::authorization_session::SessionRow;
use crate::store::confirmation;
use crate::store::grant::{self, GrantRow, GrantState};

/// How much further another replica's clock may be.
const SKEW: Duration = Duration::from_mins(1);
/// How many overdue ones are ended at a time.
const BATCH: i64 = 32;

/// What waits, and what it would take the place of.
pub(crate) struct Waiting {
    pub(crate) grant: GrantRow,
    /// The account that was connected just now; `None` where the vendor does not say.
    pub(crate) account: Option<AccountIdentity>,
    /// The account that was connected before; `None` when that connection has ended since.
    pub(crate) before: Option<AccountIdentity>,
    /// How many grants are of the account before.
    pub(crate) others: usize,
}

/// The grant that `session` made, if it still waits to be confirmed.
pub(crate) async fn find(state: &State, session: &SessionRow) -> Result<Option<Waiting>, VaultError> {
    Ok(read(state, session).await?.map(|(waiting, _)| waiting))
}

async fn read(state: &State, session: &SessionRow) -> Result<Option<(Waiting, Holdings)>, VaultError> {
    let id = session.grant_id.as_deref().unwrap_or_default();
    let keyring = state.vault_keyring(&session.account)?;
    let held = Holdings::read(state, &keyring, &session.provider_id, &session.user_key).await?;
    let found = grant::find(&state.pool, &session.account, id).await?;
    let waits = |grant: &GrantRow| grant.state == GrantState::Unconfirmed && grant.ended_at.is_none();
    let Some(grant) = found.filter(waits) else {
        return Ok(None);
    };
    let account = held.account_of(id).cloned();
    let others = held.of_other_accounts(&session.workload_id, account.as_ref());
    let waiting = Waiting {
        before: others.first().map(|(_, account)| (*account).clone()),
        others: others.len(),
        grant,
        account,
    };
    Ok(Some((waiting, held)))
}

/// The person's yes: the grant is served from here on, those of the other account end, the session is completed.
/// `None`: it no longer waits, and nothing was changed.
pub(crate) async fn confirm(state: &State, session: &SessionRow) -> Result<Option<Waiting>, VaultError> {
    loop {
        let Some((waiting, mut held)) = read(state, session).await? else {
            return Ok(None);
        };
        match confirm_once(state, session, &waiting, &mut held).await {
            Ok(Answered::Yes) => return Ok(Some(waiting)),
            Ok(Answered::No) => return Ok(None),
            Ok(Answered::Moved) | Err(DbError::Conflict(_)) => tokio::task::yield_now().await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// What became of an answer's transaction.
enum Answered {
    Yes,
    /// Another answer was first.
    No,
    /// Something changed since it was read: look again.
    Moved,
}

async fn confirm_once(
    state: &State,
    session: &SessionRow,
    waiting: &Waiting,
    held: &mut Holdings,
) -> Result<Answered, DbError> {
    let now = state.clock.now();
    let mut tx = state.pool.begin().await?;
    confirmation::lock_connection(&mut tx, session).await?;
    if !held.still_stand(&mut tx).await? {
        return Ok(Answered::Moved);
    }
    if !confirmation::complete(&mut tx, &session.id, now).await? {
        return Ok(Answered::No);
    }
    let others = held.of_other_accounts(&session.workload_id, waiting.account.as_ref());
    let others: Vec<String> = others.into_iter().map(|(row, _)| row.id.clone()).collect();
    held.replace(&mut tx, &others, now).await?;
    if !confirmation::activate(&mut tx, &waiting.grant, now).await? {
        return Ok(Answered::No);
    }
    for id in confirmation::supersede(&mut tx, session, now).await? {
        held.give_up(&mut tx, &id, "newer_consent", now).await?;
    }
    tx.commit().await?;
    Ok(Answered::Yes)
}

/// The person's no, or that of somebody else or of nobody: the grant ends, and so does its session as `status` for
/// `reason`; the earlier grant stays. False when it no longer waits, and nothing was changed.
pub(crate) async fn give_up(
    state: &State,
    session: &SessionRow,
    status: Status,
    reason: &'static str,
) -> Result<bool, VaultError> {
    let id = session.grant_id.as_deref().unwrap_or_default();
    match grant::find(&state.pool, &session.account, id).await? {
        Some(grant) => end(state, &grant, Session::MustWait, status, reason).await,
        None => Ok(false),
    }
}

/// What the end of a grant asks of its session.
#[derive(Copy, Clone, PartialEq)]
enum Session {
    /// It is an answer, and only a session that still waits takes one.
    MustWait,
    /// Time is over, whatever has become of it.
    MayBeOver,
}

async fn end(
    state: &State,
    grant: &GrantRow,
    session: Session,
    status: Status,
    reason: &'static str,
) -> Result<bool, VaultError> {
    loop {
        let keyring = state.vault_keyring(&grant.account)?;
        let held = Holdings::read(state, &keyring, &grant.provider_id, &grant.user_key).await?;
        match end_once(state, grant, held, session, status, reason).await {
            Ok(Answered::Yes) => return Ok(true),
            Ok(Answered::No) => return Ok(false),
            Ok(Answered::Moved) | Err(DbError::Conflict(_)) => tokio::task::yield_now().await,
            Err(error) => return Err(error.into()),
        }
    }
}

async fn end_once(
    state: &State,
    grant: &GrantRow,
    mut held: Holdings,
    session: Session,
    status: Status,
    reason: &'static str,
) -> Result<Answered, DbError> {
    let now = state.clock.now();
    let mut tx = state.pool.begin().await?;
    if !held.still_stand(&mut tx).await? {
        return Ok(Answered::Moved);
    }
    let ended = confirmation::end(&mut tx, &grant.session_id, status, reason, now).await?;
    if session == Session::MustWait && !ended {
        return Ok(Answered::No);
    }
    if !held.give_up(&mut tx, &grant.id, reason, now).await? {
        return Ok(Answered::No);
    }
    tx.commit().await?;
    Ok(Answered::Yes)
}

/// Ends what has waited for too long, whatever has become of its session.
pub(crate) async fn end_overdue(state: &State) -> Result<(), VaultError> {
    let now = state.clock.now();
    let (before, future) = (now.minus(CONFIRM_TIME), now.plus(SKEW));
    for grant in confirmation::list_overdue(&state.pool, before, future, BATCH).await? {
        if let Err(error) = end_one(state, &grant).await {
            tracing::warn!(%error, grant.id = grant.id, "a grant that nobody has confirmed could not be ended");
        }
    }
    Ok(())
}

async fn end_one(state: &State, grant: &GrantRow) -> Result<(), VaultError> {
    const REASON: &str = "not_confirmed";
    if !end(state, grant, Session::MayBeOver, Status::Expired, REASON).await? {
        return Ok(());
    }
    revoke::record_end(state, grant, REASON).await;
    Ok(())
}
