//! moto's server (<https://docs.getmoto.org>), for tests: the services of AWS on a port of its own.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// The server. Dropped, it is killed.
#[derive(Debug)]
pub struct Moto {
    child: Child,
    url: String,
}

impl Moto {
    /// Starts it and waits until it listens.
    ///
    /// # Panics
    ///
    /// Without `COUNTERSIGN_TEST_PYTHON`, the Python of the environment that `./test` makes; when it does not start.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "tests are told by their environment")]
    pub fn start() -> Self {
        let python = std::env::var_os("COUNTERSIGN_TEST_PYTHON")
            .expect("COUNTERSIGN_TEST_PYTHON: run the suite by `./test`, which makes the Python environment");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = free.local_addr().expect("bound");
        drop(free);
        let mut child = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p"])
            .arg(address.port().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("moto starts");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        let moto = Self {
            child,
            url: format!("http://{address}"),
        };
        let mut lines = log.lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("Running on")), "moto listens");
        // It goes on writing, and would die of a closed pipe.
        std::thread::spawn(move || lines.for_each(drop));
        moto
    }

    /// Where it listens: scheme, host and port.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends it a signal, `-STOP` for one.
    ///
    /// # Panics
    ///
    /// When `kill` refuses.
    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.expect("kill runs").success(), "{signal} is sent");
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
