//! PostgreSQL servers of a test's own, on loopback, in private directories.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::oidc_provider::free_port;

/// A server. Dropped, it is killed.
pub struct Postgres {
    /// Where it listens, on 127.0.0.1 and `::1` where there is one.
    pub port: u16,
    data: PathBuf,
    _directory: tempfile::TempDir,
}

impl Postgres {
    /// A new server with further lines of `postgresql.conf`, each with its line end.
    #[must_use]
    pub fn start(settings: &str) -> Self {
        let server = Self::prepared();
        run(server_program("initdb").arg("-D").arg(&server.data).args([
            "-U",
            "countersign",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ]));
        server.configure(settings);
        server.run_it();
        server
    }

    /// A streaming standby of this server (`pg_basebackup`).
    #[must_use]
    pub fn standby(&self) -> Self {
        let standby = Self::prepared();
        run(server_program("pg_basebackup")
            .args([
                "-h",
                "127.0.0.1",
                "-p",
                &self.port.to_string(),
                "-U",
                "countersign",
            ])
            .args(["-X", "stream", "-R", "--no-sync", "-c", "fast", "-D"])
            .arg(&standby.data));
        standby.configure("");
        standby.run_it();
        standby
    }

    fn prepared() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(directory.path()));
        }
        Self {
            port: free_port(),
            data: directory.path().join("data"),
            _directory: directory,
        }
    }

    fn configure(&self, settings: &str) {
        let file = self.data.join("postgresql.conf");
        let text = fs::read_to_string(&file).expect("initdb or pg_basebackup wrote it");
        let directory = self.data.parent().expect("made in one").display();
        // Of several lines for one setting the last counts. The data dies with the test.
        let text = format!(
            "{text}\nport = {port}\nlisten_addresses = 'localhost'\nunix_socket_directories = '{directory}'\n\
             fsync = off\nwal_level = replica\nmax_connections = 200\n{settings}",
            port = self.port
        );
        fs::write(file, text).expect("written");
    }

    fn run_it(&self) {
        let log = self.data.with_file_name("server.log");
        let output = server_program("pg_ctl")
            .arg("-D")
            .arg(&self.data)
            .args(["-w", "-t", "30", "-l"])
            .arg(&log)
            .arg("start")
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .expect("pg_ctl runs");
        assert!(
            output.success(),
            "{}",
            fs::read_to_string(log).unwrap_or_default()
        );
    }

    /// The directory of its data; files in it can be named by settings.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// A file beside the data that the server can read.
    pub fn give(&self, name: &str, text: &str) {
        let path = self.data.join(name);
        fs::write(&path, text).expect("written");
        run(Command::new("chmod").arg("600").arg(&path));
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(&path));
        }
    }

    /// Replaces `pg_hba.conf`, adds settings, and starts it again.
    pub fn reconfigure(&self, hba: &str, settings: &str) {
        self.give("pg_hba.conf", hba);
        self.configure(settings);
        run(server_program("pg_ctl")
            .arg("-D")
            .arg(&self.data)
            .args(["-w", "-m", "fast", "stop"]));
        self.run_it();
    }

    /// The URL of its database `postgres`, as its owner.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://countersign@127.0.0.1:{}/postgres", self.port)
    }

    /// What `psql` prints for a query as `user`, over the server's own socket; or why it does not.
    ///
    /// # Errors
    /// What the server complained of.
    pub fn sql_as(&self, user: &str, query: &str) -> Result<String, String> {
        let output = Command::new("psql")
            .args([
                "-X",
                "-q",
                "-t",
                "-A",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                user,
                "-d",
                "postgres",
            ])
            .arg("-h")
            .arg(self.data.parent().expect("made in one"))
            .args(["-p", &self.port.to_string(), "-c", query])
            .output()
            .expect("psql runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(text(&output.stderr))
        }
    }

    /// As its owner.
    #[must_use]
    pub fn sql(&self, query: &str) -> String {
        self.sql_as("countersign", query).expect("the query runs")
    }

    /// `kill -9` of the server and all its processes.
    pub fn kill(&self) {
        let Ok(text) = fs::read_to_string(self.data.join("postmaster.pid")) else {
            return;
        };
        let Some(pid) = text.lines().next() else {
            return;
        };
        let children = Command::new("pgrep").args(["-P", pid]).output();
        let children = children.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let _ = Command::new("kill").args(["-9", pid]).status();
        for child in children.unwrap_or_default().lines() {
            let _ = Command::new("kill")
                .args(["-9", child])
                .stderr(std::process::Stdio::null())
                .status();
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

fn is_root() -> bool {
    let Output { stdout, .. } = Command::new("id").arg("-u").output().expect("id runs");
    stdout == b"0\n"
}

/// A program of the server's, which refuses to run as root.
fn server_program(name: &str) -> Command {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut programs: Vec<PathBuf> = versions
        .map(|version| version.path().join("bin").join(name))
        .collect();
    programs.retain(|program| program.exists());
    programs.sort();
    let program = programs.pop().unwrap_or_else(|| name.into());
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    // The server's user may not enter the current directory.
    command.current_dir("/");
    command
}

fn run(command: &mut Command) {
    let output = command.output().expect("it runs");
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
