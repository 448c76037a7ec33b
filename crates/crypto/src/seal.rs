//! Authenticated encryption of stored values, bound to the place where they are stored.

use aws_lc_rs::{aead, hkdf};

use crate::SecretBytes;
use crate::digest::length_prefix;
use crate::random::{Random, random_bytes};

const VERSION: u8 = 1;
const SALT: usize = 32;
const TAG: usize = 16;

/// Where a sealed value lives. It is authenticated with the value, so that a sealed column copied to
/// another row, column or account does not open (design D27).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aad(Vec<u8>);

impl Aad {
    /// The place: account, table, primary key of the row, column. `table` may also name a kind of token.
    #[must_use]
    pub fn new(account: &str, table: &str, row: &str, column: &str) -> Self {
        let mut bytes = Vec::with_capacity(96);
        bytes.push(VERSION);
        for part in [account, table, row, column] {
            bytes.extend_from_slice(&length_prefix(part.as_bytes()));
            bytes.extend_from_slice(part.as_bytes());
        }
        Self(bytes)
    }

    pub(crate) fn under_key(&self, header: &[u8]) -> Vec<u8> {
        [header, &self.0].concat()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A sealed value as it is stored: version, key id, salt, ciphertext and tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// The stored bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The stored bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl From<Vec<u8>> for Sealed {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// Why a sealed value does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is shorter than any sealed value, or of a version this program does not know.
    #[error("not a sealed value of a known version")]
    Malformed,
    /// It was sealed under a key that this keyring does not hold.
    #[error("sealed under a key that is not loaded")]
    UnknownKey,
    /// It was changed, moved to another place, or sealed by somebody else.
    #[error("the sealed value is not authentic here")]
    Authentication,
}

/// Seals `plaintext` under `key`: 32 bytes of random salt, then ciphertext and tag.
///
/// AES-256-GCM under a key and nonce that HKDF-SHA-256 derives from `key` and the salt: each value has a
/// key of its own, so the number of values under one `key` is not bounded by GCM's nonce size.
#[must_use]
pub fn seal_under(key: &[u8; 32], random: &dyn Random, aad: &Aad, plaintext: &[u8]) -> Vec<u8> {
    seal_bytes(key, random, aad.as_bytes(), plaintext)
}

/// Opens what [`seal_under`] sealed with the same key and place.
pub fn open_under(key: &[u8; 32], aad: &Aad, sealed: &[u8]) -> Result<SecretBytes, OpenError> {
    open_bytes(key, aad.as_bytes(), sealed)
}

pub(crate) fn seal_bytes(key: &[u8; 32], random: &dyn Random, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let salt: [u8; SALT] = random_bytes(random);
    let (key, nonce) = derived(key, &salt);
    let mut out = Vec::with_capacity(SALT + plaintext.len() + TAG);
    out.extend_from_slice(&salt);
    out.extend_from_slice(plaintext);
    let tag = key
        .seal_in_place_separate_tag(nonce, aead::Aad::from(aad), &mut out[SALT..])
        .expect("AES-GCM seals any value that fits in memory");
    out.extend_from_slice(tag.as_ref());
    out
}

pub(crate) fn open_bytes(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, OpenError> {
    if sealed.len() < SALT + TAG {
        return Err(OpenError::Malformed);
    }
    let (salt, ciphertext) = sealed.split_at(SALT);
    let (key, nonce) = derived(key, salt);
    let mut buffer = ciphertext.to_vec();
    let length = key
        .open_in_place(nonce, aead::Aad::from(aad), &mut buffer)
        .map_err(|_| OpenError::Authentication)?
        .len();
    buffer.truncate(length);
    Ok(SecretBytes::from(buffer))
}

/// HKDF-SHA-256 (RFC 5869) from a 32-byte key to `out`.
pub(crate) fn hkdf_sha256(key: &[u8; 32], salt: &[u8], info: &[&[u8]], out: &mut [u8]) {
    struct Length(usize);
    impl hkdf::KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(key)
        .expand(info, Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .expect("HKDF-SHA-256 yields up to 8160 bytes");
}

fn derived(key: &[u8; 32], salt: &[u8]) -> (aead::LessSafeKey, aead::Nonce) {
    let mut okm = zeroize::Zeroizing::new([0; 32 + aead::NONCE_LEN]);
    hkdf_sha256(key, salt, &[b"countersign seal v1"], okm.as_mut());
    let (key, nonce) = okm.split_at(32);
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, key).expect("32 bytes are an AES-256 key");
    let nonce = aead::Nonce::try_assume_unique_for_key(nonce).expect("12 bytes are a GCM nonce");
    (aead::LessSafeKey::new(key), nonce)
}
