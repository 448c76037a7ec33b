//! A disk that is full, and comes to itself; one that is read-only; a file that another server or a newer program holds.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use e2e::{
    cli::countersign,
    oidc_provider::{OidcProvider, free_port},
    replicas::Caller,
    served::Served,
};
use serde_json::json;

const KEY_ID: &str = "AKIADISK000000000000";
const SECRET: &str = "a secret of the first caller, long enough";

fn config(database: &str, api: u16, provider: u16) -> String {
    format!(
        r#"
[keys]
identity = "@DIRECTORY@/identity.key"
[operations]
listen = "localhost:{}"
[identity]
account = "000000000000"
listen_api = "localhost:{api}"
listen_front_channel = "localhost:{front}"
api_hosts = ["localhost:{api}"]
front_channel_url = "http://localhost:{front}"
outbound_allow = ["127.0.0.1:{provider}"]
[identity.database]
url = "sqlite:{database}"
[identity.initial_admin]
access_key_id = "{KEY_ID}"
secret_access_key = "{SECRET}"
"#,
        free_port(),
        front = free_port(),
    )
}

/// A server whose database lies on a disk of six megabytes, which is its own.
fn on_a_small_disk(provider: u16, api: u16) -> (Served, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let disk = directory.path().join("disk");
    std::fs::create_dir(&disk).expect("made");
    let at = disk.display().to_string();
    let script = format!("mount -t tmpfs -o size=6m tmpfs {at} && exec \"$@\"");
    let through = ["unshare", "-m", "sh", "-c", &script, "sh"];
    let config = config(&format!("{at}/identity.sqlite"), api, provider);
    let served = Served::start_in(directory, "identity", &config, &through);
    // Seen from outside the namespace of its mounts.
    let seen = PathBuf::from(format!("/proc/{}/root{at}", served.pid()));
    (served, seen)
}

/// Nothing leaves that is not on record, nothing is lost, and the server goes on by itself when there is room again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_answered_with_503_until_there_is_room() {
    let (api, provider) = (free_port(), free_port());
    let issuer = format!("http://127.0.0.1:{provider}");
    let _provider = OidcProvider::start_rotating(provider, &issuer, 3600);
    let (mut served, disk) = on_a_small_disk(provider, api);
    let caller = Caller::of(vec![api], KEY_ID, SECRET);
    caller.registers(&issuer).await;
    let wat = caller.wat("alice").await;
    let connected = caller.connects("alice", &wat).await;

    let filler = disk.join("filler");
    let mut chunk = 1 << 20;
    let mut file = std::fs::File::create(&filler).expect("a file");
    while chunk > 0 {
        if std::io::Write::write_all(&mut file, &vec![0; chunk]).is_err() {
            chunk /= 2;
        }
    }
    // What is preallocated holds a few more records.
    let began = Instant::now();
    let mut last = 200;
    while last != 503 {
        assert!(began.elapsed() < Duration::from_mins(1), "{last}");
        let answer = caller.token(0, &wat).await.expect("an answer");
        last = answer.status.as_u16();
        assert!(last == 200 || last == 503, "{answer:?}");
    }
    let body = json!({"name": "not-stored"});
    let create = caller.call(0, "/identities/CreateWorkloadIdentity", &body).await;
    assert_eq!(create.expect("an answer").status.as_u16(), 503);

    drop(file);
    std::fs::remove_file(&filler).expect("room again");
    let began = Instant::now();
    loop {
        let answer = caller.token(0, &wat).await.expect("an answer");
        if answer.status.is_success() {
            assert_eq!(answer.body["grantId"], connected["grantId"], "nothing is lost");
            break;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let listed = caller.must("/identities/ListWorkloadIdentities", json!({})).await;
    assert!(!listed.to_string().contains("not-stored"), "{listed}");
    let verified = caller.must("/countersign/VerifyAudit", json!({})).await;
    assert_eq!(verified["ok"], true, "{verified}");
    served.signal("-TERM");
    assert!(served.wait().success());
}

/// Each is refused at the start, by a message that says what it is.
#[test]
fn what_cannot_be_written_is_held_by_another_or_is_newer_stops_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let database = directory.path().join("identity.sqlite");
    let path = database.display().to_string();
    let config =
        config(&path, free_port(), 9).replace("@DIRECTORY@", &directory.path().display().to_string());
    let file = directory.path().join("config.toml");
    std::fs::write(&file, &config).expect("written");
    let arguments = ["serve", "identity", "--config", &file.display().to_string()];
    let none: BTreeMap<String, String> = BTreeMap::new();
    let other = tempfile::tempdir().expect("a directory");
    let mut first = Served::start_in(other, "identity", &config, &[]);
    let second = countersign(&arguments, &none);
    assert!(
        second.code == 1 && second.stderr.contains("in use"),
        "{}",
        second.stderr
    );
    first.signal("-TERM");
    assert!(first.wait().success());

    // The same files on a disk that cannot be written.
    let (place, mine) = (directory.path().display(), e2e::system::binary());
    let script = format!(
        "mount --bind {place} {place} && mount -o remount,ro,bind {place} && exec {} {}",
        mine.display(),
        arguments.join(" ")
    );
    let ran = std::process::Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .output()
        .expect("unshare runs");
    let said = String::from_utf8_lossy(&ran.stderr).to_lowercase();
    let told = said.contains("identity.database") && said.contains("unable to open database file");
    assert!(ran.status.code() == Some(1) && told, "{said}");

    let newer = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
                 db.execute(\"INSERT INTO migration SELECT owner, version + 1000, name || 'x', checksum, applied_at FROM migration \
                 WHERE owner = 'identity' ORDER BY version DESC LIMIT 1\"); db.commit()";
    let python = std::process::Command::new("python3")
        .args(["-c", newer, &path])
        .status();
    assert!(python.expect("python3 runs").success());
    let refused = countersign(&arguments, &none);
    assert!(
        refused.code == 1 && refused.stderr.contains("newer"),
        "{}",
        refused.stderr
    );
}
