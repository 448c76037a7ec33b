//! Replicas die of `kill -9` while they refresh. What becomes of each grant is held against the provider's own log.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use e2e::{
    chaos::{CALM, Fate, dice},
    replicas::Caller,
};
use futures_util::StreamExt as _;
use serde_json::Value;

use super::{LIFETIME, Scene, report};

/// Grants that are refreshed together; twice as many for a thousand rounds and more.
const GRANTS: usize = 128;
/// A kill counts when so many of them are in refresh.
const LEAST: u64 = 32;
/// However many rounds one kill makes.
const LEAST_KILLS: u64 = 3;
/// Short, so that many rounds fit into little time.
const PATIENCE: &str = "refresh = { timeout_ms = 1000, lease_ms = 500 }";
/// For how long after a kill requests are harmed. Without an end to it, a grant may meet one failure after the other,
/// and nothing could be said about how long its caller has to wait.
const HARM: Duration = Duration::from_secs(20);
/// How long a caller goes on asking: the longest pause of a grant is 75 s, and then that of the provider's circuit 60 s.
const LIMIT: Duration = Duration::from_mins(4);

/// A person with a grant.
struct Connected {
    name: String,
    wat: Value,
    grant: String,
    account: String,
}

/// What a caller got in the end.
#[derive(Debug)]
enum Outcome {
    Token(String),
    Consent,
}

/// What became of the grants that were in refresh at a kill.
#[derive(Debug, Default)]
struct Tally {
    kills: u64,
    /// Grants in refresh at a kill.
    rounds: u64,
    /// Grants that needed consent again, each with a rotation whose answer had not been stored.
    lost: u64,
    presented: u64,
    /// The longest that anybody waited.
    longest: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_dies_in_a_refresh_loses_only_what_the_provider_had_answered_to_it_alone() {
    let wanted = rounds();
    let mut scene = Scene::start(PATIENCE, LIFETIME).await;
    let together = if wanted < 1000 { GRANTS } else { 2 * GRANTS };
    let names = (0..together).map(|index| format!("person-{index}")).collect();
    let mut grants = connect_all(&scene, names).await;
    let mut tally = Tally::default();
    let mut minted = Instant::now();
    let mut reported = 0;
    while tally.rounds < wanted || tally.kills < LEAST_KILLS {
        if tally.rounds >= reported + 1000 {
            reported = tally.rounds;
            report(&format!("so far {tally:?}"));
        }
        if minted.elapsed() > Duration::from_mins(4) {
            for grant in &mut grants {
                grant.wat = scene.caller.wat(&grant.name).await;
            }
            minted = Instant::now();
        }
        kill(&mut scene, &mut grants, &mut tally).await;
    }
    scene.verify_audit();
    report(&format!("{tally:?}"));
}

/// 40, 200 with `--full`, or as many as `--rounds` says.
fn rounds() -> u64 {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let full = number("COUNTERSIGN_TEST_FULL") == Some(1);
    match number("COUNTERSIGN_TEST_ROUNDS") {
        Some(rounds) if rounds > 1 => rounds,
        _ if full => 200,
        _ => 40,
    }
}

/// Connects these people, in their order.
async fn connect_all(scene: &Scene, names: Vec<String>) -> Vec<Connected> {
    let connecting = names.into_iter().map(|name| connect(scene, name));
    futures_util::stream::iter(connecting).buffered(8).collect().await
}

async fn connect(scene: &Scene, name: String) -> Connected {
    let wat = scene.caller.wat(&name).await;
    let first = scene.caller.connects(&name, &wat).await;
    let mut token = first["accessToken"].as_str().expect("a token").to_owned();
    let account = loop {
        let log = scene.log_of(&format!("access={token}")).await;
        if let Some(account) = log["accounts"].as_object().expect("accounts").keys().next() {
            break account.clone();
        }
        // Renewed in the background meanwhile.
        let Outcome::Token(renewed) = ask(scene.caller.clone(), 0, wat.clone()).await.0 else {
            panic!("{name} has just consented");
        };
        token = renewed;
    };
    Connected {
        name,
        wat,
        grant: first["grantId"].as_str().expect("a grant").to_owned(),
        account,
    }
}

/// One kill in the middle of the refreshes of all grants, and what came of it.
async fn kill(scene: &mut Scene, grants: &mut [Connected], tally: &mut Tally) {
    let seed = 1000 * tally.kills + 7;
    scene.chaos.will(move |number| fate(seed, number));
    tokio::time::sleep(Duration::from_secs(u64::from(LIFETIME))).await;
    let asking: Vec<_> = grants
        .iter()
        .enumerate()
        .map(|(index, grant)| tokio::spawn(ask(scene.caller.clone(), index, grant.wat.clone())))
        .collect();
    tokio::time::sleep(Duration::from_millis(60 + dice(seed, 1, 400))).await;
    let victim = usize::try_from(dice(seed, 2, 3)).expect("small");
    scene.replicas.kill(victim);
    let in_refresh = scene
        .replicas
        .sql("SELECT count(*) FROM oauth2_grant WHERE state = 'refreshing'");
    scene.replicas.start_again(victim);
    let mut outcomes = Vec::new();
    {
        let mut all = std::pin::pin!(futures_util::future::join_all(asking));
        let asked = if let Ok(asked) = tokio::time::timeout(HARM, &mut all).await {
            asked
        } else {
            scene.chaos.will(|_| CALM);
            all.await
        };
        for asked in asked {
            let (outcome, waited) = asked.expect("no panic");
            tally.longest = tally.longest.max(waited);
            outcomes.push(outcome);
        }
    }
    let in_refresh: u64 = in_refresh[0].parse().expect("a number");
    tally.kills += 1;
    if in_refresh >= LEAST {
        tally.rounds += in_refresh;
    }
    scene.chaos.will(|_| CALM);
    let lost = compare(scene, grants, outcomes, tally).await;
    let names = lost.iter().map(|index| grants[*index].name.clone()).collect();
    let again = connect_all(scene, names).await;
    for (index, grant) in lost.into_iter().zip(again) {
        grants[index] = grant;
    }
}

/// Most requests fare well, slowly; the others as badly as requests do.
fn fate(seed: u64, number: u64) -> Fate {
    let wait = |throw, below| Duration::from_millis(dice(seed, 100 + 10 * number + throw, below));
    match dice(seed, 100 + 10 * number, 20) {
        0..=13 => Fate::Arrives(wait(1, 200), wait(2, 600)),
        14 => Fate::Arrives(Duration::ZERO, Duration::from_millis(1200)),
        15 => Fate::AnswerLost,
        16 => Fate::ErrorAfter,
        17 => Fate::RequestLost,
        _ => Fate::ErrorInstead,
    }
}

/// Asks until there is a token or a request for consent: each time another replica, as a load balancer would.
async fn ask(caller: Caller, index: usize, wat: Value) -> (Outcome, Duration) {
    let began = Instant::now();
    let mut last = String::new();
    for attempt in 0_usize.. {
        assert!(
            began.elapsed() < LIMIT,
            "person {index}: neither token nor consent: {last}"
        );
        match caller.token(index + attempt, &wat).await {
            Ok(answer) if answer.status.is_success() => {
                let outcome = match answer.body["accessToken"].as_str() {
                    Some(token) => Outcome::Token(token.to_owned()),
                    None => Outcome::Consent,
                };
                return (outcome, began.elapsed());
            }
            Ok(answer) => {
                let retryable = answer.status.is_server_error() || answer.status.as_u16() == 429;
                assert!(retryable, "{answer:?}");
                last = format!("{answer:?}");
            }
            // It was killed.
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    unreachable!("the limit ends it")
}

/// Holds the outcomes against the provider's log; gives the grants that were lost. A token may have been renewed behind
/// the answer that still carried it: then its caller asks again, for a while.
async fn compare(
    scene: &Scene,
    grants: &[Connected],
    outcomes: Vec<Outcome>,
    tally: &mut Tally,
) -> Vec<usize> {
    let began = Instant::now();
    let mut outcomes = outcomes;
    let names: Vec<&str> = grants.iter().map(|grant| &*grant.account).collect();
    let names = format!("names={}", names.join(","));
    loop {
        let (log, rows) = (scene.log_of(&names).await, rows(scene));
        let behind: Vec<(usize, String)> = grants
            .iter()
            .zip(&outcomes)
            .enumerate()
            .filter_map(|(index, (grant, outcome))| {
                let known = &log["accounts"][&grant.account];
                let behind = differs(outcome, &rows[&grant.grant], known)?;
                Some((index, format!("{}: {behind}", grant.name)))
            })
            .collect();
        assert_eq!(log["twice"], 0, "a refresh token was presented twice");
        tally.presented = log["presented"].as_u64().expect("a number");
        if behind.is_empty() {
            break;
        }
        // What is wrong stays so, and a grant that needs consent gives nothing else.
        let consent = |(index, _): &&(usize, String)| matches!(outcomes[*index], Outcome::Consent);
        assert!(behind.iter().find(consent).is_none(), "{behind:?}");
        assert!(began.elapsed() < LIMIT, "{behind:?}");
        for (index, _) in behind {
            outcomes[index] = ask(scene.caller.clone(), index, grants[index].wat.clone())
                .await
                .0;
        }
    }
    let lost = |(_, outcome): &(usize, &Outcome)| matches!(outcome, Outcome::Consent);
    let lost: Vec<usize> = outcomes
        .iter()
        .enumerate()
        .filter(lost)
        .map(|(index, _)| index)
        .collect();
    tally.lost += lost.len() as u64;
    lost
}

/// State with its reason, and generation, of every grant.
fn rows(scene: &Scene) -> BTreeMap<String, (String, u64)> {
    let rows = scene
        .replicas
        .sql("SELECT id, state || ' ' || COALESCE(reason, ''), generation FROM oauth2_grant");
    rows.iter()
        .map(|row| {
            let fields: Vec<&str> = row.split('|').collect();
            let generation = fields[2].parse().expect("a number");
            (fields[0].to_owned(), (fields[1].to_owned(), generation))
        })
        .collect()
}

/// How an outcome differs from what the provider knows, if it does.
fn differs(outcome: &Outcome, (state, stored): &(String, u64), known: &Value) -> Option<String> {
    let rotations = known["rotations"].as_u64().expect("a number");
    let good = match outcome {
        Outcome::Token(token) => {
            state.trim() == "active" && known["access"] == **token && rotations == *stored
        }
        // Lost only where the provider has rotated what was never stored.
        Outcome::Consent => state == "needs_consent refresh_answer_lost" && rotations == stored + 1,
    };
    (!good).then(|| {
        format!(
            "{outcome:?}, but the row is {state:?} after {stored} rotations, and the provider has {known}"
        )
    })
}
