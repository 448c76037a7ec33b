//! SIGTERM drains; SIGHUP reloads, whole or not at all, under load.

use std::{
    convert::Infallible,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use axum::{Router, body::Body, routing::get};
use e2e::{
    oidc_provider::free_port,
    served::{Served, gateway_config},
};
use futures_util::{StreamExt as _, stream};

/// A target of ten events, one every 100 ms, and of short answers.
async fn target() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let events = get(async || {
        Body::from_stream(stream::iter(0..10).then(async |number| {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok::<_, Infallible>(format!("data: {number}\n\n"))
        }))
    });
    let router = Router::new().route("/events", events).fallback(async || "target");
    tokio::spawn(async move { axum::serve(listener, router).await });
    port
}

fn config(port: u16, target: u16, body: &str) -> String {
    gateway_config_on(port)
        + format!(
            "default_actions = [{{ type = 'forward', target_group = 'target' }}]\n\
             [[gateway.listeners.mine.rules]]\npriority = 1\nconditions = {{ path_pattern = ['/version'] }}\n\
             actions = [{{ type = 'fixed-response', status_code = 200, message_body = '{body}' }}]\n\
             [gateway.target_groups.target]\nurl = 'http://127.0.0.1:{target}'\n"
        )
        .as_str()
}

fn gateway_config_on(port: u16) -> String {
    gateway_config()
        + format!("[gateway.listeners.mine]\nlisten = '127.0.0.1:{port}'\norigin = 'http://localhost'\n")
            .as_str()
}

fn get_once(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .expect("settable");
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("a head").1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_answers_finish_and_takes_nothing_new() {
    let (port, target) = (free_port(), target().await);
    let mut served = Served::start("gateway", &config(port, target, "one"));
    let mut streaming = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    write!(streaming, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut idle = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    write!(idle, "GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut beginning = [0; 12];
    idle.read_exact(&mut beginning).expect("an answer");
    streaming.read_exact(&mut beginning).expect("under way");
    served.signal("-TERM");
    let mut rest = String::new();
    streaming.read_to_string(&mut rest).expect("it ends in order");
    assert!(rest.contains("data: 9") && rest.ends_with("0\r\n\r\n"), "{rest}");
    assert!(
        TcpStream::connect(("127.0.0.1", port)).is_err(),
        "no longer listening"
    );
    let mut rest = String::new();
    idle.read_to_string(&mut rest).expect("closed in order");
    assert!(served.wait().success(), "{}", served.log_text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_reloads_under_load_without_an_error() {
    let (port, target) = (free_port(), target().await);
    let text = config(port, target, "one");
    let served = Served::start("gateway", &text);
    let load = |flags: &[&str], path: &str| {
        let mut command = Command::new("h2load");
        command
            .args(["-D", "6", "-c", "8", "-H", ":authority: localhost"])
            .args(flags)
            .arg(format!("http://127.0.0.1:{port}{path}"));
        std::thread::spawn(move || command.output().expect("h2load (Debian: nghttp2-client)"))
    };
    let loads = [
        load(&["--h1"], "/forwarded"),
        load(&["-m", "4"], "/version"),
        load(&["-m", "4"], "/forwarded"),
    ];
    let started = Instant::now();
    for number in 0.. {
        if started.elapsed() > Duration::from_secs(5) {
            break;
        }
        // Another rule, and another target group of other limits under the same name.
        let body = format!("number-{number}");
        let changed = text.replace("'one'", &format!("'{body}'"))
            + format!("max_request_body_bytes = {}\n", 100_000 + number).as_str();
        served.reload(&changed);
        let deadline = Instant::now() + Duration::from_secs(5);
        while !get_once(port, "/version").ends_with(&body) {
            assert!(Instant::now() < deadline, "not reloaded:\n{}", served.log_text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    for load in loads {
        let report = load.join().expect("no panic");
        let report = String::from_utf8_lossy(&report.stdout).into_owned();
        assert!(report.contains(" 0 failed, 0 errored, 0 timeout"), "{report}");
        assert!(
            report.contains(" 0 4xx, 0 5xx") && !report.contains(" 0 done"),
            "{report}"
        );
    }
    // Whatever is wrong, in whichever part: nothing of it is taken.
    let last = get_once(port, "/version");
    for wrong in [
        "nonsense".to_owned(),
        text.replace("'one'", "'two'") + "\n[gateway.unknown]\n",
        text.replace("'one'", "'two'")
            .replace("target_group = 'target'", "target_group = 'nobody'"),
        text.replace("'one'", "'two'").replace("us-east-1", "eu-west-1"),
        text.replace("'one'", "'two'")
            .replace(&format!("127.0.0.1:{port}"), "127.0.0.1:1"),
    ] {
        let before = served.log_text().matches("was not reloaded").count();
        served.reload(&wrong);
        let deadline = Instant::now() + Duration::from_secs(10);
        while served.log_text().matches("was not reloaded").count() == before {
            assert!(Instant::now() < deadline, "{wrong}:\n{}", served.log_text());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let now = get_once(port, "/version");
        assert_eq!(body(&now), body(&last));
    }
}
