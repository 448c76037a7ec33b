//! Everything that is stored, looked at once: what does not parse, and what does not open.
//!
//! It reads and changes nothing, and goes on behind what it finds: one damaged row must not hide another.

use countersign_crypto::{KeyProvider, KeyPurpose, KeyState, Keyring, OpenError};
use countersign_db::{DbError, Pool};

use crate::keys::AccountKeys;
use crate::store::sealed::{COLUMNS, SealedColumn};
use crate::store::{account, grant, key, oauth2_provider, principal, workload_identity};

const PAGE: i64 = 500;
/// Damages that are listed, at most; beyond that the database is to be restored, not mended.
const MOST: usize = 1000;

/// A stored value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The table.
    pub table: &'static str,
    /// The column.
    pub column: &'static str,
    /// The row's key.
    pub id: String,
    /// What is wrong with the value, without the value.
    pub fault: String,
}

/// Reads every row of the identity role's database and opens every sealed value. Gives the damages, the first thousand.
///
/// Fails when the database does not answer; a key that does not unwrap is a damage of its own.
pub async fn integrity(pool: &Pool, provider: &dyn KeyProvider) -> Result<Vec<Damage>, DbError> {
    let mut found = Vec::new();
    for account in account::list(pool).await? {
        let mut rings = Vec::new();
        for purpose in AccountKeys::PURPOSES {
            let ring = keyring(pool, provider, &account, purpose, &mut found).await?;
            rings.extend(ring.map(|ring| (purpose, ring)));
        }
        for column in COLUMNS {
            let needed = rings.iter().filter(|(purpose, _)| column.needs(*purpose));
            let needed: Vec<&Keyring> = needed.map(|(_, ring)| ring).collect();
            // Without its keys, that they do not open is what is found.
            if rings.iter().any(|(purpose, _)| *purpose == column.purpose) {
                sealed(pool, &needed, &account, column, &mut found).await?;
            }
        }
        rows(pool, &account, &mut found).await?;
    }
    found.truncate(MOST);
    Ok(found)
}

/// The keys of a purpose; `None` when there are none yet, or when they do not open.
async fn keyring(
    pool: &Pool,
    provider: &dyn KeyProvider,
    account: &str,
    purpose: KeyPurpose,
    found: &mut Vec<Damage>,
) -> Result<Option<Keyring>, DbError> {
    let rows = key::list(pool, account, purpose).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    match Keyring::unwrap(provider, &rows).await {
        Ok(keyring) => Ok(Some(keyring)),
        Err(error) => {
            let primary = rows.iter().find(|row| row.state == KeyState::Primary);
            found.push(Damage {
                table: "key_version",
                column: "wrapped",
                id: primary.unwrap_or(&rows[0]).id.clone(),
                fault: error.to_string(),
            });
            Ok(None)
        }
    }
}

async fn sealed(
    pool: &Pool,
    keyrings: &[&Keyring],
    account: &str,
    column: &SealedColumn,
    found: &mut Vec<Damage>,
) -> Result<(), DbError> {
    let mut after = String::new();
    loop {
        // No value begins with nothing else than nothing: all of them.
        let page = column.list_not_under(pool, account, &[], &after, PAGE).await?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        after.clone_from(last);
        for (id, value) in &page {
            let place = column.place(account, id);
            let mut opened = Err(OpenError::UnknownKey);
            for keyring in keyrings {
                if !matches!(opened, Err(OpenError::UnknownKey)) {
                    break;
                }
                opened = keyring.open(&place, value);
            }
            if let Err(error) = opened {
                found.push(Damage {
                    table: column.table,
                    column: column.column,
                    id: id.clone(),
                    fault: error.to_string(),
                });
            }
        }
    }
}

/// What is stored in the open, as the role reads it. Lists by name end at their first damaged row.
async fn rows(pool: &Pool, account: &str, found: &mut Vec<Damage>) -> Result<(), DbError> {
    let mut after = String::new();
    loop {
        match grant::list_whole(pool, account, &after, PAGE).await {
            Ok(page) => match page.last() {
                None => break,
                Some(last) => after.clone_from(&last.id),
            },
            Err(error) => after = damage(error, found)?,
        }
    }
    let mut after = String::new();
    while let Some(last) = taken(workload_identity::list(pool, account, &after, PAGE).await, found)? {
        after = last.name;
    }
    let mut after = String::new();
    while let Some(last) = taken(oauth2_provider::list(pool, account, &after, PAGE).await, found)? {
        after = last.name;
    }
    let mut after = String::new();
    while let Some(last) = taken(principal::list(pool, account, &after, PAGE).await, found)? {
        after = last.name;
    }
    Ok(())
}

/// The last row of a page; `None` at the end, or behind a damage.
fn taken<T>(page: Result<Vec<T>, DbError>, found: &mut Vec<Damage>) -> Result<Option<T>, DbError> {
    match page {
        Ok(mut page) => Ok(page.pop()),
        Err(error) => damage(error, found).map(|_| None),
    }
}

/// Notes a damaged row and gives its id; any other error is the database's.
fn damage(error: DbError, found: &mut Vec<Damage>) -> Result<String, DbError> {
    match error {
        DbError::Inconsistent { table, column, id } => {
            found.push(Damage {
                table,
                column,
                id: id.clone(),
                fault: "is not what this program writes".to_owned(),
            });
            Ok(id)
        }
        error => Err(error),
    }
}
