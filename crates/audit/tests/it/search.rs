//! Looking for records in a trail that is too long to look through at once.

use countersign_audit::report::{Query, report};
use countersign_audit::tail::{Filter, Found, search};
use countersign_crypto::Timestamp;
use countersign_db::Pool;

use crate::fixture::{Fixture, fixtures};

const RECORDS: usize = 11_000;

/// Records that no recorder has to write one by one. Three have the same time; every 2,500th is about `rare`.
const SEED: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 11000) \
    INSERT INTO audit_record (writer, seq, recorded_at, role, account, region, action, outcome, reason, workload, \
    session_id, sid, grant_id, request_id, detail, previous, hash) \
    SELECT '0000000000000000000000000000000a', i, i / 3, 'identity', '000000000000', 'us-east-1', 'Act', \
    CASE WHEN i % 1000 = 0 THEN 'refused' ELSE 'done' END, CASE WHEN i % 1000 = 0 THEN 'wrong_person' END, \
    CASE WHEN i % 2500 = 7 THEN 'rare' ELSE 'common' END, 'session-' || (i % 7), 'sid-' || (i % 11), \
    'grant-' || (i % 13), 'request-' || i, '{}', HASH, HASH FROM n";

async fn seed(fixture: &Fixture, sql: &str) {
    let hash = match fixture.pool().engine() {
        countersign_db::Engine::Sqlite => "zeroblob(32)",
        countersign_db::Engine::Postgres => "decode(repeat('00', 32), 'hex')",
    };
    fixture.tamper(&sql.replace("HASH", hash)).await;
}

async fn pages(pool: &Pool, filter: &Filter, limit: u32) -> (Vec<i64>, usize) {
    let (mut found, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
    loop {
        let page: Found = search(pool, filter, cursor.as_deref(), limit)
            .await
            .expect("a page");
        pages += 1;
        found.extend(page.records.iter().map(|record| record.id.seq));
        cursor = page.cursor;
        assert!(
            page.searched_to.is_none() || cursor.is_some(),
            "what is left can be reached"
        );
        if cursor.is_none() {
            return (found, pages);
        }
    }
}

type Kept = fn(i64) -> bool;

#[tokio::test]
async fn a_search_ends_its_pages_and_misses_and_repeats_nothing() {
    for fixture in fixtures().await {
        seed(&fixture, SEED).await;
        let all = i64::try_from(RECORDS).expect("small");
        let filters: [(Filter, Kept); 7] = [
            (Filter::default(), |_| true),
            (
                Filter {
                    workload: Some("rare".to_owned()),
                    ..Filter::default()
                },
                |i| i % 2500 == 7,
            ),
            (
                Filter {
                    workload: Some("nobody".to_owned()),
                    ..Filter::default()
                },
                |_| false,
            ),
            (
                Filter {
                    outcome: Some("refused".to_owned()),
                    ..Filter::default()
                },
                |i| i % 1000 == 0,
            ),
            (
                Filter {
                    reason: Some("wrong_person".to_owned()),
                    ..Filter::default()
                },
                |i| i % 1000 == 0,
            ),
            (
                Filter {
                    grant: Some("grant-3".to_owned()),
                    sid: Some("sid-2".to_owned()),
                    ..Filter::default()
                },
                |i| i % 13 == 3 && i % 11 == 2,
            ),
            (
                Filter {
                    request_id: Some("request-77".to_owned()),
                    ..Filter::default()
                },
                |i| i == 77,
            ),
        ];
        for (filter, kept) in filters {
            for newest_first in [false, true] {
                let filter = Filter {
                    newest_first,
                    ..filter.clone()
                };
                let mut expected: Vec<i64> = (1..=all).filter(|i| kept(*i)).collect();
                if newest_first {
                    expected.reverse();
                }
                let (found, pages) = pages(fixture.pool(), &filter, 1000).await;
                assert_eq!(found, expected, "{filter:?}");
                if filter.workload.is_some() {
                    assert_eq!(pages, 3, "a page looks at 5,000 records: {filter:?}");
                }
            }
        }
        let filter = Filter {
            since: Some(100),
            until: Some(200),
            newest_first: true,
            ..Filter::default()
        };
        let (found, _) = pages(fixture.pool(), &filter, 1000).await;
        assert_eq!(found, (300..600).rev().collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_report_says_how_far_it_looked() {
    for fixture in fixtures().await {
        let released = SEED
            .replace("'Act'", "'GetResourceOauth2Token'")
            .replace("'{}'", "'{\"released\":true}'");
        seed(&fixture, &released).await;
        let now = Timestamp::from_micros(20_000);
        let ask = async |workload: &str, look_at: Option<u32>, limit: usize| {
            let query = Query {
                workload: Some(workload.to_owned()),
                look_at,
                limit,
                ..Query::between(Timestamp::from_micros(0), now)
            };
            report(fixture.pool(), None, query, now).await.expect("a report")
        };
        let seqs = async |workload: &str, look_at: Option<u32>, limit: usize| {
            let report = ask(workload, look_at, limit).await;
            let seqs = report.releases.iter().map(|release| {
                let (_, seq) = release.record.rsplit_once('-').expect("writer and number");
                seq.parse::<i64>().expect("a number")
            });
            (
                seqs.collect::<Vec<_>>(),
                report.searched_to.map(Timestamp::as_micros),
                report.truncated,
            )
        };
        let all = vec![7, 2507, 5007, 7507, 10_007];
        assert_eq!(seqs("rare", None, 100).await, (all.clone(), None, false));
        // The 5,000th record is of this time; so is the one before.
        assert_eq!(
            seqs("rare", Some(5_000), 100).await,
            (vec![7, 2507], Some(1666), false)
        );
        assert_eq!(seqs("rare", Some(20_000), 100).await, (all, None, false));
        assert_eq!(seqs("nobody", Some(1), 100).await, (vec![], Some(1666), false));
        let (found, searched_to, truncated) = seqs("common", Some(5_000), 100).await;
        assert_eq!((found.len(), searched_to, truncated), (100, None, true));
    }
}

#[tokio::test]
async fn questions_without_an_answer_count_among_what_a_report_looks_at() {
    for fixture in fixtures().await {
        // Each poll of a session that waits is answered, and releases nothing; one of them does, at the end.
        let polled = SEED
            .replace("'Act'", "'GetResourceOauth2Token'")
            .replace(
                "'{}'",
                "CASE WHEN i = 11000 THEN '{\"released\":true}' ELSE '{}' END",
            )
            .replace("'refused'", "'done'");
        seed(&fixture, &polled).await;
        let ask = async |workload: Option<&str>, look_at: Option<u32>| {
            let query = Query {
                workload: workload.map(str::to_owned),
                look_at,
                limit: 100,
                ..Query::between(Timestamp::from_micros(0), Timestamp::from_micros(20_000))
            };
            let report = report(fixture.pool(), None, query, Timestamp::from_micros(20_000)).await;
            let report = report.expect("a report");
            let searched_to = report.searched_to.map(Timestamp::as_micros);
            // The page is handed on without the answer that it came in.
            let page = report.html().expect("a page");
            assert_eq!(page.contains("only up to"), searched_to.is_some(), "{page}");
            (report.releases.len(), searched_to)
        };
        for workload in [None, Some("common")] {
            let (found, searched_to) = ask(workload, Some(5_000)).await;
            assert_eq!(found, 0);
            assert!(
                searched_to.is_some_and(|at| (1_666..2_100).contains(&at)),
                "{searched_to:?}"
            );
            assert_eq!(ask(workload, None).await, (1, None));
        }
    }
}
