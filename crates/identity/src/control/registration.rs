//! What create and update of an OAuth2 provider have in common: taking in a client's registration at an
//! authorization server, and showing it without its secret.

use countersign_api::control::oauth2_provider_config::{
    AuthorizationServerMetadata, CustomOauth2ProviderConfigOutput, Oauth2Discovery,
    Oauth2ProviderConfigInput, Oauth2ProviderConfigOutput,
};
use countersign_api::control::{Secret, SecretSource};
use countersign_api::{ApiError, Arn};
use countersign_crypto::SecretString;
use countersign_oauth::DocumentError;
use url::Url;

use crate::operation::{Call, OperationError};
use crate::state::Shared;
use crate::store::oauth2_provider::{ProviderConfig, ProviderRow};

/// A registration that has been checked.
pub(crate) struct Registration {
    pub(crate) config: ProviderConfig,
    pub(crate) client_id: String,
    pub(crate) client_secret: SecretString,
}

/// Takes in a registration: reads the discovery document, or checks the given endpoints.
pub(crate) async fn accept(
    state: &Shared,
    input: Oauth2ProviderConfigInput,
) -> Result<Registration, OperationError> {
    let Oauth2ProviderConfigInput::Custom(custom) = input else {
        // The wire contract refuses the others; this is for the day when it does not.
        return Err(refused(
            "oauth2ProviderConfigInput",
            "only customOauth2ProviderConfig is supported",
        ));
    };
    let client_authentication = custom.effective_client_authentication_method();
    match &custom.oauth_discovery {
        Oauth2Discovery::DiscoveryUrl(url) => check_discovery(state, url).await?,
        Oauth2Discovery::AuthorizationServerMetadata(metadata) => check_endpoints(state, metadata)?,
    }
    Ok(Registration {
        config: ProviderConfig {
            discovery: custom.oauth_discovery,
            client_authentication,
        },
        client_id: custom.client_id.unwrap_or_default(),
        client_secret: custom.client_secret.unwrap_or_default().into_secret(),
    })
}

async fn check_discovery(state: &Shared, url: &str) -> Result<(), OperationError> {
    const MEMBER: &str = "oauth2ProviderConfigInput.customOauth2ProviderConfig.oauthDiscovery.discoveryUrl";
    let url = Url::parse(url).map_err(|_| refused(MEMBER, "must be an absolute https URL"))?;
    if state.outbound.check(&url).is_err() {
        return Err(refused(MEMBER, "must be an https URL that this server may reach"));
    }
    match state.discovery.fetch(&url).await {
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::info!(%error, "a discovery document was not accepted");
            Err(refused(MEMBER, &discovery_rule(&error)))
        }
    }
}

/// What is wrong with the document, without telling the caller what stands where in our network.
fn discovery_rule(error: &DocumentError) -> String {
    match error {
        DocumentError::Unreachable(_) => "the document could not be fetched".to_owned(),
        DocumentError::Status(_) | DocumentError::Malformed => {
            "the URL must answer 200 with the JSON document of RFC 8414 or OpenID Connect Discovery"
                .to_owned()
        }
        DocumentError::Member(member) => format!("the document's {member} is missing or cannot be used"),
        DocumentError::Issuer { .. } => {
            "the document's issuer must be the one that the URL belongs to (RFC 8414 section 3.3)".to_owned()
        }
        DocumentError::Url => "must be a discovery URL".to_owned(),
    }
}

fn check_endpoints(state: &Shared, metadata: &AuthorizationServerMetadata) -> Result<(), OperationError> {
    const PLACE: &str =
        "oauth2ProviderConfigInput.customOauth2ProviderConfig.oauthDiscovery.authorizationServerMetadata";
    for (member, text) in [
        ("authorizationEndpoint", &metadata.authorization_endpoint),
        ("tokenEndpoint", &metadata.token_endpoint),
    ] {
        let reachable = Url::parse(text).is_ok_and(|url| state.outbound.check(&url).is_ok());
        if !reachable {
            return Err(refused(
                &format!("{PLACE}.{member}"),
                "must be an https URL that this server may reach",
            ));
        }
    }
    Ok(())
}

fn refused(member: &str, rule: &str) -> OperationError {
    OperationError::refused("invalid_registration", ApiError::field(member, rule))
}

/// The parts of an answer about a provider.
pub(crate) struct Shown {
    pub(crate) arn: String,
    pub(crate) client_secret_arn: Secret,
    pub(crate) client_secret_source: SecretSource,
    pub(crate) callback_url: String,
    pub(crate) config: Oauth2ProviderConfigOutput,
}

/// Shows a provider.
pub(crate) fn show(call: &Call, provider: &ProviderRow) -> Shown {
    let (region, account) = (call.region(), call.account());
    // Six characters, as Secrets Manager adds them; the same for the life of the provider.
    let suffix: String = provider.callback_id.chars().take(6).collect();
    Shown {
        arn: Arn::oauth2_provider(region, account, &provider.name).to_string(),
        client_secret_arn: Secret {
            secret_arn: Arn::client_secret(region, account, &provider.name, &suffix).to_string(),
        },
        client_secret_source: SecretSource::Managed,
        callback_url: call.state.callback_url(&provider.callback_id).to_string(),
        config: Oauth2ProviderConfigOutput::Custom(CustomOauth2ProviderConfigOutput {
            oauth_discovery: provider.config.discovery.clone(),
            client_id: Some(provider.client_id.clone()),
            client_authentication_method: Some(provider.config.client_authentication),
        }),
    }
}
