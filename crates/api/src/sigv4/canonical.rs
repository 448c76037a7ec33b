//! The canonical request (AWS General Reference, "Create a canonical request").

use std::borrow::Cow;
use std::fmt::Write as _;

use http::request::Parts;
use http::{HeaderMap, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// RFC 3986 unreserved characters stay, all else is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// In a path the slash stays too.
const ENCODED_IN_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// How the path is brought into canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathStyle {
    /// Remove dot segments and double slashes first (RFC 3986 6.2.2.3).
    pub normalise: bool,
    /// Percent-encode the sent path once more.
    pub encode_again: bool,
}

impl PathStyle {
    /// What every AWS service but S3 does.
    pub const STANDARD: Self = Self {
        normalise: true,
        encode_again: true,
    };
}

/// What is signed of a request.
#[derive(Debug)]
pub struct CanonicalRequest<'a> {
    /// The request.
    pub parts: &'a Parts,
    /// Lower-case header names in order.
    pub signed_headers: &'a [&'a str],
    /// The body's SHA-256 in hex.
    pub payload_hash: &'a str,
    /// How its path is canonicalised.
    pub path_style: PathStyle,
}

impl CanonicalRequest<'_> {
    /// The canonical request's text; `None` if a signed header is absent or not text.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let Self {
            parts,
            signed_headers,
            payload_hash,
            path_style,
        } = self;
        let path = canonical_path(parts.uri.path(), *path_style);
        let query = canonical_query(parts.uri.query().unwrap_or_default());
        let mut text = format!("{}\n{path}\n{query}\n", parts.method);
        for name in *signed_headers {
            let value = canonical_header(parts, name)?;
            writeln!(text, "{name}:{value}").ok()?;
        }
        write!(text, "\n{}\n{payload_hash}", signed_headers.join(";")).ok()?;
        Some(text)
    }
}

fn canonical_path(path: &str, style: PathStyle) -> String {
    let path = if path.is_empty() { "/" } else { path };
    let path = if style.normalise {
        normalised(path)
    } else {
        Cow::Borrowed(path)
    };
    if style.encode_again {
        utf8_percent_encode(&path, ENCODED_IN_PATH).to_string()
    } else {
        path.into_owned()
    }
}

/// RFC 3986 5.2.4, and empty segments dropped; a slash at the end stays.
fn normalised(path: &str) -> Cow<'_, str> {
    if !path.contains("//") && !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    let directory = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    if directory || kept.is_empty() {
        out.push('/');
    }
    Cow::Owned(out)
}

/// Names and values decoded as a form, encoded again one way, and sorted.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes())
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// All values of the header, each trimmed and with its inner runs of white space made one space, joined by
/// commas. `host` may stand in the URI instead, as HTTP/2 has it.
fn canonical_header(parts: &Parts, name: &str) -> Option<String> {
    let values = header_values(&parts.headers, name)?;
    if !values.is_empty() {
        return Some(values.join(","));
    }
    let authority = parts.uri.authority().filter(|_| name == header::HOST.as_str())?;
    Some(authority.as_str().to_owned())
}

fn header_values(headers: &HeaderMap, name: &str) -> Option<Vec<String>> {
    headers
        .get_all(name)
        .iter()
        .map(|value| {
            let value = std::str::from_utf8(value.as_bytes()).ok()?;
            Some(value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_path_is_encoded_again() {
        let style = PathStyle::STANDARD;
        assert_eq!(canonical_path("/tags/arn%3Aaws", style), "/tags/arn%253Aaws");
        assert_eq!(canonical_path("", style), "/");
        assert_eq!(canonical_path("/a/./b/../c//d/", style), "/a/c/d/");
        assert_eq!(canonical_path("/../..", style), "/");
    }

    #[test]
    fn query_is_sorted_by_encoded_name_then_value() {
        assert_eq!(canonical_query("b=2&a=%2f&a=1&c"), "a=%2F&a=1&b=2&c=");
        assert_eq!(canonical_query("tagKeys=x%20y"), "tagKeys=x%20y");
    }
}
