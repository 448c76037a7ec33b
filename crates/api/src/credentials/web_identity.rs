//! A role assumed with a token that the platform writes into a file: Kubernetes service accounts at Amazon EKS, and
//! whatever else AWS trusts by OpenID Connect.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html>

use std::path::PathBuf;
use std::time::Duration;

use countersign_outbound::{Client, HostPort, Policy, Request};
use http::Method;
use secrecy::SecretString;
use url::Url;

use super::{CredentialsError, Environment, Held, epoch_seconds};
use crate::sigv4::Credentials;

pub(super) const PLACE: &str = "STS";
const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 64 << 10;

pub(super) struct WebIdentity {
    endpoint: Url,
    /// Named by the operator, and then allowed to be internal.
    named: bool,
    role_arn: String,
    session_name: String,
    token_file: PathBuf,
}

impl WebIdentity {
    pub(super) fn of(environment: &Environment) -> Result<Option<Self>, CredentialsError> {
        let names = ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN");
        let (token_file, role_arn) = match (&environment.web_identity_token_file, &environment.role_arn) {
            (Some(file), Some(arn)) => (file.clone(), arn.clone()),
            // A role alone says nothing: other ways of getting it have other variables.
            (None, _) => return Ok(None),
            (Some(_), None) => return Err(CredentialsError::Incomplete(names.0, names.1)),
        };
        let endpoint = match &environment.sts_endpoint_url {
            Some(url) => url.clone(),
            None => regional(environment.region.as_deref())?,
        };
        Ok(Some(Self {
            endpoint,
            named: environment.sts_endpoint_url.is_some(),
            role_arn,
            session_name: environment
                .role_session_name
                .clone()
                .unwrap_or_else(|| "countersign".to_owned()),
            token_file,
        }))
    }

    pub(super) fn policy(&self) -> Policy {
        Policy {
            allow: HostPort::of(&self.endpoint)
                .filter(|_| self.named)
                .into_iter()
                .collect(),
            timeout: TIMEOUT,
            max_response_bytes: MAX_ANSWER,
            ..Policy::default()
        }
    }

    pub(super) async fn fetch(&self, http: &Client) -> Result<Held, CredentialsError> {
        let name = "AWS_WEB_IDENTITY_TOKEN_FILE";
        // At each fetch: the platform renews it.
        let token = tokio::fs::read_to_string(&self.token_file)
            .await
            .map_err(|source| CredentialsError::File { name, source })?;
        let request = Request::new(Method::POST, self.endpoint.clone()).form(&[
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &self.role_arn),
            ("RoleSessionName", &self.session_name),
            ("WebIdentityToken", token.trim()),
        ]);
        let response = http.send(request).await?;
        let body = std::str::from_utf8(&response.body).map_err(|_| CredentialsError::Malformed(PLACE))?;
        if !response.status.is_success() {
            let code =
                element(body, "Code").filter(|code| code.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            return Err(CredentialsError::Refused {
                place: PLACE,
                status: response.status,
                code: code.map(|code| format!(" ({code})")).unwrap_or_default(),
            });
        }
        read(body).ok_or(CredentialsError::Malformed(PLACE))
    }
}

fn regional(region: Option<&str>) -> Result<Url, CredentialsError> {
    let name = "AWS_REGION";
    let rule = "must name the region whose STS is asked";
    let region = region.filter(|region| {
        !region.is_empty()
            && region
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    });
    let region = region.ok_or(CredentialsError::Variable { name, rule })?;
    let domain = if region.starts_with("cn-") {
        "amazonaws.com.cn"
    } else {
        "amazonaws.com"
    };
    Url::parse(&format!("https://sts.{region}.{domain}/"))
        .map_err(|_| CredentialsError::Variable { name, rule })
}

fn read(xml: &str) -> Option<Held> {
    let credentials = element(xml, "Credentials")?;
    Some(Held {
        expires_at: epoch_seconds(element(credentials, "Expiration")?)?,
        credentials: Credentials {
            access_key_id: element(credentials, "AccessKeyId")?.to_owned(),
            secret_access_key: SecretString::from(element(credentials, "SecretAccessKey")?),
            session_token: Some(SecretString::from(element(credentials, "SessionToken")?)),
        },
        failed_at: None,
    })
}

/// The text of the first element of that name. Keys, tokens and times are base64 and digits: none has an entity, and a
/// value that had one would not be a credential.
fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    (!text.contains('&')).then(|| text.trim())
}
