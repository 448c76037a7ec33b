//! A credential provider with the metadata of its authorization server: everything that is sent there goes
//! through here.

use std::sync::Arc;
use std::time::Duration;

use countersign_api::control::oauth2_provider_config::{ClientAuthenticationMethod, Oauth2Discovery};
use countersign_crypto::{OpenError, SecretString};
use countersign_oauth::id_token::{self, Expectation, IdTokenError};
use countersign_oauth::revoke::{TokenKind, revoke};
use countersign_oauth::token::{CodeExchange, Refresh};
use countersign_oauth::{
    AuthorizationRequest, ClientAuthentication, DocumentError, IdTokenClaims, Pkce, ServerMetadata,
    TokenEndpoint, TokenError, TokenSet, Vendor, vendor,
};
use url::Url;

use super::AccountIdentity;
use super::consent::Consented;
use super::revoke::AtVendor;
use crate::session::{CODE_KEPT, Secrets};
use crate::state::{State, UnknownAccount};
use crate::store::authorization_session::SessionRow;
use crate::store::grant::GrantRow;
use crate::store::oauth2_provider::{ProviderRow, vendor_name};

/// A provider, ready for use.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(crate) row: Arc<ProviderRow>,
    pub(crate) server: Arc<ServerMetadata>,
    vendor: &'static Vendor,
}

/// To what a grant is tied (design D14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pins {
    pub(crate) issuer: String,
    pub(crate) token_origin: String,
    pub(crate) client_id: String,
}

/// Why a provider cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    /// Its metadata document cannot be had.
    #[error("authorization server metadata: {0}")]
    Metadata(#[from] DocumentError),
    /// What is stored is not usable by this version.
    #[error("the provider's configuration cannot be used: {0}")]
    Configuration(&'static str),
    /// The provider's account is not configured any more.
    #[error(transparent)]
    Account(#[from] UnknownAccount),
    /// The client secret does not open.
    #[error("client secret: {0}")]
    Secret(#[from] OpenError),
}

/// Why a code gave no grant.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// The token endpoint.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The ID token that came with the tokens.
    #[error(transparent)]
    IdToken(#[from] IdTokenError),
    /// The provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

impl ExchangeError {
    /// The vendor's error code, or a word of ours: safe to show and to store.
    pub(crate) fn code(&self) -> &str {
        match self {
            Self::Token(error) => error.code(),
            Self::IdToken(error) => error.reason(),
            Self::Provider(_) => "provider_unusable",
        }
    }
}

impl Provider {
    /// Reads or fetches the metadata of `row`'s authorization server.
    pub(crate) async fn resolve(state: &State, row: Arc<ProviderRow>) -> Result<Self, ProviderError> {
        let configuration = ProviderError::Configuration;
        let parse = |text: &str| Url::parse(text).map_err(|_| configuration("an endpoint is not a URL"));
        let server = match &row.config.discovery {
            Oauth2Discovery::DiscoveryUrl(url) => state.discovery.fetch(&parse(url)?).await?,
            Oauth2Discovery::AuthorizationServerMetadata(metadata) => Arc::new(ServerMetadata::new(
                metadata.issuer.as_str(),
                parse(&metadata.authorization_endpoint)?,
                parse(&metadata.token_endpoint)?,
            )),
        };
        let vendor =
            vendor::vendor(&vendor_name(row.vendor)).ok_or(configuration("the vendor is not supported"))?;
        Ok(Self { row, server, vendor })
    }

    /// What a grant made now is tied to.
    pub(crate) fn pins(&self) -> Pins {
        Pins {
            issuer: self.server.issuer.clone(),
            token_origin: self.server.token_endpoint.origin().ascii_serialization(),
            client_id: self.row.client_id.clone(),
        }
    }

    /// Whether this is still the provider that `grant` was consented at.
    pub(crate) fn is_pinned_by(&self, grant: &GrantRow) -> bool {
        let pins = self.pins();
        self.row.id == grant.provider_id
            && pins.issuer == grant.issuer
            && pins.token_origin == grant.token_origin
            && pins.client_id == grant.client_id
    }

    /// How long a code may be kept.
    pub(crate) fn code_kept(&self) -> Duration {
        self.vendor.code_lifetime.unwrap_or(CODE_KEPT).min(CODE_KEPT)
    }

    /// What a consent to `requested` gave, sorted.
    pub(crate) fn effective_scopes(&self, requested: &[String], granted: Option<&[String]>) -> Vec<String> {
        self.vendor
            .effective_scopes(requested, granted)
            .into_iter()
            .collect()
    }

    /// Where the browser goes. PKCE S256 always; `nonce` where the session has one.
    pub(crate) fn authorization_url(&self, state: &State, session: &SessionRow, secrets: &Secrets) -> Url {
        let pkce = Pkce::from_verifier(SecretString::from(secrets.code_verifier.as_str()));
        let audiences = secrets
            .audiences
            .iter()
            .map(|audience| ("audience".to_owned(), audience.clone()));
        let custom = secrets
            .custom_parameters
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        let custom: Vec<(String, String)> = audiences.chain(custom).collect();
        let redirect_uri = state.callback_url(&self.row.callback_id);
        AuthorizationRequest {
            endpoint: &self.server.authorization_endpoint,
            client_id: &self.row.client_id,
            redirect_uri: redirect_uri.as_str(),
            scopes: &session.scopes,
            state: &secrets.state,
            code_challenge: &pkce.challenge,
            nonce: secrets.nonce.as_deref(),
            resources: &secrets.resources,
            custom: &custom,
        }
        .url()
    }

    /// Exchanges the code, and asks whose account it is. Never called twice for one code.
    pub(crate) async fn exchange(
        &self,
        state: &State,
        secrets: &Secrets,
        code: &SecretString,
    ) -> Result<Consented, ExchangeError> {
        let authentication = self.authentication(state)?;
        let redirect_uri = state.callback_url(&self.row.callback_id);
        let exchange = CodeExchange {
            code,
            redirect_uri: redirect_uri.as_str(),
            verifier: &SecretString::from(secrets.code_verifier.as_str()),
            resources: &secrets.resources,
        };
        let tokens = self
            .endpoint(state, &self.server.token_endpoint, &authentication)
            .exchange_code(&exchange)
            .await?;
        let claims = self.id_token_claims(state, secrets, &tokens).await?;
        let identity = vendor::account_identity(
            self.vendor,
            &state.outbound,
            &self.server,
            claims.as_ref(),
            &tokens.access_token,
        )
        .await
        .map(|identity| AccountIdentity {
            id: identity.id,
            name: identity.name,
        });
        Ok(Consented { tokens, identity })
    }

    /// Validates the ID token where one was asked for and its keys are known.
    async fn id_token_claims(
        &self,
        state: &State,
        secrets: &Secrets,
        tokens: &TokenSet,
    ) -> Result<Option<IdTokenClaims>, IdTokenError> {
        let (Some(nonce), Some(token), Some(_)) = (&secrets.nonce, &tokens.id_token, &self.server.jwks_uri)
        else {
            return Ok(None);
        };
        let expected = Expectation {
            server: &self.server,
            client_id: &self.row.client_id,
            nonce: Some(nonce),
            access_token: Some(&tokens.access_token),
        };
        id_token::validate(token, &state.jwks, &expected, state.clock.now())
            .await
            .map(Some)
    }

    /// Uses a refresh token. No `scope` is sent: some servers narrow the grant to it, or fail.
    pub(crate) async fn refresh(
        &self,
        state: &State,
        refresh_token: &SecretString,
        resources: &[String],
    ) -> Result<TokenSet, ExchangeError> {
        let authentication = self.authentication(state)?;
        let refresh = Refresh {
            refresh_token,
            scopes: None,
            resources,
        };
        Ok(self
            .endpoint(state, &self.server.token_endpoint, &authentication)
            .refresh(&refresh)
            .await?)
    }

    /// RFC 7009, where the metadata has an endpoint for it.
    pub(crate) async fn revoke(&self, state: &State, token: &SecretString, kind: TokenKind) -> AtVendor {
        let Some(url) = &self.server.revocation_endpoint else {
            return AtVendor::NotOffered;
        };
        let Ok(authentication) = self.authentication(state) else {
            return AtVendor::Failed;
        };
        match revoke(&self.endpoint(state, url, &authentication), token, kind).await {
            Ok(()) => AtVendor::Revoked,
            Err(_) => AtVendor::Failed,
        }
    }

    fn endpoint<'a>(
        &'a self,
        state: &'a State,
        url: &'a Url,
        authentication: &'a ClientAuthentication,
    ) -> TokenEndpoint<'a> {
        TokenEndpoint {
            client: &state.outbound,
            url,
            client_id: &self.row.client_id,
            authentication,
        }
    }

    fn authentication(&self, state: &State) -> Result<ClientAuthentication, ProviderError> {
        let keys = state.keys(&self.row.account)?;
        let secret = self.row.open_client_secret(&keys.vault)?;
        match self.row.config.client_authentication {
            ClientAuthenticationMethod::ClientSecretBasic => Ok(ClientAuthentication::Basic(secret)),
            ClientAuthenticationMethod::ClientSecretPost => Ok(ClientAuthentication::Post(secret)),
            ClientAuthenticationMethod::AwsIamIdTokenJwt | ClientAuthenticationMethod::PrivateKeyJwt => Err(
                ProviderError::Configuration("the client authentication method is not supported"),
            ),
        }
    }
}
