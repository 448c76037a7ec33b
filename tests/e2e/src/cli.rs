//! Runs the binary's other commands.

use std::process::{Command, Output};

use crate::system::binary;

/// What a command printed and how it ended.
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs `countersign ARGUMENTS` with these variables.
pub fn countersign<'a>(
    arguments: &[&str],
    environment: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(binary())
        .args(arguments)
        .envs(environment)
        .output()
        .expect("the binary runs");
    Ran {
        code: status.code().expect("it was not killed"),
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    }
}
