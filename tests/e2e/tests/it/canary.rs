//! Secrets appear in no log, page, URL or database column in clear, with tracing at its loudest.

use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use e2e::{Person, System, oidc_provider::free_port, served::Served};
use reqwest::cookie::CookieStore as _;
use url::Url;

/// Every file below a directory, as bytes.
fn files(directory: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((
                path.display().to_string(),
                std::fs::read(&path).expect("readable"),
            ));
        }
    }
}

/// An operator of the console looks for somebody, wherever that can be done. Of letters and digits: an encoded id would
/// not be found.
pub(super) async fn looks_for(system: &System, operator: &Person<'_>, id: &str) {
    for page in [
        "/console/people?person=",
        "/console/audit?user=",
        "/console/report?user=",
        "/console/grants?user=",
        "/console/sessions?user=",
    ] {
        let page = operator.opens(&system.account(&format!("{page}{id}"))).await;
        assert_eq!(page.status, reqwest::StatusCode::OK, "{}", page.body);
    }
}

#[tokio::test]
async fn d10_planted_secrets_appear_nowhere_in_clear() {
    let mut system = System::start_with(e2e::system::Options {
        environment: vec![("RUST_LOG".to_owned(), "trace,h2=off,hyper=off".to_owned())],
        ..Default::default()
    });
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("list my open issues", "s").await;
    let consent = events.until("consent").await;
    let link = Url::parse(consent.data["url"].as_str().expect("a link")).expect("a URL");
    let session_uri = e2e::http_browser::query(&link, "request_uri").expect("the session URI");
    let page = alice.starts_consent(&link).await;
    let state = page
        .hops
        .iter()
        .find_map(|url| e2e::http_browser::query(url, "state"))
        .expect("a state");
    let held = alice.decides_at_ledgerline(&page, "alice", "allow").await;
    let code = held
        .hops
        .iter()
        .find_map(|url| e2e::http_browser::query(url, "code"))
        .expect("a code");
    let handle = held.query("session_id").expect("a handle");
    alice.confirms_binding(&held.url).await;
    events.answer().await;

    // A token through the API, so that its text is known here.
    let printed = e2e::python::run(&system, "print_token.py", &[]);
    let mut lines = printed.lines();
    let (wat, token) = (
        lines.next().expect("a WAT").to_owned(),
        lines.next().expect("a token").to_owned(),
    );

    let somebody = "carolcanary2041";
    looks_for(&system, &alice, somebody).await;
    let mut canaries = vec![
        ("person's id", somebody.to_owned()),
        ("authorization code", code),
        ("state", state),
        ("completion handle", handle),
        ("session URI", session_uri),
        ("workload access token", wat),
        ("access token", token),
    ];
    for name in [
        "AWS_SECRET_ACCESS_KEY",
        "COUNTERSIGN_AGENT_SECRET_ACCESS_KEY",
        "COUNTERSIGN_BINDING_SECRET_ACCESS_KEY",
    ] {
        canaries.push(("secret access key", system.variable(name).to_owned()));
    }
    let secrets = std::fs::read_to_string(system.data.join("secrets")).expect("dev keeps its secrets");
    for (name, value) in secrets.lines().filter_map(|line| line.split_once('=')) {
        if name.contains("secret") {
            canaries.push(("secret of dev", value.trim().trim_matches('"').to_owned()));
        }
    }
    // A ticket opens its session record: it is a secret of the person's browser.
    let cookies = alice
        .browser
        .jar
        .cookies(&system.app("/"))
        .expect("the browser has cookies");
    let cookies = cookies.to_str().expect("text").to_owned();
    for (name, value) in cookies.split("; ").filter_map(|cookie| cookie.split_once('=')) {
        if name.starts_with("countersign-account") || name.starts_with("countersign-app") {
            canaries.push(("ticket", value.to_owned()));
        }
    }
    assert!(
        canaries.iter().filter(|(what, _)| *what == "ticket").count() >= 2,
        "both origins: {cookies}"
    );

    assert_eq!(system.interrupt().code(), Some(0));
    let mut places = vec![("the log".to_owned(), system.log_text().into_bytes())];
    files(&system.data, &mut places);
    // The playground stands for other people's services: its own files are theirs. The secrets of both
    // sides are in the one file that `dev` keeps, mode 0600.
    places.retain(|(name, _)| !name.contains("/playground/") && !name.ends_with("/secrets"));
    assert!(
        places
            .iter()
            .any(|(name, bytes)| name.ends_with("identity.sqlite") && !bytes.is_empty())
    );
    assert!(system.log_text().len() > 10_000, "tracing was loud");
    for (what, canary) in &canaries {
        assert!(
            canary.len() >= 8,
            "{what} is long enough to search for: {canary:?}"
        );
        for (place, bytes) in &places {
            let at = bytes
                .windows(canary.len())
                .position(|window| window == canary.as_bytes());
            assert!(at.is_none(), "a {what} is in {place} at byte {at:?}");
        }
    }
}

/// A process that dies leaves no memory behind, nobody beside root reads its environment, and at its loudest it says
/// nothing of the secrets that its configuration names.
#[test]
fn v05_secrets_are_in_no_core_dump_no_debug_output_and_no_environment_that_others_read() {
    const CANARY: &str = "a canary that nobody may ever find, 0123456789";
    let directory = tempfile::tempdir().expect("a directory");
    let config = format!(
        r#"
[keys]
identity = "@DIRECTORY@/identity.key"
[operations]
listen = "localhost:{}"
[identity]
account = "000000000000"
listen_api = "localhost:{}"
listen_front_channel = "localhost:{}"
api_hosts = ["localhost"]
front_channel_url = "http://localhost:9"
[identity.database]
url = "sqlite:@DIRECTORY@/identity.sqlite"
[identity.initial_admin]
access_key_id = "AKIACANARY0000000000"
secret_access_key = "env:CANARY"
"#,
        free_port(),
        free_port(),
        free_port()
    );
    // As a shell starts it in which core dumps are wanted, where they are written.
    let at = directory.path().display().to_string();
    let script = format!("cd {at} && ulimit -c unlimited && exec \"$@\"");
    let through = [
        "env",
        &format!("CANARY={CANARY}"),
        "RUST_LOG=trace",
        "sh",
        "-c",
        &script,
        "sh",
    ];
    let mut served = Served::start_in(directory, "identity", &config, &through);
    let of_process = |file: &str| format!("/proc/{}/{file}", served.pid());
    let limits = std::fs::read_to_string(of_process("limits")).expect("its limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));
    let core: Vec<&str> = core.expect("the limit").split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"], "{limits}");
    // The kernel gives such files to root when a process may not be looked into.
    let environment = std::fs::metadata(of_process("environ")).expect("its environment");
    assert_eq!((environment.uid(), environment.mode() & 0o077), (0, 0));

    served.signal("-ABRT");
    let ended = served.wait();
    assert!(!ended.core_dumped(), "{ended:?}");
    let mut left = Vec::new();
    files(served.directory.path(), &mut left);
    assert!(
        left.iter()
            .any(|(name, log)| name.ends_with("/log") && !log.is_empty())
    );
    for (name, bytes) in left {
        assert!(!name.contains("/core"), "{name}");
        let found = bytes
            .windows(CANARY.len())
            .any(|window| window == CANARY.as_bytes());
        assert!(!found, "the canary is in {name}");
    }
}
