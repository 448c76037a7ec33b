//! The OpenID provider that people log in with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;

use crate::authorization_server::{AuthorizationServer, IdTokenAlgorithm, Profile, Rules};
use crate::page::{Brand, MessagePage, Scope, render};
use crate::people::EMPLOYEES;
use crate::{Client, Parts, PlaygroundError};

const BRAND: Brand = Brand {
    name: "Playground ID",
    tagline: "OpenID provider",
    mark: "P",
    class: "openid-provider",
};

const SCOPES: [Scope<'static>; 4] = [
    Scope {
        name: "openid",
        words: "know that it is you",
    },
    Scope {
        name: "profile",
        words: "see your name",
    },
    Scope {
        name: "email",
        words: "see your e-mail address",
    },
    Scope {
        name: "offline_access",
        words: "stay signed in for you",
    },
];

/// What the OpenID provider needs to know.
#[derive(Debug, Clone, Default)]
pub struct OpenIdProviderConfig {
    /// `http://LOOPBACK:PORT`, where browsers and the gateway reach it.
    pub issuer: String,
    /// Who may send people here.
    pub clients: Vec<Client>,
    /// How ID tokens are signed.
    pub id_token_algorithm: IdTokenAlgorithm,
    /// Directory for its files; `None` keeps everything in memory.
    pub data: Option<PathBuf>,
}

/// An OpenID provider with the users alice and bob.
pub struct OpenIdProvider(Arc<AuthorizationServer>);

impl OpenIdProvider {
    /// Reads its files, or makes them.
    pub fn new(config: OpenIdProviderConfig, parts: Parts) -> Result<Self, PlaygroundError> {
        let profile = Profile {
            name: "openid-provider",
            brand: BRAND,
            accounts: &EMPLOYEES,
            scopes: &SCOPES,
            openid: true,
            asks_consent: false,
            access_token_lifetime: Duration::from_mins(10),
            rules: Rules::OWN,
        };
        let algorithm = Some(config.id_token_algorithm);
        let data = config.data.as_deref();
        AuthorizationServer::new(profile, &config.issuer, config.clients, algorithm, data, parts)
            .map(|server| Self(Arc::new(server)))
    }

    /// Adds a client, or replaces the one with the same id, while running.
    pub fn register_client(&self, client: Client) -> Result<(), PlaygroundError> {
        self.0.register_client(client)
    }

    /// All its endpoints and pages.
    pub fn router(&self) -> Router {
        self.0.router(Router::new().route("/", get(home)))
    }
}

async fn home() -> Response {
    let text = "This provider signs in alice and bob, with the password countersign, for the applications of \
                this playground. Go to the application to begin.";
    render(StatusCode::OK, &MessagePage::new(&BRAND, "Playground ID", text))
}
