//! The authorization response: RFC 6749 section 4.1.2, read so that it has one meaning only.

use std::collections::BTreeMap;

use countersign_crypto::SecretString;
use url::form_urlencoded;

use crate::metadata::ServerMetadata;

/// Longest query read, bytes.
const MAX_QUERY_BYTES: usize = 16 * 1024;
/// Longest `error` and `error_description` passed on, characters.
const MAX_ERROR_CHARS: usize = 64;
const MAX_DESCRIPTION_CHARS: usize = 500;

/// What came back through the browser. Everything in it is the browser's word until `state` is checked.
#[derive(Debug, Clone)]
pub enum AuthorizationResponse {
    /// Consent was given.
    Code {
        /// The authorization code.
        code: SecretString,
        /// As it came.
        state: String,
        /// RFC 9207.
        iss: Option<String>,
    },
    /// It was not, or the server failed.
    Error {
        /// The error code, in RFC 6749's characters.
        error: String,
        /// Its description, in RFC 6749's characters. Somebody else's text: show it as such.
        description: Option<String>,
        /// As it came.
        state: String,
        /// RFC 9207.
        iss: Option<String>,
    },
}

/// Why a callback means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// A parameter occurs twice (RFC 6749 section 3.1 forbids it; who reads which would decide).
    #[error("a parameter is repeated")]
    Duplicate,
    /// No `state`.
    #[error("state is missing")]
    MissingState,
    /// Neither `code` nor `error`, or both.
    #[error("neither a code nor an error")]
    Malformed,
    /// Longer than any response.
    #[error("too long")]
    TooLong,
    /// `iss` is another server's, or missing though the server promises it (RFC 9207 section 2.4).
    #[error("the response is of another issuer")]
    Issuer,
}

impl CallbackError {
    /// The word for the audit record.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate_parameter",
            Self::MissingState => "missing_state",
            Self::Malformed => "malformed_callback",
            Self::TooLong => "callback_too_long",
            Self::Issuer => "issuer_mismatch",
        }
    }
}

impl AuthorizationResponse {
    /// Reads the query of the callback. Parameters without a value count as absent, unknown ones are
    /// ignored (RFC 6749 section 3.1), repeated ones are refused.
    pub fn parse(query: &str) -> Result<Self, CallbackError> {
        if query.len() > MAX_QUERY_BYTES {
            return Err(CallbackError::TooLong);
        }
        let mut parameters = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if parameters.insert(name.into_owned(), value.into_owned()).is_some() {
                return Err(CallbackError::Duplicate);
            }
        }
        let mut take = |name: &str| parameters.remove(name).filter(|value| !value.is_empty());
        let state = take("state").ok_or(CallbackError::MissingState)?;
        let iss = take("iss");
        match (take("code"), take("error")) {
            (Some(code), None) => Ok(Self::Code {
                code: code.into(),
                state,
                iss,
            }),
            (None, Some(error)) => Ok(Self::Error {
                error: sanitise(&error, MAX_ERROR_CHARS),
                description: take("error_description").map(|text| sanitise(&text, MAX_DESCRIPTION_CHARS)),
                state,
                iss,
            }),
            _ => Err(CallbackError::Malformed),
        }
    }

    /// The `state` as it came.
    #[must_use]
    pub fn state(&self) -> &str {
        match self {
            Self::Code { state, .. } | Self::Error { state, .. } => state,
        }
    }

    /// RFC 9207 section 2.4: an `iss` that is there is this server's, and it is there when promised. Errors
    /// are held to it too.
    pub fn check_issuer(&self, server: &ServerMetadata) -> Result<(), CallbackError> {
        let (Self::Code { iss, .. } | Self::Error { iss, .. }) = self;
        match iss {
            Some(iss) if *iss == server.issuer => Ok(()),
            None if !server.authorization_response_iss_parameter_supported => Ok(()),
            _ => Err(CallbackError::Issuer),
        }
    }
}

/// `text` in the characters that RFC 6749 section 4.1.2.1 allows for `error` and `error_description`,
/// every other replaced by `?`, at most `max` of them: safe in a header, a URL and a log line.
#[must_use]
pub fn sanitise(text: &str, max: usize) -> String {
    let allowed = |character: char| matches!(character, ' '..='!' | '#'..='[' | ']'..='~');
    text.chars()
        .take(max)
        .map(|character| if allowed(character) { character } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use countersign_crypto::ExposeSecret as _;
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn server(promised: bool) -> ServerMetadata {
        let endpoint = Url::parse("https://as.example/x").expect("a URL");
        ServerMetadata {
            authorization_response_iss_parameter_supported: promised,
            ..ServerMetadata::new("https://as.example", endpoint.clone(), endpoint)
        }
    }

    fn check(query: &str, promised: bool) -> Result<(), CallbackError> {
        AuthorizationResponse::parse(query)?.check_issuer(&server(promised))
    }

    #[test]
    fn c07_iss_is_checked_and_demanded_where_promised() {
        let right = "code=c&state=s&iss=https%3A%2F%2Fas.example";
        let wrong = "code=c&state=s&iss=https%3A%2F%2Fevil.example";
        let slash = "code=c&state=s&iss=https%3A%2F%2Fas.example%2F";
        let none = "code=c&state=s";
        assert_eq!(check(right, true), Ok(()));
        assert_eq!(check(right, false), Ok(()));
        assert_eq!(check(none, false), Ok(()));
        assert_eq!(check(none, true), Err(CallbackError::Issuer));
        assert_eq!(check("code=c&state=s&iss=", true), Err(CallbackError::Issuer));
        for promised in [true, false] {
            assert_eq!(check(wrong, promised), Err(CallbackError::Issuer));
            assert_eq!(check(slash, promised), Err(CallbackError::Issuer));
            assert_eq!(
                check(&format!("{right}&iss=https%3A%2F%2Fas.example"), promised),
                Err(CallbackError::Duplicate)
            );
            assert_eq!(
                check(
                    "error=access_denied&state=s&iss=https%3A%2F%2Fevil.example",
                    promised
                ),
                Err(CallbackError::Issuer)
            );
        }
    }

    #[test]
    fn one_meaning_only() {
        let parse = |query: &str| AuthorizationResponse::parse(query).map(|_| ());
        assert_eq!(parse("code=a&code=b&state=s"), Err(CallbackError::Duplicate));
        assert_eq!(parse("code=a&state=s&state=s"), Err(CallbackError::Duplicate));
        assert_eq!(parse("code=a&state=s&x=1&x=2"), Err(CallbackError::Duplicate));
        assert_eq!(parse("code=a"), Err(CallbackError::MissingState));
        assert_eq!(parse("code=a&state="), Err(CallbackError::MissingState));
        assert_eq!(parse("state=s"), Err(CallbackError::Malformed));
        assert_eq!(
            parse("state=s&code=a&error=access_denied"),
            Err(CallbackError::Malformed)
        );
        assert_eq!(
            parse(&format!("state=s&code={}", "a".repeat(MAX_QUERY_BYTES))),
            Err(CallbackError::TooLong)
        );
        match AuthorizationResponse::parse("code=a%2Fb&state=s&session_state=x") {
            Ok(AuthorizationResponse::Code {
                code,
                state,
                iss: None,
            }) => {
                assert_eq!((code.expose_secret(), state.as_str()), ("a/b", "s"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn d05_error_texts_cannot_break_out() {
        let query = "state=s&error=bad%0d%0aSet-Cookie:x&error_description=%22%3Cb%3E%5C%00%C3%A9";
        match AuthorizationResponse::parse(query) {
            Ok(AuthorizationResponse::Error {
                error, description, ..
            }) => {
                assert_eq!(error, "bad??Set-Cookie:x");
                assert_eq!(description.as_deref(), Some("?<b>???"));
            }
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn sanitised_text_stays_in_the_character_set(text in "\\PC*|[\\x00-\\xff]*", max in 0_usize..50) {
            let clean = sanitise(&text, max);
            prop_assert!(clean.len() <= max);
            prop_assert!(clean.bytes().all(|byte| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e)));
        }

        #[test]
        fn no_query_panics(query in "\\PC{0,200}") {
            let _ = AuthorizationResponse::parse(&query);
        }
    }
}
