//! Serving HTTP/1.1 and HTTP/2 with limits, and draining without cutting answers short.

mod flood;
pub(crate) mod quiet;
mod streams;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::ConnectInfo;
use axum::{BoxError, Router};
use bytes::Bytes;
use http::{Extensions, HeaderValue, Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::Service as _;

use crate::Drain;
use crate::beside::Beside;
use crate::transport::{Connection, Protocol, Socket, Transport};
use flood::{Flood, Watched};
use quiet::{Answering, Quiet, Turn};
pub use streams::InUse;
use streams::{Answer, Stream, Streams};

/// The address at the other end of the connection, as a request extension. Behind a load balancer this is the
/// load balancer, unless the listener reads the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// The connection that a request has come over.
#[derive(Debug)]
pub struct Connected {
    /// The client, as the PROXY protocol names it or else as TCP does.
    pub peer: SocketAddr,
    /// Its address as text, `host:port`.
    pub peer_text: Box<str>,
    /// Its address without the port: of IPv4 within IPv6, that of IPv4.
    pub address: HeaderValue,
    /// What the [`Transport`] says of it, and [`Peer`].
    pub extensions: Extensions,
}

impl Connected {
    /// A connection of `peer`.
    #[must_use]
    pub fn new(peer: SocketAddr, mut extensions: Extensions) -> Self {
        extensions.insert(Peer(peer));
        extensions.insert(ConnectInfo(peer));
        let peer_text = peer.to_string().into();
        let address = HeaderValue::try_from(peer.ip().to_canonical().to_string());
        Self {
            peer,
            peer_text,
            address: address.unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            extensions,
        }
    }
}

/// What answers the requests of a listener. A [`Router`] does, with boxes around everything; who forwards
/// thousands of requests a second does without.
pub trait Respond: Clone + Send + Sync + 'static {
    /// The body of its answers.
    type Body: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static;

    /// Answers one request.
    fn respond(
        &self,
        request: Request<Incoming>,
        connected: &Arc<Connected>,
    ) -> impl Future<Output = Response<Self::Body>> + Send + use<Self>;
}

impl Respond for Router {
    type Body = Body;

    fn respond(
        &self,
        request: Request<Incoming>,
        connected: &Arc<Connected>,
    ) -> impl Future<Output = Response<Body>> + Send + use<> {
        let mut request = request.map(Body::new);
        request.extensions_mut().extend(connected.extensions.clone());
        let answer = self.clone().call(request);
        async move {
            let Ok(response) = answer.await;
            response
        }
    }
}

/// Limits of a set of listeners.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Largest request head, bytes. Over it: 431.
    pub max_header_bytes: u32,
    /// Longest request line, and longest single header, of HTTP/1.1, bytes. Over it: 400.
    pub max_line_bytes: usize,
    /// Time a client has to send a whole request head; also how long a connection is kept that is idle, or whose client
    /// takes nothing of an answer.
    pub header_read_timeout: Duration,
    /// How long a connection is used altogether; then it is closed after the requests under way.
    pub client_keep_alive: Duration,
    /// Connections at a time, over all listeners together, upgraded ones included; further ones wait in the kernel's queue.
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
/// Memory for the answers of one HTTP/2 stream that the client does not read.
const MAX_STREAM_SEND_BUFFER: usize = 64 * 1024;

/// Serves what `responder` answers on every listener until `drain` is signalled. Then: no new connections, no further
/// requests on open ones, answers under way are finished; returns when they are, or after
/// [`ServeOptions::drain_timeout`].
///
/// To a router each request carries [`Peer`] and axum's `ConnectInfo<SocketAddr>` as extensions, and those of its
/// [`Transport`]; a CONNECT over HTTP/2 carries [`InUse`], to anything that answers it.
pub async fn serve<R: Respond>(
    listeners: Vec<TcpListener>,
    responder: R,
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
            responder: responder.clone(),
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
            // Ours costs nothing per request: see `Quiet`.
            .header_read_timeout(None)
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
struct Acceptor<R> {
    protocols: Arc<Protocols>,
    options: Arc<ServeOptions>,
    responder: R,
    drain: Drain,
    connections: Arc<Semaphore>,
}

impl<R: Respond> Acceptor<R> {
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
    ) -> impl Future<Output = ()> + Send + use<R> {
        let (protocols, options) = (Arc::clone(&self.protocols), Arc::clone(&self.options));
        let (responder, drain) = (self.responder.clone(), self.drain.clone());
        async move {
            // Boxed: what a handshake needs is not kept for as long as the connection.
            let Some((mut connection, protocol, connected)) =
                Box::pin(opened(stream, peer, &options, &drain)).await
            else {
                return;
            };
            connection.hold(permit);
            let io = TokioIo::new(connection);
            let requests = Requests {
                responder,
                connected: Arc::new(connected),
            };
            let over = Over {
                drain,
                keep_alive: options.client_keep_alive,
                header_read_timeout: options.header_read_timeout,
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

/// Everything before the first request. `None` where it is not to come to one.
async fn opened(
    stream: TcpStream,
    peer: SocketAddr,
    options: &ServeOptions,
    drain: &Drain,
) -> Option<(Connection, Protocol, Connected)> {
    let opened = tokio::select! {
        () = drain.signaled() => return None,
        opened = tokio::time::timeout(options.header_read_timeout, open(stream, peer, options)) => opened.ok()?,
    };
    opened.unwrap_or_else(|error| {
        tracing::debug!(%error, "connection refused before HTTP");
        None
    })
}

async fn open(
    stream: TcpStream,
    peer: SocketAddr,
    options: &ServeOptions,
) -> io::Result<Option<(Connection, Protocol, Connected)>> {
    stream.set_nodelay(true)?;
    let (socket, peer, extensions) = match &options.transport {
        None => (Socket::Plain(stream), peer, Extensions::new()),
        Some(transport) => {
            let accepted = transport.accept(stream, peer).await?;
            (accepted.stream, accepted.peer, accepted.extensions)
        }
    };
    let opened = Connection::open(socket, options.max_line_bytes).await?;
    Ok(opened.map(|(connection, protocol)| (connection, protocol, Connected::new(peer, extensions))))
}

/// Hands over the requests of one connection.
struct Requests<R> {
    responder: R,
    connected: Arc<Connected>,
}

impl<R: Respond> Requests<R> {
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<R::Body>> + Send + use<R> {
        self.responder.respond(request, &self.connected)
    }
}

/// When a connection ends that goes on by itself.
struct Over {
    drain: Drain,
    keep_alive: Duration,
    header_read_timeout: Duration,
}

/// How it ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// After the requests under way.
    Graceful,
    AtOnce,
}

impl Over {
    async fn http1<R: Respond>(
        self,
        builder: &http1::Builder,
        mut io: TokioIo<Connection>,
        requests: Requests<R>,
    ) {
        let quiet = Arc::new(Quiet::new());
        io.inner_mut().watch(&quiet);
        let until = (self.drain, Instant::now() + self.keep_alive);
        let patience = self.header_read_timeout;
        let mut ending = Beside::new(ending(Some(until), Arc::clone(&quiet), patience));
        let turns = Arc::clone(&quiet);
        let service = service_fn(move |request| {
            let turn = Turn::begin(&turns);
            let answer = requests.answer(request);
            async move { Ok::<_, Infallible>(answer.await.map(|body| Answering { body, _turn: turn })) }
        });
        let mut connection = pin!(builder.serve_connection(io, service).with_upgrades());
        let ended = loop {
            let end = tokio::select! {
                biased;
                ended = connection.as_mut() => break ended,
                end = &mut ending => end,
            };
            if end == End::AtOnce {
                tracing::debug!("connection ended: no request in time, or a client that does not read");
                return;
            }
            connection.as_mut().graceful_shutdown();
            // Whoever is in the middle of a request has no more time for it than before.
            ending = Beside::new(self::ending(None, Arc::clone(&quiet), patience));
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended early");
        }
    }

    async fn http2<R: Respond>(
        self,
        builder: &http2::Builder<TokioExecutor>,
        io: TokioIo<Connection>,
        requests: Requests<R>,
    ) {
        let (flood, streams) = (Arc::new(Flood::default()), Arc::new(Streams::new()));
        let (watched, opened) = (Arc::clone(&flood), Arc::clone(&streams));
        let service = service_fn(move |mut request: Request<Incoming>| {
            let stream = Stream::begin(&opened);
            if request.method() == Method::CONNECT {
                request.extensions_mut().insert(InUse::new(&stream));
            }
            let answer = requests.answer(request);
            let answer =
                async move { Ok::<_, Infallible>(answer.await.map(|body| Answer::new(body, stream))) };
            Watched::new(Arc::clone(&watched), answer)
        });
        let patience = self.header_read_timeout;
        let until = (self.drain, Instant::now() + self.keep_alive);
        let ending = async |until: Option<(Drain, Instant)>| {
            tokio::select! {
                () = flood.noticed.notified() => End::AtOnce,
                end = streams.for_too_long(patience) => end,
                () = over_if(until.as_ref()) => End::Graceful,
            }
        };
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut closing = false;
        let mut ends = Beside::new(ending(Some(until)));
        let ended = loop {
            let end = tokio::select! {
                biased;
                ended = connection.as_mut() => break ended,
                end = &mut ends => end,
            };
            // Where nothing has come and nothing is made since it was told to close, what keeps it open is held by HTTP
            // alone, such as the rest of a WebSocket that has no window.
            if end == End::AtOnce || closing {
                tracing::debug!(
                    "connection ended: a flood of requests taken back, or a client that takes nothing"
                );
                return;
            }
            connection.as_mut().graceful_shutdown();
            closing = true;
            streams.touch();
            ends = Beside::new(ending(None));
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended early");
        }
    }
}

/// Resolves at the drain, or when a connection is as old as it may become: a client that never stops asking would
/// otherwise stay with this process through every change of DNS.
async fn over(drain: &Drain, end: Instant) {
    let _ = tokio::time::timeout_at(end, drain.signaled()).await;
}

async fn over_if(until: Option<&(Drain, Instant)>) {
    match until {
        Some((drain, end)) => over(drain, *end).await,
        None => std::future::pending().await,
    }
}

/// How and when a connection of HTTP/1.1 ends: `until`, or when no request comes for too long.
async fn ending(until: Option<(Drain, Instant)>, quiet: Arc<Quiet>, patience: Duration) -> End {
    tokio::select! {
        () = over_if(until.as_ref()) => End::Graceful,
        () = quiet.for_too_long(patience) => End::AtOnce,
    }
}
