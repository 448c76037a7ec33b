//! Reading a token endpoint's answer leniently: the form of answers differs among servers, their meaning
//! hardly. What is read is decided by the body, since content types are often wrong.

use countersign_crypto::{SecretString, parse_strict_json};
use http::StatusCode;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{TokenError, TokenSet};
use crate::callback::sanitise;

const MAX_ERROR_CHARS: usize = 64;
const MAX_DESCRIPTION_CHARS: usize = 500;
/// Longest lifetime believed, seconds: ten years.
const MAX_LIFETIME_SECS: u64 = 10 * 365 * 24 * 60 * 60;

pub(super) fn read(status: StatusCode, body: &[u8]) -> Result<TokenSet, TokenError> {
    // A server error may have struck after the code or refresh token was spent, whatever its body says.
    if !status.is_success() && !status.is_client_error() {
        return Err(TokenError::Status(status.as_u16()));
    }
    let members = members(body);
    if let Some(denied) = members.as_ref().ok().and_then(error) {
        return Err(denied);
    }
    if !status.is_success() {
        return Err(TokenError::Status(status.as_u16()));
    }
    tokens(&members?, body)
}

/// A JSON object, or a form (GitHub's default, old Facebook).
fn members(body: &[u8]) -> Result<Map<String, Value>, TokenError> {
    let text = std::str::from_utf8(body).map_err(|_| TokenError::Malformed("not UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('{') {
        return match parse_strict_json(text.as_bytes()) {
            Ok(Value::Object(members)) => Ok(members),
            _ => Err(TokenError::Malformed("not JSON, or a member is repeated")),
        };
    }
    if text.starts_with('<') || !text.contains('=') || text.contains(char::is_whitespace) {
        return Err(TokenError::Malformed("neither JSON nor a form"));
    }
    let mut members = Map::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        if members
            .insert(name.into_owned(), Value::String(value.into_owned()))
            .is_some()
        {
            return Err(TokenError::Malformed("a parameter is repeated"));
        }
    }
    Ok(members)
}

/// The error in an answer of any status: RFC 6749's `error`, Facebook's `error` object, or `ok: false`.
fn error(members: &Map<String, Value>) -> Option<TokenError> {
    let (code, description) = match members.get("error") {
        Some(Value::String(code)) if !code.is_empty() => (code.as_str(), members.get("error_description")),
        Some(Value::Object(error)) => {
            let code = error
                .get("type")
                .or_else(|| error.get("code"))
                .and_then(Value::as_str);
            (code.unwrap_or("unknown_error"), error.get("message"))
        }
        None | Some(Value::Null | Value::String(_)) if members.get("ok") != Some(&Value::Bool(false)) => {
            return None;
        }
        _ => ("unknown_error", None),
    };
    Some(TokenError::Denied {
        error: sanitise(code, MAX_ERROR_CHARS),
        description: description
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(|text| sanitise(text, MAX_DESCRIPTION_CHARS)),
    })
}

fn tokens(members: &Map<String, Value>, body: &[u8]) -> Result<TokenSet, TokenError> {
    let access_token = token(members, "access_token")?.ok_or(TokenError::Malformed("no access_token"))?;
    Ok(TokenSet {
        access_token,
        refresh_token: token(members, "refresh_token")?,
        id_token: token(members, "id_token")?,
        token_type: members
            .get("token_type")
            .and_then(Value::as_str)
            .filter(|kind| !kind.is_empty() && !kind.eq_ignore_ascii_case("bearer"))
            .map_or_else(|| "Bearer".to_owned(), |kind| sanitise(kind, MAX_ERROR_CHARS)),
        expires_in: members.get("expires_in").and_then(lifetime),
        scope: members.get("scope").and_then(scopes),
        raw: SecretString::from(String::from_utf8_lossy(body).into_owned()),
    })
}

/// A token is printable ASCII (RFC 6749 appendix A.12): anything else could not be sent in a header.
fn token(members: &Map<String, Value>, name: &'static str) -> Result<Option<SecretString>, TokenError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) => {
            Ok(Some(SecretString::from(text.as_str())))
        }
        Some(_) => Err(TokenError::Malformed("a token is not a printable string")),
    }
}

/// A number, a number in a string, or nothing usable; zero and less mean that no lifetime is stated.
fn lifetime(value: &Value) -> Option<u64> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse::<f64>().ok()?,
        _ => return None,
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and `as` saturates below the limit that follows"
    )]
    (seconds >= 1.0).then(|| (seconds as u64).min(MAX_LIFETIME_SECS))
}

/// A string separated by spaces, or where it has none by commas (GitHub), or a list (Twitch).
fn scopes(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::String(text) => {
            let text = text.trim();
            let separator: fn(char) -> bool = if text.contains(char::is_whitespace) {
                char::is_whitespace
            } else {
                |character| character == ','
            };
            Some(
                text.split(separator)
                    .filter(|scope| !scope.is_empty())
                    .map(str::to_owned)
                    .collect(),
            )
        }
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map(str::to_owned))
            .collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use countersign_crypto::ExposeSecret as _;
    use proptest::prelude::*;

    use super::*;

    fn ok(body: &str) -> Result<TokenSet, TokenError> {
        read(StatusCode::OK, body.as_bytes())
    }

    fn denied(error: &str, description: Option<&str>) -> TokenError {
        TokenError::Denied {
            error: error.into(),
            description: description.map(str::to_owned),
        }
    }

    #[test]
    fn e03_answers_in_every_shape_are_read() {
        let set = ok(r#"{"access_token":"a","token_type":"bearer","expires_in":"3599","scope":["x","y"],"refresh_token":"r"}"#)
            .expect("tokens");
        assert_eq!(set.access_token.expose_secret(), "a");
        assert_eq!(
            set.refresh_token.as_ref().map(SecretString::expose_secret),
            Some("r")
        );
        assert_eq!((set.token_type.as_str(), set.expires_in), ("Bearer", Some(3599)));
        assert_eq!(set.scope, Some(vec!["x".into(), "y".into()]));

        let set = ok("access_token=gho_1&scope=repo%2Cuser&token_type=bearer").expect("a form");
        assert_eq!(set.scope, Some(vec!["repo".into(), "user".into()]));

        let set = ok(r#"{"access_token":"a","refresh_token":"","scope":"","expires_in":0}"#).expect("tokens");
        assert!(set.refresh_token.is_none());
        assert_eq!(
            (set.scope, set.expires_in, set.token_type.as_str()),
            (Some(vec![]), None, "Bearer")
        );

        let set = ok(r#"{"access_token":"a"}"#).expect("tokens");
        assert_eq!((set.scope, set.expires_in), (None, None));
        assert_eq!(
            ok(r#"{"access_token":"a","expires_in":1e99}"#)
                .expect("tokens")
                .expires_in,
            Some(MAX_LIFETIME_SECS)
        );
    }

    #[test]
    fn e03_errors_count_whatever_the_status() {
        let github = "error=bad_verification_code&error_description=The+code+is+incorrect";
        assert_eq!(
            ok(github).err(),
            Some(denied("bad_verification_code", Some("The code is incorrect")))
        );
        assert_eq!(
            ok(r#"{"ok":false,"error":"invalid_code"}"#).err(),
            Some(denied("invalid_code", None))
        );
        assert_eq!(
            ok(r#"{"ok":false,"access_token":"a"}"#).err(),
            Some(denied("unknown_error", None))
        );
        let both = r#"{"error":"invalid_grant","access_token":"a"}"#;
        assert_eq!(ok(both).err(), Some(denied("invalid_grant", None)));
        let facebook = r#"{"error":{"message":"Expired","type":"OAuthException","code":190}}"#;
        let refused = read(StatusCode::BAD_REQUEST, facebook.as_bytes()).err();
        assert_eq!(refused, Some(denied("OAuthException", Some("Expired"))));
    }

    #[test]
    fn e03_what_cannot_be_read_is_malformed_and_its_outcome_unknown() {
        for body in [
            "",
            "<html>access_token=a</html>",
            "not a form",
            r#"{"access_token":"a","access_token":"b"}"#,
            r#"{"access_token":1}"#,
            r#"{"access_token":"a\nb"}"#,
            r#"["access_token"]"#,
            r#"{"token_type":"bearer"}"#,
            "access_token=a&access_token=b",
        ] {
            let error = ok(body).expect_err(body);
            assert!(matches!(error, TokenError::Malformed(_)), "{body}: {error}");
            assert_eq!(error.outcome(), super::super::Outcome::Unknown);
        }
    }

    #[test]
    fn outcomes_by_status() {
        use super::super::Outcome;
        let outcome = |status: u16, body: &str| {
            let status = StatusCode::from_u16(status).expect("a status");
            read(status, body.as_bytes()).expect_err("no tokens").outcome()
        };
        let invalid_grant = r#"{"error":"invalid_grant"}"#;
        assert_eq!(outcome(400, invalid_grant), Outcome::Refused);
        assert_eq!(outcome(401, "<html>"), Outcome::Refused);
        assert_eq!(outcome(429, ""), Outcome::Refused);
        // Tokens do not count unless the status says success.
        assert_eq!(outcome(400, r#"{"access_token":"a"}"#), Outcome::Refused);
        assert_eq!(outcome(500, invalid_grant), Outcome::Unknown);
        assert_eq!(outcome(302, ""), Outcome::Unknown);
        assert_eq!(outcome(408, ""), Outcome::Unknown);
    }

    proptest! {
        #[test]
        fn no_answer_panics(body in proptest::collection::vec(any::<u8>(), 0..300), status in 200_u16..600) {
            let _ = read(StatusCode::from_u16(status).expect("a status"), &body);
        }
    }
}
