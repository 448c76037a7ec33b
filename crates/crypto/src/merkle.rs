//! The Merkle tree of RFC 6962.

/// A tree that keeps only what appending needs: the roots of its complete subtrees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeFrontier {
    size: u64,
    roots: Vec<[u8; 32]>,
}

impl TreeFrontier {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
    /// Appends a leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        todo!()
    }
    /// The root.
    #[must_use]
    pub fn root(&self) -> [u8; 32] {
        todo!()
    }
    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// Root over `leaves` (RFC 6962 section 2.1).
#[must_use]
pub fn root<L: AsRef<[u8]>>(leaves: &[L]) -> [u8; 32] {
    todo!()
}
/// Audit path for leaf `index` (RFC 6962 section 2.1.1); `None` when there is no such leaf.
#[must_use]
pub fn inclusion_proof<L: AsRef<[u8]>>(leaves: &[L], index: usize) -> Option<Vec<[u8; 32]>> {
    todo!()
}
/// Proof that the tree of `leaves` extends the one of its first `old_size` (RFC 6962 section 2.1.2).
#[must_use]
pub fn consistency_proof<L: AsRef<[u8]>>(leaves: &[L], old_size: usize) -> Option<Vec<[u8; 32]>> {
    todo!()
}
/// Whether `leaf` is at `index` in the tree of `size` leaves with `root`.
#[must_use]
pub fn verify_inclusion(leaf: &[u8], index: u64, size: u64, proof: &[[u8; 32]], root: &[u8; 32]) -> bool {
    todo!()
}
/// Whether the tree `new_root` of `new_size` leaves extends the tree `old_root` of `old_size`.
#[must_use]
pub fn verify_consistency(old_size: u64, new_size: u64, old_root: &[u8; 32], new_root: &[u8; 32], proof: &[[u8; 32]]) -> bool {
    todo!()
}
