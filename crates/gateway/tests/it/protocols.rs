//! HTTP/2, gRPC, WebSocket, trailers and interim answers, with clients and targets that other people wrote.

use std::time::Duration;

use countersign_gateway::config::{ProtocolVersion, TargetGroup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::System;
use crate::support::frames::{self, END_HEADERS, END_STREAM, HEADERS, frame};
use crate::support::program::{Nginx, Python, exchange, forward_to, group, in_front_of, run};

/// By the first segment of the path to targets in HTTP/1.1 and in HTTP/2.
const BY_VERSION: &str = r#"rules = [
    { priority = 1, conditions = { path_pattern = ["/1/*"] }, actions = [{ type = "forward", target_group = "one" }] },
    { priority = 2, conditions = { path_pattern = ["/2/*"] }, actions = [{ type = "forward", target_group = "two" }] },
]"#;

fn http2(ports: &[u16], protocol_version: ProtocolVersion) -> TargetGroup {
    TargetGroup {
        protocol_version,
        ..group(ports)
    }
}

/// nginx behind a gateway: in HTTP/1.1 below `/1/`, in HTTP/2 below `/2/`.
async fn nginx(locations: &str) -> (Nginx, crate::support::System, u16) {
    let nginx = Nginx::start(locations).await;
    let groups = vec![
        ("one", group(&[nginx.http1])),
        ("two", http2(&[nginx.http2], ProtocolVersion::Http2)),
    ];
    let (system, port) = in_front_of(groups, BY_VERSION).await;
    (nginx, system, port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2load_finds_no_fault_in_either_version_on_either_side() {
    let (nginx, _system, port) = nginx("location / { return 200 'from nginx $server_protocol'; }").await;
    let upload = nginx.directory.path().join("upload");
    std::fs::write(&upload, "x".repeat(20_000)).expect("a file");
    let upload = upload.display().to_string();
    let url = |target: &str| format!("http://127.0.0.1:{port}/{target}/x");
    for (target, flags) in [
        ("1", vec!["-m", "10"]),
        ("2", vec!["-m", "10"]),
        ("1", vec!["--h1"]),
        ("1", vec!["-m", "10", "-d", &upload]),
        ("2", vec!["-m", "10", "-d", &upload]),
    ] {
        let url = url(target);
        let fixed = ["-n", "1000", "-c", "10", "-H", ":authority: localhost", &url];
        let arguments: Vec<&str> = flags.into_iter().chain(fixed).collect();
        let report = run("h2load", &arguments).await;
        assert!(
            report.contains("1000 succeeded, 0 failed, 0 errored, 0 timeout")
                && report.contains("1000 2xx, 0 3xx, 0 4xx, 0 5xx"),
            "{arguments:?}: {report}"
        );
    }
    // What HTTP/1.1 asked for, HTTP/2 targets do not get: an ALB's 464.
    let answer = crate::support::program::get(port, "/2/x").await;
    assert!(answer.starts_with("HTTP/1.1 464"), "{answer}");
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let locations =
        "location / { root @DIRECTORY@; add_trailer X-Checksum abc; add_trailer X-Amzn-Oidc-Data spoofed; }";
    let (nginx, _system, port) = nginx(locations).await;
    for directory in ["1", "2"] {
        let directory = nginx.directory.path().join(directory);
        std::fs::create_dir(&directory).expect("a directory");
        std::fs::write(directory.join("file"), "content").expect("a file");
        let url = format!(
            "http://127.0.0.1:{port}/{}/file",
            directory.file_name().expect("a name").display()
        );
        let shown = run("nghttp", &["-v", "-H", ":authority: localhost", &url]).await;
        let body = shown
            .find("content\n")
            .or_else(|| shown.find("content["))
            .unwrap_or(0);
        assert!(body > 0 && shown[body..].contains("x-checksum: abc"), "{shown}");
        assert!(
            !shown.contains("spoofed"),
            "trailers say nothing of ours: {shown}"
        );
    }
    let (_system, port) = in_front_of(vec![], &forward_to("agent")).await;
    let url = format!("http://127.0.0.1:{port}/");
    let upload = nginx.directory.path().join("1/file").display().to_string();
    let flags = [
        "-H",
        ":authority: localhost",
        "--trailer",
        "x-checksum: abc",
        "-d",
        &upload,
        &url,
    ];
    let shown = run("nghttp", &flags).await;
    assert!(
        shown.contains(r#""trailers":1"#) && shown.contains(r#""body":"content""#),
        "{shown}"
    );
    // Where no trailers were sent the target gets none.
    let answer = exchange(
        port,
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
    )
    .await;
    assert!(answer.contains(r#""trailers":null"#), "{answer}");
}

#[tokio::test]
async fn answers_to_head_have_no_content_in_either_version() {
    let rules = r#"rules = [
        { priority = 1, conditions = { path_pattern = ["/fixed"] }, actions = [{ type = "fixed-response", status_code = 200, message_body = "content" }] },
        { priority = 2, conditions = { path_pattern = ["/agent"] }, actions = [{ type = "forward", target_group = "agent" }] },
    ]"#;
    let (_system, port) = in_front_of(vec![], rules).await;
    // The answers of a rule, of a refusal, of the edge, of a path of the gateway's own, and of a target.
    for (authority, path, status) in [
        ("localhost", "/fixed", 200),
        ("localhost", "/nowhere", 404),
        ("other.example", "/fixed", 421),
        ("localhost", "/oauth2/idpresponse", 404),
        ("localhost", "/agent", 200),
    ] {
        let url = format!("http://127.0.0.1:{port}{path}");
        // By hand, since nghttp does not show what it does not accept.
        let asks = frames::fields(&[
            (":method", b"HEAD"),
            (":scheme", b"http"),
            (":path", path.as_bytes()),
            (":authority", authority.as_bytes()),
        ]);
        let mut stream = frames::connect(port).await;
        let asks = frame(HEADERS, END_HEADERS | END_STREAM, 1, &asks);
        stream.write_all(&asks).await.expect("sent");
        let (answers, _) = frames::all(&mut stream, Duration::from_millis(300)).await;
        let of_stream = answers.iter().filter(|(_, stream, _)| *stream == 1);
        let kinds: Vec<u8> = of_stream.map(|(kind, ..)| *kind).collect();
        assert_eq!(kinds, [HEADERS], "{path}: {answers:?}");
        let authority = format!(":authority: {authority}");
        let asked = async |method: &str| run("nghttp", &["-v", "-H", &authority, "-H", method, &url]).await;
        let length = |shown: &str| {
            let after = shown.split("content-length: ").nth(1);
            after.and_then(|after| after.lines().next()?.parse::<u64>().ok())
        };
        let got = asked(":method: GET").await;
        let head = asked(":method: HEAD").await;
        assert!(head.contains(&format!(":status: {status}")), "{path}: {head}");
        assert!(length(&got).is_some_and(|length| length > 0), "{path}: {got}");
        if path != "/agent" {
            assert_eq!(length(&got), length(&head), "{path}: {head}");
        }
    }
    let answer = exchange(
        port,
        "HEAD /fixed HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(
        answer.contains("content-length: 7\r\n") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_passes_with_its_trailers() {
    let (_target, target) = Python::server("grpc_programs.py").await;
    for version in [ProtocolVersion::Grpc, ProtocolVersion::Http2] {
        let groups = vec![("grpc", http2(&[target], version))];
        let (_system, port) = in_front_of(groups, &forward_to("grpc")).await;
        Python::start("grpc_programs.py", &["client", &port.to_string()])
            .ends_well()
            .await;
    }
    // To a group of HTTP/1.1 it is an ALB's 464.
    let (_system, port) = in_front_of(vec![], &forward_to("agent")).await;
    let url = format!("http://127.0.0.1:{port}/test.Echo/Unary");
    let flags = [
        "-v",
        "-H",
        ":authority: localhost",
        "-H",
        "content-type: application/grpc",
        &url,
    ];
    let shown = run("nghttp", &flags).await;
    assert!(shown.contains(":status: 464"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_pass_in_http1_and_in_http2() {
    let (_target, target) = Python::server("websocket_programs.py").await;
    let listener = format!(
        "listen = 'localhost:0'\norigin = 'http://localhost'\n{}",
        forward_to("chat")
    );
    let listener = toml::from_str(&listener).expect("a listener");
    let mut system = Box::pin(System::start_with(move |config| {
        config.target_groups.insert("chat".to_owned(), group(&[target]));
        config.listeners.additional.insert("plain".to_owned(), listener);
        // A connection on which a WebSocket is open is not idle.
        config.client.idle_timeout_seconds = 1;
    }))
    .await;
    let port = system.serve_listener("plain").await;
    for mode in ["client", "http2"] {
        Python::start("websocket_programs.py", &[mode, &port.to_string()])
            .ends_well()
            .await;
    }
    // No other protocol, and no tunnel.
    let upgrade = |protocol: &str| {
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade, close\r\nUpgrade: {protocol}\r\n\r\n"
        )
    };
    for protocol in ["h2c", "foo"] {
        let answer = exchange(port, upgrade(protocol)).await;
        assert!(!answer.contains("101 Switching"), "{protocol}: {answer}");
    }
    let answer = exchange(
        port,
        "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n",
    )
    .await;
    assert!(!answer.contains(" 200 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_waits_to_continue_is_told_to_once_there_is_a_target() {
    let nothing = crate::support::program::free_port();
    let groups = vec![("gone", group(&[nothing]))];
    let rules = r#"rules = [{ priority = 1, conditions = { path_pattern = ["/gone"] }, actions = [{ type = "forward", target_group = "gone" }] }]
        default_actions = [{ type = "forward", target_group = "agent" }]"#;
    let (_system, port) = in_front_of(groups, rules).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("upload");
    std::fs::write(&file, "x".repeat(50_000)).expect("a file");
    let data = format!("@{}", file.display());
    let url = format!("http://127.0.0.1:{port}/here");
    let flags = [
        "-sv",
        "-H",
        "Host: localhost",
        "-H",
        "Expect: 100-continue",
        "--data-binary",
        &data,
    ];
    let shown = run("curl", &[&flags[..], &[&url]].concat()).await;
    assert!(
        shown.contains("< HTTP/1.1 100 Continue") && shown.contains("< HTTP/1.1 200 OK"),
        "{shown}"
    );
    assert!(
        !shown.contains(r#""expect""#),
        "the gateway has done that: {shown}"
    );
    // Nobody is asked for a body that would go nowhere.
    for (path, length, status) in [("/gone", 5, 502), ("/here", 90_000_000, 413)] {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        );
        let answer = exchange(port, head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
}

/// A target that says these bytes to every connection once it has read a request.
async fn says(bytes: &'static str) -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = socket.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(bytes.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test]
async fn interim_answers_of_targets_change_nothing() {
    let target = says(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLink: </style.css>; rel=preload\r\n\r\nok",
    )
    .await;
    let (_system, port) = in_front_of(vec![("hints", group(&[target]))], &forward_to("hints")).await;
    for _ in 0..3 {
        let answer = crate::support::program::get(port, "/").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("link: </style.css>; rel=preload\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }
}

#[tokio::test]
async fn answers_of_targets_that_are_no_http_are_502() {
    for bytes in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nhello",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: \0\r\n\r\n",
    ] {
        let target = says(bytes).await;
        let (_system, port) = in_front_of(vec![("odd", group(&[target]))], &forward_to("odd")).await;
        let answer = crate::support::program::get(port, "/").await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{bytes:?}: {answer}");
    }
    // Without a length the body ends with the connection; cut before its length it is not a whole one.
    let target = says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nshort").await;
    let (_system, port) = in_front_of(vec![("cut", group(&[target]))], &forward_to("cut")).await;
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("a connection");
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .expect("sent");
    let mut answer = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        ended.is_ok() && answer.contains("content-length: 10") && answer.ends_with("short"),
        "{answer}"
    );
}
