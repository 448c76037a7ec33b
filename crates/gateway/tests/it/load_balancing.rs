//! Several targets in a group: turns, retries, health, stickiness; nginx is the target.

use std::collections::BTreeMap;
use std::time::Duration;

use countersign_gateway::config::{HealthCheck, LoadBalancingAlgorithm, TargetGroup};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::support::program::{Nginx, exchange, forward_to, free_port, get, group, in_front_of, run};

/// nginx that answers with a name, and to `/health` with 200 while a file is there.
async fn named(name: &str) -> Nginx {
    let nginx = Nginx::start(&format!(
        "location / {{ return 200 'i am {name}'; }} location = /health {{ root @DIRECTORY@; try_files /well =503; }}"
    ))
    .await;
    set_well(&nginx, true);
    nginx
}

fn set_well(nginx: &Nginx, well: bool) {
    let file = nginx.directory.path().join("well");
    if well {
        std::fs::write(file, "yes").expect("a file");
    } else {
        std::fs::remove_file(file).expect("a file");
    }
}

/// Who answered how many of so many requests; statuses other than 200 count under their own number.
async fn answers(port: u16, requests: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..requests {
        let answer = get(port, "/").await;
        let who = match answer.rsplit_once("i am ") {
            Some((_, name)) => name.to_owned(),
            None => answer.get(9..12).unwrap_or("none").to_owned(),
        };
        *counts.entry(who).or_default() += 1;
    }
    counts
}

fn counted(counts: &[(&str, usize)]) -> BTreeMap<String, usize> {
    let counts = counts.iter();
    counts.map(|&(name, count)| (name.to_owned(), count)).collect()
}

#[tokio::test]
async fn targets_take_turns_and_one_that_is_not_there_costs_nobody_a_request() {
    let (a, b) = (named("a").await, named("b").await);
    let (_system, port) = in_front_of(vec![("all", group(&[a.http1, b.http1]))], &forward_to("all")).await;
    assert_eq!(answers(port, 10).await, counted(&[("a", 5), ("b", 5)]));

    let gone = free_port();
    let (_system, port) = in_front_of(
        vec![("all", group(&[gone, a.http1, b.http1]))],
        &forward_to("all"),
    )
    .await;
    let counts = answers(port, 12).await;
    assert_eq!(counts.values().sum::<usize>(), 12);
    assert!(counts["a"] >= 4 && counts["b"] >= 4, "{counts:?}");
    // Nothing of it was sent, so whatever it is it may go to another target, body and all.
    for _ in 0..6 {
        let upload =
            "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody";
        assert!(exchange(port, upload).await.contains("i am "));
    }
    let (_system, port) = in_front_of(
        vec![("all", group(&[free_port(), free_port()]))],
        &forward_to("all"),
    )
    .await;
    assert_eq!(answers(port, 2).await, counted(&[("502", 2)]));
}

/// A target that reads a request and closes without an answer, and how many it has read.
async fn hangs_up() -> (u16, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use tokio::io::AsyncReadExt as _;
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = socket.local_addr().expect("bound").port();
    let count = std::sync::Arc::<std::sync::atomic::AtomicUsize>::default();
    let counting = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = socket.accept().await {
            let mut request = [0; 1_024];
            if stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                counting.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    });
    (port, count)
}

#[tokio::test]
async fn what_a_target_may_have_seen_is_not_sent_again() {
    let (target, count) = hangs_up().await;
    let (_system, port) = in_front_of(vec![("rude", group(&[target, target]))], &forward_to("rude")).await;
    let order =
        "POST /order HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody";
    let answer = exchange(port, order).await;
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    assert_eq!(count.load(std::sync::atomic::Ordering::Relaxed), 1, "one order");
}

#[tokio::test]
async fn the_least_busy_target_gets_the_request() {
    let quick = named("quick").await;
    // Accepts and never answers.
    let slow = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let slow_port = slow.local_addr().expect("bound").port();
    let all = TargetGroup {
        load_balancing_algorithm: LoadBalancingAlgorithm::LeastOutstandingRequests,
        ..group(&[slow_port, quick.http1])
    };
    let (_system, port) = in_front_of(vec![("all", all)], &forward_to("all")).await;
    let mut hanging = TcpStream::connect(("127.0.0.1", port))
        .await
        .expect("a connection");
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    hanging.write_all(request).await.expect("sent");
    let (_stream, _) = tokio::time::timeout(Duration::from_secs(5), slow.accept())
        .await
        .expect("the first in the list is first")
        .expect("a connection");
    assert_eq!(answers(port, 6).await, counted(&[("quick", 6)]));
}

#[tokio::test]
async fn unhealthy_targets_get_nothing_unless_all_are() {
    let (a, b) = (named("a").await, named("b").await);
    set_well(&b, false);
    let all = TargetGroup {
        health_check: Some(HealthCheck {
            path: "/health".to_owned(),
            interval_seconds: 1,
            healthy_threshold: 2,
            ..HealthCheck::default()
        }),
        ..group(&[a.http1, b.http1])
    };
    let (_system, port) = in_front_of(vec![("all", all)], &forward_to("all")).await;
    let becomes = async |expected: BTreeMap<String, usize>| {
        let mut counts = BTreeMap::new();
        for _ in 0..40 {
            counts = answers(port, 8).await;
            if counts == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!("{counts:?} and not {expected:?}");
    };
    becomes(counted(&[("a", 8)])).await;
    set_well(&b, true);
    becomes(counted(&[("a", 4), ("b", 4)])).await;
    set_well(&a, false);
    becomes(counted(&[("b", 8)])).await;
    // A check that fails everywhere more likely says something about the check.
    set_well(&b, false);
    becomes(counted(&[("a", 4), ("b", 4)])).await;
    assert!(a.logged("Countersign-HealthChecker/") >= 2);
}

#[tokio::test]
async fn a_browser_stays_with_its_target_group() {
    let (blue, green) = (named("blue").await, named("green").await);
    let rules = r#"rules = []
        default_actions = [{ type = "forward", target_group_stickiness_seconds = 600,
          target_groups = [{ name = "blue", weight = 1 }, { name = "green", weight = 1 }] }]"#;
    let groups = vec![("blue", group(&[blue.http1])), ("green", group(&[green.http1]))];
    let (_system, port) = in_front_of(groups, rules).await;
    let url = format!("http://127.0.0.1:{port}/");
    let directory = tempfile::tempdir().expect("a directory");
    let mut seen = std::collections::BTreeSet::new();
    for browser in 0..12 {
        let jar = directory.path().join(browser.to_string()).display().to_string();
        let ask = async || {
            run(
                "curl",
                &["-s", "-H", "Host: localhost", "-b", &jar, "-c", &jar, &url],
            )
            .await
        };
        let first = ask().await;
        for _ in 0..4 {
            assert_eq!(ask().await, first);
        }
        assert!(
            std::fs::read_to_string(&jar)
                .expect("cookies")
                .contains("AWSALBTG")
        );
        seen.insert(first);
    }
    assert_eq!(seen.len(), 2, "both groups have their share: {seen:?}");
}
