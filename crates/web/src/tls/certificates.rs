//! Which certificate a client is shown: by the server name it asks for (SNI), else the first; a self-signed one where
//! there is no other.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;

use super::TlsError;
use super::config::{CertificateFiles, inline_pem, place};

/// ALPN protocol of the TLS-ALPN-01 challenge (RFC 8737 section 6.2).
pub(super) const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";

/// Certificates that change while listeners run: those that ACME has issued, and those that answer its
/// TLS-ALPN-01 challenges. Shared by the listeners that use ACME.
#[derive(Debug, Default)]
pub struct IssuedCertificates {
    issued: ArcSwap<ByName>,
    challenges: ArcSwap<ByName>,
}

type ByName = HashMap<String, Arc<CertifiedKey>>;

impl IssuedCertificates {
    /// None yet.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Shows this certificate (PEM, with its chain) for these names from now on.
    pub fn install(&self, names: &[String], chain_pem: &str, key_pem: &str) -> Result<(), TlsError> {
        let (_, key) = certified_key(chain_pem.as_bytes(), key_pem.as_bytes())
            .map_err(|fault| TlsError::new("the issued certificate", fault))?;
        self.issued.rcu(|known| {
            let mut known = ByName::clone(known);
            known.extend(
                names
                    .iter()
                    .map(|name| (name.to_ascii_lowercase(), Arc::clone(&key))),
            );
            known
        });
        Ok(())
    }

    /// Answers TLS-ALPN-01 challenges for `name` with this certificate.
    pub fn answer_challenge(&self, name: &str, certificate_pem: &str, key_pem: &str) -> Result<(), TlsError> {
        // It is not compared with its key: its critical extension (RFC 8737 section 3) is one that the parser
        // behind that comparison refuses.
        let key = key_with_chain(certificate_pem.as_bytes(), key_pem.as_bytes())
            .map(Arc::new)
            .map_err(|fault| TlsError::new("the challenge certificate", fault))?;
        self.challenges.rcu(|known| {
            let mut known = ByName::clone(known);
            known.insert(name.to_ascii_lowercase(), Arc::clone(&key));
            known
        });
        Ok(())
    }

    /// Answers challenges for `name` no more.
    pub fn end_challenge(&self, name: &str) {
        self.challenges.rcu(|known| {
            let mut known = ByName::clone(known);
            known.remove(&name.to_ascii_lowercase());
            known
        });
    }
}

/// The certificates of one listener.
pub(super) struct Certificates {
    by_name: ByName,
    first: Option<Arc<CertifiedKey>>,
    issued: Option<Arc<IssuedCertificates>>,
    /// Self-signed: no name brings it before a certificate that can be checked.
    fallback: Option<Arc<CertifiedKey>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("names", &self.by_name.keys())
            .finish_non_exhaustive()
    }
}

impl Certificates {
    /// Reads the files; `fallback` is shown where there is no other.
    pub(super) fn load(
        files: &[CertificateFiles],
        fallback: Option<Arc<CertifiedKey>>,
        issued: Option<Arc<IssuedCertificates>>,
    ) -> Result<Self, TlsError> {
        let mut by_name = ByName::new();
        let mut first = None;
        let read = |path: &Path| match inline_pem(path) {
            Some(pem) => Ok(pem.to_vec()),
            None => std::fs::read(path)
                .map_err(|error| TlsError::new(path.display(), format!("cannot be read: {error}"))),
        };
        let mut loaded = Vec::new();
        for pair in files {
            if inline_pem(&pair.private_key).is_none() {
                super::private_file(&pair.private_key)?;
            }
            let certificate = read(&pair.certificate)?;
            let key = read(&pair.private_key)?;
            loaded.push(
                certified_key(&certificate, &key)
                    .map_err(|fault| TlsError::new(place(&pair.certificate), fault))?,
            );
        }
        for (names, key) in loaded {
            first.get_or_insert_with(|| Arc::clone(&key));
            for name in names {
                // The first one named keeps its names, as it stands in the file.
                by_name.entry(name).or_insert_with(|| Arc::clone(&key));
            }
        }
        Ok(Self {
            by_name,
            first,
            issued,
            fallback,
        })
    }

    fn named(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let wildcard = name.split_once('.').map(|(_, parent)| format!("*.{parent}"));
        let in_files = |name: &str| self.by_name.get(name).cloned();
        let issued = |name: &str| self.issued.as_ref()?.issued.load().get(name).cloned();
        in_files(name)
            .or_else(|| issued(name))
            .or_else(|| in_files(wildcard.as_deref()?))
    }

    fn choose(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        name.and_then(|name| self.named(name))
            .or_else(|| self.first.clone())
            .or_else(|| self.issued.as_ref()?.issued.load().values().next().cloned())
            .or_else(|| self.fallback.clone())
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        // RFC 8737 section 3: this protocol alone means a validation, and nothing else is served on it.
        if hello.alpn().is_some_and(|mut protocols| {
            protocols.next() == Some(ACME_TLS_ALPN) && protocols.next().is_none()
        }) {
            return self.issued.as_ref()?.challenges.load().get(&name?).cloned();
        }
        self.choose(name.as_deref())
    }
}

/// A key with its chain, and the names in the certificate. The error says what is wrong, without the file.
fn certified_key(chain: &[u8], key: &[u8]) -> Result<(Vec<String>, Arc<CertifiedKey>), String> {
    let certified = key_with_chain(chain, key)?;
    let names = names_of(certified.end_entity_cert().map_err(|error| error.to_string())?)?;
    certified
        .keys_match()
        .map_err(|_| "the private key belongs to another certificate".to_owned())?;
    Ok((names, Arc::new(certified)))
}

fn key_with_chain(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("not a PEM certificate: {error}"))?;
    if chain.is_empty() {
        return Err("has no certificate".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| "the private key is not PEM".to_owned())?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)
        .map_err(|_| "the private key has an unknown type".to_owned())?;
    Ok(CertifiedKey::new(chain, key))
}

fn names_of(leaf: &CertificateDer<'_>) -> Result<Vec<String>, String> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(leaf).map_err(|error| format!("not a certificate: {error}"))?;
    let alternatives = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let names = alternatives.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    Ok(names.collect())
}

/// `notBefore` and `notAfter`, in epoch seconds, of the first certificate of a PEM chain.
#[must_use]
pub fn validity(chain_pem: &str) -> Option<(i64, i64)> {
    let leaf = CertificateDer::from_pem_slice(chain_pem.as_bytes()).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&leaf).ok()?;
    let validity = certificate.validity();
    Some((validity.not_before.timestamp(), validity.not_after.timestamp()))
}

/// A certificate of our own making for `names`, good for 10 years: nobody checks it.
pub(super) fn self_signed(names: &[String]) -> Result<Arc<CertifiedKey>, TlsError> {
    let refused = |error: rcgen::Error| TlsError::new("the self-signed certificate", error.to_string());
    let key = rcgen::KeyPair::generate().map_err(refused)?;
    let certificate = rcgen::CertificateParams::new(names.to_vec())
        .and_then(|params| params.self_signed(&key))
        .map_err(refused)?;
    certified_key(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())
        .map(|(_, key)| key)
        .map_err(|fault| TlsError::new("the self-signed certificate", fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chain and key in PEM.
    fn made(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    fn file(name: &str) -> CertificateFiles {
        let (certificate, private_key) = made(name);
        CertificateFiles {
            certificate: certificate.into(),
            private_key: private_key.into(),
        }
    }

    fn issue(issued: &IssuedCertificates, name: &str) {
        let (chain, key) = made(name);
        issued
            .install(&[name.to_owned()], &chain, &key)
            .expect("installed");
    }

    /// The names in the certificate that a client is shown.
    fn shown(certificates: &Certificates, name: Option<&str>) -> String {
        let key = certificates.choose(name).expect("some certificate");
        names_of(&key.cert[0]).expect("names").join(" ")
    }

    #[test]
    fn a_self_signed_certificate_is_the_last_choice() {
        let listener = ["app.example".to_owned(), "api.example".to_owned()];
        let load = |files: &[CertificateFiles], issued: &Arc<IssuedCertificates>| {
            let fallback = self_signed(&listener).expect("a certificate");
            Certificates::load(files, Some(fallback), Some(issued.clone())).expect("loaded")
        };
        let every = [
            Some("app.example"),
            Some("api.example"),
            Some("other.example"),
            None,
        ];
        let issued = IssuedCertificates::new();
        let certificates = load(&[], &issued);
        for name in every {
            assert_eq!(shown(&certificates, name), "app.example api.example", "{name:?}");
        }
        // As soon as there is one that can be checked, also for names it does not have.
        issue(&issued, "app.example");
        for name in every {
            assert_eq!(shown(&certificates, name), "app.example", "{name:?}");
        }
        let certificates = load(&[file("file.example"), file("*.example")], &issued);
        for (name, expected) in [
            (Some("app.example"), "app.example"),
            (Some("file.example"), "file.example"),
            (Some("api.example"), "*.example"),
            (Some("elsewhere.test"), "file.example"),
            (None, "file.example"),
        ] {
            assert_eq!(shown(&certificates, name), expected, "{name:?}");
        }
    }

    #[test]
    fn a_self_signed_certificate_alone_answers_every_name() {
        let fallback = self_signed(&["app.example".to_owned()]).expect("a certificate");
        let certificates = Certificates::load(&[], Some(fallback), None).expect("loaded");
        for name in [Some("app.example"), Some("other.example"), None] {
            assert_eq!(shown(&certificates, name), "app.example", "{name:?}");
        }
    }
}
