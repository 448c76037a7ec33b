//! A consent becomes a grant (design D12, D13): the tokens are sealed, the provider is pinned, and the account
//! that was connected is compared with the one before.

use countersign_crypto::uuid_v7;
use countersign_db::DbError;
use countersign_oauth::TokenSet;

use super::{
    AccountIdentity, Provider, VaultError, expiry, key, open_identity, scope, seal_identity, seal_token,
};
use crate::config::AccountChange;
use crate::session::Secrets;
use crate::state::State;
use crate::store::authorization_session::{self, SessionRow};
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
    /// The person had connected another account, and the account setting is to keep it.
    OtherAccount,
    /// The session is no longer being exchanged: it took too long.
    Lapsed,
}

/// Stores the grant of `session` and completes the session, both or neither.
///
/// With `account_change = replace` (the default) grants of another account that this person connected through this
/// workload end here, so that an agent never mixes two accounts; with `refuse` nothing is stored. `confirm` is
/// refused when the configuration is read, and treated as `refuse` should it come this far.
pub(crate) async fn store(
    state: &State,
    session: &SessionRow,
    secrets: &Secrets,
    provider: &Provider,
    consented: &Consented,
) -> Result<Stored, VaultError> {
    let keys = state.keys(&session.account)?;
    let before = grant::list_by_connection(
        &state.pool,
        &session.workload_id,
        &session.provider_id,
        &session.user_key,
    )
    .await?;
    let mut others = Vec::new();
    for earlier in before {
        let known = open_identity(&keys.vault, &earlier)?;
        // An account that cannot be named cannot be shown to be the same one.
        let differs = match (&known, &consented.identity) {
            (Some(known), Some(now)) => known.id != now.id,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if differs {
            others.push(earlier);
        }
    }
    if !others.is_empty() && state.settings(&session.account).account_change != AccountChange::Replace {
        return Ok(Stored::OtherAccount);
    }

    let row = new_grant(state, session, secrets, provider, consented)?;
    loop {
        match commit(state, session, &row, &others).await {
            Err(DbError::Conflict(_)) => tokio::task::yield_now().await,
            Err(error) => return Err(error.into()),
            Ok(false) => return Ok(Stored::Lapsed),
            Ok(true) => {
                let replaced_other_account = others.len();
                return Ok(Stored::Granted {
                    grant: Box::new(row),
                    replaced_other_account,
                });
            }
        }
    }
}

async fn commit(
    state: &State,
    session: &SessionRow,
    row: &GrantRow,
    others: &[GrantRow],
) -> Result<bool, DbError> {
    let now = row.created_at;
    let mut tx = state.pool.begin().await?;
    if !authorization_session::complete(&mut tx, &session.id, &row.id, now).await? {
        return Ok(false);
    }
    for other in others {
        grant::end(&mut tx, &other.id, GrantState::Replaced, "other_account", now).await?;
    }
    grant::insert(&mut tx, row).await?;
    tx.commit().await?;
    Ok(true)
}

fn new_grant(
    state: &State,
    session: &SessionRow,
    secrets: &Secrets,
    provider: &Provider,
    consented: &Consented,
) -> Result<GrantRow, VaultError> {
    let keys = state.keys(&session.account)?;
    let now = state.clock.now();
    let id = uuid_v7(&*state.clock, &*state.random).to_string();
    let seal = |column, token| seal_token(&keys.vault, &*state.random, &session.account, &id, column, token);
    let tokens = &consented.tokens;
    let granted = tokens.scope.as_deref().map(key::normalised_scopes);
    let scopes = provider.effective_scopes(&session.scopes, granted.as_deref());
    let pins = provider.pins();
    Ok(GrantRow {
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
            .map(|identity| seal_identity(&keys.vault, &*state.random, &session.account, &id, identity)),
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
    })
}
