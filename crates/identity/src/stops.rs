//! Stops (design D23): a user, workload, provider, principal or account that may do nothing until it is
//! started again.
//!
//! All stops are few and kept in memory, reloaded when the change feed says so. When the feed is not fresh the
//! database is asked each time, and when that cannot answer neither can we: a stop is never overlooked.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use countersign_api::admin::SubjectKind;
use countersign_crypto::UserKey;
use countersign_db::{ChangeFeed, DbError, Pool};

use crate::store::stop;

/// What can be stopped. Workloads, providers and principals by name: one made again under the same name is
/// still stopped.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// A person, by user key.
    User(UserKey),
    /// A person, by published user id, whatever proved them.
    Person(String),
    /// A workload identity.
    Workload(String),
    /// A credential provider.
    Provider(String),
    /// A caller of the API.
    Principal(String),
    /// The whole account.
    Account,
}

impl Subject {
    /// The audit reason of a refusal.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::User(_) | Self::Person(_) => "user_stopped",
            Self::Workload(_) => "workload_stopped",
            Self::Provider(_) => "provider_stopped",
            Self::Principal(_) => "principal_stopped",
            Self::Account => "account_stopped",
        }
    }

    /// The stored kind and subject; `account` is the account it belongs to.
    pub(crate) fn stored(&self, account: &str) -> (&'static str, String) {
        match self {
            Self::User(key) => ("user", key.to_hex()),
            Self::Person(published) => ("user", published.clone()),
            Self::Workload(name) => ("workload", name.clone()),
            Self::Provider(name) => ("provider", name.clone()),
            Self::Principal(name) => ("principal", name.clone()),
            Self::Account => ("account", account.to_owned()),
        }
    }
}

/// The kind of a stored stop, on the wire.
pub(crate) fn stored_kind(kind: &str) -> Option<SubjectKind> {
    Some(match kind {
        "user" => SubjectKind::User,
        "workload" => SubjectKind::Workload,
        "provider" => SubjectKind::Provider,
        "principal" => SubjectKind::Principal,
        "account" => SubjectKind::Account,
        _ => return None,
    })
}

/// The stored kind of one on the wire.
pub(crate) const fn stored_word(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::User => "user",
        SubjectKind::Workload => "workload",
        SubjectKind::Provider => "provider",
        SubjectKind::Principal => "principal",
        SubjectKind::Account => "account",
    }
}

/// The stops in force.
#[derive(Debug)]
pub(crate) struct Stops {
    pool: Pool,
    feed: ChangeFeed,
    in_force: ArcSwap<InForce>,
    /// Counts the changes heard of. While `in_force` is of an earlier count the database is asked.
    heard: AtomicU64,
}

#[derive(Debug)]
struct InForce {
    heard: u64,
    stops: HashSet<Key>,
}

/// Account, kind, subject.
type Key = (String, String, String);

impl Stops {
    /// Reads them for the first time. The caller follows the feed and calls [`Self::reload`].
    pub(crate) async fn load(pool: Pool, feed: ChangeFeed) -> Result<Self, DbError> {
        let stops = read(&pool).await?;
        Ok(Self {
            pool,
            feed,
            in_force: ArcSwap::from_pointee(InForce { heard: 0, stops }),
            heard: AtomicU64::new(0),
        })
    }

    /// Stops have changed: what is in memory does not count until it is read again.
    pub(crate) fn outdate(&self) {
        self.heard.fetch_add(1, Ordering::SeqCst);
    }

    /// Reads them again.
    pub(crate) async fn reload(&self) -> Result<(), DbError> {
        let heard = self.heard.load(Ordering::SeqCst);
        let stops = read(&self.pool).await?;
        let read = Arc::new(InForce { heard, stops });
        // Of two reloads under way, the one that began earlier may have seen less: it must not come last.
        self.in_force.rcu(|present| {
            if present.heard > heard {
                Arc::clone(present)
            } else {
                Arc::clone(&read)
            }
        });
        Ok(())
    }

    /// Whether the whole account is stopped, and the people who are: user keys and published user ids.
    pub(crate) async fn of_people(&self, account: &str) -> Result<(bool, Vec<String>), DbError> {
        let heard = self.heard.load(Ordering::SeqCst);
        let in_force = self.in_force.load_full();
        let read_now;
        let stops = if self.feed.fresh() && in_force.heard == heard {
            &in_force.stops
        } else {
            read_now = read(&self.pool).await?;
            &read_now
        };
        let mut users = Vec::new();
        let mut whole = false;
        for (of, kind, subject) in stops.iter().filter(|(of, _, _)| of == account) {
            match kind.as_str() {
                "account" => whole |= of == subject,
                "user" => users.push(subject.clone()),
                _ => {}
            }
        }
        Ok((whole, users))
    }

    /// The first of `subjects` that is stopped.
    pub(crate) async fn first_stopped<'a>(
        &self,
        account: &str,
        subjects: &'a [Subject],
    ) -> Result<Option<&'a Subject>, DbError> {
        // Before the list, so that a change between the two makes the list old and not the count.
        let heard = self.heard.load(Ordering::SeqCst);
        let in_force = self.in_force.load_full();
        if self.feed.fresh() && in_force.heard == heard {
            return Ok(first_of(&in_force.stops, account, subjects));
        }
        Ok(first_of(&Box::pin(read(&self.pool)).await?, account, subjects))
    }
}

fn first_of<'a>(in_force: &HashSet<Key>, account: &str, subjects: &'a [Subject]) -> Option<&'a Subject> {
    if in_force.is_empty() {
        return None;
    }
    subjects.iter().find(|subject| {
        let (kind, name) = subject.stored(account);
        in_force.contains(&(account.to_owned(), kind.to_owned(), name))
    })
}

async fn read(pool: &Pool) -> Result<HashSet<Key>, DbError> {
    let rows = stop::list_all(pool).await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.account, row.kind, row.subject))
        .collect())
}
