//! Connections to one target: idle ones are kept, apart for each thread, so that a worker (design D26) never
//! waits for another one's task to make progress.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::client::conn::{http1, http2};

use crate::forward::RequestBody;

use super::connector::{ConnectError, Connector};
use super::deadline::Deadline;
use super::target::{Outstanding, Target};

/// Threads beyond this share.
const SHARDS: usize = 16;
/// Idle connections that one thread keeps to one target.
const MAX_IDLE: usize = 256;
/// Sweeps, five seconds apart, that an idle connection outlives: below the keep-alive of common servers.
const KEEP_IDLE: u64 = 4;

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
pub(super) struct Idle {
    shards: [Shard; SHARDS],
    sweeps: AtomicU64,
}

/// A connection that waits for a request.
#[derive(Debug)]
struct Kept {
    sender: http1::SendRequest<RequestBody>,
    deadline: Deadline,
    /// How many sweeps there had been. To ask for the time at each request would cost more.
    since: u64,
}

#[derive(Debug, Default)]
struct Shard {
    http1: Mutex<VecDeque<Kept>>,
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
    /// For whoever waits for the target.
    pub(crate) deadline: Deadline,
}

impl Lease {
    /// Keeps the connection for another request; its answer has been read to the end. Dropping the lease
    /// instead closes an HTTP/1.1 connection.
    pub(crate) fn done(self) {
        if let Sender::Http1(sender) = self.sender
            && !sender.is_closed()
        {
            self.outstanding.target().idle.keep(sender, self.deadline);
        }
    }
}

pub(super) async fn lease(
    connector: &Connector,
    target: &Arc<Target>,
    after: Option<u64>,
) -> Result<Lease, ConnectError> {
    let outstanding = target.begin();
    let shard = &target.idle.shards[SHARD.with(|&shard| shard)];
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
            deadline: Deadline::default(),
        });
    }
    let idle = if after.is_some() { None } else { shard.take() };
    let reused = idle.is_some();
    let (sender, deadline) = match idle {
        Some(kept) => (Sender::Http1(kept.sender), kept.deadline),
        // Boxed: few requests need a new connection, and all would carry the room for it.
        None => (Box::pin(connector.connect(target)).await?, Deadline::default()),
    };
    Ok(Lease {
        sender,
        outstanding,
        reused,
        number: 0,
        deadline,
    })
}

impl Idle {
    fn keep(&self, sender: http1::SendRequest<RequestBody>, deadline: Deadline) {
        let since = self.sweeps.load(Ordering::Relaxed);
        let mut idle = self.shards[SHARD.with(|&shard| shard)].lock();
        if idle.len() == MAX_IDLE {
            idle.pop_front();
        }
        idle.push_back(Kept {
            sender,
            deadline,
            since,
        });
    }

    /// Closes what was idle for too long.
    pub(super) fn sweep(&self) {
        let now = self.sweeps.fetch_add(1, Ordering::Relaxed) + 1;
        for shard in &self.shards {
            let old = |kept: &Kept| now.saturating_sub(kept.since) > KEEP_IDLE || kept.sender.is_closed();
            shard.lock().retain(|kept| !old(kept));
        }
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.http1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection used last, so that those not needed grow old.
    fn take(&self) -> Option<Kept> {
        let mut idle = self.lock();
        let usable = idle.iter().rposition(|kept| kept.sender.is_ready())?;
        idle.remove(usable)
    }
}
