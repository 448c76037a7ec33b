//! A third-party authorization server of the tests' own: it consents to anything and remembers what it was asked, and
//! shows the faults that no real server can be made to show.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_crypto::{b64url, sha256};
use serde_json::{Value, json};
use url::Url;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

/// The name under which a token request's `Authorization` header stands among its parameters.
pub(super) const AUTHORIZATION: &str = "(authorization)";

/// What the token endpoint does next.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Next {
    /// Tokens that live this many seconds.
    Tokens { expires_in: u64 },
    /// Tokens for fewer scopes.
    Granted(&'static str),
    /// An error answer.
    Error(&'static str),
    /// Status 200 with this body.
    Says(&'static str),
    /// A redirect back to itself, which would carry the secret along.
    Redirect,
    /// Two megabytes.
    Huge,
    /// This status, and nothing else.
    Status(u16),
    /// A broken answer, after which nobody knows what happened.
    Broken,
    /// Nothing for a while, then tokens.
    Slow(Duration),
    /// Tokens, in an answer that never arrives.
    Lost,
}

#[derive(Debug)]
pub(super) struct Memory {
    pub(super) next: Next,
    /// Token requests, as their parameters.
    pub(super) requests: Vec<HashMap<String, String>>,
    /// Codes given out: their PKCE challenge and the account.
    codes: HashMap<String, (String, String)>,
    /// Accounts by access token.
    accounts: HashMap<String, String>,
    refresh_tokens: HashMap<String, String>,
    issued: usize,
    pub(super) revoked: Vec<String>,
    /// How many revocations it answers with 503 first.
    pub(super) refuses_revocations: usize,
    /// Whether it tells which tokens are active (RFC 7662).
    pub(super) introspects: bool,
    /// How it answers that question, where it is not with the truth: status and body.
    pub(super) introspection: Option<(u16, &'static str)>,
    /// Whether it takes a used refresh token again.
    pub(super) forgives: bool,
    /// Whether its metadata cannot be had.
    pub(super) away: bool,
}

/// The vendor.
pub(super) struct Vendor {
    server: MockServer,
    pub(super) memory: Arc<Mutex<Memory>>,
}

impl Vendor {
    pub(super) async fn start() -> Self {
        let server = MockServer::start().await;
        let memory = Arc::new(Mutex::new(Memory {
            next: Next::Tokens { expires_in: 3600 },
            requests: Vec::new(),
            codes: HashMap::new(),
            accounts: HashMap::new(),
            refresh_tokens: HashMap::new(),
            issued: 0,
            revoked: Vec::new(),
            refuses_revocations: 0,
            introspects: true,
            introspection: None,
            forgives: false,
            away: false,
        }));
        let uri = server.uri();
        let metadata = json!({
            "issuer": uri,
            "authorization_endpoint": format!("{uri}/authorize"),
            "token_endpoint": format!("{uri}/token"),
            "userinfo_endpoint": format!("{uri}/userinfo"),
            "revocation_endpoint": format!("{uri}/revoke"),
            "jwks_uri": format!("{uri}/jwks"),
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        });
        let at_metadata = Arc::clone(&memory);
        Mock::given(path("/.well-known/oauth-authorization-server"))
            .respond_with(move |_: &Request| {
                let mut metadata = metadata.clone();
                let memory = at_metadata.lock().expect("not poisoned");
                if memory.away {
                    return ResponseTemplate::new(503);
                }
                if memory.introspects {
                    metadata["introspection_endpoint"] = format!("{uri}/introspect").into();
                }
                ResponseTemplate::new(200).set_body_json(metadata)
            })
            .mount(&server)
            .await;
        let at_introspect = Arc::clone(&memory);
        Mock::given(method("POST"))
            .and(path("/introspect"))
            .respond_with(move |request: &Request| {
                let memory = at_introspect.lock().expect("not poisoned");
                if let Some((status, body)) = memory.introspection {
                    return ResponseTemplate::new(status).set_body_string(body);
                }
                let active = memory.refresh_tokens.contains_key(&form(request)["token"]);
                ResponseTemplate::new(200).set_body_json(json!({"active": active}))
            })
            .mount(&server)
            .await;
        let at_token = Arc::clone(&memory);
        Mock::given(method("POST"))
            .and(path("/token"))
            .respond_with(move |request: &Request| at_token.lock().expect("not poisoned").token(request))
            .mount(&server)
            .await;
        let at_userinfo = Arc::clone(&memory);
        Mock::given(path("/userinfo"))
            .respond_with(move |request: &Request| {
                at_userinfo.lock().expect("not poisoned").userinfo(request)
            })
            .mount(&server)
            .await;
        let at_revoke = Arc::clone(&memory);
        Mock::given(method("POST"))
            .and(path("/revoke"))
            .respond_with(move |request: &Request| {
                let mut memory = at_revoke.lock().expect("not poisoned");
                memory
                    .revoked
                    .push(form(request).remove("token").unwrap_or_default());
                let refused = memory.refuses_revocations > 0;
                memory.refuses_revocations = memory.refuses_revocations.saturating_sub(1);
                ResponseTemplate::new(if refused { 503 } else { 200 })
            })
            .mount(&server)
            .await;
        Self { server, memory }
    }

    pub(super) fn issuer(&self) -> String {
        self.server.uri()
    }

    pub(super) fn discovery_url(&self) -> Url {
        Url::parse(&format!(
            "{}/.well-known/oauth-authorization-server",
            self.issuer()
        ))
        .expect("a URL")
    }

    pub(super) fn token_requests(&self) -> usize {
        self.memory.lock().expect("not poisoned").requests.len()
    }

    /// The newest token request.
    pub(super) fn last_request(&self) -> HashMap<String, String> {
        let memory = self.memory.lock().expect("not poisoned");
        memory.requests.last().expect("a token request").clone()
    }

    pub(super) fn will(&self, next: Next) {
        self.memory.lock().expect("not poisoned").next = next;
    }

    /// The person `account` agrees to the authorization request at `url`; gives the callback URL with a fresh code.
    pub(super) fn agree(&self, url: &str, account: &str) -> String {
        let request = parameters(url);
        let mut memory = self.memory.lock().expect("not poisoned");
        memory.issued += 1;
        let code = format!("code-canary-{}", memory.issued);
        memory.codes.insert(
            code.clone(),
            (request["code_challenge"].clone(), account.to_owned()),
        );
        Self::callback(url, &[("code", &code), ("iss", &self.issuer())])
    }

    /// The callback URL of the authorization request at `url`, with these parameters and the request's `state`.
    pub(super) fn callback(url: &str, with: &[(&str, &str)]) -> String {
        let request = parameters(url);
        let mut callback = Url::parse(&request["redirect_uri"]).expect("a redirect URI");
        callback
            .query_pairs_mut()
            .extend_pairs(with)
            .append_pair("state", &request["state"]);
        callback.into()
    }
}

/// The query parameters of a URL.
pub(super) fn parameters(url: &str) -> HashMap<String, String> {
    Url::parse(url)
        .expect("a URL")
        .query_pairs()
        .into_owned()
        .collect()
}

fn form(request: &Request) -> HashMap<String, String> {
    url::form_urlencoded::parse(&request.body).into_owned().collect()
}

impl Memory {
    fn token(&mut self, request: &Request) -> ResponseTemplate {
        let mut form = form(request);
        if let Some(header) = request.headers.get("authorization") {
            let header = header.to_str().expect("ASCII").to_owned();
            form.insert(AUTHORIZATION.to_owned(), header);
        }
        self.requests.push(form.clone());
        let scope = match &self.next {
            Next::Error(error) => {
                return ResponseTemplate::new(400).set_body_json(json!({"error": error}));
            }
            Next::Redirect => return ResponseTemplate::new(307).insert_header("location", "/token"),
            Next::Huge => {
                let token = "x".repeat(2 << 20);
                return ResponseTemplate::new(200).set_body_json(json!({"access_token": token}));
            }
            Next::Broken => return ResponseTemplate::new(502),
            Next::Status(status) => return ResponseTemplate::new(*status),
            Next::Granted(scope) => Some(*scope),
            Next::Says(body) => return ResponseTemplate::new(200).set_body_string(*body),
            Next::Tokens { .. } | Next::Slow(_) | Next::Lost => None,
        };
        let refused = || ResponseTemplate::new(400).set_body_json(json!({"error": "invalid_grant"}));
        let account = if form["grant_type"] == "authorization_code" {
            let Some((challenge, account)) = self.codes.remove(&form["code"]) else {
                return refused();
            };
            let verifier = form.get("code_verifier").map_or("", String::as_str);
            if b64url(&sha256(verifier.as_bytes())) != challenge {
                return refused();
            }
            account
        } else if form["grant_type"] != "refresh_token" {
            // A token without a browser; nobody refreshes one.
            return self.issue_alone(scope);
        } else {
            // Rotating: each refresh token is good for one use.
            let presented = &form["refresh_token"];
            let known = if self.forgives {
                self.refresh_tokens.get(presented).cloned()
            } else {
                self.refresh_tokens.remove(presented)
            };
            let Some(account) = known else {
                return refused();
            };
            account
        };
        let issued = self.issue(&account, scope);
        if self.next == Next::Lost {
            return ResponseTemplate::new(502);
        }
        issued
    }

    fn issue_alone(&mut self, scope: Option<&str>) -> ResponseTemplate {
        self.issued += 1;
        let mut body = json!({"access_token": format!("alone-{}", self.issued), "token_type": "Bearer"});
        if let Next::Tokens { expires_in } = self.next {
            body["expires_in"] = expires_in.into();
        }
        if let Some(scope) = scope {
            body["scope"] = scope.into();
        }
        ResponseTemplate::new(200).set_body_json(body)
    }

    fn issue(&mut self, account: &str, scope: Option<&str>) -> ResponseTemplate {
        self.issued += 1;
        let (access, refresh) = (
            format!("access-{}", self.issued),
            format!("refresh-{}", self.issued),
        );
        self.accounts.insert(access.clone(), account.to_owned());
        self.refresh_tokens.insert(refresh.clone(), account.to_owned());
        let expires_in = if let Next::Tokens { expires_in } = self.next {
            expires_in
        } else {
            3600
        };
        let mut body = json!({
            "access_token": access, "refresh_token": refresh, "token_type": "Bearer", "expires_in": expires_in,
        });
        if let Some(scope) = scope {
            body["scope"] = scope.into();
        }
        let answer = ResponseTemplate::new(200).set_body_json(body);
        if let Next::Slow(pause) = self.next {
            answer.set_delay(pause)
        } else {
            answer
        }
    }

    fn userinfo(&self, request: &Request) -> ResponseTemplate {
        let bearer = request
            .headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let token = bearer.strip_prefix("Bearer ").unwrap_or_default();
        self.accounts
            .get(token)
            .map_or(ResponseTemplate::new(401), |account| {
                ResponseTemplate::new(200).set_body_json::<Value>(json!({"sub": account, "name": account}))
            })
    }
}
