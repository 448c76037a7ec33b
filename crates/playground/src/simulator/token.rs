//! A vendor's token endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use countersign_web::form;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::Shared;
use super::vendor::{Answer, ClientRule, Refusal, RefusalKind, Renewal};
use crate::authorization_server::{GrantError, Issued, PkceRule, Redeemed};
use crate::client::Client;
use crate::people;

/// How long an exchanged access token lives.
const LONG_LIFETIME: Duration = Duration::from_hours(60 * 24);
/// How long the tokens of a vendor live that never says when they expire.
const FOR_EVER: Duration = Duration::from_hours(100 * 365 * 24);

type Fields = BTreeMap<String, String>;

pub(super) async fn post(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let fields = read(&headers, &body, shared.vendor.json_requests);
    let outcome = match &fields {
        Ok(fields) => shared.token(&headers, fields),
        Err(description) => Err(refused(RefusalKind::Request, description)),
    };
    let word = outcome.as_ref().map_or("refused", |_| "issued");
    shared
        .server
        .record(fields.as_ref().unwrap_or(&Fields::new()), word);
    let (status, body) = match outcome {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => (shared.vendor.refusal)(&refusal),
    };
    let wants_json = headers
        .get(ACCEPT)
        .is_some_and(|accept| accept.as_bytes().starts_with(b"application/json"));
    if shared.vendor.form_answers && !wants_json {
        return (
            status,
            [(CONTENT_TYPE, "application/x-www-form-urlencoded")],
            as_form(&body),
        )
            .into_response();
    }
    (status, axum::Json(body)).into_response()
}

/// A form, or a JSON object of texts; each name once.
pub(super) fn read(headers: &HeaderMap, body: &[u8], json: bool) -> Result<Fields, &'static str> {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind
        .and_then(|kind| kind.split(';').next())
        .unwrap_or_default()
        .trim();
    let text = std::str::from_utf8(body).map_err(|_| "the body is not UTF-8")?;
    if !json {
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err("the body has to be a form");
        }
        return form::parse_unique(text).map_err(|_| "a parameter is repeated");
    }
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err("the body has to be JSON");
    }
    let object: BTreeMap<String, Value> = countersign_crypto::parse_strict_json(body)
        .ok()
        .and_then(|value| serde_json::from_value(value).ok())
        .ok_or("the body has to be a JSON object")?;
    object
        .into_iter()
        .map(|(name, value)| match value {
            Value::String(text) => Ok((name, text)),
            _ => Err("a member is no text"),
        })
        .collect()
}

fn as_form(body: &Value) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in body.as_object().into_iter().flatten() {
        match value {
            Value::String(text) => form.append_pair(name, text),
            other => form.append_pair(name, &other.to_string()),
        };
    }
    form.finish()
}

const fn refused(kind: RefusalKind, description: &'static str) -> Refusal {
    Refusal { kind, description }
}

/// What a request's code or token was good for.
struct Presented {
    redeemed: Redeemed,
    /// Given back where the vendor repeats it.
    refresh_token: Option<String>,
    lifetime: Option<Duration>,
    renewal: bool,
}

impl Shared {
    /// The client, if it authenticated the way this vendor wants it.
    pub(super) fn client(&self, headers: &HeaderMap, fields: &Fields) -> Result<Client, Refusal> {
        let basic = headers.contains_key(AUTHORIZATION);
        let wanted = match self.vendor.client {
            ClientRule::Basic => basic,
            ClientRule::Post => !basic,
            ClientRule::Either => true,
        };
        let refused = refused(RefusalKind::Client, "the client did not authenticate");
        if !wanted {
            return Err(refused);
        }
        self.server.authenticate(headers, fields).map_err(|_| refused)
    }

    fn token(&self, headers: &HeaderMap, fields: &Fields) -> Result<Value, Refusal> {
        let request = |description| refused(RefusalKind::Request, description);
        let vendor = self.vendor;
        if vendor
            .token_headers
            .iter()
            .any(|name| !headers.contains_key(*name))
        {
            return Err(request("a header is missing"));
        }
        let client = self.client(headers, fields)?;
        if vendor.refuses.iter().any(|name| fields.contains_key(*name)) {
            return Err(request("a parameter is not known here"));
        }
        let presented = self.present(&client, fields)?;
        self.issue(&presented)
    }

    fn present(&self, client: &Client, fields: &Fields) -> Result<Presented, Refusal> {
        let request = |description| refused(RefusalKind::Request, description);
        let get = |name: &str| {
            fields
                .get(name)
                .map(String::as_str)
                .filter(|text| !text.is_empty())
        };
        let id = client.client_id.as_str();
        let now = self.server.now();
        let lost = |_| request("the grant cannot be kept");
        let usual = self.lifetime;
        match (get("grant_type"), self.vendor.renewal) {
            (Some("authorization_code"), _) => {
                let code = get("code").ok_or(request("code is missing"))?;
                let uri = get("redirect_uri").ok_or(request("redirect_uri is missing"))?;
                let verifier = get("code_verifier");
                if self.vendor.rules.pkce == PkceRule::Required && verifier.is_none() {
                    return Err(request("code_verifier is missing"));
                }
                let redeemed = self
                    .server
                    .grants
                    .change(|grants| grants.redeem_code(code, id, uri, verifier, now))
                    .map_err(lost)?;
                Ok(Presented {
                    redeemed: redeemed.map_err(bad(RefusalKind::Code))?,
                    refresh_token: None,
                    lifetime: usual,
                    renewal: false,
                })
            }
            (Some(grant), Renewal::AccessToken(name)) if grant == name => {
                let text = get(name).ok_or(request("the token is missing"))?;
                let redeemed = self
                    .server
                    .grants
                    .read(|grants| grants.redeem_access_token(text, id, now));
                Ok(Presented {
                    redeemed: redeemed.map_err(bad(RefusalKind::RefreshToken))?,
                    refresh_token: None,
                    lifetime: Some(LONG_LIFETIME),
                    renewal: true,
                })
            }
            (Some("refresh_token"), renewal) if !matches!(renewal, Renewal::AccessToken(_)) => {
                if self
                    .vendor
                    .refuses_at_refresh
                    .iter()
                    .any(|name| fields.contains_key(*name))
                {
                    return Err(request("a parameter is not known here"));
                }
                let text = get("refresh_token").ok_or(request("refresh_token is missing"))?;
                let single_use = renewal == Renewal::Rotates;
                let redeemed = self
                    .server
                    .grants
                    .change(|grants| grants.redeem_refresh_token(text, id, None, single_use, now))
                    .map_err(lost)?;
                Ok(Presented {
                    redeemed: redeemed.map_err(bad(RefusalKind::RefreshToken))?,
                    refresh_token: Some(text.to_owned()),
                    lifetime: usual,
                    renewal: true,
                })
            }
            (Some(_), _) => Err(refused(RefusalKind::GrantType, "the grant is not known here")),
            (None, _) => Err(request("grant_type is missing")),
        }
    }

    fn issue(&self, presented: &Presented) -> Result<Value, Refusal> {
        let redeemed = &presented.redeemed;
        let account = people::find(self.server.profile.accounts, &redeemed.grant.username)
            .ok_or(refused(RefusalKind::Code, "nobody"))?;
        // Where tokens live for ever there is nothing to refresh.
        let offline = redeemed.grant.offline && presented.lifetime.is_some();
        let fresh = match self.vendor.renewal {
            Renewal::Rotates | Renewal::Adds => offline,
            Renewal::Omits | Renewal::Repeats => offline && !presented.renewal,
            Renewal::AccessToken(_) => false,
        };
        let refreshable = fresh.then_some(self.vendor.rules.refresh_token_lifetime);
        let now = self.server.now();
        let lifetime = presented.lifetime.unwrap_or(FOR_EVER);
        let random = self.server.random.as_ref();
        let Issued {
            access_token,
            refresh_token,
        } = self
            .server
            .grants
            .change(|grants| grants.issue_tokens(random, now, redeemed, lifetime, refreshable))
            .map_err(|_| refused(RefusalKind::Request, "the grant cannot be kept"))?;
        let repeated = presented
            .refresh_token
            .clone()
            .filter(|_| self.vendor.renewal == Renewal::Repeats);
        let openid = redeemed.scopes.iter().any(|scope| scope == "openid");
        let id_token = self.server.id_token_key.as_ref().filter(|_| openid).map(|key| {
            key.id_token(
                &self.issuer(),
                redeemed,
                account,
                &access_token,
                now,
                self.tenant(),
            )
        });
        Ok((self.vendor.answer)(&Answer {
            access_token: &access_token,
            refresh_token: refresh_token.or(repeated).as_deref(),
            id_token: id_token.as_deref(),
            lifetime: presented.lifetime.map(|lifetime| lifetime.as_secs()),
            scopes: &redeemed.scopes,
            account,
            marked: redeemed.grant.marked,
            now_millis: now.as_micros() / 1000,
        }))
    }
}

const fn bad(kind: RefusalKind) -> impl Fn(GrantError) -> Refusal {
    move |_| {
        refused(
            kind,
            "the code or token is not valid, was used, or is of another client",
        )
    }
}
