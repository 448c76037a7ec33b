//! Whatever is changed in an `audit_` table, verification says so and names the place.

use countersign_audit::verify::{Report, Trail, verify};
use countersign_db::{Database, Pool, Row, params};

use crate::fixture::{Fixture, fixtures};

const TEXT: [&str; 18] = [
    "writer",
    "role",
    "account",
    "region",
    "action",
    "outcome",
    "reason",
    "principal",
    "request_id",
    "trace_id",
    "source",
    "sid",
    "workload",
    "provider",
    "session_id",
    "grant_id",
    "person",
    "detail",
];
const INT: [&str; 2] = ["seq", "recorded_at"];
const BYTES: [&str; 3] = ["personal", "previous", "hash"];

fn names(report: &Report, place: &str) -> bool {
    report
        .faults
        .iter()
        .any(|fault| fault.place == place || fault.place.starts_with(&format!("{place}-")))
}

async fn assert_found(fixture: &Fixture, place: &str, change: &str) {
    // Without any checkpoint from outside: the database's own evidence must do.
    let report = fixture.verify_alone().await;
    let name = fixture.db.name;
    assert!(!report.ok, "{name}: {change} at {place} went unnoticed");
    assert!(
        names(&report, place),
        "{name}: {change} at {place} is not named: {:?}",
        report.faults
    );
}

async fn rows(fixture: &Fixture, sql: &'static str) -> Vec<Row> {
    fixture.pool().fetch_all(sql, params![]).await.expect("reads")
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn blob(fixture: &Fixture, bytes: &[u8]) -> String {
    let hex = hex::encode(bytes);
    if fixture.db.name == "sqlite" {
        format!("x'{hex}'")
    } else {
        format!("'\\x{hex}'::bytea")
    }
}

/// For a column of a row: the literal that restores it, and literals that change it.
fn changes(fixture: &Fixture, row: &Row, column: &'static str) -> (String, Vec<String>) {
    let null = || "NULL".to_owned();
    if TEXT.contains(&column) {
        match row.opt_text(column).expect("text") {
            None => (null(), vec!["''".to_owned(), "'x'".to_owned()]),
            Some(old) => {
                let mut last = old.clone();
                let end = last.pop().expect("not empty");
                last.push(if end == 'z' { 'y' } else { 'z' });
                let nullable = ![
                    "writer", "role", "account", "region", "action", "outcome", "detail",
                ]
                .contains(&column);
                let mut new = vec![quoted(&last), quoted(&format!("{old} "))];
                new.extend(nullable.then(null));
                (quoted(&old), new)
            }
        }
    } else if INT.contains(&column) {
        let old = row.int(column).expect("int");
        (
            old.to_string(),
            vec![(old + 1000).to_string(), (-old).to_string()],
        )
    } else {
        match row.opt_bytes(column).expect("bytes") {
            None => (null(), vec![blob(fixture, &[]), blob(fixture, &[0])]),
            Some(old) => {
                let mut first = old.clone();
                first[0] ^= 1;
                let mut last = old.clone();
                *last.last_mut().expect("not empty") ^= 0x80;
                let mut new = vec![
                    blob(fixture, &first),
                    blob(fixture, &last),
                    blob(fixture, &old[1..]),
                ];
                new.extend((column == "personal").then(null));
                (blob(fixture, &old), new)
            }
        }
    }
}

#[tokio::test]
async fn any_change_of_any_column_of_any_record_is_found() {
    for fixture in fixtures().await {
        fixture.three_writers().await;
        assert!(fixture.verify().await.ok, "{}", fixture.verify().await);
        let mut tried = 0;
        for row in rows(&fixture, "SELECT * FROM audit_record").await {
            let (writer, seq) = (row.text("writer").expect("writer"), row.int("seq").expect("seq"));
            let place = format!("audit_record {writer}-{seq}");
            for column in TEXT.iter().chain(&INT).chain(&BYTES) {
                let (old, new) = changes(&fixture, &row, column);
                for value in new {
                    let (mut w, mut s) = (quoted(&writer), seq.to_string());
                    fixture
                        .tamper(&format!(
                            "UPDATE audit_record SET {column} = {value} WHERE writer = {w} AND seq = {s}"
                        ))
                        .await;
                    assert_found(&fixture, &place, &format!("{column} = {value}")).await;
                    match *column {
                        "writer" => w = value,
                        "seq" => s = value,
                        _ => {}
                    }
                    fixture
                        .tamper(&format!(
                            "UPDATE audit_record SET {column} = {old} WHERE writer = {w} AND seq = {s}"
                        ))
                        .await;
                    tried += 1;
                }
            }
        }
        assert!(tried > 600, "{tried}");
        assert!(fixture.verify().await.ok, "{}: restored", fixture.db.name);
    }
}

#[tokio::test]
async fn any_change_of_any_column_of_any_checkpoint_is_found() {
    for fixture in fixtures().await {
        fixture.three_writers().await;
        for row in rows(&fixture, "SELECT * FROM audit_checkpoint").await {
            let number = row.int("number").expect("number");
            let place = format!("audit_checkpoint {number}");
            let set = |column: &str, value: &str, at: i64| {
                format!(
                    "UPDATE audit_checkpoint SET {column} = {} WHERE number = {at}",
                    quoted(value)
                )
            };
            for column in ["statement", "signature"] {
                let old = row.text(column).expect("text");
                for position in 0..old.len() {
                    let mut new = old.clone().into_bytes();
                    new[position] = if new[position] == b'5' { b'6' } else { b'5' };
                    let new = String::from_utf8(new).expect("ascii");
                    // Each position of one row; a sample of the others'.
                    if number > 1 && position % 17 != 0 {
                        continue;
                    }
                    fixture.tamper(&set(column, &new, number)).await;
                    assert_found(&fixture, &place, &format!("byte {position} of {column}")).await;
                    fixture.tamper(&set(column, &old, number)).await;
                }
            }
            fixture
                .tamper(&format!(
                    "UPDATE audit_checkpoint SET number = 1000 WHERE number = {number}"
                ))
                .await;
            let report = fixture.verify_alone().await;
            assert!(!report.ok, "{}: renumbered {number}", fixture.db.name);
            fixture
                .tamper(&format!(
                    "UPDATE audit_checkpoint SET number = {number} WHERE number = 1000"
                ))
                .await;
        }
        assert!(fixture.verify().await.ok, "{}: restored", fixture.db.name);
    }
}

/// Middle, first and (since the writers were closed and checkpointed) last ones alike.
#[tokio::test]
async fn any_deleted_record_is_found() {
    for fixture in fixtures().await {
        fixture.three_writers().await;
        fixture
            .tamper("CREATE TABLE kept AS SELECT * FROM audit_record")
            .await;
        for row in rows(&fixture, "SELECT writer, seq FROM audit_record").await {
            let (writer, seq) = (row.text("writer").expect("writer"), row.int("seq").expect("seq"));
            let here = format!("writer = '{writer}' AND seq = {seq}");
            fixture
                .tamper(&format!("DELETE FROM audit_record WHERE {here}"))
                .await;
            assert_found(&fixture, &format!("audit_record {writer}-{seq}"), "deletion").await;
            fixture
                .tamper(&format!(
                    "INSERT INTO audit_record SELECT * FROM kept WHERE {here}"
                ))
                .await;
        }
        assert!(fixture.verify().await.ok, "{}: restored", fixture.db.name);
    }
}

#[tokio::test]
async fn a_deleted_writer_is_found() {
    for fixture in fixtures().await {
        fixture.three_writers().await;
        fixture
            .tamper("CREATE TABLE kept AS SELECT * FROM audit_record")
            .await;
        for row in rows(&fixture, "SELECT DISTINCT writer FROM audit_record").await {
            let writer = row.text("writer").expect("writer");
            fixture
                .tamper(&format!("DELETE FROM audit_record WHERE writer = '{writer}'"))
                .await;
            assert_found(
                &fixture,
                &format!("audit_record {writer}"),
                "deletion of the writer",
            )
            .await;
            fixture
                .tamper(&format!(
                    "INSERT INTO audit_record SELECT * FROM kept WHERE writer = '{writer}'"
                ))
                .await;
        }
    }
}

/// Even with all checkpoints gone: the next writer named the one before.
#[tokio::test]
async fn a_deleted_writer_is_missed_by_its_successor() {
    for fixture in fixtures().await {
        let first = fixture.recorder().await;
        crate::fixture::record_some(&first, 3).await;
        let second = fixture.recorder().await;
        crate::fixture::record_some(&second, 1).await;
        let row = rows(&fixture, "SELECT min(writer) AS writer FROM audit_record").await;
        let writer = row[0].text("writer").expect("writer");
        fixture
            .tamper(&format!("DELETE FROM audit_record WHERE writer = '{writer}'"))
            .await;
        assert_found(
            &fixture,
            &format!("audit_record {writer}"),
            "deletion of the writer",
        )
        .await;
    }
}

#[tokio::test]
async fn swapped_and_copied_records_are_found() {
    for fixture in fixtures().await {
        fixture.three_writers().await;
        let row = rows(
            &fixture,
            "SELECT min(writer) AS writer, max(writer) AS other FROM audit_record",
        )
        .await;
        let (writer, other) = (
            row[0].text("writer").expect("writer"),
            row[0].text("other").expect("writer"),
        );
        let renumber = |from: i64, to: i64| {
            format!("UPDATE audit_record SET seq = {to} WHERE writer = '{writer}' AND seq = {from}")
        };
        for (from, to) in [(2, 900), (3, 2), (900, 3)] {
            fixture.tamper(&renumber(from, to)).await;
        }
        assert_found(&fixture, &format!("audit_record {writer}-2"), "a swap").await;
        for (from, to) in [(2, 900), (3, 2), (900, 3)] {
            fixture.tamper(&renumber(from, to)).await;
        }
        assert!(fixture.verify().await.ok, "{}: swapped back", fixture.db.name);

        let copy = "recorded_at, role, account, region, action, outcome, reason, principal, request_id, trace_id, \
                    source, sid, workload, provider, session_id, grant_id, person, personal, detail, previous, hash";
        for (target, seq) in [(&writer, 8), (&other, 4)] {
            fixture
                .tamper(&format!(
                    "INSERT INTO audit_record SELECT '{target}', {seq}, {copy} FROM audit_record \
                     WHERE writer = '{writer}' AND seq = 4"
                ))
                .await;
            assert_found(&fixture, &format!("audit_record {target}-{seq}"), "a copy").await;
            fixture
                .tamper(&format!(
                    "DELETE FROM audit_record WHERE writer = '{target}' AND seq = {seq}"
                ))
                .await;
        }
    }
}

#[tokio::test]
async fn added_columns_are_found() {
    for fixture in fixtures().await {
        fixture.three_writers().await;
        fixture
            .tamper("ALTER TABLE audit_record ADD COLUMN remark TEXT")
            .await;
        assert!(!fixture.verify_alone().await.ok, "{}", fixture.db.name);
    }
}

/// Bytes changed in the file itself, below SQL: in tables and in indexes.
#[tokio::test]
async fn any_changed_byte_of_a_value_in_the_file_is_found() {
    let fixture = Fixture::new(countersign_db::testing::sqlite().await).await;
    fixture.three_writers().await;
    let Database::Sqlite { path, .. } = fixture.db.database.clone() else {
        unreachable!("asked for SQLite")
    };
    fixture.pool().close().await;
    let original = std::fs::read(&path).expect("the file");
    let mut tried = 0;
    for marker in [
        "request-0",
        "wrong_person",
        "sid-1",
        "grant-1",
        "issues:read",
        "192.0.2.8",
        "OpenAuditWriter",
    ] {
        let places = original
            .windows(marker.len())
            .enumerate()
            .filter(|(_, window)| *window == marker.as_bytes());
        for (offset, _) in places {
            let mut bytes = original.clone();
            bytes[offset + marker.len() / 2] ^= 0x04;
            std::fs::write(&path, &bytes).expect("written");
            let pool = Pool::connect(&fixture.db.database.clone().read_only())
                .await
                .expect("opens");
            let trail = Trail {
                pool: &pool,
                role: "identity",
                keys: &fixture.keys,
                checkpoints: "",
                restored: 0,
            };
            match verify(&trail, &mut |_| ()).await {
                Ok(report) => {
                    assert!(!report.ok, "a change at {offset} of {marker} went unnoticed");
                    assert!(
                        report
                            .faults
                            .iter()
                            .all(|fault| fault.place.starts_with("audit_")),
                        "{report}"
                    );
                }
                Err(error) => panic!("{marker} at {offset}: {error}"),
            }
            pool.close().await;
            tried += 1;
        }
    }
    assert!(tried > 40, "{tried}");
}
