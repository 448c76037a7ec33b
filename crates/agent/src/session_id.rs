//! The id of a conversation, chosen by the client.

use std::fmt;
use std::str::FromStr;

/// A conversation's id: 1 to 128 of `A-Z a-z 0-9 . _ -`. It names a conversation of the person who sends it
/// and of nobody else; it is no secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(String);

/// The text is not of that form.
#[derive(Debug, thiserror::Error)]
#[error("sessionId must be 1 to 128 of A-Z a-z 0-9 . _ -")]
pub(crate) struct InvalidSessionId;

impl SessionId {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSessionId)
        }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_exact() {
        for good in ["a", "..", "A.b_c-9", &"x".repeat(128)] {
            assert!(good.parse::<SessionId>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "a/b",
            "a b",
            "é",
            "a\n",
            "%2e",
            "a\\b",
            "a\0",
            &"x".repeat(129),
        ] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad:?}");
        }
    }
}
