//! The AWS SDK for Rust against the server that the environment names: answers deserialise, errors are their typed
//! variants. Prints `done`.

use anyhow::{Context as _, ensure};
use aws_sdk_bedrockagentcore::Client as Data;
use aws_sdk_bedrockagentcore::types::{Oauth2FlowType, UserIdentifier};
use aws_sdk_bedrockagentcorecontrol::Client as Control;
use aws_sdk_bedrockagentcorecontrol::types::{
    CredentialProviderVendorType, GoogleOauth2ProviderConfigInput, KeyType, KmsConfiguration,
    Oauth2Discovery, Oauth2ProviderConfigInput, Oauth2ProviderConfigOutput,
};

const RETURN_URL: &str = "http://localhost:9/callback";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // Plain HTTP: a TLS stack would add minutes to the build and nothing to the test.
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_config::from_env().http_client(http).load().await;
    let (control, data) = (Control::new(&config), Data::new(&config));
    workload_identity(&control).await?;
    oauth2_provider(&control).await?;
    api_key(&control, &data).await?;
    token_vault(&control).await?;
    tags(&control).await?;
    tokens(&data).await?;
    control.delete_workload_identity().name("rust-agent").send().await?;
    let gone = control.get_workload_identity().name("rust-agent").send().await;
    ensure!(gone.is_err_and(|error| error.into_service_error().is_resource_not_found_exception()));
    println!("done");
    Ok(())
}

async fn workload_identity(control: &Control) -> anyhow::Result<()> {
    let make = || {
        control
            .create_workload_identity()
            .name("rust-agent")
            .allowed_resource_oauth2_return_urls(RETURN_URL)
            .tags("env", "dev")
            .send()
    };
    let made = make().await?;
    ensure!(made.workload_identity_arn().ends_with("workload-identity/rust-agent"));
    let got = control.get_workload_identity().name("rust-agent").send().await?;
    ensure!(got.created_time().secs() > 1_700_000_000, "an epoch number");
    let updated = control
        .update_workload_identity()
        .name("rust-agent")
        .allowed_resource_oauth2_return_urls(RETURN_URL)
        .allowed_resource_oauth2_return_urls("https://app.example.com/back")
        .send()
        .await?;
    ensure!(updated.allowed_resource_oauth2_return_urls().len() == 2, "{updated:?}");
    let again = make().await;
    let error = again.err().context("a name is taken once")?.into_service_error();
    ensure!(error.is_validation_exception(), "{error:?}");
    let mut pages = control
        .list_workload_identities()
        .into_paginator()
        .page_size(1)
        .items()
        .send();
    let mut names = Vec::new();
    while let Some(item) = pages.next().await {
        names.push(item?.name().to_owned());
    }
    ensure!(names.iter().any(|name| name == "rust-agent"), "{names:?}");
    Ok(())
}

async fn oauth2_provider(control: &Control) -> anyhow::Result<()> {
    let google = |client_id: &str| {
        let config = GoogleOauth2ProviderConfigInput::builder()
            .client_id(client_id)
            .client_secret("csec")
            .build();
        config.map(Oauth2ProviderConfigInput::GoogleOauth2ProviderConfig)
    };
    let made = control
        .create_oauth2_credential_provider()
        .name("rust-google")
        .credential_provider_vendor(CredentialProviderVendorType::GoogleOauth2)
        .oauth2_provider_config_input(google("cid")?)
        .send()
        .await?;
    ensure!(made.callback_url().is_some_and(|url| url.contains("/identities/oauth2/callback/")));
    let updated = control
        .update_oauth2_credential_provider()
        .name("rust-google")
        .credential_provider_vendor(CredentialProviderVendorType::GoogleOauth2)
        .oauth2_provider_config_input(google("another")?)
        .send()
        .await?;
    ensure!(updated.callback_url() == made.callback_url(), "{updated:?}");
    let got = control
        .get_oauth2_credential_provider()
        .name("rust-google")
        .send()
        .await?;
    let Some(Oauth2ProviderConfigOutput::GoogleOauth2ProviderConfig(config)) =
        got.oauth2_provider_config_output()
    else {
        anyhow::bail!("{got:?}");
    };
    ensure!(config.client_id() == Some("another"), "{config:?}");
    ensure!(matches!(config.oauth_discovery(), Some(Oauth2Discovery::DiscoveryUrl(url)) if url.contains("google")));
    let list = control.list_oauth2_credential_providers().send().await?;
    ensure!(list.credential_providers().iter().any(|item| item.name() == "rust-google"));
    control
        .delete_oauth2_credential_provider()
        .name("rust-google")
        .send()
        .await?;
    Ok(())
}

async fn api_key(control: &Control, data: &Data) -> anyhow::Result<()> {
    let make = control
        .create_api_key_credential_provider()
        .name("rust-key")
        .api_key("sk-rust");
    ensure!(make.send().await?.api_key_secret_arn().is_some());
    control
        .update_api_key_credential_provider()
        .name("rust-key")
        .api_key("sk-rust-2")
        .send()
        .await?;
    let got = control.get_api_key_credential_provider().name("rust-key").send().await?;
    ensure!(got.credential_provider_arn().ends_with("apikeycredentialprovider/rust-key"), "{got:?}");
    let list = control.list_api_key_credential_providers().send().await?;
    ensure!(list.credential_providers().iter().any(|item| item.name() == "rust-key"));
    let wat = data
        .get_workload_access_token()
        .workload_name("rust-agent")
        .send()
        .await?;
    let key = data
        .get_resource_api_key()
        .workload_identity_token(wat.workload_access_token())
        .resource_credential_provider_name("rust-key")
        .send()
        .await?;
    ensure!(key.api_key() == "sk-rust-2");
    control
        .delete_api_key_credential_provider()
        .name("rust-key")
        .send()
        .await?;
    Ok(())
}

async fn token_vault(control: &Control) -> anyhow::Result<()> {
    let vault = control.get_token_vault().send().await?;
    ensure!(
        vault
            .kms_configuration()
            .is_some_and(|key| *key.key_type() == KeyType::ServiceManagedKey)
    );
    let own = KmsConfiguration::builder().key_type(KeyType::ServiceManagedKey).build()?;
    let set = control.set_token_vault_cmk().kms_configuration(own).send().await?;
    ensure!(set.token_vault_id() == "default", "{set:?}");
    let refused = control.reset_token_vault_key_material().send().await;
    let error = refused.err().context("the key is there")?.into_service_error();
    ensure!(error.is_validation_exception(), "{error:?}");
    Ok(())
}

async fn tags(control: &Control) -> anyhow::Result<()> {
    let agent = control.get_workload_identity().name("rust-agent").send().await?;
    let arn = agent.workload_identity_arn();
    control.tag_resource().resource_arn(arn).tags("team", "a b").send().await?;
    control.untag_resource().resource_arn(arn).tag_keys("env").send().await?;
    let tags = control.list_tags_for_resource().resource_arn(arn).send().await?;
    let tags = tags.tags().context("tags")?;
    ensure!(tags.get("team").is_some_and(|value| value == "a b") && !tags.contains_key("env"), "{tags:?}");
    let refused = control.list_consent_portals().send().await;
    let error = refused.err().context("consent portals are not offered")?.into_service_error();
    ensure!(error.is_validation_exception(), "{error:?}");
    Ok(())
}

async fn tokens(data: &Data) -> anyhow::Result<()> {
    let forged = data
        .get_workload_access_token_for_jwt()
        .workload_name("rust-agent")
        .user_token("aaa.bbb.ccc")
        .send()
        .await;
    let error = forged.err().context("nobody signed it")?.into_service_error();
    ensure!(error.is_unauthorized_exception(), "{error:?}");
    let wat = data
        .get_workload_access_token_for_user_id()
        .workload_name("rust-agent")
        .user_id("user-1")
        .send()
        .await?;
    let pending = data
        .get_resource_oauth2_token()
        .workload_identity_token(wat.workload_access_token())
        .resource_credential_provider_name(std::env::var("COUNTERSIGN_PROVIDER")?)
        .scopes("issues:read")
        .oauth2_flow(Oauth2FlowType::UserFederation)
        .resource_oauth2_return_url(RETURN_URL)
        .send()
        .await?;
    ensure!(pending.access_token().is_none() && pending.authorization_url().is_some());
    let refused = data
        .complete_resource_token_auth()
        .session_uri(pending.session_uri().context("a session URI")?)
        .user_identifier(UserIdentifier::UserId("user-1".to_owned()))
        .send()
        .await;
    let error = refused.err().context("nobody has consented")?.into_service_error();
    ensure!(error.is_access_denied_exception(), "{error:?}");
    Ok(())
}
