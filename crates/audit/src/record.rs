//! The record as it is stored, and its canonical bytes.

use std::fmt;
use std::str::FromStr;

use countersign_crypto::Timestamp;
use countersign_crypto::chain::{Canonical, link};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Entry;
use crate::format::printable;

/// A record's id: `<writer>-<seq>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RecordId {
    /// The chain: 32 hexadecimal digits, a UUID of version 7 without hyphens.
    pub writer: String,
    /// The place in it, from 1.
    pub seq: i64,
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.writer, self.seq)
    }
}

impl Serialize for RecordId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Text that is not a record id.
#[derive(Debug, thiserror::Error)]
#[error("a record id is 32 hexadecimal digits, a hyphen and a number")]
pub struct RecordIdError;

impl FromStr for RecordId {
    type Err = RecordIdError;

    fn from_str(text: &str) -> Result<Self, RecordIdError> {
        let (writer, seq) = text.split_once('-').ok_or(RecordIdError)?;
        let hexadecimal = writer
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let digits = seq.bytes().all(|byte| byte.is_ascii_digit());
        match seq.parse() {
            Ok(seq) if writer.len() == 32 && hexadecimal && digits && seq > 0 => Ok(Self {
                writer: writer.to_owned(),
                seq,
            }),
            _ => Err(RecordIdError),
        }
    }
}

/// A person's details in a record, as far as the reader may see them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "values")]
pub enum Personal {
    /// There are none.
    #[default]
    None,
    /// There are, and the reader holds no key.
    Sealed,
    /// Opened with the operator's key.
    Opened(Map<String, Value>),
    /// The person was forgotten: nobody can read them any more.
    Forgotten,
}

/// A stored record. Member names are the column names but for the JSON form's camel case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Writer and seq.
    pub id: RecordId,
    /// When it was handed in.
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
    /// `identity` or `gateway`.
    pub role: String,
    /// See [`crate::Entry::account`].
    pub account: String,
    /// See [`crate::Entry::region`].
    pub region: String,
    /// The operation's name.
    pub action: String,
    /// `done`, `refused` or `failed`.
    pub outcome: String,
    /// Why it was refused or failed.
    pub reason: Option<String>,
    /// ARN of the authenticated caller.
    pub principal: Option<String>,
    /// The request id that the caller was given.
    pub request_id: Option<String>,
    /// The trace.
    pub trace_id: Option<String>,
    /// The caller's network address, where no person is named.
    pub source: Option<String>,
    /// The login session.
    pub sid: Option<String>,
    /// The workload identity.
    pub workload: Option<String>,
    /// The credential provider.
    pub provider: Option<String>,
    /// The authorization session's public id.
    pub session: Option<String>,
    /// The grant.
    pub grant: Option<String>,
    /// The person's pseudonym, 64 hexadecimal digits.
    pub person: Option<String>,
    /// The person's details.
    pub personal: Personal,
    /// The other details.
    pub detail: Value,
    /// The stored form of the details: sealed and plain. What the hash is over.
    #[serde(skip)]
    pub(crate) stored: Stored,
    /// Hash of the record before, hexadecimal.
    #[serde(serialize_with = "hexadecimal")]
    pub previous: [u8; 32],
    /// Hash of this record, hexadecimal.
    #[serde(serialize_with = "hexadecimal")]
    pub hash: [u8; 32],
}

/// Columns whose parsed form would not give back the exact bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Stored {
    pub(crate) personal: Option<Vec<u8>>,
    pub(crate) detail: String,
}

impl Record {
    /// The bytes that the hash covers, with `previous`: every column but the two hashes, in column order.
    pub(crate) fn canonical(&self) -> Vec<u8> {
        let canonical = Canonical::new()
            .text(&self.id.writer)
            .int(self.id.seq)
            .int(self.at.as_micros())
            .text(&self.role)
            .text(&self.account)
            .text(&self.region)
            .text(&self.action)
            .text(&self.outcome)
            .opt_text(self.reason.as_deref())
            .opt_text(self.principal.as_deref())
            .opt_text(self.request_id.as_deref())
            .opt_text(self.trace_id.as_deref())
            .opt_text(self.source.as_deref())
            .opt_text(self.sid.as_deref())
            .opt_text(self.workload.as_deref())
            .opt_text(self.provider.as_deref())
            .opt_text(self.session.as_deref())
            .opt_text(self.grant.as_deref())
            .opt_text(self.person.as_deref());
        match &self.stored.personal {
            Some(sealed) => canonical.bytes(sealed),
            None => canonical.null(),
        }
        .text(&self.stored.detail)
        .finish()
    }

    /// The hash that the record must have.
    pub(crate) fn expected_hash(&self) -> [u8; 32] {
        link(&self.previous, &self.canonical())
    }
}

/// A record without its place in a chain.
pub(crate) fn unchained(entry: Entry, role: &str, at: Timestamp) -> Record {
    let mut record = Record {
        id: RecordId {
            writer: String::new(),
            seq: 0,
        },
        at,
        role: role.to_owned(),
        account: entry.account,
        region: entry.region,
        action: entry.action.to_owned(),
        outcome: entry.outcome.as_str().to_owned(),
        reason: entry.reason.map(str::to_owned),
        principal: entry.principal,
        request_id: entry.request_id,
        trace_id: entry.trace_id,
        source: entry.source,
        sid: entry.sid,
        workload: entry.workload,
        provider: entry.provider,
        session: entry.session,
        grant: entry.grant,
        person: None,
        personal: Personal::None,
        detail: Value::Null,
        stored: Stored {
            personal: None,
            detail: Value::Object(entry.detail).to_string(),
        },
        previous: [0; 32],
        hash: [0; 32],
    };
    for text in [
        &mut record.principal,
        &mut record.request_id,
        &mut record.trace_id,
        &mut record.source,
        &mut record.sid,
        &mut record.workload,
        &mut record.provider,
        &mut record.session,
        &mut record.grant,
    ]
    .into_iter()
    .flatten()
    {
        tidy(text);
    }
    record
}

/// Cuts at 2048 bytes. PostgreSQL has no NUL in text: one in a header must not fail a whole batch.
fn tidy(text: &mut String) {
    if text.contains('\0') {
        *text = text.replace('\0', "\u{fffd}");
    }
    text.truncate(text.floor_char_boundary(2048));
}

/// A record as a step of a tree, which already names the ids that join it to others: what was done, by whom, and the
/// details of its own.
pub(crate) struct Step<'a>(pub(crate) &'a Record);

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.0;
        write!(f, "{} {} {}", record.at, record.action, record.outcome)?;
        if let Some(reason) = &record.reason {
            write!(f, " ({reason})")?;
        }
        if let Some(principal) = &record.principal {
            write!(
                f,
                " by {}",
                printable(principal.rsplit('/').next().unwrap_or(principal))
            )?;
        }
        if let Personal::Opened(values) = &record.personal {
            for (name, value) in values {
                write!(f, " {}={}", printable(name), printable(&value.to_string()))?;
            }
        }
        for (name, value) in record.detail.as_object().into_iter().flatten() {
            write!(f, " {}={}", printable(name), printable(&value.to_string()))?;
        }
        write!(f, " [{}]", record.id)
    }
}

/// One line: time, action, outcome, then what is known, and the id.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.at, self.action, self.outcome)?;
        if let Some(reason) = &self.reason {
            write!(f, " ({reason})")?;
        }
        for (name, value) in [
            ("workload", &self.workload),
            ("provider", &self.provider),
            ("principal", &self.principal),
            ("source", &self.source),
            ("sid", &self.sid),
            ("session", &self.session),
            ("grant", &self.grant),
            ("request", &self.request_id),
        ] {
            if let Some(value) = value {
                write!(f, " {name}={}", printable(value))?;
            }
        }
        if let Some(person) = &self.person {
            write!(f, " person={}", person.get(..12).unwrap_or(person))?;
        }
        match &self.personal {
            Personal::Opened(values) => {
                for (name, value) in values {
                    write!(f, " {}={}", printable(name), printable(&value.to_string()))?;
                }
            }
            Personal::Forgotten => f.write_str(" (forgotten)")?,
            Personal::None | Personal::Sealed => {}
        }
        if let Value::Object(detail) = &self.detail {
            for (name, value) in detail {
                write!(f, " {}={}", printable(name), printable(&value.to_string()))?;
            }
        }
        write!(f, " [{}]", self.id)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn rfc3339<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn hexadecimal<S: serde::Serializer>(hash: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_ids_have_one_spelling() {
        let id = RecordId {
            writer: "0".repeat(32),
            seq: 12,
        };
        assert_eq!(id.to_string().parse::<RecordId>().expect("own spelling"), id);
        for bad in [
            "",
            "-1",
            "0-1",
            &format!("{}-0", "0".repeat(32)),
            &format!("{}-+1", "a".repeat(32)),
        ] {
            assert!(bad.parse::<RecordId>().is_err(), "{bad}");
        }
    }
}
