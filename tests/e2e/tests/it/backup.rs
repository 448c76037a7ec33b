//! `countersign backup` and `restore`: from a running store, through one file, into the other engine and back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use e2e::{
    cli::{Ran, countersign},
    oidc_provider::{OidcProvider, free_port},
    postgres::Postgres,
    replicas::Caller,
    served::Served,
};
use serde_json::{Value, json};

const KEY_ID: &str = "AKIABACKUP0000000000";
const SECRET: &str = "a secret of the first caller, long enough";

/// An identity role on one database, whose files outlive its processes.
struct Place {
    directory: tempfile::TempDir,
    database: String,
    api: u16,
    front: u16,
    operations: u16,
    /// More lines of `[identity]`.
    more: String,
}

impl Place {
    /// `None`: a SQLite file of its own.
    fn new(database: Option<String>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let sqlite = || format!("sqlite:{}", directory.path().join("identity.sqlite").display());
        Self {
            database: database.unwrap_or_else(sqlite),
            directory,
            api: free_port(),
            front: free_port(),
            operations: free_port(),
            more: String::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn config(&self) -> String {
        let Self {
            database,
            api,
            front,
            operations,
            more,
            ..
        } = self;
        let key = self.path("identity.key").display().to_string();
        format!(
            r#"
[keys]
identity = "{key}"
[operations]
listen = "localhost:{operations}"
[identity]
account = "000000000000"
listen_api = "localhost:{api}"
listen_front_channel = "localhost:{front}"
api_hosts = ["localhost:{api}"]
front_channel_url = "http://localhost:{front}"
{more}
[identity.database]
url = "{database}"
[identity.initial_admin]
access_key_id = "{KEY_ID}"
secret_access_key = "{SECRET}"
"#
        )
    }

    fn config_file(&self) -> String {
        let path = self.path("config.toml");
        fs::write(&path, self.config()).expect("written");
        path.display().to_string()
    }

    fn serve(&self) -> Served {
        Served::start_in(
            tempfile::tempdir().expect("a directory"),
            "identity",
            &self.config(),
            &[],
        )
    }

    fn call(&self, key: (&str, &str), arguments: &[&str]) -> Ran {
        let endpoint = format!("http://localhost:{}", self.api);
        let environment: BTreeMap<String, String> = [
            ("AWS_ACCESS_KEY_ID", key.0),
            ("AWS_SECRET_ACCESS_KEY", key.1),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", &endpoint),
            ("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL", &endpoint),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        countersign(arguments, &environment)
    }

    fn works(&self, arguments: &[&str]) -> String {
        let ran = self.call((KEY_ID, SECRET), arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        ran.stdout
    }

    /// What a command says that is refused.
    fn refused(&self, arguments: &[&str]) -> String {
        let ran = self.call((KEY_ID, SECRET), arguments);
        assert_eq!(ran.code, 1, "{arguments:?}: {}", ran.stdout);
        ran.stderr
    }
}

fn end(mut served: Served) {
    served.signal("-TERM");
    assert!(served.wait().success());
}

/// A principal with an access key; its id and secret.
fn caller(place: &Place, name: &str) -> (String, String) {
    place.works(&["principal", "create", name]);
    let policy = place.path("policy.json");
    let document = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    fs::write(&policy, document).expect("written");
    let policy = policy.display().to_string();
    place.works(&["policy", "update", name, "--break-glass", "--file", &policy]);
    let made = place.works(&["access-key", "create", name, "--output", "json"]);
    let made: Value = serde_json::from_str(&made).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    (
        text(&made["accessKey"]["accessKeyId"]),
        text(&made["secretAccessKey"]),
    )
}

fn passphrase(directory: &Path, text: &str) -> String {
    let path = directory.join("passphrase");
    fs::write(&path, format!("{text}\n")).expect("written");
    path.display().to_string()
}

/// V3: what a backup holds opens in the other engine; what was handed out before is void; nothing is restored over
/// something, by accident, or from a file that was touched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v03_a_backup_of_a_running_store_is_restored_into_the_other_engine_and_back() {
    let from = Place::new(None);
    let served = from.serve();
    from.works(&["workload", "create", "before"]);
    let (id, secret) = caller(&from, "second");
    let config = from.config_file();
    let secret_file = passphrase(from.directory.path(), "correct horse battery staple");
    let sealed = ["--passphrase-file", &secret_file];
    let file = from.path("backup.csb").display().to_string();
    let backup = [
        &["backup", &file, "--config", &config, "--include-keys"],
        &sealed[..],
    ]
    .concat();
    from.works(&backup);
    assert!(from.refused(&backup).contains("replaces no file"));
    let bytes = fs::read(&file).expect("the backup");
    for clear in ["before", "second", SECRET, secret.as_str()] {
        assert!(
            !bytes
                .windows(clear.len())
                .any(|window| window == clear.as_bytes()),
            "{clear} stands in the file"
        );
    }
    // After the backup: lost by the restore, as it says.
    from.works(&["workload", "create", "after"]);
    recorded_once(&from);
    end(served);
    from.works(&["audit", "verify", "--config", &config]);

    let untried = "no backup of";
    assert!(from.works(&["doctor", "--config", &config]).contains(untried));
    let drilled = from.works(&[&["restore", &file, "--drill"], &sealed[..]].concat());
    assert!(drilled.starts_with("OK"), "{drilled}");
    assert!(
        from.works(&["doctor", "--config", &config]).contains(untried),
        "where the key file is, it was not told"
    );
    from.works(&[&["restore", &file, "--drill", "--config", &config], &sealed[..]].concat());
    assert!(!from.works(&["doctor", "--config", &config]).contains(untried));
    damaged(&from, &bytes, &sealed);

    let postgres = Postgres::start("");
    let url = format!("postgres://countersign@127.0.0.1:{}/postgres", postgres.port);
    let to = Place::new(Some(url));
    let config = to.config_file();
    let restore = [&["restore", &file, "--config", &config], &sealed[..]].concat();
    assert!(to.refused(&restore).contains("--accept-resurrection"));
    let restore = [&restore[..], &["--accept-resurrection"]].concat();
    let said = to.works(&restore);
    assert!(said.contains("restore epoch 1"), "{said}");
    assert!(to.refused(&restore).contains("is not empty"));
    let served = to.serve();
    let listed = to.works(&["workload", "list"]);
    assert!(listed.contains("before") && !listed.contains("after"), "{listed}");
    let second = (id.as_str(), secret.as_str());
    assert_eq!(to.call(second, &["workload", "list"]).code, 1, "not active");
    to.works(&["access-key", "update", &id, "--status", "active"]);
    assert_eq!(to.call(second, &["workload", "list"]).code, 0, "active again");
    to.works(&["audit", "verify", "--config", &config]);
    let trail = to.works(&["audit", "tail", "--action", "Backup"]);
    assert!(
        trail.contains("Backup"),
        "the backup has the record of itself: {trail}"
    );

    let file = to.path("back.csb").display().to_string();
    to.works(
        &[
            &["backup", &file, "--config", &config, "--include-keys"],
            &sealed[..],
        ]
        .concat(),
    );
    let moved = to.path("moved.csb").display().to_string();
    let hand_over = [
        "backup",
        &moved,
        "--config",
        &config,
        "--include-keys",
        "--hand-over",
    ];
    let hand_over = [&hand_over, &sealed[..]].concat();
    assert!(to.refused(&hand_over).contains("end every replica first"));
    end(served);
    handed_over(&to, &moved, &hand_over);

    let back = Place::new(None);
    let config = back.config_file();
    let restore = ["restore", &file, "--config", &config, "--accept-resurrection"];
    back.works(&[&restore, &sealed[..]].concat());
    let served = back.serve();
    assert!(back.works(&["workload", "list"]).contains("before"));
    back.works(&["audit", "verify", "--config", &config]);
    end(served);
}

/// While the server has the file, which goes on with its own chain and finds both in order.
fn recorded_once(place: &Place) {
    let trail = place.works(&["audit", "tail", "--action", "Backup", "--output", "json"]);
    let recorded: Vec<Value> = trail
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(recorded.len(), 1, "{trail}");
    assert_eq!(
        recorded[0]["detail"],
        json!({"keyFiles": true, "handOver": false}),
        "{trail}"
    );
}

/// Nothing is written any more to what was handed over: it has the record of that backup, not of one that was refused,
/// nor of the same one made again; and no ordinary backup may pass for it.
fn handed_over(place: &Place, file: &str, hand_over: &[&str]) {
    let config = place.config_file();
    let recorded = || {
        let tail = [
            "audit", "tail", "--action", "Backup", "--output", "json", "--config", &config,
        ];
        place.works(&tail).matches("\"handOver\":true").count()
    };
    assert_eq!(recorded(), 0);
    place.works(hand_over);
    assert_eq!(recorded(), 1);
    fs::remove_file(file).expect("the file is lost");
    let ordinary: Vec<&str> = hand_over
        .iter()
        .copied()
        .filter(|argument| *argument != "--hand-over")
        .collect();
    let said = place.refused(&ordinary);
    assert!(said.contains("was handed over"), "{said}");
    place.works(hand_over);
    assert_eq!(recorded(), 1);
}

/// Where the root key is lost, a backup is made only when it need not be recorded.
#[test]
fn a_backup_without_a_record_is_made_only_when_asked_for() {
    let place = Place::new(None);
    end(place.serve());
    let config = place.config_file();
    fs::remove_file(place.path("identity.key")).expect("the key is lost");
    let secret_file = passphrase(place.directory.path(), "correct horse battery staple");
    let file = place.path("backup.csb").display().to_string();
    let backup = [
        "backup",
        &file,
        "--config",
        &config,
        "--passphrase-file",
        &secret_file,
    ];
    let said = place.refused(&backup);
    assert!(
        said.contains("audit trail") && said.contains("--unrecorded"),
        "{said}"
    );
    place.works(&[&backup[..], &["--unrecorded"]].concat());
    assert!(fs::metadata(&file).is_ok_and(|made| made.len() > 0));
}

/// V3, with the newer audit log at hand: what ended after the backup stays ended, what was spent is not sent again, and
/// everything else goes on as if nothing had happened.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v03_with_the_newer_audit_log_a_restore_brings_nothing_back_to_life() {
    let provider = free_port();
    let issuer = format!("http://127.0.0.1:{provider}");
    let _provider = OidcProvider::start_rotating(provider, &issuer, 3600);
    let mut from = Place::new(None);
    from.more = format!("outbound_allow = [\"127.0.0.1:{provider}\"]");
    let served = from.serve();
    let agent = Caller::of(vec![from.api], KEY_ID, SECRET);
    agent.registers(&issuer).await;
    let (id, secret) = caller(&from, "second");
    from.works(&["workload", "create", "deleted"]);
    let mut grants = BTreeMap::new();
    for person in ["keeps", "revoked", "stopped", "withdrawn", "forgotten", "again"] {
        let wat = agent.wat(person).await;
        let connected = agent.connects(person, &wat).await;
        let grant = connected["grantId"].as_str().expect("an id").to_owned();
        grants.insert(person, (wat, grant));
    }
    let config = from.config_file();
    let secret_file = passphrase(from.directory.path(), "correct horse battery staple");
    let sealed = ["--passphrase-file", &secret_file];
    let file = from.path("backup.csb").display().to_string();
    let backup = ["backup", &file, "--config", &config, "--include-keys"];
    from.works(&[&backup, &sealed[..]].concat());

    // What happens afterwards.
    from.works(&["grant", "revoke", &grants["revoked"].1]);
    from.works(&["user", "stop", "stopped"]);
    from.works(&["user", "stop", "withdrawn", "--revoke-tokens"]);
    from.works(&["user", "start", "withdrawn"]);
    from.works(&["user", "forget", "forgotten"]);
    from.works(&["workload", "delete", "deleted"]);
    // In force, though it is the last that this caller may do and is answered as a refusal.
    let own = from.call((&id, &secret), &["principal", "stop", "second"]);
    assert_eq!(own.code, 1, "{}", own.stderr);
    from.works(&["access-key", "update", &id, "--status", "inactive"]);
    from.works(&["workload", "create", "after"]);
    let wat = &grants["again"].0;
    let mut anew = Caller::token_request(wat);
    anew["forceAuthentication"] = true.into();
    let pending = agent.must("/identities/oauth2/token", anew).await;
    let handle = Caller::consents(pending["authorizationUrl"].as_str().expect("a link")).await;
    let body = json!({"sessionUri": handle, "userIdentifier": {"userId": "again"}});
    agent.must("/identities/CompleteResourceTokenAuth", body).await;
    end(served);
    let log = from.path("audit.jsonl").display().to_string();
    from.works(&["audit", "export", &log, "--config", &config]);

    let mut to = Place::new(None);
    to.more.clone_from(&from.more);
    let target = to.config_file();
    let restore = ["restore", &file, "--config", &target, "--audit-export"];
    let said = to.works(&[&restore[..], &[log.as_str()], &sealed[..]].concat());
    assert!(said.contains("newer records"), "{said}");
    let served = to.serve();
    let restored = Caller::of(vec![to.api], KEY_ID, SECRET);
    let second = (id.as_str(), secret.as_str());
    assert_eq!(
        to.call(second, &["workload", "list"]).code,
        1,
        "inactive, as before"
    );
    still_stopped(&to, second);
    assert!(!to.works(&["workload", "list"]).contains("deleted"));
    let state = |person: &str| {
        let shown = to.works(&["grant", "show", &grants[person].1, "--output", "json"]);
        let shown: Value = serde_json::from_str(&shown).expect("JSON");
        shown["grant"]["state"].as_str().expect("a state").to_owned()
    };
    assert_eq!(state("keeps"), "ACTIVE");
    assert_eq!(state("revoked"), "REVOKED");
    assert_eq!(state("withdrawn"), "REVOKED", "by a stop that is over");
    assert_eq!(state("again"), "NEEDS_CONSENT", "a newer consent took its place");
    assert_eq!(
        to.call((KEY_ID, SECRET), &["grant", "show", &grants["forgotten"].1])
            .code,
        1
    );
    let token = async |person: &str| {
        let wat = restored.wat(person).await;
        restored.token(0, &wat).await.expect("an answer")
    };
    assert_eq!(
        token("keeps").await.body["grantId"],
        grants["keeps"].1,
        "served as it is"
    );
    for person in ["revoked", "withdrawn", "forgotten", "again"] {
        assert!(
            token(person).await.body["authorizationUrl"].is_string(),
            "{person}"
        );
    }
    let wat = json!({"workloadName": e2e::replicas::WORKLOAD, "userId": "stopped"});
    let stopped = restored
        .call(0, "/identities/GetWorkloadAccessTokenForUserId", &wat)
        .await;
    assert_eq!(stopped.expect("an answer").status.as_u16(), 403);
    to.works(&["audit", "verify", "--config", &target]);
    end(served);

    shortened(&file, &log, &sealed);
}

/// Who stopped themselves is, with an active key too.
fn still_stopped(place: &Place, key: (&str, &str)) {
    place.works(&["access-key", "update", key.0, "--status", "active"]);
    let refused = place.call(key, &["workload", "list"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("stopped"),
        "{}",
        refused.stderr
    );
}

/// A log that somebody shortened does not verify, and no server starts on what is half restored.
fn shortened(file: &str, log: &str, sealed: &[&str]) {
    let lines = fs::read_to_string(log).expect("the log");
    let cut: Vec<&str> = lines
        .lines()
        .filter(|line| !line.contains("\"RevokeGrant\""))
        .collect();
    fs::write(log, cut.join("\n") + "\n").expect("written");
    let last = Place::new(None);
    let target = last.config_file();
    let restore = ["restore", file, "--config", &target, "--audit-export"];
    let said = last.refused(&[&restore[..], &[log], sealed].concat());
    assert!(said.contains("does not verify"), "{said}");
    let said = last.refused(&["serve", "identity", "--config", &target]);
    assert!(said.contains("did not end"), "half restored: {said}");
}

/// However a restore ends before its end, here by a root key that cannot be used, what it has filled by then is older
/// than the world and nothing starts on it; nor does it become the file of a hand-over.
#[test]
fn v03_a_restore_that_does_not_end_leaves_nothing_to_start_on() {
    let from = Place::new(None);
    end(from.serve());
    let config = from.config_file();
    let secret_file = passphrase(from.directory.path(), "correct horse battery staple");
    let sealed = ["--passphrase-file", &secret_file];
    let file = from.path("backup.csb").display().to_string();
    from.works(&[&["backup", &file, "--config", &config], &sealed[..]].concat());
    let to = Place::new(None);
    let config = to.config_file();
    fs::write(to.path("identity.key"), "for everybody to read").expect("written");
    let restore = ["restore", &file, "--config", &config, "--accept-resurrection"];
    let said = to.refused(&[&restore, &sealed[..]].concat());
    assert!(
        said.contains("other users of this machine could read it"),
        "{said}"
    );
    fs::copy(from.path("identity.key"), to.path("identity.key")).expect("copied");
    let said = to.refused(&["serve", "identity", "--config", &config]);
    assert!(said.contains("did not end"), "{said}");
    let moved = to.path("moved.csb").display().to_string();
    let hand_over = ["backup", &moved, "--config", &config, "--hand-over"];
    let said = to.refused(&[&hand_over, &sealed[..]].concat());
    assert!(said.contains("did not end"), "{said}");
}

/// Files that somebody changed, cut, or opens with something else.
fn damaged(place: &Place, bytes: &[u8], sealed: &[&str]) {
    let path = place.path("damaged.csb");
    let file = path.display().to_string();
    let drill = [&["restore", &file, "--drill"], sealed].concat();
    let said = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("written");
        place.refused(&drill)
    };
    assert!(said(b"no backup\n").contains("no backup of countersign"));
    assert!(said(&bytes[..bytes.len() - 1]).contains("ends in the middle"));
    assert!(said(&[bytes, b"more"].concat()).contains("after the end of the backup"));
    let mut flipped = bytes.to_vec();
    *flipped.last_mut().expect("not empty") ^= 1;
    assert!(said(&flipped).contains("does not open"));
    let header = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("a first line");
    let newer = String::from_utf8_lossy(&bytes[..header]).replace("\"format\":1", "\"format\":2");
    assert!(said(&[newer.as_bytes(), &bytes[header..]].concat()).contains("format 2"));
    let renamed = String::from_utf8_lossy(&bytes[..header]).replace("createdAt\":\"2", "createdAt\":\"1");
    assert!(said(&[renamed.as_bytes(), &bytes[header..]].concat()).contains("does not open"));
    let other = place.path("other");
    fs::write(&other, "another passphrase\n").expect("written");
    fs::write(&path, bytes).expect("written");
    let other = other.display().to_string();
    let wrong = place.refused(&["restore", &file, "--drill", "--passphrase-file", &other]);
    assert!(wrong.contains("another passphrase or key"), "{wrong}");
    let missing = place.refused(&["restore", &file, "--drill"]);
    assert!(missing.contains("--passphrase-file"), "{missing}");
}
