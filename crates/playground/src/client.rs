//! Registered clients and how they authenticate (RFC 6749 section 2).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_crypto::{ExposeSecret as _, SecretString, constant_time_eq, sha256};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::PlaygroundError;

/// A registered confidential client.
#[derive(Debug, Clone)]
pub struct Client {
    /// `client_id`.
    pub client_id: String,
    /// `client_secret`.
    pub client_secret: SecretString,
    /// What people see on the consent page.
    pub name: String,
    /// Compared as exact text (RFC 9700 section 2.1).
    pub redirect_uris: Vec<String>,
    /// Where the OpenID provider may send a browser after logout; exact too.
    pub post_logout_redirect_uris: Vec<String>,
}

impl Client {
    pub(crate) fn check(&self) -> Result<(), PlaygroundError> {
        for uri in self.redirect_uris.iter().chain(&self.post_logout_redirect_uris) {
            let plausible = Url::parse(uri)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.fragment().is_none());
            if !plausible {
                return Err(PlaygroundError::RedirectUri {
                    client_id: self.client_id.clone(),
                    uri: uri.clone(),
                });
            }
        }
        Ok(())
    }

    fn has_secret(&self, secret: &str) -> bool {
        constant_time_eq(
            &sha256(self.client_secret.expose_secret().as_bytes()),
            &sha256(secret.as_bytes()),
        )
    }
}

/// The clients of one authorization server, by id.
pub(crate) type Clients = BTreeMap<String, Client>;

/// Why a client did not authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuthenticationError {
    /// Two methods at once, or a malformed header.
    Request,
    /// Unknown client, wrong secret or none.
    Client,
}

/// Authenticates by `client_secret_basic` or `client_secret_post`, never both (RFC 6749 section 2.3).
pub(crate) fn authenticate(
    clients: &Clients,
    headers: &HeaderMap,
    form: &BTreeMap<String, String>,
) -> Result<Client, ClientAuthenticationError> {
    let mut authorizations = headers.get_all(AUTHORIZATION).iter();
    let (id, secret) = match (authorizations.next(), authorizations.next()) {
        (Some(_), Some(_)) => return Err(ClientAuthenticationError::Request),
        (Some(header), None) => {
            let (id, secret) = header
                .to_str()
                .ok()
                .and_then(basic_credentials)
                .ok_or(ClientAuthenticationError::Request)?;
            if form.contains_key("client_secret") || form.get("client_id").is_some_and(|named| *named != id) {
                return Err(ClientAuthenticationError::Request);
            }
            (id, secret)
        }
        (None, _) => match (form.get("client_id"), form.get("client_secret")) {
            (Some(id), Some(secret)) => (id.clone(), secret.clone()),
            _ => return Err(ClientAuthenticationError::Client),
        },
    };
    clients
        .get(&id)
        .filter(|client| client.has_secret(&secret))
        .cloned()
        .ok_or(ClientAuthenticationError::Client)
}

/// RFC 6749 section 2.3.1: id and secret are form-encoded before they are joined.
fn basic_credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_decode_str(&spaced)
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .ok()
    };
    Some((decode(id)?, decode(secret)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Clients {
        let client = Client {
            client_id: "a b".into(),
            client_secret: "s:e+c/r".into(),
            name: "A".into(),
            redirect_uris: vec!["http://127.0.0.1/cb".into()],
            post_logout_redirect_uris: Vec::new(),
        };
        Clients::from([(client.client_id.clone(), client)])
    }

    fn basic(text: &str) -> HeaderMap {
        let value = format!("Basic {}", STANDARD.encode(text))
            .parse()
            .expect("a header");
        HeaderMap::from_iter([(AUTHORIZATION, value)])
    }

    fn form(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn basic_is_form_decoded() {
        let headers = basic("a+b:s%3Ae%2Bc%2Fr");
        assert!(authenticate(&clients(), &headers, &form(&[])).is_ok());
        assert!(
            authenticate(&clients(), &basic("a b:s:e+c/r"), &form(&[])).is_err(),
            "not encoded at all"
        );
    }

    #[test]
    fn one_method_only_and_the_right_secret() {
        let good = [("client_id", "a b"), ("client_secret", "s:e+c/r")];
        assert!(authenticate(&clients(), &HeaderMap::new(), &form(&good)).is_ok());
        let both = authenticate(&clients(), &basic("a+b:s%3Ae%2Bc%2Fr"), &form(&good));
        assert_eq!(both.err(), Some(ClientAuthenticationError::Request));
        for wrong in [
            &[("client_id", "a b"), ("client_secret", "wrong")][..],
            &[("client_id", "nobody"), ("client_secret", "s:e+c/r")],
            &[("client_id", "a b")],
            &[],
        ] {
            let refused = authenticate(&clients(), &HeaderMap::new(), &form(wrong));
            assert_eq!(
                refused.err(),
                Some(ClientAuthenticationError::Client),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn redirect_uris_are_absolute_without_fragment() {
        let mut client = clients().remove("a b").expect("there");
        client.check().expect("good");
        for wrong in ["/cb", "javascript:alert(1)", "http://127.0.0.1/cb#x", ""] {
            client.redirect_uris = vec![wrong.into()];
            assert!(client.check().is_err(), "{wrong}");
        }
    }
}
