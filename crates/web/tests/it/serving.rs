use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request};
use axum::http::StatusCode;
use axum::routing::get;
use countersign_web::{Peer, ServeOptions, bind_localhost, transport};
use futures_util::stream::{self, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::{Server, rest, status};

/// `pieces` of text, one every 50 ms.
fn slow(pieces: usize) -> Body {
    Body::from_stream(stream::iter(0..pieces).then(async |piece| {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok::<_, Infallible>(Bytes::from(format!("piece{piece};")))
    }))
}

fn router() -> Router {
    Router::new()
        .route(
            "/peer",
            get(async |Extension(Peer(peer)): Extension<Peer>| peer.ip().to_string()),
        )
        .route("/slow", get(async || slow(10)))
        .route("/endless", get(async || slow(usize::MAX)))
}

const SLOW: &str = "GET /slow HTTP/1.1\r\nhost: a\r\n\r\n";

#[tokio::test]
async fn a_request_knows_its_peer() {
    let server = Server::start(router(), ServeOptions::default()).await;
    let answer = server.get("/peer").await;
    assert!(answer.ends_with("127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn http2_is_served_on_the_same_port() {
    let server = Server::start(router(), ServeOptions::default()).await;
    let mut stream = server.connect().await;
    // Preface and an empty SETTINGS frame, in two parts: the server has to wait for the second.
    stream.write_all(b"PRI * HTTP/2.0\r\n").await.expect("sent");
    tokio::time::sleep(Duration::from_millis(30)).await;
    stream
        .write_all(b"\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .expect("sent");
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.expect("a frame");
    assert_eq!(frame[3], 4, "the server's SETTINGS");
}

#[tokio::test]
async fn a_drain_finishes_streams_and_takes_nothing_new() {
    let server = Server::start(router(), ServeOptions::default()).await;
    let mut idle = server.connect().await;
    let mut busy = server.connect().await;
    busy.write_all(SLOW.as_bytes()).await.expect("sent");
    let mut first = [0; 16];
    busy.read_exact(&mut first).await.expect("under way");
    server.signal.drain();
    let answer = rest(&mut busy).await;
    assert!(answer.contains("piece9;"), "{answer}");
    assert_eq!(rest(&mut idle).await, "");
    server.done.await.expect("no panic").expect("served");
    TcpStream::connect(server.address)
        .await
        .expect_err("no longer listening");
}

#[tokio::test]
async fn a_drain_has_an_end() {
    let options = ServeOptions {
        drain_timeout: Duration::from_millis(200),
        ..ServeOptions::default()
    };
    let server = Server::start(router(), options).await;
    let mut busy = server.connect().await;
    busy.write_all(SLOW.replace("slow", "endless").as_bytes())
        .await
        .expect("sent");
    let mut first = [0; 16];
    busy.read_exact(&mut first).await.expect("under way");
    server.signal.drain();
    tokio::time::timeout(Duration::from_secs(3), server.done)
        .await
        .expect("in time")
        .expect("no panic")
        .expect("served");
    rest(&mut busy).await;
}

#[tokio::test]
async fn slow_heads_and_silence_are_cut() {
    let options = ServeOptions {
        header_read_timeout: Duration::from_millis(200),
        ..ServeOptions::default()
    };
    let server = Server::start(router(), options).await;
    for beginning in ["", "P", "PRI * HT", "GET /slow HTTP/1.1\r\nhost:"] {
        let mut stream = server.connect().await;
        stream.write_all(beginning.as_bytes()).await.expect("sent");
        let answer = rest(&mut stream).await;
        assert!(!answer.contains("200"), "{beginning:?}: {answer}");
    }
}

/// Fails the test that does not see it dropped.
struct Gone(Option<oneshot::Sender<()>>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.take().map(|gone| gone.send(()));
    }
}

/// A server with an answer that never ends, beside others, and what resolves when the first one is dropped.
pub(crate) async fn endless(beside: Router) -> (Server, oneshot::Receiver<()>) {
    let options = ServeOptions {
        header_read_timeout: Duration::from_millis(500),
        ..ServeOptions::default()
    };
    let (gone, answer_is_gone) = oneshot::channel();
    let held = Arc::new(Mutex::new(Some(Gone(Some(gone)))));
    let large = move || {
        let held = held.lock().expect("no panic").take();
        let piece = move || {
            let _held = &held;
            Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 16 * 1024]))
        };
        std::future::ready(Body::from_stream(stream::repeat_with(piece)))
    };
    let router = beside.route("/large", get(large));
    (Server::start(router, options).await, answer_is_gone)
}

#[tokio::test]
async fn a_client_that_reads_nothing_holds_no_answer() {
    let (server, answer_is_gone) = endless(Router::new()).await;
    let mut slow = server.connect().await;
    slow.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .expect("sent");
    // As long as it reads, however slowly, it is served.
    let mut piece = vec![0; 1 << 20];
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        slow.read_exact(&mut piece).await.expect("more of it");
    }
    tokio::time::timeout(Duration::from_secs(5), answer_is_gone)
        .await
        .expect("its time is over")
        .expect("dropped");
}

#[tokio::test]
async fn large_heads_are_refused() {
    let server = Server::start(router(), ServeOptions::default()).await;
    let header = format!("x: {}\r\n", "x".repeat(15 * 1024));
    let many = header.repeat(5);
    let long = format!("x: {}\r\n", "x".repeat(17 * 1024));
    let target = format!("/{}", "x".repeat(17 * 1024));
    for (target, headers, expected) in [
        ("/peer", many.as_str(), 431),
        ("/peer", long.as_str(), 400),
        (target.as_str(), "", 400),
    ] {
        let answer = server
            .exchange(&format!("GET {target} HTTP/1.1\r\nhost: a\r\n{headers}\r\n"))
            .await;
        // The refusal may be lost to the reset of the connection; a served request may not happen.
        assert!(answer.is_empty() || status(&answer) == expected, "{answer}");
    }
}

#[tokio::test]
async fn g12_ambiguous_framing_is_refused_after_what_came_before_it() {
    let server = Server::start(router(), ServeOptions::default()).await;
    let good = "GET /peer HTTP/1.1\r\nhost: a\r\n\r\n";
    for bad in [
        "POST /peer HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /peer HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
        "POST /peer HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\ncontent-length: 0\r\n\r\n",
        "POST /peer HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "POST /peer HTTP/1.1\r\nhost: a\r\ntransfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "POST /peer HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked\r\n\r\n0\r\n\r\n",
        "GET /peer HTTP/1.1\r\nhost: a\r\nx: a\r\n b: c\r\n\r\n",
        "GET /peer HTTP/1.1\nhost: a\n\n",
        "GET /peer HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET /peer\r\nhost: a\r\n\r\n",
        "GET  /peer HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /pe\0er HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let alone = server.exchange(&format!("{bad}{good}")).await;
        assert_eq!(status(&alone), 400, "{bad:?}");
        assert_eq!(
            alone.matches("HTTP/1.1 ").count(),
            1,
            "nothing behind it is answered: {bad:?}"
        );
        let behind = server.exchange(&format!("{good}{bad}{good}")).await;
        assert_eq!(status(&behind), 200, "{bad:?}");
        assert_eq!(behind.matches("HTTP/1.1 ").count(), 2, "{bad:?}: {behind}");
        assert!(behind.contains("HTTP/1.1 400"), "{bad:?}: {behind}");
    }
}

#[tokio::test]
async fn each_worker_listens_on_the_same_port() {
    let workers = countersign_web::Workers::start("test", std::num::NonZeroUsize::new(2)).expect("threads");
    let sockets = workers
        .bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .expect("a free port");
    let address = sockets[0].local_addr().expect("bound");
    let (signal, drain) = countersign_web::Drain::new();
    let serving: Vec<_> = workers
        .runtimes()
        .zip(sockets)
        .map(|(runtime, socket)| {
            let drain = drain.clone();
            runtime.spawn(async move {
                let listener = tokio::net::TcpListener::from_std(socket)?;
                countersign_web::serve(vec![listener], router(), drain, ServeOptions::default()).await
            })
        })
        .collect();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address).await.expect("listening");
        stream
            .write_all(b"GET /peer HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .expect("sent");
        assert_eq!(status(&rest(&mut stream).await), 200);
    }
    let taken = workers.bind(address).await.expect_err("a second copy of us");
    assert!(taken.to_string().contains("already in use"), "{taken}");
    signal.drain();
    for served in serving {
        served.await.expect("no panic").expect("served");
    }
    tokio::task::spawn_blocking(|| drop(workers))
        .await
        .expect("threads end");
}

#[tokio::test]
async fn connections_over_the_cap_wait() {
    let options = ServeOptions {
        max_connections: 1,
        ..ServeOptions::default()
    };
    let server = Server::start(router(), options).await;
    let mut first = server.connect().await;
    first.write_all(SLOW.as_bytes()).await.expect("sent");
    let mut piece = [0; 16];
    first.read_exact(&mut piece).await.expect("under way");
    let waiting = server.get("/peer");
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "served beside the first");
    drop(first);
    assert_eq!(status(&waiting.await), 200);
}

/// Its socket lives on when HTTP has let go of it (RFC 9110 section 7.8).
#[tokio::test]
async fn an_upgraded_connection_counts_until_it_is_closed() {
    let echo = async |mut request: Request| {
        let client = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut client = transport::upgraded(client.await.expect("upgraded"));
            let mut byte = [0];
            while client.read_exact(&mut byte).await.is_ok() {
                client.write_all(&byte).await.expect("sent");
            }
        });
        (
            StatusCode::SWITCHING_PROTOCOLS,
            [("connection", "upgrade"), ("upgrade", "echo")],
        )
    };
    let options = ServeOptions {
        max_connections: 1,
        ..ServeOptions::default()
    };
    let server = Server::start(router().route("/echo", get(echo)), options).await;
    let mut first = server.connect().await;
    first
        .write_all(b"GET /echo HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n!")
        .await
        .expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n!") {
        answer.push(first.read_u8().await.expect("upgraded, and echoed"));
    }
    let waiting = server.get("/peer");
    tokio::pin!(waiting);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "served beside the first");
    first.write_all(b"?").await.expect("sent");
    assert_eq!(first.read_u8().await.expect("echoed"), b'?');
    drop(first);
    assert_eq!(status(&waiting.await), 200);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let listeners = bind_localhost(0).await.expect("free ports");
    let port = listeners[0].local_addr().expect("bound").port();
    assert!(
        listeners
            .iter()
            .all(|listener| listener.local_addr().expect("bound").port() == port)
    );
    let error = bind_localhost(port).await.expect_err("taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(
        error
            .to_string()
            .contains(&format!("port {port} is already in use on 127.0.0.1")),
        "{error}"
    );
}
