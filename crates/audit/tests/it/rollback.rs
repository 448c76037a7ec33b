//! What only a checkpoint outside the database can show.

use countersign_audit::verify::{Report, Trail, verify};
use countersign_db::{Database, Pool, params};

use crate::fixture::{Fixture, fixtures, record_some};

#[tokio::test]
async fn the_last_record_is_missed_where_a_checkpoint_names_it() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        record_some(&recorder, 3).await;
        recorder.checkpoint().await.expect("a checkpoint");
        record_some(&recorder, 1).await;
        drop(recorder);

        // Number 5 came after the checkpoint: nothing vouches for it yet.
        fixture.tamper("DELETE FROM audit_record WHERE seq = 5").await;
        assert!(fixture.verify().await.ok, "{}", fixture.db.name);
        fixture.tamper("DELETE FROM audit_record WHERE seq = 4").await;
        let report = fixture.verify_alone().await;
        assert!(
            report.faults.iter().any(|fault| fault.place.ends_with("-4")),
            "{report}"
        );

        // Whoever deletes the record can delete the checkpoint too, but not the line.
        fixture.tamper("DELETE FROM audit_checkpoint").await;
        assert!(
            fixture.verify_alone().await.ok,
            "{}: a shorter history",
            fixture.db.name
        );
        let report = fixture.verify().await;
        assert!(
            report
                .faults
                .iter()
                .any(|fault| fault.place == "audit_checkpoint 1"),
            "{report}"
        );
    }
}

#[tokio::test]
async fn an_older_state_put_back_and_a_fork_of_it_are_found() {
    for fixture in fixtures().await {
        let first = fixture.recorder().await;
        record_some(&first, 3).await;
        first.close().await.expect("closes");
        let row = fixture
            .pool()
            .fetch_optional("SELECT max(writer) AS writer FROM audit_record", params![])
            .await
            .expect("reads")
            .expect("a row");
        let old = row.text("writer").expect("a writer");
        let second = fixture.recorder().await;
        record_some(&second, 3).await;
        second.close().await.expect("closes");
        let report = fixture.verify().await;
        assert!(report.ok, "{report}");

        // Exactly what the database was after the first writer.
        fixture
            .tamper(&format!("DELETE FROM audit_record WHERE writer <> '{old}'"))
            .await;
        fixture
            .tamper("DELETE FROM audit_checkpoint WHERE number > 1")
            .await;
        assert!(
            fixture.verify_alone().await.ok,
            "{}: consistent in itself",
            fixture.db.name
        );
        let report = fixture.verify().await;
        assert!(!report.ok, "{}", fixture.db.name);
        assert_eq!(report.faults[0].place, "audit_checkpoint 2");
        assert!(report.faults[0].what.contains("rolled back"), "{report}");
        assert_eq!(report.anchored_outside.map(|anchor| anchor.checkpoint), Some(1));

        // And going on from there.
        let third = fixture.recorder().await;
        record_some(&third, 1).await;
        third.close().await.expect("closes");
        let report = fixture.verify().await;
        assert!(
            report.faults.iter().any(|fault| fault.what.contains("forked")),
            "{report}"
        );
    }
}

/// A writer of its own, closed with a checkpoint.
async fn record(fixture: &Fixture) {
    let recorder = fixture.recorder().await;
    record_some(&recorder, 2).await;
    recorder.close().await.expect("closes");
}

/// What restores left behind: epoch and number of lines.
fn left_behind(report: &Report) -> Vec<(i64, u64)> {
    let left = report.left_behind.iter();
    left.map(|left| (left.restore, left.checkpoints)).collect()
}

#[tokio::test]
async fn a_restore_is_told_from_a_roll_back() {
    for fixture in fixtures().await {
        record(&fixture).await;
        let backup = fixture.backup().await;
        record(&fixture).await;
        record(&fixture).await;
        let before = fixture.lines().await;
        fixture.restore(&backup).await;
        let report = fixture.verify().await;
        assert!(!report.ok, "nothing signed says that it was a restore");
        assert!(report.faults[0].what.contains("rolled back"), "{report}");

        record(&fixture).await;
        let report = fixture.verify_knowing(0, &fixture.lines().await).await;
        assert!(
            !report.ok,
            "anybody who writes to the database may have raised its epoch"
        );
        assert!(report.faults[0].what.contains("--restored 1"), "{report}");
        let report = fixture.verify().await;
        assert!(report.ok, "{report}");
        assert_eq!(left_behind(&report), [(1, 2)]);
        let last = &report.left_behind[0].last;
        assert!(
            report.to_string().contains(&format!(
                "2 kept checkpoints are of before restore 1 and not in the database, the last signed {last}"
            )),
            "{report}"
        );
        assert_eq!(
            report.anchored_outside.map(|anchor| anchor.checkpoint),
            Some(2),
            "by a line of its own life"
        );
        let report = fixture.verify_against(&before).await;
        assert!(report.ok, "{report}");
        assert_eq!(report.anchored_outside.map(|anchor| anchor.checkpoint), Some(1));
        assert_eq!(left_behind(&fixture.verify_alone().await), []);

        // Once more, of a backup that was made in between.
        let backup = fixture.backup().await;
        record(&fixture).await;
        fixture.restore(&backup).await;
        record(&fixture).await;
        let report = fixture.verify().await;
        assert!(report.ok, "{report}");
        assert_eq!(left_behind(&report), [(1, 2), (2, 1)]);
        assert!(!fixture.verify_knowing(1, &fixture.lines().await).await.ok);
        assert_eq!(report.anchored_outside.map(|anchor| anchor.checkpoint), Some(3));
    }
}

#[tokio::test]
async fn a_restore_excuses_nothing_but_what_it_left_behind() {
    let fixture = Fixture::new_sqlite().await;
    record(&fixture).await;
    let first = fixture.backup().await;
    record(&fixture).await;
    let forked = fixture.lines().await;
    fixture.roll_back(&first).await;
    record(&fixture).await;
    let both = fixture.lines().await;
    let second = fixture.backup().await;
    record(&fixture).await;
    let old_life = fixture.lines().await;
    fixture.restore(&second).await;
    record(&fixture).await;
    record(&fixture).await;
    let lines = fixture.lines().await;
    // Without the line of the fork, which is the second.
    let honest = |text: &str| -> String {
        let lines = text.split_inclusive('\n').enumerate();
        lines.filter(|(at, _)| *at != 1).map(|(_, line)| line).collect()
    };
    let report = fixture.verify_against(&honest(&lines)).await;
    assert!(report.ok, "{report}");
    assert_eq!(left_behind(&report), [(1, 1)]);

    let mut edited = honest(&old_life).into_bytes();
    let at = edited.len() - 10;
    edited[at] = if edited[at] == b'A' { b'B' } else { b'A' };
    let edited = String::from_utf8(edited).expect("ASCII");
    for (what, kept) in [
        ("a fork of before the restore", &forked),
        ("two lines of one number and epoch", &both),
        ("the same, beside all others", &lines),
        ("a line that nobody signed", &edited),
    ] {
        assert!(!fixture.verify_against(kept).await.ok, "{what}");
    }
    // Rolled back within the new life, and to the old one.
    let honest = honest(&lines);
    fixture
        .tamper("DELETE FROM audit_checkpoint WHERE number = 4")
        .await;
    assert!(!fixture.verify_against(&honest).await.ok, "rolled back by one");
    fixture
        .tamper("UPDATE database_identity SET restore_epoch = 0")
        .await;
    fixture.roll_back(&second).await;
    record(&fixture).await;
    assert!(fixture.verify_alone().await.ok);
    let report = fixture.verify_against(&honest).await;
    assert!(!report.ok, "an earlier life");
    assert_eq!(left_behind(&report), []);
}

#[tokio::test]
async fn an_older_copy_of_the_file_is_found() {
    let fixture = Fixture::new(countersign_db::testing::sqlite().await).await;
    let Database::Sqlite { path, .. } = fixture.db.database.clone() else {
        unreachable!("asked for SQLite")
    };
    let copy = path.with_extension("copy");
    let recorder = fixture.recorder().await;
    record_some(&recorder, 3).await;
    recorder.close().await.expect("closes");
    fixture.pool().close().await;
    std::fs::copy(&path, &copy).expect("copied");

    let pool = Pool::connect(&fixture.db.database).await.expect("opens");
    let recorder = fixture.recorder_of("identity", &pool).await;
    record_some(&recorder, 3).await;
    recorder.close().await.expect("closes");
    pool.close().await;
    std::fs::copy(&copy, &path).expect("put back");

    let pool = Pool::connect(&fixture.db.database.clone().read_only())
        .await
        .expect("opens");
    let lines = fixture.lines().await;
    for (checkpoints, ok) in [("", true), (lines.as_str(), false)] {
        let trail = Trail {
            pool: &pool,
            role: "identity",
            keys: &fixture.keys,
            checkpoints,
            restored: 0,
        };
        let report = verify(&trail, &mut |_| ()).await.expect("can be read");
        assert_eq!(report.ok, ok, "{report}");
    }
}

#[tokio::test]
async fn another_database_in_its_place_is_found() {
    for fixture in fixtures().await {
        let recorder = fixture.recorder().await;
        recorder.close().await.expect("closes");
        fixture
            .tamper("UPDATE database_identity SET id = '00000000000000000000000000000000'")
            .await;
        let report = fixture.verify().await;
        assert!(
            report
                .faults
                .iter()
                .any(|fault| fault.what.contains("was exchanged")),
            "{report}"
        );
    }
}

#[tokio::test]
async fn any_changed_byte_of_a_line_is_found() {
    let fixture = Fixture::new(countersign_db::testing::sqlite().await).await;
    let recorder = fixture.recorder().await;
    record_some(&recorder, 1).await;
    recorder.close().await.expect("closes");
    let line = fixture.lines().await;
    assert_eq!(line.lines().count(), 1);
    for position in 0..line.len() - 1 {
        let mut bytes = line.clone().into_bytes();
        bytes[position] = if bytes[position] == b'5' { b'6' } else { b'5' };
        let report = fixture
            .verify_against(&String::from_utf8(bytes).expect("ascii"))
            .await;
        assert!(!report.ok, "byte {position} went unnoticed");
    }
}

#[tokio::test]
async fn one_file_serves_two_databases() {
    let identity = Fixture::new(countersign_db::testing::sqlite().await).await;
    let gateway = Fixture::new(countersign_db::testing::sqlite().await).await;
    let first = identity.recorder().await;
    let second = identity.recorder_of("gateway", gateway.pool()).await;
    for _ in 0..3 {
        record_some(&first, 1).await;
        record_some(&second, 1).await;
        first.checkpoint().await.expect("a checkpoint");
        second.checkpoint().await.expect("a checkpoint");
    }
    first.close().await.expect("closes");
    second.close().await.expect("closes");
    let lines = identity.lines().await;
    assert_eq!(lines.lines().count(), 6);
    for (pool, role) in [(identity.pool(), "identity"), (gateway.pool(), "gateway")] {
        let trail = Trail {
            pool,
            role,
            keys: &identity.keys,
            checkpoints: &lines,
            restored: 0,
        };
        let report = verify(&trail, &mut |_| ()).await.expect("can be read");
        assert!(report.ok, "{report}");
        assert_eq!(report.anchored_outside.map(|anchor| anchor.checkpoint), Some(3));
    }
}

/// A line cut by a crash was never acknowledged.
#[tokio::test]
async fn a_cut_line_is_forgiven_and_removed() {
    let fixture = Fixture::new(countersign_db::testing::sqlite().await).await;
    let recorder = fixture.recorder().await;
    recorder.close().await.expect("closes");
    let whole = fixture.lines().await;
    let cut = format!("{whole}{}", &whole[..whole.len() / 2]);
    std::fs::write(&fixture.checkpoint_file, &cut).expect("written");
    assert!(fixture.verify().await.ok);
    let recorder = fixture.recorder().await;
    recorder.close().await.expect("closes");
    assert_eq!(fixture.lines().await.lines().count(), 2);
    assert!(fixture.verify().await.ok, "{}", fixture.verify().await);
}

/// More checkpoints than one complete listing, and a process that starts in between.
#[tokio::test]
async fn long_histories_go_on_from_the_last_complete_checkpoint() {
    for fixture in fixtures().await {
        let first = fixture.recorder().await;
        for _ in 0..150 {
            record_some(&first, 1).await;
            first.checkpoint().await.expect("a checkpoint");
        }
        drop(first);
        let second = fixture.recorder().await;
        for _ in 0..60 {
            record_some(&second, 1).await;
            second.checkpoint().await.expect("a checkpoint");
        }
        second.close().await.expect("closes");
        let report = fixture.verify().await;
        assert!(report.ok, "{report}");
        assert_eq!(
            (report.checkpoints, report.writers),
            (210, 2),
            "{}",
            fixture.db.name
        );
    }
}
