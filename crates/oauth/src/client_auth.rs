//! How a client proves itself at the token endpoint: RFC 6749 section 2.3.1.

use countersign_crypto::{ExposeSecret as _, SecretString};
use countersign_outbound::Request;
use http::HeaderValue;
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::vendor::Body;

/// RFC 7523 section 2.2.
const JWT_BEARER: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A client authentication method with its secret.
#[derive(Debug, Clone)]
pub enum ClientAuthentication {
    /// `client_secret_basic`: the HTTP Basic scheme, id and secret form-encoded first.
    Basic(SecretString),
    /// `client_secret_post`: in the request body.
    Post(SecretString),
    /// `none`: a public client, which PKCE alone protects.
    None,
    /// `private_key_jwt` with a [signed assertion](crate::private_key_jwt::ClientAssertion), good for one request.
    PrivateKeyJwt(SecretString),
    /// Nobody: neither client id nor proof, where the grant alone counts (RFC 7521 section 4.1).
    Anonymous,
}

impl ClientAuthentication {
    /// The method to use with a server that says `supported` (`None`: `client_secret_basic`, RFC 8414
    /// section 2). `None` when the server supports none of ours with what we have.
    #[must_use]
    pub fn choose(supported: Option<&[String]>, secret: Option<SecretString>) -> Option<Self> {
        let supports = |method: &str| match supported {
            Some(methods) => methods.iter().any(|supported| supported == method),
            None => method == "client_secret_basic",
        };
        match secret {
            Some(secret) if supports("client_secret_basic") => Some(Self::Basic(secret)),
            Some(secret) if supports("client_secret_post") => Some(Self::Post(secret)),
            None if supported.is_none() || supports("none") => Some(Self::None),
            _ => None,
        }
    }

    /// Writes `request`'s body from `fields` and what the method adds to body or headers.
    pub(crate) fn write(
        &self,
        request: Request,
        body: Body,
        client_id: &str,
        fields: &[(&str, &str)],
    ) -> Request {
        let mut fields = fields.to_vec();
        match self {
            Self::Basic(secret) => {
                return body
                    .write(request, &fields)
                    .basic_auth(&form_encode(client_id), &form_encode(secret.expose_secret()));
            }
            Self::Post(secret) => {
                fields.extend([
                    ("client_id", client_id),
                    ("client_secret", secret.expose_secret()),
                ]);
            }
            Self::None => fields.push(("client_id", client_id)),
            Self::PrivateKeyJwt(assertion) => fields.extend([
                ("client_id", client_id),
                ("client_assertion_type", JWT_BEARER),
                ("client_assertion", assertion.expose_secret()),
            ]),
            Self::Anonymous => {}
        }
        body.write(request, &fields)
    }
}

impl Body {
    fn write(self, request: Request, fields: &[(&str, &str)]) -> Request {
        match self {
            Self::Form => request.form(fields),
            Self::Json => {
                let object: Map<String, Value> = fields
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                    .collect();
                let body = Value::Object(object).to_string();
                request.body(HeaderValue::from_static("application/json"), body)
            }
        }
    }
}

fn form_encode(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use countersign_crypto::b64url_decode;
    use http::header::AUTHORIZATION;
    use url::Url;

    use super::*;

    #[test]
    fn e08_basic_encodes_special_characters_first() {
        let request = Request::post(Url::parse("https://as.example/token").expect("a URL"));
        let basic = ClientAuthentication::Basic("p:w %+ü".into());
        let request = basic.write(request, Body::Form, "id:1", &[("grant_type", "refresh_token")]);
        let header = request.headers[AUTHORIZATION].to_str().expect("ASCII");
        let encoded = header
            .strip_prefix("Basic ")
            .expect("Basic")
            .trim_end_matches('=');
        let decoded = b64url_decode(&encoded.replace('+', "-").replace('/', "_")).expect("base64");
        assert_eq!(String::from_utf8_lossy(&decoded), "id%3A1:p%3Aw+%25%2B%C3%BC");
        assert_eq!(request.body, "grant_type=refresh_token");
    }

    #[test]
    fn e08_post_puts_both_into_the_body() {
        let request = Request::post(Url::parse("https://as.example/token").expect("a URL"));
        let request =
            ClientAuthentication::Post("s&t".into()).write(request, Body::Form, "id", &[("a", "b")]);
        assert!(!request.headers.contains_key(AUTHORIZATION));
        assert_eq!(request.body, "a=b&client_id=id&client_secret=s%26t");
    }

    #[test]
    fn e08_an_assertion_and_nobody_at_all() {
        let form = |authentication: ClientAuthentication| {
            let request = Request::post(Url::parse("https://as.example/token").expect("a URL"));
            let request = authentication.write(request, Body::Form, "id", &[("a", "b")]);
            assert!(!request.headers.contains_key(AUTHORIZATION));
            String::from_utf8_lossy(&request.body).into_owned()
        };
        assert_eq!(
            form(ClientAuthentication::PrivateKeyJwt("x.y.z".into())),
            "a=b&client_id=id&client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer\
             &client_assertion=x.y.z"
        );
        assert_eq!(form(ClientAuthentication::Anonymous), "a=b");
        assert_eq!(form(ClientAuthentication::None), "a=b&client_id=id");
    }

    #[test]
    fn methods_are_chosen_from_what_the_server_offers() {
        let methods = |list: &[&str]| list.iter().map(|&method| method.to_owned()).collect::<Vec<_>>();
        let choose = |list: &[&str], secret: Option<&str>| match ClientAuthentication::choose(
            Some(&methods(list)),
            secret.map(SecretString::from),
        ) {
            Some(ClientAuthentication::Basic(_)) => "basic",
            Some(ClientAuthentication::Post(_)) => "post",
            Some(ClientAuthentication::None) => "none",
            Some(_) | None => "-",
        };
        assert_eq!(
            choose(&["client_secret_post", "client_secret_basic"], Some("s")),
            "basic"
        );
        assert_eq!(choose(&["client_secret_post", "none"], Some("s")), "post");
        // A secret is never dropped for a weaker method.
        assert_eq!(choose(&["none"], Some("s")), "-");
        assert_eq!(choose(&["private_key_jwt"], Some("s")), "-");
        assert_eq!(choose(&["none"], None), "none");
        assert_eq!(choose(&["client_secret_basic"], None), "-");
        assert!(matches!(
            ClientAuthentication::choose(None, Some("s".into())),
            Some(ClientAuthentication::Basic(_))
        ));
    }
}
