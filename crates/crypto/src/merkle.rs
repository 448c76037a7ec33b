//! The Merkle tree of RFC 6962 section 2.1, with SHA-256: a checkpoint signs its root, an inclusion proof
//! shows a record to somebody who holds only the checkpoint, a consistency proof shows that a later
//! checkpoint took nothing back.

use crate::digest::{constant_time_eq, sha256};

type Hash = [u8; 32];

/// A tree that keeps only what appending needs: the roots of its complete subtrees, at most 64 hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeFrontier {
    size: u64,
    /// Largest subtree first, one for each one-bit of `size`.
    subtrees: Vec<Hash>,
}

impl TreeFrontier {
    /// The empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut hash = leaf_hash(leaf);
        // As in binary addition: each one-bit at the end of the size is a subtree that the carry completes.
        let complete = self
            .subtrees
            .len()
            .saturating_sub(self.size.trailing_ones() as usize);
        for left in self.subtrees.drain(complete..).rev() {
            hash = node_hash(&left, &hash);
        }
        self.subtrees.push(hash);
        self.size += 1;
    }

    /// The root over all leaves so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        let folded = self
            .subtrees
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right));
        folded.unwrap_or_else(|| sha256(&[]))
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// The root over `leaves`.
#[must_use]
pub fn root<L: AsRef<[u8]>>(leaves: &[L]) -> Hash {
    subtree_root(&leaf_hashes(leaves))
}

/// The audit path of leaf `index` (RFC 6962 section 2.1.1), lowest level first; `None` when there is no
/// such leaf.
#[must_use]
pub fn inclusion_proof<L: AsRef<[u8]>>(leaves: &[L], index: usize) -> Option<Vec<Hash>> {
    let hashes = leaf_hashes(leaves);
    let (mut rest, mut index) = (hashes.as_slice(), index);
    if index >= rest.len() {
        return None;
    }
    let mut proof = Vec::new();
    while rest.len() > 1 {
        let (left, right) = rest.split_at(split_point(rest.len()));
        if index < left.len() {
            proof.push(subtree_root(right));
            rest = left;
        } else {
            proof.push(subtree_root(left));
            index -= left.len();
            rest = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// A proof that the tree over `leaves` extends the tree over the first `old_size` of them (RFC 6962
/// section 2.1.2); `None` when there are not so many. Empty for equal sizes and for an empty old tree.
#[must_use]
pub fn consistency_proof<L: AsRef<[u8]>>(leaves: &[L], old_size: usize) -> Option<Vec<Hash>> {
    if old_size > leaves.len() {
        return None;
    }
    if old_size == 0 || old_size == leaves.len() {
        return Some(Vec::new());
    }
    let hashes = leaf_hashes(leaves);
    let (mut rest, mut old_size, mut whole) = (hashes.as_slice(), old_size, true);
    let mut proof = Vec::new();
    while old_size < rest.len() {
        let (left, right) = rest.split_at(split_point(rest.len()));
        if old_size <= left.len() {
            proof.push(subtree_root(right));
            rest = left;
        } else {
            proof.push(subtree_root(left));
            old_size -= left.len();
            rest = right;
            whole = false;
        }
    }
    if !whole {
        proof.push(subtree_root(rest));
    }
    proof.reverse();
    Some(proof)
}

/// Whether `leaf` is at `index` of the tree with `size` leaves and this `root` (RFC 9162 section 2.1.3.2).
#[must_use]
pub fn verify_inclusion(leaf: &[u8], index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last) = (index, size - 1);
    let mut hash = leaf_hash(leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && constant_time_eq(&hash, root)
}

/// Whether the tree of `new_size` leaves with `new_root` extends the tree of `old_size` with `old_root`
/// (RFC 9162 section 2.1.4.2).
#[must_use]
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> bool {
    if old_size > new_size {
        return false;
    }
    if old_size == new_size {
        return proof.is_empty() && constant_time_eq(old_root, new_root);
    }
    if old_size == 0 {
        return proof.is_empty() && constant_time_eq(old_root, &sha256(&[]));
    }
    let mut path = proof.iter();
    // A complete old tree is itself the first node of the path, and the prover leaves it out.
    let first = if old_size.is_power_of_two() {
        Some(old_root)
    } else {
        path.next()
    };
    let Some(first) = first else { return false };
    let (mut node, mut last) = (old_size - 1, new_size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && constant_time_eq(&old_hash, old_root) && constant_time_eq(&new_hash, new_root)
}

/// Leaves and nodes are hashed under different prefixes, so that no node passes for a leaf.
fn leaf_hash(leaf: &[u8]) -> Hash {
    sha256(&[&[0], leaf].concat())
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut message = [1; 65];
    message[1..33].copy_from_slice(left);
    message[33..].copy_from_slice(right);
    sha256(&message)
}

fn leaf_hashes<L: AsRef<[u8]>>(leaves: &[L]) -> Vec<Hash> {
    leaves.iter().map(|leaf| leaf_hash(leaf.as_ref())).collect()
}

/// The largest power of two smaller than `length`, which is at least 2.
fn split_point(length: usize) -> usize {
    length.next_power_of_two() / 2
}

fn subtree_root(hashes: &[Hash]) -> Hash {
    match hashes {
        [] => sha256(&[]),
        [hash] => *hash,
        _ => {
            let (left, right) = hashes.split_at(split_point(hashes.len()));
            node_hash(&subtree_root(left), &subtree_root(right))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The reference tree that Certificate Transparency implementations share.
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    #[test]
    fn known_roots() {
        let leaves: Vec<Vec<u8>> = LEAVES
            .iter()
            .map(|leaf| hex::decode(leaf).expect("hex"))
            .collect();
        let mut frontier = TreeFrontier::new();
        assert_eq!(
            hex::encode(frontier.root()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        for (index, expected) in ROOTS.iter().enumerate() {
            frontier.push(&leaves[index]);
            assert_eq!(hex::encode(frontier.root()), *expected);
            assert_eq!(hex::encode(root(&leaves[..=index])), *expected);
        }
    }

    fn leaves(count: usize) -> Vec<[u8; 8]> {
        (0..count as u64).map(u64::to_be_bytes).collect()
    }

    #[test]
    fn every_inclusion_of_small_trees() {
        for size in 1..40 {
            let leaves = leaves(size);
            let root = root(&leaves);
            for index in 0..size {
                let proof = inclusion_proof(&leaves, index).expect("such a leaf");
                let verify = |leaf: &[u8], index: usize, size: usize, proof: &[Hash]| {
                    verify_inclusion(leaf, index as u64, size as u64, proof, &root)
                };
                assert!(verify(&leaves[index], index, size, &proof));
                assert!(!verify(b"another", index, size, &proof));
                assert!(!verify(&leaves[index], index + 1, size, &proof));
                let longer = [proof.as_slice(), &[root]].concat();
                assert!(!verify(&leaves[index], index, size, &longer));
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!verify(&leaves[index], index, size, shorter));
                }
            }
            assert_eq!(inclusion_proof(&leaves, size), None);
        }
    }

    #[test]
    fn every_consistency_of_small_trees() {
        for new_size in 0..40 {
            let leaves = leaves(new_size);
            let new_root = root(&leaves);
            for old_size in 0..=new_size {
                let old_root = root(&leaves[..old_size]);
                let proof = consistency_proof(&leaves, old_size).expect("not larger");
                let verify = |old: &Hash, new: &Hash, proof: &[Hash]| {
                    verify_consistency(old_size as u64, new_size as u64, old, new, proof)
                };
                assert!(verify(&old_root, &new_root, &proof), "{old_size} of {new_size}");
                assert!(!verify(&[7; 32], &new_root, &proof));
                assert!(old_size == 0 || !verify(&old_root, &[7; 32], &proof));
                assert!(!verify(
                    &old_root,
                    &new_root,
                    &[proof.as_slice(), &[new_root]].concat()
                ));
            }
            assert_eq!(consistency_proof(&leaves, new_size + 1), None);
        }
    }

    proptest! {
        #[test]
        fn an_edited_history_is_never_consistent(
            old in 1usize..200, more in 0usize..200, edit in any::<prop::sample::Index>(),
        ) {
            let honest = leaves(old + more);
            let mut edited = honest.clone();
            edited[edit.index(old)] = [0xff; 8];
            let proof = consistency_proof(&edited, old).expect("not larger");
            let (old_size, new_size) = (old as u64, (old + more) as u64);
            prop_assert!(!verify_consistency(old_size, new_size, &root(&honest[..old]), &root(&edited), &proof));
            let honest_proof = consistency_proof(&honest, old).expect("not larger");
            prop_assert!(verify_consistency(old_size, new_size, &root(&honest[..old]), &root(&honest), &honest_proof));
        }

        #[test]
        fn the_frontier_agrees_with_the_tree(size in 0usize..300) {
            let leaves = leaves(size);
            let mut frontier = TreeFrontier::new();
            for leaf in &leaves {
                frontier.push(leaf);
            }
            prop_assert_eq!(frontier.root(), root(&leaves));
            prop_assert_eq!(frontier.size(), size as u64);
        }
    }
}
