//! The access log as it is configured.

use std::path::PathBuf;

use serde::Deserialize;

/// One line a request that a listener with rules has answered. On by default, to standard output.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLog {
    /// How lines are written.
    pub format: AccessLogFormat,
    /// The file that lines are appended to; opened again at SIGHUP, so that it can be rotated by a move. Absent:
    /// standard output.
    pub path: Option<PathBuf>,
}

/// How lines of the access log are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum AccessLogFormat {
    /// The fields of an Application Load Balancer, in its order and quoting.
    #[default]
    Alb,
    /// An object a line, with the same names.
    Json,
    /// No access log of its own; the process log has a line a request.
    Off,
}
