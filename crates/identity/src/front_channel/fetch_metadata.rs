//! What a browser says about why it sends a request (W3C Fetch Metadata, and the headers of speculative loading).

use http::{HeaderMap, Method};

/// Why a GET must not change anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idle {
    /// HEAD: a link preview or scanner.
    Head,
    /// The browser loads the page in case the person opens it.
    Prefetch,
}

/// Whether the request is one that must not consume anything (design D11).
pub(crate) fn idle(method: &Method, headers: &HeaderMap) -> Option<Idle> {
    let speculative = ["sec-purpose", "purpose", "x-moz"].iter().any(|name| {
        headers.get_all(*name).iter().any(|value| {
            let value = value.as_bytes().to_ascii_lowercase();
            [b"prefetch".as_slice(), b"prerender", b"preview"]
                .iter()
                .any(|word| value.windows(word.len()).any(|part| part == *word))
        })
    });
    if method == Method::HEAD {
        Some(Idle::Head)
    } else {
        speculative.then_some(Idle::Prefetch)
    }
}

/// Whether a person navigated a whole window here. Browsers that send no Fetch Metadata get the benefit of the
/// doubt; an image, frame, fetch or worker of any that does is refused (attack row A5).
pub(crate) fn is_navigation(headers: &HeaderMap) -> bool {
    let is = |name: &str, wanted: &str| headers.get_all(name).iter().all(|value| value == wanted);
    is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            http::HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn heads_and_speculative_loads_are_idle() {
        assert_eq!(idle(&Method::GET, &HeaderMap::new()), None);
        assert_eq!(idle(&Method::HEAD, &HeaderMap::new()), Some(Idle::Head));
        for (name, value) in [
            ("sec-purpose", "prefetch;prerender"),
            ("sec-purpose", "prefetch"),
            ("purpose", "Prefetch"),
            ("x-moz", "prefetch"),
        ] {
            assert_eq!(
                idle(&Method::GET, &headers(name, value)),
                Some(Idle::Prefetch),
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn images_frames_and_fetches_are_no_navigation() {
        assert!(is_navigation(&HeaderMap::new()));
        assert!(is_navigation(&headers("sec-fetch-dest", "document")));
        for dest in ["image", "iframe", "empty", "serviceworker", "embed"] {
            assert!(!is_navigation(&headers("sec-fetch-dest", dest)), "{dest}");
        }
        assert!(!is_navigation(&headers("sec-fetch-mode", "no-cors")));
    }
}
