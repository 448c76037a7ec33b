//! PostgreSQL as it is run in production: a streaming pair that fails over under load, TLS, roles that see only their
//! own schema. `./test failover` runs these.

mod isolation;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use e2e::{
    chaos::Chaos,
    oidc_provider::{OidcProvider, free_port},
    postgres::Postgres,
    replicas::{Caller, Options, Replicas, WORKLOAD},
    switch::Switch,
};
use serde_json::{Value, json};

/// Writers, and people whose tokens are asked for all the time.
const WRITERS: usize = 9;
const PEOPLE: usize = 6;

/// What a writer or reader has seen.
#[derive(Debug, Default)]
struct Seen {
    /// Request ids of answers that were a success.
    acknowledged: Vec<String>,
    /// Names that were acknowledged as made.
    made: Vec<String>,
    errors: usize,
    last_success: Option<Instant>,
    /// The longest time without a success.
    gap: Duration,
}

impl Seen {
    fn succeeded(&mut self, request_id: String) {
        let now = Instant::now();
        if let Some(last) = self.last_success.replace(now) {
            self.gap = self.gap.max(now - last);
        }
        self.acknowledged.push(request_id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_dies_under_load_costs_time_and_nothing_else() {
    let primary = Postgres::start("");
    let standby = primary.standby();
    let _ = primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    let _ = primary.sql("SELECT pg_reload_conf()");
    let switch = Switch::start(primary.port);
    let database = format!("postgres://countersign@127.0.0.1:{}/postgres", switch.port);

    let (port, upstream) = (free_port(), free_port());
    let issuer = format!("http://127.0.0.1:{port}");
    let _provider = OidcProvider::start_rotating(upstream, &issuer, 2);
    let chaos = Chaos::start(port, upstream, "/token");
    let replicas = Replicas::start(&Options {
        replicas: 3,
        database: &database,
        issuer: &issuer,
        more: "",
    });
    let caller = replicas.caller();
    caller.registers(&issuer).await;
    let mut people = Vec::new();
    for index in 0..PEOPLE {
        let name = format!("person-{index}");
        let wat = caller.wat(&name).await;
        caller.connects(&name, &wat).await;
        people.push(wat);
    }
    assert_eq!(
        primary.sql("SELECT sync_state FROM pg_stat_replication"),
        "sync",
        "a commit is acknowledged when both have it"
    );

    let over = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|index| tokio::spawn(write(caller.clone(), index, Arc::clone(&over))))
        .collect();
    let readers: Vec<_> = people
        .iter()
        .enumerate()
        .map(|(index, wat)| tokio::spawn(read(caller.clone(), index, wat.clone(), Arc::clone(&over))))
        .collect();
    tokio::time::sleep(Duration::from_secs(4)).await;
    primary.kill();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // First the address, as many a set-up does it: for a moment it leads to a server that only reads.
    switch.to(standby.port);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(standby.sql("SELECT pg_promote()"), "t");
    tokio::time::sleep(Duration::from_secs(15)).await;
    over.store(true, Ordering::SeqCst);
    let ended = Instant::now();

    // All are done before the tables are read: what is still under way may be acknowledged after that.
    let mut all_seen = Vec::new();
    for task in writers.into_iter().chain(readers) {
        all_seen.push(task.await.expect("no wrong answer"));
    }
    let audited: BTreeSet<String> = lines(
        &standby,
        &replicas,
        "SELECT request_id FROM audit_record WHERE request_id IS NOT NULL",
    );
    let stored = lines(&standby, &replicas, "SELECT name FROM workload_identity");
    let (mut acknowledged, mut errors, mut gap) = (0, 0, Duration::ZERO);
    for seen in all_seen {
        let last = seen.last_success.expect("some succeeded");
        assert!(ended - last < Duration::from_secs(5), "it recovered by itself");
        for id in &seen.acknowledged {
            assert!(audited.contains(id), "acknowledged and not on record: {id}");
        }
        for name in &seen.made {
            assert!(stored.contains(name), "acknowledged and lost: {name}");
        }
        acknowledged += seen.acknowledged.len();
        errors += seen.errors;
        gap = gap.max(seen.gap);
    }
    // What was got at the provider while the store was away is in it now.
    let log: Value = reqwest::get(format!("http://127.0.0.1:{upstream}/log"))
        .await
        .expect("the provider answers")
        .json()
        .await
        .expect("JSON");
    assert_eq!(log["twice"], 0, "no refresh token was sent twice: {log}");
    assert!(chaos.requests() > PEOPLE as u64, "tokens were refreshed");
    for wat in &people {
        let answer = caller.token(0, wat).await.expect("an answer");
        assert!(
            answer.body["accessToken"].is_string(),
            "a grant was lost: {answer:?}"
        );
    }
    let config = replicas.config(0).to_str().expect("a text path");
    let ran = e2e::cli::countersign(&["audit", "verify", "--config", config], []);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    report(&format!(
        "fail-over: {acknowledged} acknowledged, none lost; {errors} retryable errors; longest time without a success {gap:?}"
    ));
}

fn lines(server: &Postgres, replicas: &Replicas, query: &str) -> BTreeSet<String> {
    let text = server.sql(&format!("SET search_path = {}; {query}", replicas.schema));
    text.lines().map(str::to_owned).collect()
}

/// Makes one workload identity after the other.
async fn write(caller: Caller, index: usize, over: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    for number in 0.. {
        if over.load(Ordering::SeqCst) {
            break;
        }
        // Never the same name twice: what became of a try without an answer is not known.
        let name = format!("agent-{index}-{number}");
        let answer = caller
            .call(
                index,
                "/identities/CreateWorkloadIdentity",
                &json!({"name": name}),
            )
            .await;
        match answer {
            Ok(answer) if answer.status.is_success() => {
                assert_eq!(answer.body["name"], name, "the right answer");
                seen.made.push(name);
                seen.succeeded(answer.request_id);
            }
            Ok(answer) => {
                assert!(answer.status.is_server_error(), "{answer:?}");
                seen.errors += 1;
            }
            Err(_) => seen.errors += 1,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    seen
}

/// Asks for a token that lives two seconds, and so for refresh after refresh.
async fn read(caller: Caller, index: usize, wat: Value, over: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    while !over.load(Ordering::SeqCst) {
        match caller.token(index, &wat).await {
            Ok(answer) if answer.status.is_success() => {
                assert!(
                    answer.body["accessToken"].is_string(),
                    "a grant was lost: {answer:?}"
                );
                seen.succeeded(answer.request_id);
            }
            Ok(answer) => {
                let retryable = answer.status.is_server_error() || answer.status.as_u16() == 429;
                assert!(retryable, "{WORKLOAD}: {answer:?}");
                seen.errors += 1;
            }
            Err(_) => seen.errors += 1,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    seen
}

/// What was measured, for whoever runs it; nothing is asserted of it.
#[expect(clippy::print_stderr, reason = "a measurement is printed")]
fn report(line: &str) {
    eprintln!("{line}");
}
