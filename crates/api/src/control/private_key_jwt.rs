//! `privateKeyJwtConfig`: how a client of `PRIVATE_KEY_JWT` signs its assertions (RFC 7523 section 2.2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sensitive::Sensitive;
use crate::validate::{Checker, pattern};

union! {
    /// Where the private key is.
    PrivateKeySource {
        /// A key of AWS KMS.
        "kmsKeySource" => KmsKeySource(KmsKeySource),
    }
}

/// `KmsKeySourceType`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KmsKeySource {
    /// `arn:aws:kms:REGION:ACCOUNT:key/UUID`.
    pub kms_key_arn: String,
}

/// `SigningAlgorithm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
}

/// `PrivateKeyJwtConfig`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrivateKeyJwtConfig {
    /// The key; needed to use the method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_key_source: Option<PrivateKeySource>,
    /// The algorithm, which the key has to fit; `RS256` if nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_algorithm: Option<SigningAlgorithm>,
    /// Further header members, 1 to 10; never `alg` or `typ`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_header_claims: Option<AdditionalClaims>,
    /// Further claims, 1 to 10; never those of the assertion itself. `aud` may be the provider's issuer or its token
    /// endpoint, nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_payload_claims: Option<AdditionalClaims>,
}

/// `AdditionalClaims`: name to text.
pub type AdditionalClaims = BTreeMap<String, Sensitive>;

impl PrivateKeyJwtConfig {
    /// Checks the model's rules, and that nothing the assertion says itself is said again.
    pub(crate) fn validate(&self, check: &mut Checker) {
        if let Some(PrivateKeySource::KmsKeySource(source)) = &self.private_key_source {
            check.nested("privateKeySource.kmsKeySource", |check| {
                check.text("kmsKeyArn", &source.kms_key_arn, 1..=2048, &pattern::KMS_KEY_ARN);
            });
        }
        let header = ["alg", "typ", "crit", "b64", "jwk", "jku", "x5u"];
        claims(
            check,
            "additionalHeaderClaims",
            self.additional_header_claims.as_ref(),
            &header,
        );
        let payload = ["iss", "sub", "jti", "exp", "iat", "nbf"];
        claims(
            check,
            "additionalPayloadClaims",
            self.additional_payload_claims.as_ref(),
            &payload,
        );
    }
}

fn claims(check: &mut Checker, member: &str, claims: Option<&AdditionalClaims>, taken: &[&str]) {
    let Some(claims) = claims else { return };
    check.count(member, claims.len(), 1..=10);
    check.nested(member, |check| {
        for (name, value) in claims {
            check.text(name, name, 1..=255, &pattern::CLAIM_NAME);
            check.length(name, value.expose(), 1..=2048);
            check.require(!taken.contains(&name.as_str()), name, "is the assertion's own");
        }
    });
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn broken(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut config = json!({
            "privateKeySource": {"kmsKeySource": {
                "kmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555",
            }},
            "signingAlgorithm": "PS256",
            "additionalHeaderClaims": {"kid": "k1", "x5t#S256": "thumbprint"},
            "additionalPayloadClaims": {"aud": "https://as.example", "urn:tenant": "t"},
        });
        change(&mut config);
        let config: PrivateKeyJwtConfig = serde_json::from_value(config).expect("the model's shape");
        let mut check = Checker::new();
        config.validate(&mut check);
        check.finish().map_or_else(
            |error| error.fields.into_iter().map(|field| field.name).collect(),
            |()| Vec::new(),
        )
    }

    #[test]
    fn an_assertions_own_members_are_not_for_others_to_set() {
        assert_eq!(broken(|_| ()), Vec::<String>::new());
        for (member, names) in [
            ("additionalHeaderClaims", &["alg", "typ", "crit"][..]),
            (
                "additionalPayloadClaims",
                &["iss", "sub", "jti", "exp", "iat", "nbf"][..],
            ),
        ] {
            for name in names {
                let found = broken(|config| config[member][name] = json!("x"));
                assert_eq!(found, [format!("{member}.{name}")]);
            }
        }
    }

    #[test]
    fn arns_names_and_counts_follow_the_model() {
        for arn in [
            "",
            "arn:aws:kms:us-east-1:123456789012:alias/name",
            "arn:aws:s3:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555",
            "arn:aws:kms:us-east-1:12345:key/11111111-2222-3333-4444-555555555555",
            "arn:aws:kms:us-east-1:123456789012:key/short",
        ] {
            let found = broken(|config| config["privateKeySource"]["kmsKeySource"]["kmsKeyArn"] = json!(arn));
            assert_eq!(found, ["privateKeySource.kmsKeySource.kmsKeyArn"], "{arn}");
        }
        let found = broken(|config| config["additionalHeaderClaims"] = json!({"a b": "x"}));
        assert_eq!(found, ["additionalHeaderClaims.a b"]);
        let found = broken(|config| config["additionalPayloadClaims"] = json!({}));
        assert_eq!(found, ["additionalPayloadClaims"]);
    }
}
