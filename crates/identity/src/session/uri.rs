//! The two identifiers of an authorization session that leave this service. Both have the spelling that AWS uses for a
//! `sessionUri`: `urn:ietf:params:oauth:request_uri:` and 48 characters, the base64 text of a UUID of version 4
//! in its 36-character form. They differ in what they open: the session URI polls and starts, the completion
//! handle (design D11) completes. Only SHA-256 hashes of them are compared or looked up.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use countersign_crypto::{ExposeSecret as _, Random, SecretString, sha256, uuid_v4};

const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// A session URI or a completion handle: a bearer secret, 122 random bits.
#[derive(Debug, Clone)]
pub(crate) struct SessionUri(SecretString);

impl SessionUri {
    /// A fresh one.
    pub(crate) fn generate(random: &dyn Random) -> Self {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text = uuid_v4(random).hyphenated().encode_lower(&mut text);
        Self(format!("{PREFIX}{}", STANDARD_NO_PAD.encode(text)).into())
    }

    /// Reads one. `None` for everything that [`Self::generate`] cannot have made (another prefix, length,
    /// alphabet, spelling of the UUID or version), so that guesses are refused before any look-up.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let encoded = text.strip_prefix(PREFIX).filter(|encoded| encoded.len() == 48)?;
        let bytes = STANDARD_NO_PAD.decode(encoded).ok()?;
        let uuid_text = std::str::from_utf8(&bytes).ok()?;
        let uuid = uuid::Uuid::try_parse(uuid_text).ok()?;
        let one_spelling = uuid.hyphenated().to_string() == uuid_text;
        (one_spelling && uuid.get_version_num() == 4).then(|| Self(text.to_owned().into()))
    }

    /// The text that goes to its holder.
    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The look-up key.
    pub(crate) fn hash(&self) -> [u8; 32] {
        sha256(self.expose().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use countersign_crypto::testing::SeededRandom;

    use super::*;

    #[test]
    fn has_the_spelling_of_the_original() {
        let uri = SessionUri::generate(&SeededRandom::new(1));
        assert_eq!(uri.expose().len(), PREFIX.len() + 48);
        assert_eq!(
            SessionUri::parse(uri.expose()).expect("its own spelling").hash(),
            uri.hash()
        );
        // The example of agentcore-identity-api.md, appendix A.
        let original = "urn:ietf:params:oauth:request_uri:Mzc3YjQyMzAtZDM3MS00NGIyLTgyYzUtNmU1MmMzNDFlNDYy";
        assert!(SessionUri::parse(original).is_some());
        assert!(!format!("{uri:?}").contains(&uri.expose()[PREFIX.len()..]));
    }

    #[test]
    fn b09_misshapen_session_uris_are_refused_before_any_look_up() {
        let uri = SessionUri::generate(&SeededRandom::new(2));
        let encoded = &uri.expose()[PREFIX.len()..];
        let upper_case_uuid = STANDARD_NO_PAD.encode("377B4230-D371-44B2-82C5-6E52C341E462");
        let version_one = STANDARD_NO_PAD.encode("377b4230-d371-14b2-82c5-6e52c341e462");
        for wrong in [
            String::new(),
            PREFIX.to_owned(),
            uri.expose()[..uri.expose().len() - 1].to_owned(),
            format!("{}A", uri.expose()),
            format!("{PREFIX}{}", encoded.to_ascii_lowercase()),
            format!("{PREFIX}{}", encoded.to_ascii_uppercase()),
            format!("{PREFIX}{}%00", &encoded[..45]),
            format!("{PREFIX}{}", "a".repeat(1025 - PREFIX.len())),
            format!("URN:ietf:params:oauth:request_uri:{encoded}"),
            format!("urn:ietf:params:oauth:request-uri:{encoded}"),
            format!(" {}", uri.expose()),
            format!("{}\n", uri.expose()),
            format!("{PREFIX}{upper_case_uuid}"),
            format!("{PREFIX}{version_one}"),
        ] {
            assert!(SessionUri::parse(&wrong).is_none(), "{wrong:?}");
        }
    }
}
