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
use crate::transport::{Accepted, Transport};

/// How connections of one listener begin. Gives requests the extension [`TlsSession`].
pub struct ListenerTransport {
    tls: Option<Arc<Tls>>,
    trusted: ArcSwap<Trusted>,
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
        }
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
            Some(proxy) if contains(&proxy.trusted_sources, address) => {
                proxy_protocol::read_source(&mut stream).await?.unwrap_or(sender)
            }
            // A stranger's header is read as what it must be there, HTTP or TLS, and refused as that.
            _ => sender,
        };
        let Some(tls) = &self.tls else {
            return Ok(Accepted {
                stream: Box::new(stream),
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
            stream: Box::new(stream),
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
