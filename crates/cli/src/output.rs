//! Printing: data on standard output, everything else on standard error.

use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;

/// Prints one line of data.
#[expect(clippy::print_stdout, reason = "the one place that prints data")]
pub(crate) fn line(text: impl std::fmt::Display) {
    println!("{text}");
}

/// Prints a line for the person at the terminal.
#[expect(clippy::print_stderr, reason = "the one place that prints messages")]
pub(crate) fn note(text: impl std::fmt::Display) {
    eprintln!("{text}");
}

/// Prints data as indented JSON.
pub(crate) fn json(data: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(data).context("cannot print the answer")?);
    Ok(())
}

/// Prints data as one JSON object on one line.
pub(crate) fn json_line(data: &impl Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(data).context("cannot print the answer")?);
    Ok(())
}

/// Says what went wrong, where and why, and gives the exit code of failure.
pub(crate) fn failed(error: &anyhow::Error) -> ExitCode {
    note(format!("countersign: {error}"));
    for cause in error.chain().skip(1) {
        note(format!("  because: {cause}"));
    }
    ExitCode::from(1)
}

/// Columns with a header, as wide as their content.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) {
    let mut widths: Vec<usize> = header.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: &[&str]| {
        let mut text = String::new();
        for (index, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            if index > 0 {
                text.push_str("  ");
            }
            text.push_str(cell);
            if index + 1 < cells.len() {
                text.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
            }
        }
        line(text.trim_end());
    };
    print(header);
    for row in rows {
        print(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
