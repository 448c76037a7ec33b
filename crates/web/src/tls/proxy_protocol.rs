//! PROXY protocol version 2 (`HAProxy`'s `proxy-protocol.txt`): who is at the far end of a TCP load balancer.

use std::io;
use std::net::SocketAddr;

use ppp::v2::{Addresses, Command, Header, PROTOCOL_PREFIX, Protocol};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;

/// Signature, version, family and length (section 2.2).
const FIXED_LENGTH: usize = 16;
/// Longest header. The length field allows 64 KB; addresses take 36 bytes, the rest are extensions.
const MAX_LENGTH: usize = 4_096;

/// Whether the first byte is a header's: CR, with which neither a request nor TLS begins. Nothing is read.
pub(super) async fn begins(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let peeked = stream.peek(&mut first).await?;
    Ok(PROTOCOL_PREFIX.starts_with(&first[..peeked]) && peeked > 0)
}

/// Reads the header that must begin a connection. `None` when the sender speaks for itself (`LOCAL`: a
/// health check).
pub(super) async fn read_source(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let malformed = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let mut header = vec![0; FIXED_LENGTH];
    stream.read_exact(&mut header).await?;
    if !header.starts_with(PROTOCOL_PREFIX) {
        return Err(malformed("no PROXY protocol header from a trusted source"));
    }
    let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if rest > MAX_LENGTH {
        return Err(malformed("PROXY protocol header too long"));
    }
    header.resize(FIXED_LENGTH + rest, 0);
    stream.read_exact(&mut header[FIXED_LENGTH..]).await?;
    let header =
        Header::try_from(header.as_slice()).map_err(|_| malformed("PROXY protocol header malformed"))?;
    match (header.command, header.protocol, header.addresses) {
        (Command::Local, _, _) => Ok(None),
        (_, Protocol::Stream, Addresses::IPv4(a)) => Ok(Some((a.source_address, a.source_port).into())),
        (_, Protocol::Stream, Addresses::IPv6(a)) => Ok(Some((a.source_address, a.source_port).into())),
        _ => Err(malformed("PROXY protocol header of another protocol than TCP")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let mut bytes = PROTOCOL_PREFIX.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(u16::try_from(addresses.len()).expect("short").to_be_bytes());
        bytes.extend(addresses);
        bytes
    }

    #[tokio::test]
    async fn the_source_is_read_and_nothing_behind_it() {
        let mut bytes = header(1, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 1, 187]);
        bytes.extend(b"GET /");
        let mut stream = bytes.as_slice();
        let source = read_source(&mut stream).await.expect("a header");
        assert_eq!(source, Some("192.0.2.7:8080".parse().expect("an address")));
        assert_eq!(stream, b"GET /");

        let mut six = vec![0x20, 1, 0xd, 0xb8];
        six.extend([0; 11]);
        six.push(1);
        six.extend([0; 16]);
        six.extend([0, 80, 1, 187]);
        let bytes = header(1, 0x21, &six);
        let source = read_source(&mut bytes.as_slice()).await.expect("a header");
        assert_eq!(source, Some("[2001:db8::1]:80".parse().expect("an address")));

        let local = header(0, 0, &[]);
        assert_eq!(read_source(&mut local.as_slice()).await.expect("a header"), None);
    }

    #[tokio::test]
    async fn what_is_no_header_is_an_error() {
        for bytes in [
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n".to_vec(),
            header(1, 0x12, &[192, 0, 2, 7, 10, 0, 0, 1, 0, 1, 0, 2]),
            header(1, 0x31, &[0; 216]),
            header(1, 0x11, &[192, 0, 2, 7]),
            header(2, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 0, 1, 0, 2]),
            header(1, 0x11, &[0; 5_000]),
            PROTOCOL_PREFIX.to_vec(),
            Vec::new(),
        ] {
            let shown = format!("{:?}", &bytes[..bytes.len().min(30)]);
            assert!(read_source(&mut bytes.as_slice()).await.is_err(), "{shown}");
        }
    }
}
