//! `private_key_jwt`: the client proves itself by a JWT of its own (RFC 7523 sections 2.2 and 3, OpenID Connect Core
//! section 9).

use std::time::Duration;

use countersign_crypto::{Algorithm, Clock, PrivateKey, PrivateKeyError, Random, SecretString, uuid_v4};
use serde_json::{Map, Value};

use crate::metadata::ServerMetadata;

/// How long an assertion is good for; it is made for one request.
const LIFETIME: Duration = Duration::from_mins(1);
/// Header members that are the assertion's own.
const OWN_HEADER: [&str; 2] = ["alg", "typ"];
/// Claims that are the assertion's own; `aud` has a rule of its own.
const OWN_CLAIMS: [&str; 6] = ["iss", "sub", "jti", "exp", "iat", "nbf"];

/// What an assertion is made of.
#[derive(Debug, Clone, Copy)]
pub struct ClientAssertion<'a> {
    /// The client's key.
    pub key: &'a PrivateKey,
    /// RS256, PS256 or ES256.
    pub algorithm: Algorithm,
    /// `iss` and `sub`.
    pub client_id: &'a str,
    /// `aud`, one text: a list would let each of its servers present the assertion to the others.
    pub audience: &'a str,
    /// Further header members, `kid` among them.
    pub header: &'a Map<String, Value>,
    /// Further claims. An `aud` among them takes the place of `audience` where it names the same server.
    pub claims: &'a Map<String, Value>,
}

/// Why there is no assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientAssertionError {
    /// The key.
    #[error(transparent)]
    Key(#[from] PrivateKeyError),
    /// An `aud` that is neither the server's issuer nor its token endpoint: the assertion would be good elsewhere.
    #[error("`aud` may be the issuer or the token endpoint of the provider, nothing else")]
    Audience,
    /// A member that the assertion sets itself.
    #[error("`{0}` is the assertion's own")]
    Own(&'static str),
}

impl ClientAssertion<'_> {
    /// Signs one for `server`, good for one minute and one use.
    pub fn sign(
        &self,
        server: &ServerMetadata,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<SecretString, ClientAssertionError> {
        refuse(&OWN_HEADER, self.header)?;
        refuse(&OWN_CLAIMS, self.claims)?;
        let now = clock.now();
        let mut header = self.header.clone();
        header.insert("typ".to_owned(), "JWT".into());
        let mut claims = self.claims.clone();
        claims.insert("aud".to_owned(), self.audience(server)?.into());
        claims.insert("iss".to_owned(), self.client_id.into());
        claims.insert("sub".to_owned(), self.client_id.into());
        claims.insert("jti".to_owned(), uuid_v4(random).to_string().into());
        claims.insert("iat".to_owned(), now.as_secs().into());
        claims.insert("exp".to_owned(), now.plus(LIFETIME).as_secs().into());
        Ok(self.key.sign_jwt(self.algorithm, header, claims)?.into())
    }

    fn audience(&self, server: &ServerMetadata) -> Result<&str, ClientAssertionError> {
        let Some(named) = self.claims.get("aud") else {
            return Ok(self.audience);
        };
        named
            .as_str()
            .filter(|named| *named == server.issuer || *named == server.token_endpoint.as_str())
            .ok_or(ClientAssertionError::Audience)
    }
}

fn refuse(own: &[&'static str], members: &Map<String, Value>) -> Result<(), ClientAssertionError> {
    let found = own.iter().copied().find(|name| members.contains_key(*name));
    found.map_or(Ok(()), |name| Err(ClientAssertionError::Own(name)))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use base64::Engine as _;
    use countersign_crypto::testing::{ManualClock, SeededRandom};
    use countersign_crypto::{
        ExposeSecret as _, JwkSet, JwtPolicy, SigningKey, Timestamp, Verified, verify_jwt,
    };
    use serde_json::json;
    use url::Url;

    use super::*;

    /// The same key for signing and for verifying.
    static KEY: LazyLock<(PrivateKey, JwkSet)> = LazyLock::new(|| {
        let pkcs8 = SigningKey::generate_pkcs8();
        let base64 = base64::engine::general_purpose::STANDARD.encode(pkcs8.expose_secret());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----");
        let public = SigningKey::from_pkcs8("k1", pkcs8.expose_secret())
            .expect("a key")
            .public_jwk();
        (
            PrivateKey::from_pem(&pem.into()).expect("a key"),
            JwkSet { keys: vec![public] },
        )
    });
    const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

    fn members(value: &Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    fn server() -> ServerMetadata {
        let url = |path: &str| Url::parse(&format!("https://as.example{path}")).expect("a URL");
        ServerMetadata::new("https://as.example/", url("/authorize"), url("/token"))
    }

    fn sign(header: &Value, claims: &Value) -> Result<String, ClientAssertionError> {
        let (header, claims) = (members(header), members(claims));
        let assertion = ClientAssertion {
            key: &KEY.0,
            algorithm: Algorithm::Es256,
            client_id: "client",
            audience: "https://as.example/",
            header: &header,
            claims: &claims,
        };
        assertion
            .sign(&server(), &ManualClock::new(NOW), &SeededRandom::new(1))
            .map(|assertion| assertion.expose_secret().to_owned())
    }

    fn verified(token: &str, audience: &str) -> Verified {
        let policy = JwtPolicy {
            issuer: "client",
            audiences: &[audience],
            algorithms: &[Algorithm::Es256],
            leeway_secs: 0,
            typ: Some(&["JWT"]),
        };
        verify_jwt(token, &KEY.1, &policy, NOW).expect("an assertion")
    }

    #[test]
    fn e08_private_key_jwt_is_for_the_issuer_and_nobody_else() {
        let token = sign(&json!({"kid": "k1"}), &json!({"tenant": "t"})).expect("signed");
        let claims = verified(&token, "https://as.example/").claims;
        assert_eq!(claims["aud"], "https://as.example/", "one text, not a list");
        assert_eq!(
            (&claims["iss"], &claims["sub"]),
            (&json!("client"), &json!("client"))
        );
        assert_eq!(claims["exp"], json!(NOW.as_secs() + 60));
        assert_eq!(claims["tenant"], "t");
        assert!(claims["jti"].as_str().is_some_and(|jti| jti.len() == 36));

        let token = sign(&json!({"kid": "k1"}), &json!({"aud": "https://as.example/token"})).expect("signed");
        assert_eq!(
            verified(&token, "https://as.example/token").claims["aud"],
            "https://as.example/token"
        );
        for elsewhere in [
            json!("https://evil.example/token"),
            json!("https://as.example"),
            json!("https://as.example/token/"),
            json!(["https://as.example/", "https://evil.example"]),
            json!(null),
        ] {
            let refused = sign(&json!({}), &json!({"aud": elsewhere}));
            assert_eq!(refused, Err(ClientAssertionError::Audience), "{elsewhere}");
        }
    }

    #[test]
    fn e08_what_an_assertion_says_itself_cannot_be_said_for_it() {
        for name in OWN_HEADER {
            assert_eq!(
                sign(&json!({name: "x"}), &json!({})),
                Err(ClientAssertionError::Own(name))
            );
        }
        for name in OWN_CLAIMS {
            assert_eq!(
                sign(&json!({}), &json!({name: "x"})),
                Err(ClientAssertionError::Own(name))
            );
        }
    }
}
