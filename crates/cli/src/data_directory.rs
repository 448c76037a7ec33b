//! The data directory of `dev`: made private, and kept to one port base.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};

/// Where `countersign dev` keeps its data unless it is told otherwise.
pub(crate) const DEFAULT: &str = ".countersign";
/// Remembers which ports the data is for: origins are stored in workload identities, providers and cookies.
const PORT_BASE_FILE: &str = "port-base";

/// The account of a development system.
pub(crate) const DEV_ACCOUNT: &str = "000000000000";
/// Its region.
pub(crate) const DEV_REGION: &str = "us-east-1";

/// An opened data directory.
#[derive(Debug, Clone)]
pub(crate) struct DataDirectory(PathBuf);

#[cfg_attr(
    not(feature = "playground"),
    expect(dead_code, reason = "`dev` alone makes one")
)]
impl DataDirectory {
    /// Makes the directory (0700) or opens an existing one for the same port base.
    pub(crate) fn open(path: &Path, port_base: u16) -> anyhow::Result<Self> {
        match fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                bail!("--data {}: a file of that name exists", path.display())
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot make --data {}", path.display()));
            }
        }
        let path = path.canonicalize()?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot make {} private", path.display()))?;
        let marker = path.join(PORT_BASE_FILE);
        match fs::read_to_string(&marker) {
            Ok(text) if text.trim() == port_base.to_string() => {}
            Ok(text) => bail!(
                "the data in {} is for --port-base {}: start with that, or choose another --data directory",
                path.display(),
                text.trim()
            ),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::write(&marker, format!("{port_base}\n")).with_context(|| marker.display().to_string())?;
            }
            Err(error) => return Err(error).with_context(|| marker.display().to_string()),
        }
        Ok(Self(path))
    }

    /// An existing directory, for commands that only read.
    pub(crate) fn existing(path: &Path) -> anyhow::Result<Self> {
        if !path.join("identity.sqlite").is_file() {
            bail!("{} has no data of `countersign dev`", path.display());
        }
        Ok(Self(path.canonicalize()?))
    }

    pub(crate) fn identity_database(&self) -> PathBuf {
        self.0.join("identity.sqlite")
    }
    pub(crate) fn gateway_database(&self) -> PathBuf {
        self.0.join("gateway.sqlite")
    }
    pub(crate) fn identity_key(&self) -> PathBuf {
        self.0.join("identity.key")
    }
    pub(crate) fn gateway_key(&self) -> PathBuf {
        self.0.join("gateway.key")
    }
    pub(crate) fn agent_key(&self) -> PathBuf {
        self.0.join("agent.key")
    }
    pub(crate) fn access_log(&self) -> PathBuf {
        self.0.join("access.log")
    }
    pub(crate) fn checkpoints(&self) -> PathBuf {
        self.0.join("audit-checkpoints")
    }
    pub(crate) fn conversations(&self) -> PathBuf {
        self.0.join("conversations")
    }
    pub(crate) fn playground(&self) -> PathBuf {
        self.0.join("playground")
    }
    pub(crate) fn secrets(&self) -> PathBuf {
        self.0.join("secrets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_port_base_on_the_same_data_is_refused_with_the_right_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        DataDirectory::open(&path, 8400).unwrap();
        DataDirectory::open(&path, 8400).unwrap();
        let error = DataDirectory::open(&path, 9400).unwrap_err().to_string();
        assert!(error.contains("--port-base 8400"), "{error}");
    }

    #[test]
    fn the_directory_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data");
        DataDirectory::open(&path, 8400).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
