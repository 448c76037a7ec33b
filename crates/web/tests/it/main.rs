//! Listeners over real sockets: what a client can do to them, and what they answer.

mod alb;
mod edge;
mod http2;
mod page;
mod person;
mod serving;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use countersign_crypto::testing::{ManualClock, SeededRandom};
use countersign_crypto::{SharedClock, Timestamp};
use countersign_web::{Drain, DrainSignal, Edge, ErrorFormat, HostAllowList, ServeOptions, bind, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// A listener on a free port.
struct Server {
    address: SocketAddr,
    signal: DrainSignal,
    done: JoinHandle<std::io::Result<()>>,
}

impl Server {
    async fn start(router: Router, options: ServeOptions) -> Self {
        let listener = bind::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (signal, drain) = Drain::new();
        let done = tokio::spawn(serve(vec![listener], router, drain, options));
        Self {
            address,
            signal,
            done,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("listening")
    }

    /// Sends bytes and reads until the server closes.
    async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        // The server may refuse and close before it has read everything.
        stream.write_all(request.as_bytes()).await.ok();
        rest(&mut stream).await
    }

    async fn get(&self, path: &str) -> String {
        self.exchange(&format!(
            "GET {path} HTTP/1.1\r\nhost: test.example\r\nconnection: close\r\n\r\n"
        ))
        .await
    }
}

/// What still comes until the end; a reset counts as the end.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = async {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..length]);
        }
    };
    tokio::time::timeout(Duration::from_secs(10), read)
        .await
        .expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no status in {answer:?}"))
}

fn clock() -> (Arc<ManualClock>, SharedClock) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    (Arc::clone(&clock), clock)
}

fn edge(errors: ErrorFormat) -> Edge {
    Edge {
        listener: "test",
        traced: true,
        errors,
        hosts: HostAllowList::new(["test.example", "Test.example:8400"]),
        max_body_bytes: 1024,
        clock: clock().1,
        random: Arc::new(SeededRandom::new(1)),
    }
}

/// What `run` logs at level INFO and above. The runtime of a test has one thread, so this sees spawned
/// tasks too.
async fn captured_log(run: impl Future<Output = ()>) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    // Somebody always listens: a log line that another test reaches first, in a thread without a subscriber, may
    // otherwise be remembered as one that nobody wants.
    let everywhere = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
    let _ = tracing::subscriber::set_global_default(everywhere);
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    run.await;
    drop(guard);
    let bytes = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    String::from_utf8(bytes).expect("UTF-8")
}
