//! Recomputing everything: chains, trees, checkpoints, signatures.

mod checkpoints;
mod evidence;
mod export;
mod outside;
mod records;

use countersign_crypto::{JwkSet, Timestamp};
use countersign_db::{DatabaseIdentity, Pool, database_identity};
use serde::Serialize;

pub use export::{Export, newer_records, verify_export};

use crate::{AuditError, Counted};
use evidence::{Evidence, Snapshot};

/// What is verified, and against what.
#[derive(Debug, Clone, Copy)]
pub struct Trail<'a> {
    /// The database; a read-only pool will do.
    pub pool: &'a Pool,
    /// Whose trail it should be: `identity` or `gateway`.
    pub role: &'a str,
    /// Public keys that may have signed checkpoints.
    pub keys: &'a JwkSet,
    /// The text of checkpoint files kept outside the database (one JSON line each), by default the local
    /// file. Empty: truncation and roll-back cannot be told from a shorter history.
    pub checkpoints: &'a str,
    /// The latest restore epoch that the operator knows of: what such a restore left behind is no fault. 0: none. Who can
    /// write to the database can raise its epoch, so that a restore that nobody knows of is a roll-back.
    pub restored: i64,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Table, writer and number, or line of a checkpoint file.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

/// How far a signed checkpoint vouches for the records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Anchor {
    /// The newest checkpoint's number.
    pub checkpoint: i64,
    /// When it was signed, RFC 3339.
    pub at: String,
    /// Records that were written after it, which only their chains hold in place.
    pub records_after: u64,
}

/// Checkpoints kept outside that a restore explains: the life that they are of went on after the backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftBehind {
    /// The restore epoch that began instead.
    pub restore: i64,
    /// How many of them are not in the database.
    pub checkpoints: u64,
    /// When the last of them was signed, RFC 3339.
    pub last: String,
    #[serde(skip)]
    last_at: i64,
}

impl LeftBehind {
    fn before(restore: i64) -> Self {
        Self {
            restore,
            checkpoints: 0,
            last: String::new(),
            last_at: i64::MIN,
        }
    }

    fn add(&mut self, at: i64) {
        self.checkpoints += 1;
        if at > self.last_at {
            self.last_at = at;
            self.last = Timestamp::from_micros(at).to_rfc3339();
        }
    }
}

/// The outcome.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// `identity` or `gateway`.
    pub role: String,
    /// The database's id.
    pub database: String,
    /// Chains.
    pub writers: u64,
    /// Records in all.
    pub records: u64,
    /// Checkpoints in the database.
    pub checkpoints: u64,
    /// By checkpoints in the database.
    pub anchored: Option<Anchor>,
    /// By checkpoints kept outside it.
    pub anchored_outside: Option<Anchor>,
    /// By the restore, one that the operator knows of.
    pub left_behind: Vec<LeftBehind>,
    /// What is wrong, at most 100.
    pub faults: Vec<Fault>,
    /// Further faults that are not listed.
    pub more_faults: u64,
}

impl Report {
    /// Of a database that line `line` of a checkpoint file is about, and whose trail is not there.
    fn lost(role: String, database: String, line: usize) -> Self {
        let fault = Fault {
            place: format!("checkpoint file line {line}"),
            what: format!("is about database {database}, whose {role} trail is not in the export"),
        };
        Self {
            ok: false,
            role,
            database,
            writers: 0,
            records: 0,
            checkpoints: 0,
            anchored: None,
            anchored_outside: None,
            left_behind: Vec::new(),
            faults: vec![fault],
            more_faults: 0,
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.ok { "OK" } else { "NOT OK" };
        writeln!(
            f,
            "{}: {word}: {} of {}, {} (database {})",
            self.role,
            Counted(self.records, "record"),
            Counted(self.writers, "writer"),
            Counted(self.checkpoints, "checkpoint"),
            self.database
        )?;
        for (anchor, by) in [
            (&self.anchored, "in the database"),
            (&self.anchored_outside, "outside the database"),
        ] {
            match anchor {
                Some(Anchor {
                    checkpoint,
                    at,
                    records_after,
                }) => writeln!(
                    f,
                    "  anchored by checkpoint {checkpoint} of {at} {by}; {} after it",
                    Counted(*records_after, "record")
                )?,
                None => writeln!(f, "  not anchored by any checkpoint {by}")?,
            }
        }
        for left in &self.left_behind {
            let (verb, last) = match left.checkpoints {
                1 => ("is", "signed"),
                _ => ("are", "the last signed"),
            };
            writeln!(
                f,
                "  {} {verb} of before restore {} and not in the database, {last} {}",
                Counted(left.checkpoints, "kept checkpoint"),
                left.restore,
                left.last
            )?;
        }
        for fault in &self.faults {
            writeln!(f, "  {}: {}", fault.place, fault.what)?;
        }
        if self.more_faults > 0 {
            writeln!(f, "  and {} more", Counted(self.more_faults, "fault"))?;
        }
        Ok(())
    }
}

/// Told how many records have been read, after each page.
pub type Progress<'a> = &'a mut (dyn FnMut(u64) + Send);

/// Whose evidence is looked at, and what it is compared with.
struct Subject<'a> {
    role: &'a str,
    database: &'a DatabaseIdentity,
    keys: &'a JwkSet,
    checkpoints: &'a str,
    restored: i64,
}

/// Verifies one database, in one snapshot of it.
#[tracing::instrument(name = "audit.verify", skip_all, fields(audit.role = trail.role))]
pub async fn verify(trail: &Trail<'_>, progress: Progress<'_>) -> Result<Report, AuditError> {
    let database = database_identity(trail.pool).await?;
    let subject = Subject {
        role: trail.role,
        database: &database,
        keys: trail.keys,
        checkpoints: trail.checkpoints,
        restored: trail.restored,
    };
    let mut tx = trail.pool.snapshot().await?;
    let report = check(&mut Snapshot::new(&mut tx), &subject, progress).await?;
    // Nothing was written; dropping it would leave its end to whenever the connection is next used.
    tx.commit().await?;
    Ok(report)
}

/// Recomputes everything in the order that [`Evidence`] is read in.
async fn check(
    evidence: &mut impl Evidence,
    subject: &Subject<'_>,
    progress: Progress<'_>,
) -> Result<Report, AuditError> {
    let mut faults = Faults::default();
    for (place, found) in evidence.container_faults().await? {
        faults.add(place, found);
    }
    let outside = outside::read(subject, &mut faults);
    let history = checkpoints::replay(evidence, subject, &outside, &mut faults).await?;
    let claims = records::opening_claims(evidence, &history, &mut faults).await?;
    let scanned = records::scan(evidence, subject.role, &history, claims, &mut faults, progress).await?;
    Ok(Report {
        ok: faults.list.is_empty(),
        role: subject.role.to_owned(),
        database: subject.database.id.clone(),
        writers: scanned.writers,
        records: scanned.records,
        checkpoints: history.count,
        anchored: history.last.as_ref().map(|last| last.anchor(&scanned)),
        anchored_outside: history.outside.as_ref().map(|outside| outside.anchor(&scanned)),
        left_behind: history.left_behind.into_values().collect(),
        faults: faults.list,
        more_faults: faults.more,
    })
}

/// Most faults that a report lists.
const LISTED: usize = 100;

#[derive(Default)]
struct Faults {
    list: Vec<Fault>,
    more: u64,
}

impl Faults {
    fn add(&mut self, place: impl Into<String>, what: impl Into<String>) {
        if self.list.len() < LISTED {
            self.list.push(Fault {
                place: place.into(),
                what: what.into(),
            });
        } else {
            self.more += 1;
        }
    }
}
