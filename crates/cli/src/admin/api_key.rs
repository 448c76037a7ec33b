//! `countersign api-key …`.

use countersign_api::Sensitive;
use countersign_api::control::{self, SecretReference, SecretSource};

use super::{Admin, secret};
use crate::args::{ApiKey, ApiKeyCommand};

pub(super) async fn run(admin: &Admin, command: ApiKeyCommand) -> anyhow::Result<()> {
    match command {
        ApiKeyCommand::Create { name, key, tags } => {
            let (api_key, api_key_secret_config, api_key_secret_source) = key_of(&key)?;
            let input = control::create_api_key_credential_provider::Input {
                name,
                api_key,
                api_key_secret_config,
                api_key_secret_source,
                tags: Some(tags.tags.into_iter().collect()),
            };
            admin.show(
                &admin
                    .call::<control::CreateApiKeyCredentialProvider>(&input)
                    .await?,
            )
        }
        ApiKeyCommand::Get { name } => {
            let input = control::get_api_key_credential_provider::Input { name };
            admin.show(&admin.call::<control::GetApiKeyCredentialProvider>(&input).await?)
        }
        ApiKeyCommand::List(page) => {
            let input = control::list_api_key_credential_providers::Input {
                next_token: page.next_token,
                max_results: page.max_results.map(i64::from),
            };
            let list = admin
                .call::<control::ListApiKeyCredentialProviders>(&input)
                .await?;
            admin.show_list(
                &list,
                "credentialProviders",
                &["name", "credentialProviderArn", "lastUpdatedTime"],
            )
        }
        ApiKeyCommand::Update { name, key } => {
            let (api_key, api_key_secret_config, api_key_secret_source) = key_of(&key)?;
            let input = control::update_api_key_credential_provider::Input {
                name,
                api_key,
                api_key_secret_config,
                api_key_secret_source,
            };
            admin.show(
                &admin
                    .call::<control::UpdateApiKeyCredentialProvider>(&input)
                    .await?,
            )
        }
        ApiKeyCommand::Delete { name } => {
            let input = control::delete_api_key_credential_provider::Input { name };
            admin
                .call::<control::DeleteApiKeyCredentialProvider>(&input)
                .await?;
            admin.done("deleted");
            Ok(())
        }
    }
}

type Key = (Option<Sensitive>, Option<SecretReference>, Option<SecretSource>);

/// The key, or where it is; clap sees to it that exactly one is given.
fn key_of(key: &ApiKey) -> anyhow::Result<Key> {
    if let Some(reference) = &key.key_external {
        let reference = secret::external("--key-external", reference)?;
        return Ok((None, Some(reference), Some(SecretSource::External)));
    }
    let reference = key.key.as_deref().unwrap_or("-");
    Ok((Some(secret::read("--key", reference)?.into()), None, None))
}
