//! Target groups as they are written down, in the words of the ELB API.

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

use super::check::ConfigError;

/// Targets in one group at most.
const MAX_TARGETS: usize = 1_000;

/// Targets that can stand in for each other, and what they may learn about the person.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in the configuration"
)]
pub struct TargetGroup {
    /// The target where there is one: scheme, host and port. `targets` otherwise.
    #[serde(default)]
    pub url: Option<Url>,
    /// The targets: scheme (`http` or `https`, the same for all), host and port each.
    #[serde(default)]
    pub targets: Vec<Url>,
    /// The HTTP that targets speak.
    #[serde(default)]
    pub protocol_version: ProtocolVersion,
    /// How a target is chosen for a request.
    #[serde(default)]
    pub load_balancing_algorithm: LoadBalancingAlgorithm,
    /// Seconds in which a target that has become healthy gets a growing share of the requests; 30 to 900, or
    /// 0 for none. With `round_robin` only.
    #[serde(default)]
    pub slow_start_seconds: u32,
    /// How targets are asked whether they are well; absent: they are not asked, and all are used.
    #[serde(default)]
    pub health_check: Option<HealthCheck>,
    /// The authorities that issue the certificates of `https` targets, as a PEM file or the PEM itself; absent: the
    /// system's.
    #[serde(default)]
    pub certificate_authority: Option<PathBuf>,
    /// Whether the certificates of `https` targets are verified. An ALB never does. `false` is for targets
    /// with self-signed certificates in a network that nobody else can reach.
    #[serde(default = "super::yes")]
    pub verify_certificate: bool,
    /// Whether authenticated requests carry the three `x-amzn-oidc-*` headers.
    #[serde(default = "super::yes")]
    pub claims_header: bool,
    /// Audience of `x-countersign-user-token`; absent: the target gets none. Only targets of our own
    /// roles have one, each its own.
    #[serde(default)]
    pub user_token_audience: Option<String>,
    /// Whether that token also tells the person's groups, from `groups_claim` of the login: the identity service needs
    /// them for the roles of its console.
    #[serde(default)]
    pub user_token_groups: bool,
    /// Which of our cookies belong to this target (`browser`, `csrf`): they are let through to it and
    /// may be set by it. All other cookies with our prefix are removed both ways.
    #[serde(default)]
    pub cookies: Vec<String>,
    /// Send the browser's `Host` to the target instead of the target's own authority.
    #[serde(default)]
    pub preserve_host_header: bool,
    /// Largest request body in bytes.
    #[serde(default = "default_max_request_body_bytes")]
    pub max_request_body_bytes: u64,
}

/// The HTTP of a target group. As at an ALB, requests that it cannot carry get 464.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub enum ProtocolVersion {
    /// HTTP/1.1; takes all requests but gRPC.
    #[default]
    #[serde(rename = "HTTP1")]
    Http1,
    /// HTTP/2, with prior knowledge or by ALPN; takes requests that came over HTTP/2.
    #[serde(rename = "HTTP2")]
    Http2,
    /// gRPC: HTTP/2, POST.
    #[serde(rename = "GRPC")]
    Grpc,
}

/// How a target is chosen.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum LoadBalancingAlgorithm {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastOutstandingRequests,
}

/// Active health checks, with the defaults and ranges of an ALB.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct HealthCheck {
    /// Path with optional query.
    pub path: String,
    /// Seconds between checks of a target, 1 to 300.
    pub interval_seconds: u32,
    /// Seconds a target has to answer, 1 to 120.
    pub timeout_seconds: u32,
    /// Successes in a row after which an unhealthy target is healthy, 2 to 10. A new one needs one.
    pub healthy_threshold: u32,
    /// Failures in a row after which a target is unhealthy, 2 to 10.
    pub unhealthy_threshold: u32,
    /// Status codes that are a success, within 200 to 499: `200`, `200,204`, `200-299`.
    pub matcher: String,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            interval_seconds: 30,
            timeout_seconds: 5,
            healthy_threshold: 5,
            unhealthy_threshold: 2,
            matcher: "200".to_owned(),
        }
    }
}

impl HealthCheck {
    /// The ranges of [`Self::matcher`]; `None` when it cannot be read.
    pub(crate) fn statuses(&self) -> Option<Vec<(u16, u16)>> {
        self.matcher
            .split(',')
            .map(|part| {
                let (from, to) = part.split_once('-').unwrap_or((part, part));
                let (from, to) = (from.trim().parse().ok()?, to.trim().parse().ok()?);
                (200 <= from && from <= to && to <= 499).then_some((from, to))
            })
            .collect()
    }

    fn check(&self, place: &str) -> Result<(), ConfigError> {
        let refuse = |key: &str, fault: &str| Err(ConfigError::new(format!("{place}.{key}"), fault));
        if !self.path.starts_with('/') || self.path.parse::<http::uri::PathAndQuery>().is_err() {
            return refuse("path", "a path, beginning with /");
        }
        if !(1..=300).contains(&self.interval_seconds) {
            return refuse("interval_seconds", "1 to 300");
        }
        if !(1..=120).contains(&self.timeout_seconds) {
            return refuse("timeout_seconds", "1 to 120");
        }
        if !(2..=10).contains(&self.healthy_threshold) {
            return refuse("healthy_threshold", "2 to 10");
        }
        if !(2..=10).contains(&self.unhealthy_threshold) {
            return refuse("unhealthy_threshold", "2 to 10");
        }
        if self.statuses().is_none() {
            return refuse("matcher", "status codes within 200 to 499, as in `200,300-399`");
        }
        Ok(())
    }
}

impl TargetGroup {
    /// A group of one target with the defaults of everything else.
    #[must_use]
    pub fn of(url: Url) -> Self {
        Self {
            url: Some(url),
            targets: Vec::new(),
            protocol_version: ProtocolVersion::default(),
            load_balancing_algorithm: LoadBalancingAlgorithm::default(),
            slow_start_seconds: 0,
            health_check: None,
            certificate_authority: None,
            verify_certificate: true,
            claims_header: true,
            user_token_audience: None,
            user_token_groups: false,
            cookies: Vec::new(),
            preserve_host_header: false,
            max_request_body_bytes: default_max_request_body_bytes(),
        }
    }

    /// All targets.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &Url> {
        self.url.iter().chain(&self.targets)
    }

    pub(super) fn check(&self, place: &str) -> Result<(), ConfigError> {
        let refuse = |key: &str, fault: &str| Err(ConfigError::new(format!("{place}.{key}"), fault));
        if self.url.is_some() != self.targets.is_empty() {
            return refuse("url", "write either url or targets");
        }
        if self.targets.len() > MAX_TARGETS {
            return refuse("targets", "at most 1000");
        }
        let key = if self.url.is_some() { "url" } else { "targets" };
        let mut schemes: Vec<&str> = self.urls().map(Url::scheme).collect();
        schemes.dedup();
        if schemes.len() != 1 || !self.urls().all(is_bare) {
            return refuse(
                key,
                "write http://host:port or https://host:port alone, all with one scheme",
            );
        }
        if self.slow_start_seconds != 0 && !(30..=900).contains(&self.slow_start_seconds) {
            return refuse("slow_start_seconds", "30 to 900, or 0");
        }
        if self.slow_start_seconds != 0 && self.load_balancing_algorithm != LoadBalancingAlgorithm::RoundRobin
        {
            return refuse("slow_start_seconds", "goes with round_robin only");
        }
        match &self.health_check {
            Some(health_check) => health_check.check(&format!("{place}.health_check")),
            None => Ok(()),
        }
    }
}

fn is_bare(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.host().is_some()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

const fn default_max_request_body_bytes() -> u64 {
    10 * 1024 * 1024
}
