//! `countersign backup` and `restore`: from a running store, through one file, into the other engine and back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use e2e::{
    cli::{Ran, countersign},
    oidc_provider::free_port,
    postgres::Postgres,
    served::Served,
};
use serde_json::Value;

const KEY_ID: &str = "AKIABACKUP0000000000";
const SECRET: &str = "a secret of the first caller, long enough";

/// An identity role on one database, whose files outlive its processes.
struct Place {
    directory: tempfile::TempDir,
    database: String,
    api: u16,
    front: u16,
    operations: u16,
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
    end(served);

    let drilled = from.works(&[&["restore", &file, "--drill"], &sealed[..]].concat());
    assert!(drilled.starts_with("OK"), "{drilled}");
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

    let file = to.path("back.csb").display().to_string();
    to.works(
        &[
            &["backup", &file, "--config", &config, "--include-keys"],
            &sealed[..],
        ]
        .concat(),
    );
    end(served);
    let back = Place::new(None);
    let config = back.config_file();
    let restore = ["restore", &file, "--config", &config, "--accept-resurrection"];
    back.works(&[&restore, &sealed[..]].concat());
    let served = back.serve();
    assert!(back.works(&["workload", "list"]).contains("before"));
    back.works(&["audit", "verify", "--config", &config]);
    end(served);
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
    assert!(said(&[bytes, b"more"].concat()).contains("behind the end"));
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
