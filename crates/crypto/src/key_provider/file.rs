//! A root key in a file of its own, for one machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use futures_util::FutureExt as _;
use futures_util::future::ready;
use zeroize::Zeroizing;

use crate::digest::{b64url, b64url_decode, sha256_parts};
use crate::key_provider::{BoxFuture, EncryptionContext, KeyProvider, KeyProviderError};
use crate::random::random_bytes;
use crate::seal::{open_bytes, seal_bytes};
use crate::{SecretBytes, SharedRandom};

const PREFIX: &str = "countersign-root-key-1 ";

/// A root key read from a file that only its owner may read (mode 0600), or that root owns and this process may read by its
/// group (0440). It protects the database's copies
/// and backups, not against somebody who can read this machine's files as this user; for that take a KMS
/// or a PKCS#11 module.
pub struct FileKeyProvider {
    key: Zeroizing<[u8; 32]>,
    key_id: String,
    random: SharedRandom,
}

impl FileKeyProvider {
    /// Reads the key file at `path`; a missing one is an error.
    pub fn open(path: &Path, random: SharedRandom) -> Result<Self, KeyProviderError> {
        let file = File::open(path).map_err(|source| KeyProviderError::Io {
            path: path.to_owned(),
            source,
        })?;
        Self::from_file(path, &file, random)
    }

    /// Reads the key file at `path`, or creates it when there is none. Two processes that start at once get
    /// the same key: the file appears complete or not at all, and only once.
    pub fn open_or_create(path: &Path, random: SharedRandom) -> Result<Self, KeyProviderError> {
        if let Err(source) = File::open(path) {
            let io = |source| KeyProviderError::Io {
                path: path.to_owned(),
                source,
            };
            match source.kind() {
                io::ErrorKind::NotFound => create(path, &random).map_err(io)?,
                _ => return Err(io(source)),
            }
        }
        Self::open(path, random)
    }

    fn from_file(path: &Path, file: &File, random: SharedRandom) -> Result<Self, KeyProviderError> {
        let key = read(path, file)?;
        let key_id = format!(
            "file:{}",
            b64url(&sha256_parts(&[b"countersign root key id", key.as_ref()])[..12])
        );
        Ok(Self { key, key_id, random })
    }
}

/// Writes the key under another name and links it into place: a link never replaces a file.
fn create(path: &Path, random: &SharedRandom) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", b64url(&random_bytes::<12>(random.as_ref()))));
    let temporary = PathBuf::from(temporary);

    let key = Zeroizing::new(random_bytes::<32>(random.as_ref()));
    let text = Zeroizing::new(format!("{PREFIX}{}\n", b64url(key.as_ref())));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let linked = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    // Without this a power cut could take the file away after keys were wrapped under it.
    File::open(directory)?.sync_all()
}

/// Whether nobody reads a file of this mode but `us` and those who may anyway. What root owns and another user's process
/// gets by its group is how orchestrators hand out secrets (Kubernetes: `defaultMode` 0440 and `fsGroup`); a file of
/// ours that a group may read was opened to it by mistake.
fn is_private(mode: u32, owner: u32, us: u32) -> bool {
    let others = mode & 0o077;
    others == 0 || (others == 0o040 && owner == 0 && us != 0)
}

fn read(path: &Path, mut file: &File) -> Result<Zeroizing<[u8; 32]>, KeyProviderError> {
    let io = |source| KeyProviderError::Io {
        path: path.to_owned(),
        source,
    };
    let metadata = file.metadata().map_err(io)?;
    let mode = metadata.mode() & 0o7777;
    if !is_private(mode, metadata.uid(), rustix::process::geteuid().as_raw()) {
        return Err(KeyProviderError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = Zeroizing::new(String::with_capacity(256));
    let format = || KeyProviderError::Format {
        path: path.to_owned(),
    };
    (&mut file)
        .take(256)
        .read_to_string(&mut text)
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => format(),
            _ => io(error),
        })?;
    let encoded = text.trim_end().strip_prefix(PREFIX).ok_or_else(format)?;
    let bytes = Zeroizing::new(b64url_decode(encoded).ok_or_else(format)?);
    let key: [u8; 32] = bytes.as_slice().try_into().map_err(|_| format())?;
    Ok(Zeroizing::new(key))
}

impl KeyProvider for FileKeyProvider {
    fn key_id(&self) -> String {
        self.key_id.clone()
    }

    fn wrap<'a>(
        &'a self,
        key: &'a [u8],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<Vec<u8>, KeyProviderError>> {
        ready(Ok(seal_bytes(
            &self.key,
            self.random.as_ref(),
            &context.to_bytes(),
            key,
        )))
        .boxed()
    }

    fn unwrap<'a>(
        &'a self,
        wrapped: &'a [u8],
        context: &'a EncryptionContext,
    ) -> BoxFuture<'a, Result<SecretBytes, KeyProviderError>> {
        let opened = open_bytes(&self.key, &context.to_bytes(), wrapped);
        ready(opened.map_err(|error| KeyProviderError::Refused(error.to_string()))).boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Arc;

    use super::*;
    use crate::ExposeSecret as _;
    use crate::random::SystemRandom;

    fn random() -> SharedRandom {
        Arc::new(SystemRandom)
    }

    fn context(purpose: &str) -> EncryptionContext {
        EncryptionContext::default().with("purpose", purpose)
    }

    #[tokio::test]
    async fn created_once_0600_and_read_again() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("identity.key");
        let first = FileKeyProvider::open_or_create(&path, random()).expect("creates");
        assert_eq!(
            fs::metadata(&path).expect("exists").permissions().mode() & 0o7777,
            0o600
        );
        let wrapped = first.wrap(b"secret key", &context("vault")).await.expect("wraps");
        assert!(!wrapped.windows(10).any(|window| window == b"secret key"));

        let again = FileKeyProvider::open_or_create(&path, random()).expect("reads");
        assert_eq!(again.key_id(), first.key_id());
        let key = again.unwrap(&wrapped, &context("vault")).await.expect("unwraps");
        assert_eq!(key.expose_secret(), b"secret key");
        assert_eq!(
            fs::read_dir(directory.path()).expect("lists").count(),
            1,
            "no temporary file stays"
        );

        let other_context = again.unwrap(&wrapped, &context("session")).await;
        assert!(matches!(other_context, Err(KeyProviderError::Refused(_))));
        let other_key =
            FileKeyProvider::open_or_create(&directory.path().join("other.key"), random()).expect("creates");
        assert!(matches!(
            other_key.unwrap(&wrapped, &context("vault")).await,
            Err(KeyProviderError::Refused(_))
        ));
    }

    #[test]
    fn simultaneous_starts_share_one_key() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("gateway.key");
        let ids: Vec<String> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        FileKeyProvider::open_or_create(&path, random())
                            .expect("opens")
                            .key_id()
                    })
                })
                .collect();
            starts
                .into_iter()
                .map(|start| start.join().expect("no panic"))
                .collect()
        });
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    }

    #[test]
    fn opening_never_creates() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("identity.key");
        let missing = FileKeyProvider::open(&path, random());
        assert!(matches!(missing, Err(KeyProviderError::Io { .. })));
        assert!(!path.exists());
    }

    #[test]
    fn readable_by_others_is_refused() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("identity.key");
        FileKeyProvider::open_or_create(&path, random()).expect("creates");
        for mode in [0o640, 0o604, 0o620, 0o660, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
            let error = FileKeyProvider::open_or_create(&path, random())
                .err()
                .expect("refused");
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn a_group_reads_what_root_gives_to_another_user_and_nothing_else() {
        const ROOT: u32 = 0;
        for (mode, owner, us, expected) in [
            (0o600, 65_532, 65_532, true),
            (0o400, ROOT, ROOT, true),
            (0o440, ROOT, 65_532, true),
            (0o640, ROOT, 65_532, true),
            (0o440, ROOT, ROOT, false),
            (0o440, 65_532, 65_532, false),
            (0o440, 1_000, 65_532, false),
            (0o444, ROOT, 65_532, false),
            (0o460, ROOT, 65_532, false),
        ] {
            assert_eq!(
                is_private(mode, owner, us),
                expected,
                "{mode:04o} of {owner} for {us}"
            );
        }
    }

    #[test]
    fn other_contents_are_refused_and_kept() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("identity.key");
        for text in [
            "",
            "countersign-root-key-1 AAAA\n",
            "-----BEGIN PRIVATE KEY-----\n",
            "countersign-root-key-1 ",
        ] {
            fs::write(&path, text).expect("writes");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
            let error = FileKeyProvider::open_or_create(&path, random())
                .err()
                .expect("refused");
            assert!(matches!(error, KeyProviderError::Format { .. }), "{error}");
            assert_eq!(fs::read_to_string(&path).expect("still there"), text);
        }
    }
}
