//! `countersign provider …`.

use anyhow::Context as _;
use countersign_api::{admin::SubjectKind, control};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{Admin, stop};
use crate::{
    args::{ProviderCommand, ProviderConfig, StopCommand},
    config::secret_reference,
};

pub(super) async fn run(admin: &Admin, command: ProviderCommand) -> anyhow::Result<()> {
    match command {
        ProviderCommand::Create(config) => {
            let input = input(&config)?;
            admin.show(
                &admin
                    .call::<control::CreateOauth2CredentialProvider>(&input)
                    .await?,
            )
        }
        ProviderCommand::Get { name } => {
            let input = control::get_oauth2_credential_provider::Input { name };
            admin.show(&admin.call::<control::GetOauth2CredentialProvider>(&input).await?)
        }
        ProviderCommand::List(page) => {
            let input = control::list_oauth2_credential_providers::Input {
                next_token: page.next_token,
                max_results: page.max_results.map(i64::from),
            };
            let list = admin
                .call::<control::ListOauth2CredentialProviders>(&input)
                .await?;
            admin.show_list(
                &list,
                "credentialProviders",
                &["name", "credentialProviderVendor", "lastUpdatedTime"],
            )
        }
        ProviderCommand::Update(config) => {
            let input = input(&config)?;
            admin.show(
                &admin
                    .call::<control::UpdateOauth2CredentialProvider>(&input)
                    .await?,
            )
        }
        ProviderCommand::Delete { name } => {
            let input = control::delete_oauth2_credential_provider::Input { name };
            admin
                .call::<control::DeleteOauth2CredentialProvider>(&input)
                .await?;
            admin.done("deleted");
            Ok(())
        }
        ProviderCommand::Stop { name, reason } => {
            stop::run(
                admin,
                SubjectKind::Provider,
                StopCommand::Stop {
                    subject: name,
                    reason,
                },
            )
            .await
        }
        ProviderCommand::Start { name } => {
            stop::run(admin, SubjectKind::Provider, StopCommand::Start { subject: name }).await
        }
    }
}

/// The request of create and of update: the same members.
fn input<T: DeserializeOwned>(config: &ProviderConfig) -> anyhow::Result<T> {
    let secret = secret_reference::read(&config.client_secret)
        .context("--client-secret")?
        .context(
            "--client-secret: write env:NAME or file:PATH, so that the secret is not in the process list",
        )?;
    let input = json!({
        "name": config.name,
        "credentialProviderVendor": "CustomOauth2",
        "oauth2ProviderConfigInput": { "customOauth2ProviderConfig": {
            "oauthDiscovery": { "discoveryUrl": config.discovery_url },
            "clientId": config.client_id,
            "clientSecret": secret,
        } },
    });
    Ok(serde_json::from_value(input)?)
}
