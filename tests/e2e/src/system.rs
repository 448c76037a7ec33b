//! One running `countersign dev`, on its own ports and data.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, OnceLock, mpsc},
    time::{Duration, Instant},
};

use url::Url;

/// How long a start may take on a busy machine.
const START_LIMIT: Duration = Duration::from_mins(1);

/// A running system. Dropped, it is killed; its data directory goes with it unless it was the caller's.
pub struct System {
    child: Child,
    /// The first of its ten ports.
    pub port_base: u16,
    /// Its data directory.
    pub data: PathBuf,
    /// Everything it wrote to standard output and error.
    pub log: PathBuf,
    /// The line that began with `ready`.
    pub ready: String,
    environment: BTreeMap<String, String>,
    _directory: Option<tempfile::TempDir>,
}

/// What to start.
#[derive(Default)]
pub struct Options {
    /// An existing data directory to use again.
    pub data: Option<PathBuf>,
    /// The port base to use again.
    pub port_base: Option<u16>,
    /// The model behind the agent; the offline one when absent.
    pub model: Option<String>,
    /// Further arguments of `countersign dev`.
    pub arguments: Vec<String>,
    /// Further environment.
    pub environment: Vec<(String, String)>,
}

impl System {
    /// Starts a fresh system with the offline model and waits until it is ready.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(Options::default())
    }

    /// Starts a system as told and waits until it is ready.
    #[must_use]
    pub fn start_with(options: Options) -> Self {
        let directory = options
            .data
            .is_none()
            .then(|| tempfile::tempdir().expect("a temporary directory"));
        let data = options
            .data
            .unwrap_or_else(|| directory.as_ref().expect("made above").path().join("data"));
        let beside = data
            .parent()
            .expect("the data directory has a parent")
            .to_path_buf();
        let port_base = options.port_base.unwrap_or_else(free_port_base);
        let env_file = beside.join(format!("env-{port_base}"));
        let log = beside.join(format!("log-{port_base}"));
        let mut child = Command::new(binary())
            .args(["dev", "--port-base", &port_base.to_string()])
            .args(["--model", options.model.as_deref().unwrap_or("offline")])
            .arg("--data")
            .arg(&data)
            .arg("--env-file")
            .arg(&env_file)
            .args(&options.arguments)
            .envs(options.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(
                File::options()
                    .append(true)
                    .create(true)
                    .open(&log)
                    .expect("a log file"),
            )
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("piped");
        let ready = wait_for_ready(stdout, &log).unwrap_or_else(|| {
            let _ = child.kill();
            panic!("not ready:\n{}", fs::read_to_string(&log).unwrap_or_default())
        });
        let environment = read_environment(&env_file);
        Self {
            child,
            port_base,
            data,
            log,
            ready,
            environment,
            _directory: directory,
        }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Interrupts it as Ctrl-C does and waits for its end.
    pub fn interrupt(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .expect("kill runs")
                .success()
        );
        self.wait()
    }

    /// Kills it without notice.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.wait();
    }

    fn wait(&mut self) -> ExitStatus {
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

    /// A variable of the file that `--env-file` wrote.
    #[must_use]
    pub fn variable(&self, name: &str) -> &str {
        self.environment
            .get(name)
            .unwrap_or_else(|| panic!("the env file has no {name}"))
    }

    /// All of them.
    #[must_use]
    pub fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// `http://localhost:N+offset/path`.
    #[must_use]
    pub fn url(&self, offset: u16, path: &str) -> Url {
        Url::parse(&format!("http://localhost:{}{path}", self.port_base + offset)).expect("a URL")
    }

    /// A URL of the app origin.
    #[must_use]
    pub fn app(&self, path: &str) -> Url {
        self.url(0, path)
    }

    /// A URL of the account origin.
    #[must_use]
    pub fn account(&self, path: &str) -> Url {
        self.url(7, path)
    }

    /// A URL of Ledgerline.
    #[must_use]
    pub fn ledgerline(&self, path: &str) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}{path}", self.port_base + 4)).expect("a URL")
    }

    /// What it logged so far.
    #[must_use]
    pub fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads standard output into the log, and gives the line that begins with `ready`.
fn wait_for_ready(stdout: std::process::ChildStdout, log: &Path) -> Option<String> {
    let (sender, receiver) = mpsc::channel();
    let mut copy = File::options()
        .append(true)
        .create(true)
        .open(log)
        .expect("a log file");
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = std::io::Write::write_all(&mut copy, format!("{line}\n").as_bytes());
            if line.starts_with("ready") {
                let _ = sender.send(line);
            }
        }
    });
    receiver.recv_timeout(START_LIMIT).ok()
}

fn read_environment(path: &Path) -> BTreeMap<String, String> {
    fs::read_to_string(path)
        .expect("the env file is in place before `ready`")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.strip_prefix("export ").unwrap_or(line).split_once('='))
        .map(|(name, value)| (name.to_owned(), value.trim_matches(['\'', '"']).to_owned()))
        .collect()
}

/// The binary under test: `COUNTERSIGN_BIN`, or built once from this workspace.
#[must_use]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("COUNTERSIGN_BIN") {
            return path.into();
        }
        let output = Command::new(env!("CARGO"))
            .args([
                "build",
                "--locked",
                "-q",
                "-p",
                "countersign-cli",
                "--message-format=json",
            ])
            .current_dir(crate::repository())
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "the binary does not build");
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find_map(|message| message["executable"].as_str().map(PathBuf::from))
            .expect("cargo names the executable")
    })
}

/// Ten free ports in a row, not given to another test of this process.
#[must_use]
pub fn free_port_base() -> u16 {
    static NEXT: Mutex<Option<u16>> = Mutex::new(None);
    let mut next = NEXT.lock().expect("no test panics while it holds this");
    let spread = u16::try_from(std::process::id() % 1_000).expect("small") * 10;
    let mut base = next.unwrap_or(20_000 + spread);
    loop {
        let candidate = base;
        base = if base >= 32_000 { 20_000 } else { base + 10 };
        let free = (candidate..candidate + 10).all(|port| {
            TcpListener::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("::1", port)).is_ok()
        });
        if free {
            *next = Some(base);
            return candidate;
        }
    }
}
