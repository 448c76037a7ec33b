//! Who may do what design D6 keeps apart, for whoever looks the installation over.

use countersign_db::{DbError, Pool};

use crate::store::{account, principal};

const PAGE: i64 = 500;

/// A principal whose policy lets it ask for tokens and complete their sessions as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakGlass {
    /// Its account.
    pub account: String,
    /// Its name.
    pub principal: String,
}

/// Every such principal of every account, by account and name. Whether it was stored with `--break-glass` does not
/// matter: what the policy says now does.
///
/// A principal whose policy cannot be read ends the list of its account; [`crate::integrity`] names it.
pub async fn break_glass(pool: &Pool) -> Result<Vec<BreakGlass>, DbError> {
    let mut found = Vec::new();
    for account in account::list(pool).await? {
        let mut after = String::new();
        loop {
            let page = match principal::list(pool, &account, &after, PAGE).await {
                Err(DbError::Inconsistent { .. }) => break,
                page => page?,
            };
            let Some(last) = page.last() else { break };
            after.clone_from(&last.name);
            found.extend(page.into_iter().filter(joins).map(|row| BreakGlass {
                account: account.clone(),
                principal: row.name,
            }));
        }
    }
    Ok(found)
}

fn joins(row: &principal::PrincipalRow) -> bool {
    row.policy
        .as_ref()
        .is_some_and(|stored| stored.policy.joins_asking_and_completing())
}
