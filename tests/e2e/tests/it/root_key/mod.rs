//! The root of the key hierarchy (design D27) in AWS KMS: moto's, through the whole binary. Run by `./test keys`, which
//! builds the binary with every key provider.

mod customer_key;
mod hand_over;

use std::collections::BTreeMap;
use std::path::Path;

use e2e::{
    cli::{Ran, countersign},
    oidc_provider::free_port,
    postgres::Postgres,
    served::Served,
};
use moto::Moto;
use serde_json::Value;

const KEY_ID: &str = "AKIAROOTKEY000000000";
const SECRET: &str = "a secret of the first caller, long enough";

/// moto's KMS, or where it should be.
struct Kms {
    moto: Option<Moto>,
    endpoint: String,
}

impl Kms {
    fn start() -> Self {
        let moto = Moto::start();
        Self {
            endpoint: moto.url().to_owned(),
            moto: Some(moto),
        }
    }

    /// Somebody else listens there, or nobody.
    fn at(port: u16) -> Self {
        Self {
            moto: None,
            endpoint: format!("http://127.0.0.1:{port}"),
        }
    }

    fn signal(&self, signal: &str) {
        self.moto.as_ref().expect("it was started").signal(signal);
    }

    /// The AWS SDK's variables, before a command.
    fn through(&self) -> Vec<String> {
        let endpoint = format!("AWS_ENDPOINT_URL_KMS={}", self.endpoint);
        ["env", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x", &endpoint]
            .map(str::to_owned)
            .into()
    }

    async fn ask(&self, operation: &str, input: Value) -> Value {
        let answer = reqwest::Client::new()
            .post(&self.endpoint)
            .header("x-amz-target", format!("TrentService.{operation}"))
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/kms/aws4_request, SignedHeaders=host, Signature=0",
            )
            .header("content-type", "application/x-amz-json-1.1")
            .body(input.to_string())
            .send()
            .await
            .expect("moto answers");
        assert!(answer.status().is_success(), "{answer:?}");
        answer.json().await.unwrap_or_default()
    }

    async fn create_key(&self) -> String {
        let made = self.ask("CreateKey", serde_json::json!({})).await;
        made["KeyMetadata"]["Arn"].as_str().expect("an ARN").to_owned()
    }
}

/// An identity role whose databases outlive its processes.
struct Role<'a> {
    kms: &'a Kms,
    directory: &'a Path,
    api: u16,
    front: u16,
    operations: u16,
}

impl Role<'_> {
    fn config(&self, keys: &str) -> String {
        let Self {
            api,
            front,
            operations,
            ..
        } = self;
        let database = self.directory.join("identity.sqlite").display().to_string();
        format!(
            r#"
[keys]
{keys}
[operations]
listen = "localhost:{operations}"
[identity]
account = "000000000000"
listen_api = "localhost:{api}"
listen_front_channel = "localhost:{front}"
api_hosts = ["localhost:{api}"]
front_channel_url = "http://localhost:{front}"
[identity.database]
url = "sqlite:{database}"
[identity.initial_admin]
access_key_id = "{KEY_ID}"
secret_access_key = "{SECRET}"
"#
        )
    }

    fn start(&self, keys: &str) -> Served {
        let through = self.kms.through();
        let through: Vec<&str> = through.iter().map(String::as_str).collect();
        let directory = tempfile::tempdir().expect("a directory");
        Served::start_in(directory, "identity", &self.config(keys), &through)
    }

    /// What `serve` says when it does not start.
    fn refused(&self, keys: &str) -> String {
        let path = self.directory.join("refused.toml");
        std::fs::write(&path, self.config(keys)).expect("written");
        let ran = self.command(&["serve", "identity", "--config", &path.display().to_string()]);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        ran.stderr
    }

    /// A command with the caller's variables, and those that KMS needs where there is a configuration.
    fn command(&self, arguments: &[&str]) -> Ran {
        let endpoint = format!("http://localhost:{}", self.api);
        let offline = arguments.contains(&"--config");
        let (id, secret) = if offline { ("x", "x") } else { (KEY_ID, SECRET) };
        let environment: BTreeMap<String, String> = [
            ("AWS_ACCESS_KEY_ID", id),
            ("AWS_SECRET_ACCESS_KEY", secret),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE", &endpoint),
            ("AWS_ENDPOINT_URL_BEDROCK_AGENTCORE_CONTROL", &endpoint),
            ("AWS_ENDPOINT_URL_KMS", &self.kms.endpoint),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        countersign(arguments, &environment)
    }

    fn works(&self, arguments: &[&str]) -> String {
        let ran = self.command(arguments);
        assert_eq!(ran.code, 0, "{arguments:?}: {}", ran.stderr);
        ran.stdout
    }
}

/// A rotation needs the root key, and is refused without it; what runs goes on.
fn rotate_while_kms_stands_still(role: &Role) {
    role.kms.signal("-STOP");
    let refused = role.command(&["key", "rotate", "credential"]);
    assert_eq!(refused.code, 1, "{}", refused.stdout);
    assert!(
        refused.stderr.contains("ServiceUnavailable"),
        "{}",
        refused.stderr
    );
    assert!(role.works(&["workload", "list"]).contains("after"));
    role.kms.signal("-CONT");
    assert!(
        !role.works(&["key", "list"]).contains("ENABLED"),
        "nothing changed"
    );
    // The clock is the machine's: the values are sealed anew some seconds after the answer.
    let rotated = role.works(&["key", "rotate", "credential", "--wait"]);
    assert!(rotated.contains("PRIMARY"), "{rotated}");
    let listed = role.works(&["key", "list", "--output", "json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let keys = listed["keys"].as_array().expect("a list");
    let old = keys
        .iter()
        .find(|key| key["state"] == "ENABLED")
        .expect("the key before");
    assert_eq!(old["sealedValues"], 0);
    let id = old["keyId"].as_str().expect("its id");
    let refused = role.command(&["key", "retire", id]);
    assert!(refused.stderr.contains("temporary credentials") || refused.stderr.contains("are good until"));
    role.works(&["key", "retire", id, "--force"]);
    assert!(role.works(&["workload", "list"]).contains("after"));
}

/// From SQLite with a key file to PostgreSQL with a key of KMS, by one file (docs/operations.md).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vault_moves_to_another_engine_and_under_another_root_key() {
    let kms = Kms::start();
    let key = kms.create_key().await;
    let (from, to) = (
        tempfile::tempdir().expect("one"),
        tempfile::tempdir().expect("two"),
    );
    let place = |directory| Role {
        kms: &kms,
        directory,
        api: free_port(),
        front: free_port(),
        operations: free_port(),
    };
    let (old, new) = (place(from.path()), place(to.path()));
    let in_file = |role: &Role| format!("identity = \"{}\"", role.directory.join("identity.key").display());
    let served = old.start(&in_file(&old));
    old.works(&["workload", "create", "before"]);
    let (config, passphrase) = (from.path().join("config.toml"), from.path().join("passphrase"));
    std::fs::write(&config, old.config(&in_file(&old))).expect("written");
    std::fs::write(&passphrase, "correct horse battery staple").expect("written");
    let file = from.path().join("backup.csb").display().to_string();
    let passphrase = passphrase.display().to_string();
    let config = config.display().to_string();
    let sealed = ["--passphrase-file", &passphrase, "--config"];
    old.works(&[&["backup", &file, "--include-keys"], &sealed[..], &[&config]].concat());
    end(served);

    let postgres = Postgres::start("");
    let url = format!("postgres://countersign@127.0.0.1:{}/postgres", postgres.port);
    let sqlite = format!("sqlite:{}", to.path().join("identity.sqlite").display());
    let moving = format!(
        "identity = {{ kms = {{ key_arn = \"{key}\" }} }}\n[keys.previous]\n{}",
        in_file(&new)
    );
    let text = new.config(&moving).replace(&sqlite, &url);
    let config = to.path().join("config.toml");
    std::fs::write(&config, &text).expect("written");
    let config = config.display().to_string();
    let restore = ["restore", &file, "--accept-resurrection"];
    new.works(&[&restore, &sealed[..], &[&config]].concat());

    // Nothing needs the key file from here on.
    std::fs::remove_file(to.path().join("identity.key")).expect("it was restored too");
    let text = text.replace(&moving, moving.lines().next().expect("the new root key"));
    let through = kms.through();
    let through: Vec<&str> = through.iter().map(String::as_str).collect();
    let served = Served::start_in(
        tempfile::tempdir().expect("a directory"),
        "identity",
        &text,
        &through,
    );
    assert!(new.works(&["workload", "list"]).contains("before"));
    std::fs::write(&config, &text).expect("written");
    new.works(&["audit", "verify", "--config", &config]);
    end(served);
}

/// What was measured, for whoever runs it; nothing is asserted of it.
#[expect(clippy::print_stderr, reason = "a measurement is printed")]
fn report(line: &str) {
    eprintln!("hand-over: {line}");
}

fn end(mut served: Served) {
    served.signal("-TERM");
    assert!(served.wait().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_move_from_a_file_to_kms_and_open_what_they_sealed() {
    let kms = Kms::start();
    let (first, second) = (kms.create_key().await, kms.create_key().await);
    let directory = tempfile::tempdir().expect("a directory");
    let role = Role {
        kms: &kms,
        directory: directory.path(),
        api: free_port(),
        front: free_port(),
        operations: free_port(),
    };
    let file = directory.path().join("identity.key");
    let in_file = format!("identity = \"{}\"", file.display());
    let in_kms = format!("identity = {{ kms = {{ key_arn = \"{first}\" }} }}");

    // The secret of the access key that signs every call is sealed under a key of the database.
    let served = role.start(&in_file);
    role.works(&["workload", "create", "before"]);
    end(served);

    let said = role.refused(&in_kms);
    assert!(said.contains(&first) && said.contains("keys.previous"), "{said}");
    let moving = format!("{in_kms}\n[keys.previous]\n{in_file}");
    let served = role.start(&moving);
    assert!(role.works(&["workload", "list"]).contains("before"));
    let records = role.works(&["audit", "tail", "--output", "json"]);
    assert!(
        records.contains("RewrapKeys") && records.contains(&first),
        "{records}"
    );
    end(served);

    std::fs::remove_file(&file).expect("the file is not needed any more");
    let served = role.start(&in_kms);
    role.works(&["workload", "create", "after"]);
    rotate_while_kms_stands_still(&role);
    end(served);
    let offline = directory.path().join("offline.toml");
    std::fs::write(&offline, role.config(&in_kms)).expect("written");
    role.works(&["audit", "verify", "--config", &offline.display().to_string()]);

    let other = in_kms.replace(&first, &second);
    assert!(
        role.refused(&other).contains(&first),
        "the key that wrapped them is named"
    );
    for (wrong, rule) in [
        ("alias/countersign", "aliases are refused"),
        ("arn:aws:kms:us-east-1:000000000000:key/none", "refused"),
    ] {
        let said = role.refused(&in_kms.replace(&first, wrong));
        assert!(said.contains(rule), "{wrong}: {said}");
    }
    let (_, id) = first.split_once('/').expect("an id");
    kms.ask("DisableKey", serde_json::json!({"KeyId": id})).await;
    assert!(role.refused(&in_kms).contains("not enabled"));
    kms.ask("EnableKey", serde_json::json!({"KeyId": id})).await;
    drop(role.start(&in_kms));
    let gone = Role {
        kms: &Kms::at(free_port()),
        ..role
    };
    assert!(gone.refused(&in_kms).contains("not available"));
}
