//! A whole trail as a file of JSON lines that can be verified where neither the database nor any secret is.
//!
//! Each database is a section: `{"export":{…}}`, its checkpoint lines from number 1 exactly as in the checkpoint file,
//! one `{"record":{…}}` a record in the order of writer and number, and `{"end":{…}}`. Personal details stay sealed.
//! The form is in `docs/audit.md`; [`crate::verify::verify_export`] reads it.

mod write;

use countersign_crypto::{Timestamp, b64url, b64url_decode};
use serde::{Deserialize, Serialize};

pub use write::Exporter;

use crate::record::{Personal, Record, RecordId, Stored};

/// The version of the file's form.
pub(crate) const VERSION: u32 = 1;
/// Most bytes of a line: a record's details are at most 64 KiB, and a complete checkpoint lists every writer.
pub(crate) const MAX_LINE: u64 = 64 << 20;

/// Every line but the checkpoints', which are kept as they were signed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) enum Line {
    Export(Header),
    Record(Box<RecordLine>),
    End(End),
}

impl Line {
    /// Reads a line, exactly as [`Line::text`] writes it: what is hashed are values, so that the text must follow from
    /// them.
    pub(crate) fn parse(text: &str) -> Result<Self, Misspelt> {
        let line: Self = serde_json::from_str(text).map_err(|_| Misspelt("the line"))?;
        if line.text().is_ok_and(|own| own == text) {
            Ok(line)
        } else {
            Err(Misspelt("the line"))
        }
    }

    /// The line, without its newline.
    pub(crate) fn text(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

/// Whose trail a section is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Header {
    pub(crate) version: u32,
    pub(crate) role: String,
    pub(crate) database: String,
}

/// How much a section holds: a file that was cut has none, or another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct End {
    pub(crate) checkpoints: u64,
    pub(crate) records: u64,
}

/// A row of `audit_record`: every column under its own name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordLine {
    writer: String,
    seq: i64,
    recorded_at: i64,
    role: String,
    account: String,
    region: String,
    action: String,
    outcome: String,
    reason: Option<String>,
    principal: Option<String>,
    request_id: Option<String>,
    trace_id: Option<String>,
    source: Option<String>,
    sid: Option<String>,
    workload: Option<String>,
    provider: Option<String>,
    session_id: Option<String>,
    grant_id: Option<String>,
    person: Option<String>,
    /// base64url without padding.
    personal: Option<String>,
    /// The stored text, which is what the hash is over.
    detail: String,
    /// 64 hexadecimal digits, as `hash`.
    previous: String,
    hash: String,
}

impl RecordLine {
    pub(crate) fn id(&self) -> RecordId {
        RecordId {
            writer: self.writer.clone(),
            seq: self.seq,
        }
    }

    /// What the line says of the record's own hash, if that is a hash.
    pub(crate) fn stored_hash(&self) -> Option<[u8; 32]> {
        digest(&self.hash)
    }
}

impl From<&Record> for RecordLine {
    fn from(record: &Record) -> Self {
        Self {
            writer: record.id.writer.clone(),
            seq: record.id.seq,
            recorded_at: record.at.as_micros(),
            role: record.role.clone(),
            account: record.account.clone(),
            region: record.region.clone(),
            action: record.action.clone(),
            outcome: record.outcome.clone(),
            reason: record.reason.clone(),
            principal: record.principal.clone(),
            request_id: record.request_id.clone(),
            trace_id: record.trace_id.clone(),
            source: record.source.clone(),
            sid: record.sid.clone(),
            workload: record.workload.clone(),
            provider: record.provider.clone(),
            session_id: record.session.clone(),
            grant_id: record.grant.clone(),
            person: record.person.clone(),
            personal: record.stored.personal.as_deref().map(b64url),
            detail: record.stored.detail.clone(),
            previous: hex::encode(record.previous),
            hash: hex::encode(record.hash),
        }
    }
}

/// A line whose bytes are not what the writer of exports writes.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not as the product writes it")]
pub(crate) struct Misspelt(&'static str);

impl TryFrom<RecordLine> for Record {
    type Error = Misspelt;

    fn try_from(line: RecordLine) -> Result<Self, Misspelt> {
        let personal = match line.personal {
            None => None,
            Some(text) => {
                let bytes = b64url_decode(&text).ok_or(Misspelt("personal"))?;
                // One value, one spelling: unused bits of the last character must not differ unseen.
                if b64url(&bytes) != text {
                    return Err(Misspelt("personal"));
                }
                Some(bytes)
            }
        };
        Ok(Self {
            id: RecordId {
                writer: line.writer,
                seq: line.seq,
            },
            at: Timestamp::from_micros(line.recorded_at),
            role: line.role,
            account: line.account,
            region: line.region,
            action: line.action,
            outcome: line.outcome,
            reason: line.reason,
            principal: line.principal,
            request_id: line.request_id,
            trace_id: line.trace_id,
            source: line.source,
            sid: line.sid,
            workload: line.workload,
            provider: line.provider,
            session: line.session_id,
            grant: line.grant_id,
            person: line.person,
            personal: if personal.is_some() {
                Personal::Sealed
            } else {
                Personal::None
            },
            detail: serde_json::from_str(&line.detail).unwrap_or_else(|_| line.detail.clone().into()),
            previous: digest(&line.previous).ok_or(Misspelt("previous"))?,
            hash: digest(&line.hash).ok_or(Misspelt("hash"))?,
            stored: Stored {
                personal,
                detail: line.detail,
            },
        })
    }
}

/// 32 bytes from exactly 64 lower-case hexadecimal digits.
pub(crate) fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    (hex::encode(bytes) == text).then_some(bytes)
}
