//! What a request looks like on the wire.

use countersign_outbound::Request;
use http::HeaderValue;
use url::Url;
use wiremock::matchers::{body_string, header, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::server::client;

#[tokio::test]
async fn forms_and_credentials_are_written_as_they_should_be() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(header("content-type", "application/x-www-form-urlencoded"))
        .and(header("authorization", "Basic YTpi"))
        .and(header("accept", "application/json"))
        .and(body_string("code=a%26b+c&redirect_uri=https%3A%2F%2Fx%2F"))
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;
    let url = Url::parse(&server.uri()).expect("a URL");
    let request = Request::post(url)
        .form(&[("code", "a&b c"), ("redirect_uri", "https://x/")])
        .basic_auth("a", "b")
        .accept_json();
    let response = client(&server.address().to_string())
        .send(request)
        .await
        .expect("an answer");
    assert_eq!(response.status, 200);
    let received = server.received_requests().await.expect("recorded");
    let headers = &received[0].headers;
    assert!(
        headers["user-agent"]
            .to_str()
            .expect("text")
            .starts_with("countersign/")
    );
    assert!(!headers.contains_key("cookie") && !headers.contains_key("referer"));
}

#[tokio::test]
async fn json_and_bearer() {
    let server = MockServer::start().await;
    Mock::given(header("authorization", "Bearer t"))
        .and(body_string("{\"a\":1}"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let url = Url::parse(&server.uri()).expect("a URL");
    let request = Request::post(url)
        .json(&serde_json::json!({"a": 1}))
        .expect("JSON")
        .bearer("t");
    let value: &HeaderValue = &request.headers["authorization"];
    assert!(value.is_sensitive());
    assert_eq!(
        client(&server.address().to_string())
            .send(request)
            .await
            .expect("an answer")
            .status,
        200
    );
}
