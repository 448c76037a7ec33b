//! A consent becomes a grant (design D12, D13): the tokens are sealed, the provider is pinned, and the account
//! that was connected is compared with the one before.

use std::sync::Arc;

use countersign_crypto::{Keyring, uuid_v7};
use countersign_db::DbError;
use countersign_oauth::TokenSet;

use super::holdings::Holdings;
use super::patience::Patience;
use super::{AccountIdentity, Provider, VaultError, expiry, key, revoke, scope, seal_identity, seal_token};
use crate::config::AccountChange;
use crate::session::{CONFIRM_TIME, Secrets, Status};
use crate::state::State;
use crate::store::authorization_session::{self, SessionRow};
use crate::store::confirmation;
use crate::store::grant::{self, GrantRow, GrantState};
use crate::store::refresh_ledger::RefreshLedger;

/// What an exchange brought.
pub(crate) struct Consented {
    pub(crate) tokens: TokenSet,
    /// `None`: the vendor does not say whose account it is.
    pub(crate) identity: Option<AccountIdentity>,
}

/// How [`store`] ended.
#[derive(Debug)]
pub(crate) enum Stored {
    /// The grant, and how many grants of another account it took the place of.
    Granted {
        grant: Box<GrantRow>,
        replaced_other_account: usize,
    },
    /// The person had connected this other account, and is to say which of the two stays; until then the grant is not
    /// served.
    Waits {
        grant: Box<GrantRow>,
        before: Option<AccountIdentity>,
    },
    /// The person had connected another account, and the account setting is to keep it.
    OtherAccount,
    /// The session is no longer being exchanged: it took too long.
    Lapsed,
    /// A newer request for the same was completed meanwhile.
    Overtaken,
}

/// Stores the grant of `session` and completes the session, both or neither; where that fails its tokens are withdrawn.
///
/// With `account_change = replace` (the default) grants of another account that this person connected through this
/// workload end here, so that an agent never mixes two accounts; with `refuse` nothing is stored; with `confirm` the
/// grant waits beside them ([`super::confirmation`]).
///
/// `before` are the vault's keys from before the exchange: should the vault have closed meanwhile, the code is spent all
/// the same.
pub(crate) async fn store(
    state: &State,
    session: &SessionRow,
    secrets: &Secrets,
    provider: &Provider,
    consented: &Consented,
    before: &Arc<Keyring>,
) -> Result<Stored, VaultError> {
    let keyring = state.vault_keyring_or(&session.account, before);
    let mut storing = Storing {
        state,
        session,
        consented,
        row: new_grant(state, &keyring, session, secrets, provider, consented),
        replaced: 0,
        keyring,
    };
    let stored = storing.until_stored().await;
    if stored.is_err() {
        // Rather a grant that needs consent again, should it be there after all, than tokens that nobody knows of.
        revoke::discard(state, provider, &consented.tokens).await;
    }
    stored
}

/// A grant on its way into the store.
struct Storing<'a> {
    state: &'a State,
    session: &'a SessionRow,
    consented: &'a Consented,
    keyring: Arc<Keyring>,
    row: GrantRow,
    /// How many grants of another account it takes the place of.
    replaced: usize,
}

impl Storing<'_> {
    /// The code is spent, so that a store that is away is waited for.
    async fn until_stored(&mut self) -> Result<Stored, VaultError> {
        let (mut patience, mut doubtful) = (Patience::new(), false);
        loop {
            match self.once().await {
                // A commit whose acknowledgement was lost has ended the session that the next try wants to end.
                Ok(Some(Stored::Lapsed | Stored::Overtaken)) if doubtful => match self.earlier().await {
                    Ok(Some(stored)) => return Ok(stored),
                    Ok(None) => doubtful = false,
                    Err(error) => patience.after(error).await?,
                },
                Ok(Some(stored)) => return Ok(stored),
                Ok(None) | Err(VaultError::Db(DbError::Conflict(_))) => tokio::task::yield_now().await,
                Err(VaultError::Db(error)) => {
                    patience.after(error).await?;
                    doubtful = true;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// One try; `None` when the person's grants moved meanwhile.
    async fn once(&mut self) -> Result<Option<Stored>, VaultError> {
        let (state, session, consented) = (self.state, self.session, self.consented);
        let mut held = Holdings::read(state, &self.keyring, &session.provider_id, &session.user_key).await?;
        let others = held.of_other_accounts(&session.workload_id, consented.identity.as_ref());
        let before = others.first().map(|(_, account)| (*account).clone());
        let others: Vec<String> = others.into_iter().map(|(row, _)| row.id.clone()).collect();
        self.row.state = match state.settings(&session.account).account_change {
            _ if others.is_empty() => GrantState::Active,
            AccountChange::Replace => GrantState::Active,
            AccountChange::Confirm => GrantState::Unconfirmed,
            AccountChange::Refuse => return Ok(Some(Stored::OtherAccount)),
        };
        self.replaced = others.len();
        Ok(
            match commit(state, session, &self.row, consented, &mut held, &others).await? {
                Committed::Moved => None,
                Committed::Lapsed => Some(Stored::Lapsed),
                Committed::Overtaken => Some(Stored::Overtaken),
                Committed::Stored => Some(self.stored(before)),
            },
        )
    }

    /// What an earlier try has come to, of which nobody was told; `None`: to nothing.
    async fn earlier(&mut self) -> Result<Option<Stored>, DbError> {
        let session = authorization_session::find(&self.state.pool, &self.session.id).await?;
        let Some(session) = session.filter(|session| session.grant_id.as_ref() == Some(&self.row.id)) else {
            return Ok(None);
        };
        self.row.state = match session.status {
            Status::Confirming => GrantState::Unconfirmed,
            _ => GrantState::Active,
        };
        Ok(Some(self.stored(None)))
    }

    fn stored(&self, before: Option<AccountIdentity>) -> Stored {
        let grant = Box::new(self.row.clone());
        if grant.state == GrantState::Unconfirmed {
            Stored::Waits { grant, before }
        } else {
            Stored::Granted {
                grant,
                replaced_other_account: self.replaced,
            }
        }
    }
}

/// What became of the grant's transaction.
enum Committed {
    Stored,
    Lapsed,
    Overtaken,
    /// The person's grants have changed since they were read.
    Moved,
}

async fn commit(
    state: &State,
    session: &SessionRow,
    row: &GrantRow,
    consented: &Consented,
    held: &mut Holdings,
    others: &[String],
) -> Result<Committed, DbError> {
    let now = row.created_at;
    let mut tx = state.pool.begin().await?;
    // Before anything is read: of two sessions that change one connection at this moment, the second sees the first.
    confirmation::lock_connection(&mut tx, session).await?;
    if !held.still_stand(&mut tx).await? {
        return Ok(Committed::Moved);
    }
    if authorization_session::end_overtaken(&mut tx, session, now).await? {
        tx.commit().await?;
        return Ok(Committed::Overtaken);
    }
    let moved = if row.state == GrantState::Unconfirmed {
        confirmation::begin(&mut tx, &session.id, &row.id, now.plus(CONFIRM_TIME)).await?
    } else {
        held.replace(&mut tx, others, now).await?;
        authorization_session::complete(&mut tx, &session.id, &row.id, now).await?
    };
    if !moved {
        return Ok(Committed::Lapsed);
    }
    grant::insert(&mut tx, row).await?;
    held.add(row.clone(), consented.identity.clone());
    for id in confirmation::supersede(&mut tx, session, now).await? {
        held.give_up(&mut tx, &id, "newer_consent", now).await?;
    }
    tx.commit().await?;
    Ok(Committed::Stored)
}

fn new_grant(
    state: &State,
    keyring: &Keyring,
    session: &SessionRow,
    secrets: &Secrets,
    provider: &Provider,
    consented: &Consented,
) -> GrantRow {
    let now = state.clock.now();
    let id = uuid_v7(&*state.clock, &*state.random).to_string();
    let seal = |column, token| seal_token(keyring, &*state.random, &session.account, &id, column, token);
    let tokens = &consented.tokens;
    let granted = tokens.scope.as_deref().map(key::normalised_scopes);
    let scopes = provider.effective_scopes(&session.scopes, granted.as_deref());
    let pins = provider.pins();
    GrantRow {
        account: session.account.clone(),
        workload_id: session.workload_id.clone(),
        workload_name: session.workload_name.clone(),
        provider_id: session.provider_id.clone(),
        provider_name: session.provider_name.clone(),
        user_key: session.user_key,
        person: session.person.clone(),
        sid: session.sid.clone(),
        session_id: session.id.clone(),
        vault_key: session.vault_key,
        declined: scope::declined(&session.scopes, &scopes),
        scope_set: key::set_hash(&scopes),
        scopes,
        issuer: pins.issuer,
        token_origin: pins.token_origin,
        client_id: pins.client_id,
        resources: secrets.resources.clone(),
        account_identity: consented
            .identity
            .as_ref()
            .map(|identity| seal_identity(keyring, &*state.random, &session.account, &id, identity)),
        access_token: Some(seal("access_token", &tokens.access_token)),
        refresh_token: tokens
            .refresh_token
            .as_ref()
            .map(|token| seal("refresh_token", token)),
        access_expires_at: expiry(tokens.expires_in, now),
        state: GrantState::Active,
        fence: 0,
        lease_until: None,
        reason: None,
        refresh: RefreshLedger {
            access_issued_at: Some(now),
            ..RefreshLedger::default()
        },
        created_at: now,
        updated_at: now,
        ended_at: None,
        id,
    }
}
