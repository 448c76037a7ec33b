//! Connections to one target: idle ones are kept, apart for each thread, so that a worker (design D26) never
//! waits for another one's task to make progress.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tokio::time::Instant;

use crate::forward::RequestBody;

use super::connector::{ConnectError, Connector};
use super::target::{Outstanding, Target};

/// Threads beyond this share.
const SHARDS: usize = 16;
/// Idle connections that one thread keeps to one target.
const MAX_IDLE: usize = 256;
/// How long an idle connection is kept; below the keep-alive of common servers.
const KEEP_IDLE: Duration = Duration::from_secs(20);

thread_local! {
    static SHARD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS
    };
}

/// The sending half of a connection.
#[derive(Debug)]
pub(crate) enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

/// The connections of a target that wait for a request.
#[derive(Debug, Default)]
pub(super) struct Idle([Shard; SHARDS]);

#[derive(Debug, Default)]
struct Shard {
    http1: Mutex<VecDeque<(Instant, http1::SendRequest<RequestBody>)>>,
    /// One connection carries all requests, the so-manieth of them. Asynchronous, so that one is made and not
    /// one for each.
    http2: tokio::sync::Mutex<(u64, Option<http2::SendRequest<RequestBody>>)>,
}

/// A connection in use for one request.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) sender: Sender,
    pub(crate) outstanding: Outstanding,
    /// Whether it has carried a request before: the target may just be closing it.
    pub(crate) reused: bool,
    /// Tells HTTP/2 connections of one target apart.
    pub(crate) number: u64,
}

impl Lease {
    /// Keeps the connection for another request; its answer has been read to the end. Dropping the lease
    /// instead closes an HTTP/1.1 connection.
    pub(crate) fn done(self) {
        if let Sender::Http1(sender) = self.sender
            && !sender.is_closed()
        {
            self.outstanding.target().idle.keep(sender);
        }
    }
}

pub(super) async fn lease(
    connector: &Connector,
    target: &Arc<Target>,
    after: Option<u64>,
) -> Result<Lease, ConnectError> {
    let outstanding = target.begin();
    let shard = &target.idle.0[SHARD.with(|&shard| shard)];
    if connector.speaks_http2() {
        let mut kept = shard.http2.lock().await;
        let (number, kept) = &mut *kept;
        let usable = after.is_none_or(|failed| *number > failed);
        let (sender, reused) = match kept.as_ref().filter(|sender| usable && !sender.is_closed()) {
            Some(sender) => (Sender::Http2(sender.clone()), true),
            None => (connector.connect(target).await?, false),
        };
        if let (Sender::Http2(sender), false) = (&sender, reused) {
            *kept = Some(sender.clone());
            *number += 1;
        }
        return Ok(Lease {
            sender,
            outstanding,
            reused,
            number: *number,
        });
    }
    let idle = if after.is_some() { None } else { shard.take() };
    let reused = idle.is_some();
    let sender = match idle {
        Some(sender) => Sender::Http1(sender),
        None => connector.connect(target).await?,
    };
    Ok(Lease {
        sender,
        outstanding,
        reused,
        number: 0,
    })
}

impl Idle {
    fn keep(&self, sender: http1::SendRequest<RequestBody>) {
        let mut idle = self.0[SHARD.with(|&shard| shard)].lock();
        if idle.len() == MAX_IDLE {
            idle.pop_front();
        }
        idle.push_back((Instant::now(), sender));
    }

    /// Closes what was idle for too long.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        for shard in &self.0 {
            let old = |(since, sender): &(Instant, http1::SendRequest<_>)| {
                now.duration_since(*since) > KEEP_IDLE || sender.is_closed()
            };
            shard.lock().retain(|kept| !old(kept));
        }
    }
}

impl Shard {
    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<(Instant, http1::SendRequest<RequestBody>)>> {
        self.http1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection used last, so that those not needed grow old.
    fn take(&self) -> Option<http1::SendRequest<RequestBody>> {
        let mut idle = self.lock();
        let usable = idle.iter().rposition(|(_, sender)| sender.is_ready())?;
        let (since, sender) = idle.remove(usable)?;
        (since.elapsed() <= KEEP_IDLE).then_some(sender)
    }
}
