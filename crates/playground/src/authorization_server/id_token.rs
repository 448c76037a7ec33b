//! ID tokens (OpenID Connect Core section 2) and the key that signs them.

use std::path::Path;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{self, KeyPair as _, RsaKeyPair};
use countersign_crypto::{
    Algorithm, ExposeSecret as _, Jwk, Random, SigningKey, Timestamp, b64url, b64url_decode,
    parse_strict_json, sha256, uuid_v4,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::PlaygroundError;
use crate::authorization_server::grants::Redeemed;
use crate::people::Account;
use crate::saved::Saved;

const FILE: &str = "openid-provider-key.json";
/// Seconds.
const LIFETIME: i64 = 600;
/// DER of an `RSAPublicKey` (RFC 8017 appendix A.1.1) with a 2048-bit modulus, up to the modulus.
const RSA_2048_PREFIX: [u8; 9] = [0x30, 0x82, 0x01, 0x0a, 0x02, 0x82, 0x01, 0x01, 0x00];

/// How ID tokens are signed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdTokenAlgorithm {
    /// ECDSA on P-256.
    #[default]
    Es256,
    /// RSA with a 2048-bit key, what OpenID Connect makes every client understand.
    Rs256,
}

/// The key as it is kept.
#[derive(Clone, Serialize, Deserialize)]
struct Stored {
    algorithm: IdTokenAlgorithm,
    kid: String,
    pkcs8: String,
}

pub(crate) struct IdTokenKey {
    kid: String,
    pair: Pair,
}

enum Pair {
    Es256(SigningKey),
    Rs256(Box<RsaKeyPair>),
}

impl IdTokenKey {
    /// Reads the key in `data`, or makes one when there is none of this algorithm.
    pub(super) fn open(
        algorithm: IdTokenAlgorithm,
        data: Option<&Path>,
        random: &dyn Random,
    ) -> Result<Self, PlaygroundError> {
        let saved = Saved::open(data, FILE, || Stored::generate(algorithm, random))?;
        if saved.read(|stored| stored.algorithm) != algorithm {
            let renewed = saved.change(|stored| *stored = Stored::generate(algorithm, random));
            renewed.map_err(|source| PlaygroundError::Io {
                place: FILE.to_owned(),
                source,
            })?;
        }
        let stored = saved.read(Clone::clone);
        Self::read(&stored).ok_or_else(|| PlaygroundError::Format(FILE.to_owned()))
    }

    fn read(stored: &Stored) -> Option<Self> {
        let pkcs8 = b64url_decode(&stored.pkcs8)?;
        let pair = match stored.algorithm {
            IdTokenAlgorithm::Es256 => Pair::Es256(SigningKey::from_pkcs8(&stored.kid, &pkcs8).ok()?),
            IdTokenAlgorithm::Rs256 => Pair::Rs256(Box::new(RsaKeyPair::from_pkcs8(&pkcs8).ok()?)),
        };
        Some(Self {
            kid: stored.kid.clone(),
            pair,
        })
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Es256(_) => Algorithm::Es256,
            Pair::Rs256(_) => Algorithm::Rs256,
        }
    }

    pub(super) fn public_jwk(&self) -> Jwk {
        match &self.pair {
            Pair::Es256(key) => key.public_jwk(),
            Pair::Rs256(pair) => {
                let der = pair.public_key().as_ref();
                let modulus = der
                    .strip_prefix(&RSA_2048_PREFIX)
                    .map_or(&[][..], |rest| &rest[..256]);
                Jwk {
                    kty: "RSA".to_owned(),
                    n: Some(b64url(modulus)),
                    e: Some("AQAB".to_owned()),
                    kid: Some(self.kid.clone()),
                    alg: Some("RS256".to_owned()),
                    public_key_use: Some("sig".to_owned()),
                    ..Jwk::default()
                }
            }
        }
    }

    /// The ID token that goes with an access token; `tenant` becomes the claim `tid`. Claims about the person are at
    /// userinfo.
    pub(crate) fn id_token(
        &self,
        issuer: &str,
        redeemed: &Redeemed,
        account: &Account,
        access_token: &str,
        now: Timestamp,
        tenant: Option<&str>,
    ) -> String {
        let mut claims = json!({
            "iss": issuer,
            "sub": account.subject,
            "aud": redeemed.grant.client_id,
            "exp": now.as_secs() + LIFETIME,
            "iat": now.as_secs(),
            "auth_time": redeemed.grant.authenticated_at.as_secs(),
            "at_hash": b64url(&sha256(access_token.as_bytes())[..16]),
        });
        if let Some(nonce) = &redeemed.nonce {
            claims["nonce"] = nonce.as_str().into();
        }
        if let Some(tenant) = tenant {
            claims["tid"] = tenant.into();
        }
        let header = json!({"alg": self.algorithm().as_str(), "kid": self.kid, "typ": "JWT"});
        let part = |value: &Value| b64url(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.sign(signed.as_bytes());
        format!("{signed}.{}", b64url(&signature))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.pair {
            Pair::Es256(key) => key.sign_raw(message).to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(
                    &signature::RSA_PKCS1_SHA256,
                    &SystemRandom::new(),
                    message,
                    &mut signature,
                )
                .expect("AWS-LC signs with a valid key");
                signature
            }
        }
    }

    /// The claims of an ID token that this key signed, expired or not: a logout hint stays one (OpenID
    /// Connect RP-Initiated Logout section 2).
    pub(super) fn own_claims(&self, token: &str) -> Option<Map<String, Value>> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = b64url_decode(signature)?;
        if !self
            .public_jwk()
            .verifies(self.algorithm(), signed.as_bytes(), &signature)
        {
            return None;
        }
        let (_, payload) = signed.split_once('.')?;
        match parse_strict_json(&b64url_decode(payload)?) {
            Ok(Value::Object(claims)) => Some(claims),
            _ => None,
        }
    }
}

impl Stored {
    fn generate(algorithm: IdTokenAlgorithm, random: &dyn Random) -> Self {
        let pkcs8 = match algorithm {
            IdTokenAlgorithm::Es256 => b64url(SigningKey::generate_pkcs8().expose_secret()),
            IdTokenAlgorithm::Rs256 => {
                let pkcs8 = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).and_then(|pair| pair.as_der());
                b64url(pkcs8.expect("AWS-LC generates RSA keys").as_ref())
            }
        };
        Self {
            algorithm,
            kid: uuid_v4(random).to_string(),
            pkcs8,
        }
    }
}

#[cfg(test)]
mod tests {
    use countersign_crypto::testing::SeededRandom;
    use countersign_crypto::{JwkSet, JwtPolicy, verify_jwt};

    use super::*;
    use crate::authorization_server::grants::Grant;
    use crate::people::EMPLOYEES;

    const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

    fn redeemed() -> Redeemed {
        Redeemed {
            grant_id: "g".into(),
            grant: Grant {
                client_id: "client".into(),
                username: "alice".into(),
                scopes: Vec::new(),
                granted_at: NOW,
                authenticated_at: NOW,
                offline: true,
                marked: false,
            },
            scopes: Vec::new(),
            nonce: Some("n".into()),
        }
    }

    #[test]
    fn both_algorithms_verify_under_the_published_key() {
        for algorithm in [IdTokenAlgorithm::Es256, IdTokenAlgorithm::Rs256] {
            let key = IdTokenKey::open(algorithm, None, &SeededRandom::new(1)).expect("a key");
            let token = key.id_token(
                "http://127.0.0.1:8403",
                &redeemed(),
                &EMPLOYEES[0],
                "at",
                NOW,
                None,
            );
            let policy = JwtPolicy {
                issuer: "http://127.0.0.1:8403",
                audiences: &["client"],
                algorithms: &[key.algorithm()],
                leeway_secs: 0,
                typ: None,
            };
            let keys = JwkSet {
                keys: vec![key.public_jwk()],
            };
            let verified = verify_jwt(&token, &keys, &policy, NOW).expect("verifies");
            assert_eq!(verified.claims["nonce"], "n");
            assert_eq!(key.own_claims(&token).expect("own")["sub"], "alice");
            let other = IdTokenKey::open(algorithm, None, &SeededRandom::new(2)).expect("a key");
            assert!(other.own_claims(&token).is_none());
        }
    }

    #[test]
    fn the_key_survives_a_restart_and_a_change_of_algorithm_renews_it() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let random = SeededRandom::new(1);
        let open = |algorithm| IdTokenKey::open(algorithm, Some(directory.path()), &random).expect("a key");
        let first = open(IdTokenAlgorithm::Es256).public_jwk();
        assert_eq!(open(IdTokenAlgorithm::Es256).public_jwk(), first);
        assert_eq!(open(IdTokenAlgorithm::Rs256).public_jwk().kty, "RSA");
    }
}
