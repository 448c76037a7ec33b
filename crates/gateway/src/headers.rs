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

/// Removes every header a target would take for the gateway's word, before the gateway adds its own.
/// `X-Forwarded-For` itself stays for [`crate::forward`] to treat.
pub(crate) fn strip_reserved(headers: &mut HeaderMap) {
    let reserved: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            // CGI-like frameworks fold `-`, `_` and `.` into one; removing all separators covers them.
            let letters: String = name
                .as_str()
                .chars()
                .filter(char::is_ascii_alphanumeric)
                .collect();
            RESERVED.iter().any(|prefix| letters.starts_with(prefix))
                || (FORWARDING.iter().any(|prefix| letters.starts_with(prefix))
                    && name.as_str() != "x-forwarded-for")
        })
        .cloned()
        .collect();
    for name in reserved {
        headers.remove(name);
    }
}

/// Removes the headers that concern one connection only.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP_NAMES {
        headers.remove(name);
    }
}

/// Removes our cookies from a request's `Cookie` headers, except for those of `passed` kinds.
pub(crate) fn strip_request_cookies(headers: &mut HeaderMap, passed: &[String]) {
    let Entry::Occupied(entry) = headers.entry(header::COOKIE) else {
        return;
    };
    let kept: Vec<Vec<u8>> = entry
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b';'))
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty() && !is_reserved_cookie(cookie_name(pair), passed))
        .map(<[u8]>::to_vec)
        .collect();
    entry.remove_entry_mult();
    if let Ok(value) = HeaderValue::from_bytes(&kept.join(&b"; "[..]))
        && !value.is_empty()
    {
        headers.insert(header::COOKIE, value);
    }
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
fn cookie_name(pair: &[u8]) -> &[u8] {
    pair.split(|&byte| byte == b'=' || byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii()
}

/// Whether a cookie name is ours and of none of the `passed` kinds. Case is ignored, since some servers
/// ignore it. A nameless cookie is refused too: browsers send `=name=value` as `name=value`.
fn is_reserved_cookie(name: &[u8], passed: &[String]) -> bool {
    let name = name.to_ascii_lowercase();
    if name.is_empty() {
        return true;
    }
    let bare = [&b"__host-"[..], b"__secure-"]
        .iter()
        .find_map(|prefix| name.strip_prefix(*prefix))
        .unwrap_or(&name);
    let Some(kind) = bare.strip_prefix(crate::cookie::PREFIX.as_bytes()) else {
        return false;
    };
    let kind = kind.split(|&byte| byte == b'-').next().unwrap_or_default();
    !passed.iter().any(|passed| passed.as_bytes() == kind)
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
