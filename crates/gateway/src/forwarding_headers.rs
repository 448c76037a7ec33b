//! What a target is told about the way a request came: `X-Forwarded-*`, `Host`, traces, TLS.

use std::fmt::Write as _;

use countersign_crypto::{Random, Timestamp};
use countersign_outbound::trace::{TRACEPARENT, TraceContext};
use countersign_web::Connected;
use countersign_web::tls::TlsSession;
use http::header::{self, HeaderMap, HeaderName, HeaderValue, InvalidHeaderValue};

use crate::config::{AmznTraceId, Attributes, Traceparent, XffHeaderProcessing};
use crate::headers::Seen;
use crate::origin::Origin;
use crate::reason::Reason;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_AMZN_TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");
const X_AMZN_TLS_VERSION: HeaderName = HeaderName::from_static("x-amzn-tls-version");
const X_AMZN_TLS_CIPHER_SUITE: HeaderName = HeaderName::from_static("x-amzn-tls-cipher-suite");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Addresses in `X-Forwarded-For`, at most, ours included; an ALB answers 463 to more.
const MAX_ADDRESSES: usize = 30;
/// Longest `X-Amzn-Trace-Id` taken over, in bytes.
const MAX_TRACE_ID: usize = 512;

/// What the gateway adds to a request.
#[derive(Debug)]
pub(crate) struct Added<'a> {
    /// The listener's origin, for `X-Forwarded-*`.
    pub(crate) origin: &'a Origin,
    /// How the listener treats headers.
    pub(crate) attributes: &'a Attributes,
    /// The client's connection.
    pub(crate) connected: &'a Connected,
    /// The host that a transform has put in place of the browser's.
    pub(crate) host: Option<HeaderValue>,
    /// Who is asking.
    pub(crate) identity: &'a [(HeaderName, HeaderValue)],
    /// Other headers that are the gateway's alone to send.
    pub(crate) tls: Vec<(HeaderName, HeaderValue)>,
}

/// Refuses an `X-Forwarded-For` that is longer than any honest chain of proxies.
pub(crate) fn check_forwarded_for(headers: &HeaderMap, attributes: &Attributes) -> Result<(), Reason> {
    if attributes.xff_header_processing != XffHeaderProcessing::Append {
        return Ok(());
    }
    let commas = headers
        .get_all(X_FORWARDED_FOR)
        .iter()
        .map(|value| value.as_bytes().split(|&byte| byte == b',').count());
    if commas.sum::<usize>() >= MAX_ADDRESSES {
        Err(Reason::ForwardedForTooLong)
    } else {
        Ok(())
    }
}

/// Adds everything to a request whose client-sent spellings of these headers are gone
/// ([`crate::headers::strip_reserved`]), and takes its `Host` out. Answers the host that every target of the request
/// sees; without one each sees its own.
pub(crate) fn add(
    headers: &mut HeaderMap,
    added: Added<'_>,
    seen: Seen,
    preserve_host: bool,
) -> Result<Option<HeaderValue>, Reason> {
    // The one that the listener's allow-list has accepted and the rule was chosen by; in its place there is no other.
    let sent = headers.remove(header::HOST).ok_or(Reason::InvalidRequestTarget)?;
    headers.insert(X_FORWARDED_HOST, sent.clone());
    headers.insert(X_FORWARDED_PORT, added.origin.port().into());
    headers.insert(
        X_FORWARDED_PROTO,
        HeaderValue::from_static(if added.origin.is_https() { "https" } else { "http" }),
    );
    forwarded_for(headers, added.attributes, added.connected, seen);
    for (name, value) in added.identity {
        headers.insert(name.clone(), value.clone());
    }
    for (name, value) in added.tls {
        headers.insert(name, value);
    }
    Ok(added.host.or_else(|| preserve_host.then_some(sent)))
}

fn forwarded_for(headers: &mut HeaderMap, attributes: &Attributes, connected: &Connected, seen: Seen) {
    use XffHeaderProcessing::{Append, Replace};
    let mode = attributes.xff_header_processing;
    if !seen.any(Seen::FORWARDED_FOR) && matches!(mode, Append | Replace) && !attributes.xff_client_port {
        headers.insert(X_FORWARDED_FOR, connected.address.clone());
        return;
    }
    let mut chain = match attributes.xff_header_processing {
        XffHeaderProcessing::Preserve => return,
        XffHeaderProcessing::Remove => {
            headers.remove(X_FORWARDED_FOR);
            return;
        }
        XffHeaderProcessing::Replace => String::new(),
        XffHeaderProcessing::Append => headers
            .get_all(X_FORWARDED_FOR)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .fold(String::new(), |mut chain, sent| {
                chain.push_str(sent);
                chain.push_str(", ");
                chain
            }),
    };
    headers.remove(X_FORWARDED_FOR);
    let source = connected.peer;
    let address = source.ip().to_canonical();
    let _ = match (attributes.xff_client_port, address.is_ipv6()) {
        (false, _) => write!(chain, "{address}"),
        (true, false) => write!(chain, "{address}:{}", source.port()),
        (true, true) => write!(chain, "[{address}]:{}", source.port()),
    };
    if let Ok(value) = HeaderValue::try_from(chain) {
        headers.insert(X_FORWARDED_FOR, value);
    }
}

/// What a request's TLS session adds to it.
pub(crate) fn tls(session: &TlsSession, attributes: &Attributes) -> Vec<(HeaderName, HeaderValue)> {
    let mut added = session.client_certificate_headers().to_vec();
    if attributes.tls_version_and_cipher_suite {
        added.push((X_AMZN_TLS_VERSION, HeaderValue::from_static(session.version())));
        added.push((
            X_AMZN_TLS_CIPHER_SUITE,
            HeaderValue::from_static(session.cipher_suite()),
        ));
    }
    added
}

/// Sets `X-Amzn-Trace-Id` of a request as the listener's policy wants it.
pub(crate) fn trace(
    headers: &mut HeaderMap,
    attributes: &Attributes,
    seen: Seen,
    now: Timestamp,
    random: &dyn Random,
) {
    match attributes.amzn_trace_id {
        AmznTraceId::Remove => {
            headers.remove(X_AMZN_TRACE_ID);
        }
        AmznTraceId::Set => {
            let id = amzn_trace_id(headers, seen, now, random);
            if let Ok(id) = id {
                headers.insert(X_AMZN_TRACE_ID, id);
            }
        }
    }
}

/// Sets `traceparent` and `tracestate` of a request as the listener's policy wants them.
pub(crate) fn trace_parent(headers: &mut HeaderMap, policy: Traceparent, random: &dyn Random) {
    let comes = headers.contains_key(TRACEPARENT) || headers.contains_key(TRACESTATE);
    if !comes && matches!(policy, Traceparent::Preserve | Traceparent::Remove) {
        return;
    }
    let valid = TraceContext::of(headers).is_some();
    match policy {
        Traceparent::Preserve | Traceparent::Generate if valid => {}
        Traceparent::Preserve | Traceparent::Remove => {
            headers.remove(TRACEPARENT);
            headers.remove(TRACESTATE);
        }
        Traceparent::Generate | Traceparent::Restart => {
            // W3C Trace Context, section 4.3: a restarted trace has no state of the old one.
            headers.remove(TRACESTATE);
            let mut bytes = [0; 24];
            random.fill(&mut bytes);
            let (trace, parent) = bytes.split_at(16);
            // Not sampled: who wants traces decides that.
            let value = format!("00-{}-{}-00", hex::encode(trace), hex::encode(parent));
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(TRACEPARENT, value);
            }
        }
    }
}

/// `Root=1-<time>-<96 random bits>`, or what the client sent with a `Self` of ours before it
/// ("Request tracing for your Application Load Balancer", ELB user guide).
fn amzn_trace_id(
    headers: &HeaderMap,
    seen: Seen,
    now: Timestamp,
    random: &dyn Random,
) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut bytes = [0; 12];
    random.fill(&mut bytes);
    // `Root=1-<8 digits>-<24 digits>`
    let mut root = *b"Root=1-00000000-000000000000000000000000";
    let seconds = u32::try_from(now.as_secs()).unwrap_or(u32::MAX).to_be_bytes();
    // The lengths fit.
    let _ = hex::encode_to_slice(seconds, &mut root[7..15]);
    let _ = hex::encode_to_slice(bytes, &mut root[16..]);
    let sent = seen
        .any(Seen::AMZN_TRACE_ID)
        .then(|| headers.get(X_AMZN_TRACE_ID))
        .flatten();
    let sent = sent.and_then(|value| value.to_str().ok());
    let Some(sent) = sent.filter(|sent| sent.len() <= MAX_TRACE_ID) else {
        return HeaderValue::from_bytes(&root);
    };
    let id = String::from_utf8_lossy(&root[5..]);
    let fields = || sent.split(';').map(str::trim).filter(|field| !field.is_empty());
    let name = if fields().any(|field| field.starts_with("Root=")) {
        "Self"
    } else {
        "Root"
    };
    let kept = fields().filter(|field| !field.starts_with("Self="));
    let all = kept.fold(format!("{name}={id}"), |mut all, field| {
        all.push(';');
        all.push_str(field);
        all
    });
    HeaderValue::try_from(all)
}

#[cfg(test)]
mod tests {
    use countersign_crypto::testing::SeededRandom;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        map
    }

    fn connected(peer: &str) -> Connected {
        Connected::new(peer.parse().expect("an address"), http::Extensions::new())
    }

    fn forwarded(mode: XffHeaderProcessing, port: bool, sent: &[(&'static str, &'static str)]) -> String {
        let mut map = headers(sent);
        let attributes = Attributes {
            xff_header_processing: mode,
            xff_client_port: port,
            ..Attributes::default()
        };
        let seen = Seen::of(&map);
        forwarded_for(&mut map, &attributes, &connected("192.0.2.9:4711"), seen);
        let values: Vec<&str> = map
            .get_all(X_FORWARDED_FOR)
            .iter()
            .map(|value| value.to_str().expect("a text"))
            .collect();
        values.join(" | ")
    }

    #[test]
    fn forwarded_for_in_every_mode() {
        use XffHeaderProcessing::{Append, Preserve, Remove, Replace};
        let two = [
            ("x-forwarded-for", "198.51.100.1, 198.51.100.2"),
            ("x-forwarded-for", "203.0.113.3"),
        ];
        assert_eq!(
            forwarded(Append, false, &two),
            "198.51.100.1, 198.51.100.2, 203.0.113.3, 192.0.2.9"
        );
        assert_eq!(forwarded(Append, true, &[]), "192.0.2.9:4711");
        assert_eq!(
            forwarded(Preserve, false, &two),
            "198.51.100.1, 198.51.100.2 | 203.0.113.3"
        );
        assert_eq!(forwarded(Preserve, false, &[]), "");
        assert_eq!(forwarded(Remove, false, &two), "");
        assert_eq!(forwarded(Replace, false, &two), "192.0.2.9");
        let mut map = HeaderMap::new();
        let attributes = Attributes {
            xff_client_port: true,
            ..Attributes::default()
        };
        forwarded_for(
            &mut map,
            &attributes,
            &connected("[2001:db8::1]:80"),
            Seen::default(),
        );
        assert_eq!(map[X_FORWARDED_FOR], "[2001:db8::1]:80");
    }

    #[test]
    fn too_many_forwarded_addresses_are_refused_where_they_would_be_passed_on() {
        let many: &'static str = Box::leak(vec!["192.0.2.1"; 30].join(", ").into_boxed_str());
        let map = headers(&[("x-forwarded-for", many)]);
        let mode = |mode| Attributes {
            xff_header_processing: mode,
            ..Attributes::default()
        };
        assert_eq!(
            check_forwarded_for(&map, &mode(XffHeaderProcessing::Append)),
            Err(Reason::ForwardedForTooLong)
        );
        assert_eq!(
            check_forwarded_for(&map, &mode(XffHeaderProcessing::Replace)),
            Ok(())
        );
        let few = headers(&[("x-forwarded-for", "192.0.2.1, 192.0.2.2")]);
        assert_eq!(
            check_forwarded_for(&few, &mode(XffHeaderProcessing::Append)),
            Ok(())
        );
    }

    #[test]
    fn a_request_without_host_is_not_given_one() {
        let origin = "http://localhost".parse().expect("an origin");
        let (attributes, connected) = (Attributes::default(), connected("192.0.2.9:4711"));
        let add = |map: &mut HeaderMap| {
            let added = Added {
                origin: &origin,
                attributes: &attributes,
                connected: &connected,
                host: None,
                identity: &[],
                tls: Vec::new(),
            };
            let seen = Seen::of(map);
            super::add(map, added, seen, true)
        };
        assert_eq!(add(&mut headers(&[])), Err(Reason::InvalidRequestTarget));
        let mut map = headers(&[("host", "a.example")]);
        assert_eq!(add(&mut map), Ok(Some(HeaderValue::from_static("a.example"))));
        assert_eq!(map[X_FORWARDED_HOST], "a.example");
    }

    fn traced(attributes: &Attributes, sent: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = headers(sent);
        let now = Timestamp::from_secs(0x6789_1233);
        let seen = Seen::of(&map);
        trace(&mut map, attributes, seen, now, &SeededRandom::new(1));
        trace_parent(&mut map, attributes.traceparent, &SeededRandom::new(1));
        map
    }

    #[test]
    fn amzn_trace_ids_are_those_of_an_alb() {
        let attributes = Attributes::default();
        let id = |sent: &[(&'static str, &'static str)]| {
            let map = traced(&attributes, sent);
            map[X_AMZN_TRACE_ID].to_str().expect("a text").to_owned()
        };
        let made = id(&[]);
        assert!(made.starts_with("Root=1-67891233-") && made.len() == 40, "{made}");
        let root = "Root=1-67891233-abcdef012345678912345678";
        let with_self = id(&[("x-amzn-trace-id", root)]);
        assert!(
            with_self.starts_with("Self=1-67891233-") && with_self.ends_with(&format!(";{root}")),
            "{with_self}"
        );
        let again = id(&[("x-amzn-trace-id", "Self=1-old;Root=1-67891233-ab;CalledFrom=app")]);
        assert!(
            !again.contains("old") && again.ends_with(";Root=1-67891233-ab;CalledFrom=app"),
            "{again}"
        );
        let named = id(&[("x-amzn-trace-id", "CalledFrom=app")]);
        assert!(
            named.starts_with("Root=1-") && named.ends_with(";CalledFrom=app"),
            "{named}"
        );
        let removed = traced(
            &Attributes {
                amzn_trace_id: AmznTraceId::Remove,
                ..Attributes::default()
            },
            &[("x-amzn-trace-id", root)],
        );
        assert!(!removed.contains_key(X_AMZN_TRACE_ID));
    }

    #[test]
    fn traceparent_by_policy() {
        use Traceparent::{Generate, Preserve, Remove, Restart};
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let bad = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
        let after = |policy, sent: &'static str| {
            let attributes = Attributes {
                traceparent: policy,
                ..Attributes::default()
            };
            let map = traced(&attributes, &[("traceparent", sent), ("tracestate", "a=b")]);
            let state = map.contains_key(TRACESTATE);
            let parent = map
                .get(TRACEPARENT)
                .map(|value| value.to_str().expect("a text").to_owned());
            (parent, state)
        };
        assert_eq!(after(Preserve, good), (Some(good.to_owned()), true));
        assert_eq!(after(Generate, good), (Some(good.to_owned()), true));
        assert_eq!(after(Preserve, bad), (None, false));
        assert_eq!(after(Remove, good), (None, false));
        for (policy, sent) in [(Generate, bad), (Restart, good)] {
            let (parent, state) = after(policy, sent);
            let parent = parent.expect("a new one");
            assert!(
                !state
                    && parent != sent
                    && TraceContext::of(&headers(&[("traceparent", Box::leak(parent.into_boxed_str()),)]))
                        .is_some()
            );
        }
        for (text, valid) in [
            (good, true),
            (
                "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
                true,
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
                false,
            ),
            ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false),
            ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false),
            ("", false),
        ] {
            assert_eq!(
                TraceContext::of(&headers(&[("traceparent", text)])).is_some(),
                valid,
                "{text}"
            );
        }
    }
}
