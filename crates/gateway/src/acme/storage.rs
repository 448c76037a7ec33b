//! The account and the certificates on disk: files that their owner alone reads, replaced whole.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use countersign_crypto::sha256;
use countersign_web::tls::validity;

const ACCOUNT: &str = "account.json";

/// A directory.
pub(super) struct Storage(PathBuf);

/// A certificate as it was stored.
pub(super) struct Stored {
    pub(super) chain: String,
    pub(super) key: String,
}

impl Storage {
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        Ok(Self(directory.to_owned()))
    }

    pub(super) fn account(&self) -> Option<String> {
        std::fs::read_to_string(self.0.join(ACCOUNT)).ok()
    }

    pub(super) fn keep_account(&self, credentials: &str) -> io::Result<()> {
        self.replace(ACCOUNT, credentials)
    }

    pub(super) fn certificate(&self, names: &[String]) -> Option<Stored> {
        let both = std::fs::read_to_string(self.0.join(file(names))).ok()?;
        // Key and chain are one file, so that they are always of one another.
        let at = both.find("-----BEGIN CERTIFICATE-----")?;
        let (key, chain) = both.split_at(at);
        Some(Stored {
            chain: chain.to_owned(),
            key: key.to_owned(),
        })
    }

    pub(super) fn keep_certificate(&self, names: &[String], chain: &str, key: &str) -> io::Result<()> {
        self.replace(&file(names), &format!("{}\n{chain}", key.trim_end()))
    }

    fn replace(&self, name: &str, text: &str) -> io::Result<()> {
        let path = self.0.join(name);
        let fresh = self.0.join(format!("{name}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)?;
        // The rename is kept only with its directory.
        std::fs::File::open(&self.0)?.sync_all()
    }
}

impl Stored {
    /// `notBefore` and `notAfter` in epoch seconds.
    pub(super) fn validity(&self) -> Option<(i64, i64)> {
        validity(&self.chain)
    }
}

/// The first name for people, and a hash of all, which a listener may change.
fn file(names: &[String]) -> String {
    let hash = hex::encode(&sha256(names.join(" ").as_bytes())[..6]);
    let first = names.first().map_or("certificate", String::as_str);
    format!("{}-{hash}.pem", first.replace(['/', '*'], "_"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_kept_is_private_and_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let storage = Storage::open(&directory.path().join("acme")).expect("a storage");
        let names = vec!["a.example".to_owned(), "b.example".to_owned()];
        assert!(storage.certificate(&names).is_none());
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(names.clone()).expect("parameters");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        let chain = params.self_signed(&key).expect("a certificate").pem();
        for _ in 0..2 {
            storage
                .keep_certificate(&names, &chain, &key.serialize_pem())
                .expect("kept");
        }
        let stored = storage.certificate(&names).expect("a certificate");
        assert_eq!(stored.chain, chain);
        assert_eq!(stored.key.trim(), key.serialize_pem().trim());
        assert_eq!(stored.validity(), Some((1_767_225_600, 1_775_001_600)));
        for entry in std::fs::read_dir(directory.path().join("acme")).expect("a directory") {
            let mode = entry
                .expect("a file")
                .metadata()
                .expect("metadata")
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
