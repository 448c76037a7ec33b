//! TLS on our listeners, by rustls with aws-lc-rs: certificates by server name, client certificates,
//! reload without dropping a connection, and what comes before TLS (PROXY protocol version 2).
//!
//! It refuses TLS older than 1.2, private keys that everybody can read, certificates whose key is another's,
//! and plain HTTP from strangers.

mod certificates;
mod client_certificate;
mod config;
mod proxy_protocol;
mod transport;

use std::cmp::Reverse;
use std::fmt;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::{HeaderName, HeaderValue};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
    SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};

pub use certificates::{IssuedCertificates, validity};
pub use config::{
    CertificateFiles, MutualAuthentication, MutualAuthenticationMode, ProxyProtocol, TlsConfig, TlsVersion,
    pem,
};
pub use transport::ListenerTransport;

use certificates::{ACME_TLS_ALPN, Certificates};

/// How often files are looked at for a change.
const WATCH_EVERY: Duration = Duration::from_secs(10);

/// TLS cannot be set up as it is configured.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {fault}")]
pub struct TlsError {
    place: String,
    fault: String,
}

impl TlsError {
    fn new(place: impl fmt::Display, fault: impl Into<String>) -> Self {
        Self {
            place: place.to_string(),
            fault: fault.into(),
        }
    }
}

/// TLS of one listener. Connections that stand keep what they were made with; new ones get the current.
pub struct Tls {
    current: ArcSwap<Loaded>,
    /// Names of the listener, for a self-signed certificate.
    names: Vec<String>,
    issued: Option<Arc<IssuedCertificates>>,
}

/// What [`Tls::prepare`] has read.
pub struct PreparedTls(Loaded);

impl fmt::Debug for PreparedTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreparedTls")
    }
}

struct Loaded {
    config: TlsConfig,
    server: Arc<ServerConfig>,
    /// What the files looked like when they were read.
    seen: Vec<Option<(SystemTime, u64)>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files of `config`. `names` are the listener's host names; `issued` is where ACME puts its
    /// certificates.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load(
        config: &TlsConfig,
        names: &[String],
        issued: Option<Arc<IssuedCertificates>>,
    ) -> Result<Arc<Self>, TlsError> {
        let loaded = Loaded::read(config, names, issued.as_ref())?;
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(loaded),
            names: names.to_vec(),
            issued,
        }))
    }

    /// Whether `config` could be loaded now.
    pub fn check(config: &TlsConfig) -> Result<(), TlsError> {
        Loaded::read(config, &["localhost".to_owned()], None).map(|_| ())
    }

    /// Reads the files anew, or other ones. Nothing changes before [`Self::install`].
    pub fn prepare(&self, config: &TlsConfig) -> Result<PreparedTls, TlsError> {
        Loaded::read(config, &self.names, self.issued.as_ref()).map(PreparedTls)
    }

    /// New connections get what was prepared.
    pub fn install(&self, prepared: PreparedTls) {
        self.current.store(Arc::new(prepared.0));
    }

    /// Reads the files anew. On an error everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        let current = self.current.load_full();
        let prepared = self.prepare(&current.config)?;
        // What was installed meanwhile is newer than what was read here.
        self.current.compare_and_swap(&current, Arc::new(prepared.0));
        Ok(())
    }

    /// Reloads by itself when a file has changed, for as long as somebody else holds this. A change that
    /// does not load is logged once, and the old certificates stay.
    pub fn watch(self: &Arc<Self>) {
        let watched = Arc::downgrade(self);
        tokio::spawn(async move {
            let mut failed = None;
            loop {
                tokio::time::sleep(WATCH_EVERY).await;
                let Some(tls) = Weak::upgrade(&watched) else {
                    return;
                };
                // Files are read in the way of nobody.
                let looked = tokio::task::spawn_blocking(move || tls.reload_if_changed(failed)).await;
                failed = looked.ok().flatten();
            }
        });
    }

    /// Answers with the state of the files that could not be loaded.
    fn reload_if_changed(&self, failed: Option<Seen>) -> Option<Seen> {
        let current = self.current.load_full();
        let now = seen(&current.config);
        if now == current.seen {
            return None;
        }
        if failed.as_ref() == Some(&now) {
            return failed;
        }
        match self.reload() {
            Ok(()) => {
                tracing::info!(names = ?self.names, "TLS certificates were reloaded");
                None
            }
            Err(error) => {
                tracing::error!(%error, "changed TLS files do not load; the old ones stay");
                Some(now)
            }
        }
    }

    fn current(&self) -> (Arc<ServerConfig>, Option<MutualAuthenticationMode>) {
        let current = self.current.load();
        let mode = current
            .config
            .mutual_authentication
            .as_ref()
            .map(|mutual| mutual.mode);
        (Arc::clone(&current.server), mode)
    }
}

type Seen = Vec<Option<(SystemTime, u64)>>;

fn seen(config: &TlsConfig) -> Seen {
    files(config)
        .map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
        .collect()
}

fn files(config: &TlsConfig) -> impl Iterator<Item = &PathBuf> {
    let pairs = config
        .certificates
        .iter()
        .flat_map(|files| [&files.certificate, &files.private_key]);
    let mutual = config
        .mutual_authentication
        .iter()
        .flat_map(|mutual| mutual.trust_store.iter().chain(&mutual.revocation_lists));
    pairs.chain(mutual)
}

impl Loaded {
    fn read(
        config: &TlsConfig,
        names: &[String],
        issued: Option<&Arc<IssuedCertificates>>,
    ) -> Result<Self, TlsError> {
        // Before the files, so that a change between the two is seen as one.
        let seen = seen(config);
        let fallback = if config.self_signed {
            Some(certificates::self_signed(names)?)
        } else {
            None
        };
        let issued = issued.filter(|_| config.acme).cloned();
        let acme = issued.is_some();
        let certificates = Certificates::load(&config.certificates, fallback, issued)?;
        let versions: &[&rustls::SupportedProtocolVersion] = match config.minimum_version {
            TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| TlsError::new("tls", error.to_string()))?;
        let builder = match &config.mutual_authentication {
            None => builder.with_no_client_auth(),
            Some(mutual) => builder.with_client_cert_verifier(client_verifier(mutual, &provider)?),
        };
        let mut server = builder.with_cert_resolver(Arc::new(certificates));
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if acme {
            server.alpn_protocols.push(ACME_TLS_ALPN.to_vec());
        }
        if config.mutual_authentication.is_some() {
            // As at an ALB: each connection shows its certificate, a withdrawn one helps nobody for long.
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server.send_tls13_tickets = 0;
        }
        Ok(Self {
            config: config.clone(),
            server: Arc::new(server),
            seen,
        })
    }
}

fn client_verifier(
    mutual: &MutualAuthentication,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if mutual.mode == MutualAuthenticationMode::Passthrough {
        return Ok(Arc::new(Unchecked(provider.signature_verification_algorithms)));
    }
    let Some(path) = &mutual.trust_store else {
        return Err(TlsError::new(
            "mutual_authentication",
            "verify needs a trust_store",
        ));
    };
    let refused = |path: &Path, error: String| TlsError::new(path.display(), error);
    let mut roots = RootCertStore::empty();
    let authorities =
        CertificateDer::pem_file_iter(path).map_err(|error| refused(path, error.to_string()))?;
    for authority in authorities {
        let authority = authority.map_err(|error| refused(path, error.to_string()))?;
        roots
            .add(authority)
            .map_err(|error| refused(path, error.to_string()))?;
    }
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let mut lists = Vec::new();
    for path in &mutual.revocation_lists {
        let of_file = CertificateRevocationListDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| refused(path, error.to_string()))?;
        if of_file.is_empty() {
            return Err(refused(path, "has no revocation list".to_owned()));
        }
        lists.extend(of_file);
    }
    if !lists.is_empty() {
        // The first list of an authority is the only one that is asked: its newest.
        lists.sort_by_key(|list| Reverse(issued_at(list)));
        // A list says something about its own authority; the others are not thereby refused.
        builder = builder
            .with_crls(lists)
            .allow_unknown_revocation_status()
            .enforce_revocation_expiration();
    }
    builder
        .build()
        .map_err(|error| TlsError::new(path.display(), error.to_string()))
}

/// `thisUpdate` of a revocation list. What cannot be read is refused elsewhere.
fn issued_at(list: &CertificateRevocationListDer<'_>) -> Option<i64> {
    let (_, list) = x509_parser::parse_x509_crl(list).ok()?;
    Some(list.last_update().timestamp())
}

/// Asks for a certificate and takes any: the client proves that it has the key, and nothing else.
#[derive(Debug)]
struct Unchecked(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for Unchecked {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// The TLS session of a request's connection, as a request extension. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsSession(Arc<Session>);

#[derive(Debug)]
struct Session {
    version: &'static str,
    cipher_suite: &'static str,
    server_name: Option<String>,
    client_certificate: Vec<(HeaderName, HeaderValue)>,
}

impl TlsSession {
    fn of(connection: &ServerConnection, mode: Option<MutualAuthenticationMode>) -> Self {
        let chain = connection.peer_certificates().unwrap_or_default();
        Self(Arc::new(Session {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
            cipher_suite: connection
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or("-"),
            server_name: connection.server_name().map(str::to_owned),
            client_certificate: mode.map_or_else(Vec::new, |mode| client_certificate::headers(mode, chain)),
        }))
    }

    /// `TLSv1.2` or `TLSv1.3`.
    #[must_use]
    pub fn version(&self) -> &'static str {
        self.0.version
    }

    /// The cipher suite by its IANA name.
    #[must_use]
    pub fn cipher_suite(&self) -> &'static str {
        self.0.cipher_suite
    }

    /// The name the client asked for.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.0.server_name.as_deref()
    }

    /// The `x-amzn-mtls-*` headers of the client's certificate; empty without one.
    #[must_use]
    pub fn client_certificate_headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.0.client_certificate
    }
}

/// Refuses a private key that everybody on the machine can read.
fn private_file(path: &Path) -> Result<(), TlsError> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| TlsError::new(path.display(), format!("cannot be read: {error}")))?;
    if metadata.permissions().mode() % 0o10 == 0 {
        Ok(())
    } else {
        Err(TlsError::new(
            path.display(),
            "everybody on this machine can read the private key: chmod 600",
        ))
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
        KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
    };
    use rustls::CertificateError;

    use super::*;

    /// An authority, and the one certificate it has issued.
    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        pem: String,
        client: CertificateDer<'static>,
    }

    impl Authority {
        fn new(name: &str) -> Self {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().expect("a key");
            let pem = params.self_signed(&key).expect("an authority").pem();
            let issuer = Issuer::new(params, key);
            let mut params = CertificateParams::default();
            params.serial_number = Some(SerialNumber::from(7));
            let key = KeyPair::generate().expect("a key");
            let client = params.signed_by(&key, &issuer).expect("a certificate");
            Self {
                issuer,
                pem,
                client: client.der().clone(),
            }
        }

        /// Its list of `year`, with its certificate in it or without.
        fn list(&self, year: i32, revoked: bool) -> String {
            let entry = RevokedCertParams {
                serial_number: SerialNumber::from(7),
                revocation_time: date_time_ymd(year, 1, 1),
                reason_code: None,
                invalidity_date: None,
            };
            let list = CertificateRevocationListParams {
                this_update: date_time_ymd(year, 1, 1),
                next_update: date_time_ymd(4000, 1, 1),
                crl_number: SerialNumber::from(1),
                issuing_distribution_point: None,
                revoked_certs: revoked.then_some(entry).into_iter().collect(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            let list = list.signed_by(&self.issuer).expect("a list");
            list.pem().expect("PEM")
        }
    }

    /// What becomes of the clients of `authorities` when one file has these lists.
    fn verified(authorities: &[&Authority], lists: &[String]) -> Result<Vec<bool>, TlsError> {
        let directory = tempfile::tempdir().expect("a directory");
        let written = |name: &str, text: String| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let authorities_pem = authorities.iter().map(|authority| authority.pem.as_str());
        let mutual = MutualAuthentication {
            mode: MutualAuthenticationMode::Verify,
            trust_store: Some(written("authorities.pem", authorities_pem.collect())),
            revocation_lists: vec![written("lists.pem", lists.concat())],
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let clients = client_verifier(&mutual, &provider)?;
        let revoked = rustls::Error::InvalidCertificate(CertificateError::Revoked);
        let verify = |authority: &&Authority| {
            let verified = clients.verify_client_cert(&authority.client, &[], UnixTime::now());
            if let Err(error) = &verified {
                assert_eq!(*error, revoked);
            }
            verified.is_ok()
        };
        Ok(authorities.iter().map(verify).collect())
    }

    #[test]
    fn every_revocation_list_of_a_file_counts() {
        let (one, other) = (Authority::new("one"), Authority::new("other"));
        let lists = [one.list(2020, false), other.list(2020, true)];
        let accepted = verified(&[&one, &other], &lists).expect("it loads");
        assert_eq!(accepted, [true, false]);
        // A list that is cut off says less than it should.
        let cut = lists.concat().trim_end().trim_end_matches('-').to_owned();
        assert!(verified(&[&one, &other], &[cut]).is_err());
    }

    #[test]
    fn of_the_revocation_lists_of_one_authority_the_newest_counts() {
        let one = Authority::new("one");
        for years in [[2020, 2021], [2021, 2020]] {
            let lists = years.map(|year| one.list(year, year == 2021));
            assert_eq!(verified(&[&one], &lists).expect("it loads"), [false]);
        }
    }

    #[test]
    fn a_file_without_any_revocation_list_is_refused() {
        let one = Authority::new("one");
        let error = verified(&[&one], std::slice::from_ref(&one.pem)).expect_err("a certificate is no list");
        assert!(error.to_string().ends_with("has no revocation list"), "{error}");
    }
}
