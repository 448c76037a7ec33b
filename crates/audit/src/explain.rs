//! How a token came to be used: login, consent, grant, use.

use countersign_db::Pool;
use serde::Serialize;

use crate::{AuditError, PersonKeys, Record};

/// A database to look in, with the operator's key to its personal details if there is one.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The database.
    pub pool: &'a Pool,
    /// Opens personal details; without it they are shown as pseudonyms.
    pub persons: Option<&'a PersonKeys>,
}

/// A node of the explanation.
#[derive(Debug, Clone, Serialize)]
pub struct Node {
    /// What it is: `login`, `workload access token`, `authorization session`, `grant`, `use`, `record`.
    pub kind: &'static str,
    /// The id it is about: sid, session id, grant id or record id.
    pub id: String,
    /// Its records, oldest first.
    pub records: Vec<Record>,
    /// What followed from it.
    pub children: Vec<Node>,
}

/// The answer.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// What was asked about.
    pub id: String,
    /// The trees, one a login.
    pub roots: Vec<Node>,
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}

/// Explains a record id, request id, grant id or grant ARN from all the given databases. `None`: nobody
/// recorded such an id.
pub async fn explain(sources: &[Source<'_>], id: &str) -> Result<Option<Explanation>, AuditError> {
    todo!()
}
