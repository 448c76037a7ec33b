//! Whether a backup of a key file has been tried: beside the file stands which key a drill has found in a backup.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

fn note_of(key_file: &Path) -> PathBuf {
    let mut path = key_file.as_os_str().to_owned();
    path.push(".backed-up");
    path.into()
}

/// Notes that a backup made at `created_at` holds the key `key_id`, and that everything in it opens.
pub(super) fn note(key_file: &Path, key_id: &str, created_at: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(note_of(key_file))?;
    writeln!(file, "{key_id} {created_at}")
}

/// Whether that was noted of this very key.
pub(crate) fn is_noted(key_file: &Path, key_id: &str) -> bool {
    std::fs::read_to_string(note_of(key_file)).is_ok_and(|note| note.split(' ').next() == Some(key_id))
}
