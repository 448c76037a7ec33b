//! The access log, read with the regular expression that AWS publishes for ALB logs, and as JSON.

use countersign_gateway::config::{AccessLog, AccessLogFormat};
use http::Method;
use regex::Regex;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::Duration;
use url::Url;

use crate::support::{Browser, Lie, SIGNER, System};

/// "Create a table for Application Load Balancer logs", Amazon Athena user guide: `input.regex`, with what Rust
/// writes otherwise than Java, and without its last two groups, which take any rest.
const ATHENA: &str = concat!(
    r#"^([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*):([0-9]*) ([^ ]*)[:-]([0-9]*) ([-.0-9]*) ([-.0-9]*) ([-.0-9]*) (|[-0-9]*) "#,
    r#"(-|[-0-9]*) ([-0-9]*) ([-0-9]*) "([^ ]*) (.*) (- |[^ ]*)" "([^"]*)" ([A-Z0-9_-]+) ([A-Za-z0-9.-]*) ([^ ]*) "#,
    r#""([^"]*)" "([^"]*)" "([^"]*)" ([-.0-9]*) ([^ ]*) "([^"]*)" "([^"]*)" "([^ ]*)" "([^\s]+?)" "([^\s]+)" "#,
    r#""([^ ]*)" "([^ ]*)" ?([^ ]*)?"#
);
const CANARY: &str = "urn:ietf:params:oauth:request_uri:canary";

async fn start(format: AccessLogFormat) -> (System, tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("access.log");
    let log = AccessLog {
        format,
        path: Some(path.clone()),
    };
    let system = System::start_with(|config| config.access_log = log).await;
    (system, directory, path)
}

/// A login, a request of the agent, one that is refused and a logout; answers what must never be written.
async fn traffic(system: &System) -> Vec<String> {
    system.provider.user("alice");
    let mut secrets = vec![CANARY.to_owned()];
    let mut browser = Browser::new();
    let url = format!("{}/chat?session_id={CANARY}&page=2", system.app);
    let answer = browser.follow(&url).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let echo = answer.json();
    for name in [
        "x-amzn-oidc-accesstoken",
        "x-amzn-oidc-data",
        "x-countersign-user-token",
    ] {
        secrets.extend(echo["headers"][name].as_str().map(str::to_owned));
    }
    secrets.extend(browser.cookies.values().cloned());
    for url in &answer.visited {
        let url = Url::parse(url).expect("a URL");
        let open = |name: &str| ["code", "state", "nonce", "code_challenge"].contains(&name);
        secrets.extend(
            url.query_pairs()
                .filter(|(name, _)| open(name))
                .map(|(_, value)| value.into_owned()),
        );
    }
    assert!(secrets.len() > 8, "codes and states were seen");
    let post = browser
        .send(
            Method::POST,
            &format!("{}/chat", system.app),
            &[("user-agent", "a \"quoted\" agent")],
            "hello",
        )
        .await;
    assert_eq!(post.status, 200);
    // A login that fails: the reason is the ALB's.
    system.provider.lie(Lie::OtherNonce);
    assert_eq!(
        Browser::new()
            .follow(&format!("{}/connections", system.account))
            .await
            .status,
        401
    );
    system.provider.lie(Lie::None);
    let navigation = [
        ("sec-fetch-site", "none"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    let logout = browser
        .get_with(&format!("{}/logout", system.account), &navigation)
        .await;
    let hint = Url::parse(logout.location()).expect("a URL");
    let hint = hint
        .query_pairs()
        .find(|(name, _)| name == "id_token_hint")
        .expect("a hint");
    secrets.push(hint.1.clone().into_owned());
    let landing = format!(
        "{}/logged-out?id_token_hint={}&state=canary-state",
        system.account, hint.1
    );
    browser.get(&landing).await;
    secrets.push("canary-state".to_owned());
    secrets
}

/// All lines, once the gateway has stopped.
async fn lines(system: &mut System, path: &Path, secrets: &[String]) -> Vec<String> {
    system.stop().await;
    let log = std::fs::read_to_string(path).expect("a log");
    for secret in secrets {
        assert!(!log.contains(secret.as_str()), "{secret} is in the log");
    }
    log.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn an_alb_line_has_the_albs_fields_and_no_secret() {
    let (mut system, _directory, path) = start(AccessLogFormat::Alb).await;
    let secrets = traffic(&system).await;
    let lines = lines(&mut system, &path, &secrets).await;
    let athena = Regex::new(ATHENA).expect("a regular expression");
    let fields: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            let groups = athena
                .captures(line)
                .unwrap_or_else(|| panic!("not an ALB line: {line}"));
            groups
                .iter()
                .map(|group| group.map_or("", |group| group.as_str()).to_owned())
                .collect()
        })
        .collect();
    let of = |method: &str, path: &str, status: &str| {
        let found = fields
            .iter()
            .find(|field| field[15] == method && field[16].contains(path) && field[11] == status);
        found.unwrap_or_else(|| panic!("{method} {path} {status} in {lines:#?}"))
    };
    let port = system.app.rsplit(':').next().expect("a port");
    let page = of("GET", "/chat", "200");
    assert_eq!(page[1], "http");
    // The clock stands still: what is later than the coming is what the request took by the monotonic clock, of which
    // the three times are the parts, each cut to a millisecond.
    assert_eq!(page[26], "2027-01-15T08:00:00.000000Z");
    let took = page[2]
        .strip_prefix("2027-01-15T08:00:")
        .and_then(|rest| rest.strip_suffix('Z'));
    let duration =
        |seconds: &str| Duration::try_from_secs_f64(seconds.parse().expect("seconds")).expect("a duration");
    let took = duration(took.unwrap_or_else(|| panic!("{} is within a minute", page[2])));
    let parts: Duration = page[8..=10].iter().map(|part| duration(part)).sum();
    assert!(
        parts <= took && took < parts + Duration::from_millis(3),
        "{took:?} for {:?}",
        &page[8..=10]
    );
    assert_eq!(page[3], SIGNER.rsplit_once(":loadbalancer/").expect("an ARN").1);
    assert_eq!(
        page[16],
        format!("http://localhost:{port}/chat?session_id=REDACTED&page=2")
    );
    assert_eq!(page[17], "HTTP/1.1");
    assert_eq!(page[12], "200", "the target's status");
    assert_eq!(page[21], "agent", "the target group");
    assert!(page[22].starts_with("Root=1-"), "{}", page[22]);
    assert_eq!(page[27], "authenticate,forward");
    assert_eq!(page[29], "-");
    assert_eq!(page[30], format!("{}:{}", page[6], page[7]), "target:port_list");
    let sent_form = of("POST", "/chat", "200");
    assert_eq!(sent_form[18], r"a \x22quoted\x22 agent");
    let (received, sent): (u64, u64) = (
        sent_form[13].parse().expect("bytes"),
        sent_form[14].parse().expect("bytes"),
    );
    assert!(received > 5 && sent > 100, "{received} {sent}");
    let login = of("GET", "/chat", "302");
    assert_eq!(
        (login[27].as_str(), login[28].as_str(), login[8].as_str()),
        ("authenticate", "-", "-1")
    );
    let callback = of("GET", "/oauth2/idpresponse?code=REDACTED&state=REDACTED", "302");
    assert_eq!(
        (callback[25].as_str(), callback[27].as_str()),
        ("-1", "authenticate")
    );
    let refused = of("GET", "/oauth2/idpresponse?code=REDACTED&state=REDACTED", "401");
    assert_eq!(refused[29], "AuthInvalidAWSALBAuthNonce");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_its_line() {
    use tokio::io::AsyncWriteExt as _;
    let (mut system, _directory, path) = start(AccessLogFormat::Alb).await;
    let mut browser = system.logged_in("alice").await;
    let cookie = browser.cookie_header("localhost");
    let address = system.app.trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.expect("connected");
    let request = format!("GET /silent HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(stream);
    assert_eq!(browser.get(&format!("{}/", system.app)).await.status, 200);
    let lines = lines(&mut system, &path, &[]).await;
    let line = lines
        .iter()
        .find(|line| line.contains("/silent"))
        .expect("a line");
    assert!(
        line.contains(" 460 - ") && line.contains("\"ClientClosed\""),
        "{line}"
    );
    let athena = Regex::new(ATHENA).expect("a regular expression");
    let fields = athena.captures(line).expect("an ALB line");
    assert_eq!((&fields[21], &fields[27]), ("agent", "authenticate,forward"));
}

#[tokio::test]
async fn a_json_line_says_the_same() {
    let (mut system, _directory, path) = start(AccessLogFormat::Json).await;
    let secrets = traffic(&system).await;
    let lines = lines(&mut system, &path, &secrets).await;
    let entries: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect();
    let post = entries
        .iter()
        .find(|entry| {
            entry["request"]
                .as_str()
                .is_some_and(|request| request.starts_with("POST "))
        })
        .expect("a POST");
    assert_eq!(post["elb_status_code"], 200);
    assert_eq!(post["user_agent"], r"a \x22quoted\x22 agent");
    assert_eq!(post["actions_executed"], "authenticate,forward");
    assert_eq!(post["matched_rule_priority"].as_i64(), Some(30));
    assert!(post["target_processing_time"].is_number());
    assert_eq!(post["request_id"].as_str().map(str::len), Some(36));
    assert!(
        entries
            .iter()
            .any(|entry| entry["error_reason"] == "AuthInvalidAWSALBAuthNonce")
    );
}
