//! Which headers pass the gateway, in either direction.
//!
//! Targets believe our identity headers, so nobody else may send them: they are removed from every
//! request on every route, under every spelling that a target's framework could fold into ours.

use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};

/// Header names that only the gateway may set, reduced to letters and digits.
const RESERVED: [&str; 4] = ["xamznoidc", "xamznmtls", "xamzntls", "xcountersign"];

/// Forwarding headers, which the gateway sets itself.
const FORWARDING: [&str; 2] = ["xforwarded", "forwarded"];

/// Connection-level headers (RFC 9110 section 7.6.1), beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// Same, without a constant in crate `http`.
const HOP_BY_HOP_NAMES: [&str; 2] = ["keep-alive", "proxy-connection"];

/// Headers that `Connection` cannot withdraw, beside `X-Forwarded-*`: the gateway has judged the request by them, or has
/// written them itself, and a target must not see another request than the one that was judged. They are for all
/// recipients, and no sender may name them (RFC 9110 section 7.6.1).
const END_TO_END: [&str; 8] = [
    "authorization",
    "content-length",
    "content-type",
    "cookie",
    "host",
    "traceparent",
    "tracestate",
    "x-amzn-trace-id",
];

/// What the headers of a message are about, found in one pass over them: most messages have few of the headers that
/// the gateway treats, and asking for each of those by name would cost more than the pass.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Seen(u32);

impl Seen {
    /// Anything that [`strip_hop_by_hop`] could remove.
    pub(crate) const HOP_BY_HOP: Self = Self(1);
    /// Anything that [`strip_reserved`] removes.
    pub(crate) const RESERVED: Self = Self(1 << 1);
    pub(crate) const COOKIE: Self = Self(1 << 2);
    pub(crate) const SET_COOKIE: Self = Self(1 << 3);
    /// `Clear-Site-Data`, `Service-Worker-Allowed`.
    pub(crate) const SITE_WIDE: Self = Self(1 << 4);
    pub(crate) const TRAILER: Self = Self(1 << 5);
    pub(crate) const TRANSFER_ENCODING: Self = Self(1 << 6);
    pub(crate) const TE: Self = Self(1 << 7);
    pub(crate) const UPGRADE: Self = Self(1 << 8);
    pub(crate) const EXPECT: Self = Self(1 << 9);
    pub(crate) const CONTENT_TYPE: Self = Self(1 << 10);
    pub(crate) const CONTENT_LENGTH: Self = Self(1 << 11);
    /// `Service-Worker`.
    pub(crate) const SERVICE_WORKER: Self = Self(1 << 12);
    pub(crate) const FORWARDED_FOR: Self = Self(1 << 13);
    /// `X-Amzn-Trace-Id`.
    pub(crate) const AMZN_TRACE_ID: Self = Self(1 << 14);
    /// `traceparent` or `tracestate`.
    pub(crate) const TRACE_CONTEXT: Self = Self(1 << 15);

    /// Of the headers that came.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for name in headers.keys() {
            seen.0 |= Self::of_name(name.as_str()).0;
        }
        seen
    }

    /// By length first: of the names with one length there are three at most.
    fn of_name(name: &str) -> Self {
        let both = |other: Self| Self(other.0 | Self::HOP_BY_HOP.0);
        match (name.len(), name) {
            (2, "te") => both(Self::TE),
            (6, "cookie") => Self::COOKIE,
            (6, "expect") => Self::EXPECT,
            (7, "trailer") => both(Self::TRAILER),
            (7, "upgrade") => both(Self::UPGRADE),
            (10, "connection" | "keep-alive") => Self::HOP_BY_HOP,
            (10, "set-cookie") => Self::SET_COOKIE,
            (10, "tracestate") | (11, "traceparent") => Self::TRACE_CONTEXT,
            (12, "content-type") => Self::CONTENT_TYPE,
            (14, "content-length") => Self::CONTENT_LENGTH,
            (14, "service-worker") => Self::SERVICE_WORKER,
            (15, "x-forwarded-for") => Self::FORWARDED_FOR,
            (15, "x-amzn-trace-id") => Self::AMZN_TRACE_ID,
            (15, "clear-site-data") | (22, "service-worker-allowed") => Self::SITE_WIDE,
            (17, "transfer-encoding") => both(Self::TRANSFER_ENCODING),
            (16, "proxy-connection") | (18, "proxy-authenticate") | (19, "proxy-authorization") => {
                Self::HOP_BY_HOP
            }
            _ if is_reserved(name) => Self::RESERVED,
            _ => Self::default(),
        }
    }

    /// Whether any of these was among them.
    pub(crate) const fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }
}

/// Removes every header a target would take for the gateway's word, before the gateway adds its own.
/// `X-Forwarded-For` itself stays for [`crate::forward`] to treat.
pub(crate) fn strip_reserved(headers: &mut HeaderMap) {
    let reserved: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_reserved(name.as_str()))
        .cloned()
        .collect();
    for name in reserved {
        headers.remove(name);
    }
}

/// CGI-like frameworks fold `-`, `_` and `.` into one; leaving out all separators covers them.
fn is_reserved(name: &str) -> bool {
    // Compared in place, to the first letter that differs: this is asked of every header of every request.
    let first = name.bytes().find(u8::is_ascii_alphanumeric);
    if !matches!(first, Some(b'x' | b'f')) {
        return false;
    }
    let begins_with = |prefix: &&str| {
        let mut letters = name.bytes().filter(u8::is_ascii_alphanumeric);
        prefix.bytes().all(|letter| letters.next() == Some(letter))
    };
    RESERVED.iter().any(begins_with) || (FORWARDING.iter().any(begins_with) && name != "x-forwarded-for")
}

/// Removes the headers that concern one connection only.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name: &HeaderName| !is_end_to_end(name.as_str()))
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP_NAMES {
        headers.remove(name);
    }
}

/// The same, but for `Trailer`, all of whose values stay, since trailers pass; whether there are any.
pub(crate) fn strip_hop_by_hop_but_trailer(headers: &mut HeaderMap) -> bool {
    let announced: Vec<HeaderValue> = match headers.entry(header::TRAILER) {
        Entry::Occupied(entry) => entry.remove_entry_mult().1.collect(),
        Entry::Vacant(_) => Vec::new(),
    };
    strip_hop_by_hop(headers);
    for value in &announced {
        headers.append(header::TRAILER, value.clone());
    }
    !announced.is_empty()
}

fn is_end_to_end(name: &str) -> bool {
    END_TO_END.contains(&name) || name.starts_with("x-forwarded-")
}

/// Removes our cookies from a request's `Cookie` headers, except for those of `passed` kinds.
pub(crate) fn strip_request_cookies(headers: &mut HeaderMap, passed: &[String]) {
    let Entry::Occupied(entry) = headers.entry(header::COOKIE) else {
        return;
    };
    // HTTP/1.1 targets get one header of what HTTP/2 may send as several (RFC 9113 section 8.2.3).
    let mut values = entry.iter();
    if let (Some(only), None) = (values.next(), values.next())
        && !cookies(only.as_bytes())
            .any(|pair| pair.is_empty() || is_reserved_cookie(cookie_name(pair), passed))
    {
        return;
    }
    let pairs = entry
        .iter()
        .flat_map(|value| cookies(value.as_bytes()))
        .filter(|pair| !pair.is_empty() && !is_reserved_cookie(cookie_name(pair), passed));
    let mut kept = Vec::new();
    for pair in pairs {
        if !kept.is_empty() {
            kept.extend_from_slice(b"; ");
        }
        kept.extend_from_slice(pair);
    }
    entry.remove_entry_mult();
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(kept))
        && !value.is_empty()
    {
        headers.insert(header::COOKIE, value);
    }
}

/// The pairs of a `Cookie` header.
fn cookies(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii)
}

/// Removes from a target's answer what would touch our cookies or outlive the page: `Set-Cookie` of our
/// names, `Clear-Site-Data` (it would also clear the other origin's cookies), and the permission for
/// service workers.
pub(crate) fn strip_response(headers: &mut HeaderMap, passed: &[String]) {
    let Entry::Occupied(entry) = headers.entry(header::SET_COOKIE) else {
        remove_site_wide(headers);
        return;
    };
    let kept: Vec<HeaderValue> = entry
        .iter()
        .filter(|value| !is_reserved_cookie(cookie_name(value.as_bytes()), passed))
        .cloned()
        .collect();
    entry.remove_entry_mult();
    for value in kept {
        headers.append(header::SET_COOKIE, value);
    }
    remove_site_wide(headers);
}

fn remove_site_wide(headers: &mut HeaderMap) {
    headers.remove("clear-site-data");
    headers.remove("service-worker-allowed");
}

/// The name of a `name=value; …` pair. A browser takes a pair without `=` for a value without a name,
/// which some servers read as a name: so it counts as one here.
pub(crate) fn cookie_name(pair: &[u8]) -> &[u8] {
    pair.split(|&byte| byte == b'=' || byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii()
}

/// Whether a cookie name is ours and of none of the `passed` kinds. Case is ignored, since some servers
/// ignore it. A nameless cookie is refused too: browsers send `=name=value` as `name=value`.
fn is_reserved_cookie(name: &[u8], passed: &[String]) -> bool {
    if name.is_empty() {
        return true;
    }
    let bare = [&b"__host-"[..], b"__secure-"]
        .iter()
        .find_map(|prefix| strip_prefix(name, prefix))
        .unwrap_or(name);
    let Some(kind) = strip_prefix(bare, crate::cookie::PREFIX.as_bytes()) else {
        return false;
    };
    let kind = kind.split(|&byte| byte == b'-').next().unwrap_or_default();
    !passed
        .iter()
        .any(|passed| passed.as_bytes().eq_ignore_ascii_case(kind))
}

/// What follows a prefix in any case.
fn strip_prefix<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (begins, rest) = text.split_at_checked(prefix.len())?;
    begins.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn f09_reserved_names_go_under_every_spelling() {
        let mut map = headers(&[
            ("x-amzn-oidc-data", "a"),
            ("x_amzn_oidc_data", "a"),
            ("x-amzn_oidc-identity", "a"),
            ("x.amzn.oidc.accesstoken", "a"),
            ("x-amzn-oidc-new", "a"),
            ("x-amzn-mtls-clientcert", "a"),
            ("x_countersign_user_token", "a"),
            ("x-forwarded-host", "a"),
            ("x_forwarded_for", "a"),
            ("forwarded", "a"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-amzn-requestid", "kept"),
            ("traceparent", "kept"),
        ]);
        strip_reserved(&mut map);
        let mut left: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["traceparent", "x-amzn-requestid", "x-forwarded-for"]);
    }

    #[test]
    fn one_pass_sees_whatever_the_removals_would_remove() {
        let names = HOP_BY_HOP
            .iter()
            .map(HeaderName::as_str)
            .chain(HOP_BY_HOP_NAMES)
            .map(|name| (name, Seen::HOP_BY_HOP));
        let others = [
            ("x_amzn_oidc_data", Seen::RESERVED),
            ("_x.forwarded.host", Seen::RESERVED),
            ("forwarded", Seen::RESERVED),
            ("x-forwarded-for", Seen::FORWARDED_FOR),
            ("cookie", Seen::COOKIE),
            ("set-cookie", Seen::SET_COOKIE),
            ("clear-site-data", Seen::SITE_WIDE),
            ("service-worker-allowed", Seen::SITE_WIDE),
            ("te", Seen::TE),
            ("trailer", Seen::TRAILER),
            ("transfer-encoding", Seen::TRANSFER_ENCODING),
            ("upgrade", Seen::UPGRADE),
            ("expect", Seen::EXPECT),
            ("content-type", Seen::CONTENT_TYPE),
            ("content-length", Seen::CONTENT_LENGTH),
            ("service-worker", Seen::SERVICE_WORKER),
            ("x-amzn-trace-id", Seen::AMZN_TRACE_ID),
            ("traceparent", Seen::TRACE_CONTEXT),
            ("tracestate", Seen::TRACE_CONTEXT),
        ];
        for (name, expected) in names.chain(others) {
            let mut map = headers(&[("accept", "*/*"), ("x-other", "1")]);
            assert_eq!(Seen::of(&map), Seen::default());
            map.insert(
                HeaderName::from_bytes(name.as_bytes()).expect("a name"),
                HeaderValue::from_static("1"),
            );
            assert!(Seen::of(&map).any(expected), "{name}");
        }
    }

    #[test]
    fn hop_by_hop_headers_and_those_connection_names_go() {
        let mut map = headers(&[
            ("connection", "keep-alive, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("accept", "*/*"),
        ]);
        strip_hop_by_hop(&mut map);
        assert_eq!(map.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn trailers_stay_announced() {
        let mut map = headers(&[
            ("trailer", "a"),
            ("trailer", "b"),
            ("connection", "trailer, x"),
            ("x", "1"),
        ]);
        assert!(strip_hop_by_hop_but_trailer(&mut map));
        assert_eq!(
            map.get_all(header::TRAILER).iter().collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert_eq!(map.len(), 2);
        assert!(!strip_hop_by_hop_but_trailer(&mut headers(&[("te", "trailers")])));
    }

    #[test]
    fn connection_withdraws_nothing_that_the_gateway_reads_or_writes() {
        let mut map = headers(&[
            ("connection", "Host, X-Forwarded-For,x-amzn-trace-id"),
            ("x-forwarded-for", "1"),
        ]);
        let named = END_TO_END.join(", ");
        map.append(header::CONNECTION, HeaderValue::try_from(named).expect("a value"));
        for name in END_TO_END {
            map.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        strip_hop_by_hop(&mut map);
        assert!(!map.contains_key(header::CONNECTION));
        assert_eq!(map.len(), END_TO_END.len() + 1);
    }

    #[test]
    fn our_cookies_stay_with_the_gateway() {
        let mut map = headers(&[
            (
                "cookie",
                "theme=dark; countersign-account-8400=t; __Host-countersign-app=t",
            ),
            (
                "cookie",
                "COUNTERSIGN-LOGIN-8400-ab=t; countersign-browser-8400=b;a=1",
            ),
        ]);
        strip_request_cookies(&mut map, &["browser".to_owned()]);
        assert_eq!(map[header::COOKIE], "theme=dark; countersign-browser-8400=b; a=1");
        strip_request_cookies(&mut map, &[]);
        assert_eq!(map[header::COOKIE], "theme=dark; a=1");
        let mut map = headers(&[("cookie", "countersign-app-8400=t")]);
        strip_request_cookies(&mut map, &[]);
        assert!(!map.contains_key(header::COOKIE));
    }

    #[test]
    fn targets_cannot_set_our_cookies() {
        let mut map = headers(&[
            ("set-cookie", "countersign-account-8400=evil; Path=/"),
            ("set-cookie", "__Host-countersign-browser=evil; Path=/"),
            ("set-cookie", "=countersign-account-8400=evil"),
            ("set-cookie", "theme=dark"),
            ("clear-site-data", "\"cookies\""),
            ("service-worker-allowed", "/"),
        ]);
        strip_response(&mut map, &[]);
        assert_eq!(map.len(), 1);
        assert_eq!(map[header::SET_COOKIE], "theme=dark");
    }
}
