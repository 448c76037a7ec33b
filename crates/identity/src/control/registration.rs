//! What create and update of an OAuth2 provider have in common: taking in a client's registration at an
//! authorization server, and showing it without its secret.

use countersign_api::control::oauth2_provider_config::{
    AuthorizationServerMetadata, ClientAuthenticationMethod, ClientConfigOutput,
    CustomOauth2ProviderConfigInput, CustomOauth2ProviderConfigOutput, Oauth2Discovery,
    Oauth2ProviderConfigInput, Oauth2ProviderConfigOutput,
};
use countersign_api::control::{CredentialProviderVendor, Secret, SecretSource};
use countersign_api::{ApiError, Arn, Sensitive};
use countersign_crypto::SecretString;
use countersign_oauth::vendor::{Location, SecretMethod};
use countersign_oauth::{DocumentError, ServerMetadata, Vendor};
use url::Url;

use super::external;
use crate::operation::{Call, OperationError};
use crate::state::Shared;
use crate::store::oauth2_provider::{
    ClientSecretAt, PrivateNetwork, ProviderConfig, ProviderRow, VendorSettings,
};
use crate::vault::location::locate;
use crate::vault::provider::template;

/// A registration that has been checked.
pub(crate) struct Registration {
    pub(crate) config: ProviderConfig,
    pub(crate) client_id: String,
    /// Empty where the secret is not in the vault.
    pub(crate) client_secret: SecretString,
}

/// Takes in a registration: finds the server, reads its discovery document or checks the given endpoints, and
/// reads an external secret once.
pub(crate) async fn accept(
    call: &Call,
    vendor: CredentialProviderVendor,
    input: Oauth2ProviderConfigInput,
) -> Result<Registration, OperationError> {
    let place = format!("oauth2ProviderConfigInput.{}", input.member());
    let vendor = template(vendor);
    let client = input.client();
    let client_id = client.id.unwrap_or_default().to_owned();
    let secret = client.secret.map_or("", Sensitive::expose);
    let client_secret_at = match client.secret_reference {
        Some(reference) => {
            external::check(call, reference, &format!("{place}.clientSecretConfig")).await?;
            ClientSecretAt::External(reference.clone())
        }
        None if secret.is_empty() => ClientSecretAt::Nowhere,
        None => ClientSecretAt::Vault,
    };
    let client_secret = secret.to_owned().into();
    let config = config(vendor, client_secret_at, input);
    if config.private_network.is_public() {
        check_server(&call.state, vendor, &config, &place).await?;
    }
    Ok(Registration {
        config,
        client_id,
        client_secret,
    })
}

fn config(
    vendor: &Vendor,
    client_secret_at: ClientSecretAt,
    input: Oauth2ProviderConfigInput,
) -> ProviderConfig {
    let settings = match input {
        Oauth2ProviderConfigInput::Custom(custom) => return custom_config(client_secret_at, *custom),
        Oauth2ProviderConfigInput::Microsoft(config) => VendorSettings {
            tenant_id: config.tenant_id,
            ..VendorSettings::default()
        },
        Oauth2ProviderConfigInput::Included(config) => VendorSettings {
            tenant_id: None,
            issuer: config.issuer,
            authorization_endpoint: config.authorization_endpoint,
            token_endpoint: config.token_endpoint,
        },
        _ => VendorSettings::default(),
    };
    ProviderConfig {
        discovery: None,
        settings,
        client_authentication: match vendor.client_authentication {
            SecretMethod::Basic => ClientAuthenticationMethod::ClientSecretBasic,
            SecretMethod::Post => ClientAuthenticationMethod::ClientSecretPost,
        },
        client_secret_at,
        on_behalf_of: None,
        private_key_jwt: None,
        private_network: PrivateNetwork::default(),
    }
}

fn custom_config(
    client_secret_at: ClientSecretAt,
    custom: CustomOauth2ProviderConfigInput,
) -> ProviderConfig {
    ProviderConfig {
        client_authentication: custom.effective_client_authentication_method(),
        discovery: Some(custom.oauth_discovery),
        settings: VendorSettings::default(),
        client_secret_at,
        on_behalf_of: custom.on_behalf_of_token_exchange_config,
        private_key_jwt: custom.private_key_jwt_config,
        private_network: PrivateNetwork {
            endpoint: custom.private_endpoint,
            overrides: custom.private_endpoint_overrides,
            certificates: custom.certificate_configurations,
        },
    }
}

/// Whether the server can be used: its document can be read and is what it should be, its endpoints may be reached.
async fn check_server(
    state: &Shared,
    vendor: &'static Vendor,
    config: &ProviderConfig,
    place: &str,
) -> Result<(), OperationError> {
    let custom = config.discovery.is_some();
    let at = |member: &str| format!("{place}.{member}");
    let location = locate(state, vendor, config).map_err(|error| refused(&at(error.member), error.rule))?;
    match location {
        Location::Discovery(url) => {
            let member = if custom {
                "oauthDiscovery.discoveryUrl"
            } else {
                "issuer"
            };
            check_discovery(state, &url, &at(member)).await
        }
        Location::Endpoints { server, .. } => {
            let prefix = if custom {
                "oauthDiscovery.authorizationServerMetadata."
            } else {
                ""
            };
            for (member, url) in [
                ("authorizationEndpoint", &server.authorization_endpoint),
                ("tokenEndpoint", &server.token_endpoint),
            ] {
                if state.outbound.check(url).is_err() {
                    let rule = "must be an https URL that this server may reach";
                    return Err(refused(&at(&format!("{prefix}{member}")), rule));
                }
            }
            Ok(())
        }
    }
}

async fn check_discovery(state: &Shared, url: &Url, member: &str) -> Result<(), OperationError> {
    if state.outbound.check(url).is_err() {
        return Err(refused(member, "must be an https URL that this server may reach"));
    }
    match state.discovery.fetch(url).await {
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::info!(%error, "a discovery document was not accepted");
            Err(refused(member, &discovery_rule(&error)))
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

fn refused(member: &str, rule: &str) -> OperationError {
    OperationError::refused("invalid_registration", ApiError::field(member, rule))
}

/// The parts of an answer about a provider.
pub(crate) struct Shown {
    pub(crate) arn: String,
    pub(crate) client_secret_arn: Secret,
    pub(crate) client_secret_json_key: Option<String>,
    pub(crate) client_secret_source: SecretSource,
    pub(crate) callback_url: String,
    pub(crate) config: Oauth2ProviderConfigOutput,
}

/// Shows a provider.
pub(crate) fn show(call: &Call, provider: &ProviderRow) -> Result<Shown, OperationError> {
    let (region, account) = (call.region(), call.account());
    let (secret_arn, client_secret_json_key, client_secret_source) = match &provider.config.client_secret_at {
        ClientSecretAt::External(reference) => (
            external::arn(region, account, reference),
            Some(reference.json_key.clone()),
            SecretSource::External,
        ),
        ClientSecretAt::Vault | ClientSecretAt::Nowhere => {
            // Six characters, as Secrets Manager adds them; the same for the life of the provider.
            let suffix: String = provider.callback_id.chars().take(6).collect();
            let arn = Arn::client_secret(region, account, &provider.name, &suffix);
            (arn.to_string(), None, SecretSource::Managed)
        }
    };
    Ok(Shown {
        arn: Arn::oauth2_provider(region, account, &provider.name).to_string(),
        client_secret_arn: Secret { secret_arn },
        client_secret_json_key,
        client_secret_source,
        callback_url: call.state.callback_url(&provider.callback_id).to_string(),
        config: show_config(&call.state, provider)?,
    })
}

fn show_config(state: &Shared, provider: &ProviderRow) -> Result<Oauth2ProviderConfigOutput, OperationError> {
    let client_id = Some(provider.client_id.clone()).filter(|id| !id.is_empty());
    let config = &provider.config;
    if let Some(discovery) = &config.discovery {
        let public = config.client_secret_at == ClientSecretAt::Nowhere
            && config.client_authentication == ClientAuthenticationMethod::ClientSecretBasic;
        return Ok(Oauth2ProviderConfigOutput::Custom(Box::new(
            CustomOauth2ProviderConfigOutput {
                oauth_discovery: discovery.clone(),
                client_id,
                client_authentication_method: (!public).then_some(config.client_authentication),
                on_behalf_of_token_exchange_config: config.on_behalf_of.clone(),
                private_key_jwt_config: config.private_key_jwt.clone(),
                private_endpoint: config.private_network.endpoint.clone(),
                private_endpoint_overrides: config.private_network.overrides.clone(),
                certificate_configurations: config.private_network.certificates.clone(),
            },
        )));
    }
    let unusable = |rule| OperationError::internal("provider_unusable", rule);
    let location = locate(state, template(provider.vendor), config).map_err(unusable)?;
    let output = ClientConfigOutput {
        oauth_discovery: match location {
            Location::Discovery(url)
            | Location::Endpoints {
                discovery: Some(url), ..
            } => Oauth2Discovery::DiscoveryUrl(url.to_string()),
            Location::Endpoints {
                server,
                discovery: None,
            } => Oauth2Discovery::AuthorizationServerMetadata(shown_metadata(&server)),
        },
        client_id,
    };
    Ok(match provider.vendor {
        CredentialProviderVendor::GoogleOauth2 => Oauth2ProviderConfigOutput::Google(output),
        CredentialProviderVendor::GithubOauth2 => Oauth2ProviderConfigOutput::Github(output),
        CredentialProviderVendor::SlackOauth2 => Oauth2ProviderConfigOutput::Slack(output),
        CredentialProviderVendor::SalesforceOauth2 => Oauth2ProviderConfigOutput::Salesforce(output),
        CredentialProviderVendor::MicrosoftOauth2 => Oauth2ProviderConfigOutput::Microsoft(output),
        CredentialProviderVendor::AtlassianOauth2 => Oauth2ProviderConfigOutput::Atlassian(output),
        CredentialProviderVendor::LinkedinOauth2 => Oauth2ProviderConfigOutput::Linkedin(output),
        _ => Oauth2ProviderConfigOutput::Included(output),
    })
}

fn shown_metadata(server: &ServerMetadata) -> AuthorizationServerMetadata {
    AuthorizationServerMetadata {
        issuer: server.issuer.clone(),
        authorization_endpoint: server.authorization_endpoint.to_string(),
        token_endpoint: server.token_endpoint.to_string(),
        response_types: None,
        token_endpoint_auth_methods: None,
    }
}
