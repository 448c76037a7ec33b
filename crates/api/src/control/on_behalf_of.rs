//! `onBehalfOfTokenExchangeConfig`: how the person's own token is exchanged at a provider.

use serde::{Deserialize, Serialize};

use crate::validate::Checker;

/// `OnBehalfOfTokenExchangeGrantTypeType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OnBehalfOfGrantType {
    /// RFC 8693.
    TokenExchange,
    /// RFC 7523 section 2.1.
    JwtAuthorizationGrant,
}

/// `ActorTokenContentType`: who stands beside the person in an exchange of RFC 8693.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActorTokenContent {
    /// Nobody.
    #[serde(rename = "NONE")]
    None,
    /// The client, by an access token of its own (client credentials).
    #[serde(rename = "M2M")]
    M2m,
    /// The client, by a token of AWS IAM.
    #[serde(rename = "AWS_IAM_ID_TOKEN_JWT")]
    AwsIamIdTokenJwt,
}

/// `TokenExchangeGrantTypeConfigType`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenExchangeConfig {
    /// The actor.
    pub actor_token_content: ActorTokenContent,
    /// The scopes of the actor's token; only with `M2M`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_token_scopes: Option<Vec<String>>,
}

/// `OnBehalfOfClientAuthenticationMethod`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OnBehalfOfClientAuthenticationMethod {
    /// Neither client id nor secret is sent.
    NoClient,
}

/// `OnBehalfOfAuthenticationConfig`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnBehalfOfAuthenticationConfig {
    /// Instead of the provider's own method, during the exchange only.
    pub client_authentication_method: OnBehalfOfClientAuthenticationMethod,
}

/// `OnBehalfOfTokenExchangeConfigType`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnBehalfOfTokenExchangeConfig {
    /// Which grant.
    pub grant_type: OnBehalfOfGrantType,
    /// Only with `TOKEN_EXCHANGE`; without it there is no actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_exchange_grant_type_config: Option<TokenExchangeConfig>,
    /// Absent: the provider's own client authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of_authentication_config: Option<OnBehalfOfAuthenticationConfig>,
}

impl OnBehalfOfTokenExchangeConfig {
    /// Checks that the members belong together.
    pub(crate) fn validate(&self, check: &mut Checker) {
        let Some(exchange) = &self.token_exchange_grant_type_config else {
            return;
        };
        let member = "tokenExchangeGrantTypeConfig";
        let rule = "goes with grantType TOKEN_EXCHANGE only";
        check.require(
            self.grant_type == OnBehalfOfGrantType::TokenExchange,
            member,
            rule,
        );
        let Some(scopes) = &exchange.actor_token_scopes else {
            return;
        };
        check.nested(member, |check| {
            let m2m = exchange.actor_token_content == ActorTokenContent::M2m;
            check.require(m2m, "actorTokenScopes", "goes with actorTokenContent M2M only");
            check.count("actorTokenScopes", scopes.len(), 0..=100);
            check.each("actorTokenScopes", scopes, |check, member, scope| {
                check.length(member, scope, 1..=128);
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn accepted(config: Value) -> bool {
        let Ok(config) = serde_json::from_value::<OnBehalfOfTokenExchangeConfig>(config) else {
            return false;
        };
        let mut check = Checker::new();
        config.validate(&mut check);
        check.finish().is_ok()
    }

    #[test]
    fn members_belong_together() {
        let exchange =
            |config: Value| json!({"grantType": "TOKEN_EXCHANGE", "tokenExchangeGrantTypeConfig": config});
        assert!(accepted(json!({"grantType": "TOKEN_EXCHANGE"})));
        assert!(accepted(exchange(json!({"actorTokenContent": "NONE"}))));
        assert!(accepted(exchange(
            json!({"actorTokenContent": "M2M", "actorTokenScopes": ["s"]})
        )));
        assert!(accepted(json!({
            "grantType": "JWT_AUTHORIZATION_GRANT",
            "onBehalfOfAuthenticationConfig": {"clientAuthenticationMethod": "NO_CLIENT"},
        })));
        assert!(!accepted(exchange(
            json!({"actorTokenContent": "NONE", "actorTokenScopes": ["s"]})
        )));
        assert!(!accepted(exchange(
            json!({"actorTokenContent": "M2M", "actorTokenScopes": [""]})
        )));
        assert!(!accepted(exchange(json!({"actorTokenContent": "SOMEBODY"}))));
        assert!(!accepted(json!({
            "grantType": "JWT_AUTHORIZATION_GRANT",
            "tokenExchangeGrantTypeConfig": {"actorTokenContent": "NONE"},
        })));
        assert!(!accepted(json!({"grantType": "CLIENT_CREDENTIALS"})));
    }
}
