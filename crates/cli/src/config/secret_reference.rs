//! Secret references: any string value `env:NAME` or `file:PATH` in a configuration stands for what it names.

use anyhow::Context as _;
use toml::Value;

/// Longest secret read from a file, in bytes.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// Replaces every reference below `value`; `path` is the key so far, for error messages.
pub(super) fn resolve(value: &mut Value, path: &str) -> anyhow::Result<()> {
    match value {
        Value::String(text) => {
            if let Some(secret) = read(text).with_context(|| format!("key `{path}`"))? {
                *text = secret;
            }
        }
        Value::Table(table) => {
            for (key, value) in table.iter_mut() {
                resolve(value, &join(path, key))?;
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter_mut().enumerate() {
                resolve(value, &format!("{path}[{index}]"))?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// What a reference stands for; `None` if the text is not a reference. One trailing newline of a file is dropped.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that resolves secret references"
)]
pub(crate) fn read(text: &str) -> anyhow::Result<Option<String>> {
    if let Some(name) = text.strip_prefix("env:") {
        return std::env::var(name)
            .map(Some)
            .with_context(|| format!("environment variable {name}"));
    }
    let Some(path) = text.strip_prefix("file:") else {
        return Ok(None);
    };
    let size = std::fs::metadata(path)
        .with_context(|| format!("secret file {path}"))?
        .len();
    anyhow::ensure!(
        size <= MAX_SECRET_BYTES,
        "secret file {path} is larger than {MAX_SECRET_BYTES} bytes"
    );
    let mut secret = std::fs::read_to_string(path).with_context(|| format!("secret file {path}"))?;
    if secret.ends_with('\n') {
        secret.pop();
        if secret.ends_with('\r') {
            secret.pop();
        }
    }
    Ok(Some(secret))
}

/// `a.b` from `a` and `b`.
fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reference_is_read_wherever_it_stands() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "s3cret\n").unwrap();
        let mut value: Value =
            toml::from_str(&format!("[a]\nb = [\"file:{}\", \"plain\"]", path.display())).unwrap();
        resolve(&mut value, "").unwrap();
        assert_eq!(value["a"]["b"][0].as_str(), Some("s3cret"));
        assert_eq!(value["a"]["b"][1].as_str(), Some("plain"));
    }

    #[test]
    fn a_missing_reference_names_the_key() {
        let mut value: Value = toml::from_str("[gateway]\nclient_secret = \"file:/nowhere/at/all\"").unwrap();
        let error = format!("{:#}", resolve(&mut value, "").unwrap_err());
        assert!(
            error.contains("gateway.client_secret") && error.contains("/nowhere/at/all"),
            "{error}"
        );
    }
}
