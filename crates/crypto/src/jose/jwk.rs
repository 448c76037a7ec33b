//! Public keys in the form of RFC 7517, and the signature algorithms that they verify.

use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::digest::b64url_decode;
use crate::json::{StrictJsonError, parse_strict_json};

/// Keys of a set that are looked at; what follows is ignored.
const MAX_KEYS: usize = 64;

/// A signature algorithm of RFC 7518 or RFC 8037 that this product verifies. Symmetric ones and `none` do
/// not exist here, so a public key can never be taken for an HMAC secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA on P-384 with SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSASSA-PSS with SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSASSA-PSS with SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// All of them, in the order of preference of a client that may choose.
    pub const ALL: [Self; 9] = [
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
    ];

    /// The `alg` value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm with this `alg` value; `None` for all that this product does not verify.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }

    fn key_type(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Es256 => ("EC", Some("P-256")),
            Self::Es384 => ("EC", Some("P-384")),
            Self::EdDsa => ("OKP", Some("Ed25519")),
            _ => ("RSA", None),
        }
    }
}

/// A public key (RFC 7517). Other members, the private ones too, are dropped when reading.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Jwk {
    /// Key type: `EC`, `RSA` or `OKP`.
    pub kty: String,
    /// Curve of an `EC` or `OKP` key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// First coordinate, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// Second coordinate, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// RSA modulus, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<String>,
    /// RSA exponent, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<String>,
    /// Key id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The one algorithm it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig` or `enc`.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub public_key_use: Option<String>,
    /// What it may be used for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_ops: Option<Vec<String>>,
}

impl Jwk {
    /// Whether this key may verify signatures of `algorithm`: its type and curve, and its own word on use.
    #[must_use]
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        let (key_type, curve) = algorithm.key_type();
        self.kty == key_type
            && curve.is_none_or(|curve| self.crv.as_deref() == Some(curve))
            && self.alg.as_deref().is_none_or(|alg| alg == algorithm.as_str())
            && self
                .public_key_use
                .as_deref()
                .is_none_or(|key_use| key_use == "sig")
            && self
                .key_ops
                .as_ref()
                .is_none_or(|ops| ops.iter().any(|op| op == "verify"))
    }

    /// Whether `signature`, in the form of RFC 7518 (R‖S, not DER, for ECDSA), is this key's over `message`.
    #[must_use]
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        self.fits(algorithm) && self.verify(algorithm, message, signature).is_some()
    }

    fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> Option<()> {
        let member = |text: &Option<String>| b64url_decode(text.as_deref()?);
        let ec = |scheme, length| {
            let (x, y) = (member(&self.x)?, member(&self.y)?);
            if x.len() != length || y.len() != length {
                return None;
            }
            let point = [&[4], x.as_slice(), y.as_slice()].concat();
            UnparsedPublicKey::new(scheme, point)
                .verify(message, signature)
                .ok()
        };
        let rsa = |scheme| {
            let key = RsaPublicKeyComponents {
                n: member(&self.n)?,
                e: member(&self.e)?,
            };
            key.verify(scheme, message, signature).ok()
        };
        match algorithm {
            Algorithm::Es256 => ec(&signature::ECDSA_P256_SHA256_FIXED, 32),
            Algorithm::Es384 => ec(&signature::ECDSA_P384_SHA384_FIXED, 48),
            Algorithm::Rs256 => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => rsa(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => rsa(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::EdDsa => UnparsedPublicKey::new(&signature::ED25519, member(&self.x)?)
                .verify(message, signature)
                .ok(),
        }
    }
}

/// A set of public keys (RFC 7517 section 5).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

impl JwkSet {
    /// Reads a JWK set. Keys that this program cannot read are skipped, as RFC 7517 section 5 asks; at most
    /// 64 are kept. The caller bounds the size of `json`.
    pub fn from_json(json: &[u8]) -> Result<Self, StrictJsonError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<serde_json::Value>,
        }
        let document: Document = serde_json::from_value(parse_strict_json(json)?)?;
        let keys = document
            .keys
            .into_iter()
            .take(MAX_KEYS)
            .filter_map(|key| serde_json::from_value(key).ok());
        Ok(Self { keys: keys.collect() })
    }

    /// The first key with this id.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&Jwk> {
        self.keys.iter().find(|key| key.kid.as_deref() == Some(kid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7515 appendix A.3: ES256.
    #[test]
    fn rfc_7515_a3_es256() {
        let key: Jwk = serde_json::from_str(
            r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"ignored"}"#,
        )
        .expect("a JWK");
        let signed = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = b64url_decode(
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        )
        .expect("base64url");
        assert!(key.verifies(Algorithm::Es256, signed.as_bytes(), &signature));
        assert!(!key.verifies(Algorithm::Es256, &signed.as_bytes()[1..], &signature));
        assert!(!key.verifies(Algorithm::Es384, signed.as_bytes(), &signature));
        assert!(!key.verifies(Algorithm::Rs256, signed.as_bytes(), &signature));
        assert!(
            !serde_json::to_string(&key).expect("JSON").contains("ignored"),
            "private members are dropped"
        );
    }

    /// RFC 8037 appendix A.4: Ed25519.
    #[test]
    fn rfc_8037_a4_eddsa() {
        let key: Jwk = serde_json::from_str(
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        )
        .expect("a JWK");
        let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = b64url_decode(
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        )
        .expect("base64url");
        assert!(key.verifies(Algorithm::EdDsa, signed.as_bytes(), &signature));
        assert!(!key.verifies(Algorithm::EdDsa, b"other", &signature));
    }

    #[test]
    fn a_key_has_the_last_word_on_its_use() {
        let key = |extra: &str| -> Jwk {
            serde_json::from_str(&format!(r#"{{"kty":"EC","crv":"P-256"{extra}}}"#)).expect("a JWK")
        };
        assert!(key("").fits(Algorithm::Es256));
        assert!(key(r#","use":"sig","alg":"ES256","key_ops":["verify"]"#).fits(Algorithm::Es256));
        for extra in [
            r#","use":"enc""#,
            r#","alg":"ES384""#,
            r#","key_ops":["deriveKey"]"#,
        ] {
            assert!(!key(extra).fits(Algorithm::Es256), "{extra}");
        }
    }

    #[test]
    fn unreadable_keys_are_skipped() {
        let set =
            JwkSet::from_json(br#"{"keys":[{"kty":7},{"no":"kty"},{"kty":"EC","kid":"a"}]}"#).expect("a set");
        assert_eq!(set.keys.len(), 1);
        assert!(set.find("a").is_some());
        assert!(JwkSet::from_json(br#"{"keys":[],"keys":[]}"#).is_err());
        assert!(JwkSet::from_json(b"[]").is_err());
    }
}
