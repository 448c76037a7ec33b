//! What of a request may stand in a log: never a value that opens something, never a byte that ends a field.

use std::fmt::Write as _;

use http::Version;

use super::Asked;

/// Longest field that a client chooses, bytes; as at an ALB the rest is cut off.
const MAX_FIELD: usize = 8 * 1024;
/// Parameters whose values are never written: OAuth 2.0 and OpenID Connect (RFC 6749, 7523, 7636, 8628, 8693,
/// 9101, 9126, RP-initiated logout), this product's own, and SigV4 in a query. `context`, `person` and `user` are where
/// the console is asked about somebody.
const SECRET: [&str; 34] = [
    "access_token",
    "actor_token",
    "api_key",
    "apikey",
    "assertion",
    "client_assertion",
    "client_secret",
    "code",
    "code_challenge",
    "code_verifier",
    "context",
    "device_code",
    "handle",
    "id_token",
    "id_token_hint",
    "key",
    "login_hint",
    "logout_hint",
    "logout_token",
    "nonce",
    "password",
    "person",
    "refresh_token",
    "request",
    "request_uri",
    "session_id",
    "session_state",
    "state",
    "subject_token",
    "ticket",
    "token",
    "user",
    "x-amz-security-token",
    "x-amz-signature",
];
const WITHHELD: &str = "REDACTED";

/// `GET https://host:443/path?query HTTP/1.1`, quoted; `port` is the listener's.
pub(super) fn push_request_line(line: &mut String, (https, port): (bool, u16), asked: &Asked) {
    push_quoted(line, asked.method.as_str().as_bytes());
    line.push_str(if https { " https://" } else { " http://" });
    let host = asked.host();
    push_quoted(line, host.as_bytes());
    // The colons of an IPv6 address are within brackets.
    if host.rsplit_once(':').is_none_or(|(_, port)| port.contains(']')) {
        let _ = write!(line, ":{port}");
    }
    push_quoted(line, asked.uri.path().as_bytes());
    if let Some(query) = asked.uri.query() {
        line.push('?');
        push_query(line, query);
    }
    line.push_str(match asked.version {
        Version::HTTP_10 => " HTTP/1.0",
        Version::HTTP_2 => " HTTP/2.0",
        _ => " HTTP/1.1",
    });
}

/// A URL without the values of its secret parameters, quoted.
pub(super) fn url(url: &[u8]) -> String {
    let url = String::from_utf8_lossy(url);
    let mut text = String::with_capacity(url.len());
    // A fragment is the browser's own, and OAuth has put tokens there.
    let url = url.split('#').next().unwrap_or_default();
    let (path, query) = url
        .split_once('?')
        .map_or((url, None), |(path, query)| (path, Some(query)));
    push_quoted(&mut text, path.as_bytes());
    if let Some(query) = query {
        text.push('?');
        push_query(&mut text, query);
    }
    text
}

/// Bytes that a client chose, for a place between quotes.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    push_quoted(&mut text, bytes);
    text
}

/// A text for a place without quotes.
pub(super) fn field(text: &str) -> String {
    let text = quoted(text.as_bytes()).replace(' ', "\\x20");
    if text.is_empty() { "-".to_owned() } else { text }
}

fn push_query(text: &mut String, query: &str) {
    for (at, pair) in query.split('&').enumerate() {
        if at > 0 {
            text.push('&');
        }
        let (name, value) = pair
            .split_once('=')
            .map_or((pair, None), |(name, value)| (name, Some(value)));
        push_quoted(text, name.as_bytes());
        if let Some(value) = value {
            text.push('=');
            if is_secret(name) {
                text.push_str(WITHHELD);
            } else {
                push_quoted(text, value.as_bytes());
            }
        }
    }
}

/// Whether a parameter's value is withheld, however its name is written.
fn is_secret(name: &str) -> bool {
    let listed = |name: &str| SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret));
    if !name.contains(['%', '+']) {
        return listed(name);
    }
    let name = name.replace('+', " ");
    listed(
        percent_encoding::percent_decode_str(&name)
            .decode_utf8_lossy()
            .trim(),
    )
}

/// Escapes what would end the field or the line, and what is not printable ASCII.
pub(super) fn push_quoted(text: &mut String, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(MAX_FIELD)];
    let plain = |&byte: &u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if bytes.iter().all(plain)
        && let Ok(plain) = std::str::from_utf8(bytes)
    {
        return text.push_str(plain);
    }
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => {
                let _ = write!(text, "\\x{byte:02X}");
            }
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\x{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_parameters_are_named_without_their_values() {
        let line = |uri: &str| {
            let mut line = String::new();
            let asked = Asked {
                method: http::Method::GET,
                uri: uri.parse().expect("a URI"),
                version: Version::HTTP_11,
                host: Some(http::HeaderValue::from_static("app.example")),
                user_agent: None,
            };
            push_request_line(&mut line, (true, 443), &asked);
            line
        };
        assert_eq!(
            line("/oauth2/idpresponse?code=s3cret&state=s3cret&iss=https%3A%2F%2Fidp"),
            "GET https://app.example:443/oauth2/idpresponse?code=REDACTED&state=REDACTED&iss=https%3A%2F%2Fidp HTTP/1.1"
        );
        for name in [
            "session_id",
            "SESSION_ID",
            "session%5Fid",
            "c%6Fde",
            "+code",
            "id_token_hint",
            "X-Amz-Signature",
            "request_uri",
            "person",
            "user",
        ] {
            let line = line(&format!("/a?x=1&{name}=s3cret&y"));
            assert!(!line.contains("s3cret") && line.contains("x=1&"), "{line}");
        }
        assert_eq!(
            url(b"https://x.example/a?token=s3cret#access_token=s3cret"),
            "https://x.example/a?token=REDACTED"
        );
    }

    #[test]
    fn a_field_cannot_be_ended_from_within() {
        assert_eq!(quoted(b"a\"b\\c\n\t\xc3\xbc d"), r"a\x22b\x5Cc\x0A\x09\xC3\xBC d");
        assert_eq!(field("a b"), r"a\x20b");
        assert_eq!(quoted(&[b'a'; 10_000]).len(), 8 * 1024);
    }
}
