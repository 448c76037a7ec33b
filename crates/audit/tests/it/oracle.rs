//! Trees and proofs of ours against another implementation of RFC 6962, the crate `ct-merkle`.

use countersign_crypto::merkle;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use proptest::prelude::*;
use sha2::Sha256;

/// Their tree of the same leaves.
fn theirs(leaves: &[Vec<u8>]) -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    for leaf in leaves {
        tree.push(leaf.clone());
    }
    tree
}

/// Our root in their form.
fn root(root: [u8; 32], leaves: usize) -> RootHash<Sha256> {
    RootHash::new(root.into(), leaves as u64)
}

fn hashes(bytes: &[u8]) -> Vec<[u8; 32]> {
    bytes
        .chunks(32)
        .map(|hash| hash.try_into().expect("32 bytes"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_have_the_same_roots_and_accept_each_others_proofs(
        leaves in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..70),
        index in any::<prop::sample::Index>(),
        old in any::<prop::sample::Index>(),
        flipped in any::<prop::sample::Index>(),
    ) {
        let tree = theirs(&leaves);
        let (size, index, old) = (leaves.len(), index.index(leaves.len()), old.index(leaves.len()) + 1);
        let ours = merkle::root(&leaves);
        let their_root = tree.root();
        prop_assert_eq!(&their_root.as_bytes()[..], &ours[..]);

        // Ours, read by them.
        let path = merkle::inclusion_proof(&leaves, index).expect("a proof");
        let proof = InclusionProof::<Sha256>::from_bytes(path.concat());
        prop_assert!(root(ours, size).verify_inclusion(&leaves[index], index as u64, &proof).is_ok());
        let old_root = merkle::root(&leaves[..old]);
        let path = merkle::consistency_proof(&leaves, old).expect("a proof");
        let proof = ConsistencyProof::<Sha256>::try_from_bytes(path.concat()).expect("whole hashes");
        prop_assert!(root(ours, size).verify_consistency(&root(old_root, old), &proof).is_ok());

        // Theirs, read by us.
        let path = hashes(tree.prove_inclusion(index).as_bytes());
        prop_assert!(merkle::verify_inclusion(&leaves[index], index as u64, size as u64, &path, &ours));
        let consistency = hashes(tree.prove_consistency(size - old).as_bytes());
        prop_assert!(merkle::verify_consistency(old as u64, size as u64, &old_root, &ours, &consistency));

        // And neither accepts a changed one.
        if !path.is_empty() {
            let mut changed = path.clone();
            let at = flipped.index(changed.len());
            changed[at][0] ^= 1;
            prop_assert!(!merkle::verify_inclusion(&leaves[index], index as u64, size as u64, &changed, &ours));
            let proof = InclusionProof::<Sha256>::from_bytes(changed.concat());
            prop_assert!(root(ours, size).verify_inclusion(&leaves[index], index as u64, &proof).is_err());
        }
    }
}
