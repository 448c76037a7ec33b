//! The `jwt-validation` action: programs show an access token instead of logging in.

use countersign_crypto::{Algorithm, JwtError, JwtPolicy, Timestamp};
use countersign_oauth::{DocumentError, JwksCache, jwks::VerifyError};
use http::{HeaderMap, header};
use serde_json::{Map, Value};
use url::Url;

use crate::config::{self, ClaimFormat};
use crate::reason::Reason;

const MAX_CLAIMS: usize = 10;
const MAX_VALUES: usize = 10;
const MAX_TEXT: usize = 256;
const MAX_KEYS: usize = 10;

/// What a token must be.
#[derive(Debug)]
pub(crate) struct JwtValidation {
    jwks_endpoint: Url,
    issuer: String,
    claims: Vec<config::AdditionalClaim>,
}

impl JwtValidation {
    /// The error says what cannot be.
    pub(super) fn compile(config: &config::JwtValidation) -> Result<Self, String> {
        let short = |text: &str| !text.is_empty() && text.len() <= MAX_TEXT;
        if !short(&config.issuer) || !short(config.jwks_endpoint.as_str()) {
            return Err(format!(
                "issuer and jwks_endpoint have 1 to {MAX_TEXT} characters"
            ));
        }
        if config.additional_claims.len() > MAX_CLAIMS {
            return Err(format!("at most {MAX_CLAIMS} additional claims"));
        }
        for claim in &config.additional_claims {
            if matches!(claim.name.as_str(), "" | "iss" | "exp" | "nbf" | "iat") {
                return Err(format!("{:?} is no additional claim", claim.name));
            }
            if claim.values.is_empty()
                || claim.values.len() > MAX_VALUES
                || !claim.values.iter().all(|v| short(v))
            {
                return Err(format!(
                    "{}: 1 to {MAX_VALUES} values of 1 to {MAX_TEXT} characters",
                    claim.name
                ));
            }
            if claim.format == ClaimFormat::SpaceSeparatedValues
                && claim.values.iter().any(|v| v.contains(' '))
            {
                return Err(format!("{}: a word has no space", claim.name));
            }
        }
        Ok(Self {
            jwks_endpoint: config.jwks_endpoint.clone(),
            issuer: config.issuer.clone(),
            claims: config.additional_claims.clone(),
        })
    }

    /// Lets a request with a valid token pass, unchanged.
    pub(crate) async fn validate(
        &self,
        headers: &HeaderMap,
        keys: &JwksCache,
        now: Timestamp,
    ) -> Result<(), Reason> {
        let token = bearer(headers)?;
        let published = keys
            .get(&self.jwks_endpoint)
            .await
            .map_err(|error| unavailable(&error))?;
        if published.keys.len() > MAX_KEYS {
            tracing::warn!(jwks = %self.jwks_endpoint, "more than {MAX_KEYS} keys");
            return Err(Reason::JwksInvalidResponse);
        }
        let policy = JwtPolicy {
            issuer: &self.issuer,
            audiences: &[],
            algorithms: &[Algorithm::Rs256],
            leeway_secs: 0,
            typ: None,
        };
        let verified = keys
            .verify_of_any_audience(&self.jwks_endpoint, token, &policy, now)
            .await
            .map_err(|error| match error {
                VerifyError::Keys(error) => unavailable(&error),
                VerifyError::Token(error) => refused(error),
            })?;
        self.claims
            .iter()
            .try_for_each(|claim| check(claim, &verified.claims))
    }
}

/// RFC 6750 section 2.1. The scheme's case does not matter (RFC 9110 section 11.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Reason> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Reason::JwtHeaderNotPresent)?;
    if values.next().is_some() {
        return Err(Reason::JwtRequestFormatInvalid);
    }
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|value| value.split_once(' '))
        .ok_or(Reason::JwtRequestFormatInvalid)?;
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token.trim_start_matches(' '))
    } else {
        Err(Reason::JwtRequestFormatInvalid)
    }
}

fn unavailable(error: &DocumentError) -> Reason {
    tracing::warn!(%error, "no keys for jwt-validation");
    match error {
        DocumentError::Malformed | DocumentError::Member(_) => Reason::JwksInvalidResponse,
        _ => Reason::JwksRequestFailed,
    }
}

const fn refused(error: JwtError) -> Reason {
    match error {
        JwtError::Malformed | JwtError::Algorithm => Reason::JwtRequestFormatInvalid,
        JwtError::UnknownKey | JwtError::Signature => Reason::JwtSignatureValidationError,
        JwtError::Expired | JwtError::NotYetValid | JwtError::Issuer | JwtError::Audience => {
            Reason::JwtClaimValueInvalid
        }
        JwtError::Claim(_) => Reason::JwtClaimNotPresent,
    }
}

fn check(wanted: &config::AdditionalClaim, claims: &Map<String, Value>) -> Result<(), Reason> {
    let claim = claims.get(&wanted.name).ok_or(Reason::JwtClaimNotPresent)?;
    let accepted = |text: &str| wanted.values.iter().any(|value| value == text);
    let holds = match (wanted.format, claim) {
        (ClaimFormat::SingleString, Value::String(text)) => accepted(text),
        (ClaimFormat::SpaceSeparatedValues, Value::String(text)) => text.split(' ').any(accepted),
        (ClaimFormat::StringArray, Value::Array(texts)) => {
            texts.iter().filter_map(Value::as_str).any(accepted)
        }
        _ => return Err(Reason::JwtClaimFormatInvalid),
    };
    if holds {
        Ok(())
    } else {
        Err(Reason::JwtClaimValueInvalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additional_claims_by_their_format() {
        use ClaimFormat::{SingleString, SpaceSeparatedValues, StringArray};
        let claims = serde_json::json!({
            "client_id": "a", "scope": "read write", "groups": ["x", "y"], "number": 7
        });
        let claims = claims.as_object().expect("an object");
        for (name, format, value, expected) in [
            ("client_id", SingleString, "a", Ok(())),
            ("client_id", SingleString, "A", Err(Reason::JwtClaimValueInvalid)),
            ("client_id", StringArray, "a", Err(Reason::JwtClaimFormatInvalid)),
            ("scope", SpaceSeparatedValues, "write", Ok(())),
            (
                "scope",
                SpaceSeparatedValues,
                "writ",
                Err(Reason::JwtClaimValueInvalid),
            ),
            ("scope", SingleString, "read write", Ok(())),
            ("groups", StringArray, "y", Ok(())),
            ("groups", StringArray, "z", Err(Reason::JwtClaimValueInvalid)),
            ("groups", SingleString, "x", Err(Reason::JwtClaimFormatInvalid)),
            ("number", SingleString, "7", Err(Reason::JwtClaimFormatInvalid)),
            ("aud", SingleString, "a", Err(Reason::JwtClaimNotPresent)),
        ] {
            let wanted = config::AdditionalClaim {
                name: name.to_owned(),
                format,
                values: vec!["other".to_owned(), value.to_owned()],
            };
            assert_eq!(check(&wanted, claims), expected, "{name} {value}");
        }
    }
}
