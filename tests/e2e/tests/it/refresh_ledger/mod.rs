//! Three replicas on PostgreSQL refresh at npm `oidc-provider`, whose refresh tokens are single use and whose reuse
//! detection ends a grant, through a proxy that harms the requests. `./test refresh` runs these.

mod kills;
mod sessions;

use std::time::{Duration, Instant};

use e2e::{
    chaos::{Chaos, Fate},
    oidc_provider::{OidcProvider, free_port},
    replicas::{Caller, Options, Replicas},
};
use serde_json::Value;

/// How long an access token lives.
const LIFETIME: u32 = 2;

/// The replicas, and everything beside them.
struct Scene {
    replicas: Replicas,
    caller: Caller,
    chaos: Chaos,
    upstream: u16,
    _provider: OidcProvider,
}

impl Scene {
    async fn start(more: &str, access_token_seconds: u32) -> Self {
        let database = std::env::var("COUNTERSIGN_TEST_POSTGRES_URL")
            .expect("COUNTERSIGN_TEST_POSTGRES_URL: run `./test refresh`, which starts a PostgreSQL");
        let (port, upstream) = (free_port(), free_port());
        let issuer = format!("http://127.0.0.1:{port}");
        let provider = OidcProvider::start_rotating(upstream, &issuer, access_token_seconds);
        let chaos = Chaos::start(port, upstream, "/token");
        let replicas = Replicas::start(&Options {
            replicas: 3,
            database: &database,
            issuer: &issuer,
            more,
        });
        let caller = replicas.caller();
        caller.registers(&issuer).await;
        Self {
            replicas,
            caller,
            chaos,
            upstream,
            _provider: provider,
        }
    }

    /// What the provider knows of all accounts.
    async fn log(&self) -> Value {
        self.log_of("").await
    }

    /// What it knows of some: `names=…,…` or `access=TOKEN`.
    async fn log_of(&self, accounts: &str) -> Value {
        let url = format!("http://127.0.0.1:{}/log?{accounts}", self.upstream);
        let response = reqwest::get(url).await.expect("the provider answers");
        response.json().await.expect("JSON")
    }

    /// Every audit chain of every replica that ever ran.
    fn verify_audit(&self) {
        let config = self.replicas.config(0).to_str().expect("a text path");
        let ran = e2e::cli::countersign(&["audit", "verify", "--config", config], []);
        assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_callers_on_three_replicas_make_one_refresh_and_share_its_token() {
    const CALLERS: usize = 1000;
    // Longer than a busy machine needs for all of them, or the last would rightly refresh again.
    const LIFETIME: u32 = 20;
    let scene = Scene::start("", LIFETIME).await;
    let wat = scene.caller.wat("alice").await;
    let old = scene.caller.connects("alice", &wat).await;
    // An endpoint that takes its time, so that all of them are there before it answers.
    let patience = Duration::from_millis(150);
    scene.chaos.will(move |_| Fate::Arrives(patience, patience));
    tokio::time::sleep(Duration::from_secs(u64::from(LIFETIME))).await;
    let before = scene.chaos.requests();
    let calls: Vec<_> = (0..CALLERS)
        .map(|index| {
            let (caller, wat) = (scene.caller.clone(), wat.clone());
            tokio::spawn(async move {
                let began = Instant::now();
                let answer = caller.token(index, &wat).await.expect("an answer");
                (answer, began.elapsed())
            })
        })
        .collect();
    let mut tokens = std::collections::BTreeSet::new();
    let mut times = Vec::new();
    for call in calls {
        let (answer, time) = call.await.expect("no panic");
        let token = answer.body["accessToken"].as_str();
        tokens.insert(token.unwrap_or_else(|| panic!("{answer:?}")).to_owned());
        times.push(time);
    }
    let log = scene.log().await;
    assert_eq!(scene.chaos.requests() - before, 1, "exactly one refresh: {log}");
    assert_eq!(tokens.len(), 1, "all get the same token");
    let token = tokens.pop_first().expect("one");
    assert_ne!(Some(token.as_str()), old["accessToken"].as_str());
    assert_eq!(
        log["accounts"]["account-1"]["access"], token,
        "the provider's current one"
    );
    assert_eq!(log["twice"], 0);
    times.sort_unstable();
    report(&format!(
        "{CALLERS} callers, 3 replicas: one refresh; p50 {:?}, p99 {:?}, all within {:?}",
        times[CALLERS / 2],
        times[CALLERS * 99 / 100],
        times[CALLERS - 1]
    ));
    scene.verify_audit();
}

/// What was measured, for whoever runs it; nothing is asserted of it.
#[expect(clippy::print_stderr, reason = "a measurement is printed")]
fn report(line: &str) {
    eprintln!("refresh: {line}");
}
