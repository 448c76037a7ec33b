//! One attempt to refresh a grant: claimed, made, and its outcome written down and audited.

use std::sync::Arc;

use countersign_audit::{Entry, Outcome as AuditOutcome};
use countersign_crypto::{ExposeSecret as _, Keyring, SecretString, Timestamp, constant_time_eq};
use countersign_db::DbError;
use countersign_oauth::{Outcome, TokenError, TokenSet};

use super::recovery::Recovery;
use super::timing::pause;
use crate::data::user_subjects;
use crate::state::State;
use crate::stops::Subject;
use crate::store::grant::GrantRow;
use crate::store::refresh_ledger::{self, Failure, Refreshed};
use crate::store::revocation;
use crate::vault::patience::Patience;
use crate::vault::provider::ExchangeError;
use crate::vault::{Provider, VaultError, expiry, open_token, revoke, seal_token};

/// The audit action of everything here.
const ACTION: &str = "RefreshGrant";
/// The reason of a grant whose server will not say what became of its refresh token.
pub(super) const NO_ANSWER: &str = "introspection_refused";

/// What an attempt has come to, as far as the grant's row does not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    /// The row says.
    Done,
    /// What became of the refresh token cannot be found out.
    Unknowable,
}

/// Claims the lease and refreshes. `Ok` also when somebody else was quicker, or the grant turned out to be dead: the
/// row says which.
pub(super) async fn run(
    state: &State,
    grant: &GrantRow,
    provider: &Provider,
    recovery: Recovery,
) -> Result<Made, VaultError> {
    refuse_stopped(state, grant).await?;
    // Before anything is written: a vault that is closed now must not make the refresh token look presented.
    let keyring = state.vault_keyring(&grant.account)?;
    let config = &state.config.refresh;
    let now = state.clock.now();
    let circuits = &state.refreshes.circuits;
    circuits
        .admit(&grant.provider_id, now, config.timeout())
        .map_err(VaultError::ProviderAway)?;
    let lease_until = now.plus(config.lease());
    let claimed = refresh_ledger::claim(&state.pool, &grant.id, grant.fence, lease_until, now).await?;
    let Some(fence) = claimed else {
        return Ok(Made::Done);
    };
    let attempt = Attempt {
        state,
        grant,
        provider,
        keyring,
        fence,
        began: now,
    };
    tokio::select! {
        outcome = attempt.make(recovery) => outcome,
        never = attempt.keep_lease() => never,
    }
}

/// Nobody's token is renewed while they are stopped (design D23).
async fn refuse_stopped(state: &State, grant: &GrantRow) -> Result<(), VaultError> {
    let mut subjects = vec![
        Subject::Account,
        Subject::Workload(grant.workload_name.clone()),
        Subject::Provider(grant.provider_name.clone()),
    ];
    subjects.extend(user_subjects(grant.user_key, grant.person.as_deref()));
    match state.stops.first_stopped(&grant.account, &subjects).await? {
        Some(subject) => Err(VaultError::Stopped(subject.reason())),
        None => Ok(()),
    }
}

/// Writes down that a holder is gone, and that nobody knows what became of its request.
pub(super) async fn interrupt(state: &State, grant: &GrantRow) -> Result<(), VaultError> {
    let now = state.clock.now();
    // The request of a holder that died may still be on its way: it gets the time that an answer gets.
    let retry_at = now.plus(state.config.refresh.timeout());
    if refresh_ledger::interrupt(&state.pool, &grant.id, grant.fence, retry_at, now).await? {
        record(state, grant, AuditOutcome::Failed, Some("interrupted"), None).await;
    }
    Ok(())
}

/// Ends a grant of which no request may be made.
pub(super) async fn give_up(state: &State, grant: &GrantRow, reason: &'static str) -> Result<(), VaultError> {
    let now = state.clock.now();
    if refresh_ledger::refuse(&state.pool, &grant.id, grant.fence, reason, now).await? {
        record(state, grant, AuditOutcome::Refused, Some(reason), None).await;
    }
    Ok(())
}

/// Under a lease.
struct Attempt<'a> {
    state: &'a State,
    grant: &'a GrantRow,
    provider: &'a Provider,
    /// The vault's keys as they were before the claim.
    keyring: Arc<Keyring>,
    fence: i64,
    began: Timestamp,
}

/// What the authorization server said, or why it said nothing.
enum Answer {
    Tokens(TokenSet),
    /// It does not hold the refresh token for active: the answer that would have replaced it is lost.
    Spent,
    /// It could not be asked, and the refresh token stays as doubtful as it was.
    Unasked(ExchangeError),
    /// It does not answer the question, and will not.
    Unknowable(ExchangeError),
    Failed(ExchangeError),
}

impl Attempt<'_> {
    #[tracing::instrument(name = "identity.refresh_grant", skip_all, fields(grant.id = self.grant.id, recovery = ?recovery))]
    async fn make(&self, recovery: Recovery) -> Result<Made, VaultError> {
        let sealed = self.grant.refresh_token.as_deref().unwrap_or_default();
        let presented = match open_token(&self.keyring, self.grant, "refresh_token", sealed) {
            Ok(token) => token,
            Err(error) => {
                self.abandon(self.doubtful(), "vault_unreadable").await?;
                return Err(error.into());
            }
        };
        let made = match self.ask(recovery, &presented).await {
            Answer::Unknowable(error) => {
                self.state.refreshes.circuits.succeeded(&self.grant.provider_id);
                tracing::warn!(grant.id = self.grant.id, %error, "the server does not say what became of a refresh token");
                self.abandon(true, NO_ANSWER).await?;
                return Ok(Made::Unknowable);
            }
            Answer::Tokens(tokens) => {
                self.state.refreshes.circuits.succeeded(&self.grant.provider_id);
                self.store(&presented, tokens).await
            }
            Answer::Spent => self.refuse("refresh_answer_lost", None).await,
            Answer::Failed(ExchangeError::Token(error)) if error.is_invalid_grant() => {
                self.state.refreshes.circuits.succeeded(&self.grant.provider_id);
                // Presented once more within a grace, and refused: what was lost is the answer to the first.
                let reason = if self.doubtful() {
                    "refresh_answer_lost"
                } else {
                    "invalid_grant"
                };
                self.refuse(reason, Some(error.code())).await
            }
            Answer::Unasked(error) => self.fail(error, self.doubtful()).await,
            Answer::Failed(error) => {
                let outcome = match &error {
                    ExchangeError::Token(error) => error.outcome(),
                    _ => Outcome::NotSent,
                };
                let doubtful = match outcome {
                    Outcome::Unknown => true,
                    // As before: what it refuses is the client, or the rate, and says nothing of an earlier presentation.
                    // A server that was just asked knows better.
                    Outcome::Refused | Outcome::NotSent => self.doubtful() && recovery == Recovery::Present,
                };
                self.fail(error, doubtful).await
            }
        };
        made.map(|()| Made::Done)
    }

    /// Whether the refresh token had been presented before, with an outcome that nobody knows.
    fn doubtful(&self) -> bool {
        self.grant.refresh.presented_at.is_some()
    }

    async fn ask(&self, recovery: Recovery, presented: &SecretString) -> Answer {
        if recovery == Recovery::Introspect {
            match self.in_time(self.provider.is_active(self.state, presented)).await {
                Ok(true) => {}
                Ok(false) => return Answer::Spent,
                Err(error) if is_final(&error) => return Answer::Unknowable(error),
                Err(error) => return Answer::Unasked(error),
            }
        }
        let refresh = self
            .provider
            .refresh(self.state, presented, &self.grant.resources);
        match self.in_time(refresh).await {
            Ok(tokens) => Answer::Tokens(tokens),
            Err(error) => Answer::Failed(error),
        }
    }

    async fn in_time<T>(
        &self,
        call: impl Future<Output = Result<T, ExchangeError>>,
    ) -> Result<T, ExchangeError> {
        tokio::time::timeout(self.state.config.refresh.timeout(), call)
            .await
            .unwrap_or(Err(ExchangeError::Token(TokenError::Timeout)))
    }

    /// Stores the new pair. Where the store is away it is tried until it is back, or the lease would be lost on
    /// everybody: a pair that is not stored is a grant that is lost.
    async fn store(&self, presented: &SecretString, tokens: TokenSet) -> Result<(), VaultError> {
        let (state, grant) = (self.state, self.grant);
        let keyring = state.vault_keyring_or(&grant.account, &self.keyring);
        let seal =
            |column, token| seal_token(&keyring, &*state.random, &grant.account, &grant.id, column, token);
        let now = state.clock.now();
        let rotated = tokens.refresh_token.as_ref().is_some_and(|token| {
            !constant_time_eq(
                token.expose_secret().as_bytes(),
                presented.expose_secret().as_bytes(),
            )
        });
        let refreshed = Refreshed {
            access_token: seal("access_token", &tokens.access_token),
            refresh_token: tokens
                .refresh_token
                .as_ref()
                .map(|token| seal("refresh_token", token)),
            access_expires_at: expiry(tokens.expires_in, now),
            rotates: rotated,
        };
        let mut patience = Patience::new();
        let stored = loop {
            let generation = grant.refresh.generation;
            match refresh_ledger::finish(&state.pool, &grant.id, generation, &refreshed, now).await {
                Ok(stored) => break stored,
                Err(error) => patience.after(error).await?,
            }
        };
        if stored {
            record(state, grant, AuditOutcome::Done, None, Some(rotated)).await;
        } else {
            // Refreshed by somebody who took over, or ended meanwhile: this pair is nobody's, and must not live on.
            record(
                state,
                grant,
                AuditOutcome::Failed,
                Some("grant_changed"),
                Some(rotated),
            )
            .await;
            // What the end of the grant put into the queue is spent by now, and ends nothing at the vendor.
            while let Err(error) = self.queue(&refreshed, &tokens).await {
                patience.after(error).await?;
            }
        }
        Ok(())
    }

    async fn queue(&self, late: &Refreshed, tokens: &TokenSet) -> Result<(), DbError> {
        let (state, now) = (self.state, self.state.clock.now());
        let generation = self.grant.refresh.generation;
        if !revocation::replace(&state.pool, &self.grant.id, generation, late, now).await? {
            revoke::discard(state, self.provider, tokens).await;
        }
        Ok(())
    }

    async fn refuse(&self, reason: &'static str, code: Option<&str>) -> Result<(), VaultError> {
        // The fence is the reread: if anybody stored a newer pair meanwhile, this changes nothing.
        let (state, grant) = (self.state, self.grant);
        let now = state.clock.now();
        if refresh_ledger::refuse(&state.pool, &grant.id, self.fence, reason, now).await? {
            tracing::info!(grant.id = grant.id, reason, code, "the grant needs consent again");
            record(state, grant, AuditOutcome::Refused, Some(reason), None).await;
        }
        Ok(())
    }

    async fn fail(&self, error: ExchangeError, outcome_unknown: bool) -> Result<(), VaultError> {
        let state = self.state;
        let reason = reason(&error);
        let answered = matches!(&error, ExchangeError::Token(TokenError::Denied { .. }));
        let circuits = &state.refreshes.circuits;
        let patience = state.config.refresh.timeout();
        if answered {
            circuits.succeeded(&self.grant.provider_id);
        } else if matches!(&error, ExchangeError::Token(_)) {
            circuits.failed(&self.grant.provider_id, state.clock.now(), patience, self.began);
        }
        self.abandon(outcome_unknown, reason).await?;
        tracing::warn!(grant.id = self.grant.id, %error, outcome_unknown, "a refresh failed");
        Err(VaultError::Refresh(error))
    }

    async fn abandon(&self, outcome_unknown: bool, reason: &'static str) -> Result<(), VaultError> {
        let (state, grant) = (self.state, self.grant);
        let now = state.clock.now();
        let mut pause = pause(grant.refresh.failures, &*state.random);
        if outcome_unknown {
            // The request may still be on its way.
            pause = pause.max(state.config.refresh.timeout());
        }
        let failure = Failure {
            outcome_unknown,
            reason,
            retry_at: now.plus(pause),
        };
        if refresh_ledger::abandon(&state.pool, &grant.id, self.fence, failure, now).await? {
            record(state, grant, AuditOutcome::Failed, Some(reason), None).await;
        }
        Ok(())
    }

    /// Never ends; dropped with the attempt.
    async fn keep_lease(&self) -> Result<Made, VaultError> {
        let lease = self.state.config.refresh.lease();
        loop {
            tokio::time::sleep(lease / 3).await;
            let until = self.state.clock.now().plus(lease);
            // Without it the call goes on: it cannot be taken back, and its pair is stored by its generation.
            match refresh_ledger::renew(&self.state.pool, &self.grant.id, self.fence, until).await {
                Ok(true) => {}
                Ok(false) => tracing::warn!(grant.id = self.grant.id, "the lease of a refresh was lost"),
                Err(error) => {
                    tracing::warn!(grant.id = self.grant.id, %error, "a lease could not be renewed");
                }
            }
        }
    }
}

/// Whether an introspection endpoint would say the same again: it refuses, or says what is no answer (RFC 7662 section
/// 2.2).
fn is_final(error: &ExchangeError) -> bool {
    match error {
        ExchangeError::Token(TokenError::Status(408 | 429)) => false,
        ExchangeError::Token(TokenError::Status(400..=499) | TokenError::Malformed(_)) => true,
        _ => false,
    }
}

/// The reason that is stored, shown and audited; a closed list.
fn reason(error: &ExchangeError) -> &'static str {
    match error {
        ExchangeError::Provider(_) => "provider_unusable",
        ExchangeError::IdToken(_) => "malformed_response",
        ExchangeError::Token(error) => match error {
            TokenError::Denied { .. } => "provider_refused",
            TokenError::Status(500..=599) => "server_error",
            TokenError::Status(_) => "unexpected_status",
            TokenError::Malformed(_) => "malformed_response",
            TokenError::Unreachable(_) => "unreachable",
            TokenError::Timeout => "timeout",
            TokenError::Broken(_) => "broken_response",
        },
    }
}

/// One audit record. The change is made already, so a failure of the trail is logged: no token leaves by it.
async fn record(
    state: &State,
    grant: &GrantRow,
    outcome: AuditOutcome,
    reason: Option<&'static str>,
    rotated: Option<bool>,
) {
    let mut entry = Entry::new(ACTION, outcome)
        .with_account(&*grant.account, &*state.config.region)
        .with_workload(&*grant.workload_name)
        .with_provider(&*grant.provider_name)
        .with_grant(&*grant.id)
        .with_person(grant.user_key)
        .with_detail("generation", grant.refresh.generation);
    entry.reason = reason;
    entry.sid.clone_from(&grant.sid);
    if let Some(rotated) = rotated {
        entry = entry.with_detail("rotated", rotated);
    }
    if let Err(error) = state.recorder.record(entry).await {
        tracing::error!(grant.id = grant.id, %error, "a refresh could not be recorded");
    }
}
