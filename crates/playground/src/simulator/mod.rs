//! Simulators of the vendors whose services people connect: the engine, bent by what each vendor documents of
//! itself, so that an agent can be tried without a network, and the token vault against every oddity.
//!
//! Each has the endpoints under the hosts they are really at: `https://api.github.com/user` is
//! `http://127.0.0.1:PORT/api.github.com/user`. It refuses what the vendor refuses, and serves loopback only.

mod account;
mod shapes;
mod token;
mod vendor;
mod vendors;

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, delete, get, on, post};
use axum::{Json, Router};
use countersign_crypto::SecretString;
use http::StatusCode;
use serde_json::{Value, json};

use crate::authorization_server::{AuthorizationServer, IdTokenAlgorithm, Profile};
use crate::page::{Brand, MessagePage, render};
use crate::people::SIMULATED_USERS;
use crate::{Client, Parts, PlaygroundError};
use vendor::{AccountCall, RevocationRule, Vendor};

/// The tenant of the simulated Microsoft.
const TENANT: &str = "72f988bf-86f1-41af-91ab-2d7cd011db47";

/// What a simulator needs to know.
#[derive(Debug, Clone)]
pub struct SimulatorConfig {
    /// A name of [`SimulatedVendor`], short or as the wire has it.
    pub vendor: String,
    /// `http://LOOPBACK:PORT`, where browsers and the identity service reach it.
    pub origin: String,
    /// The one client there is.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretString,
    /// Redirect URIs besides those on this machine, which all are taken.
    pub redirect_uris: Vec<String>,
    /// How long access tokens live, instead of as long as the vendor's. A vendor whose tokens do not expire is
    /// simulated with those of its clients that have expiring ones.
    pub token_lifetime: Option<Duration>,
}

/// What a simulator shows of its vendor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimulatedVendor {
    /// Short, as on the command line.
    pub name: &'static str,
    /// As `credentialProviderVendor` names it.
    pub wire_name: &'static str,
    /// As people name it.
    pub label: &'static str,
    /// The issuer that a registration names, without `https://`; `None` where every customer has the same.
    pub issuer: Option<&'static str>,
    /// The endpoints, host and path, with what they are.
    pub endpoints: [(&'static str, Option<&'static str>); 5],
}

impl SimulatedVendor {
    /// All vendors, in the order of the wire's enumeration.
    pub fn all() -> impl Iterator<Item = Self> {
        vendors::VENDORS.iter().map(Self::of)
    }

    /// The vendor of this name, short or as the wire has it.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        vendors::find(name).map(Self::of)
    }

    fn of(vendor: &Vendor) -> Self {
        let endpoints = &vendor.endpoints;
        Self {
            name: vendor.name,
            wire_name: vendor.wire_name,
            label: vendor.label,
            issuer: endpoints.customers.then_some(endpoints.issuer),
            endpoints: [
                ("authorize", Some(endpoints.authorize)),
                ("token", Some(endpoints.token)),
                ("account", endpoints.account),
                ("revoke", endpoints.revoke),
                ("keys", endpoints.keys),
            ],
        }
    }
}

/// A simulator with the users alice and bob.
pub struct Simulator(Arc<Shared>);

pub(crate) struct Shared {
    server: Arc<AuthorizationServer>,
    vendor: &'static Vendor,
    client_id: String,
    client: Client,
    lifetime: Option<Duration>,
}

impl Simulator {
    /// Everything is kept in memory.
    pub fn new(config: SimulatorConfig, parts: Parts) -> Result<Self, PlaygroundError> {
        let vendor = vendors::find(&config.vendor).ok_or(PlaygroundError::Vendor(config.vendor))?;
        let lifetime = config.token_lifetime.or(vendor.lifetime);
        let profile = Profile {
            name: "simulator",
            brand: Brand {
                name: vendor.label,
                tagline: "simulated",
                mark: "S",
                class: "simulator",
            },
            accounts: &SIMULATED_USERS,
            scopes: &[],
            openid: false,
            asks_consent: true,
            access_token_lifetime: lifetime.unwrap_or_default(),
            rules: vendor.rules,
        };
        let client = Client {
            client_id: config.client_id.clone(),
            client_secret: config.client_secret,
            name: "The application under test".to_owned(),
            redirect_uris: config.redirect_uris,
            post_logout_redirect_uris: Vec::new(),
        };
        let algorithm = vendor.endpoints.keys.map(|_| IdTokenAlgorithm::Rs256);
        let server = AuthorizationServer::new(
            profile,
            &config.origin,
            vec![client.clone()],
            algorithm,
            None,
            parts,
        )?;
        Ok(Self(Arc::new(Shared {
            server: Arc::new(server),
            vendor,
            client_id: config.client_id,
            client,
            lifetime,
        })))
    }

    /// Takes another redirect URI, while running: an identity service knows its own only when it has the client.
    pub fn register_redirect_uri(&self, uri: &str) -> Result<(), PlaygroundError> {
        let mut client = self.0.client.clone();
        client.redirect_uris.push(uri.to_owned());
        self.0.server.register_client(client)
    }

    /// How many grants applications hold for a person: what the vendor's settings page would list.
    #[must_use]
    pub fn connections(&self, username: &str) -> usize {
        self.0.server.grants_of(username).len()
    }

    /// All its endpoints and pages.
    pub fn router(&self) -> Router {
        let shared = &self.0;
        let vendor = shared.vendor;
        let endpoints = &vendor.endpoints;
        let at =
            |router: Router, path: &str, handler: MethodRouter| router.route(&format!("/{path}"), handler);
        let own = |handler: MethodRouter<Arc<Shared>>| handler.with_state(Arc::clone(shared));
        let mut router = Router::new().route("/", own(get(home)));
        router = at(
            router,
            endpoints.authorize,
            shared.server.authorization_endpoint(),
        );
        router = at(router, endpoints.token, own(post(token::post)));
        if let Some(path) = endpoints.account {
            let handler = match vendor.account.call {
                AccountCall::Get => get(account::get),
                AccountCall::Post | AccountCall::Introspection => post(account::get),
            };
            router = at(router, path, own(handler));
        }
        if let Some(path) = endpoints.keys {
            router = at(router, path, shared.server.key_endpoint());
        }
        if endpoints.customers {
            let path = format!(
                "{}/.well-known/openid-configuration",
                endpoints.issuer.trim_end_matches('/')
            );
            router = at(router, &path, own(get(discovery)));
        }
        if let Some(path) = endpoints.revoke {
            router = match vendor.revocation {
                RevocationRule::None => router,
                RevocationRule::ClientGrant => {
                    let path = format!("{path}/{{client_id}}/grant");
                    at(router, &path, own(delete(account::delete_grant)))
                }
                RevocationRule::BearerDelete => {
                    at(router, path, own(on(MethodFilter::DELETE, account::revoke)))
                }
                _ => at(router, path, own(post(account::revoke))),
            };
        }
        shared.server.pages(router)
    }
}

impl Shared {
    /// A URL of the vendor's, here.
    fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.server.issuer)
    }

    /// `iss` of its ID tokens.
    fn issuer(&self) -> String {
        self.url(self.vendor.endpoints.issuer)
    }

    /// `tid` of its ID tokens.
    fn tenant(&self) -> Option<&'static str> {
        self.vendor.endpoints.issuer.contains(TENANT).then_some(TENANT)
    }
}

async fn home(axum::extract::State(shared): axum::extract::State<Arc<Shared>>) -> Response {
    let text = "This simulator signs in alice and bob, with the password countersign, for the application under \
                test. Begin in the application.";
    let page = MessagePage::new(&shared.server.profile.brand, "Simulated", text);
    render(StatusCode::OK, &page).into_response()
}

/// OpenID Connect Discovery, of a customer's server.
async fn discovery(axum::extract::State(shared): axum::extract::State<Arc<Shared>>) -> Json<Value> {
    let endpoints = &shared.vendor.endpoints;
    let url = |path: Option<&str>| path.map(|path| shared.url(path));
    Json(json!({
        "issuer": shared.issuer(),
        "authorization_endpoint": shared.url(endpoints.authorize),
        "token_endpoint": shared.url(endpoints.token),
        "userinfo_endpoint": url(endpoints.account),
        "revocation_endpoint": url(endpoints.revoke),
        "jwks_uri": url(endpoints.keys),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
    }))
}
