//! `x-amzn-oidc-data`: a person as an Application Load Balancer vouches for them, or our gateway in its form.
//! <https://docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-authenticate-users.html#user-claims-encoding>
//!
//! All load balancers of a region share their keys, so a right signature says only that some load balancer, of anybody's,
//! has signed. Whose it is says `signer`, which has to be one of those configured.

use std::sync::Arc;

use countersign_crypto::alb::{self, AlbError, AlbExpectation, MAX_ALB_TOKEN_BYTES};
use countersign_crypto::{SecretString, SharedClock, Timestamp, UserKey};
use countersign_outbound as outbound;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::alb_keys::{AlbKeys, NoKey};
use super::{LEEWAY_SECS, Person, PersonError, Voucher, text};

/// The signed claims.
pub const OIDC_DATA: HeaderName = HeaderName::from_static("x-amzn-oidc-data");
/// The subject, unsigned: never believed, only compared.
pub const OIDC_IDENTITY: HeaderName = HeaderName::from_static("x-amzn-oidc-identity");

/// Which load balancers are believed. What cannot work is refused when it is made or read.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Written")]
pub struct AlbConfig {
    signers: Vec<String>,
    issuer: String,
    client: String,
    /// Ends in a slash; the key id follows.
    keys: Url,
}

/// The same as it is written down.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    signers: Vec<String>,
    issuer: String,
    client: String,
    #[serde(default)]
    key_url: Option<Url>,
}

impl AlbConfig {
    /// `signers`: ARNs of the load balancers, at least one, all of one region. `issuer` and `client`: exactly those that
    /// their listener rule names. `key_url`: where public keys are, the key id to be appended; for our gateway the
    /// issuer of its user tokens, and by default where AWS has those of the signers' region.
    pub fn new(
        signers: Vec<String>,
        issuer: impl Into<String>,
        client: impl Into<String>,
        key_url: Option<Url>,
    ) -> Result<Self, AlbConfigError> {
        let regional = regional_keys(&signers)?;
        let mut keys = key_url.unwrap_or(regional);
        if !keys.path().ends_with('/') {
            keys.set_path(&format!("{}/", keys.path()));
        }
        Ok(Self {
            signers,
            issuer: issuer.into(),
            client: client.into(),
            keys,
        })
    }

    /// Where the public keys are fetched from: what a guard of outbound requests has to allow.
    #[must_use]
    pub fn keys(&self) -> &Url {
        &self.keys
    }
}

impl TryFrom<Written> for AlbConfig {
    type Error = AlbConfigError;

    fn try_from(written: Written) -> Result<Self, AlbConfigError> {
        Self::new(written.signers, written.issuer, written.client, written.key_url)
    }
}

/// The configuration cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlbConfigError {
    /// No signer: any load balancer of anybody's would do.
    #[error("`signers` is empty: any load balancer would be believed")]
    NoSigner,
    /// Not the ARN of an Application Load Balancer.
    #[error("{0:?} is not the ARN of an Application Load Balancer")]
    Arn(String),
    /// Keys are by region.
    #[error("`signers` are of different regions: configure each region by itself")]
    Regions,
}

/// Verifies `x-amzn-oidc-data`.
pub struct AlbVerifier {
    config: AlbConfig,
    keys: AlbKeys,
    clock: SharedClock,
}

impl AlbVerifier {
    /// A verifier for load balancers; keys are fetched through `client` when needed.
    #[must_use]
    pub fn new(config: AlbConfig, client: &outbound::Client, clock: &SharedClock) -> Self {
        Self {
            keys: AlbKeys::new(config.keys.clone(), client.clone(), Arc::clone(clock)),
            config,
            clock: Arc::clone(clock),
        }
    }

    /// Whether tokens of this load balancer are for this verifier.
    pub(super) fn knows(&self, signer: &str) -> bool {
        self.config.signers.iter().any(|known| known == signer)
    }

    /// The person of exactly one [`OIDC_DATA`] header.
    pub async fn verify(&self, headers: &HeaderMap) -> Result<Person, PersonError> {
        let token = token(headers)?;
        let person = self.verify_token(token).await?;
        let mut named = headers.get_all(OIDC_IDENTITY).iter();
        match (named.next(), named.next()) {
            (None, _) => Ok(person),
            (Some(named), None) if named.as_bytes() == person.subject.as_bytes() => Ok(person),
            (Some(_), None) => Err(PersonError::Alb(AlbError::Subject)),
            (Some(_), Some(_)) => Err(PersonError::Repeated),
        }
    }

    /// The person of a token.
    pub async fn verify_token(&self, token: &str) -> Result<Person, PersonError> {
        // Checked to be a UUID before it goes into a URL.
        let kid = alb::kid(token).map_err(PersonError::Alb)?;
        let pem = self.keys.get(&kid).await.map_err(|error| match error {
            NoKey::Unknown => PersonError::Alb(AlbError::KeyId),
            NoKey::Unavailable => PersonError::KeysUnavailable,
        })?;
        let expect = AlbExpectation {
            signers: &self.config.signers,
            issuer: &self.config.issuer,
            client: &self.config.client,
            leeway_secs: LEEWAY_SECS,
        };
        let verified = alb::verify(token, &pem, &expect, self.clock.now()).map_err(PersonError::Alb)?;
        let subject = text(&verified.claims, "sub").ok_or(PersonError::Alb(AlbError::Subject))?;
        Ok(Person {
            sid: None,
            auth_time: verified
                .claims
                .get("auth_time")
                .and_then(Value::as_i64)
                .map(Timestamp::from_secs),
            name: ["name", "preferred_username", "username", "email"]
                .into_iter()
                .find_map(|claim| text(&verified.claims, claim)),
            groups: super::groups(&verified.claims),
            user_key: UserKey::jwt(&self.config.issuer, &subject),
            issuer: self.config.issuer.clone(),
            subject,
            token: SecretString::from(token),
            gateway_issuer: verified.signer,
            voucher: Voucher::LoadBalancer,
            expires_at: verified.expires_at,
        })
    }
}

/// The one token of a request.
pub(super) fn token(headers: &HeaderMap) -> Result<&str, PersonError> {
    let mut values = headers.get_all(OIDC_DATA).iter();
    let value = values.next().ok_or(PersonError::Missing)?;
    if values.next().is_some() {
        return Err(PersonError::Repeated);
    }
    if value.len() > MAX_ALB_TOKEN_BYTES {
        return Err(PersonError::TooLarge);
    }
    value.to_str().map_err(|_| PersonError::Alb(AlbError::Malformed))
}

/// Where AWS has the keys of the signers' region.
fn regional_keys(signers: &[String]) -> Result<Url, AlbConfigError> {
    let mut urls = signers.iter().map(|arn| {
        let refused = || AlbConfigError::Arn(arn.clone());
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let [
            "arn",
            partition,
            "elasticloadbalancing",
            region,
            account,
            resource,
        ] = parts.as_slice()
        else {
            return Err(refused());
        };
        let label = |text: &str| {
            text.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if region.is_empty() || !label(region) || !account || !resource.starts_with("loadbalancer/app/") {
            return Err(refused());
        }
        let url = match *partition {
            "aws" => format!("https://public-keys.auth.elb.{region}.amazonaws.com/"),
            "aws-cn" => format!("https://public-keys.auth.elb.{region}.amazonaws.com.cn/"),
            "aws-us-gov" => format!("https://s3-{region}.amazonaws.com/aws-elb-public-keys-prod-{region}/"),
            _ => return Err(refused()),
        };
        Url::parse(&url).map_err(|_| refused())
    });
    let first = urls.next().ok_or(AlbConfigError::NoSigner)??;
    for url in urls {
        if url? != first {
            return Err(AlbConfigError::Regions);
        }
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_where_aws_has_those_of_the_region() {
        let at = |arns: &[&str]| {
            let arns: Vec<String> = arns.iter().map(|&arn| arn.to_owned()).collect();
            regional_keys(&arns).map(String::from)
        };
        let arn = |partition: &str, region: &str| {
            format!(
                "arn:{partition}:elasticloadbalancing:{region}:000000000000:loadbalancer/app/lb/50dc6c495c0c9188"
            )
        };
        for (partition, region, url) in [
            (
                "aws",
                "eu-central-1",
                "https://public-keys.auth.elb.eu-central-1.amazonaws.com/",
            ),
            (
                "aws-us-gov",
                "us-gov-west-1",
                "https://s3-us-gov-west-1.amazonaws.com/aws-elb-public-keys-prod-us-gov-west-1/",
            ),
            (
                "aws-cn",
                "cn-north-1",
                "https://public-keys.auth.elb.cn-north-1.amazonaws.com.cn/",
            ),
        ] {
            assert_eq!(at(&[&arn(partition, region)]).as_deref(), Ok(url));
        }
        assert_eq!(at(&[]), Err(AlbConfigError::NoSigner));
        assert_eq!(
            at(&[&arn("aws", "us-east-1"), &arn("aws", "us-east-2")]),
            Err(AlbConfigError::Regions)
        );
        for arn in [
            "lb",
            &arn("aws-iso", "us-iso-east-1"),
            &arn("aws", "evil.example/#"),
            &arn("aws", "us-east-1").replace("000000000000", "1"),
            &arn("aws", "us-east-1").replace("/app/", "/net/"),
        ] {
            assert_eq!(at(&[arn]), Err(AlbConfigError::Arn(arn.to_owned())));
        }
    }
}
