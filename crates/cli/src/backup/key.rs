//! What a backup is sealed under: a passphrase, or a root key of the configuration.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use countersign_crypto::{
    EncryptionContext, ExposeSecret as _, PassphraseParameters, SecretString, SharedRandom, random_bytes,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::key_provider::RootKey;

/// Shortest passphrase: it may have to withstand guesses at a stolen file.
const SHORTEST: usize = 12;

/// How the key of the frames is found.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum KeyHeader {
    /// It follows from a passphrase.
    Passphrase(PassphraseParameters),
    /// It is wrapped by a root key.
    #[serde(rename_all = "camelCase")]
    RootKey {
        /// The root key.
        id: String,
        /// The key, wrapped, in hexadecimal.
        wrapped: String,
    },
}

/// A passphrase from a file; a line end is not part of it.
pub(super) fn passphrase(path: &Path) -> anyhow::Result<SecretString> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let text = Zeroizing::new(text);
    let passphrase = text.trim_end_matches(['\r', '\n']);
    ensure!(
        passphrase.chars().count() >= SHORTEST,
        "the passphrase in {} is shorter than {SHORTEST} characters",
        path.display()
    );
    Ok(passphrase.to_owned().into())
}

/// A key from a passphrase.
pub(super) fn of_passphrase(
    passphrase: &SecretString,
    random: &SharedRandom,
) -> anyhow::Result<(KeyHeader, Zeroizing<[u8; 32]>)> {
    let parameters = PassphraseParameters::recommended(&**random);
    let key = parameters.key(passphrase)?;
    Ok((KeyHeader::Passphrase(parameters), key))
}

/// A new key, wrapped by a root key.
pub(super) async fn of_root_key(
    root: &RootKey,
    random: &SharedRandom,
) -> anyhow::Result<(KeyHeader, Zeroizing<[u8; 32]>)> {
    let provider = root.open(Arc::clone(random)).await?;
    let key = Zeroizing::new(random_bytes::<32>(&**random));
    let wrapped = provider.wrap(key.as_ref(), &context()).await?;
    let header = KeyHeader::RootKey {
        id: provider.key_id(),
        wrapped: hex::encode(wrapped),
    };
    Ok((header, key))
}

/// Finds the key again.
pub(super) async fn find(
    header: &KeyHeader,
    passphrase_file: Option<&Path>,
    roots: &[&RootKey],
    random: &SharedRandom,
) -> anyhow::Result<Zeroizing<[u8; 32]>> {
    let (id, wrapped) = match header {
        KeyHeader::Passphrase(parameters) => {
            let path =
                passphrase_file.context("the backup is sealed under a passphrase: --passphrase-file FILE")?;
            return Ok(parameters.key(&passphrase(path)?)?);
        }
        KeyHeader::RootKey { id, wrapped } => (id, hex::decode(wrapped)?),
    };
    for root in roots {
        let provider = root.open(Arc::clone(random)).await?;
        if provider.key_id() == *id {
            let key = provider.unwrap(&wrapped, &context()).await?;
            let key = key.expose_secret().try_into().context("not a key of a backup")?;
            return Ok(Zeroizing::new(key));
        }
    }
    anyhow::bail!("the backup is sealed under the root key {id}, which the configuration does not have")
}

fn context() -> EncryptionContext {
    EncryptionContext::default().with("countersign:purpose", "backup")
}
