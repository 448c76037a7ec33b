//! The file of `--env-file`: shell lines that point unmodified AWS SDKs at this machine.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use countersign_crypto::ExposeSecret as _;
use countersign_identity::{AccessKey, Bootstrapped};

use super::{
    config::{PROVIDER, REGION, WORKLOAD},
    ports::{Ports, ours},
    secrets::Secrets,
};
use crate::gateway_operator;

/// What the file says.
pub(super) fn variables(ports: Ports, made: &Bootstrapped, secrets: &Secrets) -> Vec<(&'static str, String)> {
    let api = ours(ports.identity_api());
    let secret = |key: &AccessKey| key.secret_access_key.expose_secret().to_owned();
    vec![
        ("AWS_ACCESS_KEY_ID", made.admin.access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", secret(&made.admin)),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_DEFAULT_REGION", REGION.to_owned()),
        ("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", api.clone()),
        ("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL", api.clone()),
        ("AWS_ENDPOINT_URL_STS", api.clone()),
        ("BEDROCK_AGENTCORE_DP_ENDPOINT", api.clone()),
        ("BEDROCK_AGENTCORE_CP_ENDPOINT", api),
        ("COUNTERSIGN_APP_URL", ours(ports.app())),
        ("COUNTERSIGN_ACCOUNT_URL", ours(ports.account())),
        (gateway_operator::URL, ours(ports.operations())),
        (gateway_operator::TOKEN, secrets.operator_token().to_owned()),
        ("COUNTERSIGN_WORKLOAD", WORKLOAD.to_owned()),
        ("COUNTERSIGN_PROVIDER", PROVIDER.to_owned()),
        (
            "COUNTERSIGN_AGENT_ACCESS_KEY_ID",
            made.agent.access_key_id.clone(),
        ),
        ("COUNTERSIGN_AGENT_SECRET_ACCESS_KEY", secret(&made.agent)),
        (
            "COUNTERSIGN_BINDING_ACCESS_KEY_ID",
            made.binding.access_key_id.clone(),
        ),
        ("COUNTERSIGN_BINDING_SECRET_ACCESS_KEY", secret(&made.binding)),
    ]
}

/// Writes the lines so that readers see the old file or the whole new one, never a part; mode 0600 from the start.
pub(super) fn write(path: &Path, variables: &[(&str, String)]) -> anyhow::Result<()> {
    let mut text = String::from(
        "# Written by `countersign dev`: credentials of this server. set -a; . ./FILE; set +a\n",
    );
    for (name, value) in variables {
        anyhow::ensure!(
            value.bytes().all(is_plain),
            "{name} cannot be written as a shell line"
        );
        text.push_str(name);
        text.push('=');
        text.push_str(value);
        text.push('\n');
    }
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let put = || -> std::io::Result<()> {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    put().with_context(|| format!("cannot write --env-file {}", path.display()))
}

/// Whether a shell takes the byte for itself, so that values need no quotes and any reader can split at `=`.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b":/._+=-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_file_is_private_even_over_an_open_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("env");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        write(&path, &[("A", "b".to_owned())]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&path).unwrap().ends_with("A=b\n"));
    }

    #[test]
    fn a_value_that_a_shell_would_read_as_more_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("env");
        write(&path, &[("A", "b'; rm -rf /".to_owned())]).unwrap_err();
        assert!(!path.exists());
    }
}
