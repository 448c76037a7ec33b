//! Fetch metadata (W3C): what the browser says about how a request came about. Older browsers send none, and
//! then the other checks stand alone; one that says the wrong thing is refused.

use countersign_api::admin::BindingRefusal;
use http::HeaderMap;

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unwanted {
    /// The browser fetches ahead of the person.
    Prefetch,
    /// An image, a frame, a script or another part of a page; or `fetch`.
    NotADocument,
}

impl Unwanted {
    /// What is recorded of it.
    pub(crate) const fn refusal(self) -> BindingRefusal {
        match self {
            Self::Prefetch => BindingRefusal::Prefetch,
            Self::NotADocument => BindingRefusal::NotADocument,
        }
    }
}

/// Refuses everything but a navigation of a top-level document (A5): images, frames, scripts, `fetch` and
/// prefetches of other pages can carry the person's cookies, but never the person's intent.
pub(crate) fn require_navigation(headers: &HeaderMap) -> Result<(), Unwanted> {
    let ahead = ["sec-purpose", "purpose", "x-moz"].iter().any(|name| {
        headers
            .get_all(*name)
            .iter()
            .any(|value| contains_prefetch(value.as_bytes()))
    });
    if ahead {
        return Err(Unwanted::Prefetch);
    }
    for (name, wanted) in [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")] {
        if headers.get_all(name).iter().any(|value| value != wanted) {
            return Err(Unwanted::NotADocument);
        }
    }
    Ok(())
}

fn contains_prefetch(value: &[u8]) -> bool {
    // `prefetch`, `prefetch;prerender`, `prefetch;anonymous-client-ip`, and the older `preview`.
    let value = value.to_ascii_lowercase();
    [&b"prefetch"[..], b"prerender", b"preview"]
        .iter()
        .any(|word| value.windows(word.len()).any(|window| window == *word))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|&(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn only_navigations_pass() {
        assert_eq!(require_navigation(&HeaderMap::new()), Ok(()));
        let navigation = headers(&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]);
        assert_eq!(require_navigation(&navigation), Ok(()));
        for (name, value, expected) in [
            ("sec-fetch-dest", "image", Unwanted::NotADocument),
            ("sec-fetch-dest", "iframe", Unwanted::NotADocument),
            ("sec-fetch-dest", "empty", Unwanted::NotADocument),
            ("sec-fetch-mode", "no-cors", Unwanted::NotADocument),
            ("sec-fetch-mode", "cors", Unwanted::NotADocument),
            ("sec-purpose", "prefetch;prerender", Unwanted::Prefetch),
            ("purpose", "prefetch", Unwanted::Prefetch),
            ("x-moz", "Prefetch", Unwanted::Prefetch),
        ] {
            assert_eq!(
                require_navigation(&headers(&[(name, value)])),
                Err(expected),
                "{name}: {value}"
            );
        }
    }
}
