//! One target: its address, its health, and what it is busy with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::HeaderValue;
use http::uri::{Authority, Scheme};
use tokio::time::Instant;
use url::Url;

use super::pool::Idle;

/// Not healthy.
const NEVER: u64 = 0;
/// Healthy because it is not checked.
const ALWAYS: u64 = u64::MAX;

/// See the module.
#[derive(Debug)]
pub(crate) struct Target {
    /// `host:port`.
    pub(crate) name: Arc<str>,
    pub(crate) scheme: Scheme,
    /// As in a URI: without the port that the scheme implies.
    pub(crate) authority: Authority,
    /// The same as a `Host` header.
    pub(crate) host: HeaderValue,
    /// Name or address to connect to; an IPv6 address without brackets.
    pub(super) hostname: String,
    pub(super) port: u16,
    pub(super) idle: Idle,
    born: Instant,
    /// Milliseconds after `born`, plus one, since when it is healthy; or one of the constants.
    healthy_since: AtomicU64,
    outstanding: AtomicUsize,
}

impl Target {
    pub(super) fn new(url: &Url, checked: bool) -> Option<Self> {
        let port = url.port_or_known_default()?;
        let host = url.host_str()?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Some(Self {
            name: format!("{host}:{port}").into(),
            scheme: url.scheme().parse().ok()?,
            host: HeaderValue::from_str(&authority).ok()?,
            authority: authority.parse().ok()?,
            hostname: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            idle: Idle::default(),
            born: Instant::now(),
            healthy_since: AtomicU64::new(if checked { NEVER } else { ALWAYS }),
            outstanding: AtomicUsize::new(0),
        })
    }

    pub(super) fn is_healthy(&self) -> bool {
        self.healthy_since.load(Ordering::Relaxed) != NEVER
    }

    /// Since when it is healthy; `None` where it is not, or is not checked.
    pub(super) fn healthy_for(&self) -> Option<Duration> {
        match self.healthy_since.load(Ordering::Relaxed) {
            NEVER | ALWAYS => None,
            since => Some(
                self.born
                    .elapsed()
                    .saturating_sub(Duration::from_millis(since - 1)),
            ),
        }
    }

    /// The verdict of the health checks.
    pub(super) fn set_healthy(&self, healthy: bool) {
        let since = if healthy {
            u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX - 2) + 1
        } else {
            NEVER
        };
        self.healthy_since.store(since, Ordering::Relaxed);
    }

    /// Requests under way.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Counts a request until the answer is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> Outstanding {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        Outstanding(Arc::clone(self))
    }
}

/// A request under way at a target.
#[derive(Debug)]
pub(crate) struct Outstanding(Arc<Target>);

impl Outstanding {
    pub(crate) fn target(&self) -> &Arc<Target> {
        &self.0
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}
