//! Input that no honest client sends: requests that two readers understand differently, floods, and what is
//! too slow or too much. The target is watched: what was refused must not have reached it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use countersign_web::{Drain, bind_localhost};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::frames::{
    self, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, frame,
    request,
};
use crate::support::program::{exchange, forward_to, get, group, in_front_of};
use crate::support::{self, Counters, System};

/// A target that remembers the lines of requests that came whole.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    async fn start() -> (Self, u16) {
        let seen = Self::default();
        let recorder = seen.clone();
        let sockets = bind_localhost(0).await.expect("a free port");
        let port = support::port(&sockets);
        let router = Router::new().fallback(async move |request: Request| {
            let line = format!("{} {}", request.method(), request.uri());
            let body = axum::body::to_bytes(request.into_body(), 1 << 20).await;
            if body.is_ok() {
                recorder.0.lock().expect("no panic").push(line.clone());
            }
            format!("{line} {}", body.map_or(0, |body| body.len()))
        });
        support::spawn(sockets, router, Drain::new().1);
        (seen, port)
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("no panic"))
    }
}

async fn watched() -> (Seen, System, u16) {
    let (seen, target) = Seen::start().await;
    let (system, port) = in_front_of(vec![("watched", group(&[target]))], &forward_to("watched")).await;
    (seen, system, port)
}

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Names and values.
type Fields = &'static [(&'static str, &'static [u8])];

/// Requests whose end, or whose host, two readers could see in two places.
fn ambiguous() -> Vec<String> {
    let post = |headers: &str, body: &str| {
        format!("POST /a HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n{body}{SMUGGLED}")
    };
    vec![
        // CL.TE, TE.CL and TE.TE.
        post(
            "Content-Length: 60\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\n"),
        post(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            "0\r\n\r\n",
        ),
        post(
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
        post("X: a\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("X: a\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("X: a\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post(" Transfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        // CL.CL, and lengths that are none.
        post("Content-Length: 0\r\nContent-Length: 5\r\n", ""),
        post("Content-Length: 0\r\nContent-Length: 0\r\n", ""),
        post("Content-Length: 0, 5\r\n", ""),
        post("Content-Length: +5\r\n", "hello"),
        post("Content-Length: -1\r\n", ""),
        post("Content-Length: 0x5\r\n", "hello"),
        post("Content-Length: 5 5\r\n", "hello"),
        post("Content-Length: 99999999999999999999999\r\n", ""),
        // Chunks that are none.
        post("Transfer-Encoding: chunked\r\n", "0x5\r\nhello\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "5\r\nhelloXX0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "-5\r\nhello\r\n0\r\n\r\n"),
        post(
            "Transfer-Encoding: chunked\r\n",
            "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        ),
        // Two hosts, none, and one that is not this.
        "GET /a HTTP/1.1\r\nHost: localhost\r\nHost: other.example\r\n\r\n".to_owned(),
        "GET /a HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /a HTTP/1.1\r\n\r\n".to_owned(),
        "GET /a HTTP/1.0\r\n\r\n".to_owned(),
        "GET http://other.example/a HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /a HTTP/1.1\r\nHost: localhost, localhost\r\n\r\n".to_owned(),
        "GET /a HTTP/1.1\r\nHost: user@localhost\r\n\r\n".to_owned(),
        // Lines that are none.
        "GET /a HTTP/1.1\nHost: localhost\n\n".to_owned(),
        "GET /a\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET\t/a HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /a HTTP/1.2\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /a HTTP/2.0\r\nHost: localhost\r\n\r\n".to_owned(),
        "G\0T /a HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "GET /a HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n".to_owned(),
        "GET /a HTTP/1.1\r\nHost: localhost\r\nX Y: a\r\n\r\n".to_owned(),
        "GET /a HTTP/1.1\r\nHost: localhost\r\n: a\r\n\r\n".to_owned(),
        "GET * HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(),
        "\0\0\0\0".to_owned(),
        "\x16\x03\x01\x02\x00\x01\x00\x01\x00\x03\x03".to_owned(),
    ]
}

#[tokio::test]
async fn requests_that_can_be_read_in_two_ways_are_counted() {
    let counters = Counters::default();
    let _counting = metrics::set_default_local_recorder(&counters);
    let (_seen, _system, port) = watched().await;
    let twice = "GET / HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n";
    let answer = exchange(port, twice).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(counters.of("countersign_malformed_requests_total"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_what_two_readers_could_understand_differently_reaches_no_target() {
    let (seen, _system, port) = watched().await;
    for bad in ambiguous() {
        // Behind a good one, as in a pipeline; the client has nothing more to say.
        let good = "GET /good HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let mut stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("a connection");
        stream
            .write_all(format!("{good}{bad}").as_bytes())
            .await
            .expect("sent");
        stream.shutdown().await.expect("half closed");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the connection ends: {bad:?}");
        let answer = String::from_utf8_lossy(&answer);
        let statuses: Vec<&str> = answer
            .match_indices("HTTP/1.1 ")
            .filter_map(|(at, _)| answer.get(at + 9..at + 12))
            .collect();
        assert_eq!(statuses.first(), Some(&"200"), "{bad:?}: {answer}");
        let refusals = &statuses[1..];
        assert!(
            refusals.len() <= 1 && refusals.iter().all(|status| ["400", "421"].contains(status)),
            "{bad:?}: {answer}"
        );
        let reached = seen.take();
        assert_eq!(reached.len(), 1, "{bad:?}: {reached:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g12_http2_cannot_say_what_http1_would_read_differently() {
    let (seen, _system, port) = watched().await;
    let cases: [(&str, &str, Fields); 14] = [
        ("POST", "/a", &[("transfer-encoding", b"chunked")]),
        ("POST", "/a", &[("connection", b"keep-alive")]),
        ("POST", "/a", &[("content-length", b"100")]),
        ("POST", "/a", &[("content-length", b"1")]),
        (
            "POST",
            "/a",
            &[("content-length", b"4"), ("content-length", b"5")],
        ),
        ("GET", "/a", &[("x", b"a\r\nTransfer-Encoding: chunked")]),
        ("GET", "/a", &[("x\r\ntransfer-encoding", b"chunked")]),
        ("GET", "/a", &[("x: a\r\ny", b"b")]),
        ("GET", "/a", &[("Upper", b"a")]),
        ("GET", "/a", &[("host", b"other.example")]),
        ("GET", "/a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /smuggled", &[]),
        ("GET /smuggled HTTP/1.1\r\n\r\nGET", "/a", &[]),
        ("GET", "smuggled", &[]),
        ("GET", "/a", &[(":path", b"/smuggled")]),
    ];
    for (method, path, more) in cases {
        let mut stream = frames::connect(port).await;
        let body = if method == "POST" { &b"body"[..] } else { b"" };
        let flags = if body.is_empty() {
            END_HEADERS | END_STREAM
        } else {
            END_HEADERS
        };
        let mut bytes = frame(HEADERS, flags, 1, &request(method, path, more));
        if !body.is_empty() {
            bytes.extend(frame(DATA, END_STREAM, 1, body));
        }
        stream.write_all(&bytes).await.expect("sent");
        let (answers, _) = frames::all(&mut stream, Duration::from_millis(300)).await;
        // The first field of an answer is its status, 0x88 for 200 in the static table.
        let accepted = answers
            .iter()
            .any(|(kind, stream, block)| *kind == HEADERS && *stream == 1 && block.first() == Some(&0x88));
        assert!(!accepted, "{method:?} {path:?} {more:?}: {answers:?}");
        let reached = seen.take();
        assert!(
            reached.iter().all(|line| !line.contains("smuggled")),
            "{method:?} {path:?} {more:?}: {reached:?}"
        );
    }
    // The same by hand, and sound, is answered: what the others miss is not the connection.
    let mut stream = frames::connect(port).await;
    let sound = frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        1,
        &request("GET", "/a", &[("x", b"y")]),
    );
    stream.write_all(&sound).await.expect("sent");
    let (answers, _) = frames::all(&mut stream, Duration::from_millis(500)).await;
    assert!(
        answers
            .iter()
            .any(|(kind, _, block)| *kind == HEADERS && block.first() == Some(&0x88)),
        "{answers:?}"
    );
    assert_eq!(seen.take(), ["GET /a"]);
}

#[tokio::test]
async fn targets_in_absolute_form_and_bytes_that_are_no_text() {
    let (seen, _system, port) = watched().await;
    // RFC 9112 section 3.2.2: "a server MUST accept the absolute-form".
    let absolute = "GET http://localhost/a?b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(exchange(port, absolute).await.starts_with("HTTP/1.1 200"));
    assert_eq!(seen.take(), ["GET /a?b"]);
    let connect = "CONNECT localhost:443 HTTP/1.1\r\nHost: localhost:443\r\n\r\n";
    let answer = exchange(port, connect).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    // Not UTF-8: in a path it is refused or passed on as it is, in a header it is opaque (RFC 9110 section 5.5).
    let mut path = b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_vec();
    let answer = exchange(port, &path).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    path.clear();
    path.extend(b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: \xff\xfe\r\nCookie: \xff=\xfe\r\n\r\n");
    let answer = exchange(port, &path).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let host = b"GET /x HTTP/1.1\r\nHost: local\xffhost\r\nConnection: close\r\n\r\n";
    let answer = exchange(port, host).await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    assert_eq!(seen.take(), ["GET /x"]);
}

#[tokio::test]
async fn bodies_cut_short_are_not_whole_bodies() {
    let (seen, _system, port) = watched().await;
    for (framing, body) in [
        ("Content-Length: 10", "short"),
        ("Transfer-Encoding: chunked", "5\r\nshort\r\n"),
        ("Transfer-Encoding: chunked", "a\r\nshort"),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("a connection");
        let request = format!("POST /cut HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream.shutdown().await.expect("half closed");
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(!answer.contains(" 200 "), "{framing}: {answer}");
        // One that stays silent instead is told so: 408 after the idle time-out of one second.
        let mut stream = TcpStream::connect(("127.0.0.1", port))
            .await
            .expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = vec![0; 12];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 408", "{framing}");
    }
    let mut stream = frames::connect(port).await;
    let cut = [
        frame(HEADERS, END_HEADERS, 1, &request("POST", "/cut", &[])),
        frame(DATA, 0, 1, b"short"),
        frame(RST_STREAM, 0, 1, &8_u32.to_be_bytes()),
    ];
    stream.write_all(&cut.concat()).await.expect("sent");
    let (answers, _) = frames::all(&mut stream, Duration::from_millis(300)).await;
    assert!(
        answers
            .iter()
            .all(|(kind, stream, _)| *kind != HEADERS || *stream != 1),
        "{answers:?}"
    );
    seen.take();
    assert!(get(port, "/still").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_dribble_keep_nobody_waiting_and_are_cut() {
    let (seen, target) = Seen::start().await;
    let mut system = Box::pin(System::start_with(|config| {
        let listener = format!(
            "listen = 'localhost:0'\norigin = 'http://localhost'\n{}",
            forward_to("watched")
        );
        let listener = toml::from_str(&listener).expect("a listener");
        config.listeners.additional.insert("plain".to_owned(), listener);
        config
            .target_groups
            .insert("watched".to_owned(), group(&[target]));
        config.client.idle_timeout_seconds = 2;
    }))
    .await;
    let port = system.serve_listener("plain").await;
    let mut dribblers = Vec::new();
    for number in 0..200 {
        dribblers.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(("127.0.0.1", port))
                .await
                .expect("a connection");
            let beginning = [
                "",
                "GET / HTTP/1.1\r\n",
                "GET / HTTP/1.1\r\nHost: localhost\r\n",
                "PRI * HT",
            ];
            stream
                .write_all(beginning[number % 4].as_bytes())
                .await
                .expect("sent");
            let started = tokio::time::Instant::now();
            // A header every 300 ms, for ever.
            loop {
                tokio::time::sleep(Duration::from_millis(300)).await;
                let mut gone = [0; 256];
                let read = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut gone)).await;
                let over = matches!(read, Ok(Ok(0) | Err(_)));
                if over || stream.write_all(b"X: a\r\n").await.is_err() {
                    return started.elapsed();
                }
                assert!(started.elapsed() < Duration::from_secs(30), "never cut");
            }
        }));
    }
    for _ in 0..20 {
        let answer = tokio::time::timeout(Duration::from_secs(5), get(port, "/quick")).await;
        assert!(answer.expect("answered beside them").starts_with("HTTP/1.1 200"));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for dribbler in dribblers {
        let lasted = dribbler.await.expect("cut");
        assert!(lasted < Duration::from_secs(12), "{lasted:?}");
    }
    assert!(seen.take().iter().all(|line| line == "GET /quick"));
}

#[tokio::test]
async fn heads_that_are_bombs_are_refused() {
    let (seen, _system, port) = watched().await;
    let many = (0..1_000)
        .map(|number| format!("x{number}: y\r\n"))
        .collect::<Vec<_>>()
        .concat();
    let repeated = format!("cookie: {}\r\n", "a".repeat(8_000)).repeat(20);
    let long = format!("x: {}\r\n", "a".repeat(60_000));
    for headers in [many, repeated, long] {
        let answer = exchange(
            port,
            format!("GET /bomb HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"),
        )
        .await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{}: {answer}",
            headers.len()
        );
    }
    // One field in the table and 60,000 bytes of one-byte references to it: 240 MB of header list.
    let mut block = request("GET", "/bomb", &[]);
    block.push(0x40);
    block.extend([1, b'x', 0x7f]);
    // 127 and a varint: 4,000 bytes of value.
    block.extend([0xa1, 0x1e]);
    block.extend(vec![b'a'; 4_000]);
    block.extend(vec![0xbe; 12_000]);
    let mut bytes = frame(HEADERS, END_STREAM, 1, &block);
    for last in [0, 0, END_HEADERS] {
        bytes.extend(frame(CONTINUATION, last, 1, &vec![0xbe; 16_000]));
    }
    let mut stream = frames::connect(port).await;
    let _ = stream.write_all(&bytes).await;
    let (answers, _) = frames::all(&mut stream, Duration::from_secs(1)).await;
    assert!(
        answers
            .iter()
            .all(|(kind, _, block)| *kind != HEADERS || block.first() != Some(&0x88)),
        "{answers:?}"
    );
    assert_eq!(seen.take(), Vec::<String>::new());
}

/// Bytes of memory this process holds.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: u64 = status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("a number");
    pages * 4_096
}

/// Sends a flood until it is cut or over; whether it was cut. Nothing is read meanwhile.
async fn flood(port: u16, unit: &[u8], times: usize) -> bool {
    let mut stream = frames::connect(port).await;
    let batch = unit.repeat(64);
    for _ in 0..times / 64 {
        let written = tokio::time::timeout(Duration::from_millis(500), stream.write_all(&batch)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return true,
            // The other side reads no more: it does not let itself be flooded.
            Err(_) => break,
        }
    }
    let (answers, closed) = frames::all(&mut stream, Duration::from_secs(2)).await;
    closed || answers.iter().any(|(kind, ..)| *kind == GOAWAY)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_take_neither_memory_nor_the_others_turn() {
    let (seen, _system, port) = watched().await;
    assert!(get(port, "/quick").await.starts_with("HTTP/1.1 200"));
    let before = resident();
    let continuation = frame(
        CONTINUATION,
        0,
        1,
        &frames::fields(&[("x", &[b'a'; 100])]).repeat(100),
    );
    let floods = [
        // CVE-2019-9515, CVE-2019-9512, CVE-2019-9518.
        (
            "settings",
            frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]),
            200_000,
            false,
        ),
        ("ping", frame(PING, 0, 0, &[0; 8]), 200_000, false),
        ("empty data", frame(DATA, 0, 1, &[]), 200_000, true),
    ];
    for (name, unit, times, must_be_cut) in floods {
        let flooding = tokio::spawn(async move { flood(port, &unit, times).await });
        for _ in 0..10 {
            let answer = tokio::time::timeout(Duration::from_secs(5), get(port, "/quick")).await;
            assert!(
                answer.expect("answered beside it").starts_with("HTTP/1.1 200"),
                "{name}"
            );
        }
        assert!(flooding.await.expect("no panic") || !must_be_cut, "{name}");
    }
    // CVE-2024-27316: a head without end.
    let mut stream = frames::connect(port).await;
    let head = frame(HEADERS, END_STREAM, 1, &request("GET", "/bomb", &[]));
    stream.write_all(&head).await.expect("sent");
    let mut cut = false;
    for _ in 0..2_000 {
        let written = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&continuation)).await;
        if !matches!(written, Ok(Ok(()))) {
            cut = true;
            break;
        }
    }
    assert!(cut, "20 MB of continuation were taken");
    let grown = resident().saturating_sub(before);
    assert!(grown < 100 << 20, "{} MB", grown >> 20);
    assert!(seen.take().iter().all(|line| line == "GET /quick"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_reset_reaches_targets_a_few_hundred_times_and_no_more() {
    // CVE-2023-44487.
    let (seen, _system, port) = watched().await;
    let block = request("GET", "/reset", &[]);
    let pair = |number: u32| {
        let stream = 2 * number + 1;
        let mut bytes = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block);
        bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        bytes
    };
    let started = tokio::time::Instant::now();
    let mut sent = 0;
    let mut stream = frames::connect(port).await;
    let mut cut = false;
    while sent < 20_000 && !cut {
        let batch: Vec<u8> = (sent..sent + 100).flat_map(pair).collect();
        sent += 100;
        let written = tokio::time::timeout(Duration::from_secs(2), stream.write_all(&batch)).await;
        cut = !matches!(written, Ok(Ok(())));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (answers, closed) = frames::all(&mut stream, Duration::from_secs(5)).await;
    assert!(
        cut || closed || answers.iter().any(|(kind, ..)| *kind == GOAWAY),
        "{sent} resets were taken"
    );
    let reached = seen.take().len();
    assert!(
        reached < 1_000,
        "{reached} requests reached the target in {:?}",
        started.elapsed()
    );
    assert!(get(port, "/quick").await.starts_with("HTTP/1.1 200"));
}
