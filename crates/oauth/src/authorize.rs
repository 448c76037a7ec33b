//! The authorization request: RFC 6749 section 4.1.1, PKCE (RFC 7636), OpenID Connect and RFC 8707.

use countersign_crypto::{ExposeSecret as _, Random, SecretString, b64url, sha256, token};
use url::Url;

use crate::vendor::Authorization;

/// Parameters that custom ones can never replace or add to. Besides those that this client sets: the ones
/// by which a request would stop being what it seems (`request`, `request_uri`, `response_mode`, …).
const RESERVED: [&str; 19] = [
    "assertion",
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code",
    "code_challenge",
    "code_challenge_method",
    "dpop_jkt",
    "grant_type",
    "nonce",
    "redirect_uri",
    "registration",
    "request",
    "request_uri",
    "resource",
    "response_mode",
    "response_type",
    "scope",
];

/// Whether custom parameters may not have this name. Servers differ in case, so case is ignored.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.eq_ignore_ascii_case("state")
        || RESERVED
            .iter()
            .any(|reserved| name.eq_ignore_ascii_case(reserved))
}

/// A proof key for one authorization request, method S256.
#[derive(Debug, Clone)]
pub struct Pkce {
    /// Goes to the token endpoint; 43 characters.
    pub verifier: SecretString,
    /// Goes through the browser.
    pub challenge: String,
}

impl Pkce {
    /// A fresh one of 256 bits.
    #[must_use]
    pub fn generate(random: &dyn Random) -> Self {
        Self::from_verifier(SecretString::from(token(random)))
    }

    /// From a kept verifier.
    #[must_use]
    pub fn from_verifier(verifier: SecretString) -> Self {
        let challenge = b64url(&sha256(verifier.expose_secret().as_bytes()));
        Self { verifier, challenge }
    }
}

/// An authorization request, code flow.
#[derive(Debug, Clone, Copy)]
pub struct AuthorizationRequest<'a> {
    /// The server's authorization endpoint; its own query is kept.
    pub endpoint: &'a Url,
    /// Client id.
    pub client_id: &'a str,
    /// Exact registered redirect URI.
    pub redirect_uri: &'a str,
    /// Scopes; none at all leaves the parameter out.
    pub scopes: &'a [String],
    /// Binds the response to this request.
    pub state: &'a str,
    /// PKCE challenge, S256; `None` only for a server that refuses one.
    pub code_challenge: Option<&'a str>,
    /// Binds the ID token to this request; OpenID Connect only.
    pub nonce: Option<&'a str>,
    /// Resource indicators (RFC 8707), one parameter each.
    pub resources: &'a [String],
    /// Further parameters; those with a [reserved](is_reserved) name are left out.
    pub custom: &'a [(String, String)],
    /// In what the server departs from the standard.
    pub rules: &'a Authorization,
}

impl AuthorizationRequest<'_> {
    /// The URL for the browser.
    #[must_use]
    pub fn url(&self) -> Url {
        let mut url = self.endpoint.clone();
        let kept: Vec<(String, String)> = self
            .endpoint
            .query_pairs()
            .into_owned()
            .filter(|(name, _)| !is_reserved(name))
            .collect();
        url.set_fragment(None);
        url.set_query(None);
        let scope = self.scopes.join(self.rules.scope_separator);
        let mut query = url.query_pairs_mut();
        query
            .extend_pairs(&kept)
            .append_pair("response_type", "code")
            .append_pair("client_id", self.client_id)
            .append_pair("redirect_uri", self.redirect_uri);
        if !scope.is_empty() {
            query.append_pair("scope", &scope);
        }
        query.append_pair("state", self.state);
        if let Some(challenge) = self.code_challenge {
            query
                .append_pair("code_challenge", challenge)
                .append_pair("code_challenge_method", "S256");
        }
        if let Some(nonce) = self.nonce {
            query.append_pair("nonce", nonce);
        }
        for resource in self.resources {
            query.append_pair("resource", resource);
        }
        let fixed = |name: &str| {
            self.rules
                .fixed
                .iter()
                .any(|(fixed, _)| name.eq_ignore_ascii_case(fixed))
        };
        let custom = |name: &str| {
            self.custom
                .iter()
                .any(|(custom, _)| name.eq_ignore_ascii_case(custom))
        };
        query
            .extend_pairs(self.rules.fixed)
            .extend_pairs(self.rules.defaults.iter().filter(|(name, _)| !custom(name)))
            .extend_pairs(
                self.custom
                    .iter()
                    .filter(|(name, _)| !is_reserved(name) && !fixed(name)),
            );
        drop(query);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e02_pkce_s256_is_always_sent() {
        // RFC 7636 appendix B.
        let pkce = Pkce::from_verifier(SecretString::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
        assert_eq!(pkce.challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
        let pairs = pairs(&request(&[]).url());
        assert!(pairs.contains(&("code_challenge".into(), "challenge".into())));
        assert!(pairs.contains(&("code_challenge_method".into(), "S256".into())));
    }

    #[test]
    fn reserved_parameters_cannot_be_overridden() {
        let custom: Vec<(String, String)> = [
            "redirect_uri",
            "State",
            "request",
            "response_mode",
            "nonce",
            "prompt",
        ]
        .into_iter()
        .map(|name| (name.to_owned(), "evil".to_owned()))
        .collect();
        let url = request(&custom).url();
        let evil: Vec<_> = pairs(&url)
            .into_iter()
            .filter(|(_, value)| value == "evil")
            .collect();
        assert_eq!(evil, [("prompt".to_owned(), "evil".to_owned())]);
        for name in ["client_id", "redirect_uri", "state", "response_type"] {
            assert_eq!(
                pairs(&url).iter().filter(|(found, _)| found == name).count(),
                1,
                "{name}"
            );
        }
        assert!(pairs(&url).contains(&("tenant".into(), "t".into())));
        assert_eq!(
            pairs(&url).iter().filter(|(name, _)| name == "resource").count(),
            2
        );
    }

    fn request(custom: &[(String, String)]) -> AuthorizationRequest<'_> {
        static ENDPOINT: std::sync::LazyLock<Url> = std::sync::LazyLock::new(|| {
            Url::parse("https://as.example/authorize?tenant=t&client_id=other").expect("a URL")
        });
        static RESOURCES: std::sync::LazyLock<[String; 2]> =
            std::sync::LazyLock::new(|| ["https://a.example".into(), "https://b.example".into()]);
        AuthorizationRequest {
            endpoint: &ENDPOINT,
            client_id: "client",
            redirect_uri: "https://account.example/callback",
            scopes: &[],
            state: "state",
            code_challenge: Some("challenge"),
            nonce: None,
            resources: &*RESOURCES,
            custom,
            rules: &Authorization::STANDARD,
        }
    }

    fn pairs(url: &Url) -> Vec<(String, String)> {
        url.query_pairs().into_owned().collect()
    }
}
