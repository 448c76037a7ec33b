//! The authorization endpoint (RFC 6749 section 4.1.1, OpenID Connect Core section 3.1.2).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use countersign_crypto::{Timestamp, token};
use countersign_web::{cookie, form};
use http::header::SET_COOKIE;
use http::{HeaderMap, StatusCode};
use url::{Host, Url};

use crate::authorization_server::redirect::{see_other, to_client};
use crate::authorization_server::visits::{Interaction, Session};
use crate::authorization_server::{AuthorizationServer, Offline, PkceRule};

/// Longest `state` or `nonce` taken.
const MAX_VALUE_BYTES: usize = 4096;

/// Why a request is not an authorization request.
enum Refusal {
    /// Client or redirect URI cannot be trusted: the browser goes nowhere (RFC 6749 section 4.1.2.1).
    Here(&'static str),
    /// The client learns why.
    Client {
        redirect_uri: String,
        state: Option<String>,
        error: &'static str,
        description: &'static str,
    },
}

struct AuthorizationRequest {
    client_id: String,
    redirect_uri: String,
    state: Option<String>,
    scopes: Vec<String>,
    code_challenge: Option<String>,
    nonce: Option<String>,
    offline: bool,
    marked: bool,
    silent: bool,
    not_before: Option<Timestamp>,
}

pub(super) async fn get(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    authorize(&server, &headers, query.as_deref().unwrap_or_default())
}

pub(super) async fn post(
    State(server): State<Arc<AuthorizationServer>>,
    headers: HeaderMap,
    body: String,
) -> Response {
    authorize(&server, &headers, &body)
}

fn authorize(server: &AuthorizationServer, headers: &HeaderMap, parameters: &str) -> Response {
    let request = match AuthorizationRequest::read(server, parameters) {
        Ok(request) => request,
        Err(Refusal::Here(text)) => {
            return server.refuse(StatusCode::BAD_REQUEST, "This request cannot be answered", text);
        }
        Err(Refusal::Client {
            redirect_uri,
            state,
            error,
            description,
        }) => {
            return server.answer_error(&redirect_uri, state.as_deref(), error, description);
        }
    };
    begin(server, headers, request)
}

/// Keeps the request, and sends the browser to what is still missing.
fn begin(server: &AuthorizationServer, headers: &HeaderMap, request: AuthorizationRequest) -> Response {
    let known = cookie::read_single(headers, &server.browser_cookie)
        .ok()
        .flatten();
    let browser = known.clone().unwrap_or_else(|| token(server.random.as_ref()));
    let interaction = Interaction {
        browser: browser.clone(),
        client_id: request.client_id,
        redirect_uri: request.redirect_uri,
        state: request.state,
        scopes: request.scopes,
        code_challenge: request.code_challenge,
        nonce: request.nonce,
        offline: request.offline,
        marked: request.marked,
        not_before: request.not_before,
        started_at: server.now(),
    };
    let session = server
        .session(headers)
        .filter(|session| interaction.accepts(session));
    if request.silent {
        let error = match &session {
            None => Some("login_required"),
            Some(_) if server.profile.asks_consent => Some("consent_required"),
            Some(_) => None,
        };
        if let Some(error) = error {
            let state = interaction.state.as_deref();
            return server.answer_error(
                &interaction.redirect_uri,
                state,
                error,
                "prompt=none was asked for",
            );
        }
    }
    let id = token(server.random.as_ref());
    server.visits().begin(id.clone(), interaction.clone());
    let mut response = server.go_on(&id, &interaction, session.as_ref());
    if known.is_none() {
        let value = cookie::build(&server.browser_cookie, &browser, cookie::CookieOptions::default());
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

impl AuthorizationServer {
    /// Login, then consent where it is asked for, then the code.
    pub(super) fn go_on(&self, id: &str, interaction: &Interaction, session: Option<&Session>) -> Response {
        match session {
            None => see_other(&format!("/login?interaction={id}")),
            Some(_) if self.profile.asks_consent => see_other(&format!("/consent?interaction={id}")),
            Some(session) => self.answer_code(id, interaction, session),
        }
    }

    /// Ends the interaction with a code.
    pub(super) fn answer_code(&self, id: &str, interaction: &Interaction, session: &Session) -> Response {
        if !self.visits().end(id) {
            return self.interaction_ended();
        }
        let now = self.now();
        let random = self.random.as_ref();
        let issued = self.grants.change(|grants| {
            grants.issue_code(
                random,
                now,
                interaction,
                session,
                self.profile.rules.code_lifetime,
            )
        });
        let Ok(code) = issued else {
            let state = interaction.state.as_deref();
            return self.answer_error(
                &interaction.redirect_uri,
                state,
                "server_error",
                "the grant cannot be kept",
            );
        };
        self.answer(
            &interaction.redirect_uri,
            interaction.state.as_deref(),
            &[("code", &code)],
        )
    }

    /// An error response to the client.
    pub(super) fn answer_error(
        &self,
        redirect_uri: &str,
        state: Option<&str>,
        error: &str,
        description: &str,
    ) -> Response {
        self.answer(
            redirect_uri,
            state,
            &[("error", error), ("error_description", description)],
        )
    }

    /// `state` as it came, and `iss` (RFC 9207), which tells the client which server is answering.
    fn answer(&self, redirect_uri: &str, state: Option<&str>, parameters: &[(&str, &str)]) -> Response {
        let mut parameters = parameters.to_vec();
        parameters.extend(state.map(|state| ("state", state)));
        if self.profile.rules.names_issuer {
            parameters.push(("iss", &self.issuer));
        }
        to_client(redirect_uri, &parameters)
    }

    /// The interaction of a page of ours, if this browser began it.
    pub(super) fn interaction(&self, headers: &HeaderMap, id: &str) -> Option<Interaction> {
        let browser = cookie::read_single(headers, &self.browser_cookie).ok()??;
        self.visits().interaction(id, Some(&browser), self.now())
    }

    pub(super) fn interaction_ended(&self) -> Response {
        self.refuse(
            StatusCode::BAD_REQUEST,
            "This sign-in is over",
            "It was finished, took longer than ten minutes, or was begun in another browser. \
             Go back to the application and start again.",
        )
    }
}

impl AuthorizationRequest {
    fn read(server: &AuthorizationServer, parameters: &str) -> Result<Self, Refusal> {
        let parameters = form::parse_unique(parameters)
            .map_err(|_| Refusal::Here("A parameter of the request is repeated."))?;
        // RFC 6749 section 3.1: a parameter without a value is treated as omitted.
        let get = |name: &str| {
            parameters
                .get(name)
                .map(String::as_str)
                .filter(|value| !value.is_empty())
        };
        let client = get("client_id")
            .and_then(|id| server.client(id))
            .ok_or(Refusal::Here(
                "The application that sent you here is not registered.",
            ))?;
        let redirect_uri = get("redirect_uri")
            .filter(|uri| {
                let registered = client.redirect_uris.iter().any(|registered| registered == uri);
                registered || (server.profile.rules.loopback_redirects && is_loopback(uri))
            })
            .ok_or(Refusal::Here(
                "The application asked for an answer at an address that it has not registered.",
            ))?
            .to_owned();
        let state = get("state").map(str::to_owned);
        let refuse = |(error, description): (&'static str, &'static str)| Refusal::Client {
            redirect_uri: redirect_uri.clone(),
            state: state.clone().filter(|state| state.len() <= MAX_VALUE_BYTES),
            error,
            description,
        };
        check_form(&get).map_err(refuse)?;
        let rules = &server.profile.rules;
        let lacks = |(name, value): &&(&str, &str)| get(name) != Some(*value);
        if rules.required.iter().any(|required| lacks(&required)) {
            return Err(refuse((
                "invalid_request",
                "a parameter that every request has is missing",
            )));
        }
        let marked = rules.mark.and_then(&get);
        let scope = get("scope").or(marked).unwrap_or_default();
        let scopes = scopes(server, scope).map_err(refuse)?;
        let code_challenge = code_challenge(rules.pkce, &get).map_err(refuse)?;
        let offline = match rules.offline {
            Offline::Always => true,
            Offline::Scope(names) => scopes.iter().any(|scope| names.contains(&scope.as_str())),
            Offline::Parameters(needed) => !needed.iter().any(|parameter| lacks(&parameter)),
        };
        let (silent, not_before) = prompt(&get, server.now()).map_err(refuse)?;
        Ok(Self {
            client_id: client.client_id,
            scopes,
            code_challenge,
            nonce: get("nonce").map(str::to_owned),
            offline,
            marked: marked.is_some(),
            silent,
            not_before,
            redirect_uri: redirect_uri.clone(),
            state: state.clone(),
        })
    }
}

type Problem = (&'static str, &'static str);

fn check_form<'p>(get: &impl Fn(&str) -> Option<&'p str>) -> Result<(), Problem> {
    if get("request").is_some() {
        return Err(("request_not_supported", "request objects are not supported"));
    }
    if get("request_uri").is_some() {
        return Err(("request_uri_not_supported", "request objects are not supported"));
    }
    if get("response_type") != Some("code") {
        return Err(("unsupported_response_type", "response_type must be code"));
    }
    if get("response_mode").is_some_and(|mode| mode != "query") {
        return Err(("invalid_request", "response_mode must be query"));
    }
    if ["state", "nonce"]
        .into_iter()
        .any(|name| get(name).is_some_and(|value| value.len() > MAX_VALUE_BYTES))
    {
        return Err(("invalid_request", "state or nonce is too long"));
    }
    Ok(())
}

fn scopes(server: &AuthorizationServer, scope: &str) -> Result<Vec<String>, Problem> {
    let mut scopes: Vec<String> = Vec::new();
    let separators = server.profile.rules.scope_separators;
    if !separators.is_empty() {
        let names = scope.split(separators).filter(|name| !name.is_empty());
        return Ok(names.map(str::to_owned).collect());
    }
    for name in scope.split(' ').filter(|name| !name.is_empty()) {
        if !server.profile.scopes.iter().any(|known| known.name == name) {
            return Err(("invalid_scope", "a scope is not known here"));
        }
        if !scopes.iter().any(|scope| scope == name) {
            scopes.push(name.to_owned());
        }
    }
    if scopes.is_empty() {
        return Err(("invalid_scope", "scope is missing"));
    }
    if server.profile.openid && !scopes.iter().any(|scope| scope == "openid") {
        return Err(("invalid_scope", "scope must contain openid"));
    }
    Ok(scopes)
}

/// Whether a redirect URI is on this machine.
fn is_loopback(uri: &str) -> bool {
    let Ok(url) = Url::parse(uri) else { return false };
    let here = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    here && matches!(url.scheme(), "http" | "https") && url.fragment().is_none()
}

/// PKCE is required of our own clients, and `plain` is not offered (RFC 9700 section 2.1.1).
fn code_challenge<'p>(
    rule: PkceRule,
    get: &impl Fn(&str) -> Option<&'p str>,
) -> Result<Option<String>, Problem> {
    let sent = get("code_challenge").is_some() || get("code_challenge_method").is_some();
    match rule {
        PkceRule::Refused if sent => return Err(("invalid_request", "PKCE is not known here")),
        PkceRule::Refused | PkceRule::Optional if !sent => return Ok(None),
        _ => {}
    }
    if get("code_challenge_method") != Some("S256") {
        return Err(("invalid_request", "code_challenge_method must be S256"));
    }
    let challenge = get("code_challenge").ok_or(("invalid_request", "code_challenge is missing"))?;
    match countersign_crypto::b64url_decode(challenge) {
        Some(hash) if hash.len() == 32 => Ok(Some(challenge.to_owned())),
        _ => Err(("invalid_request", "code_challenge is no SHA-256 in base64url")),
    }
}

/// Whether no page may be shown, and how recent a login must be.
fn prompt<'p>(
    get: &impl Fn(&str) -> Option<&'p str>,
    now: Timestamp,
) -> Result<(bool, Option<Timestamp>), Problem> {
    let prompts: Vec<&str> = get("prompt")
        .unwrap_or_default()
        .split(' ')
        .filter(|part| !part.is_empty())
        .collect();
    if prompts
        .iter()
        .any(|prompt| !matches!(*prompt, "none" | "login" | "consent" | "select_account"))
    {
        return Err(("invalid_request", "prompt is not known here"));
    }
    let silent = prompts.contains(&"none");
    if silent && prompts.len() > 1 {
        return Err(("invalid_request", "prompt=none stands alone"));
    }
    let max_age = get("max_age").map(str::parse::<u32>).transpose();
    let max_age = max_age.map_err(|_| ("invalid_request", "max_age is no number of seconds"))?;
    let again = prompts.contains(&"login") || prompts.contains(&"select_account");
    let not_before = if again {
        Some(now)
    } else {
        max_age.map(|seconds| now.minus(Duration::from_secs(seconds.into())))
    };
    Ok((silent, not_before))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn get<'p>(parameters: &'p BTreeMap<&'p str, &'p str>) -> impl Fn(&str) -> Option<&'p str> {
        |name| parameters.get(name).copied()
    }

    #[test]
    fn prompts() {
        let now = Timestamp::from_secs(1_000);
        let prompt = |text: &str, max_age: &str| {
            let parameters = BTreeMap::from([("prompt", text), ("max_age", max_age)]);
            super::prompt(&get(&parameters), now)
        };
        assert_eq!(prompt("none", "600"), Ok((true, Some(Timestamp::from_secs(400)))));
        assert_eq!(prompt("login", "600"), Ok((false, Some(now))));
        assert!(prompt("none login", "600").is_err());
        assert!(prompt("surprise", "600").is_err());
        assert!(prompt("", "-1").is_err());
    }

    #[test]
    fn challenges() {
        let challenge = |method, text| {
            let parameters = BTreeMap::from([("code_challenge_method", method), ("code_challenge", text)]);
            code_challenge(PkceRule::Required, &get(&parameters))
        };
        let good = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(challenge("S256", good).is_ok());
        assert!(challenge("plain", good).is_err());
        assert!(challenge("S256", &good[1..]).is_err());
        assert!(challenge("S256", &format!("{good}=")).is_err());
    }
}
