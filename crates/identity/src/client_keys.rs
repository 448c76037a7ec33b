//! The private keys by which this service proves itself to providers (`PRIVATE_KEY_JWT`). A provider names its key by
//! the ARN of a KMS key, as the API has it; what such an ARN stands for here is the operator's to say, and an ARN that
//! is not on the operator's list signs nothing (design D22).

use std::collections::HashMap;

use countersign_api::control::private_key_jwt::{
    AdditionalClaims, PrivateKeyJwtConfig, PrivateKeySource, SigningAlgorithm,
};
use countersign_crypto::{Algorithm, PrivateKey, SecretString};
use countersign_oauth::ServerMetadata;
use countersign_oauth::private_key_jwt::ClientAssertion;
use serde_json::{Map, Value};

use crate::config::{Config, ConfigError};
use crate::state::State;
use crate::vault::provider::ProviderError;

/// The keys by account and ARN.
#[derive(Debug, Default)]
pub(crate) struct ClientKeys(HashMap<(String, String), ClientKey>);

#[derive(Debug)]
struct ClientKey {
    key: PrivateKey,
    kid: Option<String>,
}

/// Who proves itself, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prover<'a> {
    pub(crate) account: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) server: &'a ServerMetadata,
    /// The `aud`, unless the registration has one that is as good.
    pub(crate) audience: &'a str,
}

impl ClientKeys {
    /// Reads the keys of the configuration.
    pub(crate) fn load(config: &Config) -> Result<Self, ConfigError> {
        let refused = |rule| ConfigError {
            key: "client_keys",
            rule,
        };
        let mut keys = HashMap::new();
        for entry in &config.client_keys {
            let key = PrivateKey::from_pem(&entry.private_key).map_err(|_| {
                refused("private_key is the PEM of an RSA or P-256 key in PKCS#8 (BEGIN PRIVATE KEY)")
            })?;
            let kid = entry.kid.clone();
            let account = config.account_of(entry.account.as_ref()).to_owned();
            if keys
                .insert((account, entry.arn.clone()), ClientKey { key, kid })
                .is_some()
            {
                return Err(refused("an ARN is listed once for an account"));
            }
        }
        Ok(Self(keys))
    }
}

/// Signs an assertion for one request.
pub(crate) fn assertion(
    state: &State,
    prover: &Prover<'_>,
    config: Option<&PrivateKeyJwtConfig>,
) -> Result<SecretString, ProviderError> {
    let unusable = ProviderError::Configuration;
    let config = config.ok_or(unusable("PRIVATE_KEY_JWT needs privateKeyJwtConfig"))?;
    let Some(PrivateKeySource::KmsKeySource(source)) = &config.private_key_source else {
        return Err(unusable("PRIVATE_KEY_JWT needs a privateKeySource"));
    };
    let place = (prover.account.to_owned(), source.kms_key_arn.clone());
    let key = state.client_keys.0.get(&place).ok_or(unusable(
        "the key of kmsKeyArn is not among the operator's client_keys for this account",
    ))?;
    let algorithm = match config.signing_algorithm {
        None | Some(SigningAlgorithm::Rs256) => Algorithm::Rs256,
        Some(SigningAlgorithm::Ps256) => Algorithm::Ps256,
        Some(SigningAlgorithm::Es256) => Algorithm::Es256,
    };
    let mut header = members(config.additional_header_claims.as_ref());
    if let Some(kid) = &key.kid {
        header.entry("kid").or_insert_with(|| kid.as_str().into());
    }
    let claims = members(config.additional_payload_claims.as_ref());
    ClientAssertion {
        key: &key.key,
        algorithm,
        client_id: prover.client_id,
        audience: prover.audience,
        header: &header,
        claims: &claims,
    }
    .sign(prover.server, &*state.clock, &*state.random)
    .map_err(ProviderError::Assertion)
}

fn members(claims: Option<&AdditionalClaims>) -> Map<String, Value> {
    let claims = claims.into_iter().flatten();
    claims
        .map(|(name, value)| (name.clone(), value.expose().into()))
        .collect()
}
