//! Temporary credentials: fetched where the platform has them, renewed before they end, kept while that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use countersign_api::{CredentialSource, CredentialsError, Environment};
use moto::Moto;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use wiremock::matchers::{body_string_contains, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// 2026-11-24T06:00:00Z.
const NOW: i64 = 1_795_500_000;

struct Clock(Arc<AtomicI64>);

impl Clock {
    fn new() -> Self {
        Self(Arc::new(AtomicI64::new(NOW)))
    }

    fn at(&self, secs: i64) {
        self.0.store(NOW + secs, Ordering::SeqCst);
    }

    fn source(&self, variables: &[(&str, &str)]) -> Result<CredentialSource, CredentialsError> {
        let find = |name: &str| Some(variables.iter().find(|(known, _)| *known == name)?.1.to_owned());
        let now = Arc::clone(&self.0);
        CredentialSource::from_environment(
            &Environment::read(find)?,
            true,
            Arc::new(move || now.load(Ordering::SeqCst)),
        )
    }
}

fn key(which: &str, expires: &str) -> Value {
    json!({
        "RoleArn": "arn:aws:iam::000000000000:role/agent", "AccessKeyId": format!("ASIA{which}"),
        "SecretAccessKey": format!("secret-{which}"), "Token": format!("token-{which}"), "Expiration": expires,
    })
}

async fn id(source: &CredentialSource) -> Result<String, CredentialsError> {
    Ok(source.current().await?.access_key_id)
}

async fn answers(server: &MockServer, which: &str, expires: &str, times: u64) {
    Mock::given(method("GET"))
        .and(path("/v2/credentials"))
        .respond_with(ResponseTemplate::new(200).set_body_json(key(which, expires)))
        .up_to_n_times(times)
        .mount(server)
        .await;
}

#[tokio::test]
async fn a_containers_credentials_are_renewed_before_they_end() {
    let server = MockServer::start().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "Basic secret\n").expect("written");
    Mock::given(path("/v2/credentials"))
        .and(header("authorization", "Basic secret"))
        .respond_with(ResponseTemplate::new(200).set_body_json(key("ONE", "2026-11-24T07:00:00Z")))
        .expect(1)
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let clock = Clock::new();
    let url = format!("{}/v2/credentials", server.uri());
    let source = clock
        .source(&[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url),
            (
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                file.path().to_str().expect("text"),
            ),
        ])
        .expect("a source");
    let first = source.current().await.expect("credentials");
    assert_eq!(first.access_key_id, "ASIAONE");
    assert_eq!(first.secret_access_key.expose_secret(), "secret-ONE");
    assert_eq!(first.session_token.expect("a token").expose_secret(), "token-ONE");
    clock.at(3_299);
    assert_eq!(id(&source).await.expect("the same"), "ASIAONE");

    // Five minutes before their end the place fails: the old ones go on, and it is not asked at every call.
    clock.at(3_300);
    Mock::given(path("/v2/credentials"))
        .respond_with(ResponseTemplate::new(500))
        .expect(1)
        .up_to_n_times(1)
        .mount(&server)
        .await;
    for _ in 0..3 {
        assert_eq!(id(&source).await.expect("the old ones"), "ASIAONE");
    }
    clock.at(3_316);
    answers(&server, "TWO", "2026-11-24T08:00:00Z", 1).await;
    assert_eq!(id(&source).await.expect("new ones"), "ASIATWO");
    assert_eq!(id(&source).await.expect("the same"), "ASIATWO");

    // Past their end nothing is signed with them.
    clock.at(7_200);
    let error = id(&source).await.expect_err("they have ended").to_string();
    assert!(
        error.contains("container credentials endpoint answered with status 404"),
        "{error}"
    );
    assert!(!format!("{source:?}").contains("secret"), "{source:?}");
}

#[tokio::test]
async fn a_hundred_callers_fetch_once() {
    let server = MockServer::start().await;
    Mock::given(path("/v2/credentials"))
        .respond_with(
            ResponseTemplate::new(200)
                .set_body_json(key("ONE", "2026-11-24T07:00:00Z"))
                .set_delay(std::time::Duration::from_millis(50)),
        )
        .expect(1)
        .mount(&server)
        .await;
    let url = format!("{}/v2/credentials", server.uri());
    let source = Clock::new()
        .source(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)])
        .expect("a source");
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let source = source.clone();
        callers.spawn(async move { id(&source).await.expect("credentials") });
    }
    assert!(callers.join_all().await.iter().all(|id| id == "ASIAONE"));
}

#[tokio::test]
async fn a_fetch_that_fails_serves_all_who_waited_for_it() {
    let server = MockServer::start().await;
    Mock::given(path("/v2/credentials"))
        .respond_with(ResponseTemplate::new(500).set_delay(std::time::Duration::from_millis(500)))
        .expect(1)
        .up_to_n_times(1)
        .mount(&server)
        .await;
    let url = format!("{}/v2/credentials", server.uri());
    let source = Clock::new()
        .source(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)])
        .expect("a source");
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let source = source.clone();
        callers.spawn(async move { id(&source).await.expect_err("no credentials").to_string() });
    }
    let errors = callers.join_all().await;
    assert!(
        errors.iter().all(|error| error.contains("status 500")),
        "{errors:?}"
    );
    // Who comes after it is no part of that.
    answers(&server, "ONE", "2026-11-24T07:00:00Z", 1).await;
    assert_eq!(id(&source).await.expect("credentials"), "ASIAONE");
}

#[tokio::test]
async fn a_role_is_assumed_with_the_tokens_file() {
    let server = MockServer::start().await;
    let answer = "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
        <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAWEB</AccessKeyId>\
        <SecretAccessKey>secret/+=</SecretAccessKey><SessionToken>token/+=</SessionToken>\
        <Expiration>2026-11-24T07:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
        </AssumeRoleWithWebIdentityResponse>";
    for part in [
        "Action=AssumeRoleWithWebIdentity",
        "RoleArn=arn%3Aaws%3Aiam",
        "WebIdentityToken=header.claims.sig",
    ] {
        Mock::given(method("POST"))
            .and(body_string_contains(part))
            .respond_with(ResponseTemplate::new(200).set_body_string(answer))
            .mount(&server)
            .await;
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "header.claims.sig\n").expect("written");
    let path = file.path().to_str().expect("text");
    let uri = server.uri();
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", path),
        ("AWS_ROLE_ARN", "arn:aws:iam::000000000000:role/agent"),
        ("AWS_ENDPOINT_URL_STS", uri.as_str()),
        // Asked only where there is no web identity.
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/1"),
    ];
    let source = Clock::new().source(&variables).expect("a source");
    assert!(!source.is_fixed());
    let credentials = source.current().await.expect("credentials");
    assert_eq!(credentials.access_key_id, "ASIAWEB");
    assert_eq!(credentials.secret_access_key.expose_secret(), "secret/+=");
    let sent = &server.received_requests().await.expect("recorded")[0];
    let sent = String::from_utf8_lossy(&sent.body).into_owned();
    assert!(
        sent.contains("RoleSessionName=countersign") && sent.contains("WebIdentityToken=header.claims.sig"),
        "{sent}"
    );

    server.reset().await;
    let refusal =
        "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code></Error></ErrorResponse>";
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(403).set_body_string(refusal))
        .mount(&server)
        .await;
    let error = id(&Clock::new().source(&variables).expect("a source"))
        .await
        .expect_err("refused");
    assert!(
        error.to_string().contains("403 Forbidden (AccessDenied)"),
        "{error}"
    );
}

#[tokio::test]
async fn an_instance_has_the_credentials_of_its_role() {
    let moto = Moto::start();
    let source = Clock::new().source(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", moto.url())]);
    let credentials = source.expect("a source").current().await.expect("credentials");
    assert_eq!(credentials.access_key_id, "test-key");
    assert_eq!(credentials.secret_access_key.expose_secret(), "test-secret-key");
    assert_eq!(
        credentials.session_token.expect("a token").expose_secret(),
        "test-session-token"
    );
}

#[tokio::test]
async fn an_instance_is_asked_by_version_two_alone() {
    let server = MockServer::start().await;
    // What answers a plain GET: version 1, or somebody's proxy.
    let role = "/latest/meta-data/iam/security-credentials/";
    let role_answers = |given: Option<&'static str>| {
        let mock = Mock::given(method("GET")).and(path(role));
        match given {
            Some(token) => mock.and(header("x-aws-ec2-metadata-token", token)),
            None => mock,
        }
        .respond_with(ResponseTemplate::new(200).set_body_string("agent\n"))
    };
    role_answers(None).expect(0).mount(&server).await;
    let uri = server.uri();
    let source = || {
        let source = Clock::new().source(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &uri)]);
        source.expect("a source")
    };
    let error = id(&source()).await.expect_err("refused").to_string();
    assert!(
        error.contains("instance metadata service answered with status 404"),
        "{error}"
    );
    server.verify().await;

    server.reset().await;
    Mock::given(method("PUT"))
        .and(path("/latest/api/token"))
        .and(header("x-aws-ec2-metadata-token-ttl-seconds", "60"))
        .respond_with(ResponseTemplate::new(200).set_body_string("AQAEA-token=="))
        .mount(&server)
        .await;
    role_answers(Some("AQAEA-token==")).mount(&server).await;
    Mock::given(method("GET"))
        .and(path("/latest/meta-data/iam/security-credentials/agent"))
        .and(header("x-aws-ec2-metadata-token", "AQAEA-token=="))
        .respond_with(ResponseTemplate::new(200).set_body_json(key("INSTANCE", "2026-11-24T12:00:00Z")))
        .mount(&server)
        .await;
    assert_eq!(id(&source()).await.expect("credentials"), "ASIAINSTANCE");
}

#[tokio::test]
async fn what_cannot_be_is_said_at_the_start() {
    let clock = Clock::new();
    let refused = |variables: &[(&str, &str)]| clock.source(variables).expect_err("refused").to_string();
    assert!(
        refused(&[("AWS_EC2_METADATA_DISABLED", "true")]).contains("AWS_EC2_METADATA_DISABLED: must not")
    );
    let evil = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://evil.example/")];
    assert!(refused(&evil).contains("AWS_EC2_METADATA_SERVICE_ENDPOINT: must be"));
    assert!(refused(&[("AWS_ACCESS_KEY_ID", "AKID")]).contains("`AWS_ACCESS_KEY_ID` is set without"));
    assert!(refused(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/x")]).contains("without `AWS_ROLE_ARN`"));
    assert!(
        refused(&[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/")]).contains("must be https")
    );
    assert!(refused(&[("AWS_ENDPOINT_URL", "x")]).contains("AWS_ENDPOINT_URL: must be a URL"));
    let keys = [
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_SESSION_TOKEN", ""),
    ];
    let source = clock.source(&keys).expect("a key");
    assert!(source.is_fixed());
    assert!(
        source
            .current()
            .await
            .expect("credentials")
            .session_token
            .is_none()
    );
}
