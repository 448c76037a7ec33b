//! The playground of `dev`: somebody else's login provider and somebody else's service, and our registrations there.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use countersign_crypto::{ExposeSecret as _, Random, SecretString};
use countersign_playground::{
    Client, Ledgerline, LedgerlineConfig, OpenIdProvider, OpenIdProviderConfig, Parts as PlaygroundParts,
};
use serde::Deserialize;

use super::{
    DataDirectory, Parts,
    ports::{Ports, ours, playground},
};
use crate::args::DevArgs;

/// The password of alice and bob.
pub(super) const PASSWORD: &str = "countersign";
/// Our client id at both.
pub(super) const CLIENT_ID: &str = "countersign";

/// Our client secrets at the playground's two servers, made once and kept beside the data, mode 0600.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClientSecrets {
    pub(super) openid_provider: SecretString,
    pub(super) ledgerline: SecretString,
}

impl ClientSecrets {
    pub(super) fn open_or_create(path: &Path, random: &dyn Random) -> anyhow::Result<Self> {
        match fs::File::options().write(true).create_new(true).mode(0o600).open(path) {
            Ok(mut file) => {
                let (first, second) = (countersign_crypto::token(random), countersign_crypto::token(random));
                file.write_all(format!("openid_provider = \"{first}\"\nledgerline = \"{second}\"\n").as_bytes())?;
                file.sync_all()?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error).with_context(|| format!("cannot make {}", path.display())),
        }
        toml::from_str(&fs::read_to_string(path)?).with_context(|| format!("{} is damaged", path.display()))
    }
}

/// Both servers.
pub(super) struct Playground {
    pub(super) openid_provider: OpenIdProvider,
    pub(super) ledgerline: Ledgerline,
}

impl Playground {
    pub(super) fn start(
        args: &DevArgs,
        ports: Ports,
        data: &DataDirectory,
        secrets: &ClientSecrets,
        parts: &Parts,
    ) -> anyhow::Result<Self> {
        let parts = PlaygroundParts { clock: parts.clock.clone(), random: parts.random.clone() };
        let account = ours(ports.account());
        let openid_provider = OpenIdProvider::new(
            OpenIdProviderConfig {
                issuer: playground(ports.openid_provider()),
                clients: vec![Client {
                    client_id: CLIENT_ID.to_owned(),
                    client_secret: secrets.openid_provider.clone(),
                    name: "Countersign".to_owned(),
                    redirect_uris: vec![format!("{account}/oauth2/idpresponse")],
                    post_logout_redirect_uris: vec![format!("{account}/logged-out")],
                }],
                data: Some(data.playground()),
                ..OpenIdProviderConfig::default()
            },
            parts.clone(),
        )
        .context("the playground's OpenID provider does not start")?;
        let ledgerline = Ledgerline::new(
            LedgerlineConfig {
                issuer: playground(ports.ledgerline()),
                access_token_lifetime: Duration::from_secs(args.playground_token_lifetime),
                data: Some(data.playground()),
                ..LedgerlineConfig::default()
            },
            parts,
        )
        .context("Ledgerline does not start")?;
        Ok(Self { openid_provider, ledgerline })
    }

    /// Registers our client at Ledgerline once its callback URL is known.
    pub(super) fn register_callback(&self, callback_url: &str, secrets: &ClientSecrets) -> anyhow::Result<()> {
        self.ledgerline
            .register_client(Client {
                client_id: CLIENT_ID.to_owned(),
                client_secret: secrets.ledgerline.expose_secret().to_owned().into(),
                name: "Countersign".to_owned(),
                redirect_uris: vec![callback_url.to_owned()],
                post_logout_redirect_uris: vec![],
            })
            .context("cannot register at Ledgerline")
    }
}
