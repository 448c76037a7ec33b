//! An OpenID provider without pages: whoever comes is the user of the moment. It can lie.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use axum::extract::{Form, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use countersign_crypto::testing::ManualClock;
use countersign_crypto::{Clock, ExposeSecret, SigningKey, SystemRandom, b64url, sha256, token};
use countersign_web::{Drain, bind_localhost};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, json};

/// What the provider does wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Lie {
    None,
    Denies,
    Fails,
    TokenEndpointDown,
    TokenEndpointSlow,
    TokenEndpointBusy,
    RefusesCode,
    NoIdToken,
    OtherNonce,
    OtherIssuer,
    OtherAudience,
    Expired,
    OtherKey,
    AlgNone,
    OtherIss,
    UserinfoOfSomebodyElse,
    UserinfoRefuses,
    UserinfoDown,
    UserinfoSlow,
    HugeClaims,
    SubjectWithNewline,
    OtherSubject,
}

/// What is changed in an ID token: members of header and claims are replaced, `null` removes one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Forgery {
    pub(crate) header: Value,
    pub(crate) claims: Value,
    pub(crate) key: Key,
    /// Turns a bit of the signature.
    pub(crate) broken: bool,
}

/// Keys that ID tokens are signed with, and published.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Key {
    #[default]
    First,
    Second,
    Rsa,
}

/// How an endpoint misbehaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    Huge,
    Slow,
    Redirects,
}

struct Code {
    challenge: String,
    nonce: String,
    redirect_uri: String,
    user: String,
}

struct Shared {
    issuer: String,
    clock: Arc<ManualClock>,
    key: SigningKey,
    other_key: SigningKey,
    codes: Mutex<HashMap<String, Code>>,
    access_tokens: Mutex<HashMap<String, String>>,
    user: Mutex<String>,
    lie: Mutex<Lie>,
    /// Requests to the token endpoint.
    exchanges: Mutex<usize>,
    /// Refresh tokens that are good, once each, and whose they are; `None`: none are given.
    refresh_tokens: Mutex<Option<HashMap<String, String>>>,
    /// Refreshes asked for.
    refreshes: Mutex<usize>,
    second_key: SigningKey,
    forgery: Mutex<Option<Forgery>>,
    published: Mutex<Vec<Key>>,
    /// A path, and how it misbehaves.
    fault: Mutex<Option<(&'static str, Fault)>>,
    /// Whether anybody went where a redirect of a fault leads.
    led_astray: Mutex<bool>,
}

#[derive(Clone)]
pub(crate) struct OpenIdProvider {
    pub(crate) issuer: String,
    shared: Arc<Shared>,
}

impl OpenIdProvider {
    pub(crate) async fn start(clock: Arc<ManualClock>) -> Self {
        let sockets = bind_localhost(0).await.expect("a free port");
        // Another site than the gateway's.
        let issuer = format!("http://127.0.0.1:{}", super::port(&sockets));
        let key =
            |kid| SigningKey::from_pkcs8(kid, SigningKey::generate_pkcs8().expose_secret()).expect("a key");
        let shared = Arc::new(Shared {
            issuer: issuer.clone(),
            clock,
            key: key("k1"),
            other_key: key("k1"),
            codes: Mutex::default(),
            access_tokens: Mutex::default(),
            user: Mutex::new("alice".to_owned()),
            lie: Mutex::new(Lie::None),
            exchanges: Mutex::default(),
            refresh_tokens: Mutex::default(),
            refreshes: Mutex::default(),
            second_key: key("k2"),
            forgery: Mutex::default(),
            published: Mutex::new(vec![Key::First]),
            fault: Mutex::default(),
            led_astray: Mutex::default(),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/authorize", get(authorize))
            .route("/token", post(exchange))
            .route("/userinfo", get(userinfo))
            .route("/jwks", get(jwks))
            .route("/end", get(|| async { "bye" }))
            .route("/astray", any(astray))
            .layer(middleware::from_fn_with_state(shared.clone(), faulty))
            .with_state(shared.clone());
        super::spawn(sockets, router, Drain::new().1);
        Self { issuer, shared }
    }

    pub(crate) fn user(&self, name: &str) {
        name.clone_into(&mut self.shared.user.lock().expect("no panic"));
    }

    pub(crate) fn lie(&self, lie: Lie) {
        *self.shared.lie.lock().expect("no panic") = lie;
    }

    /// Changes the ID tokens to come.
    pub(crate) fn forge(&self, forgery: Forgery) {
        *self.shared.forgery.lock().expect("no panic") = Some(forgery);
    }

    /// Publishes these keys and no others.
    pub(crate) fn publish(&self, keys: &[Key]) {
        *self.shared.published.lock().expect("no panic") = keys.to_vec();
    }

    /// Has an endpoint misbehave.
    pub(crate) fn misbehave(&self, path: &'static str, fault: Fault) {
        *self.shared.fault.lock().expect("no panic") = Some((path, fault));
    }

    pub(crate) fn led_astray(&self) -> bool {
        *self.shared.led_astray.lock().expect("no panic")
    }

    /// From now on gives refresh tokens, each good once.
    pub(crate) fn give_refresh_tokens(&self) {
        *self.shared.refresh_tokens.lock().expect("no panic") = Some(HashMap::new());
    }

    pub(crate) fn refreshes(&self) -> usize {
        *self.shared.refreshes.lock().expect("no panic")
    }

    /// A logout token with these claims beside the usual ones.
    pub(crate) fn logout_token(&self, claims: &Value) -> String {
        let now = self.shared.clock.now().as_secs();
        let mut all = json!({
            "iss": self.issuer,
            "aud": "gateway",
            "iat": now,
            "exp": now + 120,
            "jti": token(&SystemRandom),
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        for (name, value) in claims.as_object().expect("an object") {
            all[name] = value.clone();
        }
        self.shared.key.sign_jwt(Map::new(), &all).expect("a token")
    }

    pub(crate) fn exchanges(&self) -> usize {
        *self.shared.exchanges.lock().expect("no panic")
    }
}

impl Shared {
    fn lie(&self) -> Lie {
        *self.lie.lock().expect("no panic")
    }
}

async fn configuration(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let issuer = &shared.issuer;
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "end_session_endpoint": format!("{issuer}/end"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256", "RS256"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn authorize(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    assert_eq!(query["code_challenge_method"], "S256");
    assert_eq!(query["response_type"], "code");
    assert_eq!(query["scope"], "openid profile email");
    let (redirect_uri, state) = (&query["redirect_uri"], &query["state"]);
    let iss = if shared.lie() == Lie::OtherIss {
        "https://evil.example"
    } else {
        shared.issuer.as_str()
    };
    let error = match shared.lie() {
        Lie::Denies => Some("access_denied"),
        Lie::Fails => Some("server_error"),
        _ => None,
    };
    if let Some(error) = error {
        return Redirect::to(&format!("{redirect_uri}?error={error}&state={state}&iss={iss}"))
            .into_response();
    }
    let code = token(&SystemRandom);
    let held = Code {
        challenge: query["code_challenge"].clone(),
        nonce: query["nonce"].clone(),
        redirect_uri: redirect_uri.clone(),
        user: shared.user.lock().expect("no panic").clone(),
    };
    shared.codes.lock().expect("no panic").insert(code.clone(), held);
    Redirect::to(&format!("{redirect_uri}?code={code}&state={state}&iss={iss}")).into_response()
}

async fn exchange(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    *shared.exchanges.lock().expect("no panic") += 1;
    match shared.lie() {
        Lie::TokenEndpointDown => return StatusCode::BAD_GATEWAY.into_response(),
        Lie::TokenEndpointBusy => return StatusCode::TOO_MANY_REQUESTS.into_response(),
        Lie::TokenEndpointSlow => tokio::time::sleep(Duration::from_secs(3)).await,
        _ => {}
    }
    assert_eq!(
        headers[header::AUTHORIZATION],
        "Basic Z2F0ZXdheTpnYXRld2F5LXNlY3JldA=="
    );
    if form["grant_type"] == "refresh_token" {
        return refresh(&shared, &form["refresh_token"]).await;
    }
    let held = shared.codes.lock().expect("no panic").remove(&form["code"]);
    let verified = held.filter(|held| {
        held.challenge == b64url(&sha256(form["code_verifier"].as_bytes()))
            && held.redirect_uri == form["redirect_uri"]
            && shared.lie() != Lie::RefusesCode
    });
    let Some(held) = verified else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    };
    let access_token = token(&SystemRandom);
    shared
        .access_tokens
        .lock()
        .expect("no panic")
        .insert(access_token.clone(), held.user.clone());
    let mut answer = json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": 300 });
    if shared.lie() != Lie::NoIdToken {
        answer["id_token"] = id_token(&shared, &held).into();
    }
    give_refresh_token(&shared, &held.user, &mut answer);
    Json(answer).into_response()
}

fn give_refresh_token(shared: &Shared, user: &str, answer: &mut Value) {
    if let Some(good) = &mut *shared.refresh_tokens.lock().expect("no panic") {
        let refresh_token = token(&SystemRandom);
        answer["refresh_token"] = refresh_token.as_str().into();
        good.insert(refresh_token, user.to_owned());
    }
}

async fn refresh(shared: &Shared, refresh_token: &str) -> Response {
    *shared.refreshes.lock().expect("no panic") += 1;
    // Long enough for another tab to come in between.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let good = shared
        .refresh_tokens
        .lock()
        .expect("no panic")
        .as_mut()
        .and_then(|good| good.remove(refresh_token));
    let Some(user) = good.filter(|_| shared.lie() != Lie::RefusesCode) else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    };
    let access_token = token(&SystemRandom);
    let mut tokens = shared.access_tokens.lock().expect("no panic");
    tokens.insert(access_token.clone(), user.clone());
    drop(tokens);
    let mut answer = json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": 300 });
    // In a refresh there is no nonce to repeat (OpenID Connect Core 1.0 section 12.2).
    let held = Code {
        challenge: String::new(),
        nonce: String::new(),
        redirect_uri: String::new(),
        user: user.clone(),
    };
    let forges = shared.forgery.lock().expect("no panic").is_some();
    if forges || matches!(shared.lie(), Lie::OtherIssuer | Lie::OtherSubject) {
        answer["id_token"] = id_token(shared, &held).into();
    }
    give_refresh_token(shared, &user, &mut answer);
    Json(answer).into_response()
}

fn id_token(shared: &Shared, held: &Code) -> String {
    let now = shared.clock.now().as_secs();
    let lie = shared.lie();
    let claims = json!({
        "iss": if lie == Lie::OtherIssuer { "https://evil.example" } else { shared.issuer.as_str() },
        "aud": if lie == Lie::OtherAudience { "somebody" } else { "gateway" },
        "sub": subject(lie, &held.user),
        "iat": now,
        "exp": if lie == Lie::Expired { now - 120 } else { now + 300 },
        "auth_time": now - 5,
        "sid": format!("idp-{}", held.user),
        "nonce": if lie == Lie::OtherNonce { "another" } else { held.nonce.as_str() },
    });
    if let Some(forgery) = &*shared.forgery.lock().expect("no panic") {
        return forged(shared, forgery, claims);
    }
    let key = if lie == Lie::OtherKey {
        &shared.other_key
    } else {
        &shared.key
    };
    let signed = key.sign_jwt(Map::new(), &claims).expect("a token");
    if lie == Lie::AlgNone {
        let payload = signed.split('.').nth(1).expect("a payload");
        return format!("{}.{payload}.", b64url(br#"{"alg":"none","typ":"JWT"}"#));
    }
    signed
}

fn subject(lie: Lie, user: &str) -> String {
    if lie == Lie::OtherSubject {
        "mallory-1".to_owned()
    } else if lie == Lie::SubjectWithNewline {
        format!("{user}\nx-evil: 1")
    } else {
        format!("{user}-1001")
    }
}

async fn userinfo(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let lie = shared.lie();
    match lie {
        Lie::UserinfoDown => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Lie::UserinfoRefuses => return StatusCode::UNAUTHORIZED.into_response(),
        Lie::UserinfoSlow => tokio::time::sleep(Duration::from_secs(3)).await,
        _ => {}
    }
    let bearer = headers[header::AUTHORIZATION]
        .to_str()
        .expect("a text")
        .trim_start_matches("Bearer ")
        .to_owned();
    let Some(user) = shared
        .access_tokens
        .lock()
        .expect("no panic")
        .get(&bearer)
        .cloned()
    else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let sub = if lie == Lie::UserinfoOfSomebodyElse {
        "mallory-1".to_owned()
    } else {
        subject(lie, &user)
    };
    let mut claims = json!({
        "sub": sub,
        "name": format!("{user} Ünïcode"),
        "preferred_username": user,
        "email": format!("{user}@example.com"),
        "email_verified": "true",
        "groups": ["staff", "admins", "wine"],
    });
    if lie == Lie::HugeClaims {
        claims["groups"] = "g".repeat(12 * 1024).into();
    }
    Json(claims).into_response()
}

async fn jwks(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let published = shared.published.lock().expect("no panic").clone();
    let keys: Vec<Value> = published.into_iter().map(|key| shared.public_jwk(key)).collect();
    Json(json!({ "keys": keys }))
}

/// One key for all tests: it takes a while to make.
fn rsa() -> &'static KeyPair {
    static RSA: OnceLock<KeyPair> = OnceLock::new();
    RSA.get_or_init(|| KeyPair::generate(KeySize::Rsa2048).expect("a key"))
}

impl Shared {
    fn public_jwk(&self, key: Key) -> Value {
        let jwk = match key {
            Key::First => self.key.public_jwk(),
            Key::Second => self.second_key.public_jwk(),
            Key::Rsa => {
                // RFC 8017 appendix A.1.1: a sequence of modulus (with a leading zero) and exponent.
                let der = rsa().public_key().as_ref();
                let (modulus, exponent) = (&der[9..265], &der[267..]);
                return json!({
                    "kty": "RSA", "kid": "r1", "use": "sig", "alg": "RS256",
                    "n": b64url(modulus),
                    "e": b64url(exponent),
                });
            }
        };
        serde_json::to_value(jwk).expect("a JWK")
    }
}

fn change(mut value: Value, with: &Value) -> Value {
    for (name, member) in with.as_object().into_iter().flatten() {
        value[name] = member.clone();
    }
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    value
}

fn forged(shared: &Shared, forgery: &Forgery, claims: Value) -> String {
    let (alg, kid) = match forgery.key {
        Key::First => ("ES256", "k1"),
        Key::Second => ("ES256", "k2"),
        Key::Rsa => ("RS256", "r1"),
    };
    let header = change(json!({ "alg": alg, "kid": kid, "typ": "JWT" }), &forgery.header);
    let claims = change(claims, &forgery.claims);
    let signed = format!(
        "{}.{}",
        b64url(header.to_string().as_bytes()),
        b64url(claims.to_string().as_bytes())
    );
    let mut signature = match forgery.key {
        Key::First => shared.key.sign_raw(signed.as_bytes()).to_vec(),
        Key::Second => shared.second_key.sign_raw(signed.as_bytes()).to_vec(),
        Key::Rsa => {
            let mut signature = vec![0; rsa().public_modulus_len()];
            let random = aws_lc_rs::rand::SystemRandom::new();
            rsa()
                .sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature)
                .expect("signed");
            signature
        }
    };
    if forgery.broken {
        signature[20] ^= 1;
    }
    if header["alg"] == "none" {
        signature.clear();
    }
    format!("{signed}.{}", b64url(&signature))
}

async fn astray(State(shared): State<Arc<Shared>>) -> StatusCode {
    *shared.led_astray.lock().expect("no panic") = true;
    StatusCode::NOT_FOUND
}

/// Lets an endpoint misbehave.
async fn faulty(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let fault = *shared.fault.lock().expect("no panic");
    match fault.filter(|(path, _)| request.uri().path() == *path) {
        None => next.run(request).await,
        Some((_, Fault::Huge)) => {
            let body = format!("{{\"x\":\"{}\"}}", "x".repeat(16 << 20));
            ([(header::CONTENT_TYPE, "application/json")], body).into_response()
        }
        Some((_, Fault::Slow)) => {
            tokio::time::sleep(Duration::from_secs(3)).await;
            next.run(request).await
        }
        Some((_, Fault::Redirects)) => {
            Redirect::temporary(&format!("{}/astray", shared.issuer)).into_response()
        }
    }
}
