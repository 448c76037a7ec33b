//! What lies between TCP and HTTP: the PROXY protocol and TLS of those listeners that have them, and the
//! first bytes, which tell HTTP/1.1 from HTTP/2.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Extensions;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

use crate::request_scanner::RequestScanner;
use crate::serve::quiet::Quiet;

/// The client's first bytes of HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What HTTP reads in place of a malformed rest. NUL may stand nowhere in a message outside a body, so the
/// answer is 400 and the end of the connection, after the answers to the requests before it.
const SPOILT: &[u8] = b"\0\r\n\r\n";

/// Requests that two readers could read in two ways, by what is wrong with them.
const MALFORMED: &str = "countersign_malformed_requests_total";

/// A stream of bytes in both directions.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for T {}

/// A connection that is ready to speak HTTP.
pub struct Accepted {
    /// The connection, decrypted.
    pub stream: Socket,
    /// The client, as the PROXY protocol names it or else as TCP does.
    pub peer: SocketAddr,
    /// What each request of this connection carries as extensions: TLS version, client certificate.
    pub extensions: Extensions,
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Makes an accepted TCP connection ready to speak HTTP. The listener bounds the time it may take.
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Reads what comes before HTTP. An error closes the connection without an answer.
    fn accept<'a>(
        &'a self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Accepted>> + Send + 'a>>;
}

/// A connection as HTTP reads it.
pub(crate) struct Connection {
    socket: Socket,
    /// What was read to learn the protocol, until HTTP has read it.
    first: Bytes,
    /// None for HTTP/2, whose frames have one reading only.
    scanner: Option<RequestScanner>,
    /// Told of writes. None for HTTP/2, whose answers wait for windows, not for TCP.
    quiet: Option<Arc<Quiet>>,
    /// One of [`crate::ServeOptions::max_connections`], until the socket is closed: also of a WebSocket, whose socket goes
    /// on when HTTP has ended.
    permit: Option<OwnedSemaphorePermit>,
}

/// What HTTP is spoken over.
pub enum Socket {
    /// TCP itself.
    Plain(TcpStream),
    /// TLS, or whatever else a transport has put around it.
    Other(Box<dyn ByteStream>),
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Other(_) => "Other",
        })
    }
}

/// Which HTTP a client speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Connection {
    /// Waits for the first bytes. `None` when the client has gone without any.
    pub(crate) async fn open(mut socket: Socket, max_line: usize) -> io::Result<Option<(Self, Protocol)>> {
        let mut seen = [0; PREFACE.len()];
        let mut length = 0;
        let protocol = loop {
            length += match socket.read(&mut seen[length..]).await? {
                0 if length == 0 => return Ok(None),
                0 => break Protocol::Http1,
                read => read,
            };
            if seen[..length] != PREFACE[..length] {
                break Protocol::Http1;
            }
            if length == PREFACE.len() {
                break Protocol::Http2;
            }
        };
        let mut connection = Self {
            socket,
            first: Bytes::new(),
            scanner: (protocol == Protocol::Http1).then(|| RequestScanner::new(max_line)),
            quiet: None,
            permit: None,
        };
        let sound = connection.sound(&seen[..length]);
        connection.first = if sound == length {
            Bytes::copy_from_slice(&seen[..length])
        } else {
            [&seen[..sound], SPOILT].concat().into()
        };
        Ok(Some((connection, protocol)))
    }

    /// Gives it what is to be given back when it is closed.
    pub(crate) fn hold(&mut self, permit: OwnedSemaphorePermit) {
        self.permit = Some(permit);
    }

    /// Has it say whether the client takes what is written.
    pub(crate) fn watch(&mut self, quiet: &Arc<Quiet>) {
        self.quiet = Some(Arc::clone(quiet));
    }

    fn wrote<T>(&self, written: Poll<T>) -> Poll<T> {
        if let Some(quiet) = &self.quiet {
            quiet.wrote(&written);
        }
        written
    }

    /// How many of these bytes HTTP may have.
    fn sound(&mut self, bytes: &[u8]) -> usize {
        match self.scanner.as_mut().map(|scanner| scanner.scan(bytes)) {
            Some(Err(malformed)) => {
                // Counted, not logged: a stranger could fill the log with them.
                metrics::counter!(MALFORMED, "fault" => malformed.fault).increment(1);
                tracing::debug!(fault = malformed.fault, "malformed request");
                malformed.at
            }
            _ => bytes.len(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let began = buffer.filled().len();
        if !self.first.is_empty() {
            let length = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first.split_to(length));
            if self.first.is_empty() {
                // Set free.
                self.first = Bytes::new();
            }
            if buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
        }
        if self.scanner.as_ref().is_some_and(RequestScanner::is_over) {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        // With the first bytes comes what is there of the rest: HTTP would double its buffer for a second reading.
        if Pin::new(&mut self.socket)
            .poll_read(context, buffer)?
            .is_pending()
        {
            return if before == began {
                Poll::Pending
            } else {
                Poll::Ready(Ok(()))
            };
        }
        let sound = self.sound(&buffer.filled()[before..]);
        if before + sound < buffer.filled().len() {
            buffer.set_filled(before + sound);
            self.first = Bytes::from_static(SPOILT);
            if sound == 0 {
                // Nothing would be the end of the stream.
                return self.poll_read(context, buffer);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.wrote(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What TLS has taken may still wait to be sent.
        let written = Pin::new(&mut self.socket).poll_flush(context);
        self.wrote(written)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Other(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Other(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Other(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Other(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Other(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Other(stream) => stream.is_write_vectored(),
        }
    }
}

/// The stream of an upgraded connection of one of our listeners, which speaks HTTP no more: what is read is
/// not checked as requests. A stream within HTTP/2 stays as it is.
#[must_use]
pub fn upgraded(upgraded: Upgraded) -> Box<dyn ByteStream> {
    match upgraded.downcast::<TokioIo<Connection>>() {
        Ok(parts) => Box::new(Connection {
            // Sent right behind the request: allowed to nobody before the answer, but of the new protocol.
            first: parts.read_buf,
            scanner: None,
            quiet: None,
            ..parts.io.into_inner()
        }),
        Err(upgraded) => Box::new(TokioIo::new(upgraded)),
    }
}
