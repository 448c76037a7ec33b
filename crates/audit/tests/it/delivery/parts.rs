//! Receivers that other people made, each in a process of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use moto::Moto;
use serde_json::Value;

/// In `tests/python`.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/python")
        .join(name)
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the suites say where their Python is"
)]
pub(crate) fn python() -> Command {
    let python = std::env::var_os("COUNTERSIGN_TEST_PYTHON");
    Command::new(python.expect("COUNTERSIGN_TEST_PYTHON: run `./test evidence`, which makes the environment"))
}

/// A script of ours around a library of theirs: its output, and whether it was content.
pub(crate) fn run(name: &str, arguments: &[&str]) -> (bool, String) {
    let ran = python().arg(script(name)).args(arguments).output().expect("runs");
    let output = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    (ran.status.success(), output)
}

/// Ends with the test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A receiver of webhooks by the `standardwebhooks` library.
pub(crate) struct WebhookReceiver {
    pub(crate) url: String,
    directory: PathBuf,
    _running: Running,
}

impl WebhookReceiver {
    pub(crate) fn start(secret: &str, directory: &Path) -> Self {
        std::fs::write(directory.join("mode"), "up").expect("writes");
        let mut child = python()
            .arg(script("webhook_receiver.py"))
            .args([secret, directory.to_str().expect("a text path")])
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut port = String::new();
        let output = child.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut port).expect("a port");
        Self {
            url: format!("http://127.0.0.1:{}/audit", port.trim()),
            directory: directory.to_owned(),
            _running: Running(child),
        }
    }

    /// `up`, `down`, `lost`, `slow-down`.
    pub(crate) fn behave(&self, mode: &str) {
        // In one step, so that it never reads half of it.
        let next = self.directory.join("mode.next");
        std::fs::write(&next, mode).expect("writes");
        std::fs::rename(next, self.directory.join("mode")).expect("renames");
    }

    /// Every request that it took.
    pub(crate) fn taken(&self) -> Vec<Value> {
        lines(&self.directory.join("taken"))
    }

    pub(crate) fn refused(&self) -> Option<String> {
        std::fs::read_to_string(self.directory.join("refused")).ok()
    }
}

/// A JSON object a line; none, when there is no file yet.
pub(crate) fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// moto's S3.
pub(crate) struct S3(Moto);

impl S3 {
    pub(crate) fn start() -> Self {
        Self(Moto::start())
    }

    pub(crate) fn endpoint(&self) -> &str {
        self.0.url()
    }

    pub(crate) fn bucket(&self, arguments: &[&str]) -> String {
        let all: Vec<&str> = std::iter::once(self.endpoint())
            .chain(arguments.iter().copied())
            .collect();
        let (content, output) = run("bucket.py", &all);
        assert!(content, "{output}");
        output
    }
}

/// rsyslog, which writes what it is sent into a file.
pub(crate) struct Rsyslog {
    pub(crate) tcp: u16,
    pub(crate) udp: u16,
    pub(crate) socket: PathBuf,
    pub(crate) log: PathBuf,
    _running: Running,
}

impl Rsyslog {
    pub(crate) async fn start(directory: &Path) -> Self {
        let free = || {
            let tcp = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            tcp.local_addr().expect("an address").port()
        };
        let (tcp, udp) = (free(), free());
        let (socket, log) = (directory.join("log.sock"), directory.join("messages"));
        let configuration = directory.join("rsyslog.conf");
        let text = format!(
            "global(workDirectory=\"{0}\" maxMessageSize=\"64k\" parser.escapeControlCharactersOnReceive=\"on\")\n\
             module(load=\"imtcp\")\nmodule(load=\"imudp\")\nmodule(load=\"imuxsock\" SysSock.Use=\"off\")\n\
             input(type=\"imtcp\" port=\"{tcp}\" address=\"127.0.0.1\")\n\
             input(type=\"imudp\" port=\"{udp}\" address=\"127.0.0.1\")\n\
             input(type=\"imuxsock\" Socket=\"{1}\" UseSysTimeStamp=\"off\")\n\
             template(name=\"whole\" type=\"string\" string=\"%timestamp% %hostname% %app-name% %msgid% %structured-data% %msg%\\n\")\n\
             action(type=\"omfile\" file=\"{2}\" template=\"whole\")\n",
            directory.display(),
            socket.display(),
            log.display(),
        );
        std::fs::File::create(&configuration)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .expect("writes");
        let child = Command::new("/usr/sbin/rsyslogd")
            .args(["-n", "-f", configuration.to_str().expect("a text path")])
            .args(["-i", directory.join("pid").to_str().expect("a text path")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("rsyslogd: run `./test evidence`, which installs it");
        let running = Running(child);
        for _ in 0..200 {
            if socket.exists() && std::net::TcpStream::connect(("127.0.0.1", tcp)).is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self {
            tcp,
            udp,
            socket,
            log,
            _running: running,
        }
    }

    pub(crate) fn text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
