//! How a client proves itself at its authorization server: with its secret, from the vault or from the customer's
//! own Secrets Manager, or with a signed assertion.

use countersign_api::control::oauth2_provider_config::ClientAuthenticationMethod;
use countersign_crypto::{SecretString, Timestamp};
use countersign_oauth::vendor::AssertionAudience;
use countersign_oauth::{ClientAuthentication, TokenError, TokenSet};

use super::Provider;
use super::provider::ProviderError;
use crate::client_keys::{self, Prover};
use crate::external_secret::Age;
use crate::state::State;
use crate::store::oauth2_provider::ClientSecretAt;

/// What is sent, good for one request.
pub(crate) struct Proof {
    pub(crate) authentication: ClientAuthentication,
    /// When an external secret in it was read.
    read_at: Option<Timestamp>,
}

impl Provider {
    /// A proof; `age` is how old an external secret may be.
    pub(super) async fn proof(&self, state: &State, age: Age) -> Result<Proof, ProviderError> {
        let method = self.row.config.client_authentication;
        match method {
            ClientAuthenticationMethod::ClientSecretBasic | ClientAuthenticationMethod::ClientSecretPost => {
                let (secret, read_at) = self.client_secret(state, age).await?;
                let authentication = match secret {
                    None => ClientAuthentication::None,
                    Some(secret) if method == ClientAuthenticationMethod::ClientSecretBasic => {
                        ClientAuthentication::Basic(secret)
                    }
                    Some(secret) => ClientAuthentication::Post(secret),
                };
                Ok(Proof {
                    authentication,
                    read_at,
                })
            }
            ClientAuthenticationMethod::PrivateKeyJwt => self.assertion(state).map(Proof::from),
            ClientAuthenticationMethod::AwsIamIdTokenJwt => Err(ProviderError::Configuration(
                "AWS_IAM_ID_TOKEN_JWT needs AWS IAM, which this server does not have",
            )),
        }
    }

    /// Another proof for a request that was refused for the first: when an external secret has changed since it
    /// was read. Asked once, and never for a code, which is sent once.
    pub(super) async fn proof_after(
        &self,
        state: &State,
        refused: &Proof,
        answer: &Result<TokenSet, TokenError>,
    ) -> Result<Option<Proof>, ProviderError> {
        let (Some(read_at), Err(error)) = (refused.read_at, answer) else {
            return Ok(None);
        };
        if error.code() != "invalid_client" {
            return Ok(None);
        }
        let proof = self.proof(state, Age::After(read_at)).await?;
        Ok((proof.read_at != refused.read_at).then_some(proof))
    }

    async fn client_secret(
        &self,
        state: &State,
        age: Age,
    ) -> Result<(Option<SecretString>, Option<Timestamp>), ProviderError> {
        match &self.row.config.client_secret_at {
            ClientSecretAt::Vault => {
                let keys = state.keys(&self.row.account)?;
                let secret = self
                    .row
                    .open_client_secret(|place, sealed| keys.open_provider_secret(place, sealed))?;
                Ok((Some(secret), None))
            }
            ClientSecretAt::External(reference) => {
                let secret = state.external_secrets.get(&self.row.account, reference, age);
                let (secret, read_at) = secret.await?;
                Ok((Some(secret), Some(read_at)))
            }
            ClientSecretAt::Nowhere => Ok((None, None)),
        }
    }

    fn assertion(&self, state: &State) -> Result<ClientAuthentication, ProviderError> {
        let prover = Prover {
            account: &self.row.account,
            client_id: &self.row.client_id,
            server: &self.server,
            audience: match self.vendor().assertion_audience {
                AssertionAudience::Issuer => &self.server.issuer,
                AssertionAudience::TokenEndpoint => self.server.token_endpoint.as_str(),
            },
        };
        client_keys::assertion(state, &prover, self.row.config.private_key_jwt.as_ref())
            .map(ClientAuthentication::PrivateKeyJwt)
    }
}

impl From<ClientAuthentication> for Proof {
    /// With no external secret in it.
    fn from(authentication: ClientAuthentication) -> Self {
        Self {
            authentication,
            read_at: None,
        }
    }
}
