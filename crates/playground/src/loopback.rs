//! Loopback only (design D25).

use std::net::SocketAddr;

use tokio::net::TcpListener;
use url::{Host, Url};

use crate::PlaygroundError;

/// Listens on `address`, which must be a loopback address: 127.0.0.0/8 or `::1`.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, PlaygroundError> {
    if !address.ip().is_loopback() {
        return Err(PlaygroundError::NotLoopback(address.to_string()));
    }
    let io = |source| PlaygroundError::Io {
        place: address.to_string(),
        source,
    };
    TcpListener::bind(address).await.map_err(io)
}

/// Checks an issuer, and returns the `Host` under which browsers address it.
pub(crate) fn issuer_host(issuer: &str) -> Result<String, PlaygroundError> {
    let wrong = || PlaygroundError::Issuer(issuer.to_owned());
    let url = Url::parse(issuer).map_err(|_| wrong())?;
    let loopback = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if !loopback {
        return Err(PlaygroundError::NotLoopback(issuer.to_owned()));
    }
    let origin = url.origin().ascii_serialization();
    if url.scheme() != "http" || issuer != origin {
        return Err(wrong());
    }
    Ok(origin.trim_start_matches("http://").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_loopback_is_served() {
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
            let refused = listen(address.parse().expect("an address")).await;
            assert!(
                matches!(refused, Err(PlaygroundError::NotLoopback(_))),
                "{address}"
            );
        }
        listen("127.0.0.1:0".parse().expect("an address"))
            .await
            .expect("loopback");
    }

    #[test]
    fn issuers() {
        assert_eq!(
            issuer_host("http://127.0.0.1:8403").expect("an issuer"),
            "127.0.0.1:8403"
        );
        assert_eq!(issuer_host("http://[::1]:8403").expect("an issuer"), "[::1]:8403");
        for wrong in [
            "http://127.0.0.1:8403/",
            "http://127.0.0.1:8403/x",
            "https://127.0.0.1:8403",
            "127.0.0.1:8403",
        ] {
            assert!(issuer_host(wrong).is_err(), "{wrong}");
        }
        assert!(matches!(
            issuer_host("http://example.com"),
            Err(PlaygroundError::NotLoopback(_))
        ));
    }
}
