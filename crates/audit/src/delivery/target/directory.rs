//! A directory with a file a batch.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{Batch, TargetError};

pub(in crate::delivery) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// A file appears with its whole content or not at all; one that is there already is the same batch and stays.
    pub(super) async fn write(&self, batch: &Batch) -> Result<(), TargetError> {
        let path = self.0.join(batch.name());
        let (place, text) = (path.display().to_string(), batch.text());
        let written = tokio::task::spawn_blocking(move || write(&path, text.as_bytes())).await;
        written
            .map_err(std::io::Error::other)
            .flatten()
            .map_err(TargetError::io(place))
    }
}

fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    // Readers look for `.ndjson`.
    let begun = path.with_extension("part");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    let mut file = options.open(&begun)?;
    file.write_all(text)?;
    file.sync_all()?;
    std::fs::rename(&begun, path)?;
    // The name too, or a crash could lose what was acknowledged.
    File::open(parent)?.sync_all()
}
