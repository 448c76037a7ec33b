//! Runs the Python programs of `tests/python` with the variables of `--env-file`, as a user would.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::System;

/// The interpreter that `./test` prepared.
fn interpreter() -> String {
    std::env::var("COUNTERSIGN_TEST_PYTHON")
        .expect("COUNTERSIGN_TEST_PYTHON: run `./test clients`, which makes the Python environment")
}

/// The interpreter with these arguments, not started, in the environment of the tests.
#[must_use]
pub fn interpreter_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(interpreter());
    command.args(arguments);
    command
}

/// Starts a script; its output is piped.
#[must_use]
pub fn spawn(system: &System, script: &str, arguments: &[&str], directory: &Path) -> Child {
    command(script, arguments, directory)
        .envs(system.environment())
        .spawn()
        .expect("python starts")
}

/// A script, not started, with nothing in its environment; its output will be piped.
#[must_use]
pub fn command(script: &str, arguments: &[&str], directory: &Path) -> Command {
    let mut command = Command::new(interpreter());
    command
        .arg(crate::repository().join("tests/python").join(script))
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("PYTHONUNBUFFERED", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a script to its end and gives its standard output; panics with its standard error if it fails.
#[must_use]
pub fn run(system: &System, script: &str, arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let output = spawn(system, script, arguments, directory.path())
        .wait_with_output()
        .expect("python ends");
    assert!(
        output.status.success(),
        "{script}:\n{}\n{}\nserver:\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
        system.log_text()
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
