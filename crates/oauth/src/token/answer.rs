//! Reading a token endpoint's answer leniently: the form of answers differs among servers, their meaning
//! hardly. What is read is decided by the body, since content types are often wrong.

use countersign_crypto::{SecretString, parse_strict_json};
use http::StatusCode;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::{TokenError, TokenSet};
use crate::callback::sanitise;
use crate::vendor::{Dialect, RenewalGrant};

const MAX_ERROR_CHARS: usize = 64;
const MAX_DESCRIPTION_CHARS: usize = 500;
/// Longest lifetime believed, seconds: ten years.
const MAX_LIFETIME_SECS: u64 = 10 * 365 * 24 * 60 * 60;

pub(super) fn read(status: StatusCode, body: &[u8], dialect: &Dialect) -> Result<TokenSet, TokenError> {
    // A server error may have struck after the code or refresh token was spent, whatever its body says.
    if !status.is_success() && !status.is_client_error() {
        return Err(TokenError::Status(status.as_u16()));
    }
    let members = members(body);
    let error = members.as_ref().ok().and_then(|members| error(members, status));
    if let Some((code, description)) = error {
        return Err(denied(&code, description.as_deref(), dialect));
    }
    if !status.is_success() {
        return Err(TokenError::Status(status.as_u16()));
    }
    tokens(&members?, body, dialect)
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

/// The error in an answer of any status, and its description: RFC 6749's `error`, Facebook's `error` object, or
/// `ok: false` (Slack); beside a status that says so, `HubSpot`'s `status` and `message`.
fn error(members: &Map<String, Value>, status: StatusCode) -> Option<(String, Option<String>)> {
    let text = |value: Option<&Value>| match value? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let unknown = || "unknown_error".to_owned();
    match members.get("error") {
        Some(Value::Object(error)) => {
            let code = text(error.get("code")).or_else(|| text(error.get("type")));
            Some((code.unwrap_or_else(unknown), text(error.get("message"))))
        }
        Some(Value::String(code)) if !code.is_empty() => {
            Some((code.clone(), text(members.get("error_description"))))
        }
        // Reddit has been seen to repeat the status here.
        Some(Value::Number(code)) => Some((code.to_string(), text(members.get("message")))),
        None | Some(Value::Null | Value::String(_)) if members.get("ok") != Some(&Value::Bool(false)) => {
            let code = text(members.get("status")).filter(|_| !status.is_success())?;
            Some((code, text(members.get("message"))))
        }
        _ => Some((unknown(), None)),
    }
}

/// The vendor's words for `invalid_grant` become that, and are kept in the description.
fn denied(code: &str, description: Option<&str>, dialect: &Dialect) -> TokenError {
    let (error, description) = if dialect.dead_grant_errors.contains(&code) {
        let description = description.map(|text| format!("{code}: {text}"));
        (
            "invalid_grant",
            Some(description.unwrap_or_else(|| code.to_owned())),
        )
    } else {
        (code, description.map(str::to_owned))
    };
    TokenError::Denied {
        error: sanitise(error, MAX_ERROR_CHARS),
        description: description.map(|text| sanitise(&text, MAX_DESCRIPTION_CHARS)),
    }
}

fn tokens(members: &Map<String, Value>, body: &[u8], dialect: &Dialect) -> Result<TokenSet, TokenError> {
    let there =
        |members: &Map<String, Value>| members.get("access_token").is_some_and(|token| !token.is_null());
    let nested = dialect.nested.and_then(|name| members.get(name)?.as_object());
    let members = nested.filter(|_| !there(members)).unwrap_or(members);
    let access_token = token(members, "access_token")?.ok_or(TokenError::Malformed("no access_token"))?;
    let refresh_token = match dialect.renewal_grant {
        RenewalGrant::RefreshToken => token(members, "refresh_token")?,
        RenewalGrant::AccessToken(_) => Some(access_token.clone()),
    };
    Ok(TokenSet {
        refresh_token,
        id_token: token(members, "id_token")?,
        token_type: members
            .get("token_type")
            .and_then(Value::as_str)
            .filter(|kind| !kind.is_empty() && !kind.eq_ignore_ascii_case("bearer"))
            .map_or_else(|| "Bearer".to_owned(), |kind| sanitise(kind, MAX_ERROR_CHARS)),
        expires_in: members
            .get("expires_in")
            .and_then(lifetime)
            .or_else(|| dialect.default_lifetime.map(|lifetime| lifetime.as_secs())),
        scope: members
            .get("scope")
            .or_else(|| members.get("scopes"))
            .and_then(scopes),
        raw: SecretString::from(String::from_utf8_lossy(body).into_owned()),
        access_token,
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
        read(StatusCode::OK, body.as_bytes(), &Dialect::STANDARD)
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
        let refused = read(StatusCode::BAD_REQUEST, facebook.as_bytes(), &Dialect::STANDARD).err();
        assert_eq!(refused, Some(denied("190", Some("Expired"))));
    }

    /// What `vendor` makes of an answer with status 200.
    fn at(vendor: &str, body: &str) -> Result<TokenSet, TokenError> {
        let vendor = crate::vendor::vendor(vendor).expect("a vendor");
        read(StatusCode::OK, body.as_bytes(), &vendor.dialect)
    }

    #[test]
    fn e03_slack_nests_the_persons_own_token() {
        let nested = r#"{"ok":true,"team":{"id":"T1"},"authed_user":{"id":"U1","scope":"chat:write,users:read",
            "access_token":"xoxp","token_type":"user","expires_in":43200,"refresh_token":"xoxe"}}"#;
        let set = at("SlackOauth2", nested).expect("the person's token");
        assert_eq!(set.access_token.expose_secret(), "xoxp");
        assert_eq!(set.refresh_token.expect("there").expose_secret(), "xoxe");
        assert_eq!(set.scope, Some(vec!["chat:write".into(), "users:read".into()]));
        let both = r#"{"ok":true,"access_token":"xoxb","scope":"chat:write","authed_user":{"id":"U1","access_token":"xoxp"}}"#;
        let set = at("SlackOauth2", both).expect("the bot's token");
        assert_eq!(set.access_token.expose_secret(), "xoxb");
        let none = r#"{"ok":true,"authed_user":{"id":"U1"}}"#;
        assert_eq!(
            at("SlackOauth2", none).err(),
            Some(TokenError::Malformed("no access_token"))
        );
        // No other vendor's answers are searched.
        assert!(at("GithubOauth2", nested).is_err());
    }

    #[test]
    fn e03_each_vendors_own_word_for_invalid_grant_is_understood() {
        for (vendor, body) in [
            (
                "GithubOauth2",
                r#"{"error":"bad_refresh_token","error_description":"No."}"#,
            ),
            ("SlackOauth2", r#"{"ok":false,"error":"invalid_refresh_token"}"#),
            (
                "FacebookOauth2",
                r#"{"error":{"message":"No.","type":"OAuthException","code":190,"error_subcode":463}}"#,
            ),
            (
                "AtlassianOauth2",
                r#"{"error":"unauthorized_client","error_description":"refresh_token is invalid"}"#,
            ),
        ] {
            let error = at(vendor, body).expect_err(vendor);
            assert!(error.is_invalid_grant(), "{vendor}: {error}");
            assert_eq!(error.outcome(), super::super::Outcome::Refused);
        }
        let hubspot = r#"{"status":"BAD_REFRESH_TOKEN","message":"missing or unknown refresh token"}"#;
        let vendor = crate::vendor::vendor("HubspotOauth2").expect("a vendor");
        let error = read(StatusCode::BAD_REQUEST, hubspot.as_bytes(), &vendor.dialect).expect_err("refused");
        let description = "BAD_REFRESH_TOKEN: missing or unknown refresh token";
        assert_eq!(error, denied("invalid_grant", Some(description)));
        // Facebook's other errors do not end a grant.
        let busy = r#"{"error":{"message":"Try later","type":"OAuthException","code":2}}"#;
        assert!(
            !at("FacebookOauth2", busy)
                .expect_err("refused")
                .is_invalid_grant()
        );
    }

    #[test]
    fn lifetimes_and_renewal_where_the_answer_says_nothing() {
        let bare = r#"{"access_token":"a","instance_url":"https://acme.my.salesforce.com","issued_at":"1700000000000"}"#;
        assert_eq!(
            at("SalesforceOauth2", bare).expect("tokens").expires_in,
            Some(900)
        );
        assert_eq!(at("GithubOauth2", bare).expect("tokens").expires_in, None);
        let short = r#"{"access_token":"a","token_type":"bearer","expires_in":5183944}"#;
        let set = at("FacebookOauth2", short).expect("tokens");
        assert_eq!(set.refresh_token.expect("the token itself").expose_secret(), "a");
        let listed = r#"{"access_token":"a","scopes":["crm.objects.contacts.read","oauth"],"hub_id":5}"#;
        let scopes = at("HubspotOauth2", listed).expect("tokens").scope;
        assert_eq!(scopes.expect("there"), ["crm.objects.contacts.read", "oauth"]);
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
            read(status, body.as_bytes(), &Dialect::STANDARD)
                .expect_err("no tokens")
                .outcome()
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
            let _ = read(StatusCode::from_u16(status).expect("a status"), &body, &Dialect::STANDARD);
        }
    }
}
