//! Which account consented (design D12): from the ID token, the token answer, or the vendor's own call.

use countersign_crypto::{ExposeSecret as _, parse_strict_json};
use countersign_outbound::Request;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use serde_json::{Map, Value};
use url::Url;

use super::{Body, Vendor};
use crate::id_token::IdTokenClaims;
use crate::metadata::ServerMetadata;
use crate::token::{TokenEndpoint, TokenSet};
use crate::userinfo;

/// How a vendor tells whose account it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityRecipe {
    /// ID token, else `UserInfo`.
    OpenId,
    /// Fields of the token answer or of a call of the vendor's.
    Account {
        /// The call, at the account endpoint.
        call: Option<AccountCall>,
        /// The account's key: all of these, with colons between.
        id: &'static [Field],
        /// Its name: the first of these that there is.
        name: &'static [Field],
    },
}

/// A call that tells about the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountCall {
    /// How it is made.
    pub form: CallForm,
    /// The scheme before the access token.
    pub scheme: &'static str,
    /// Whether the API wants the client id in a header `Client-Id`.
    pub client_id: bool,
}

impl AccountCall {
    /// `GET` with a bearer token.
    pub(super) const BEARER: Self = Self {
        form: CallForm::Get,
        scheme: "Bearer",
        client_id: false,
    };
}

/// How an [`AccountCall`] is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallForm {
    /// `GET`.
    Get,
    /// `POST` without a body.
    Post,
    /// Introspection (RFC 7662), where the client authenticates instead of the token.
    Introspection,
}

/// A field, by its JSON pointer (RFC 6901). Numbers count as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// Of the token answer.
    Token(&'static str),
    /// Of the call's answer.
    Call(&'static str),
}

/// The account at the vendor that consented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountIdentity {
    /// The vendor's own, stable id of the account.
    pub id: String,
    /// How the vendor calls it, for display.
    pub name: Option<String>,
    /// The scopes that it granted, where the vendor tells them with the account ([`Vendor::permissions`]).
    pub scopes: Option<Vec<String>>,
}

/// Longest id and name kept, characters.
const MAX_CHARS: usize = 255;
/// Largest answer to a call, bytes.
const MAX_BYTES: usize = 128 * 1024;

/// Finds out which account consented. `None` when the vendor does not say: never an error, since the
/// consent itself stands. `endpoint` is where the tokens came from; `id_token` has been validated.
pub async fn account_identity(
    vendor: &Vendor,
    endpoint: &TokenEndpoint<'_>,
    server: &ServerMetadata,
    id_token: Option<&IdTokenClaims>,
    tokens: &TokenSet,
) -> Option<AccountIdentity> {
    match vendor.identity {
        IdentityRecipe::OpenId => open_id(endpoint, server, id_token, tokens).await,
        IdentityRecipe::Account { call, id, name } => {
            let called = match (call, &server.userinfo_endpoint) {
                (Some(call), Some(url)) => call.send(endpoint, url, tokens).await,
                _ => None,
            };
            let answer = parse_strict_json(tokens.raw.expose_secret().as_bytes()).ok();
            let read = |field: &Field| match field {
                Field::Token(pointer) => text(answer.as_ref()?.pointer(pointer)?),
                Field::Call(pointer) => text(called.as_ref()?.pointer(pointer)?),
            };
            let id = id.iter().map(read).collect::<Option<Vec<_>>>()?.join(":");
            Some(AccountIdentity {
                id,
                name: name.iter().find_map(read),
                scopes: vendor
                    .permissions
                    .and_then(|pointer| granted(called.as_ref()?.pointer(pointer)?)),
            })
        }
    }
}

/// From the ID token; where it has no name, or there is none, from `UserInfo`.
async fn open_id(
    endpoint: &TokenEndpoint<'_>,
    server: &ServerMetadata,
    id_token: Option<&IdTokenClaims>,
    tokens: &TokenSet,
) -> Option<AccountIdentity> {
    let known = id_token.and_then(|token| claimed(&token.claims));
    if known.as_ref().is_some_and(|identity| identity.name.is_some()) {
        return known;
    }
    let Some(url) = &server.userinfo_endpoint else {
        return known;
    };
    let subject = id_token.map(|token| token.subject.as_str());
    match userinfo::fetch(endpoint.client, url, &tokens.access_token, subject).await {
        Ok(claims) => claimed(&claims).or(known),
        Err(error) => {
            tracing::warn!(host = url.host_str(), %error, "the provider does not say whose account it is");
            known
        }
    }
}

fn claimed(claims: &Map<String, Value>) -> Option<AccountIdentity> {
    let read = |name: &str| text(claims.get(name)?);
    Some(AccountIdentity {
        id: read("sub")?,
        name: ["preferred_username", "email", "name"].into_iter().find_map(read),
        scopes: None,
    })
}

/// Of a list of permissions with their status those that were granted. `None` for what is no such list.
fn granted(permissions: &Value) -> Option<Vec<String>> {
    let granted = permissions
        .as_array()?
        .iter()
        .filter(|permission| permission["status"] == "granted");
    granted
        .map(|permission| permission["permission"].as_str().map(str::to_owned))
        .collect()
}

/// A text that is not empty, without what does not belong on a page, or a whole number.
fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if !number.is_f64() => number.to_string(),
        _ => return None,
    };
    let text: String = text.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect();
    (!text.is_empty()).then_some(text)
}

impl AccountCall {
    /// The answer, if it is a JSON object that does not say that the call failed.
    async fn send(self, endpoint: &TokenEndpoint<'_>, url: &Url, tokens: &TokenSet) -> Option<Value> {
        let token = tokens.access_token.expose_secret();
        let request = match self.form {
            CallForm::Get => Request::get(url.clone()),
            CallForm::Post => Request::new(Method::POST, url.clone()),
            CallForm::Introspection => {
                let request = Request::post(url.clone());
                endpoint
                    .authentication
                    .write(request, Body::Form, endpoint.client_id, &[("token", token)])
            }
        };
        let mut request = request.accept_json().max_bytes(MAX_BYTES);
        if self.form != CallForm::Introspection {
            let mut value = HeaderValue::from_str(&format!("{} {token}", self.scheme)).ok()?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if self.client_id {
            let value = HeaderValue::from_str(endpoint.client_id).ok()?;
            request = request.header(HeaderName::from_static("client-id"), value);
        }
        let problem = match endpoint.client.send(request).await {
            Ok(response) if response.status == StatusCode::OK => match parse_strict_json(&response.body) {
                Ok(answer) if answer.is_object() && answer.get("ok") != Some(&Value::Bool(false)) => {
                    return Some(answer);
                }
                _ => "the answer is malformed, or says that the call failed".to_owned(),
            },
            Ok(response) => format!("status {}", response.status.as_u16()),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            host = url.host_str(),
            problem,
            "the provider does not say whose account it is"
        );
        None
    }
}
