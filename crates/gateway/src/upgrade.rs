//! WebSocket through the gateway: from the upgrade of HTTP/1.1 (RFC 6455) or the extended CONNECT of HTTP/2
//! (RFC 8441), to an upgrade of HTTP/1.1 at the target; from then on bytes are only copied.
//!
//! Any other protocol is not upgraded to: the gateway could not say what passes through it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_crypto::Random;
use countersign_web::InUse;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::authenticate::lasting::Lasting;
use crate::target_group::Lease;

const SEC_WEBSOCKET_ACCEPT: HeaderName = header::SEC_WEBSOCKET_ACCEPT;
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
/// Bytes in each direction that have been read from one side and not yet written to the other.
const BUFFER: usize = 8 * 1024;

/// A client that asks for a WebSocket.
pub(crate) struct Upgrade {
    client: OnUpgrade,
    http2: bool,
    /// Of HTTP/2: without it the connection would be idle.
    in_use: Option<InUse>,
}

impl Upgrade {
    /// Takes the wish out of a request; what is left is a GET of HTTP/1.1 whose body is not to be sent.
    pub(crate) fn take<B: http_body::Body>(request: &mut Request<B>, random: &dyn Random) -> Option<Self> {
        let protocol = request.extensions_mut().remove::<Protocol>();
        let http2 = request.method() == Method::CONNECT
            && protocol.is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"));
        if !http2 && !opens_handshake(request) {
            return None;
        }
        let client = request.extensions_mut().remove::<OnUpgrade>()?;
        if http2 {
            *request.method_mut() = Method::GET;
            // In HTTP/2 there is none; it protects against servers that do not know the protocol.
            let mut nonce = [0; 16];
            random.fill(&mut nonce);
            if let Ok(key) = HeaderValue::from_str(&STANDARD.encode(nonce)) {
                request.headers_mut().insert(header::SEC_WEBSOCKET_KEY, key);
            }
        }
        let in_use = request.extensions_mut().remove::<InUse>();
        Some(Self {
            client,
            http2,
            in_use,
        })
    }

    /// The headers that ask the target for the same, after all others have been cleaned; the body is an empty one.
    pub(crate) fn ask(headers: &mut HeaderMap) {
        // Of bytes that never come: the target would take them out of the connection's next request.
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, WEBSOCKET);
    }

    /// The client's answer to the target's 101, and the copying that begins with it; of our cookies the target may set
    /// those of the kinds `cookies`. The copying ends with the session `lasting`. `None` when the target has changed to something else.
    pub(crate) fn accept<B>(
        self,
        mut answer: Response<B>,
        lease: Lease,
        idle: Duration,
        cookies: &[String],
        lasting: Option<Lasting>,
    ) -> Option<Response<Body>> {
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS
            || !names(answer.headers(), &header::UPGRADE, "websocket")
        {
            return None;
        }
        let target = hyper::upgrade::on(&mut answer);
        let (mut head, _) = answer.into_parts();
        crate::headers::strip_hop_by_hop(&mut head.headers);
        // Browsers take cookies from this answer too.
        crate::headers::strip_response(&mut head.headers, cookies);
        if self.http2 {
            head.status = StatusCode::OK;
            head.headers.remove(SEC_WEBSOCKET_ACCEPT);
        } else {
            Self::ask(&mut head.headers);
        }
        head.version = http::Version::default();
        let (client, in_use) = (self.client, self.in_use);
        tokio::spawn(async move {
            if let Err(error) = copy(client, target, idle, lasting).await {
                tracing::debug!(%error, "WebSocket ended");
            }
            drop((lease, in_use));
        });
        Some(Response::from_parts(head, Body::empty()))
    }
}

/// Whether an HTTP/1.1 request is a WebSocket's opening handshake: a GET (RFC 6455 section 4.1), and without content, since
/// a body would come before the new protocol (RFC 9110 section 7.8). Of any other the wish is ignored, and it is forwarded
/// whole.
fn opens_handshake<B: http_body::Body>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.method() == Method::GET
        && request.body().is_end_stream()
        && headers
            .get(header::CONTENT_LENGTH)
            .is_none_or(|length| length == "0")
        && !headers.contains_key(header::TRANSFER_ENCODING)
        && asks_for_websocket(headers)
}

/// Whether an HTTP/1.1 request asks to be upgraded to the WebSocket protocol.
fn asks_for_websocket(headers: &HeaderMap) -> bool {
    names(headers, &header::UPGRADE, "websocket") && names(headers, &header::CONNECTION, "upgrade")
}

/// Whether a list-valued header has a member, in any case.
fn names(headers: &HeaderMap, name: &HeaderName, member: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(member))
}

async fn copy(
    client: OnUpgrade,
    target: OnUpgrade,
    idle: Duration,
    lasting: Option<Lasting>,
) -> io::Result<()> {
    let (client, target) = tokio::try_join!(client, target).map_err(io::Error::other)?;
    let moved = Arc::new(AtomicBool::new(false));
    let watched = |stream| Watched {
        stream,
        moved: Arc::clone(&moved),
    };
    let mut client = watched(countersign_web::transport::upgraded(client));
    let mut target = watched(Box::new(TokioIo::new(target)) as Box<dyn countersign_web::ByteStream>);
    tokio::select! {
        copied = tokio::io::copy_bidirectional_with_sizes(&mut client, &mut target, BUFFER, BUFFER) => {
            copied.map(|_| ())
        }
        () = silence(&moved, idle) => Err(io::ErrorKind::TimedOut.into()),
        () = over(lasting) => Err(io::Error::other("the session has ended")),
    }
}

async fn over(lasting: Option<Lasting>) {
    match lasting {
        Some(lasting) => lasting.over().await,
        None => std::future::pending().await,
    }
}

/// Resolves when nothing has moved for one to two idle time-outs.
async fn silence(moved: &AtomicBool, idle: Duration) {
    loop {
        tokio::time::sleep(idle).await;
        if !moved.swap(false, Ordering::Relaxed) {
            return;
        }
    }
}

/// A stream that tells when something was read from it.
struct Watched {
    stream: Box<dyn countersign_web::ByteStream>,
    moved: Arc<AtomicBool>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.moved.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_websockets_are_asked_for() {
        let asks = |connection: &'static str, upgrade: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONNECTION, HeaderValue::from_static(connection));
            headers.insert(header::UPGRADE, HeaderValue::from_static(upgrade));
            asks_for_websocket(&headers)
        };
        assert!(asks("keep-alive, Upgrade", "WebSocket"));
        assert!(!asks("keep-alive", "websocket"));
        assert!(!asks("upgrade", "h2c"));
        assert!(!asks("upgrade", "websockets"));
    }

    #[test]
    fn no_length_is_left_without_a_body() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("4"));
        Upgrade::ask(&mut headers);
        assert!(!headers.contains_key(header::CONTENT_LENGTH));
        assert!(asks_for_websocket(&headers));
    }

    #[test]
    fn a_handshake_is_a_get_without_content() {
        let opens = |method: Method, more: Option<(HeaderName, &'static str)>, body: &'static str| {
            let mut request = Request::new(Body::from(body));
            *request.method_mut() = method;
            Upgrade::ask(request.headers_mut());
            if let Some((name, value)) = more {
                request
                    .headers_mut()
                    .insert(name, HeaderValue::from_static(value));
            }
            opens_handshake(&request)
        };
        assert!(opens(Method::GET, None, ""));
        assert!(opens(Method::GET, Some((header::CONTENT_LENGTH, "0")), ""));
        assert!(!opens(Method::POST, None, ""));
        assert!(!opens(Method::GET, None, "body"));
        assert!(!opens(Method::GET, Some((header::CONTENT_LENGTH, "4")), ""));
        assert!(!opens(
            Method::GET,
            Some((header::TRANSFER_ENCODING, "chunked")),
            ""
        ));
    }
}
