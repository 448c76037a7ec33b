//! Log lines on their way to standard error, many by one write.
//!
//! The access log is a line a request, and a write costs as much as several percent of a request. Lines wait at most
//! [`WAIT`]; a warning or an error goes out at once, with all that was said before it.

use std::io::{self, IsTerminal as _, Write};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// How long a line may wait.
const WAIT: Duration = Duration::from_millis(20);
/// Bytes that may wait.
const FULL: usize = 64 * 1024;

static WAITING: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static SOME: Condvar = Condvar::new();
/// Somebody at a terminal sees each line as it is said.
static AT_ONCE: LazyLock<bool> = LazyLock::new(|| io::stderr().is_terminal());

/// Writes what waits. At the end of the process nobody else does.
pub(crate) fn flush() {
    write_out(&mut waiting());
}

/// Starts the thread that writes; lines that come before it wait.
///
/// # Errors
/// If the thread cannot be started.
pub(crate) fn start() -> io::Result<()> {
    let write = || {
        loop {
            let some = SOME.wait_while(waiting(), |lines| lines.is_empty());
            drop(some);
            std::thread::sleep(WAIT);
            flush();
        }
    };
    std::thread::Builder::new().name("log".to_owned()).spawn(write)?;
    Ok(())
}

/// Makes a [`Line`] for each event.
pub(crate) struct LogBuffer;

impl<'a> MakeWriter<'a> for LogBuffer {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { at_once: true }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Line {
        Line {
            at_once: *event.level() <= Level::WARN || *AT_ONCE,
        }
    }
}

/// One event's line.
pub(crate) struct Line {
    at_once: bool,
}

impl Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut lines = waiting();
        let first = lines.is_empty();
        lines.extend_from_slice(text);
        if self.at_once || lines.len() >= FULL {
            write_out(&mut lines);
        } else if first {
            SOME.notify_one();
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Under the lock, so that lines keep their order. A standard error that is closed is nobody's to tell.
fn write_out(lines: &mut Vec<u8>) {
    let _ = io::stderr().write_all(lines);
    lines.clear();
}

fn waiting() -> MutexGuard<'static, Vec<u8>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}
