//! A vault moves from SQLite under a key file to PostgreSQL under a KMS key while agents keep asking for tokens, by the
//! steps of docs/operations.md.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use e2e::{
    oidc_provider::{OidcProvider, free_port},
    postgres::Postgres,
    replicas::Caller,
    served::Served,
};
use serde_json::Value;
use tokio::task::JoinHandle;

use super::{KEY_ID, Kms, Role, SECRET, end};

const PEOPLE: usize = 12;
/// Seconds that an access token lives: it is refreshed many times before, between and after.
const LIFETIME: u32 = 2;
/// Tokens that each agent gets before the move, and after it.
const ENOUGH: usize = 15;

/// An agent that asks for one person's token, again and again.
struct Agent {
    person: String,
    account: String,
    wat: Value,
    got: Arc<AtomicUsize>,
    asking: JoinHandle<Asked>,
}

/// What it was answered.
#[derive(Default)]
struct Asked {
    tokens: BTreeSet<String>,
    retried: usize,
}

async fn ask(caller: Caller, wat: Value, got: Arc<AtomicUsize>, stop: Arc<AtomicBool>) -> Asked {
    let mut asked = Asked::default();
    while !stop.load(Ordering::Relaxed) {
        match caller.token(0, &wat).await {
            Ok(answer) if answer.status.is_success() => {
                let token = answer.body["accessToken"].as_str();
                let token = token.unwrap_or_else(|| panic!("no token: {answer:?}"));
                asked.tokens.insert(token.to_owned());
                got.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => {
                let retryable = answer.status.is_server_error() || answer.status.as_u16() == 429;
                assert!(retryable, "{answer:?}");
                asked.retried += 1;
            }
            // Nobody listens.
            Err(_) => asked.retried += 1,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    asked
}

async fn all_have(agents: &[Agent], more: usize) {
    let before: Vec<usize> = agents
        .iter()
        .map(|agent| agent.got.load(Ordering::Relaxed))
        .collect();
    let began = Instant::now();
    let lacking = || {
        let pairs = agents.iter().zip(&before);
        pairs
            .filter(|(agent, before)| agent.got.load(Ordering::Relaxed) < *before + more)
            .count()
    };
    while lacking() > 0 {
        assert!(
            agents.iter().all(|agent| !agent.asking.is_finished()),
            "an agent gave up"
        );
        assert!(
            began.elapsed() < Duration::from_mins(2),
            "{} agents wait",
            lacking()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn log(provider: u16) -> Value {
    let answer = reqwest::get(format!("http://127.0.0.1:{provider}/log")).await;
    answer.expect("the provider answers").json().await.expect("JSON")
}

async fn connect(caller: &Caller, provider: u16, stop: &Arc<AtomicBool>) -> Vec<Agent> {
    let mut agents = Vec::new();
    for index in 0..PEOPLE {
        let person = format!("person-{index}");
        let wat = caller.wat(&person).await;
        let first = caller.connects(&person, &wat).await;
        let log = log(provider).await;
        let accounts = log["accounts"].as_object().expect("accounts");
        let account = accounts
            .iter()
            .find(|(_, known)| known["access"] == first["accessToken"])
            .expect("the provider knows it");
        let got = Arc::new(AtomicUsize::new(0));
        agents.push(Agent {
            person,
            account: account.0.clone(),
            asking: tokio::spawn(ask(
                caller.clone(),
                wat.clone(),
                Arc::clone(&got),
                Arc::clone(stop),
            )),
            wat,
            got,
        });
    }
    agents
}

/// The configurations of before, of the restore and of after; they differ in database and root key alone.
struct Configs {
    old: String,
    moving: String,
    new: String,
}

fn configs(role: &Role, provider: u16, postgres: &str, key: &str) -> Configs {
    let file = role.directory.join("identity.key").display().to_string();
    let in_file = format!("identity = \"{file}\"");
    let in_kms = format!("identity = {{ kms = {{ key_arn = \"{key}\" }} }}");
    let sqlite = format!("sqlite:{}", role.directory.join("identity.sqlite").display());
    let allow = format!("outbound_allow = [\"127.0.0.1:{provider}\"]\n[identity.database]");
    let with = |keys: &str| role.config(keys).replace("[identity.database]", &allow);
    Configs {
        old: with(&in_file),
        moving: with(&format!("{in_kms}\n[keys.previous]\n{in_file}")).replace(&sqlite, postgres),
        new: with(&in_kms).replace(&sqlite, postgres),
    }
}

/// Nothing is lost, nobody is asked again, and what was handed out stays good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_is_handed_over_while_agents_keep_asking_for_tokens() {
    let kms = Kms::start();
    let key = kms.create_key().await;
    let directory = tempfile::tempdir().expect("a directory");
    let role = Role {
        kms: &kms,
        directory: directory.path(),
        api: free_port(),
        front: free_port(),
        operations: free_port(),
    };
    let provider = free_port();
    let issuer = format!("http://127.0.0.1:{provider}");
    let _provider = OidcProvider::start_rotating(provider, &issuer, LIFETIME);
    let postgres = Postgres::start("");
    let url = format!("postgres://countersign@127.0.0.1:{}/postgres", postgres.port);
    let configs = configs(&role, provider, &url, &key);
    let through = kms.through();
    let through: Vec<&str> = through.iter().map(String::as_str).collect();
    let serve = |config: &str| {
        Served::start_in(
            tempfile::tempdir().expect("a directory"),
            "identity",
            config,
            &through,
        )
    };
    let written = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let (old, moving) = (
        written("old.toml", &configs.old),
        written("moving.toml", &configs.moving),
    );
    let new = written("new.toml", &configs.new);
    let passphrase = written("passphrase", "correct horse battery staple");
    let file = directory.path().join("move.csb").display().to_string();

    let served = serve(&configs.old);
    let caller = Caller::of(vec![role.api], KEY_ID, SECRET);
    caller.registers(&issuer).await;
    let stop = Arc::new(AtomicBool::new(false));
    let agents = connect(&caller, provider, &stop).await;
    all_have(&agents, ENOUGH).await;

    // 1. Not while a server runs; then it ends, and from here on agents have to come again.
    let backup = [
        "backup",
        &file,
        "--hand-over",
        "--include-keys",
        "--config",
        &old,
        "--passphrase-file",
        &passphrase,
    ];
    let refused = role.command(&backup);
    assert!(
        refused.code == 1 && refused.stderr.contains("in use"),
        "{}",
        refused.stderr
    );
    let began = Instant::now();
    end(served);
    // 2.
    role.works(&backup);
    let refused = role.command(&["serve", "identity", "--config", &old]);
    assert!(
        refused.code == 1 && refused.stderr.contains("handed over"),
        "{}",
        refused.stderr
    );
    // 3.
    role.works(&[
        "restore",
        &file,
        "--config",
        &moving,
        "--passphrase-file",
        &passphrase,
    ]);
    std::fs::remove_file(directory.path().join("identity.key")).expect("nothing needs it any more");
    // 4.
    let served = serve(&configs.new);
    let away = began.elapsed();
    all_have(&agents, ENOUGH).await;
    stop.store(true, Ordering::Relaxed);
    let told = hold_against_the_provider(&caller, agents, provider).await;
    // It waits for the refreshes that it has sent, so that from here on nothing moves.
    end(served);
    assert_eq!(
        log(provider).await["twice"],
        0,
        "a refresh token was presented twice"
    );
    let rows = postgres.sql("SELECT state || ' ' || restored.epoch || ' ' || count(*) FROM identity.oauth2_grant, \
        (SELECT restore_epoch AS epoch FROM identity.database_identity) restored GROUP BY state, restored.epoch");
    assert_eq!(
        rows.trim(),
        format!("active 1 {PEOPLE}"),
        "each grant once, active"
    );
    role.works(&["audit", "verify", "--config", &new]);
    super::report(&format!("{told}; away for {away:?}"));
}

/// No token went to somebody else, and each agent gets the token that the provider holds for current.
async fn hold_against_the_provider(caller: &Caller, agents: Vec<Agent>, provider: u16) -> String {
    let (mut all, mut retried, mut tokens, mut people) = (BTreeSet::new(), 0, 0, Vec::new());
    for agent in agents {
        let asked = agent.asking.await.expect("no panic");
        tokens += asked.tokens.len();
        retried += asked.retried;
        all.extend(asked.tokens);
        people.push((agent.person, agent.account, agent.wat));
    }
    assert_eq!(all.len(), tokens, "a token went to two people");
    assert!(retried > 0, "the move was noticed");
    for (person, account, wat) in &people {
        goes_on_with_the_current_token(caller, provider, person, account, wat).await;
    }
    format!("{PEOPLE} agents, {tokens} tokens, {retried} questions asked again")
}

/// A token is renewed ahead of its end, behind the answer that still carries it, so that an answer may be one rotation
/// older than the provider's log. A grant whose pair is not the provider's current one never catches up with it.
async fn goes_on_with_the_current_token(
    caller: &Caller,
    provider: u16,
    person: &str,
    account: &str,
    wat: &Value,
) {
    let began = Instant::now();
    loop {
        let answer = caller.token(0, wat).await.expect("an answer");
        let log = log(provider).await;
        let current = &log["accounts"][account]["access"];
        if answer.status.is_success() && *current == answer.body["accessToken"] {
            return;
        }
        let behind = format!("{person}: {answer:?}, but the provider's current token is {current}");
        let retryable = answer.status.is_server_error() || answer.status.as_u16() == 429;
        assert!(
            retryable || answer.body["accessToken"].is_string(),
            "no token: {behind}"
        );
        assert!(began.elapsed() < Duration::from_mins(2), "{behind}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
