//! TLS as it is written down.

use std::fmt;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// TLS on a listener: the text `"self-signed"`, or a table with certificates.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TlsConfig {
    /// Certificates from files. The first answers clients whose server name none of them has.
    pub certificates: Vec<CertificateFiles>,
    /// A certificate made at start, which nobody can check: for the stretch behind a load balancer that
    /// speaks TLS to its targets without checking them. Shown only where there is no other.
    pub self_signed: bool,
    /// Certificates by ACME for the names of this listener.
    pub acme: bool,
    /// The oldest version spoken.
    pub minimum_version: TlsVersion,
    /// Client certificates. Absent: none are asked for.
    pub mutual_authentication: Option<MutualAuthentication>,
}

/// One certificate with its chain, and its key.
#[derive(Clone, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// PEM file: the certificate, then its intermediates. Or the PEM itself, to which an `env:` reference resolves.
    pub certificate: PathBuf,
    /// PEM file of the private key: PKCS#8, PKCS#1 or SEC1. Not readable by others. Or the PEM itself.
    pub private_key: PathBuf,
}

/// How PEM begins (RFC 7468 section 2); no path does.
const PEM: &[u8] = b"-----BEGIN ";

/// The PEM that stands in the place of a path.
pub(super) fn inline_pem(path: &Path) -> Option<&[u8]> {
    let text = path.as_os_str().as_encoded_bytes();
    text.starts_with(PEM).then_some(text)
}

/// The PEM at `path`: a file, or the PEM itself, to which an `env:` reference resolves. For what is no secret.
pub fn pem(path: &Path) -> std::io::Result<Vec<u8>> {
    match inline_pem(path) {
        Some(pem) => Ok(pem.to_vec()),
        None => std::fs::read(path),
    }
}

/// What an error may say of a path: never a key.
pub(super) fn place(path: &Path) -> impl fmt::Display {
    match inline_pem(path) {
        Some(_) => "the PEM in the configuration".to_owned(),
        None => path.display().to_string(),
    }
}

impl fmt::Debug for CertificateFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateFiles")
            .field("certificate", &place(&self.certificate).to_string())
            .field("private_key", &place(&self.private_key).to_string())
            .finish()
    }
}

/// A version of TLS. There is nothing older.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
pub enum TlsVersion {
    /// RFC 5246, with AEAD suites and ephemeral keys only.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// RFC 8446.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Client certificates, as an Application Load Balancer treats them.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct MutualAuthentication {
    /// What happens to them.
    pub mode: MutualAuthenticationMode,
    /// PEM file of the authorities that clients' certificates must come from; for `verify`.
    #[serde(default)]
    pub trust_store: Option<PathBuf>,
    /// PEM files of certificate revocation lists of these authorities, one or more in each; for `verify`.
    #[serde(default)]
    pub revocation_lists: Vec<PathBuf>,
}

/// What happens to client certificates.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum MutualAuthenticationMode {
    /// They are asked for, not checked, and passed on in `x-amzn-mtls-clientcert`: the target checks.
    Passthrough,
    /// A client without a valid one gets no connection; what it says is passed on in `x-amzn-mtls-clientcert-*`.
    Verify,
}

/// PROXY protocol version 2 on a listener.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocol {
    /// Networks of the senders that are believed. They must send the header, but on the operations listener;
    /// everybody else must not.
    pub trusted_sources: Vec<IpNet>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    certificates: Vec<CertificateFiles>,
    #[serde(default)]
    self_signed: bool,
    #[serde(default)]
    acme: bool,
    #[serde(default)]
    minimum_version: TlsVersion,
    #[serde(default)]
    mutual_authentication: Option<MutualAuthentication>,
}

impl<'de> Deserialize<'de> for TlsConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = TlsConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"self-signed\" or a table with certificates")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<TlsConfig, E> {
                match text {
                    "self-signed" => Ok(TlsConfig {
                        self_signed: true,
                        ..TlsConfig::default()
                    }),
                    _ => Err(E::custom("write \"self-signed\" or a table with certificates")),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TlsConfig, A::Error> {
                let table = Table::deserialize(MapAccessDeserializer::new(map))?;
                let config = TlsConfig {
                    certificates: table.certificates,
                    self_signed: table.self_signed,
                    acme: table.acme,
                    minimum_version: table.minimum_version,
                    mutual_authentication: table.mutual_authentication,
                };
                if config.certificates.is_empty() && !config.self_signed && !config.acme {
                    return Err(A::Error::custom(
                        "no certificate: name files, or set acme or self_signed",
                    ));
                }
                Ok(config)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Tls;

    #[test]
    fn a_certificate_may_stand_in_the_configuration_and_its_key_is_never_shown() {
        let made = rcgen::generate_simple_self_signed(["app.example.com".to_owned()]).expect("a certificate");
        let key = made.signing_key.serialize_pem();
        let config = |key: &str| TlsConfig {
            certificates: vec![CertificateFiles {
                certificate: made.cert.pem().into(),
                private_key: key.into(),
            }],
            ..TlsConfig::default()
        };
        Tls::check(&config(&key)).expect("both are PEM");
        let shown = format!("{:?}", config(&key));
        assert!(!shown.contains("PRIVATE KEY"), "{shown}");
        let broken = Tls::check(&config("-----BEGIN PRIVATE KEY-----\nAAAA")).expect_err("not a key");
        assert!(!broken.to_string().contains("AAAA"), "{broken}");
    }
}
