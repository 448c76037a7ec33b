//! `ON_BEHALF_OF_TOKEN_EXCHANGE`: the JWT that proved the person to us is exchanged at the provider, by RFC 8693 or as
//! the authorization grant of RFC 7523, as the provider's registration says. What comes of it goes to the caller and is
//! not kept: the person's token is what consented, and it may end at any time.

use std::sync::Arc;

use countersign_api::control::on_behalf_of::{
    ActorTokenContent, OnBehalfOfGrantType, OnBehalfOfTokenExchangeConfig,
};
use countersign_api::data::Oauth2Flow;
use countersign_api::data::get_resource_oauth2_token::Output;
use countersign_api::{ApiError, EpochSeconds};
use countersign_crypto::SecretString;
use countersign_oauth::TokenSet;
use countersign_oauth::token::{JwtBearer, Target, TokenExchange, is_reserved_at_token_endpoint};

use super::Request;
use crate::operation::{Call, OperationError};
use crate::vault::client_token::{self, Wanted};
use crate::vault::direct_grant::Client;
use crate::vault::key::{VaultKeyParts, normalised_scopes};
use crate::vault::provider::ExchangeError;
use crate::vault::{Provider, VaultError, expiry, key};
use crate::wat;

const REFUSED: &str = "Error parsing the token exchange response";

pub(super) async fn token(call: &mut Call, request: &Request) -> Result<Output, OperationError> {
    request.refuse_overrides(is_reserved_at_token_endpoint)?;
    let provider = Provider::resolve(&call.state, Arc::clone(&request.provider)).await?;
    let (config, defaults) = configuration(&provider)?;
    let jwt = inbound_jwt(call, request).await?;
    let actor = match actor(&config) {
        ActorTokenContent::None => None,
        ActorTokenContent::M2m => Some(actor_token(call, request, &config).await?),
        ActorTokenContent::AwsIamIdTokenJwt => {
            let message =
                "actorTokenContent AWS_IAM_ID_TOKEN_JWT needs AWS IAM, which this server does not have.";
            return Err(OperationError::refused(
                "aws_only",
                ApiError::validation(countersign_api::ValidationReason::FieldValidationFailed, message),
            ));
        }
    };
    let mut custom = request.custom_pairs();
    custom.extend(
        defaults
            .iter()
            .filter(|(name, _)| !request.custom_parameters.contains_key(*name))
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    let target = Target {
        scopes: &request.scopes,
        resources: &request.resources,
        audiences: &request.audiences,
        custom: &custom,
    };
    let tokens = exchange(call, &provider, &config, &jwt, actor.as_ref(), target)
        .await
        .map_err(|error| super::refused_by_provider(REFUSED, VaultError::Exchange(error)))?;
    Ok(release(call, request, &provider, tokens))
}

/// The registration's own, else the vendor's form of RFC 7523 with its parameters.
type Configuration = (
    OnBehalfOfTokenExchangeConfig,
    &'static [(&'static str, &'static str)],
);

fn configuration(provider: &Provider) -> Result<Configuration, OperationError> {
    let vendor = provider.vendor_on_behalf_of();
    if let Some(config) = &provider.row.config.on_behalf_of {
        return Ok((config.clone(), vendor.unwrap_or_default()));
    }
    let built_in = OnBehalfOfTokenExchangeConfig {
        grant_type: OnBehalfOfGrantType::JwtAuthorizationGrant,
        token_exchange_grant_type_config: None,
        on_behalf_of_authentication_config: None,
    };
    vendor.map(|parameters| (built_in, parameters)).ok_or_else(|| {
        let rule = "needs a provider with onBehalfOfTokenExchangeConfig for ON_BEHALF_OF_TOKEN_EXCHANGE";
        OperationError::refused(
            "no_on_behalf_of_config",
            ApiError::field("resourceCredentialProviderName", rule),
        )
    })
}

fn actor(config: &OnBehalfOfTokenExchangeConfig) -> ActorTokenContent {
    config
        .token_exchange_grant_type_config
        .as_ref()
        .map_or(ActorTokenContent::None, |exchange| exchange.actor_token_content)
}

/// The JWT by which the person was proven; only `GetWorkloadAccessTokenForJWT` has one.
async fn inbound_jwt(call: &Call, request: &Request) -> Result<SecretString, OperationError> {
    let carried = request.user.as_ref().and_then(|user| user.inbound_jwt.as_ref());
    let jwt = match carried {
        Some(carried) => wat::inbound_jwt(&call.state, call.account(), carried, call.now).await?,
        None => None,
    };
    jwt.ok_or_else(|| {
        let rule = "must come from GetWorkloadAccessTokenForJWT for ON_BEHALF_OF_TOKEN_EXCHANGE";
        OperationError::refused("wat_without_jwt", ApiError::field("workloadIdentityToken", rule))
    })
}

/// A token of the workload itself, from the same place as those of the flow M2M.
async fn actor_token(
    call: &Call,
    request: &Request,
    config: &OnBehalfOfTokenExchangeConfig,
) -> Result<SecretString, OperationError> {
    let scopes = config
        .token_exchange_grant_type_config
        .as_ref()
        .and_then(|exchange| exchange.actor_token_scopes.as_deref());
    let scopes = normalised_scopes(scopes.unwrap_or_default());
    let vault_key = VaultKeyParts {
        account: call.account(),
        workload_id: &request.workload.id,
        provider_id: &request.provider.id,
        user_key: None,
        flow: Oauth2Flow::M2m.as_str(),
        custom_parameters: &std::collections::BTreeMap::new(),
        resources: &[],
        audiences: &[],
    };
    let wanted = Wanted {
        provider: &request.provider,
        workload_id: &request.workload.id,
        vault_key: vault_key.hash(),
        target: Target {
            scopes: &scopes,
            ..Target::default()
        },
        force: false,
    };
    let token = client_token::obtain(&call.state, &wanted)
        .await
        .map_err(|error| super::refused_by_provider("Error parsing ClientCredentials response", error))?;
    Ok(token.access_token)
}

async fn exchange(
    call: &Call,
    provider: &Provider,
    config: &OnBehalfOfTokenExchangeConfig,
    jwt: &SecretString,
    actor: Option<&SecretString>,
    target: Target<'_>,
) -> Result<TokenSet, ExchangeError> {
    let client = if config.on_behalf_of_authentication_config.is_some() {
        Client::Anonymous
    } else {
        Client::Registered
    };
    match config.grant_type {
        OnBehalfOfGrantType::TokenExchange => {
            let exchange = TokenExchange {
                subject_token: jwt,
                actor_token: actor,
                target,
            };
            provider.token_exchange(&call.state, client, &exchange).await
        }
        OnBehalfOfGrantType::JwtAuthorizationGrant => {
            let grant = JwtBearer {
                assertion: jwt,
                target,
            };
            provider.jwt_bearer(&call.state, client, &grant).await
        }
    }
}

fn release(call: &mut Call, request: &Request, provider: &Provider, tokens: TokenSet) -> Output {
    let granted = tokens.scope.as_deref().map(key::normalised_scopes);
    let scopes = provider.effective_scopes(&request.scopes, granted.as_deref());
    let detail = &mut call.entry.detail;
    detail.insert("released".to_owned(), true.into());
    detail.insert("scopes".to_owned(), scopes.clone().into());
    let expires = expiry(tokens.expires_in, call.now);
    super::record_expiry(call, expires);
    Output {
        expires_at: expires.map(|time| EpochSeconds::from_micros(time.as_micros())),
        access_token: Some(tokens.access_token.into()),
        granted_scopes: Some(scopes),
        ..Output::default()
    }
}
