//! Which accounts a person holds at a provider, so that one of them is told from another (design D12).

use countersign_crypto::{Keyring, Timestamp, UserKey};
use countersign_db::{DbError, Transaction};

use super::{AccountIdentity, readable_identity};
use crate::state::State;
use crate::store::confirmation;
use crate::store::grant::{self, GrantRow, GrantState};

/// A person's live grants at a provider, each with its account.
pub(super) struct Holdings {
    provider_id: String,
    user_key: UserKey,
    held: Vec<Held>,
    /// Ids of those whose rows are damaged.
    damaged: Vec<String>,
}

struct Held {
    row: GrantRow,
    /// The vendor's own name for the account; `None` where the vendor does not say, or what it said does not open.
    account: Option<AccountIdentity>,
}

impl Holdings {
    /// As they stand now.
    pub(super) async fn read(
        state: &State,
        keyring: &Keyring,
        provider_id: &str,
        user_key: &UserKey,
    ) -> Result<Self, DbError> {
        let (rows, damaged) = confirmation::list_of_user(&state.pool, provider_id, user_key).await?;
        let held = rows.into_iter().map(|row| {
            let account = readable_identity(keyring, &row);
            Held { row, account }
        });
        Ok(Self {
            provider_id: provider_id.to_owned(),
            user_key: *user_key,
            held: held.collect(),
            damaged,
        })
    }

    /// Whether `tx` still finds what was read: nothing came, ended or was confirmed meanwhile.
    pub(super) async fn still_stand(&self, tx: &mut Transaction) -> Result<bool, DbError> {
        let mut standing = confirmation::standing_of_user(tx, &self.provider_id, &self.user_key).await?;
        standing.retain(|(id, _)| !self.damaged.contains(id));
        let read = self
            .held
            .iter()
            .map(|held| (&*held.row.id, held.row.state == GrantState::Unconfirmed));
        Ok(standing.iter().map(|(id, waits)| (&**id, *waits)).eq(read))
    }

    /// The grants by which the person is connected through a workload to another account than `account`. One that
    /// cannot be named cannot be shown to be the same.
    pub(super) fn of_other_accounts(
        &self,
        workload_id: &str,
        account: Option<&AccountIdentity>,
    ) -> Vec<(&GrantRow, &AccountIdentity)> {
        let served = self
            .held
            .iter()
            .filter(|held| held.row.workload_id == workload_id && held.row.state != GrantState::Unconfirmed);
        served
            .filter_map(|held| held.account.as_ref().map(|known| (&held.row, known)))
            .filter(|(_, known)| account.is_none_or(|account| account.id != known.id))
            .collect()
    }

    /// The account of a grant.
    pub(super) fn account_of(&self, id: &str) -> Option<&AccountIdentity> {
        self.held.iter().find(|held| held.row.id == id)?.account.as_ref()
    }

    /// Adds one that comes in this transaction.
    pub(super) fn add(&mut self, row: GrantRow, account: Option<AccountIdentity>) {
        self.held.push(Held { row, account });
    }

    /// Ends a grant that nobody has confirmed. The vendor is told, unless another grant that the person keeps is of the
    /// same account, or neither has a name: many a vendor withdraws all that an application has of an account at once.
    pub(super) async fn give_up(
        &mut self,
        tx: &mut Transaction,
        id: &str,
        reason: &'static str,
        now: Timestamp,
    ) -> Result<bool, DbError> {
        let Some(at) = self.held.iter().position(|held| held.row.id == id) else {
            return Ok(false);
        };
        let going = self.held.swap_remove(at);
        if !confirmation::hold(tx, id).await? {
            return Ok(false);
        }
        let name = |held: &Held| held.account.as_ref().map(|account| account.id.clone());
        let kept = self.held.iter().any(|held| name(held) == name(&going));
        if kept {
            grant::let_go(tx, id, GrantState::Revoked, reason, now).await
        } else {
            grant::end(tx, id, GrantState::Revoked, reason, now).await
        }
    }

    /// Ends the grants of another account, whose place is taken.
    pub(super) async fn replace(
        &mut self,
        tx: &mut Transaction,
        ids: &[String],
        now: Timestamp,
    ) -> Result<(), DbError> {
        for id in ids {
            grant::end(tx, id, GrantState::Replaced, "other_account", now).await?;
        }
        self.held.retain(|held| !ids.contains(&held.row.id));
        Ok(())
    }
}
