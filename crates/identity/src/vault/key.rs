//! What makes two token requests the same to the vault (design D13).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use countersign_crypto::{UserKey, sha256_parts};

/// Most requests name neither custom parameters nor resources nor audiences: three hashes of nothing a request.
static OF_NOTHING: LazyLock<[u8; 32]> = LazyLock::new(|| sha256_parts(&[]));

/// Everything of a request that decides which grants may answer it, but the scopes.
#[derive(Debug)]
pub(crate) struct VaultKeyParts<'a> {
    pub(crate) account: &'a str,
    /// Internal ids, which no other workload or provider will ever have, even under the same name.
    pub(crate) workload_id: &'a str,
    pub(crate) provider_id: &'a str,
    /// `None` where the token is the workload's own.
    pub(crate) user_key: Option<&'a UserKey>,
    /// The flow's name on the wire.
    pub(crate) flow: &'a str,
    pub(crate) custom_parameters: &'a BTreeMap<String, String>,
    pub(crate) resources: &'a [String],
    pub(crate) audiences: &'a [String],
}

impl VaultKeyParts<'_> {
    /// The hash that is the key. Order and repetition of resources and audiences do not count.
    pub(crate) fn hash(&self) -> [u8; 32] {
        let parameters: Vec<&[u8]> = self
            .custom_parameters
            .iter()
            .flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()])
            .collect();
        sha256_parts(&[
            b"vault key v1",
            self.account.as_bytes(),
            self.workload_id.as_bytes(),
            self.provider_id.as_bytes(),
            self.user_key.map_or(&[][..], |key| key.as_bytes()),
            self.flow.as_bytes(),
            &hash_of(&parameters),
            &set_hash(self.resources),
            &set_hash(self.audiences),
        ])
    }
}

/// Scopes as a sorted set. One entry may hold several separated by spaces, as RFC 6749 section 3.3 writes them.
pub(crate) fn normalised_scopes(scopes: &[String]) -> Vec<String> {
    let set: BTreeSet<&str> = scopes
        .iter()
        .flat_map(|entry| entry.split_ascii_whitespace())
        .collect();
    set.into_iter().map(str::to_owned).collect()
}

/// A hash of a set of texts, whatever their order.
pub(crate) fn set_hash(items: &[String]) -> [u8; 32] {
    let set: BTreeSet<&[u8]> = items.iter().map(String::as_bytes).collect();
    hash_of(&set.into_iter().collect::<Vec<_>>())
}

fn hash_of(parts: &[&[u8]]) -> [u8; 32] {
    if parts.is_empty() {
        *OF_NOTHING
    } else {
        sha256_parts(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c10_each_part_makes_another_key() {
        let user = UserKey::jwt("https://idp", "alice");
        let other_user = UserKey::jwt("https://idp", "bob");
        let none = BTreeMap::new();
        let some = BTreeMap::from([("prompt".to_owned(), "consent".to_owned())]);
        let api = ["https://api".to_owned()];
        let base = VaultKeyParts {
            account: "000000000000",
            workload_id: "w1",
            provider_id: "p1",
            user_key: Some(&user),
            flow: "USER_FEDERATION",
            custom_parameters: &none,
            resources: &[],
            audiences: &[],
        };
        let keys = [
            base.hash(),
            VaultKeyParts {
                account: "000000000001",
                ..base
            }
            .hash(),
            VaultKeyParts {
                workload_id: "w2",
                ..base
            }
            .hash(),
            VaultKeyParts {
                provider_id: "p2",
                ..base
            }
            .hash(),
            VaultKeyParts {
                user_key: Some(&other_user),
                ..base
            }
            .hash(),
            VaultKeyParts {
                user_key: None,
                ..base
            }
            .hash(),
            VaultKeyParts { flow: "M2M", ..base }.hash(),
            VaultKeyParts {
                custom_parameters: &some,
                ..base
            }
            .hash(),
            VaultKeyParts {
                resources: &api,
                ..base
            }
            .hash(),
            VaultKeyParts {
                audiences: &api,
                ..base
            }
            .hash(),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "part {index} does not count");
        }
    }

    #[test]
    fn scopes_are_a_set() {
        let scopes = ["b".to_owned(), "a c".to_owned(), "b".to_owned()];
        assert_eq!(normalised_scopes(&scopes), ["a", "b", "c"]);
        assert_eq!(
            set_hash(&["a".into(), "b".into()]),
            set_hash(&["b".into(), "a".into()])
        );
        assert_ne!(set_hash(&["ab".into()]), set_hash(&["a".into(), "b".into()]));
    }
}
