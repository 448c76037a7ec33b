//! The client against servers that misbehave as real ones rarely do. Real servers are met in the
//! end-to-end suites.

mod discovery;
mod id_token;
mod jwks;
mod token;
mod vendor;

use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::testing::ManualClock;
use countersign_crypto::{JwkSet, SigningKey, Timestamp};
use countersign_outbound::{Client, HostPort, Policy};
use url::Url;
use wiremock::MockServer;

/// A server and what is needed to talk to it.
struct World {
    server: MockServer,
    client: Client,
    clock: Arc<ManualClock>,
}

impl World {
    async fn new() -> Self {
        let server = MockServer::start().await;
        let allow = HostPort::of(&Url::parse(&server.uri()).expect("a URL")).expect("a host");
        let policy = Policy {
            allow: vec![allow],
            timeout: Duration::from_millis(500),
            ..Policy::default()
        };
        let client = Client::new(policy).expect("TLS");
        Self {
            server,
            client,
            clock: Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000))),
        }
    }

    fn url(&self, path: &str) -> Url {
        Url::parse(&format!("{}{path}", self.server.uri())).expect("a URL")
    }
}

fn signing_key(kid: &str) -> SigningKey {
    SigningKey::from_pkcs8(
        kid,
        countersign_crypto::ExposeSecret::expose_secret(&SigningKey::generate_pkcs8()),
    )
    .expect("a fresh key")
}

fn key_set(keys: &[&SigningKey]) -> JwkSet {
    JwkSet {
        keys: keys.iter().map(|key| key.public_jwk()).collect(),
    }
}
