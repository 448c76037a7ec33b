//! The canonical request (AWS General Reference, "Create a canonical request").

use std::borrow::Cow;
use std::fmt::Write as _;

use http::request::Parts;
use http::uri::Authority;
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

/// What is signed of a request.
pub(super) struct CanonicalRequest<'a> {
    /// The method.
    pub(super) method: &'a str,
    /// The path as sent.
    pub(super) path: &'a str,
    /// The query as sent, without its question mark.
    pub(super) query: &'a str,
    /// The headers.
    pub(super) headers: &'a HeaderMap,
    /// The authority of the URI, which stands for `host` where that is absent, as in HTTP/2.
    pub(super) authority: Option<&'a str>,
    /// Lower-case header names in order.
    pub(super) signed_headers: &'a [&'a str],
    /// The body's SHA-256 in hex.
    pub(super) payload_hash: &'a str,
    /// Whether dot segments and double slashes are removed from the path, as for every service but S3.
    pub(super) normalise: bool,
}

impl<'a> CanonicalRequest<'a> {
    /// That of `parts`, by the rules of every service but S3.
    pub(super) fn of(parts: &'a Parts, signed_headers: &'a [&'a str], payload_hash: &'a str) -> Self {
        Self {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &parts.headers,
            authority: parts.uri.authority().map(Authority::as_str),
            signed_headers,
            payload_hash,
            normalise: true,
        }
    }

    /// Its text; `None` if a signed header is absent or not text.
    pub(super) fn text(&self) -> Option<String> {
        let path = canonical_path(self.path, self.normalise);
        let query = canonical_query(self.query);
        let mut text = format!("{}\n{path}\n{query}\n", self.method);
        for name in self.signed_headers {
            writeln!(text, "{name}:{}", self.header(name)?).ok()?;
        }
        write!(text, "\n{}\n{}", self.signed_headers.join(";"), self.payload_hash).ok()?;
        Some(text)
    }

    /// All values of the header joined by commas, each trimmed and with its inner runs of white space made
    /// one space.
    fn header(&self, name: &str) -> Option<String> {
        let values: Vec<String> = self
            .headers
            .get_all(name)
            .iter()
            .map(|value| {
                let value = std::str::from_utf8(value.as_bytes()).ok()?;
                Some(value.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
            })
            .collect::<Option<_>>()?;
        match self.authority {
            _ if !values.is_empty() => Some(values.join(",")),
            Some(authority) if name == header::HOST.as_str() => Some(authority.to_owned()),
            _ => None,
        }
    }
}

/// The sent path percent-encoded once more: what was `%3A` is signed as `%253A`.
fn canonical_path(path: &str, normalise: bool) -> String {
    let path = if path.is_empty() { "/" } else { path };
    let path = if normalise {
        normalised(path)
    } else {
        Cow::Borrowed(path)
    };
    utf8_percent_encode(&path, ENCODED_IN_PATH).to_string()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_path_is_encoded_again() {
        assert_eq!(canonical_path("/tags/arn%3Aaws", true), "/tags/arn%253Aaws");
        assert_eq!(canonical_path("", true), "/");
        assert_eq!(canonical_path("/a/./b/../c//d/", true), "/a/c/d/");
        assert_eq!(canonical_path("/../..", true), "/");
    }

    #[test]
    fn query_is_sorted_by_encoded_name_then_value() {
        assert_eq!(canonical_query("b=2&a=%2f&a=1&c"), "a=%2F&a=1&b=2&c=");
        assert_eq!(canonical_query("tagKeys=x%20y"), "tagKeys=x%20y");
    }
}
