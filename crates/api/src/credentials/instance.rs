//! The role of an Amazon EC2 instance, from its metadata service, version 2 alone.
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html>
//!
//! Whoever can make a process ask 169.254.169.254 gets its role: no request to a place that somebody else names may reach
//! that address, and this one is made only where the operator asked for it. Version 1, which answers a plain GET, is not
//! fallen back to.

use std::time::Duration;

use countersign_outbound::{Client, HostPort, Policy, Request};
use http::{HeaderName, HeaderValue, Method};
use url::{Host, Url};

use super::{CredentialsError, Environment, Held, document};

pub(super) const PLACE: &str = "the instance metadata service";
/// Where Amazon EC2 has it.
const EC2: &str = "http://169.254.169.254";
const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";
const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 64 << 10;
/// Longer than one fetch takes; a token is not kept.
const TOKEN_LIFE: HeaderValue = HeaderValue::from_static("60");
const TOKEN_LIFE_HEADER: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");

pub(super) struct Instance {
    /// Scheme and authority.
    endpoint: Url,
}

impl Instance {
    /// What the operator asked for and the environment forbids is refused.
    pub(super) fn of(environment: &Environment) -> Result<Self, CredentialsError> {
        if environment.instance_metadata_disabled {
            return Err(CredentialsError::Variable {
                name: DISABLED,
                rule: "must not be true where `instance_metadata` is",
            });
        }
        let given = environment.instance_metadata_endpoint.as_ref();
        let rule = "must be http://169.254.169.254, http://[fd00:ec2::254] or loopback";
        let refused = CredentialsError::Variable { name: ENDPOINT, rule };
        let endpoint = match given {
            Some(url) => Some(url.clone()).filter(is_local),
            None => Url::parse(EC2).ok(),
        };
        Ok(Self {
            endpoint: endpoint.ok_or(refused)?,
        })
    }

    /// This one place, which is link-local, and no other.
    pub(super) fn policy(&self) -> Policy {
        let place = HostPort::of(&self.endpoint);
        Policy {
            allow: place.iter().cloned().collect(),
            allow_link_local: place.into_iter().collect(),
            timeout: TIMEOUT,
            max_response_bytes: MAX_ANSWER,
            ..Policy::default()
        }
    }

    pub(super) async fn fetch(&self, http: &Client) -> Result<Held, CredentialsError> {
        let malformed = || CredentialsError::Malformed(PLACE);
        let token = self.request(Method::PUT, "/latest/api/token");
        let token = document::ask(http, token.header(TOKEN_LIFE_HEADER, TOKEN_LIFE), PLACE).await?;
        let mut token = HeaderValue::from_bytes(&token.body).map_err(|_| malformed())?;
        token.set_sensitive(true);
        let of_role = |role: &str| {
            let path = format!("/latest/meta-data/iam/security-credentials/{role}");
            let request = self.request(Method::GET, &path);
            document::ask(http, request.header(TOKEN_HEADER, token.clone()), PLACE)
        };
        let role = of_role("").await?;
        let role = std::str::from_utf8(&role.body)
            .ok()
            .and_then(|roles| roles.lines().next());
        let role = role.filter(|role| is_role(role)).ok_or_else(malformed)?;
        document::read(&of_role(role).await?, PLACE)
    }

    fn request(&self, method: Method, path: &str) -> Request {
        let mut url = self.endpoint.clone();
        url.set_path(path);
        Request::new(method, url)
    }
}

/// The name of a role: it becomes part of a path.
/// <https://docs.aws.amazon.com/IAM/latest/APIReference/API_Role.html>
fn is_role(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed) && !matches!(name, "." | "..")
}

/// A place on this machine: whoever answers there chooses the credentials.
fn is_local(url: &Url) -> bool {
    let local = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback() || address.octets() == [169, 254, 169, 254],
        Some(Host::Ipv6(address)) => {
            address.is_loopback() || address.segments() == [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254]
        }
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    local && bare && url.scheme() == "http" && url.path() == "/"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(pairs: &[(&str, &str)]) -> Result<String, String> {
        let find = |name: &str| Some(pairs.iter().find(|(known, _)| *known == name)?.1.to_owned());
        let environment = Environment::read(find).map_err(|error| error.to_string())?;
        let instance = Instance::of(&environment).map_err(|error| error.to_string())?;
        Ok(instance.endpoint.to_string())
    }

    #[test]
    fn the_service_is_on_this_machine() {
        assert_eq!(endpoint(&[]), Ok("http://169.254.169.254/".to_owned()));
        for url in [
            "http://[fd00:ec2::254]",
            "http://127.0.0.1:1338",
            "http://localhost:1338",
        ] {
            assert!(endpoint(&[(ENDPOINT, url)]).is_ok(), "{url}");
        }
        for url in [
            "http://169.254.170.2",
            "http://evil.example",
            "https://169.254.169.254",
            "http://x@169.254.169.254",
            "http://:x@169.254.169.254",
            "http://169.254.169.254/x",
        ] {
            assert!(endpoint(&[(ENDPOINT, url)]).is_err(), "{url}");
        }
        for (name, is) in [
            ("task-role", true),
            ("a/b", false),
            ("..", false),
            ("", false),
            ("<html>", false),
        ] {
            assert_eq!(is_role(name), is, "{name}");
        }
    }
}
