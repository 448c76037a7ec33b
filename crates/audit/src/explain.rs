//! How a token came to be used: login, workload access token, authorization session, grant, use.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use countersign_db::Pool;
use serde::Serialize;

use crate::record::Step;
use crate::store::{self, Ends};
use crate::{AuditError, Counted, PersonKeys, Record, RecordId};

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
    /// `login`, `workload access token`, `authorization session`, `grant`, `use` or `record`.
    pub kind: &'static str,
    /// The id it is about: sid, authorization session, grant or record.
    pub id: String,
    /// Its records, oldest first.
    pub records: Vec<Record>,
    /// What followed from it.
    pub children: Vec<Node>,
    /// How many records of a grant or authorization session are left out of `records` and `children`: of more than two
    /// hundred only the oldest and the newest hundred are here.
    pub omitted: u64,
}

/// The answer.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// What was asked about.
    pub id: String,
    /// The trees, one a login.
    pub roots: Vec<Node>,
}

/// Explains a record id, request id, authorization session, grant id or grant ARN from all the given
/// databases. `None`: nobody recorded such an id.
#[tracing::instrument(name = "audit.explain", skip_all)]
pub async fn explain(sources: &[Source<'_>], id: &str) -> Result<Option<Explanation>, AuditError> {
    let mut gathered = Gathered {
        sources,
        records: BTreeMap::new(),
    };
    let Some(focus) = gathered.focus(id).await? else {
        return Ok(None);
    };
    let trees = Trees::grow(&mut gathered, &focus).await?;
    let mut roots = trees.into_roots();
    gathered.open(&mut roots).await?;
    Ok(Some(Explanation {
        id: id.to_owned(),
        roots,
    }))
}

/// What the question is about.
struct Focus {
    /// The records asked about; all of a grant's or session's when that was asked about.
    records: Vec<Record>,
    sessions: BTreeSet<String>,
    /// The grant that was asked about, if that has more records than those.
    long_grant: Option<(String, u64)>,
}

impl Focus {
    fn omitted_of(&self, grant: &str) -> u64 {
        let long = self.long_grant.as_ref().filter(|(long, _)| long == grant);
        long.map_or(0, |(_, omitted)| *omitted)
    }
}

struct Gathered<'a> {
    sources: &'a [Source<'a>],
    /// From which source a record is.
    records: BTreeMap<String, usize>,
}

impl Gathered<'_> {
    async fn focus(&mut self, id: &str) -> Result<Option<Focus>, AuditError> {
        let grant = id.rsplit_once("grant/").map_or(id, |(_, grant)| grant);
        let mut records = match id.parse::<RecordId>() {
            Ok(id) => self.by_id(&id).await?,
            Err(_) => self.by(Key::Request, id).await?.records,
        };
        let mut grants: BTreeSet<String> = BTreeSet::new();
        let mut long_grant = None;
        if records.is_empty() {
            let found = self.by(Key::Grant, grant).await?;
            records = found.records;
            grants.extend((!records.is_empty()).then(|| grant.to_owned()));
            long_grant = (found.omitted > 0).then(|| (grant.to_owned(), found.omitted));
        }
        if records.is_empty() {
            records = self.by(Key::Session, id).await?.records;
        }
        if records.is_empty() {
            return Ok(None);
        }
        grants.extend(records.iter().filter_map(|record| record.grant.clone()));
        let mut sessions: BTreeSet<String> = records
            .iter()
            .filter_map(|record| record.session.clone())
            .collect();
        for grant in &grants {
            let of_grant = self.by(Key::Grant, grant).await?.records;
            sessions.extend(of_grant.into_iter().filter_map(|record| record.session));
        }
        Ok(Some(Focus {
            records,
            sessions,
            long_grant,
        }))
    }

    async fn by_id(&mut self, id: &RecordId) -> Result<Vec<Record>, AuditError> {
        let mut found = Vec::new();
        for (index, source) in self.sources.iter().enumerate() {
            let record = store::by_id(source.pool, id).await?;
            found.extend(self.note(index, record));
        }
        Ok(found)
    }

    async fn by(&mut self, key: Key, value: &str) -> Result<Ends, AuditError> {
        let mut found = Ends::default();
        for (index, source) in self.sources.iter().enumerate() {
            let Ends { records, omitted } = match key {
                Key::Request => store::by_request(source.pool, value).await?,
                Key::Grant => store::by_grant(source.pool, value).await?,
                Key::Session => store::by_session(source.pool, value).await?,
            };
            found.records.extend(self.note(index, records));
            found.omitted += omitted;
        }
        found
            .records
            .sort_by(|a, b| (a.at, &a.id.writer, a.id.seq).cmp(&(b.at, &b.id.writer, b.id.seq)));
        Ok(found)
    }

    async fn login(&mut self, sid: &str) -> Result<Vec<Record>, AuditError> {
        let mut found = Vec::new();
        for (index, source) in self.sources.iter().enumerate() {
            let record = store::login(source.pool, sid).await?;
            found.extend(self.note(index, record));
        }
        Ok(found)
    }

    /// The workload access token under which a record's request was made.
    async fn workload_access_token(&mut self, record: &Record) -> Result<Option<Record>, AuditError> {
        let (Some(sid), Some(workload)) = (&record.sid, &record.workload) else {
            return Ok(None);
        };
        for (index, source) in self.sources.iter().enumerate() {
            let found = store::workload_access_token(source.pool, sid, workload, record.at).await?;
            if let Some(token) = self.note(index, found).pop() {
                return Ok(Some(token));
            }
        }
        Ok(None)
    }

    fn note(&mut self, source: usize, records: impl IntoIterator<Item = Record>) -> Vec<Record> {
        let records: Vec<Record> = records.into_iter().collect();
        self.records
            .extend(records.iter().map(|record| (record.id.to_string(), source)));
        records
    }

    /// Opens the personal details of all records in the trees.
    async fn open(&self, nodes: &mut [Node]) -> Result<(), AuditError> {
        for node in nodes {
            for record in &mut node.records {
                let source = self
                    .records
                    .get(&record.id.to_string())
                    .and_then(|index| self.sources.get(*index));
                if let Some(persons) = source.and_then(|source| source.persons) {
                    persons.open(std::slice::from_mut(record)).await?;
                }
            }
            Box::pin(self.open(&mut node.children)).await?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Key {
    Request,
    Grant,
    Session,
}

/// Login → workload access token → what was done with it, under construction. An empty key stands for
/// "none recorded".
#[derive(Default)]
struct Trees {
    logins: BTreeMap<String, Login>,
}

#[derive(Default)]
struct Login {
    records: Vec<Record>,
    tokens: BTreeMap<String, Token>,
}

#[derive(Default)]
struct Token {
    record: Option<Record>,
    children: Vec<Node>,
}

impl Trees {
    async fn grow(gathered: &mut Gathered<'_>, focus: &Focus) -> Result<Self, AuditError> {
        let mut trees = Self::default();
        let mut placed: BTreeSet<String> = BTreeSet::new();
        for session in &focus.sessions {
            let Ends { records, omitted } = gathered.by(Key::Session, session).await?;
            let (uses, records): (Vec<Record>, Vec<Record>) = records.into_iter().partition(is_use);
            placed.extend(records.iter().map(|record| record.id.to_string()));
            let Some(first) = records.first().or(uses.first()).cloned() else {
                continue;
            };
            let granted: BTreeSet<&String> = records
                .iter()
                .chain(&uses)
                .filter_map(|record| record.grant.as_ref())
                .collect();
            let children: Vec<Node> = granted
                .into_iter()
                .map(|grant| Node {
                    omitted: focus.omitted_of(grant),
                    ..grant_node(grant, uses.iter().chain(&focus.records), &placed)
                })
                .collect();
            placed.extend(
                children
                    .iter()
                    .flat_map(|grant: &Node| &grant.children)
                    .map(|used| used.id.clone()),
            );
            let node = Node {
                kind: "authorization session",
                id: session.clone(),
                records,
                children,
                omitted,
            };
            trees.place(gathered, &first, node).await?;
        }
        for record in &focus.records {
            if placed.insert(record.id.to_string()) {
                let id = record.id.to_string();
                let node = Node {
                    kind: "record",
                    id,
                    records: vec![record.clone()],
                    children: Vec::new(),
                    omitted: 0,
                };
                trees.place(gathered, record, node).await?;
            }
        }
        if let Some((grant, omitted)) = &focus.long_grant
            && focus.sessions.is_empty()
            && let Some(first) = focus.records.first()
        {
            let node = Node {
                omitted: *omitted,
                ..grant_node(grant, std::iter::empty(), &placed)
            };
            trees.place(gathered, first, node).await?;
        }
        trees.under_other_logins(gathered).await?;
        Ok(trees)
    }

    /// Puts a node under the login and workload access token of `record`.
    async fn place(
        &mut self,
        gathered: &mut Gathered<'_>,
        record: &Record,
        node: Node,
    ) -> Result<(), AuditError> {
        let sid = record.sid.clone().unwrap_or_default();
        if !self.logins.contains_key(&sid) {
            let records = if sid.is_empty() {
                Vec::new()
            } else {
                gathered.login(&sid).await?
            };
            self.logins.insert(
                sid.clone(),
                Login {
                    records,
                    ..Login::default()
                },
            );
        }
        let token = gathered.workload_access_token(record).await?;
        let Some(login) = self.logins.get_mut(&sid) else {
            return Ok(());
        };
        // Asked about itself, a login or a token is already a node.
        let itself = |found: &Record| node.records.iter().any(|record| record.id == found.id);
        if login.records.iter().any(itself) {
            return Ok(());
        }
        let key = token
            .as_ref()
            .map(|token| token.id.to_string())
            .unwrap_or_default();
        let is_token = token.as_ref().is_some_and(itself);
        let entry = login.tokens.entry(key).or_insert_with(|| Token {
            record: token,
            children: Vec::new(),
        });
        if !is_token {
            entry.children.push(node);
        }
        Ok(())
    }

    /// A use may have been made under another login or a later workload access token than the consent.
    async fn under_other_logins(&mut self, gathered: &mut Gathered<'_>) -> Result<(), AuditError> {
        for (sid, login) in &mut self.logins {
            for (key, token) in &mut login.tokens {
                let grants = token
                    .children
                    .iter_mut()
                    .flat_map(|session| &mut session.children);
                for used in grants.flat_map(|grant| &mut grant.children) {
                    let Some(record) = used.records.first().cloned() else {
                        continue;
                    };
                    if let Some(other) = record.sid.as_ref().filter(|other| *other != sid) {
                        let records = gathered.login(other).await?;
                        let id = other.clone();
                        used.children.push(Node {
                            kind: "login",
                            id,
                            records,
                            children: Vec::new(),
                            omitted: 0,
                        });
                    }
                    if let Some(other) = gathered.workload_access_token(&record).await?
                        && other.id.to_string() != *key
                    {
                        used.children.push(token_node(other, Vec::new()));
                    }
                }
            }
        }
        Ok(())
    }

    fn into_roots(self) -> Vec<Node> {
        let mut roots = Vec::new();
        for (sid, login) in self.logins {
            let mut children = Vec::new();
            for token in login.tokens.into_values() {
                match token.record {
                    Some(record) => children.push(token_node(record, token.children)),
                    None => children.extend(token.children),
                }
            }
            if sid.is_empty() {
                roots.extend(children);
            } else {
                roots.push(Node {
                    kind: "login",
                    id: sid,
                    records: login.records,
                    children,
                    omitted: 0,
                });
            }
        }
        roots
    }
}

fn token_node(record: Record, children: Vec<Node>) -> Node {
    Node {
        kind: "workload access token",
        id: record.id.to_string(),
        records: vec![record],
        children,
        omitted: 0,
    }
}

/// Whether a record is the release of a grant's access token.
fn is_use(record: &Record) -> bool {
    record.action == "GetResourceOauth2Token" && record.grant.is_some()
}

/// A grant with those of `records` that are of it and not placed elsewhere.
fn grant_node<'a>(grant: &str, records: impl Iterator<Item = &'a Record>, placed: &BTreeSet<String>) -> Node {
    let mut seen = BTreeSet::new();
    let children = records
        .filter(|record| record.grant.as_deref() == Some(grant))
        .filter(|record| !placed.contains(&record.id.to_string()) && seen.insert(record.id.to_string()))
        .map(|record| Node {
            kind: if is_use(record) { "use" } else { "record" },
            id: record.id.to_string(),
            records: vec![record.clone()],
            children: Vec::new(),
            omitted: 0,
        })
        .collect();
    Node {
        kind: "grant",
        id: grant.to_owned(),
        records: Vec::new(),
        children,
        omitted: 0,
    }
}

/// The trees as text, a line a node and a line a record.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for root in &self.roots {
            root.draw(f, "", "")?;
        }
        Ok(())
    }
}

impl Node {
    fn draw(&self, f: &mut fmt::Formatter<'_>, first: &str, rest: &str) -> fmt::Result {
        writeln!(f, "{first}{} {}", self.kind, self.id)?;
        if self.records.is_empty() && self.kind == "login" {
            writeln!(
                f,
                "{rest}{}(not recorded here)",
                if self.children.is_empty() {
                    "    "
                } else {
                    "│   "
                }
            )?;
        }
        for record in &self.records {
            writeln!(
                f,
                "{rest}{}{}",
                if self.children.is_empty() {
                    "    "
                } else {
                    "│   "
                },
                Step(record)
            )?;
        }
        if self.omitted > 0 {
            let below = if self.children.is_empty() {
                "    "
            } else {
                "│   "
            };
            writeln!(
                f,
                "{rest}{below}({} between its oldest and its newest left out)",
                Counted(self.omitted, "record")
            )?;
        }
        for (index, child) in self.children.iter().enumerate() {
            let (branch, below) = if index + 1 == self.children.len() {
                ("└── ", "    ")
            } else {
                ("├── ", "│   ")
            };
            child.draw(f, &format!("{rest}{branch}"), &format!("{rest}{below}"))?;
        }
        Ok(())
    }
}
