//! Tokens that a provider gives without a browser: to the client itself, or for a token that the person already has.

use countersign_oauth::token::{JwtBearer, Target, TokenExchange};
use countersign_oauth::{ClientAuthentication, TokenSet};

use super::Provider;
use super::proof::Proof;
use super::provider::{ExchangeError, ProviderError};
use crate::external_secret::Age;
use crate::state::State;

/// As whom the client shows itself in an on-behalf-of exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// As at every other request.
    Registered,
    /// `NO_CLIENT`: neither id nor secret.
    Anonymous,
}

impl Provider {
    /// Client credentials (RFC 6749 section 4.4).
    pub(crate) async fn client_credentials(
        &self,
        state: &State,
        target: &Target<'_>,
    ) -> Result<TokenSet, ExchangeError> {
        let target = self.target(*target);
        let url = &self.server.token_endpoint;
        let proof = self.proof(state, Age::Cached).await?;
        let answer = self
            .endpoint(state, url, &proof)
            .client_credentials(&target)
            .await;
        Ok(match self.proof_after(state, &proof, &answer).await? {
            Some(proof) => {
                let endpoint = self.endpoint(state, url, &proof);
                endpoint.client_credentials(&target).await?
            }
            None => answer?,
        })
    }

    /// Token exchange (RFC 8693).
    pub(crate) async fn token_exchange(
        &self,
        state: &State,
        client: Client,
        exchange: &TokenExchange<'_>,
    ) -> Result<TokenSet, ExchangeError> {
        let exchange = TokenExchange {
            target: self.target(exchange.target),
            ..*exchange
        };
        let url = &self.server.token_endpoint;
        let proof = self.shown_as(state, client).await?;
        let answer = self.endpoint(state, url, &proof).token_exchange(&exchange).await;
        Ok(match self.proof_after(state, &proof, &answer).await? {
            Some(proof) => {
                self.endpoint(state, url, &proof)
                    .token_exchange(&exchange)
                    .await?
            }
            None => answer?,
        })
    }

    /// A JWT as the authorization grant (RFC 7523 section 2.1).
    pub(crate) async fn jwt_bearer(
        &self,
        state: &State,
        client: Client,
        grant: &JwtBearer<'_>,
    ) -> Result<TokenSet, ExchangeError> {
        let grant = JwtBearer {
            target: self.target(grant.target),
            ..*grant
        };
        let url = &self.server.token_endpoint;
        let proof = self.shown_as(state, client).await?;
        let answer = self.endpoint(state, url, &proof).jwt_bearer(&grant).await;
        Ok(match self.proof_after(state, &proof, &answer).await? {
            Some(proof) => self.endpoint(state, url, &proof).jwt_bearer(&grant).await?,
            None => answer?,
        })
    }

    async fn shown_as(&self, state: &State, client: Client) -> Result<Proof, ProviderError> {
        match client {
            Client::Registered => self.proof(state, Age::Cached).await,
            Client::Anonymous => Ok(ClientAuthentication::Anonymous.into()),
        }
    }

    /// Without the resource indicators that the vendor does not take.
    fn target<'a>(&self, target: Target<'a>) -> Target<'a> {
        Target {
            resources: self.resources(target.resources),
            ..target
        }
    }
}
