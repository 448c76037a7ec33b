//! The thread that writes the log out.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a line may wait. Nobody is woken for a line.
const EVERY: Duration = Duration::from_millis(100);
/// Bytes that may wait. Beyond them lines are lost and counted.
const MAX_WAITING: usize = 8 << 20;
/// Counts lines that were lost.
const LOST: &str = "countersign_gateway_access_log_lost_total";

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
    reopen: bool,
    end: bool,
}

impl Waiting {
    fn push(&mut self, line: &[u8]) {
        if self.lines.len() + line.len() > MAX_WAITING {
            self.lost += 1;
        } else {
            self.lines.extend_from_slice(line);
        }
    }
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    ended: Condvar,
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines on their way to a file, or to standard output. All are written when it is dropped.
pub(super) struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(path: Option<PathBuf>) -> io::Result<Self> {
        let mut output = Output::open(path)?;
        let shared = Arc::new(Shared::default());
        let waited = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || run(&waited, &mut output))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Appends a line.
    pub(super) fn write(&self, line: &[u8]) {
        self.shared.waiting().push(line);
    }

    /// Has the file opened anew before the next lines.
    pub(super) fn reopen(&self) {
        self.shared.waiting().reopen = true;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.waiting().end = true;
        self.shared.ended.notify_all();
        if let Some(thread) = self.thread.take() {
            // It has logged what went wrong.
            let _ = thread.join();
        }
    }
}

fn run(shared: &Shared, output: &mut Output) {
    let mut lines = Vec::new();
    loop {
        let mut waiting = shared.waiting();
        if !waiting.end {
            let waited = shared.ended.wait_timeout(waiting, EVERY);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::swap(&mut lines, &mut waiting.lines);
        let (lost, end) = (std::mem::take(&mut waiting.lost), waiting.end);
        let reopen = std::mem::take(&mut waiting.reopen);
        drop(waiting);
        if lost > 0 {
            metrics::counter!(LOST).increment(lost);
            tracing::warn!(lines = lost, "the access log does not keep up; lines are lost");
        }
        // A line that was written before the signal is the old file's.
        output.write(&lines);
        lines.clear();
        if reopen {
            output.reopen();
        }
        if end {
            return;
        }
    }
}

/// Where lines go.
struct Output {
    path: Option<PathBuf>,
    file: Option<File>,
    failing: bool,
}

impl Output {
    fn open(path: Option<PathBuf>) -> io::Result<Self> {
        let file = path.as_deref().map(append).transpose()?;
        Ok(Self {
            path,
            file,
            failing: false,
        })
    }

    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match append(path) {
            Ok(file) => self.file = Some(file),
            Err(error) => {
                tracing::error!(%error, "the access log cannot be opened anew; the old file is kept");
            }
        }
    }

    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let written = match &mut self.file {
            Some(file) => file.write_all(lines),
            None => io::stdout().lock().write_all(lines),
        };
        match written {
            Ok(()) => self.failing = false,
            Err(error) => {
                let lost = lines.split(|byte| *byte == b'\n').count() - 1;
                metrics::counter!(LOST).increment(u64::try_from(lost).unwrap_or(u64::MAX));
                if !self.failing {
                    tracing::error!(%error, "the access log cannot be written");
                }
                self.failing = true;
            }
        }
    }
}

/// Lines name people's addresses: readable by the owner and the group alone.
fn append(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().append(true).create(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_follow_the_file_when_it_is_opened_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, moved) = (directory.path().join("log"), directory.path().join("log.1"));
        let writer = Writer::start(Some(path.clone())).expect("a file");
        writer.write(b"one\n");
        while std::fs::metadata(&path).expect("a file").len() == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        std::fs::rename(&path, &moved).expect("moved");
        writer.reopen();
        while !path.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        writer.write(b"two\n");
        drop(writer);
        assert_eq!(std::fs::read_to_string(&moved).expect("a file"), "one\n");
        assert_eq!(std::fs::read_to_string(&path).expect("a file"), "two\n");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut waiting = Waiting::default();
        let line = vec![b'x'; MAX_WAITING / 4];
        for _ in 0..6 {
            waiting.push(&line);
        }
        assert_eq!((waiting.lines.len(), waiting.lost), (MAX_WAITING, 2));
        waiting.push(b"\n");
        assert_eq!(waiting.lost, 3);
    }
}
