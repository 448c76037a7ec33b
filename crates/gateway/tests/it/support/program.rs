//! Programs that other people wrote, around the gateway: nginx as target, Python packages as targets and
//! clients, command-line clients.

#![expect(clippy::disallowed_methods, reason = "tests read their environment")]

use std::process::Stdio;
use std::time::Duration;

use countersign_gateway::config::{Listener, TargetGroup};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::System;

/// A running nginx with the same answers in HTTP/1.1 and, on another port, in HTTP/2.
pub(crate) struct Nginx {
    pub(crate) http1: u16,
    pub(crate) http2: u16,
    pub(crate) directory: TempDir,
    _child: Child,
}

impl Nginx {
    /// `locations` are the directives of its servers; `@DIRECTORY@` in them is a directory of its own.
    pub(crate) async fn start(locations: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (http1, http2) = (free_port(), free_port());
        let path = directory.path().display().to_string();
        let locations = locations.replace("@DIRECTORY@", &path);
        let config = format!(
            "daemon off; master_process off; pid {path}/pid; error_log {path}/error.log;
             events {{ worker_connections 1024; }}
             http {{
               access_log {path}/access.log;
               client_body_temp_path {path}; proxy_temp_path {path}; fastcgi_temp_path {path};
               uwsgi_temp_path {path}; scgi_temp_path {path}; default_type text/plain;
               server {{ listen 127.0.0.1:{http1}; {locations} }}
               server {{ listen 127.0.0.1:{http2} http2; {locations} }}
             }}"
        );
        let file = directory.path().join("nginx.conf");
        std::fs::write(&file, config).expect("a file");
        let child = Command::new("/usr/sbin/nginx")
            .args(["-p", &path, "-e", "stderr", "-c"])
            .arg(&file)
            .kill_on_drop(true)
            .spawn()
            .expect("nginx (Debian: nginx-light)");
        for port in [http1, http2] {
            until_listening(port).await;
        }
        Self {
            http1,
            http2,
            directory,
            _child: child,
        }
    }

    /// How often `text` stands in its access log.
    pub(crate) fn logged(&self, text: &str) -> usize {
        let log = std::fs::read_to_string(self.directory.path().join("access.log")).unwrap_or_default();
        log.matches(text).count()
    }
}

/// A program of `tests/python`.
pub(crate) struct Python {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Python {
    pub(crate) fn start(script: &str, arguments: &[&str]) -> Self {
        let interpreter = std::env::var("COUNTERSIGN_TEST_PYTHON")
            .expect("COUNTERSIGN_TEST_PYTHON: run `./test gateway`, which makes the Python environment");
        let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/python");
        let mut child = Command::new(interpreter)
            .arg(format!("{scripts}/{script}"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("Python starts");
        let stdin = child.stdin.take().expect("piped");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, stdin, lines }
    }

    /// A server that prints its port first.
    pub(crate) async fn server(script: &str) -> (Self, u16) {
        let mut program = Self::start(script, &["server"]);
        let port = program.line().await.parse().expect("a port");
        (program, port)
    }

    /// Its next line.
    pub(crate) async fn line(&mut self) -> String {
        let line = self.lines.next_line().await.expect("readable");
        line.expect("the program has ended")
    }

    /// Sends it a line.
    pub(crate) async fn tell(&mut self, line: &str) {
        self.stdin
            .write_all(format!("{line}\n").as_bytes())
            .await
            .expect("it listens");
    }

    /// Waits for its end, which must be a good one; what was wrong is on standard error.
    pub(crate) async fn ends_well(mut self) {
        let ended = tokio::time::timeout(Duration::from_mins(1), self.child.wait()).await;
        let status = ended.expect("it ends in time").expect("it can be waited for");
        assert!(status.success(), "{status}");
    }
}

/// Runs a command-line client to its end; both outputs together.
pub(crate) async fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).kill_on_drop(true).output();
    let output = tokio::time::timeout(Duration::from_mins(1), output)
        .await
        .expect("it ends in time");
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A target group of these targets on this machine.
pub(crate) fn group(ports: &[u16]) -> TargetGroup {
    let url = |port: &u16| format!("http://127.0.0.1:{port}").parse().expect("a URL");
    TargetGroup {
        url: None,
        targets: ports.iter().map(url).collect(),
        ..TargetGroup::of(url(&1))
    }
}

/// A gateway with one more listener, for the host `localhost` over plain HTTP: `more` are its rules, and
/// `groups` its target groups. Answers the listener's port.
pub(crate) async fn in_front_of(groups: Vec<(&str, TargetGroup)>, more: &str) -> (System, u16) {
    let text = format!("listen = 'localhost:0'\norigin = 'http://localhost'\n{more}");
    let listener: Listener = toml::from_str(&text).expect("a listener");
    let groups: Vec<_> = groups
        .into_iter()
        .map(|(name, group)| (name.to_owned(), group))
        .collect();
    let mut system = Box::pin(System::start_with(move |config| {
        config.target_groups.extend(groups);
        config.listeners.additional.insert("plain".to_owned(), listener);
    }))
    .await;
    let port = system.serve_listener("plain").await;
    (system, port)
}

/// Rules that forward everything to one target group.
pub(crate) fn forward_to(group: &str) -> String {
    format!("rules = []\ndefault_actions = [{{ type = 'forward', target_group = '{group}' }}]")
}

/// One request over a connection of its own, and the whole answer.
pub(crate) async fn exchange(port: u16, request: impl AsRef<[u8]>) -> String {
    use tokio::io::AsyncReadExt as _;
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("a connection");
    stream.write_all(request.as_ref()).await.expect("sent");
    let mut answer = Vec::new();
    // A reset ends it too.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request for `path` on a connection that ends with it.
pub(crate) async fn get(port: u16, path: &str) -> String {
    exchange(
        port,
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    )
    .await
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("bound").port()
}

async fn until_listening(port: u16) {
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("nothing listens on port {port}");
}
