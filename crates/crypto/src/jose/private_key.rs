//! Private keys that somebody else made, for signing assertions to authorization servers (RFC 7523).

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::Algorithm;
use crate::digest::b64url;

/// A private key, RSA of 2048 to 8192 bits (AWS-LC takes no others) or P-256.
pub struct PrivateKey(Pair);

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

/// Why a private key cannot be read or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// Not one PEM block of a PKCS#8 private key without a passphrase.
    #[error("not the PEM of a PKCS#8 private key (BEGIN PRIVATE KEY)")]
    Pem,
    /// Another kind or size of key.
    #[error("not an RSA key of 2048 to 8192 bits and not a P-256 key")]
    Key,
    /// The key is of another kind than the algorithm.
    #[error("the key does not fit the algorithm")]
    Algorithm,
}

impl PrivateKey {
    /// Reads PEM (RFC 7468) of PKCS#8.
    pub fn from_pem(pem: &SecretString) -> Result<Self, PrivateKeyError> {
        let text = pem.expose_secret().trim();
        let body = text
            .strip_prefix("-----BEGIN PRIVATE KEY-----")
            .and_then(|text| text.strip_suffix("-----END PRIVATE KEY-----"))
            .ok_or(PrivateKeyError::Pem)?;
        let base64: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        let der = STANDARD
            .decode(base64.as_bytes())
            .map_err(|_| PrivateKeyError::Pem)?;
        let der = Zeroizing::new(der);
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der) {
            return Ok(Self(Pair::P256(pair)));
        }
        RsaKeyPair::from_pkcs8(&der)
            .map(|pair| Self(Pair::Rsa(pair)))
            .map_err(|_| PrivateKeyError::Key)
    }

    /// Signs a JWT in compact form with RS256, PS256 or ES256. `header` is complete but for `alg`, which cannot be
    /// replaced.
    ///
    /// # Panics
    /// When AWS-LC itself fails, as it does only on a broken machine.
    pub fn sign_jwt(
        &self,
        algorithm: Algorithm,
        mut header: Map<String, Value>,
        claims: Map<String, Value>,
    ) -> Result<String, PrivateKeyError> {
        header.insert("alg".to_owned(), algorithm.as_str().into());
        let encode = |members| b64url(Value::Object(members).to_string().as_bytes());
        let mut token = format!("{}.{}", encode(header), encode(claims));
        let signature = self.sign(algorithm, token.as_bytes())?;
        token.push('.');
        token.push_str(&b64url(&signature));
        Ok(token)
    }

    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, PrivateKeyError> {
        let random = SystemRandom::new();
        let rsa = |pair: &RsaKeyPair, padding| {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(padding, &random, message, &mut signature)
                .expect("AWS-LC signs with a valid key");
            signature
        };
        match (&self.0, algorithm) {
            (Pair::Rsa(pair), Algorithm::Rs256) => Ok(rsa(pair, &RSA_PKCS1_SHA256)),
            (Pair::Rsa(pair), Algorithm::Ps256) => Ok(rsa(pair, &RSA_PSS_SHA256)),
            (Pair::P256(pair), Algorithm::Es256) => {
                let signature = pair.sign(&random, message);
                Ok(signature
                    .expect("AWS-LC signs with a valid key")
                    .as_ref()
                    .to_vec())
            }
            _ => Err(PrivateKeyError::Algorithm),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Pair::Rsa(_) => "PrivateKey(RSA)",
            Pair::P256(_) => "PrivateKey(P-256)",
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    use serde_json::json;

    use super::*;
    use crate::{Jwk, SigningKey, b64url_decode};

    fn pem(der: &[u8]) -> SecretString {
        let lines: Vec<String> = STANDARD
            .encode(der)
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let body = lines.join("\n");
        format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n").into()
    }

    fn rsa() -> (SecretString, Jwk) {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("PKCS#8");
        // RFC 8017 appendix A.1.1: after nine bytes of DER the modulus, at the end the exponent 65537.
        let public = pair.public_key().as_ref();
        let jwk = Jwk {
            kty: "RSA".to_owned(),
            n: Some(b64url(&public[9..][..256])),
            e: Some(b64url(&public[public.len() - 3..])),
            ..Jwk::default()
        };
        (pem(der.as_ref()), jwk)
    }

    fn verifies(jwk: &Jwk, algorithm: Algorithm, token: &str) -> bool {
        let (signed, signature) = token.rsplit_once('.').expect("a compact JWS");
        let signature = b64url_decode(signature).expect("base64url");
        jwk.verifies(algorithm, signed.as_bytes(), &signature)
    }

    #[test]
    fn each_algorithm_signs_with_its_kind_of_key_alone() {
        let (rsa_pem, rsa_jwk) = rsa();
        let pkcs8 = SigningKey::generate_pkcs8();
        let ec_jwk = SigningKey::from_pkcs8("k", pkcs8.expose_secret())
            .expect("a key")
            .public_jwk();
        let claims = || Map::from_iter([("iss".to_owned(), json!("client"))]);
        for (pem, jwk, fitting) in [
            (rsa_pem, rsa_jwk, &[Algorithm::Rs256, Algorithm::Ps256][..]),
            (pem(pkcs8.expose_secret()), ec_jwk, &[Algorithm::Es256][..]),
        ] {
            let key = PrivateKey::from_pem(&pem).expect("a key");
            for algorithm in Algorithm::ALL {
                let header = Map::from_iter([("alg".to_owned(), json!("none"))]);
                let signed = key.sign_jwt(algorithm, header, claims());
                if fitting.contains(&algorithm) {
                    let token = signed.expect("a JWT");
                    assert!(verifies(&jwk, algorithm, &token), "{algorithm:?}");
                } else {
                    assert_eq!(signed, Err(PrivateKeyError::Algorithm), "{algorithm:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_key_for_assertions_is_refused() {
        let (good, _) = rsa();
        let good = good.expose_secret();
        for (wrong, error) in [
            (String::new(), PrivateKeyError::Pem),
            (
                good.replace("PRIVATE KEY", "RSA PRIVATE KEY"),
                PrivateKeyError::Pem,
            ),
            (
                good.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY"),
                PrivateKeyError::Pem,
            ),
            (good.replace('M', "*"), PrivateKeyError::Pem),
            (format!("{good}{good}"), PrivateKeyError::Pem),
            (pem(b"no key").expose_secret().to_owned(), PrivateKeyError::Key),
        ] {
            assert_eq!(PrivateKey::from_pem(&wrong.into()).err(), Some(error));
        }
        let key = PrivateKey::from_pem(&good.to_owned().into()).expect("a key");
        assert_eq!(format!("{key:?}"), "PrivateKey(RSA)");
    }
}
