//! The hash chain of the audit trail.

/// Canonical bytes of a record: typed, length-prefixed fields in a fixed order.
#[derive(Debug, Clone, Default)]
pub struct Canonical(Vec<u8>);

impl Canonical {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
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
    /// Adds an absent value.
    #[must_use]
    pub fn null(self) -> Self {
        self.field(0, &[])
    }
    /// Adds text or its absence.
    #[must_use]
    pub fn opt_text(self, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(value),
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
        self.0.extend_from_slice(&crate::digest::length_prefix(value));
        self.0.extend_from_slice(value);
        self
    }
}

/// The hash of a record: over the hash before it and its canonical bytes.
#[must_use]
pub fn link(previous: &[u8; 32], canonical: &[u8]) -> [u8; 32] {
    crate::digest::sha256_parts(&[b"countersign audit record v1", previous, canonical])
}

/// What the first record of a chain names as its predecessor.
pub const GENESIS: [u8; 32] = [0; 32];
