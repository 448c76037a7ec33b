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
        let mut text = String::with_capacity(512);
        write!(text, "{}\n{path}\n{query}\n", self.method).ok()?;
        for name in self.signed_headers {
            text.push_str(name);
            text.push(':');
            self.header(name, &mut text)?;
            text.push('\n');
        }
        for name in self.signed_headers {
            text.push(if text.ends_with('\n') { '\n' } else { ';' });
            text.push_str(name);
        }
        text.push('\n');
        text.push_str(self.payload_hash);
        Some(text)
    }

    /// Appends all values of the header joined by commas, each trimmed and with its inner runs of white space made
    /// one space.
    fn header(&self, name: &str, text: &mut String) -> Option<()> {
        let mut absent = true;
        for value in self.headers.get_all(name) {
            if !absent {
                text.push(',');
            }
            absent = false;
            let value = std::str::from_utf8(value.as_bytes()).ok()?;
            for (index, word) in value.split_ascii_whitespace().enumerate() {
                if index > 0 {
                    text.push(' ');
                }
                text.push_str(word);
            }
        }
        match self.authority {
            _ if !absent => {}
            Some(authority) if name == header::HOST.as_str() => text.push_str(authority),
            _ => return None,
        }
        Some(())
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
