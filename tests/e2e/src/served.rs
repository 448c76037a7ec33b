//! One running `countersign serve ROLE --config FILE`, as a deployment runs it.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::{oidc_provider::free_port, system::binary};

/// How long a start may take on a busy machine.
const START_LIMIT: Duration = Duration::from_mins(1);

/// A running process. Dropped, it is killed.
pub struct Served {
    child: Child,
    /// Its own directory, with its configuration, its databases and its log.
    pub directory: tempfile::TempDir,
}

/// The beginning of every configuration of a gateway: what a gateway must have, none of it reachable by others.
/// `@…@` stand for what a test does not choose.
#[must_use]
pub fn gateway_config() -> String {
    let mut config = r#"
[keys]
gateway = "@DIRECTORY@/gateway.key"
[operations]
listen = "127.0.0.1:@PORT@"
[gateway]
account = "000000000000"
region = "us-east-1"
access_log = { format = "off" }
[gateway.database]
url = "sqlite:@DIRECTORY@/gateway.sqlite"
[gateway.authenticate_oidc]
issuer = "https://login.example.com"
client_id = "countersign"
client_secret = "unused"
[gateway.claims_header]
signer = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/countersign/1"
[gateway.user_token]
issuer = "http://localhost:8402/default"
[gateway.listeners.app]
listen = "127.0.0.1:@PORT@"
origin = "https://app.example.com"
rules = []
[gateway.listeners.account]
listen = "127.0.0.1:@PORT@"
origin = "https://account.example.com"
rules = []
[gateway.listeners.keys]
listen = "127.0.0.1:@PORT@"
hosts = ["localhost"]
"#
    .to_owned();
    while config.contains("@PORT@") {
        config = config.replacen("@PORT@", &free_port().to_string(), 1);
    }
    config
}

impl Served {
    /// Starts `countersign serve ROLE` with this configuration, in which `@DIRECTORY@` is its own directory, and
    /// waits until it is ready.
    #[must_use]
    pub fn start(role: &str, config: &str) -> Self {
        Self::start_in(tempfile::tempdir().expect("a directory"), role, config, &[])
    }

    /// As [`Self::start`], in a directory that is there, by way of another command (`ip netns exec …`).
    #[must_use]
    pub fn start_in(directory: tempfile::TempDir, role: &str, config: &str, through: &[&str]) -> Self {
        let mut served = Self {
            child: Self::spawn(&directory, role, config, through),
            directory,
        };
        let stdout = served.child.stdout.take().expect("piped");
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.starts_with("ready") {
                    let _ = sender.send(());
                }
            }
        });
        assert!(
            receiver.recv_timeout(START_LIMIT).is_ok(),
            "not ready:\n{}",
            served.log_text()
        );
        served
    }

    /// Starts what must not start; gives its exit code and what it said.
    #[must_use]
    pub fn refused(role: &str, config: &str) -> (Option<i32>, String) {
        let directory = tempfile::tempdir().expect("a directory");
        let mut child = Self::spawn(&directory, role, config, &[]);
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = child.try_wait().expect("the child can be waited for") {
                let said = fs::read_to_string(directory.path().join("log")).unwrap_or_default();
                return (status.code(), said);
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("it runs");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn spawn(directory: &tempfile::TempDir, role: &str, config: &str, through: &[&str]) -> Child {
        let path = directory.path().join("countersign.toml");
        let config = config.replace("@DIRECTORY@", &directory.path().display().to_string());
        fs::write(&path, config).expect("a file");
        let log = File::create(directory.path().join("log")).expect("a log file");
        let mut words = through.iter().copied();
        let mut command = match words.next() {
            None => Command::new(binary()),
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(binary());
                command
            }
        };
        command
            .args(["serve", role, "--config"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts")
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The path of its configuration.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.directory.path().join("countersign.toml")
    }

    /// Writes another configuration and sends SIGHUP.
    pub fn reload(&self, config: &str) {
        let config = config.replace("@DIRECTORY@", &self.directory.path().display().to_string());
        fs::write(self.config_file(), config).expect("a file");
        self.signal("-HUP");
    }

    /// Sends a signal: `-TERM`, `-HUP`.
    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().expect("the child can be waited for") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "it does not stop:\n{}",
                self.log_text()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it logged so far.
    #[must_use]
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Waits until its log has this text.
    pub fn wait_for_log(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.log_text().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in:\n{}", self.log_text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
