//! The path of a request, as rules may judge it.
//!
//! A target might resolve `/a/../b` or `%2e%2e` and so serve what the rule for `/a/*` never meant; such
//! paths are refused, not normalised, since the target would see what the gateway did not decide on.

use http::Uri;
use percent_encoding::percent_decode_str;

use crate::reason::Reason;

/// The path of a request target that means the same to everybody.
pub(crate) fn path(uri: &Uri) -> Result<&str, Reason> {
    let path = uri.path();
    // Most paths have nothing in them that could be read in two ways.
    let bytes = path.as_bytes();
    let plain = bytes.first() == Some(&b'/')
        && bytes.get(1) != Some(&b'/')
        && !bytes
            .iter()
            .any(|byte| matches!(byte, b'%' | b'\\' | 0 | b'\n' | b'\r'))
        && !bytes.windows(2).any(|pair| pair == b"/.");
    if plain {
        return Ok(path);
    }
    // Decoded as a whole: a server that decodes `%2f` before it resolves dots sees more segments than were sent.
    let decoded: Vec<u8> = percent_decode_str(path).collect();
    let ambiguous = !path.starts_with('/')
        || path.starts_with("//")
        || decoded
            .iter()
            .any(|byte| matches!(byte, 0 | b'\\' | b'\n' | b'\r'))
        || decoded.split(|&byte| byte == b'/').any(|segment| {
            // `;` begins a path parameter that some servers drop before resolving dots.
            let name = segment.split(|&byte| byte == b';').next().unwrap_or_default();
            matches!(name, b"." | b"..")
        });
    if ambiguous {
        Err(Reason::InvalidRequestTarget)
    } else {
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_mean_two_things_are_refused() {
        for good in [
            "/",
            "/a/b",
            "/a//b",
            "/.well-known/x",
            "/a...",
            "/a%2Fb",
            "/a;b=c",
        ] {
            assert!(path(&good.parse().expect("a URI")).is_ok(), "{good}");
        }
        for bad in [
            "//evil.example/",
            "/a/../b",
            "/a/./b",
            "/%2e%2E/b",
            "/a/..;x/b",
            "/a%00",
            "/a%5c..",
            "/a/..",
            "/a%2f..%2fb",
            "/a/x%2F%2e%2e%2fb",
            "/a%2f..;x",
            "/a;x%2F..",
            "/%2e%2f",
            "*",
        ] {
            assert!(path(&bad.parse().expect("a URI")).is_err(), "{bad}");
        }
    }
}
