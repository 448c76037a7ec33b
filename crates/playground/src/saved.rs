//! State in memory that is also a JSON file, when there is a place for one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::PlaygroundError;

/// A value that survives a restart. Each change is on disk before it is visible; one that cannot be written
/// does not happen. The file is rewritten whole: it holds the tokens of two people.
#[derive(Debug)]
pub(crate) struct Saved<T> {
    path: Option<PathBuf>,
    value: Mutex<T>,
}

impl<T: Clone + Serialize + DeserializeOwned> Saved<T> {
    /// Reads `name` in `directory`, or starts with `initial` when there is no such file.
    pub(crate) fn open(
        directory: Option<&Path>,
        name: &str,
        initial: impl FnOnce() -> T,
    ) -> Result<Self, PlaygroundError> {
        let Some(directory) = directory else {
            return Ok(Self {
                path: None,
                value: Mutex::new(initial()),
            });
        };
        let path = directory.join(name);
        let io = |source| PlaygroundError::Io {
            place: path.display().to_string(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(io)?;
        let value = match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json)
                .map_err(|_| PlaygroundError::Format(path.display().to_string()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let value = initial();
                write(&path, &value).map_err(io)?;
                value
            }
            Err(error) => return Err(io(error)),
        };
        Ok(Self {
            path: Some(path),
            value: Mutex::new(value),
        })
    }

    pub(crate) fn read<R>(&self, read: impl FnOnce(&T) -> R) -> R {
        read(&self.value.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the value, then the file. The write blocks this thread for well under a millisecond, which a
    /// server for one developer can afford.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> io::Result<R> {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = value.clone();
        let result = change(&mut changed);
        if let Some(path) = &self.path {
            write(path, &changed).inspect_err(|error| {
                tracing::error!(path = %path.display(), %error, "the playground's state cannot be written");
            })?;
        }
        *value = changed;
        Ok(result)
    }
}

fn write(path: &Path, value: &impl Serialize) -> io::Result<()> {
    let temporary = path.with_extension("json.new");
    let json = serde_json::to_vec(value)?;
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(&json)?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_survives_a_restart_and_a_failed_one_does_not_happen() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let open = || Saved::open(Some(directory.path()), "n.json", || 1u32).expect("opens");
        let saved = open();
        saved.change(|value| *value = 2).expect("writes");
        assert_eq!(open().read(|value| *value), 2);

        fs::remove_file(directory.path().join("n.json")).expect("removes");
        fs::create_dir(directory.path().join("n.json")).expect("a directory is in the way");
        assert!(saved.change(|value| *value = 3).is_err());
        assert_eq!(saved.read(|value| *value), 2);
    }

    #[test]
    fn foreign_files_are_refused() {
        let directory = tempfile::tempdir().expect("temporary directory");
        fs::write(directory.path().join("n.json"), "{}").expect("writes");
        assert!(matches!(
            Saved::open(Some(directory.path()), "n.json", || 1u32),
            Err(PlaygroundError::Format(_))
        ));
    }
}
