//! A target group as requests are forwarded to it. One target each, so far.

use http::HeaderValue;
use http::uri::Authority;

use crate::config;

/// Where requests go, and what they carry there.
#[derive(Debug)]
pub(crate) struct TargetGroup {
    pub(crate) name: String,
    /// Host and port of the target.
    pub(crate) authority: Authority,
    /// The same as a `Host` header.
    pub(crate) host: HeaderValue,
    pub(crate) preserve_host_header: bool,
    pub(crate) claims_header: bool,
    pub(crate) user_token_audience: Option<String>,
    /// Kinds of our cookies that belong to the target.
    pub(crate) cookies: Vec<String>,
    pub(crate) max_request_body_bytes: u64,
}

impl TargetGroup {
    /// `None` when the URL has no host and port to connect to.
    pub(crate) fn new(name: &str, config: &config::TargetGroup) -> Option<Self> {
        let host = config.url.host_str()?;
        let port = config.url.port_or_known_default()?;
        let authority = if port == 80 {
            host.to_owned()
        } else {
            format!("{host}:{port}")
        };
        Some(Self {
            name: name.to_owned(),
            host: HeaderValue::from_str(&authority).ok()?,
            authority: authority.parse().ok()?,
            preserve_host_header: config.preserve_host_header,
            claims_header: config.claims_header,
            user_token_audience: config.user_token_audience.clone(),
            cookies: config.cookies.clone(),
            max_request_body_bytes: config.max_request_body_bytes,
        })
    }

    #[cfg(test)]
    pub(crate) fn for_tests(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            authority: Authority::from_static("127.0.0.1:1"),
            host: HeaderValue::from_static("127.0.0.1:1"),
            preserve_host_header: false,
            claims_header: true,
            user_token_audience: None,
            cookies: Vec::new(),
            max_request_body_bytes: 1_024,
        }
    }
}
