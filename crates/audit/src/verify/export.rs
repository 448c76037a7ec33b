//! Evidence in an exported file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use countersign_crypto::JwkSet;
use countersign_db::{DatabaseIdentity, Pool, database_identity};

use super::evidence::{Evidence, FoundCheckpoint, FoundRecord};
use super::{Progress, Report, Subject, check, outside};
use crate::AuditError;
use crate::checkpoint::Checkpoint;
use crate::export::{End, Header, Line, MAX_LINE, RecordLine, VERSION};
use crate::record::{Record, RecordId};
use crate::store;

/// Lines of one page.
const PAGE: usize = 1000;

/// A file of exported trails, and what it is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Export<'a> {
    /// The file.
    pub path: &'a Path,
    /// Public keys that may have signed checkpoints. They must have come another way than with the file: whoever
    /// rewrites a file can put his own key into it.
    pub keys: &'a JwkSet,
    /// Text of checkpoint files that were kept elsewhere; may be empty.
    pub checkpoints: &'a str,
    /// As [`Trail::restored`](super::Trail::restored).
    pub restored: i64,
}

/// Verifies an exported file, one report a database in it, and one each that the checkpoints know and it lacks. Needs
/// neither the database nor a secret; the file is read twice and never held in memory. [`AuditError::Export`] when it
/// cannot be read, or is no export at all.
#[tracing::instrument(name = "audit.verify_export", skip_all)]
pub async fn verify_export(export: &Export<'_>, progress: Progress<'_>) -> Result<Vec<Report>, AuditError> {
    let mut reports = Vec::new();
    let mut lost = outside::databases(export.checkpoints);
    for section in sections(export.path)? {
        let subject = Subject {
            role: &section.header.role.clone(),
            database: &DatabaseIdentity {
                id: section.header.database.clone(),
                // Only what is signed counts: the epoch of the newest checkpoint.
                restore_epoch: section.restore_epoch(),
                dev: false,
            },
            keys: export.keys,
            checkpoints: export.checkpoints,
            restored: export.restored,
        };
        lost.remove(&(subject.role.to_owned(), subject.database.id.clone()));
        let mut lines = Lines::open(export.path)?;
        lines.go_to(section.records)?;
        let mut evidence = SectionReader {
            section,
            lines,
            after: None,
        };
        reports.push(check(&mut evidence, &subject, progress).await?);
    }
    let lost = lost.into_iter();
    reports.extend(lost.map(|((role, database), line)| Report::lost(role, database, line)));
    Ok(reports)
}

/// The records of a verified export that this database does not have: it was restored from an older backup of the one
/// that was exported. In the order of their times.
///
/// [`AuditError::Export`] when the file has no trail of `role` that goes on from what this database has.
pub async fn newer_records(pool: &Pool, path: &Path, role: &str) -> Result<Vec<Record>, AuditError> {
    let database = database_identity(pool).await?;
    let mut tips: HashMap<String, (i64, [u8; 32])> = store::tips(pool)
        .await?
        .into_iter()
        .map(|tip| (tip.writer, (tip.seq, tip.hash)))
        .collect();
    let mut lines = Lines::open(path)?;
    let (mut inside, mut newer) = (false, Vec::new());
    while let Some(text) = lines.next()? {
        let line = match Line::parse(text) {
            Ok(Line::Export(header)) => {
                inside = header.role == role && header.database == database.id;
                continue;
            }
            Ok(Line::Record(line)) if inside => *line,
            _ => continue,
        };
        let (id, hash) = (line.id(), line.stored_hash());
        if let Some((seq, expected)) = tips.get(&id.writer)
            && *seq == id.seq
            && hash == Some(*expected)
        {
            tips.remove(&id.writer);
            continue;
        }
        // Lines are in the order of writer and number: what comes before a tip is known, too.
        if !tips.contains_key(&id.writer) {
            newer.push(Record::try_from(line).map_err(|_| lines.error("is not a record"))?);
        }
    }
    if let Some(writer) = tips.into_keys().next() {
        let source = format!("has no trail of {role} that goes on from writer {writer} as the backup has it");
        return Err(AuditError::Export {
            path: path.to_owned(),
            source: std::io::Error::other(source),
        });
    }
    newer.sort_by_key(|record| record.at);
    Ok(newer)
}

/// A place in the file.
#[derive(Clone, Copy, Default)]
struct Position {
    line: u64,
    offset: u64,
}

/// One database's part of the file, without its records.
struct Section {
    header: Header,
    checkpoints: Vec<(Position, String)>,
    first_records: Vec<RecordLine>,
    /// Where the records begin.
    records: Position,
    faults: Vec<(String, String)>,
}

/// The first reading: finds the sections, and what must be known before records are compared.
fn sections(path: &Path) -> Result<Vec<Section>, AuditError> {
    let mut lines = Lines::open(path)?;
    let mut sections: Vec<Section> = Vec::new();
    let mut open: Option<(Section, End)> = None;
    loop {
        let at = lines.position;
        let Some(text) = lines.next()? else { break };
        if let Some((section, written)) = &mut open {
            if text.starts_with(r#"{"checkpoint":"#) {
                written.checkpoints += 1;
                if written.records > 0 {
                    section.fault(at, "is a checkpoint after the records");
                    continue;
                }
                section.checkpoints.push((at, text.to_owned()));
                section.records = lines.position;
                continue;
            }
            if text.starts_with(r#"{"record":"#) {
                written.records += 1;
                if let Some(first) = first_record(text) {
                    section.first_records.push(first);
                }
                continue;
            }
        }
        match (Line::parse(text), open.take()) {
            (Ok(Line::Export(header)), None) if header.version == VERSION => {
                let repeated = sections.iter().any(|section| section.header == header);
                let mut section = Section::begin(header, lines.position);
                if repeated {
                    section.fault(at, "begins a second section of its database");
                }
                open = Some((section, End::default()));
            }
            (Ok(Line::End(end)), Some((mut section, written))) => {
                if end != written {
                    section.fault(at, "counts other checkpoints or records than there are");
                }
                sections.push(section);
            }
            (_, Some((mut section, written))) => {
                section.fault(at, "is neither a checkpoint nor a record");
                open = Some((section, written));
            }
            (_, None) => return Err(lines.error("is not the beginning of an export of version 1")),
        }
    }
    if let Some((mut section, _)) = open {
        section.fault(lines.position, "is missing: the file was cut");
        sections.push(section);
    }
    if sections.is_empty() {
        return Err(lines.error("is missing: the file is empty"));
    }
    Ok(sections)
}

/// The record of a line, if it is a writer's first. A line that is spelt otherwise is a fault of the second reading.
fn first_record(text: &str) -> Option<RecordLine> {
    let rest = text.strip_prefix(r#"{"record":{"writer":""#)?;
    let (_, rest) = rest.split_once('"')?;
    if !rest.starts_with(r#","seq":1,"#) {
        return None;
    }
    match Line::parse(text) {
        Ok(Line::Record(record)) => Some(*record),
        _ => None,
    }
}

impl Section {
    fn begin(header: Header, records: Position) -> Self {
        Self {
            header,
            checkpoints: Vec::new(),
            first_records: Vec::new(),
            records,
            faults: Vec::new(),
        }
    }

    fn restore_epoch(&self) -> i64 {
        let newest = self.checkpoints.last();
        newest
            .and_then(|(_, line)| Checkpoint::parse(line).ok()?.read().ok())
            .map_or(0, |statement| statement.restore_epoch)
    }

    fn fault(&mut self, at: Position, what: &str) {
        // One is enough to say that the file is not what was written, and where it begins to differ.
        if self.faults.is_empty() {
            self.faults.push((place(at), what.to_owned()));
        }
    }
}

fn place(at: Position) -> String {
    format!("export line {}", at.line + 1)
}

/// The second reading.
struct SectionReader {
    section: Section,
    lines: Lines,
    after: Option<RecordId>,
}

impl Evidence for SectionReader {
    async fn container_faults(&mut self) -> Result<Vec<(String, String)>, AuditError> {
        Ok(std::mem::take(&mut self.section.faults))
    }

    async fn checkpoints(&mut self) -> Result<Vec<FoundCheckpoint>, AuditError> {
        let found = std::mem::take(&mut self.section.checkpoints).into_iter();
        Ok(found
            .map(|(at, line)| FoundCheckpoint {
                number: number(&line).unwrap_or_default(),
                checkpoint: Checkpoint::parse(&line).map_err(|error| format!("({}) {error}", place(at))),
                columns: true,
            })
            .collect())
    }

    async fn first_records(&mut self) -> Result<Vec<FoundRecord>, AuditError> {
        let firsts = std::mem::take(&mut self.section.first_records);
        Ok(firsts.into_iter().map(found).collect())
    }

    async fn records(&mut self) -> Result<Result<Vec<FoundRecord>, String>, AuditError> {
        let mut page = Vec::with_capacity(PAGE);
        while page.len() < PAGE {
            let at = self.lines.position;
            let Some(text) = self.lines.next()? else { break };
            let line = match Line::parse(text) {
                Ok(Line::Record(line)) => line,
                // Anything else was reported by the first reading.
                Ok(_) => break,
                Err(_) if !text.starts_with(r#"{"record":"#) => continue,
                Err(error) => return Ok(Err(format!("({}) {error}", place(at)))),
            };
            let id = line.id();
            let after = self.after.as_ref();
            if after.is_some_and(|after| (&after.writer, after.seq) >= (&id.writer, id.seq)) {
                return Ok(Err(format!("({}) is out of order or repeated", place(at))));
            }
            self.after = Some(id);
            page.push(found(*line));
        }
        Ok(Ok(page))
    }
}

fn found(line: RecordLine) -> FoundRecord {
    FoundRecord {
        id: line.id(),
        hash: line.stored_hash(),
        record: Record::try_from(line).map_err(|error| error.to_string()),
        columns: true,
    }
}

/// The number that a checkpoint line claims.
fn number(line: &str) -> Option<i64> {
    Some(Checkpoint::parse(line).ok()?.read().ok()?.number)
}

/// The lines of a file, with their places.
struct Lines {
    reader: BufReader<File>,
    position: Position,
    text: String,
    path: std::path::PathBuf,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, AuditError> {
        let file = File::open(path).map_err(|source| AuditError::Export {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            reader: BufReader::with_capacity(1 << 20, file),
            position: Position::default(),
            text: String::new(),
            path: path.to_owned(),
        })
    }

    fn go_to(&mut self, position: Position) -> Result<(), AuditError> {
        self.reader
            .seek(SeekFrom::Start(position.offset))
            .map_err(|source| self.io(source))?;
        self.position = position;
        Ok(())
    }

    fn next(&mut self) -> Result<Option<&str>, AuditError> {
        self.text.clear();
        let read = (&mut self.reader).take(MAX_LINE).read_line(&mut self.text);
        let read = read.map_err(|source| self.io(source))?;
        if read == 0 {
            return Ok(None);
        }
        self.position.line += 1;
        self.position.offset += u64::try_from(read).unwrap_or_default();
        // A line without its newline was cut: it reads as nothing that it could have been.
        Ok(Some(self.text.strip_suffix('\n').unwrap_or_default()))
    }

    /// Of the line that was read last.
    fn error(&self, what: &str) -> AuditError {
        let line = self.position.line.max(1);
        self.io(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            format!("line {line} {what}"),
        ))
    }

    fn io(&self, source: std::io::Error) -> AuditError {
        AuditError::Export {
            path: self.path.clone(),
            source,
        }
    }
}
