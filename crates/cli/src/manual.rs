//! `countersign manual DIR`: manual pages and completions, made from the command line itself so that they cannot differ
//! from it, and the page of every configuration key. Packages call it when they are built.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{args::Cli, config};

#[derive(Debug, Args)]
pub(crate) struct ManualArgs {
    /// Where to write `man/`, `completions/` and `configuration.md`.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// What stands above the keys.
const INTRODUCTION: &str = "# Configuration

Made by `countersign manual` from the default configuration, which `countersign config default` prints; a test finds it
stale. `countersign config check --config FILE` says what is wrong with a file, `config show` what it is with the
variables of the environment, `doctor` what is dangerous in it.
";

/// The page of every key: the default configuration, cut at its rules.
fn configuration_page() -> Result<String, std::fmt::Error> {
    let mut page = INTRODUCTION.to_owned();
    let rule = |line: &str| line.len() > 20 && line.starts_with("# --") && line.ends_with("--");
    let mut sections: Vec<Vec<&str>> = vec![vec![]];
    for line in config::DEFAULT.lines() {
        if rule(line) {
            sections.push(vec![]);
        } else if let Some(section) = sections.last_mut() {
            section.push(line);
        }
    }
    for section in sections {
        // The first table that is not of an array names the section.
        let name = section.iter().find_map(|line| {
            let table = line.strip_prefix('[')?.strip_suffix(']')?;
            (!table.starts_with('[')).then_some(table)
        });
        let text = section.join("\n");
        write!(
            page,
            "\n## {}\n\n```toml\n{}\n```\n",
            name.unwrap_or("keys"),
            text.trim()
        )?;
    }
    Ok(page)
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
    let page = configuration_page().context("configuration.md")?;
    write(&args.directory.join("configuration.md"), &page)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_page_is_of_this_configuration() {
        let page = configuration_page().expect("a page");
        assert_eq!(
            page,
            include_str!("../../../docs/configuration.md"),
            "run `countersign manual DIR` and copy configuration.md to docs/"
        );
    }

    #[test]
    fn every_command_has_a_manual_page() {
        let directory = tempfile::tempdir().expect("a directory");
        let args = ManualArgs {
            directory: directory.path().to_owned(),
        };
        run(&args).expect("written");
        for page in [
            "countersign.1",
            "countersign-serve.1",
            "countersign-audit-verify.1",
        ] {
            assert!(directory.path().join("man").join(page).is_file(), "{page}");
        }
        let bash = fs::read_to_string(directory.path().join("completions/countersign.bash")).expect("bash");
        assert!(bash.contains("--config"));
    }
}
