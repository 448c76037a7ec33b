//! `countersign provider …`.

use anyhow::Context as _;
use countersign_api::{
    admin::SubjectKind,
    control::{self, CredentialProviderVendor},
};
use countersign_oauth::vendor::VENDORS;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{Admin, secret, stop};
use crate::args::{ClientAuthentication, ProviderCommand, ProviderConfig};

pub(super) async fn run(admin: &Admin, command: ProviderCommand) -> anyhow::Result<()> {
    match command {
        ProviderCommand::Create { config, tags } => {
            let mut input: control::create_oauth2_credential_provider::Input = input(&config)?;
            input.tags = Some(tags.tags.into_iter().collect());
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
        ProviderCommand::Stop { name, options } => {
            stop::stop(admin, SubjectKind::Provider, name, options).await
        }
        ProviderCommand::Start { name } => stop::start(admin, SubjectKind::Provider, name).await,
    }
}

/// The request of create and of update: the same members.
fn input<T: DeserializeOwned>(config: &ProviderConfig) -> anyhow::Result<T> {
    let vendor = vendor(&config.vendor)?;
    let mut members = match &config.members {
        Some(path) => {
            let text = std::fs::read(path).with_context(|| format!("--members: {}", path.display()))?;
            serde_json::from_slice::<Map<String, Value>>(&text)
                .with_context(|| format!("--members: {} is not a JSON object", path.display()))?
        }
        None => Map::new(),
    };
    let mut set = |member: &str, value: Option<Value>| {
        if let Some(value) = value {
            members.insert(member.to_owned(), value);
        }
    };
    let text = |text: &Option<String>| text.clone().map(Value::from);
    if vendor == CredentialProviderVendor::CustomOauth2 {
        set("oauthDiscovery", discovery(config));
        set(
            "clientAuthenticationMethod",
            config.client_authentication.map(method),
        );
    } else {
        set("issuer", text(&config.issuer));
        set("authorizationEndpoint", text(&config.authorization_endpoint));
        set("tokenEndpoint", text(&config.token_endpoint));
        set("tenantId", text(&config.tenant_id));
    }
    set("clientId", text(&config.client_id));
    if let Some(reference) = &config.secret.client_secret {
        set(
            "clientSecret",
            Some(secret::read("--client-secret", reference)?.into()),
        );
    }
    if let Some(reference) = &config.secret.client_secret_external {
        let reference = secret::external("--client-secret-external", reference)?;
        set("clientSecretConfig", Some(serde_json::to_value(reference)?));
        set("clientSecretSource", Some("EXTERNAL".into()));
    }
    let input = json!({
        "name": config.name,
        "credentialProviderVendor": vendor,
        "oauth2ProviderConfigInput": { vendor.config_member(): members },
    });
    serde_json::from_value(input).context("the options do not make a provider")
}

/// Where a custom server's endpoints are known from, as far as the options say.
fn discovery(config: &ProviderConfig) -> Option<Value> {
    if let Some(url) = &config.discovery_url {
        return Some(json!({ "discoveryUrl": url }));
    }
    config.issuer.as_ref().map(|issuer| {
        json!({ "authorizationServerMetadata": {
            "issuer": issuer,
            "authorizationEndpoint": config.authorization_endpoint,
            "tokenEndpoint": config.token_endpoint,
        }})
    })
}

fn method(method: ClientAuthentication) -> Value {
    match method {
        ClientAuthentication::Basic => "CLIENT_SECRET_BASIC",
        ClientAuthentication::Post => "CLIENT_SECRET_POST",
        ClientAuthentication::PrivateKeyJwt => "PRIVATE_KEY_JWT",
        ClientAuthentication::AwsIamIdTokenJwt => "AWS_IAM_ID_TOKEN_JWT",
    }
    .into()
}

/// `github` and `GithubOauth2` are the same.
fn vendor(name: &str) -> anyhow::Result<CredentialProviderVendor> {
    let known = VENDORS.iter().map(|vendor| vendor.name).find(|known| {
        known.eq_ignore_ascii_case(name)
            || known
                .strip_suffix("Oauth2")
                .is_some_and(|short| short.eq_ignore_ascii_case(name))
    });
    let Some(known) = known else {
        let names: Vec<String> = VENDORS
            .iter()
            .map(|vendor| vendor.name.trim_end_matches("Oauth2").to_ascii_lowercase())
            .collect();
        anyhow::bail!("--vendor: {name} is not known; known are: {}", names.join(" "));
    };
    Ok(serde_json::from_value(known.into())?)
}
