//! `countersign manual DIR`: manual pages and completions, made from the command line itself so that they cannot differ
//! from it. Packages call it when they are built.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::args::Cli;

#[derive(Debug, Args)]
pub(crate) struct ManualArgs {
    /// Where to write `man/` and `completions/`.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes one page a command and one completion a shell.
pub(crate) fn run(args: &ManualArgs) -> anyhow::Result<()> {
    let directory = |name| -> anyhow::Result<PathBuf> {
        let path = args.directory.join(name);
        fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        Ok(path)
    };
    clap_mangen::generate_to(Cli::command(), directory("man")?).context("manual pages")?;
    let completions = directory("completions")?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "countersign", &completions)
            .with_context(|| format!("completion of {shell}"))?;
    }
    Ok(())
}
