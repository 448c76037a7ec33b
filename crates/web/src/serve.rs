//! Serving HTTP/1.1 and HTTP/2 with limits, and draining without cutting answers short.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Extensions, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower::Service as _;

use crate::Drain;
use crate::transport::{Connection, Protocol, Socket, Transport};

/// The address at the other end of the connection, as a request extension. Behind a load balancer this is the
/// load balancer, unless the listener reads the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Limits of a set of listeners.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Largest request head, bytes. Over it: 431.
    pub max_header_bytes: u32,
    /// Longest request line, and longest single header, of HTTP/1.1, bytes. Over it: 400.
    pub max_line_bytes: usize,
    /// Time a client has to send a whole request head; also how long an idle connection is kept.
    pub header_read_timeout: Duration,
    /// How long a connection is used altogether; then it is closed after the requests under way.
    pub client_keep_alive: Duration,
    /// Connections at a time, over all listeners together; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Whether HTTP/2 is spoken with clients that begin it.
    pub http2: bool,
    /// Requests at a time on one HTTP/2 connection.
    pub max_concurrent_streams: u32,
    /// How long answers under way, event streams included, may take once the drain has started.
    pub drain_timeout: Duration,
    /// What comes before HTTP on these listeners. `None`: nothing, plain TCP.
    pub transport: Option<Arc<dyn Transport>>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_header_bytes: 64 * 1024,
            max_line_bytes: 16 * 1024,
            header_read_timeout: Duration::from_secs(30),
            client_keep_alive: Duration::from_hours(1),
            max_connections: 10_000,
            http2: true,
            max_concurrent_streams: 128,
            drain_timeout: Duration::from_secs(20),
            transport: None,
        }
    }
}

/// Streams that a peer may reset before we have looked at them (CVE-2023-44487); then the connection ends.
const MAX_PENDING_RESETS: usize = 20;
/// Faulty streams after which the connection ends.
const MAX_FAULTY_STREAMS: usize = 100;
/// Requests taken back by the client after which a connection ends, where they are most of its requests.
const MAX_TAKEN_BACK: u32 = 200;
/// Memory for the answers of one HTTP/2 stream that the client does not read.
const MAX_STREAM_SEND_BUFFER: usize = 64 * 1024;

/// Serves `router` on every listener until `drain` is signalled. Then: no new connections, no further
/// requests on open ones, answers under way are finished; returns when they are, or after
/// [`ServeOptions::drain_timeout`].
///
/// Each request carries [`Peer`] and axum's `ConnectInfo<SocketAddr>` as extensions, and those of its
/// [`Transport`].
pub async fn serve(
    listeners: Vec<TcpListener>,
    router: Router,
    drain: Drain,
    options: ServeOptions,
) -> io::Result<()> {
    let connections = Arc::new(Semaphore::new(options.max_connections));
    let drain_timeout = options.drain_timeout;
    let protocols = Arc::new(Protocols::new(&options));
    let options = Arc::new(options);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let acceptor = Acceptor {
            protocols: Arc::clone(&protocols),
            options: Arc::clone(&options),
            router: router.clone(),
            drain: drain.clone(),
            connections: Arc::clone(&connections),
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
    if tokio::time::timeout(drain_timeout, finish).await.is_err() {
        tracing::warn!("connections still open at the end of the drain time were cut");
    }
    Ok(())
}

/// How each version of HTTP is spoken.
struct Protocols {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Protocols {
    fn new(options: &ServeOptions) -> Self {
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            .header_read_timeout(options.header_read_timeout)
            .max_header_size(options.max_header_bytes as usize)
            .max_buf_size(options.max_header_bytes as usize);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_header_list_size(options.max_header_bytes)
            .max_concurrent_streams(options.max_concurrent_streams)
            .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
            .max_local_error_reset_streams(MAX_FAULTY_STREAMS)
            .max_send_buf_size(MAX_STREAM_SEND_BUFFER)
            // WebSocket over HTTP/2 (RFC 8441).
            .enable_connect_protocol()
            .keep_alive_interval(options.header_read_timeout)
            .keep_alive_timeout(options.header_read_timeout);
        Self { http1, http2 }
    }
}

/// One listener at work.
struct Acceptor {
    protocols: Arc<Protocols>,
    options: Arc<ServeOptions>,
    router: Router,
    drain: Drain,
    connections: Arc<Semaphore>,
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
        let (protocols, options) = (Arc::clone(&self.protocols), Arc::clone(&self.options));
        let (router, drain) = (self.router.clone(), self.drain.clone());
        async move {
            let _permit = permit;
            let opened = tokio::select! {
                () = drain.signaled() => return,
                opened = tokio::time::timeout(options.header_read_timeout, open(stream, peer, &options)) => opened,
            };
            let (connection, protocol, requests) = match opened {
                Ok(Ok(Some((connection, protocol, extensions)))) => {
                    (connection, protocol, Requests { router, extensions })
                }
                Ok(Ok(None)) | Err(_) => return,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "connection refused before HTTP");
                    return;
                }
            };
            let io = TokioIo::new(connection);
            let over = Over {
                drain,
                keep_alive: options.client_keep_alive,
            };
            match protocol {
                Protocol::Http1 => over.http1(&protocols.http1, io, requests).await,
                Protocol::Http2 if options.http2 => {
                    // Boxed: an HTTP/1.1 connection need not have room for it.
                    Box::pin(over.http2(&protocols.http2, io, requests)).await;
                }
                Protocol::Http2 => {}
            }
        }
    }
}

/// Everything before the first request.
async fn open(
    stream: TcpStream,
    peer: SocketAddr,
    options: &ServeOptions,
) -> io::Result<Option<(Connection, Protocol, Extensions)>> {
    stream.set_nodelay(true)?;
    let (socket, peer, mut extensions) = match &options.transport {
        None => (Socket::Plain(stream), peer, Extensions::new()),
        Some(transport) => {
            let accepted = transport.accept(stream, peer).await?;
            (Socket::Other(accepted.stream), accepted.peer, accepted.extensions)
        }
    };
    extensions.insert(Peer(peer));
    extensions.insert(ConnectInfo(peer));
    let opened = Connection::open(socket, options.max_line_bytes).await?;
    Ok(opened.map(|(connection, protocol)| (connection, protocol, extensions)))
}

/// Hands the requests of one connection to the router.
struct Requests {
    router: Router,
    extensions: Extensions,
}

impl Requests {
    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<> {
        let mut request = request.map(Body::new);
        request.extensions_mut().extend(self.extensions.clone());
        self.router.clone().call(request)
    }
}

/// When a connection ends that goes on by itself.
struct Over {
    drain: Drain,
    keep_alive: Duration,
}

impl Over {
    async fn http1(self, builder: &http1::Builder, io: TokioIo<Connection>, requests: Requests) {
        let service = service_fn(move |request| requests.answer(request));
        let mut connection = pin!(builder.serve_connection(io, service).with_upgrades());
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.reached() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended early");
        }
    }

    async fn http2(
        self,
        builder: &http2::Builder<TokioExecutor>,
        io: TokioIo<Connection>,
        requests: Requests,
    ) {
        let flood = Arc::new(Flood::default());
        let watched = Arc::clone(&flood);
        let service = service_fn(move |request| Watched::new(Arc::clone(&watched), requests.answer(request)));
        let mut connection = pin!(builder.serve_connection(io, service));
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = flood.noticed.notified() => {
                tracing::debug!("connection ended: a flood of requests taken back");
                return;
            }
            () = self.reached() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended early");
        }
    }

    async fn reached(&self) {
        // A client that never stops asking would otherwise stay with this process through every change of DNS.
        let _ = tokio::time::timeout(self.keep_alive, self.drain.signaled()).await;
    }
}

/// Counts the requests of one HTTP/2 connection that the client takes back while they are answered: cheap for
/// the client, not for targets. HTTP itself counts those it has not handed over yet.
#[derive(Default)]
struct Flood {
    begun: AtomicU32,
    taken_back: AtomicU32,
    noticed: Notify,
}

/// An answer in the making; dropped unfinished when the client takes its request back.
struct Watched<F> {
    answer: Pin<Box<F>>,
    flood: Arc<Flood>,
    finished: bool,
}

impl<F> Watched<F> {
    fn new(flood: Arc<Flood>, answer: F) -> Self {
        flood.begun.fetch_add(1, Ordering::Relaxed);
        Self {
            answer: Box::pin(answer),
            flood,
            finished: false,
        }
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let polled = self.answer.as_mut().poll(context);
        self.finished = polled.is_ready();
        polled
    }
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let taken_back = self.flood.taken_back.fetch_add(1, Ordering::Relaxed) + 1;
        if taken_back > MAX_TAKEN_BACK && taken_back > self.flood.begun.load(Ordering::Relaxed) / 2 {
            self.flood.noticed.notify_one();
        }
    }
}
