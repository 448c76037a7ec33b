//! The user key of design D9: who somebody is, in every table and token, without saying it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{b64url, sha256_parts};

/// SHA-256 over length-prefixed (kind, upstream issuer, subject). Two issuers' subject `1001` are two
/// people, and a subject that a token proved never equals a user id that a caller merely named.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd)]
pub struct UserKey([u8; 32]);

/// Text that is not a user key.
#[derive(Debug, thiserror::Error)]
#[error("a user key is 64 lower-case hexadecimal digits")]
pub struct UserKeyError;

impl UserKey {
    /// The key of a person whom a token of `issuer` proved. For our gateway's tokens these are `idp_iss`
    /// and `idp_sub`.
    #[must_use]
    pub fn jwt(issuer: &str, subject: &str) -> Self {
        Self(sha256_parts(&[b"jwt", issuer.as_bytes(), subject.as_bytes()]))
    }

    /// The key of a user id that only the caller vouches for (`GetWorkloadAccessTokenForUserId`).
    #[must_use]
    pub fn id(user_id: &str) -> Self {
        Self(sha256_parts(&[b"id", b"", user_id.as_bytes()]))
    }

    /// From its stored bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Reads [`Self::to_hex`]; upper case is refused, so that a key has one spelling.
    pub fn from_hex(text: &str) -> Result<Self, UserKeyError> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(UserKeyError);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| UserKeyError)?;
        Ok(Self(bytes))
    }
}

/// Eight digits: enough to follow a person through a log, too few to look one up.
impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserKey({}…)", hex::encode(&self.0[..4]))
    }
}

impl Serialize for UserKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for UserKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::from_hex(&text).map_err(serde::de::Error::custom)
    }
}

/// The published form of a person's user id, `idp:` + base64url(SHA-256(issuer, subject)), which agent and
/// binding use behind an ALB and by which the start page recognises the person (design D11).
#[must_use]
pub fn published_user_id(issuer: &str, subject: &str) -> String {
    format!(
        "idp:{}",
        b64url(&sha256_parts(&[issuer.as_bytes(), subject.as_bytes()]))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_issuers_and_borders_differ() {
        let keys = [
            UserKey::jwt("https://a", "1001"),
            UserKey::jwt("https://b", "1001"),
            UserKey::jwt("https://a1", "001"),
            UserKey::jwt("", "1001"),
            UserKey::id("1001"),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key));
        }
    }

    #[test]
    fn hex_round_trip_and_one_spelling() {
        let key = UserKey::id("alice");
        assert_eq!(UserKey::from_hex(&key.to_hex()).expect("own spelling"), key);
        assert!(UserKey::from_hex(&key.to_hex().to_uppercase()).is_err());
        assert!(UserKey::from_hex("00").is_err());
        assert!(!format!("{key:?}").contains(&key.to_hex()));
    }

    #[test]
    fn published_form() {
        let id = published_user_id("http://127.0.0.1:8403", "alice");
        assert_eq!(id.len(), 4 + 43);
        assert!(id.starts_with("idp:"));
    }
}
