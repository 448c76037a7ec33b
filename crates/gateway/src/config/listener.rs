//! Listeners as they are written down: where, under which names, with which certificates, rules and
//! attributes.

use std::collections::BTreeMap;

use countersign_web::tls::{ProxyProtocol, TlsConfig};
use http::HeaderValue;
use ipnet::IpNet;
use serde::Deserialize;

use super::rule::{Action, Rule};
use crate::origin::Origin;

/// The listeners. `app`, `account` and `keys` are those of the product; any other name is one of yours.
#[derive(Clone, Debug, Deserialize)]
pub struct Listeners {
    /// Carries the agent's pages and nothing else.
    pub app: Listener,
    /// Carries login, consent, session binding, connections, logout.
    pub account: Listener,
    /// Serves public keys.
    pub keys: KeyListener,
    /// Listeners for applications of your own, by name. A rule there that authenticates names one of
    /// `applications`.
    #[serde(flatten)]
    pub additional: BTreeMap<String, Listener>,
}

impl Listener {
    /// A listener on plain HTTP with the default of every optional field.
    #[must_use]
    pub fn new(listen: impl Into<String>, origin: Origin, rules: Vec<Rule>) -> Self {
        Self {
            listen: listen.into(),
            origin,
            hosts: Vec::new(),
            rules,
            default_actions: Vec::new(),
            tls: None,
            plaintext_from: Vec::new(),
            proxy_protocol: None,
            attributes: Attributes::default(),
        }
    }

    /// Its host names, without ports.
    pub(crate) fn names(&self) -> Vec<String> {
        without_ports(self.hosts.iter().cloned().chain([self.origin.authority()]))
    }
}

impl KeyListener {
    /// Its host names, without ports.
    pub(crate) fn names(&self) -> Vec<String> {
        without_ports(self.hosts.iter().cloned())
    }
}

/// Each name once, as it goes into a certificate.
fn without_ports(hosts: impl Iterator<Item = String>) -> Vec<String> {
    let mut names = Vec::new();
    for host in hosts {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.contains(']') => name.to_owned(),
            _ => host,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

impl Listeners {
    /// Every listener that has rules, with its name.
    pub(crate) fn with_rules(&self) -> impl Iterator<Item = (&str, &Listener)> {
        let own = [("app", &self.app), ("account", &self.account)];
        let additional = self
            .additional
            .iter()
            .map(|(name, listener)| (name.as_str(), listener));
        own.into_iter().chain(additional)
    }

    /// What comes before HTTP on every listener.
    pub fn sockets(&self) -> impl Iterator<Item = ListenerSocket<'_>> {
        let with_rules = self.with_rules().map(|(name, listener)| ListenerSocket {
            name,
            listen: &listener.listen,
            tls: listener.tls.as_ref(),
            plaintext_from: &listener.plaintext_from,
        });
        with_rules.chain([ListenerSocket {
            name: "keys",
            listen: &self.keys.listen,
            tls: self.keys.tls.as_ref(),
            plaintext_from: &self.keys.plaintext_from,
        }])
    }

    /// Name and address of every listener.
    pub fn addresses(&self) -> impl Iterator<Item = (&str, &str)> {
        self.with_rules()
            .map(|(name, listener)| (name, listener.listen.as_str()))
            .chain([("keys", self.keys.listen.as_str())])
    }

    /// The TLS of every listener, with its name.
    pub(crate) fn tls(&self) -> impl Iterator<Item = (&str, Option<&TlsConfig>)> {
        self.with_rules()
            .map(|(name, listener)| (name, listener.tls.as_ref()))
            .chain([("keys", self.keys.tls.as_ref())])
    }

    /// The names of each certificate that is wanted by ACME, one for a listener. The key listener needs no answer of its
    /// own to HTTP-01: that comes by plain HTTP on port 80, to a listener with rules, for every name.
    pub(crate) fn acme_orders(&self) -> Vec<Vec<String>> {
        let by_acme = |tls: Option<&TlsConfig>| tls.is_some_and(|tls| tls.acme);
        let with_rules = self.with_rules().map(|(_, listener)| listener);
        let with_rules = with_rules
            .filter(|listener| by_acme(listener.tls.as_ref()))
            .map(Listener::names);
        let keys = by_acme(self.keys.tls.as_ref()).then(|| self.keys.names());
        with_rules.chain(keys).collect()
    }
}

/// What comes before HTTP on a listener.
#[derive(Clone, Copy, Debug)]
pub struct ListenerSocket<'a> {
    /// The listener's name.
    pub name: &'a str,
    /// Its address.
    pub listen: &'a str,
    /// Its TLS.
    pub tls: Option<&'a TlsConfig>,
    /// Networks that may connect without TLS.
    pub plaintext_from: &'a [IpNet],
}

/// A listener and its rules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// Socket address to bind: `localhost:8400` (IPv4 and IPv6 loopback) or `0.0.0.0:443`.
    pub listen: String,
    /// The origin as browsers see it. Plain `http` on another host than loopback only where no rule
    /// authenticates.
    pub origin: Origin,
    /// `Host` values accepted beside the origin's own.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Rules; evaluated by ascending priority, the first match decides.
    pub rules: Vec<Rule>,
    /// Actions of the default rule, for requests that no rule matches. Empty: 404.
    #[serde(default)]
    pub default_actions: Vec<Action>,
    /// TLS on this listener. Absent: plain HTTP, which is for loopback and for [`Self::plaintext_from`].
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Networks from which plain HTTP is accepted on an address that is not loopback: those of the load
    /// balancer that ends TLS. Other clients are disconnected.
    #[serde(default)]
    pub plaintext_from: Vec<IpNet>,
    /// PROXY protocol version 2 from trusted senders.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Treatment of headers.
    #[serde(default)]
    pub attributes: Attributes,
}

/// The listener that serves public keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyListener {
    /// Socket address to bind.
    pub listen: String,
    /// `Host` values accepted.
    pub hosts: Vec<String>,
    /// TLS, as on any listener.
    #[serde(default)]
    pub tls: Option<TlsConfig>,
    /// Networks from which plain HTTP is accepted on an address that is not loopback.
    #[serde(default)]
    pub plaintext_from: Vec<IpNet>,
}

/// Treatment of headers, under the names that Application Load Balancers give these attributes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attributes {
    /// `X-Forwarded-For`.
    pub xff_header_processing: XffHeaderProcessing,
    /// Whether `X-Forwarded-For` gets the client's port too.
    pub xff_client_port: bool,
    /// Remove header fields whose names have other characters than letters, digits and hyphens.
    pub drop_invalid_header_fields: bool,
    /// Tell the target `x-amzn-tls-version` and `x-amzn-tls-cipher-suite`.
    pub tls_version_and_cipher_suite: bool,
    /// `X-Amzn-Trace-Id`.
    pub amzn_trace_id: AmznTraceId,
    /// `traceparent` and `tracestate` (W3C Trace Context).
    pub traceparent: Traceparent,
    /// Headers set on every answer of this listener, the targets' too.
    pub response: ResponseHeaders,
}

/// What happens to `X-Forwarded-For` of the client.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum XffHeaderProcessing {
    /// The client's address is appended to what it sent: right behind another trusted proxy. More than 30
    /// addresses are refused with 463.
    Append,
    /// What the client sent is passed on as it is.
    Preserve,
    /// The header is removed.
    Remove,
    /// What the client sent is dropped and its address alone is sent: right at the edge.
    #[default]
    Replace,
}

/// What happens to `X-Amzn-Trace-Id`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum AmznTraceId {
    /// As at an Application Load Balancer: a `Root` is made for requests without one; one that has a root
    /// gets a `Self` before it.
    #[default]
    Set,
    /// The header is removed.
    Remove,
}

/// What happens to `traceparent`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Traceparent {
    /// A valid one passes, an invalid one is removed, none is made.
    #[default]
    Preserve,
    /// A valid one passes; for the rest a new trace is begun.
    Generate,
    /// Every request begins a new trace: what strangers send does not reach the traces of the inside.
    Restart,
    /// It is removed.
    Remove,
}

/// Headers of answers: the `routing.http.response.*` attributes. An absent one leaves the answer's own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResponseHeaders {
    /// `Strict-Transport-Security`, as in `max-age=31536000; includeSubDomains`.
    pub strict_transport_security: Option<HeaderText>,
    /// `Content-Security-Policy`.
    pub content_security_policy: Option<HeaderText>,
    /// `X-Content-Type-Options`: `nosniff`.
    pub x_content_type_options: Option<HeaderText>,
    /// `X-Frame-Options`: `DENY`, `SAMEORIGIN`.
    pub x_frame_options: Option<HeaderText>,
    /// `Access-Control-Allow-Origin`.
    pub access_control_allow_origin: Option<HeaderText>,
    /// `Access-Control-Allow-Methods`.
    pub access_control_allow_methods: Option<HeaderText>,
    /// `Access-Control-Allow-Headers`.
    pub access_control_allow_headers: Option<HeaderText>,
    /// `Access-Control-Allow-Credentials`: `true`.
    pub access_control_allow_credentials: Option<HeaderText>,
    /// `Access-Control-Expose-Headers`.
    pub access_control_expose_headers: Option<HeaderText>,
    /// `Access-Control-Max-Age` in seconds.
    pub access_control_max_age: Option<HeaderText>,
    /// Whether the `Server` header of targets is removed.
    pub remove_server: bool,
}

/// A header value of at most 1024 bytes.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct HeaderText(pub(crate) HeaderValue);

impl TryFrom<String> for HeaderText {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() || text.len() > 1_024 {
            return Err("a header value has 1 to 1024 bytes");
        }
        let value = HeaderValue::try_from(text).map_err(|_| "not a header value")?;
        Ok(Self(value))
    }
}
