//! The hash chain of the audit trail (design D16): canonical bytes of a record, and the link to the record
//! before it.

use crate::digest::{length_prefix, sha256_parts};

/// What the first record of a chain names as the hash before it.
pub const GENESIS: [u8; 32] = [0; 32];

/// The hash of a record: over the hash before it and its canonical bytes.
#[must_use]
pub fn link(previous: &[u8; 32], canonical: &[u8]) -> [u8; 32] {
    sha256_parts(&[b"countersign audit record v1", previous, canonical])
}

/// Builds the canonical bytes of a record: its fields in a fixed order, each a type byte, a length of 8
/// big-endian bytes and the value. Two records that differ in any field, or in which of them is absent,
/// never share their bytes.
#[derive(Debug, Clone, Default)]
pub struct Canonical(Vec<u8>);

impl Canonical {
    /// No field yet, and room for most records.
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::with_capacity(1024))
    }

    /// Adds an absent value.
    #[must_use]
    pub fn null(self) -> Self {
        self.field(0, &[])
    }

    /// Adds text.
    #[must_use]
    pub fn text(self, value: &str) -> Self {
        self.field(1, value.as_bytes())
    }

    /// Adds an integer.
    #[must_use]
    pub fn int(self, value: i64) -> Self {
        self.field(2, &value.to_be_bytes())
    }

    /// Adds bytes.
    #[must_use]
    pub fn bytes(self, value: &[u8]) -> Self {
        self.field(3, value)
    }

    /// Adds text or its absence.
    #[must_use]
    pub fn opt_text(self, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(value),
            None => self.null(),
        }
    }

    /// Adds an integer or its absence.
    #[must_use]
    pub fn opt_int(self, value: Option<i64>) -> Self {
        match value {
            Some(value) => self.int(value),
            None => self.null(),
        }
    }

    /// Adds bytes or their absence.
    #[must_use]
    pub fn opt_bytes(self, value: Option<&[u8]>) -> Self {
        match value {
            Some(value) => self.bytes(value),
            None => self.null(),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn field(mut self, kind: u8, value: &[u8]) -> Self {
        self.0.push(kind);
        self.0.extend_from_slice(&length_prefix(value));
        self.0.extend_from_slice(value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_together_and_absence_is_not_emptiness() {
        let records = [
            Canonical::new().text("ab").text("c"),
            Canonical::new().text("a").text("bc"),
            Canonical::new().text("abc"),
            Canonical::new().bytes(b"abc"),
            Canonical::new().text(""),
            Canonical::new().null(),
            Canonical::new().int(0),
        ]
        .map(Canonical::finish);
        for (index, record) in records.iter().enumerate() {
            assert!(!records[..index].contains(record), "{index}");
        }
    }

    #[test]
    fn a_link_depends_on_both() {
        let record = Canonical::new().text("GetResourceOauth2Token").finish();
        assert_ne!(link(&GENESIS, &record), link(&[1; 32], &record));
        assert_ne!(link(&GENESIS, &record), link(&GENESIS, &[]));
    }
}
