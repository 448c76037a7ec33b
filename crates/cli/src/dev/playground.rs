//! The playground of `dev`: somebody else's login provider and somebody else's service, and our registrations there.

use std::time::Duration;

use anyhow::Context as _;
use countersign_playground::{
    Client, Ledgerline, LedgerlineConfig, OpenIdProvider, OpenIdProviderConfig, Parts,
};
use url::Url;

use super::DevArgs;
use super::{
    DataDirectory,
    ports::{Ports, ours, playground},
    secrets::Secrets,
};
use crate::process::Process;

/// The password of alice and bob.
pub(super) const PASSWORD: &str = "countersign";
/// Our client id at both.
pub(super) const CLIENT_ID: &str = "countersign";

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
        secrets: &Secrets,
        process: &Process,
    ) -> anyhow::Result<Self> {
        let surroundings = Parts {
            clock: process.clock.clone(),
            random: process.random.clone(),
        };
        let account = ours(ports.account());
        let openid_provider = OpenIdProvider::new(
            OpenIdProviderConfig {
                issuer: playground(ports.openid_provider()),
                clients: vec![Client {
                    client_id: CLIENT_ID.to_owned(),
                    client_secret: secrets.login_client_secret.clone(),
                    name: "Countersign".to_owned(),
                    redirect_uris: vec![format!("{account}/oauth2/idpresponse")],
                    post_logout_redirect_uris: vec![format!("{account}/logged-out")],
                }],
                data: Some(data.playground()),
                ..OpenIdProviderConfig::default()
            },
            surroundings.clone(),
        )
        .context("the playground's OpenID provider does not start")?;
        let ledgerline = Ledgerline::new(
            LedgerlineConfig {
                issuer: playground(ports.ledgerline()),
                access_token_lifetime: Duration::from_secs(args.playground_token_lifetime),
                data: Some(data.playground()),
                ..LedgerlineConfig::default()
            },
            surroundings,
        )
        .context("Ledgerline does not start")?;
        Ok(Self {
            openid_provider,
            ledgerline,
        })
    }

    /// Registers our client at Ledgerline once its callback URL is known.
    pub(super) fn register_callback(&self, callback_url: &Url, secrets: &Secrets) -> anyhow::Result<()> {
        self.ledgerline
            .register_client(Client {
                client_id: CLIENT_ID.to_owned(),
                client_secret: secrets.ledgerline_client_secret.clone(),
                name: "Countersign".to_owned(),
                redirect_uris: vec![callback_url.to_string()],
                post_logout_redirect_uris: vec![],
            })
            .context("cannot register at Ledgerline")
    }
}
