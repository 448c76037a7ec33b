//! File descriptors: each connection takes one, a forwarded request two.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors that are no connections of clients or targets: databases, logs, sockets.
const OTHERS: u64 = 200;

/// Raises the soft limit, 1,024 in most shells, to what the administrator allows at the most. It was kept low for
/// programs that use `select`, which this one does not.
pub(crate) fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        // Where an unlimited maximum is more than the kernel takes; what was there before stays.
        tracing::debug!(%error, "the limit of file descriptors cannot be raised");
    }
}

/// Says in the log where the limit is too low for so many connections, each with one to a target.
pub(crate) fn warn_if_too_few(connections: u64) {
    let needed = 2 * connections + OTHERS;
    if let Some(limit) = getrlimit(Resource::Nofile)
        .current
        .filter(|&limit| limit < needed)
    {
        tracing::warn!(
            limit,
            needed,
            "fewer file descriptors than client.max_connections may need; raise the limit (LimitNOFILE=, ulimit -Hn)"
        );
    }
}
