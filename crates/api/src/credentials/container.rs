//! The endpoint that gives a container the credentials of its role: Amazon ECS, EKS Pod Identity, Greengrass.
//! <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>

use std::path::PathBuf;
use std::time::Duration;

use countersign_outbound::{Client, HostPort, Policy, Request};
use http::HeaderValue;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

use super::{CredentialsError, Environment, Held, document};

pub(super) const PLACE: &str = "the container credentials endpoint";
/// Where Amazon ECS has it.
const ECS: &str = "http://169.254.170.2";
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 64 << 10;

pub(super) struct Container {
    url: Url,
    token: Token,
}

enum Token {
    None,
    Fixed(SecretString),
    /// Read at each fetch: EKS renews it.
    File(PathBuf),
}

impl Container {
    pub(super) fn of(environment: &Environment) -> Result<Option<Self>, CredentialsError> {
        let url = match (
            &environment.container_relative_uri,
            &environment.container_full_uri,
        ) {
            (Some(path), _) => relative(path)?,
            (None, Some(url)) => full(url)?,
            (None, None) => return Ok(None),
        };
        let token = match (&environment.container_token_file, &environment.container_token) {
            (Some(file), _) => Token::File(file.clone()),
            (None, Some(token)) => Token::Fixed(token.clone()),
            (None, None) => Token::None,
        };
        Ok(Some(Self { url, token }))
    }

    /// This one place, which is link-local, and no other.
    pub(super) fn policy(&self) -> Policy {
        let place = HostPort::of(&self.url);
        Policy {
            allow: place.iter().cloned().collect(),
            allow_link_local: place.into_iter().collect(),
            timeout: TIMEOUT,
            max_response_bytes: MAX_ANSWER,
            ..Policy::default()
        }
    }

    pub(super) async fn fetch(&self, http: &Client) -> Result<Held, CredentialsError> {
        let mut request = Request::get(self.url.clone()).accept_json();
        if let Some(token) = self.token().await? {
            let rule = "must be one line of text";
            let name = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
            let mut value = HeaderValue::from_str(token.expose_secret())
                .map_err(|_| CredentialsError::Variable { name, rule })?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        document::read(&document::ask(http, request, PLACE).await?, PLACE)
    }

    async fn token(&self) -> Result<Option<SecretString>, CredentialsError> {
        match &self.token {
            Token::None => Ok(None),
            Token::Fixed(token) => Ok(Some(token.clone())),
            Token::File(path) => {
                let name = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
                let text = tokio::fs::read_to_string(path)
                    .await
                    .map_err(|source| CredentialsError::File { name, source })?;
                Ok(Some(SecretString::from(text.trim_end_matches(['\r', '\n']))))
            }
        }
    }
}

fn relative(path: &str) -> Result<Url, CredentialsError> {
    let name = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
    let rule = "must be a path that begins with one `/`";
    let url = Url::parse(&format!("{ECS}{path}")).ok();
    url.filter(|url| path.starts_with('/') && url.host_str() == Some("169.254.170.2"))
        .ok_or(CredentialsError::Variable { name, rule })
}

/// As AWS's libraries have it: https, or one of the places on this machine that hand out credentials. Anything else
/// would give the token, and get to choose the credentials.
fn full(url: &Url) -> Result<Url, CredentialsError> {
    let name = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let rule = "must be https, or http at loopback, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23]";
    let local = match url.host() {
        Some(Host::Ipv4(address)) => {
            address.is_loopback() || matches!(address.octets(), [169, 254, 170, 2 | 23])
        }
        Some(Host::Ipv6(address)) => {
            address.is_loopback() || address.segments() == [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23]
        }
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url.clone()),
        "http" if local => Ok(url.clone()),
        _ => Err(CredentialsError::Variable { name, rule }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(pairs: &[(&str, &str)]) -> Result<Option<String>, String> {
        let find = |name: &str| Some(pairs.iter().find(|(known, _)| *known == name)?.1.to_owned());
        let environment = Environment::read(find).map_err(|error| error.to_string())?;
        let container = Container::of(&environment).map_err(|error| error.to_string())?;
        Ok(container.map(|container| container.url.to_string()))
    }

    #[test]
    fn the_endpoint_is_local_or_https() {
        let relative = |path| container(&[("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", path)]);
        assert_eq!(
            relative("/v2/credentials/1"),
            Ok(Some("http://169.254.170.2/v2/credentials/1".to_owned()))
        );
        for path in [".evil.example/", "@evil.example/", ":80@evil.example"] {
            assert!(relative(path).is_err(), "{path}");
        }
        let full = |url| container(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)]);
        for url in [
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://127.0.0.1:9/x",
            "https://credentials.example/x",
        ] {
            assert_eq!(full(url), Ok(Some(url.to_owned())));
        }
        for url in [
            "http://169.254.169.254/x",
            "http://evil.example/x",
            "ftp://localhost/",
        ] {
            assert!(full(url).is_err(), "{url}");
        }
        assert_eq!(container(&[]), Ok(None));
    }
}
