//! After a restore (design D16): the database is older than the world. What was revoked, rotated or handed out since the
//! backup is not known here, so that nothing which was handed out is believed any more.

use std::collections::BTreeMap;

use countersign_crypto::{
    Clock, ExposeSecret as _, KeyError, KeyProvider, KeyPurpose, KeyRow, KeyState, Keyring, NewKey, Random,
};
use countersign_db::{DatabaseConfig, DbError, Pool, migrate};

use crate::keys::{KeyLoader, KeysError};
use crate::store::sealed::COLUMNS;
use crate::store::{self, account, key, restored};

const PAGE: i64 = 100;

/// What opens and makes keys.
pub struct Restored<'a> {
    /// The database that was filled.
    pub pool: &'a Pool,
    /// Wraps its keys from now on.
    pub provider: &'a dyn KeyProvider,
    /// What wrapped them when the backup was made, if it is another.
    pub previous: Option<&'a dyn KeyProvider>,
    /// Draws randomness.
    pub random: &'a dyn Random,
    /// Tells the time.
    pub clock: &'a dyn Clock,
}

/// What was made invalid.
#[derive(Debug, Clone, Copy, Default)]
pub struct Distrusted {
    /// Grants that are refreshed at their next use.
    pub grants: u64,
    /// Access keys that are inactive until somebody activates them.
    pub access_keys: u64,
}

/// Brings an empty database to the schema that a backup has: the newest version of each owner in `versions`.
/// [`DbError::Newer`] when this program does not know it.
pub async fn migrate_to(
    config: &DatabaseConfig,
    versions: &BTreeMap<String, i64>,
    now_micros: i64,
) -> Result<(), DbError> {
    let pool = Pool::connect(&config.database(store::OWNER)?).await?;
    let owners = [
        (store::OWNER, store::MIGRATIONS),
        ("audit", countersign_audit::MIGRATIONS),
    ];
    let outcome = async {
        for (owner, migrations) in owners {
            let migrations = countersign_db::up_to(owner, migrations, versions)?;
            migrate(&pool, owner, migrations, now_micros).await?;
        }
        Ok(())
    }
    .await;
    pool.close().await;
    outcome
}

impl Restored<'_> {
    /// Of a database that was handed over: its keys come under the provider, and all that was handed out stays good.
    ///
    /// Fails when a key is under neither root key; the database is then not to be used, and can be filled anew.
    pub async fn carry_on(&self) -> Result<(), KeysError> {
        self.rewrap().await?;
        let configured = self.provider.key_id();
        // Of the customer's keys also what a reset left behind, which nothing needs.
        let customers = |row: &KeyRow| {
            let customer = self.provider.customer_key(&row.account, &row.provider_key_id);
            row.purpose == KeyPurpose::Vault && (customer.is_some() || row.state == KeyState::Retired)
        };
        match key::list_of_other_roots(self.pool, &configured)
            .await?
            .into_iter()
            .find(|row| !customers(row))
        {
            None => Ok(()),
            Some(row) => Err(KeyError::OtherRoot {
                key: row.id,
                wrapped_by: row.provider_key_id,
                configured,
            }
            .into()),
        }
    }

    /// Of a database that was brought up to date with the newer audit log: sessions, workload access tokens and temporary
    /// credentials end; access keys and grants are what the log left of them.
    pub async fn begin_anew(&self) -> Result<(), KeysError> {
        self.rewrap().await?;
        let now = self.clock.now();
        for account in account::list(self.pool).await? {
            self.replace_credential_key(&account).await?;
        }
        let mut tx = self.pool.begin().await?;
        restored::end_what_was_handed_out(&mut tx, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Brings every key that the previous root key wrapped under the provider.
    pub async fn rewrap(&self) -> Result<(), KeysError> {
        let Some(previous) = self.previous else {
            return Ok(());
        };
        let loader = KeyLoader {
            pool: self.pool,
            provider: self.provider,
            random: self.random,
            clock: self.clock,
            region: "",
        };
        loader.rewrap(previous).await.map(drop)
    }

    /// Ends sessions, workload access tokens and temporary credentials, makes access keys inactive but those of
    /// `vouched_for`, and has every grant prove itself by a refresh at its next use.
    ///
    /// Fails when a key does not open; the database is then not to be used, and can be filled anew.
    pub async fn distrust(&self, vouched_for: &[String]) -> Result<Distrusted, KeysError> {
        self.begin_anew().await?;
        let now = self.clock.now();
        let mut tx = self.pool.begin().await?;
        let grants = restored::distrust_grants(&mut tx, now).await?;
        let mut access_keys = restored::disable_access_keys(&mut tx).await?;
        for id in vouched_for {
            if restored::enable_access_key(&mut tx, id).await? {
                access_keys = access_keys.saturating_sub(1);
            }
        }
        tx.commit().await?;
        Ok(Distrusted { grants, access_keys })
    }

    /// Temporary credentials are stored nowhere: they end with the key that sealed them. Secrets of access keys are
    /// sealed anew.
    async fn replace_credential_key(&self, account: &str) -> Result<(), KeysError> {
        let purpose = KeyPurpose::Credential;
        let old = key::list(self.pool, account, purpose).await?;
        let Some(newest) = old.first() else {
            return Ok(());
        };
        let new = NewKey {
            account,
            resource: &newest.resource,
            purpose,
            version: newest.version + 1,
        };
        let mut row = KeyRow::generate_symmetric(self.provider, self.random, self.clock, new).await?;
        row.state = KeyState::Enabled;
        key::insert(self.pool, &row).await?;
        let mut tx = self.pool.begin().await?;
        if !key::promote(&mut tx, &row).await? {
            return Err(KeyError::Rows.into());
        }
        tx.commit().await?;
        let rows = key::list(self.pool, account, purpose).await?;
        let keyring = Keyring::unwrap(self.provider, &rows).await?;
        self.reseal(account, &keyring).await?;
        let mut tx = self.pool.begin().await?;
        for row in &old {
            key::retire(&mut tx, row).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    async fn reseal(&self, account: &str, keyring: &Keyring) -> Result<(), KeysError> {
        let Some(prefix) = Keyring::sealed_prefix(&keyring.primary_id()) else {
            return Ok(());
        };
        for column in COLUMNS
            .iter()
            .filter(|column| column.purpose == KeyPurpose::Credential)
        {
            let mut after = String::new();
            loop {
                let page = column
                    .list_not_under(self.pool, account, &prefix, &after, PAGE)
                    .await?;
                let Some((last, _)) = page.last() else { break };
                after.clone_from(last);
                let mut tx = self.pool.begin().await?;
                for (id, old) in &page {
                    let place = column.place(account, id);
                    // One that does not open is of no use to anybody: `doctor --deep` names it.
                    if let Ok(secret) = keyring.open(&place, old) {
                        let new = keyring.seal(self.random, &place, secret.expose_secret());
                        column.replace(&mut tx, id, old, new.as_bytes()).await?;
                    }
                }
                tx.commit().await?;
            }
        }
        Ok(())
    }
}
