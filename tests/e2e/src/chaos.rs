//! A TCP proxy that does to HTTP requests what networks and servers do: it delays, drops before and after the server
//! has acted, and answers 500. Requests of one path are harmed, all others pass. One request a connection.

use std::{
    net::TcpListener as StdListener,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives after the first delay, and its answer after the second.
    Arrives(Duration, Duration),
    /// It arrives, the server acts, and the connection is dropped.
    AnswerLost,
    /// The connection is dropped before the server hears of it.
    RequestLost,
    /// Status 500 in the server's place.
    ErrorInstead,
    /// The server acts, and its answer is replaced by status 500.
    ErrorAfter,
}

/// Nothing happens to it.
pub const CALM: Fate = Fate::Arrives(Duration::ZERO, Duration::ZERO);

/// Decides about the next request.
type Decide = Box<dyn Fn(u64) -> Fate + Send>;

/// A running proxy; ends with the process.
pub struct Chaos {
    decide: Arc<Mutex<Decide>>,
    harmed: Arc<AtomicU64>,
}

impl Chaos {
    /// Listens on loopback `port` before the server on `upstream`; POST requests of `path` are harmed as told.
    #[must_use]
    pub fn start(port: u16, upstream: u16, path: &'static str) -> Self {
        let listener = StdListener::bind(("127.0.0.1", port)).expect("the port is free");
        listener.set_nonblocking(true).expect("a socket");
        let calm: Decide = Box::new(|_| CALM);
        let proxy = Self {
            decide: Arc::new(Mutex::new(calm)),
            harmed: Arc::default(),
        };
        let (decide, count) = (Arc::clone(&proxy.decide), Arc::clone(&proxy.harmed));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                let line = format!("POST {path} ");
                loop {
                    let Ok((client, _)) = listener.accept().await else {
                        continue;
                    };
                    let (decide, count, line) = (Arc::clone(&decide), Arc::clone(&count), line.clone());
                    tokio::spawn(async move {
                        let fate = |request: &[u8]| {
                            if !request.starts_with(line.as_bytes()) {
                                return CALM;
                            }
                            let number = count.fetch_add(1, Ordering::SeqCst);
                            decide.lock().unwrap_or_else(PoisonError::into_inner)(number)
                        };
                        // A side that breaks off is what this is for.
                        let _ = carry(client, upstream, fate).await;
                    });
                }
            });
        });
        proxy
    }

    /// From now on requests fare as `decide` says of their number.
    pub fn will(&self, decide: impl Fn(u64) -> Fate + Send + 'static) {
        *self.decide.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(decide);
    }

    /// How many requests of the path there were.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.harmed.load(Ordering::SeqCst)
    }
}

/// A number in `0..below` that looks random and is the same for the same arguments.
#[must_use]
pub fn dice(seed: u64, throw: u64, below: u64) -> u64 {
    // SplitMix64.
    let mut z = seed
        .wrapping_add(throw.wrapping_mul(0xa076_1d64_78bd_642f))
        .wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % below
}

async fn carry(mut client: TcpStream, upstream: u16, fate: impl Fn(&[u8]) -> Fate) -> std::io::Result<()> {
    const ERROR: &[u8] =
        b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let request = read_request(&mut client).await?;
    let fate = fate(&request);
    let (before, after) = match fate {
        Fate::RequestLost => return Ok(()),
        Fate::ErrorInstead => return client.write_all(ERROR).await,
        Fate::Arrives(before, after) => (before, after),
        Fate::AnswerLost | Fate::ErrorAfter => (Duration::ZERO, Duration::ZERO),
    };
    if !before.is_zero() {
        // A client that hangs up meanwhile takes its request along.
        let mut byte = [0];
        if let Ok(read) = tokio::time::timeout(before, client.read(&mut byte)).await {
            read?;
            return Ok(());
        }
    }
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).await?;
    server.write_all(&request).await?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).await?;
    tokio::time::sleep(after).await;
    match fate {
        Fate::AnswerLost => Ok(()),
        Fate::ErrorAfter => client.write_all(ERROR).await,
        _ => client.write_all(&answer).await,
    }
}

/// Head and body, with `connection: close` in the place of what the client wants of the connection.
async fn read_request(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        let mut buffer = [0; 4096];
        match client.read(&mut buffer).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .unwrap_or(0);
    while bytes.len() < head + length {
        let mut buffer = [0; 4096];
        match client.read(&mut buffer).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => bytes.extend_from_slice(&buffer[..read]),
        }
    }
    let mut request: Vec<u8> = text
        .trim_end()
        .split("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"))
        .flat_map(|line| [line.as_bytes(), b"\r\n"].concat())
        .collect();
    request.extend_from_slice(b"connection: close\r\n\r\n");
    request.extend_from_slice(&bytes[head..]);
    Ok(request)
}
