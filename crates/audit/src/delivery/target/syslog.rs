//! RFC 5424 messages, by UDP (RFC 5426), TCP with counted octets (RFC 6587 section 3.4.1) or a local socket.
//!
//! Syslog acknowledges nothing: "taken" means that the operating system took it. A connection that the receiver has
//! closed is noticed before the next batch, but not how much it read: what the operating system still held is lost.

use std::fmt::Write as _;
use std::path::PathBuf;

use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};

use super::super::config::SyslogConfig;
use super::{Batch, Line, TargetError};

/// Most bytes of a datagram's message: what IPv4 carries, and Linux' local sockets.
const MAX_DATAGRAM: usize = 65_000;
/// Severity `notice`.
const NOTICE: u16 = 5;

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::delivery) enum Address {
    Udp(String),
    Tcp(String),
    Unix(PathBuf),
}

impl Address {
    pub(in crate::delivery) fn parse(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return (!path.is_empty()).then(|| Self::Unix(PathBuf::from(path)));
        }
        let (scheme, at) = text.split_once("://")?;
        let (host, port) = at.rsplit_once(':')?;
        port.parse::<u16>().ok().filter(|port| *port > 0)?;
        if host.is_empty() || host.contains(['/', '@']) {
            return None;
        }
        match scheme {
            "udp" => Some(Self::Udp(at.to_owned())),
            "tcp" => Some(Self::Tcp(at.to_owned())),
            _ => None,
        }
    }
}

pub(in crate::delivery) struct Syslog {
    address: Address,
    text: String,
    hostname: String,
    priority: u16,
    connection: Option<TcpStream>,
}

impl Syslog {
    pub(super) fn new(config: &SyslogConfig) -> Result<Self, TargetError> {
        let address = Address::parse(&config.address)
            .ok_or_else(|| TargetError::Unusable(format!("{} is no address", config.address)))?;
        Ok(Self {
            address,
            text: config.address.clone(),
            hostname: config.hostname.clone(),
            priority: u16::from(config.facility) * 8 + NOTICE,
            connection: None,
        })
    }

    pub(super) async fn send(&mut self, batch: &Batch) -> Result<(), TargetError> {
        let sent = match &self.address {
            Address::Tcp(at) => {
                let lines = batch.lines.iter();
                let messages: Vec<String> = lines.map(|line| self.message(batch, line, &line.text)).collect();
                stream(&mut self.connection, at, &messages).await
            }
            Address::Udp(at) => udp(at, &self.datagrams(batch)).await,
            Address::Unix(path) => unix(path, &self.datagrams(batch)).await,
        };
        if sent.is_err() {
            self.connection = None;
        }
        sent.map_err(TargetError::io(self.text.as_str()))
    }

    /// Whoever could make a record too large for a datagram must neither hide it nor hold up those after it: its id and
    /// hash are sent instead. A checkpoint is left out, since the next one names its hash.
    fn datagrams(&self, batch: &Batch) -> Vec<String> {
        let mut messages = Vec::with_capacity(batch.lines.len());
        for line in &batch.lines {
            let message = self.message(batch, line, &line.text);
            if message.len() <= MAX_DATAGRAM {
                messages.push(message);
            } else if let Some((id, hash)) = &line.record {
                let (id, hash, bytes) = (id.to_string(), hex::encode(hash), line.text.len());
                let instead = serde_json::json!({ "id": id, "hash": hash, "tooLarge": bytes });
                messages.push(self.message(batch, line, &instead.to_string()));
            } else {
                tracing::warn!("a checkpoint too large for a datagram is left out; use tcp://");
            }
        }
        messages
    }

    /// `<PRI>1 TIME HOST countersign - ACTION [countersign@32473 …] TEXT`. Everything in it but the text is ours.
    fn message(&self, batch: &Batch, line: &Line, text: &str) -> String {
        // MSGID: 1 to 32 printable characters.
        let action: String = line
            .action
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(32)
            .collect();
        format!(
            "<{}>1 {} {} countersign - {} [countersign@32473 role=\"{}\" database=\"{}\" batch=\"{}\" repeated=\"{}\"] {}",
            self.priority,
            line.at.to_rfc3339(),
            self.hostname,
            if action.is_empty() { "-" } else { &action },
            batch.role,
            batch.database,
            batch.id,
            batch.repeated,
            text
        )
    }
}

async fn stream(connection: &mut Option<TcpStream>, at: &str, messages: &[String]) -> std::io::Result<()> {
    let mut open = match connection.take() {
        Some(open) if !closed(&open) => open,
        _ => TcpStream::connect(at).await?,
    };
    let mut frames = String::new();
    for message in messages {
        // Writing to a string cannot fail.
        let _ = write!(frames, "{} {message}", message.len());
    }
    open.write_all(frames.as_bytes()).await?;
    open.flush().await?;
    *connection = Some(open);
    Ok(())
}

/// Whether the receiver has hung up. It never says anything else.
fn closed(connection: &TcpStream) -> bool {
    !matches!(connection.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

async fn udp(at: &str, messages: &[String]) -> std::io::Result<()> {
    let to = tokio::net::lookup_host(at).await?.next();
    let to = to.ok_or_else(|| std::io::Error::other("the name has no address"))?;
    let from = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(from).await?;
    socket.connect(to).await?;
    for message in messages {
        socket.send(message.as_bytes()).await?;
    }
    Ok(())
}

async fn unix(path: &std::path::Path, messages: &[String]) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    for message in messages {
        socket.send(message.as_bytes()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, address) in [
            (
                "udp://log.example:514",
                Some(Address::Udp("log.example:514".to_owned())),
            ),
            ("tcp://[::1]:601", Some(Address::Tcp("[::1]:601".to_owned()))),
            ("unix:/dev/log", Some(Address::Unix("/dev/log".into()))),
            ("tls://log.example:6514", None),
            ("udp://log.example", None),
            ("udp://log.example:0", None),
            ("udp://user@log.example:514", None),
            ("unix:", None),
            ("log.example:514", None),
        ] {
            assert_eq!(Address::parse(text), address, "{text}");
        }
    }
}
