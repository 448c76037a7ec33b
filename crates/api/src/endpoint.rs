//! Which identity API a role calls, and as whom: the table `identity` of its configuration.

use countersign_outbound as outbound;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::client::{Client, NowSecs};
use crate::credentials::{CredentialSource, CredentialsError, Environment};
use crate::sigv4::Credentials;

/// Whose identity API it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityApi {
    /// Our identity role, with the extensions that our pages use.
    #[default]
    Countersign,
    /// Amazon Bedrock AgentCore Identity.
    AgentCore,
}

/// An identity API and the credentials to sign with.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityEndpoint {
    /// `countersign` (default) or `agentcore`.
    #[serde(default)]
    pub api: IdentityApi,
    /// Its address. With `agentcore` by default that of the region: `https://bedrock-agentcore.<region>.amazonaws.com`.
    #[serde(default)]
    pub endpoint: Option<Url>,
    /// The region to sign for; by default `AWS_REGION`, and `us-east-1` where there is none.
    #[serde(default)]
    pub region: Option<String>,
    /// Access key id. Without a key the process asks its surroundings: variables, web identity, container.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// Secret access key.
    #[serde(default)]
    pub secret_access_key: Option<SecretString>,
    /// Of temporary credentials that somebody else renews.
    #[serde(default)]
    pub session_token: Option<SecretString>,
    /// Whether to ask the metadata service of the Amazon EC2 instance for its role, where nothing else gives a key.
    #[serde(default)]
    pub instance_metadata: bool,
}

/// The table cannot work.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Our API has no address of its own.
    #[error("`identity.endpoint` is missing")]
    Missing,
    /// Not a URL that can be called.
    #[error("`identity.endpoint` must be an http or https URL with a host and without query")]
    Url,
    /// A region that is none.
    #[error("`identity.region` must be the name of a region")]
    Region,
    /// One half of an access key.
    #[error("`identity.access_key_id` and `identity.secret_access_key` belong together")]
    HalfKey,
    /// Neither a key nor surroundings that give one.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
}

impl IdentityEndpoint {
    /// The region to sign for.
    pub fn region(&self, environment: &Environment) -> Result<String, EndpointError> {
        let region = self.region.clone().or_else(|| environment.region.clone());
        let region = region.unwrap_or_else(|| "us-east-1".to_owned());
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        // It becomes part of a host name.
        if region.is_empty() || !region.bytes().all(plain) {
            return Err(EndpointError::Region);
        }
        Ok(region)
    }

    /// The address of the API. With [`IdentityApi::AgentCore`] the environment may name another
    /// (`AWS_ENDPOINT_URL_BEDROCK_AGENTCORE`), as for AWS's own libraries.
    pub fn url(&self, environment: &Environment) -> Result<Url, EndpointError> {
        let url = match (&self.endpoint, self.api) {
            (Some(url), _) => url.clone(),
            (None, IdentityApi::Countersign) => return Err(EndpointError::Missing),
            (None, IdentityApi::AgentCore) => self.at_aws(environment)?,
        };
        let callable = matches!(url.scheme(), "http" | "https") && url.has_host();
        if !callable || url.query().is_some() || url.fragment().is_some() {
            return Err(EndpointError::Url);
        }
        Ok(url)
    }

    fn at_aws(&self, environment: &Environment) -> Result<Url, EndpointError> {
        if let Some(url) = &environment.endpoint_url {
            return Ok(url.clone());
        }
        let region = self.region(environment)?;
        let url = Url::parse(&format!("https://bedrock-agentcore.{region}.amazonaws.com"));
        url.map_err(|_| EndpointError::Region)
    }

    /// What to sign with.
    pub fn credentials(
        &self,
        environment: &Environment,
        now_secs: NowSecs,
    ) -> Result<CredentialSource, EndpointError> {
        match (&self.access_key_id, &self.secret_access_key) {
            (Some(id), Some(secret)) => Ok(Credentials {
                access_key_id: id.clone(),
                secret_access_key: secret.clone(),
                session_token: self.session_token.clone(),
            }
            .into()),
            (None, None) => Ok(CredentialSource::from_environment(
                environment,
                self.instance_metadata,
                now_secs,
            )?),
            _ => Err(EndpointError::HalfKey),
        }
    }

    /// A client of it; `http` must be permitted to reach [`Self::url`].
    pub fn client(
        &self,
        environment: &Environment,
        http: outbound::Client,
        now_secs: NowSecs,
    ) -> Result<Client, EndpointError> {
        let credentials = self.credentials(environment, now_secs.clone())?;
        let (url, region) = (self.url(environment)?, self.region(environment)?);
        Ok(Client::new(url, region, credentials, http, now_secs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        let find = |name: &str| Some(pairs.iter().find(|(known, _)| *known == name)?.1.to_owned());
        Environment::read(find).expect("readable")
    }

    #[test]
    fn agentcore_is_where_aws_has_it() {
        let mut endpoint = IdentityEndpoint {
            api: IdentityApi::AgentCore,
            ..IdentityEndpoint::default()
        };
        let url = |endpoint: &IdentityEndpoint, pairs: &[(&str, &str)]| {
            endpoint.url(&environment(pairs)).map(String::from).ok()
        };
        let at = |region: &str| Some(format!("https://bedrock-agentcore.{region}.amazonaws.com/"));
        assert_eq!(url(&endpoint, &[]), at("us-east-1"));
        assert_eq!(
            url(&endpoint, &[("AWS_REGION", "eu-central-1")]),
            at("eu-central-1")
        );
        endpoint.region = Some("ap-southeast-2".to_owned());
        assert_eq!(
            url(&endpoint, &[("AWS_REGION", "eu-central-1")]),
            at("ap-southeast-2")
        );
        assert_eq!(
            url(
                &endpoint,
                &[("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", "http://localhost:1")]
            ),
            Some("http://localhost:1/".to_owned())
        );
        endpoint.region = Some("evil.example/".to_owned());
        assert_eq!(url(&endpoint, &[]), None);
    }

    #[test]
    fn ours_has_to_be_named_and_a_key_to_be_whole() {
        let nothing = Environment::default();
        let mut endpoint = IdentityEndpoint::default();
        assert!(matches!(endpoint.url(&nothing), Err(EndpointError::Missing)));
        let now: NowSecs = std::sync::Arc::new(|| 0);
        let credentials = |endpoint: &IdentityEndpoint, environment: &Environment| {
            endpoint
                .credentials(environment, now.clone())
                .map(|source| source.is_fixed())
        };
        assert!(matches!(
            credentials(&endpoint, &nothing),
            Err(EndpointError::Credentials(CredentialsError::None))
        ));
        let container = environment(&[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/1")]);
        assert!(matches!(credentials(&endpoint, &container), Ok(false)));
        // The instance is asked where that was asked for.
        endpoint.instance_metadata = true;
        assert!(matches!(credentials(&endpoint, &nothing), Ok(false)));
        let disabled = environment(&[("AWS_EC2_METADATA_DISABLED", "true")]);
        assert!(credentials(&endpoint, &disabled).is_err());
        endpoint.access_key_id = Some("AKID".to_owned());
        assert!(matches!(
            credentials(&endpoint, &container),
            Err(EndpointError::HalfKey)
        ));
        endpoint.secret_access_key = Some("secret".into());
        assert!(matches!(credentials(&endpoint, &container), Ok(true)));
    }
}
