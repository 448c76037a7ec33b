//! One order: account, challenges, certificate.

use std::time::Duration;

use countersign_crypto::ExposeSecret as _;
use countersign_crypto::b64url_decode;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, ExternalAccountKey, Identifier, NewAccount, NewOrder,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};

use super::http::Guarded;
use super::{Acme, AcmeError};
use crate::config::AcmeChallenge;

/// How long a server may take to validate and to issue.
const PATIENCE: Duration = Duration::from_mins(2);

impl Acme {
    /// Gets a certificate for `names`, stores it and shows it from now on.
    pub(super) async fn issue(&self, names: &[String]) -> Result<(), AcmeError> {
        let account = self.account().await?;
        let mut under_way = Vec::new();
        let certificate = self.order(&account, names, &mut under_way).await;
        for answered in under_way {
            match self.config.challenge {
                AcmeChallenge::Http01 => self.challenges.end(&answered),
                AcmeChallenge::TlsAlpn01 => self.issued.end_challenge(&answered),
            }
        }
        let (chain, key) = certificate?;
        // Stored first: what is shown must be there after a restart.
        self.storage.keep_certificate(names, &chain, &key)?;
        self.issued.install(names, &chain, &key)?;
        Ok(())
    }

    async fn account(&self) -> Result<Account, AcmeError> {
        let builder = Account::builder_with_http(Box::new(Guarded(self.client.clone())));
        if let Some(stored) = self.storage.account() {
            let credentials =
                serde_json::from_str(&stored).map_err(|_| AcmeError::Damaged("account.json"))?;
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact: Vec<&str> = self.config.contact.iter().map(String::as_str).collect();
        let external = self.config.external_account.as_ref().map(|account| {
            let key = b64url_decode(account.hmac_key.expose_secret()).unwrap_or_default();
            ExternalAccountKey::new(account.key_id.clone(), &key)
        });
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: self.config.terms_of_service_agreed,
            only_return_existing: false,
        };
        let directory = self.config.directory_url.to_string();
        let (account, credentials) = builder.create(&new, directory, external.as_ref()).await?;
        let credentials =
            serde_json::to_string(&credentials).map_err(|_| AcmeError::Damaged("account.json"))?;
        self.storage.keep_account(&credentials)?;
        Ok(account)
    }

    /// Chain and key in PEM. `under_way` gets what has to be taken back afterwards.
    async fn order(
        &self,
        account: &Account,
        names: &[String],
        under_way: &mut Vec<String>,
    ) -> Result<(String, String), AcmeError> {
        let identifiers: Vec<Identifier> = names.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let kind = match self.config.challenge {
                AcmeChallenge::Http01 => ChallengeType::Http01,
                AcmeChallenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
            };
            let name = authorization.identifier().to_string();
            let mut challenge = authorization
                .challenge(kind)
                .ok_or_else(|| AcmeError::NoChallenge(name.clone()))?;
            let proof = challenge.key_authorization();
            match self.config.challenge {
                AcmeChallenge::Http01 => {
                    self.challenges.begin(&challenge.token, proof.as_str());
                    under_way.push(challenge.token.clone());
                }
                AcmeChallenge::TlsAlpn01 => {
                    let (certificate, key) = challenge_certificate(&name, proof.digest().as_ref())?;
                    self.issued.answer_challenge(&name, &certificate, &key)?;
                    under_way.push(name);
                }
            }
            challenge.set_ready().await?;
        }
        let retries = RetryPolicy::new().timeout(PATIENCE);
        let status = order.poll_ready(&retries).await?;
        if status != OrderStatus::Ready {
            return Err(AcmeError::Order(status));
        }
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        // Without the name that the library gives in our absence: servers compare all names with the order's.
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&key)?;
        order.finalize_csr(request.der()).await?;
        let chain = order.poll_certificate(&retries).await?;
        Ok((chain, key.serialize_pem()))
    }
}

/// RFC 8737 section 3: self-signed, for the one name, with the proof in a critical extension.
fn challenge_certificate(name: &str, digest: &[u8]) -> Result<(String, String), AcmeError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}
