//! New connections to targets: TCP, TLS, and the HTTP that the target group speaks.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use countersign_web::tls::pem;

use crate::config::{self, ForwardLimits, ProtocolVersion};

use super::pool::Sender;
use super::target::Target;

/// How often an HTTP/2 connection is asked whether it is still there.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(20);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// Not in time.
    #[error("the target did not accept the connection in time")]
    Timeout,
    /// Refused, unreachable, no such name, or no TLS.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Not the HTTP it should speak.
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

/// Makes connections to the targets of one group.
#[derive(Debug)]
pub(super) struct Connector {
    timeout: Duration,
    protocol: ProtocolVersion,
    max_response_header_bytes: usize,
    /// Where targets speak `https`.
    tls: Option<TlsConfig>,
}

struct TlsConfig(TlsConnector);

impl std::fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsConfig")
    }
}

impl Connector {
    pub(super) fn new(group: &config::TargetGroup, limits: &ForwardLimits) -> Result<Self, String> {
        let tls = if group.urls().any(|url| url.scheme() == "https") {
            Some(TlsConfig(client_config(group)?.into()))
        } else {
            None
        };
        Ok(Self {
            timeout: Duration::from_millis(limits.connect_timeout_ms),
            protocol: group.protocol_version,
            max_response_header_bytes: limits.max_response_header_bytes as usize,
            tls,
        })
    }

    pub(super) const fn speaks_http2(&self) -> bool {
        !matches!(self.protocol, ProtocolVersion::Http1)
    }

    /// A new connection, whose other half is driven by a task of its own.
    pub(super) async fn connect(&self, target: &Target) -> Result<Sender, ConnectError> {
        let connecting = async {
            let stream = TcpStream::connect((target.hostname.as_str(), target.port)).await?;
            stream.set_nodelay(true)?;
            match &self.tls {
                None => self.handshake(stream).await,
                Some(TlsConfig(connector)) => {
                    let name = ServerName::try_from(target.hostname.clone())
                        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
                    self.handshake(connector.connect(name, stream).await?).await
                }
            }
        };
        tokio::time::timeout(self.timeout, connecting)
            .await
            .map_err(|_| ConnectError::Timeout)?
    }

    async fn handshake<S>(&self, stream: S) -> Result<Sender, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io = TokioIo::new(stream);
        if self.speaks_http2() {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(HTTP2_PING_EVERY)
                .max_header_list_size(u32::try_from(self.max_response_header_bytes).unwrap_or(u32::MAX))
                .handshake(io)
                .await?;
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "connection to target");
                }
            });
            return Ok(Sender::Http2(sender));
        }
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(self.max_response_header_bytes)
            .handshake(io)
            .await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection to target");
            }
        });
        Ok(Sender::Http1(sender))
    }
}

fn client_config(group: &config::TargetGroup) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let mut config = if !group.verify_certificate {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(
                provider.signature_verification_algorithms,
            )))
            .with_no_client_auth()
    } else if let Some(path) = &group.certificate_authority {
        let mut roots = RootCertStore::empty();
        let text = pem(path).map_err(|error| error.to_string())?;
        let mut none = true;
        for certificate in CertificateDer::pem_slice_iter(&text) {
            none = false;
            let certificate = certificate.map_err(|error| error.to_string())?;
            roots.add(certificate).map_err(|error| error.to_string())?;
        }
        if none {
            return Err("has no certificate in it".to_owned());
        }
        builder.with_root_certificates(roots).with_no_client_auth()
    } else {
        builder
            .with_platform_verifier()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
    };
    config.alpn_protocols = match group.protocol_version {
        ProtocolVersion::Http1 => vec![b"http/1.1".to_vec()],
        ProtocolVersion::Http2 | ProtocolVersion::Grpc => vec![b"h2".to_vec()],
    };
    Ok(Arc::new(config))
}

/// Takes any certificate, as an ALB does; for groups that say so. The handshake itself is still checked.
#[derive(Debug)]
struct Unverified(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
