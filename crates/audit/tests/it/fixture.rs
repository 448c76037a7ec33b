//! A database with its keys, clock and checkpoint file.

use std::io::Seek as _;
use std::path::PathBuf;
use std::sync::Arc;

use countersign_audit::verify::{Report, Trail, verify};
use countersign_audit::{CheckpointFile, Entry, MIGRATIONS, Outcome, Recorder, RecorderConfig};
use countersign_crypto::testing::{ManualClock, SeededRandom};
use countersign_crypto::{
    FileKeyProvider, JwkSet, KeyPurpose, KeyRow, Keyring, NewKey, SharedRandom, SigningKey, SystemRandom,
    Timestamp, UserKey,
};
use countersign_db::testing::TestDatabase;
use countersign_db::{ChangeFeed, Pool, migrate, params};

use crate::delivery::parts::python;

pub(crate) const START: Timestamp = Timestamp::from_secs(1_700_000_000);

pub(crate) struct Fixture {
    pub(crate) db: TestDatabase,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) random: SharedRandom,
    pub(crate) persons: Arc<Keyring>,
    pub(crate) keys: JwkSet,
    pub(crate) checkpoint_file: PathBuf,
    pkcs8: Vec<u8>,
    _directory: tempfile::TempDir,
}

/// How far the trail was: writers' ids sort by their times.
pub(crate) struct Backup {
    writer: String,
    number: i64,
}

/// One on each engine.
pub(crate) async fn fixtures() -> Vec<Fixture> {
    let mut fixtures = Vec::new();
    for db in countersign_db::testing::databases().await {
        fixtures.push(Fixture::new(db).await);
    }
    fixtures
}

/// Each fixture's has another id: several may share a key set.
fn signing_key(pkcs8: &[u8]) -> SigningKey {
    let id = format!("audit-{}", hex::encode(&countersign_crypto::sha256(pkcs8)[..8]));
    SigningKey::from_pkcs8(&id, pkcs8).expect("a signing key")
}

impl Fixture {
    pub(crate) async fn new_sqlite() -> Self {
        Self::new(countersign_db::testing::sqlite().await).await
    }

    pub(crate) async fn new(db: TestDatabase) -> Self {
        use countersign_crypto::ExposeSecret;
        migrate(&db.pool, "audit", MIGRATIONS, START.as_micros())
            .await
            .expect("migrates");
        let directory = tempfile::tempdir().expect("a directory");
        let clock = Arc::new(ManualClock::new(START));
        let provider = FileKeyProvider::open_or_create(&directory.path().join("key"), Arc::new(SystemRandom))
            .expect("a key file");
        let new = NewKey {
            account: "000000000000",
            resource: "test",
            purpose: KeyPurpose::Person,
            version: 1,
        };
        let row = KeyRow::generate_symmetric(&provider, &SystemRandom, &*clock, new)
            .await
            .expect("a key");
        let persons = Keyring::unwrap(&provider, &[row]).await.expect("a keyring");
        let pkcs8 = SigningKey::generate_pkcs8().expose_secret().to_vec();
        let signing = signing_key(&pkcs8);
        Self {
            db,
            clock,
            random: Arc::new(SeededRandom::new(1)),
            persons: Arc::new(persons),
            keys: JwkSet {
                keys: vec![signing.public_jwk()],
            },
            checkpoint_file: directory.path().join("audit-checkpoints"),
            pkcs8,
            _directory: directory,
        }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.db.pool
    }

    /// A new writer.
    pub(crate) async fn recorder(&self) -> Recorder {
        self.recorder_of("identity", self.pool()).await
    }

    pub(crate) async fn recorder_of(&self, role: &'static str, pool: &Pool) -> Recorder {
        // Writers' ids sort by their times.
        self.clock.advance(std::time::Duration::from_secs(1));
        let config = RecorderConfig {
            pool: pool.clone(),
            changes: ChangeFeed::start(pool.clone()).await.expect("a feed"),
            clock: self.clock.clone(),
            random: Arc::clone(&self.random),
            signing_key: signing_key(&self.pkcs8),
            persons: Arc::clone(&self.persons),
            checkpoint_file: Some(self.checkpoint_file.clone()),
            role,
            account: "000000000000".to_owned(),
            region: "us-east-1".to_owned(),
        };
        Recorder::start(config).await.expect("starts")
    }

    /// Three writers, one after the other and two at a time, with every column used somewhere.
    pub(crate) async fn three_writers(&self) {
        let first = self.recorder().await;
        record_some(&first, 4).await;
        let second = self.recorder().await;
        record_some(&first, 2).await;
        first.checkpoint().await.expect("a checkpoint");
        record_some(&second, 3).await;
        first.close().await.expect("closes");
        second.close().await.expect("closes");
        let third = self.recorder().await;
        record_some(&third, 2).await;
        third.close().await.expect("closes");
    }

    pub(crate) async fn lines(&self) -> String {
        CheckpointFile::read(self.checkpoint_file.clone())
            .await
            .expect("the file")
    }

    /// Verifies without any checkpoint kept outside.
    pub(crate) async fn verify_alone(&self) -> Report {
        self.verify_against("").await
    }

    /// Verifies with the checkpoint file.
    pub(crate) async fn verify(&self) -> Report {
        self.verify_against(&self.lines().await).await
    }

    /// By an operator who knows of all restores.
    pub(crate) async fn verify_against(&self, checkpoints: &str) -> Report {
        self.verify_knowing(i64::MAX, checkpoints).await
    }

    pub(crate) async fn verify_knowing(&self, restored: i64, checkpoints: &str) -> Report {
        let trail = Trail {
            pool: self.pool(),
            role: "identity",
            keys: &self.keys,
            checkpoints,
            restored,
        };
        verify(&trail, &mut |_| ()).await.expect("can be read")
    }

    /// What a backup holds now. All recorders so far have been closed.
    pub(crate) async fn backup(&self) -> Backup {
        let sql = "SELECT (SELECT MAX(writer) FROM audit_record) AS writer, \
                   (SELECT MAX(number) FROM audit_checkpoint) AS number";
        let row = self.pool().fetch_optional(sql, params![]).await.expect("reads");
        let row = row.expect("a row");
        Backup {
            writer: row.text("writer").expect("a writer"),
            number: row.int("number").expect("a number"),
        }
    }

    /// As `countersign restore` would leave the database: what it was, one epoch later.
    pub(crate) async fn restore(&self, backup: &Backup) {
        self.roll_back(backup).await;
        self.tamper("UPDATE database_identity SET restore_epoch = restore_epoch + 1")
            .await;
    }

    /// As an older copy of the database would.
    pub(crate) async fn roll_back(&self, backup: &Backup) {
        let Backup { writer, number } = backup;
        for sql in [
            format!("DELETE FROM audit_record WHERE writer > '{writer}'"),
            format!("DELETE FROM audit_checkpoint WHERE number > {number}"),
            format!(
                "UPDATE evidence_delivery SET checkpoint_number = {number}, writer = '', seq = 0, \
                 tried_checkpoint = {number}, tried_writer = '', tried_seq = 0 WHERE checkpoint_number > {number}"
            ),
        ] {
            self.tamper(&sql).await;
        }
    }

    /// SQL that the product would never run.
    pub(crate) async fn tamper(&self, sql: &str) {
        let mut tx = self.pool().begin().await.expect("begins");
        tx.execute_text(sql.to_owned(), Vec::new())
            .await
            .expect("tampers");
        tx.commit().await.expect("commits");
    }
}

/// A token use with every member set.
pub(crate) fn token_use(n: usize) -> Entry {
    Entry::new("GetResourceOauth2Token", Outcome::Done)
        .with_principal("arn:aws:iam::000000000000:user/dev-agent")
        .with_request_id(format!("request-{n}"))
        .with_trace_id("trace-1")
        .with_source("192.0.2.7")
        .with_sid("sid-1")
        .with_workload("dev-agent")
        .with_provider("ledgerline")
        .with_session("session-1")
        .with_grant("grant-1")
        .with_person(UserKey::jwt("https://idp.example", "alice"))
        .with_personal("email", "alice@canary.example")
        .with_detail("scopes", serde_json::json!(["issues:read"]))
}

pub(crate) async fn record_some(recorder: &Recorder, count: usize) {
    for n in 0..count {
        let entry = match n % 3 {
            0 => token_use(n),
            1 => Entry::new("CompleteResourceTokenAuth", Outcome::Refused)
                .with_reason("wrong_person")
                .with_source("192.0.2.8"),
            _ => Entry::new("CreateWorkloadIdentity", Outcome::Failed).with_reason("store_unavailable"),
        };
        recorder.record(entry).await.expect("records");
    }
}

impl Fixture {
    pub(crate) fn clock_now(&self) -> Timestamp {
        use countersign_crypto::Clock;
        self.clock.now()
    }
}

/// The faults of each export and proof by the scripts in `examples/verify-audit`, which were written from
/// `docs/audit.md` alone.
pub(crate) fn by_the_examples(
    keys: &JwkSet,
    kept: &str,
    exports: &[String],
    proofs: &[String],
) -> Vec<Vec<String>> {
    let mut given = tempfile::tempfile().expect("a file");
    let input = serde_json::json!({ "keys": keys, "kept": kept, "exports": exports, "proofs": proofs });
    serde_json::to_writer(&mut given, &input).expect("written");
    given.rewind().expect("rewinds");
    let ran = python()
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../tests/python/verify_evidence.py"
        ))
        .stdin(given)
        .output()
        .expect("runs");
    let complaint = String::from_utf8_lossy(&ran.stderr);
    serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {complaint}"))
}
