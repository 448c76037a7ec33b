//! The secrets that `dev` makes once and keeps beside the data, mode 0600: our client secrets at the playground, and
//! the access keys of the first principals, so that an env file stays valid over a restart.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::Context as _;
use countersign_crypto::{ExposeSecret, Random, SecretString, random_bytes};
use countersign_identity::AccessKey;
use serde::Deserialize;

/// The file's content.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Secrets {
    /// Of the gateway's client at the playground's OpenID provider.
    pub(super) login_client_secret: SecretString,
    /// Of the identity service's client at Ledgerline.
    pub(super) ledgerline_client_secret: SecretString,
    /// Of an operator of the gateway. A file of before there was one gets a new one at each start.
    #[serde(default)]
    operator_token: Option<SecretString>,
    admin_access_key_id: String,
    admin_secret_access_key: SecretString,
    agent_access_key_id: String,
    agent_secret_access_key: SecretString,
    binding_access_key_id: String,
    binding_secret_access_key: SecretString,
}

impl Secrets {
    pub(super) fn open_or_create(path: &Path, random: &dyn Random) -> anyhow::Result<Self> {
        match fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
        {
            Ok(mut file) => {
                file.write_all(fresh(random).as_bytes())?;
                file.sync_all()?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", path.display())),
        }
        // Not the parser's error: it quotes the line.
        let mut secrets: Self = toml::from_str(&fs::read_to_string(path)?).map_err(|_| {
            anyhow::anyhow!(
                "{} is damaged; remove it, and new secrets are made",
                path.display()
            )
        })?;
        secrets
            .operator_token
            .get_or_insert_with(|| countersign_crypto::token(random).into());
        Ok(secrets)
    }

    pub(super) fn operator_token(&self) -> &str {
        self.operator_token
            .as_ref()
            .map_or("", ExposeSecret::expose_secret)
    }

    pub(super) fn admin(&self) -> AccessKey {
        key(&self.admin_access_key_id, &self.admin_secret_access_key)
    }

    pub(super) fn agent(&self) -> AccessKey {
        key(&self.agent_access_key_id, &self.agent_secret_access_key)
    }

    pub(super) fn binding(&self) -> AccessKey {
        key(&self.binding_access_key_id, &self.binding_secret_access_key)
    }
}

fn key(id: &str, secret: &SecretString) -> AccessKey {
    AccessKey {
        access_key_id: id.to_owned(),
        secret_access_key: secret.clone(),
    }
}

fn fresh(random: &dyn Random) -> String {
    let mut members = vec![
        (
            "login_client_secret".to_owned(),
            countersign_crypto::token(random),
        ),
        (
            "ledgerline_client_secret".to_owned(),
            countersign_crypto::token(random),
        ),
    ];
    members.push(("operator_token".to_owned(), countersign_crypto::token(random)));
    for principal in ["admin", "agent", "binding"] {
        let id = format!("AKIA{}", hex::encode_upper(random_bytes::<8>(random)));
        members.push((format!("{principal}_access_key_id"), id));
        members.push((
            format!("{principal}_secret_access_key"),
            countersign_crypto::token(random),
        ));
    }
    members
        .into_iter()
        .map(|(name, value)| [name, " = \"".to_owned(), value, "\"\n".to_owned()].concat())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use countersign_crypto::{ExposeSecret as _, testing::SeededRandom};

    use super::*;

    #[test]
    fn secrets_are_made_once_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secrets");
        let first = Secrets::open_or_create(&path, &SeededRandom::new(1)).unwrap();
        let second = Secrets::open_or_create(&path, &SeededRandom::new(2)).unwrap();
        assert_eq!(
            first.login_client_secret.expose_secret(),
            second.login_client_secret.expose_secret()
        );
        assert_eq!(first.admin().access_key_id, second.admin().access_key_id);
        assert_ne!(first.admin().access_key_id, first.agent().access_key_id);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
