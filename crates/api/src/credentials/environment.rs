//! The variables by which AWS tells a process who it is. Read by whoever may read the environment.

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

use super::CredentialsError;
use crate::sigv4::Credentials;

/// What the environment says of AWS. Empty: nothing.
/// <https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html>
#[derive(Clone, Default)]
pub struct Environment {
    pub(super) access_key_id: Option<String>,
    pub(super) secret_access_key: Option<SecretString>,
    pub(super) session_token: Option<SecretString>,
    pub(crate) region: Option<String>,
    pub(crate) endpoint_url: Option<Url>,
    pub(super) sts_endpoint_url: Option<Url>,
    pub(super) role_arn: Option<String>,
    pub(super) role_session_name: Option<String>,
    pub(super) web_identity_token_file: Option<PathBuf>,
    pub(super) container_relative_uri: Option<String>,
    pub(super) container_full_uri: Option<Url>,
    pub(super) container_token: Option<SecretString>,
    pub(super) container_token_file: Option<PathBuf>,
    pub(super) instance_metadata_endpoint: Option<Url>,
    pub(super) instance_metadata_disabled: bool,
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl Environment {
    /// From whatever looks variables up. An empty variable counts as absent.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, CredentialsError> {
        let text = |name: &str| variable(name).filter(|value| !value.is_empty());
        let url = |name: &'static str| {
            let rule = "must be a URL";
            let parse =
                |text: String| Url::parse(&text).map_err(|_| CredentialsError::Variable { name, rule });
            text(name).map(parse).transpose()
        };
        let everywhere = url("AWS_ENDPOINT_URL")?;
        Ok(Self {
            access_key_id: text("AWS_ACCESS_KEY_ID"),
            secret_access_key: text("AWS_SECRET_ACCESS_KEY").map(Into::into),
            session_token: text("AWS_SESSION_TOKEN").map(Into::into),
            region: text("AWS_REGION").or_else(|| text("AWS_DEFAULT_REGION")),
            endpoint_url: url("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE")?.or_else(|| everywhere.clone()),
            sts_endpoint_url: url("AWS_ENDPOINT_URL_STS")?.or(everywhere),
            role_arn: text("AWS_ROLE_ARN"),
            role_session_name: text("AWS_ROLE_SESSION_NAME"),
            web_identity_token_file: text("AWS_WEB_IDENTITY_TOKEN_FILE").map(Into::into),
            container_relative_uri: text("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
            container_full_uri: url("AWS_CONTAINER_CREDENTIALS_FULL_URI")?,
            container_token: text("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Into::into),
            container_token_file: text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(Into::into),
            instance_metadata_endpoint: url("AWS_EC2_METADATA_SERVICE_ENDPOINT")?,
            instance_metadata_disabled: text("AWS_EC2_METADATA_DISABLED")
                .is_some_and(|value| value.eq_ignore_ascii_case("true")),
        })
    }

    /// The access key of variables.
    pub(super) fn access_key(&self) -> Result<Option<Credentials>, CredentialsError> {
        let names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
        match (&self.access_key_id, &self.secret_access_key) {
            (None, None) => Ok(None),
            (Some(id), Some(secret)) => Ok(Some(Credentials {
                access_key_id: id.clone(),
                secret_access_key: secret.clone(),
                session_token: self.session_token.clone(),
            })),
            (Some(_), None) => Err(CredentialsError::Incomplete(names.0, names.1)),
            (None, Some(_)) => Err(CredentialsError::Incomplete(names.1, names.0)),
        }
    }
}
