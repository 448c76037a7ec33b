//! Everything between TCP and HTTP on one listener: who may connect without TLS, who is at the far end,
//! and TLS itself.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Extensions;
use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::certificates::ACME_TLS_ALPN;
use super::config::ProxyProtocol;
use super::{Tls, TlsSession, proxy_protocol};
use crate::transport::{Accepted, Socket, Transport};

/// How connections of one listener begin. Gives requests the extension [`TlsSession`].
pub struct ListenerTransport {
    tls: Option<Arc<Tls>>,
    trusted: ArcSwap<Trusted>,
    header_may_be_absent: bool,
}

/// Whose word is taken for what.
struct Trusted {
    proxy_protocol: Option<ProxyProtocol>,
    plaintext_from: Vec<IpNet>,
}

impl fmt::Debug for ListenerTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerTransport")
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl ListenerTransport {
    /// With TLS, everybody may connect; without, only loopback and `plaintext_from`.
    #[must_use]
    pub fn new(
        tls: Option<Arc<Tls>>,
        proxy_protocol: Option<ProxyProtocol>,
        plaintext_from: Vec<IpNet>,
    ) -> Self {
        Self {
            tls,
            trusted: ArcSwap::from_pointee(Trusted {
                proxy_protocol,
                plaintext_from,
            }),
            header_may_be_absent: false,
        }
    }

    /// Serves trusted sources that send no PROXY protocol header too: for a listener which health checks of load balancers
    /// and programs beside them both ask, and where nothing follows from who is at the far end.
    #[must_use]
    pub fn header_may_be_absent(mut self) -> Self {
        self.header_may_be_absent = true;
        self
    }

    /// What ends TLS here; `None` for a plain listener.
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// Trusts others from now on.
    pub fn trust(&self, proxy_protocol: Option<ProxyProtocol>, plaintext_from: Vec<IpNet>) {
        self.trusted.store(Arc::new(Trusted {
            proxy_protocol,
            plaintext_from,
        }));
    }

    async fn open(&self, mut stream: TcpStream, sender: SocketAddr) -> io::Result<Accepted> {
        let address = sender.ip().to_canonical();
        let trusted = self.trusted.load_full();
        if self.tls.is_none() && !address.is_loopback() && !contains(&trusted.plaintext_from, address) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "plain HTTP from an address outside plaintext_from",
            ));
        }
        let peer = match &trusted.proxy_protocol {
            Some(proxy)
                if contains(&proxy.trusted_sources, address)
                    && (!self.header_may_be_absent || proxy_protocol::begins(&stream).await?) =>
            {
                proxy_protocol::read_source(&mut stream).await?.unwrap_or(sender)
            }
            // A stranger's header is read as what it must be there, HTTP or TLS, and refused as that.
            _ => sender,
        };
        let Some(tls) = &self.tls else {
            return Ok(Accepted {
                stream: Socket::Plain(stream),
                peer,
                extensions: Extensions::new(),
            });
        };
        let (config, mode) = tls.current();
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let (_, connection) = stream.get_ref();
        if connection.alpn_protocol() == Some(ACME_TLS_ALPN) {
            // The handshake was the answer (RFC 8737 section 3).
            return Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "end of an ACME validation",
            ));
        }
        let mut extensions = Extensions::new();
        extensions.insert(TlsSession::of(connection, mode));
        Ok(Accepted {
            stream: Socket::Other(Box::new(stream)),
            peer,
            extensions,
        })
    }
}

impl Transport for ListenerTransport {
    fn accept<'a>(
        &'a self,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = io::Result<Accepted>> + Send + 'a>> {
        Box::pin(self.open(stream, peer))
    }
}

fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// What a connection with these bytes is taken for: the far end, and what is left for HTTP.
    async fn taken(transport: &ListenerTransport, bytes: &[u8]) -> io::Result<(SocketAddr, Vec<u8>)> {
        let listener = TcpListener::bind("localhost:0").await?;
        let mut client = TcpStream::connect(listener.local_addr()?).await?;
        client.write_all(bytes).await?;
        client.shutdown().await?;
        let (stream, sender) = listener.accept().await?;
        let mut accepted = transport.open(stream, sender).await?;
        let mut rest = Vec::new();
        accepted.stream.read_to_end(&mut rest).await?;
        Ok((accepted.peer, rest))
    }

    #[tokio::test]
    async fn a_header_that_may_be_absent_is_read_where_it_is() {
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";
        let from = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x1f\x90\x01\xbb";
        let request = b"GET /readyz HTTP/1.1\r\n\r\n";
        let proxy = |trusted: &str| {
            Some(ProxyProtocol {
                trusted_sources: vec![trusted.parse().expect("a network")],
            })
        };
        let optional = ListenerTransport::new(None, proxy("127.0.0.0/8"), vec![]).header_may_be_absent();
        for header in [&b""[..], local] {
            let (peer, rest) = taken(&optional, &[header, request].concat())
                .await
                .expect("taken");
            assert!(peer.ip().is_loopback(), "{peer}");
            assert_eq!(rest, request);
        }
        let (peer, rest) = taken(&optional, &[&from[..], request].concat())
            .await
            .expect("taken");
        assert_eq!(
            (peer.to_string().as_str(), &rest[..]),
            ("192.0.2.7:8080", &request[..])
        );
        assert!(taken(&optional, b"\r\nGET / HTTP/1.1\r\n\r\n").await.is_err());
        assert!(taken(&optional, b"").await.is_ok(), "a check by TCP alone");

        let strict = ListenerTransport::new(None, proxy("127.0.0.0/8"), vec![]);
        assert!(taken(&strict, request).await.is_err());
        // HTTP refuses what a stranger's header begins with.
        let other = ListenerTransport::new(None, proxy("192.0.2.0/24"), vec![]).header_may_be_absent();
        let (peer, rest) = taken(&other, &[&from[..], request].concat())
            .await
            .expect("taken");
        assert!(peer.ip().is_loopback() && rest.starts_with(from), "{peer}");
    }
}
