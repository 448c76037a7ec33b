//! The signed client against a server that counts.

use std::sync::Arc;
use std::time::Duration;

use countersign_api::admin::{CreatePrincipal, Stop, SubjectKind, create_principal, stop};
use countersign_api::control::{DeleteWorkloadIdentity, delete_workload_identity};
use countersign_api::data::{GetWorkloadAccessToken, get_workload_access_token};
use countersign_api::sigv4::{Expectation, SignedRequest};
use countersign_api::{ApiError, Client, ClientError, Credentials, ErrorCode};
use countersign_outbound as outbound;
use wiremock::matchers::{header, method, path};
use wiremock::{Match, Mock, MockServer, Request, ResponseTemplate};

const NOW: i64 = 1_795_456_800;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// Only requests whose signature our verifier accepts.
struct Signed(&'static str);

impl Match for Signed {
    fn matches(&self, request: &Request) -> bool {
        let mut builder = http::Request::builder()
            .method(request.method.as_str())
            .uri(request.url.path());
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let (parts, ()) = builder.body(()).expect("a request").into_parts();
        let expect = Expectation {
            region: "us-east-1",
            service: self.0,
            now_secs: NOW,
        };
        SignedRequest::parse(&parts)
            .and_then(|signed| {
                signed
                    .check(&expect)
                    .and_then(|()| signed.verify(&parts, &request.body, &SECRET.into()))
            })
            .is_ok()
    }
}

fn client(server: &MockServer, prefix: &str) -> Client {
    let endpoint = format!("{}{prefix}", server.uri()).parse().expect("a URL");
    let http = outbound::Client::new(outbound::Policy {
        allow: vec![server.address().to_string().parse().expect("host:port")],
        ..outbound::Policy::default()
    });
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: SECRET.into(),
        session_token: None,
    };
    Client::new(
        endpoint,
        "us-east-1".to_owned(),
        credentials,
        http.expect("a client"),
        Arc::new(|| NOW),
    )
}

fn input() -> get_workload_access_token::Input {
    get_workload_access_token::Input {
        workload_name: "agent-one".to_owned(),
    }
}

fn answer(error: &ApiError) -> ResponseTemplate {
    let response = error.to_http();
    let mut template =
        ResponseTemplate::new(response.status().as_u16()).set_body_bytes(response.body().to_vec());
    for (name, value) in response.headers() {
        template = template.insert_header(name.as_str(), value.to_str().expect("text"));
    }
    template
}

fn token() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(serde_json::json!({"workloadAccessToken": "wat", "new": 1}))
}

#[tokio::test]
async fn calls_are_signed_and_typed() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/prefix/identities/GetWorkloadAccessToken"))
        .and(header("content-type", "application/json"))
        .and(Signed("bedrock-agentcore"))
        .respond_with(token())
        .expect(1)
        .mount(&server)
        .await;
    let output = client(&server, "/prefix/")
        .call::<GetWorkloadAccessToken>(&input())
        .await
        .expect("a token");
    assert_eq!(output.workload_access_token.expose(), "wat");
}

#[tokio::test]
async fn no_content_is_an_empty_output() {
    let server = MockServer::start().await;
    Mock::given(path("/identities/DeleteWorkloadIdentity"))
        .respond_with(ResponseTemplate::new(204))
        .mount(&server)
        .await;
    let input = delete_workload_identity::Input {
        name: "agent-one".to_owned(),
    };
    client(&server, "")
        .call::<DeleteWorkloadIdentity>(&input)
        .await
        .expect("deleted");
}

#[tokio::test]
async fn refusals_are_typed_and_not_repeated() {
    let server = MockServer::start().await;
    let refusal = ApiError::field("workloadName", "must be set");
    Mock::given(method("POST"))
        .respond_with(answer(&refusal))
        .expect(1)
        .mount(&server)
        .await;
    let error = client(&server, "")
        .call::<GetWorkloadAccessToken>(&input())
        .await
        .expect_err("refused");
    let ClientError::Api(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error, refusal);
}

#[tokio::test]
async fn failures_are_repeated_twice() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(answer(&ApiError::internal()))
        .up_to_n_times(2)
        .expect(2)
        .mount(&server)
        .await;
    Mock::given(method("POST"))
        .respond_with(token())
        .expect(1)
        .mount(&server)
        .await;
    client(&server, "")
        .call::<GetWorkloadAccessToken>(&input())
        .await
        .expect("the third attempt");
}

#[tokio::test]
async fn and_no_more() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(502))
        .expect(3)
        .mount(&server)
        .await;
    let error = client(&server, "")
        .call::<GetWorkloadAccessToken>(&input())
        .await
        .expect_err("failed");
    assert!(
        matches!(error, ClientError::Unexpected { status } if status == 502),
        "{error:?}"
    );
}

#[tokio::test]
async fn creation_is_not_repeated_unless_it_was_not_processed() {
    let input = create_principal::Input {
        principal_name: "p".to_owned(),
        ..Default::default()
    };
    let server = MockServer::start().await;
    let calls = Mock::given(path("/countersign/CreatePrincipal")).and(Signed("countersign"));
    calls
        .respond_with(answer(&ApiError::internal()))
        .expect(1)
        .mount(&server)
        .await;
    let error = client(&server, "")
        .call::<CreatePrincipal>(&input)
        .await
        .expect_err("failed");
    assert_eq!(error.code(), Some(ErrorCode::InternalServer));

    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(answer(&ApiError::throttled("slow down", 1)))
        .expect(3)
        .mount(&server)
        .await;
    let error = client(&server, "")
        .call::<CreatePrincipal>(&input)
        .await
        .expect_err("throttled");
    assert_eq!(error.code(), Some(ErrorCode::Throttling));
}

#[tokio::test]
async fn something_else_at_the_endpoint_is_said_so() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_string("<html>"))
        .mount(&server)
        .await;
    let error = client(&server, "")
        .call::<GetWorkloadAccessToken>(&input())
        .await
        .expect_err("not JSON");
    assert!(matches!(error, ClientError::Unexpected { .. }), "{error:?}");
}

#[tokio::test]
async fn an_endpoint_that_is_not_permitted_is_not_reached() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(token())
        .expect(0)
        .mount(&server)
        .await;
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: SECRET.into(),
        session_token: None,
    };
    let policy = outbound::Policy {
        timeout: Duration::from_secs(1),
        ..outbound::Policy::default()
    };
    let http = outbound::Client::new(policy).expect("a client");
    let endpoint = server.uri().parse().expect("a URL");
    let client = Client::new(
        endpoint,
        "us-east-1".to_owned(),
        credentials,
        http,
        Arc::new(|| NOW),
    );
    let error = client
        .call::<GetWorkloadAccessToken>(&input())
        .await
        .expect_err("refused");
    assert!(
        matches!(error, ClientError::Transport(outbound::OutboundError::Refused(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_operation_that_may_take_minutes_is_waited_for() {
    let server = MockServer::start().await;
    let stopped = serde_json::json!({
        "stop": {"subjectKind": "workload", "subject": "agent", "stoppedBy": "admin", "stoppedTime": 0},
        "liveTokens": [],
    });
    Mock::given(path("/countersign/Stop"))
        .respond_with(
            ResponseTemplate::new(200)
                .set_body_json(stopped)
                .set_delay(Duration::from_secs(1)),
        )
        .expect(1)
        .mount(&server)
        .await;
    let client = client(&server, "");
    let input = stop::Input {
        subject_kind: SubjectKind::Workload,
        subject: "agent".to_owned(),
        ..stop::Input::default()
    };
    let call = client.call::<Stop>(&input);
    tokio::pin!(call);
    let waited = tokio::time::timeout(Duration::from_millis(300), call.as_mut()).await;
    assert!(waited.is_err(), "{waited:?}");
    // A minute passes for the client, and not for the server.
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(1)).await;
    tokio::time::resume();
    assert_eq!(call.await.expect("stopped").stop.subject, "agent");
}
