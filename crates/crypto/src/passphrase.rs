//! Keys from passphrases: Argon2id (RFC 9106).

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::random::random_bytes;
use crate::{ExposeSecret as _, Random, SecretString};

/// More than these a file that somebody hands us may not ask of this machine.
const MAX_MEMORY_KIB: u32 = 1 << 20;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 16;

/// How a key follows from a passphrase. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PassphraseParameters {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Degree of parallelism.
    pub lanes: u32,
    /// 16 random bytes, in hexadecimal.
    pub salt: String,
}

/// The parameters are none that Argon2id takes, or more than this program spends.
#[derive(Debug, thiserror::Error)]
#[error("parameters of Argon2id out of range")]
pub struct PassphraseError;

impl PassphraseParameters {
    /// RFC 9106 section 4, the second recommended option (64 MiB, three passes), with a salt of its own.
    pub fn recommended(random: &dyn Random) -> Self {
        Self {
            memory_kib: 64 * 1024,
            passes: 3,
            lanes: 4,
            salt: hex::encode(random_bytes::<16>(random)),
        }
    }

    /// The key. It takes a good part of a second, on purpose.
    pub fn key(&self, passphrase: &SecretString) -> Result<Zeroizing<[u8; 32]>, PassphraseError> {
        if self.memory_kib > MAX_MEMORY_KIB || self.passes > MAX_PASSES || self.lanes > MAX_LANES {
            return Err(PassphraseError);
        }
        let salt = hex::decode(&self.salt).map_err(|_| PassphraseError)?;
        let parameters = Params::new(self.memory_kib, self.passes, self.lanes, Some(32));
        let parameters = parameters.map_err(|_| PassphraseError)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
            .hash_password_into(passphrase.expose_secret().as_bytes(), &salt, key.as_mut())
            .map_err(|_| PassphraseError)?;
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9106 has vectors with a secret and associated data only; this one is of the reference implementation's own
    /// test (`test.c`: t=2, m=2^16, p=1).
    #[test]
    fn the_reference_implementation_has_the_same_key() {
        let parameters = PassphraseParameters {
            memory_kib: 65536,
            passes: 2,
            lanes: 1,
            salt: hex::encode("somesalt"),
        };
        let key = parameters.key(&"password".to_owned().into()).expect("a key");
        assert_eq!(
            hex::encode(key.as_ref()),
            "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"
        );
    }

    #[test]
    fn a_file_cannot_ask_for_all_memory() {
        let parameters = PassphraseParameters {
            memory_kib: u32::MAX,
            passes: 1,
            lanes: 1,
            salt: hex::encode("somesalt"),
        };
        assert!(parameters.key(&"password".to_owned().into()).is_err());
    }
}
