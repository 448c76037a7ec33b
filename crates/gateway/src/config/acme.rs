//! Certificates by ACME as they are configured.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

/// An ACME server (RFC 8555) and our account there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcmeConfig {
    /// Its directory.
    #[serde(default = "lets_encrypt")]
    pub directory_url: Url,
    /// That you have read and agree to its terms of service. Without it nothing is asked for.
    pub terms_of_service_agreed: bool,
    /// Where it may write to: `mailto:` URLs.
    #[serde(default)]
    pub contact: Vec<String>,
    /// PEM file of the authorities that issued the ACME server's own certificate. Absent: the system's.
    #[serde(default)]
    pub trust_root: Option<PathBuf>,
    /// Directory for the account key, the certificates and their keys (0600).
    pub storage: PathBuf,
    /// How it is shown that a name is ours.
    #[serde(default)]
    pub challenge: AcmeChallenge,
    /// Days before its end at which a certificate is renewed; at most a third of its whole time.
    #[serde(default = "default_renew_before_days")]
    pub renew_before_days: u32,
    /// For servers that want an account of theirs behind ours (RFC 8555 section 7.3.4).
    #[serde(default)]
    pub external_account: Option<ExternalAccount>,
}

/// How it is shown that a name is ours.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub enum AcmeChallenge {
    /// By a TLS handshake on port 443 (RFC 8737): the listener itself answers.
    #[default]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By a file on port 80 (RFC 8555 section 8.3): a listener there answers for every name, whatever its rules. The key
    /// listener does not.
    #[serde(rename = "http-01")]
    Http01,
}

/// An external account binding.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExternalAccount {
    /// Key identifier.
    pub key_id: String,
    /// MAC key, base64url.
    pub hmac_key: SecretString,
}

fn lets_encrypt() -> Url {
    Url::parse("https://acme-v02.api.letsencrypt.org/directory")
        .unwrap_or_else(|_| unreachable!("a constant"))
}

const fn default_renew_before_days() -> u32 {
    30
}
