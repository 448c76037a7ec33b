//! Members the service model marks sensitive.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Text that the service model marks sensitive: tokens, secrets, state, custom parameter values. It goes
/// over the wire but never into `Debug`, and its memory is wiped.
#[derive(Clone, Default)]
pub struct Sensitive(SecretString);

impl Sensitive {
    /// The text. Each call is a place to look at in review.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The text as a secret.
    #[must_use]
    pub fn into_secret(self) -> SecretString {
        self.0
    }
}

impl From<String> for Sensitive {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Sensitive {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<SecretString> for Sensitive {
    fn from(secret: SecretString) -> Self {
        Self(secret)
    }
}

impl PartialEq for Sensitive {
    /// In time that depends on the lengths alone.
    fn eq(&self, other: &Self) -> bool {
        use subtle::ConstantTimeEq as _;
        self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
    }
}

impl Eq for Sensitive {}

impl std::fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[sensitive]")
    }
}

impl Serialize for Sensitive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for Sensitive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}
