//! Serving HTTP/1.1 and HTTP/2 with limits, and draining without cutting answers short.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use crate::Drain;

/// The address at the other end of the TCP connection, as a request extension. Behind a load balancer this
/// is the load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Limits of a set of listeners.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Largest request head, bytes. Over it: 431.
    pub max_header_bytes: u32,
    /// Time a client has to send a whole request head; also how long an idle connection is kept.
    pub header_read_timeout: Duration,
    /// Connections at a time, over all listeners together; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Requests at a time on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// How long answers under way, event streams included, may take once the drain has started.
    pub drain_timeout: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_header_bytes: 64 * 1024,
            header_read_timeout: Duration::from_secs(30),
            max_connections: 10_000,
            max_concurrent_streams: 200,
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// Serves `router` on every listener until `drain` is signalled. Then: no new connections, no further
/// requests on open ones, answers under way are finished; returns when they are, or after
/// [`ServeOptions::drain_timeout`].
///
/// Each request carries [`Peer`] and axum's `ConnectInfo<SocketAddr>` as extensions.
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    drain: Drain,
    options: ServeOptions,
) -> io::Result<()> {
    let connections = Arc::new(Semaphore::new(options.max_connections));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let acceptor = Acceptor {
            builder: connection_builder(&options),
            router: router.clone(),
            drain: drain.clone(),
            connections: Arc::clone(&connections),
            header_read_timeout: options.header_read_timeout,
        };
        accepting.spawn(acceptor.run(listener));
    }
    let mut serving = Vec::new();
    while let Some(accepted) = accepting.join_next().await {
        serving.push(accepted.map_err(io::Error::other)?);
    }
    // Dropping the sets, when the time is up, aborts what is left.
    let finish = async move {
        for mut connections in serving {
            while connections.join_next().await.is_some() {}
        }
    };
    if tokio::time::timeout(options.drain_timeout, finish).await.is_err() {
        tracing::warn!("connections still open at the end of the drain time were cut");
    }
    Ok(())
}

fn connection_builder(options: &ServeOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(options.header_read_timeout)
        .max_buf_size(options.max_header_bytes as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(options.max_header_bytes)
        .max_concurrent_streams(options.max_concurrent_streams)
        .keep_alive_interval(options.header_read_timeout)
        .keep_alive_timeout(options.header_read_timeout);
    builder
}

/// One listener at work.
struct Acceptor {
    builder: auto::Builder<TokioExecutor>,
    router: Router,
    drain: Drain,
    connections: Arc<Semaphore>,
    header_read_timeout: Duration,
}

impl Acceptor {
    /// Accepts until the drain; returns the connections that are still at work.
    async fn run(self, listener: TcpListener) -> JoinSet<()> {
        let mut serving = JoinSet::new();
        loop {
            let next = async {
                let permit = Arc::clone(&self.connections).acquire_owned().await;
                (permit, listener.accept().await)
            };
            tokio::select! {
                biased;
                () = self.drain.signaled() => return serving,
                Some(_) = serving.join_next() => {}
                (permit, accepted) = next => match (permit, accepted) {
                    (Ok(permit), Ok((stream, peer))) => {
                        serving.spawn(self.connection(stream, peer, permit));
                    }
                    (Err(_), _) => return serving,
                    (_, Err(error)) => {
                        // Out of file descriptors, or a client that gave up. The first needs a pause.
                        tracing::debug!(%error, "accept");
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                },
            }
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
    ) -> impl Future<Output = ()> + Send + 'static {
        let builder = self.builder.clone();
        let drain = self.drain.clone();
        let patience = self.header_read_timeout;
        let service = TowerToHyperService::new(self.router.clone().map_request(
            move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(Peer(peer));
                request.extensions_mut().insert(ConnectInfo(peer));
                request.map(Body::new)
            },
        ));
        async move {
            let _permit = permit;
            tokio::select! {
                () = drain.signaled() => return,
                known = tokio::time::timeout(patience, protocol_known(&stream)) => {
                    if !matches!(known, Ok(true)) {
                        return;
                    }
                }
            }
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
            let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = drain.signaled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended early");
            }
        }
    }
}

/// Waits until the first bytes tell HTTP/1 from HTTP/2. hyper-util reads them without a time-out, so a
/// client that sends the beginning of the HTTP/2 preface and falls silent would keep its place for ever.
/// `false` when the client is gone.
async fn protocol_known(stream: &TcpStream) -> bool {
    const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut seen = [0; PREFACE.len()];
    loop {
        match stream.peek(&mut seen).await {
            Ok(0) | Err(_) => return false,
            Ok(length) if length == PREFACE.len() || seen[..length] != PREFACE[..length] => return true,
            // Half a preface: peeking again returns at once, so pause.
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}
