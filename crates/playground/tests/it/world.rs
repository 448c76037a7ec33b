//! Both services with one registered client, a clock to turn, and the client's side of the protocol.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use countersign_crypto::testing::{ManualClock, SeededRandom};
use countersign_crypto::{Timestamp, b64url, sha256};
use countersign_playground::{
    Client, IdTokenAlgorithm, Ledgerline, LedgerlineConfig, OpenIdProvider, OpenIdProviderConfig, Parts,
};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Request, StatusCode};

use crate::browser::{Answer, Browser, encode, send};

pub(crate) const PROVIDER: &str = "http://127.0.0.1:8403";
pub(crate) const LEDGERLINE: &str = "http://127.0.0.1:8404";
pub(crate) const REDIRECT_URI: &str = "http://localhost:8407/callback?tenant=1";
pub(crate) const LOGGED_OUT: &str = "http://localhost:8407/logged-out";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

pub(crate) fn client() -> Client {
    Client {
        client_id: "client".into(),
        client_secret: "client secret".into(),
        name: "Test Agent".into(),
        redirect_uris: vec![REDIRECT_URI.into()],
        post_logout_redirect_uris: vec![LOGGED_OUT.into()],
    }
}

/// One service and its surroundings.
pub(crate) struct World {
    pub(crate) router: Router,
    pub(crate) origin: &'static str,
    pub(crate) clock: Arc<ManualClock>,
}

fn parts(seed: u64) -> (Arc<ManualClock>, Parts) {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_700_000_000)));
    let parts = Parts {
        clock: clock.clone(),
        random: Arc::new(SeededRandom::new(seed)),
    };
    (clock, parts)
}

impl World {
    pub(crate) fn provider(id_token_algorithm: IdTokenAlgorithm) -> Self {
        let (clock, parts) = parts(1);
        let config = OpenIdProviderConfig {
            issuer: PROVIDER.into(),
            clients: vec![client()],
            id_token_algorithm,
            data: None,
        };
        let router = OpenIdProvider::new(config, parts).expect("starts").router();
        Self {
            router,
            origin: PROVIDER,
            clock,
        }
    }

    pub(crate) fn ledgerline() -> Self {
        Self::ledgerline_in(None, 1)
    }

    pub(crate) fn ledgerline_in(data: Option<&std::path::Path>, seed: u64) -> Self {
        let (clock, parts) = parts(seed);
        let config = LedgerlineConfig {
            clients: vec![client()],
            data: data.map(std::path::Path::to_path_buf),
            issuer: LEDGERLINE.into(),
            ..LedgerlineConfig::default()
        };
        let router = Ledgerline::new(config, parts).expect("starts").router();
        Self {
            router,
            origin: LEDGERLINE,
            clock,
        }
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(self.router.clone(), self.origin)
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Logs in, and gives the answer after it.
    pub(crate) async fn logs_in(&self, browser: &mut Browser, authorize: &str, username: &str) -> Answer {
        let answer = browser.get(authorize).await;
        assert!(answer.location().starts_with("/login?interaction="), "{answer:?}");
        let page = browser.get(answer.location()).await;
        assert_eq!(page.status, StatusCode::OK);
        let interaction = page.hidden("interaction");
        let fields = [
            ("interaction", interaction.as_str()),
            ("username", username),
            ("password", "countersign"),
        ];
        browser.post("/login", &fields).await
    }

    /// The whole way to a code, through the consent page where there is one.
    pub(crate) async fn code(&self, authorize: &str, username: &str) -> String {
        let mut browser = self.browser();
        let mut answer = self.logs_in(&mut browser, authorize, username).await;
        if answer.location().starts_with("/consent") {
            let page = browser.get(answer.location()).await;
            let interaction = page.hidden("interaction");
            answer = browser
                .post(
                    "/consent",
                    &[("interaction", &interaction), ("decision", "allow")],
                )
                .await;
        }
        answer.parameters()["code"].clone()
    }

    /// A form post by the client, authenticated by `client_secret_post`.
    pub(crate) async fn post(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        let credentials = [("client_id", "client"), ("client_secret", "client secret")];
        self.post_plain(path, &[pairs, &credentials].concat()).await
    }

    pub(crate) async fn post_plain(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        let request = Request::post(path)
            .header(HOST, self.origin.trim_start_matches("http://"))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(encode(pairs)))
            .expect("a request");
        send(&self.router, request).await
    }

    pub(crate) async fn redeem(&self, code: &str) -> Answer {
        self.redeem_with(code, VERIFIER).await
    }

    pub(crate) async fn redeem_with(&self, code: &str, verifier: &str) -> Answer {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", verifier),
        ];
        self.post("/token", &pairs).await
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Answer {
        self.post(
            "/token",
            &[("grant_type", "refresh_token"), ("refresh_token", refresh_token)],
        )
        .await
    }

    /// A GET with a bearer token.
    pub(crate) async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.call(Request::get(path), token, String::new()).await
    }

    pub(crate) async fn call(
        &self,
        request: http::request::Builder,
        token: Option<&str>,
        body: String,
    ) -> Answer {
        let mut request = request.header(HOST, self.origin.trim_start_matches("http://"));
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        send(&self.router, request.body(Body::from(body)).expect("a request")).await
    }
}

/// The address of an authorization request with some parameters changed; an empty value takes one out.
pub(crate) fn authorize(scope: &str, changes: &[(&str, &str)]) -> String {
    let challenge = b64url(&sha256(VERIFIER.as_bytes()));
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", "client"),
        ("redirect_uri", REDIRECT_URI),
        ("scope", scope),
        ("state", "some state"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        parameters.retain(|(known, _)| known != name);
        if !value.is_empty() {
            parameters.push((name, value));
        }
    }
    format!("/authorize?{}", encode(&parameters))
}

/// A member of a JSON answer, as text.
pub(crate) fn text(answer: &Answer, name: &str) -> String {
    answer.json()[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} in {}", answer.body))
        .to_owned()
}
