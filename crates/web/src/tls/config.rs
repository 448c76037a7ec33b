//! TLS as it is written down.

use std::fmt;
use std::path::PathBuf;

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
    /// speaks TLS to its targets without checking them.
    pub self_signed: bool,
    /// Certificates by ACME for the names of this listener.
    pub acme: bool,
    /// The oldest version spoken.
    pub minimum_version: TlsVersion,
    /// Client certificates. Absent: none are asked for.
    pub mutual_authentication: Option<MutualAuthentication>,
}

/// One certificate with its chain, and its key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// PEM file: the certificate, then its intermediates.
    pub certificate: PathBuf,
    /// PEM file of the private key: PKCS#8, PKCS#1 or SEC1. Not readable by others.
    pub private_key: PathBuf,
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
    /// PEM files of certificate revocation lists of these authorities; for `verify`.
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
    /// Networks of the senders that are believed. They must send the header; everybody else must not.
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
