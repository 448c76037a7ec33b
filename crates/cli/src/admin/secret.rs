//! Secrets on the command line: never as they are, always from elsewhere.

use std::io::Read as _;

use anyhow::Context as _;
use countersign_api::control::SecretReference;

use crate::config::secret_reference;

/// A secret has at most this many bytes.
const MAX_BYTES: u64 = 64 << 10;

/// What `env:NAME`, `file:PATH` or `-` (standard input) stands for; `option` is named when it is none of them.
pub(super) fn read(option: &str, reference: &str) -> anyhow::Result<String> {
    if reference == "-" {
        let mut secret = String::new();
        std::io::stdin()
            .take(MAX_BYTES)
            .read_to_string(&mut secret)
            .with_context(|| format!("{option}: standard input"))?;
        return Ok(secret.trim_end_matches(['\n', '\r']).to_owned());
    }
    secret_reference::read(reference)
        .with_context(|| option.to_owned())?
        .with_context(|| {
            format!(
                "{option}: write env:NAME, file:PATH or - (standard input), so that the secret is not in the process \
                 list"
            )
        })
}

/// `SECRET-ID#KEY`. A secret's id has no `#`.
pub(super) fn external(option: &str, text: &str) -> anyhow::Result<SecretReference> {
    let (secret_id, json_key) = text
        .split_once('#')
        .with_context(|| format!("{option}: write SECRET-ID#KEY"))?;
    Ok(SecretReference {
        secret_id: secret_id.to_owned(),
        json_key: json_key.to_owned(),
    })
}
