//! Binding of loopback listeners.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

/// Listens on `port` of 127.0.0.1 and of `::1`, because browsers resolve `localhost` to either. With port 0
/// both get the same free port. A machine without IPv6 gets the first alone.
///
/// The error of a taken port names address and port.
pub async fn bind_localhost(port: u16) -> io::Result<Vec<TcpListener>> {
    // A port that the system gives for one address may be somebody's on the other.
    let mut further = if port == 0 { 10 } else { 0 };
    loop {
        match bind_both(port).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && further > 0 => further -= 1,
            bound => return bound,
        }
    }
}

async fn bind_both(port: u16) -> io::Result<Vec<TcpListener>> {
    let v4 = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let port = v4.local_addr()?.port();
    match bind(SocketAddr::from((Ipv6Addr::LOCALHOST, port))).await {
        Ok(v6) => Ok(vec![v4, v6]),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(error) => {
            tracing::debug!(%error, "no IPv6 loopback; listening on 127.0.0.1 alone");
            Ok(vec![v4])
        }
    }
}

/// Listens on `address`; the error says which address it was about.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let text = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("port {} is already in use on {}", address.port(), address.ip())
            }
            _ => format!("cannot listen on {address}: {error}"),
        };
        io::Error::new(error.kind(), text)
    })
}
