//! Limits and time-outs, on the way to targets and towards clients.

use std::time::Duration;

use countersign_web::ServeOptions;
use serde::Deserialize;

use super::check::ConfigError;

/// Time-outs of forwarding.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ForwardLimits {
    /// Milliseconds to connect to a target, TLS included, after which the answer is 504.
    pub connect_timeout_ms: u64,
    /// Seconds without a byte from the target, before the answer or within it, or from the client within
    /// its request. A silent event stream or WebSocket ends after this; servers of one send comments, or
    /// pings. 1 to 4000.
    pub idle_timeout_seconds: u64,
    /// Largest response head of a target in bytes; over it: 502. An ALB takes 32 KB.
    pub max_response_header_bytes: u32,
}

impl Default for ForwardLimits {
    fn default() -> Self {
        Self {
            connect_timeout_ms: 10_000,
            idle_timeout_seconds: 60,
            max_response_header_bytes: 64 * 1024,
        }
    }
}

/// Limits of the connections of clients.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientLimits {
    /// Seconds a client has to send a whole request head, and that a connection is kept which is idle or whose client takes
    /// nothing of its answers.
    pub idle_timeout_seconds: u64,
    /// Seconds after which a connection is closed even if it is in use, once its requests are answered.
    pub keep_alive_seconds: u64,
    /// Largest request head in bytes; over it: 431. At least 8192.
    pub max_header_bytes: u32,
    /// Longest request line, and longest single header, in bytes; over it: 400.
    pub max_line_bytes: u32,
    /// Connections at a time to each listener; further ones wait.
    pub max_connections: u32,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
    /// Requests at a time on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// Seconds that answers under way, event streams included, may take once the process is asked to end.
    pub drain_timeout_seconds: u64,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            idle_timeout_seconds: 60,
            keep_alive_seconds: 3_600,
            max_header_bytes: 64 * 1024,
            max_line_bytes: 16 * 1024,
            max_connections: 20_000,
            http2: true,
            max_concurrent_streams: 128,
            drain_timeout_seconds: 10,
        }
    }
}

impl ForwardLimits {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, fault: &str| Err(ConfigError::new(format!("forward.{key}"), fault));
        if !(1..=4_000).contains(&self.idle_timeout_seconds) {
            return refuse("idle_timeout_seconds", "1 to 4000");
        }
        if !(1..=60_000).contains(&self.connect_timeout_ms) {
            return refuse("connect_timeout_ms", "1 to 60000");
        }
        if !(8_192..=1_048_576).contains(&self.max_response_header_bytes) {
            return refuse("max_response_header_bytes", "8192 to 1048576");
        }
        Ok(())
    }
}

impl ClientLimits {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key: &str, fault: &str| Err(ConfigError::new(format!("client.{key}"), fault));
        if !(1..=4_000).contains(&self.idle_timeout_seconds) {
            return refuse("idle_timeout_seconds", "1 to 4000");
        }
        if !(60..=604_800).contains(&self.keep_alive_seconds) {
            return refuse("keep_alive_seconds", "60 to 604800");
        }
        if !(8_192..=1_048_576).contains(&self.max_header_bytes) {
            return refuse("max_header_bytes", "8192 to 1048576");
        }
        if !(1_024..=self.max_header_bytes).contains(&self.max_line_bytes) {
            return refuse("max_line_bytes", "1024 to max_header_bytes");
        }
        if self.max_connections == 0 {
            return refuse("max_connections", "at least 1");
        }
        if !(1..=1_000).contains(&self.max_concurrent_streams) {
            return refuse("max_concurrent_streams", "1 to 1000");
        }
        Ok(())
    }

    /// How a listener is served, by one of so many workers.
    #[must_use]
    pub fn serve_options(&self, workers: usize) -> ServeOptions {
        ServeOptions {
            max_header_bytes: self.max_header_bytes,
            max_line_bytes: self.max_line_bytes as usize,
            header_read_timeout: Duration::from_secs(self.idle_timeout_seconds),
            client_keep_alive: Duration::from_secs(self.keep_alive_seconds),
            max_connections: (self.max_connections as usize).div_ceil(workers.max(1)),
            http2: self.http2,
            max_concurrent_streams: self.max_concurrent_streams,
            drain_timeout: Duration::from_secs(self.drain_timeout_seconds),
            transport: None,
        }
    }
}
