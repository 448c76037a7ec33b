//! A credential provider with the metadata of its authorization server: everything that is sent there goes
//! through here.

use std::sync::Arc;
use std::time::Duration;

use countersign_api::control::CredentialProviderVendor;
use countersign_api::control::oauth2_provider_config::ClientAuthenticationMethod;
use countersign_crypto::{OpenError, SecretString};
use countersign_oauth::id_token::{self, Expectation, IdTokenError};
use countersign_oauth::introspect::is_active_refresh_token;
use countersign_oauth::private_key_jwt::ClientAssertionError;
use countersign_oauth::revoke::{TokenKind, revoke};
use countersign_oauth::token::{CodeExchange, Refresh};
use countersign_oauth::vendor::{Location, VENDORS};
use countersign_oauth::{
    AuthorizationRequest, DocumentError, IdTokenClaims, Pkce, ServerMetadata, TokenEndpoint, TokenError,
    TokenSet, Vendor, vendor,
};
use url::Url;

use super::AccountIdentity;
use super::consent::Consented;
use super::location::locate;
use super::proof::Proof;
use super::revoke::{AtVendor, discard};
use crate::external_secret::{Age, ExternalSecretError};
use crate::session::{CODE_KEPT, Secrets};
use crate::state::{NoKeys, State};
use crate::store::authorization_session::SessionRow;
use crate::store::grant::GrantRow;
use crate::store::oauth2_provider::{ProviderConfig, ProviderRow};

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
    Account(#[from] NoKeys),
    /// The client secret does not open.
    #[error("client secret: {0}")]
    Secret(#[from] OpenError),
    /// The client secret is in the customer's Secrets Manager, and cannot be had.
    #[error("external client secret: {0}")]
    ExternalSecret(#[from] ExternalSecretError),
    /// The client cannot prove itself by a JWT as its registration says.
    #[error("privateKeyJwtConfig: {0}")]
    Assertion(#[source] ClientAssertionError),
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

/// Refuses a registration that needs what only AWS has: it is kept and shown, and fails at its first use.
pub(crate) fn check_offered(config: &ProviderConfig) -> Result<(), ProviderError> {
    if !config.private_network.is_public() {
        return Err(ProviderError::Configuration(
            "private endpoints and private certificate authorities are not offered by this server",
        ));
    }
    if config.client_authentication == ClientAuthenticationMethod::AwsIamIdTokenJwt {
        return Err(ProviderError::Configuration(
            "AWS_IAM_ID_TOKEN_JWT needs AWS IAM, which this server does not have",
        ));
    }
    Ok(())
}

impl Provider {
    /// Reads or fetches the metadata of `row`'s authorization server.
    pub(crate) async fn resolve(state: &State, row: Arc<ProviderRow>) -> Result<Self, ProviderError> {
        let vendor = template(row.vendor);
        check_offered(&row.config)?;
        let location = locate(state, vendor, &row.config)
            .map_err(|invalid| ProviderError::Configuration(invalid.rule))?;
        let server = match location {
            Location::Discovery(url) => state.discovery.fetch(&url).await?,
            Location::Endpoints { server, .. } => Arc::from(server),
        };
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

    /// What is known about its vendor.
    pub(crate) const fn vendor(&self) -> &'static Vendor {
        self.vendor
    }

    /// The resource indicators that are sent to this vendor.
    pub(super) fn resources<'a>(&self, resources: &'a [String]) -> &'a [String] {
        if self.vendor.resource_indicators {
            resources
        } else {
            &[]
        }
    }

    /// The parameters of the vendor's own form of RFC 7523; `None` where it has none.
    pub(crate) fn vendor_on_behalf_of(&self) -> Option<&'static [(&'static str, &'static str)]> {
        self.vendor.on_behalf_of
    }

    /// Where the browser goes. PKCE S256 unless the vendor refuses it; `nonce` where the session has one and
    /// the vendor knows it.
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
        let rules = &self.vendor.authorization;
        AuthorizationRequest {
            endpoint: &self.server.authorization_endpoint,
            client_id: &self.row.client_id,
            redirect_uri: redirect_uri.as_str(),
            scopes: &session.scopes,
            state: &secrets.state,
            code_challenge: rules.pkce.then_some(&*pkce.challenge),
            nonce: secrets.nonce.as_deref().filter(|_| rules.nonce),
            resources: self.resources(&secrets.resources),
            custom: &custom,
            rules,
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
        // A code is sent once, so an external secret that was rotated must be known before.
        let proof = self.proof(state, Age::Fresh).await?;
        let redirect_uri = state.callback_url(&self.row.callback_id);
        let verifier = SecretString::from(secrets.code_verifier.as_str());
        let exchange = CodeExchange {
            code,
            redirect_uri: redirect_uri.as_str(),
            verifier: self.vendor.authorization.pkce.then_some(&verifier),
            resources: self.resources(&secrets.resources),
        };
        let endpoint = self.endpoint(state, &self.server.token_endpoint, &proof);
        let mut tokens = endpoint.exchange_code(&exchange).await?;
        let claims = match self.id_token_claims(state, secrets, &tokens).await {
            Ok(claims) => claims,
            Err(error) => {
                // Nobody keeps the pair: it must not live on there.
                discard(state, self, &tokens).await;
                return Err(error.into());
            }
        };
        let found =
            vendor::account_identity(self.vendor, &endpoint, &self.server, claims.as_ref(), &tokens).await;
        let identity = found.map(|found| {
            if tokens.scope.is_none() {
                tokens.scope = found.scopes;
            }
            AccountIdentity {
                id: found.id,
                name: found.name,
            }
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
        let nonce = secrets.nonce.as_ref().filter(|_| self.vendor.authorization.nonce);
        let (Some(nonce), Some(token), Some(_)) = (nonce, &tokens.id_token, &self.server.jwks_uri) else {
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
        let proof = self.proof(state, Age::Cached).await?;
        let refresh = Refresh {
            refresh_token,
            scopes: None,
            resources: self.resources(resources),
        };
        let url = &self.server.token_endpoint;
        let answer = self.endpoint(state, url, &proof).refresh(&refresh).await;
        Ok(match self.proof_after(state, &proof, &answer).await? {
            Some(proof) => self.endpoint(state, url, &proof).refresh(&refresh).await?,
            None => answer?,
        })
    }

    /// Whether the server holds a refresh token for active (RFC 7662); it is asked only where it has an endpoint for
    /// the question.
    pub(super) async fn is_active(
        &self,
        state: &State,
        refresh_token: &SecretString,
    ) -> Result<bool, ExchangeError> {
        let Some(url) = &self.server.introspection_endpoint else {
            return Err(ProviderError::Configuration("the server has no introspection endpoint").into());
        };
        let proof = self.proof(state, Age::Cached).await?;
        let endpoint = self.endpoint(state, url, &proof);
        Ok(is_active_refresh_token(&endpoint, refresh_token).await?)
    }

    /// The token to withdraw for a grant that has a refresh token, or has none; `None` where the vendor does not
    /// let a client do that.
    pub(crate) fn revocable(&self, has_refresh_token: bool) -> Option<TokenKind> {
        self.server.revocation_endpoint.as_ref()?;
        self.vendor.revocation.wants(has_refresh_token)
    }

    /// Withdraws a [revocable](Self::revocable) token, the vendor's way.
    pub(crate) async fn revoke(&self, state: &State, token: &SecretString, kind: TokenKind) -> AtVendor {
        let Some(url) = &self.server.revocation_endpoint else {
            return AtVendor::NotOffered;
        };
        let Ok(proof) = self.proof(state, Age::Cached).await else {
            return AtVendor::Failed;
        };
        let endpoint = self.endpoint(state, url, &proof);
        match revoke(&endpoint, self.vendor.revocation, token, kind).await {
            Ok(()) => AtVendor::Revoked,
            Err(_) => AtVendor::Failed,
        }
    }

    pub(super) fn endpoint<'a>(
        &'a self,
        state: &'a State,
        url: &'a Url,
        proof: &'a Proof,
    ) -> TokenEndpoint<'a> {
        TokenEndpoint {
            client: &state.outbound,
            url,
            client_id: &self.row.client_id,
            authentication: &proof.authentication,
            dialect: &self.vendor.dialect,
        }
    }
}

/// What is known about a vendor of the wire's.
pub(crate) fn template(vendor: CredentialProviderVendor) -> &'static Vendor {
    // In the order of the enumeration, as a test makes sure: no name is compared where tokens are released.
    VENDORS[vendor as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_vendor_of_the_wire_has_its_own_template() {
        for vendor in VENDORS {
            let named: CredentialProviderVendor =
                serde_json::from_value(vendor.name.into()).expect("a vendor of the wire");
            assert_eq!(template(named).name, vendor.name);
        }
    }
}
