//! A file to append checkpoints to.

use std::path::Path;

use super::{Batch, TargetError};
use crate::CheckpointFile;

/// Appends the lines and waits for the disk. A line may be there twice after a crash, which verification knows.
pub(super) async fn append(path: &Path, batch: &Batch) -> Result<(), TargetError> {
    let place = path.display().to_string();
    let appended = async {
        // Opened each time: a file that was moved away by its keeper is begun anew.
        let file = CheckpointFile::open(path.to_owned()).await?;
        for line in &batch.lines {
            file.append(line.text.clone()).await?;
        }
        Ok::<_, crate::AuditError>(())
    };
    appended.await.map_err(|error| match error {
        crate::AuditError::CheckpointFile { source, .. } => TargetError::Io { place, source },
        error => TargetError::Unusable(error.to_string()),
    })
}
