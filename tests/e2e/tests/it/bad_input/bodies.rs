//! Signed requests whose bodies, names and paths are hostile: each is refused by the rule it breaks, quickly, and the
//! server goes on.

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

use bytes::Bytes;
use e2e::System;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use super::{MINT, Signing, mint, post, send, valid};

/// A busy machine answers a refusal in this time; one that does quadratic work does not.
const SOON: Duration = Duration::from_secs(20);
const LONGEST_TOKEN: usize = 131_072;
const LONGEST_USER_TOKEN: usize = 16_384;

/// What an operation says to a body.
async fn said(system: &System, client: &Client, path: &str, body: &str) -> (StatusCode, Value) {
    let request = http::Request::post(system.url(1, path).as_str())
        .header("content-type", "application/json")
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .expect("a request");
    let began = Instant::now();
    let answer = send(client, Signing::of(system).sign(request)).await;
    let status = answer.status();
    let text = answer.text().await.expect("a body");
    assert!(began.elapsed() < SOON, "{path}: {:?}", began.elapsed());
    (status, serde_json::from_str(&text).unwrap_or_default())
}

#[tokio::test]
async fn lists_of_ten_thousand_names_in_unicode_and_the_longest_tokens() {
    let system = System::start();
    let client = Client::builder().no_proxy().build().expect("a client");
    let many = |item: &'static str| vec![item; 10_000];
    let token = |members: Value| {
        let mut body = json!({
            "workloadIdentityToken": "t", "resourceCredentialProviderName": "ledgerline", "scopes": [],
            "oauth2Flow": "USER_FEDERATION",
        });
        for (name, value) in members.as_object().expect("an object") {
            body[name] = value.clone();
        }
        ("/identities/oauth2/token", body)
    };
    let create = |members: Value| ("/identities/CreateWorkloadIdentity", members);
    let parameters: serde_json::Map<String, Value> =
        (0..10_000).map(|n| (format!("p{n}"), "v".into())).collect();
    let minted = |name: &str| {
        let body = json!({ "workloadName": name, "userId": "u" });
        ("/identities/GetWorkloadAccessTokenForUserId", body)
    };
    for ((path, body), member) in [
        (token(json!({ "scopes": many("s") })), "scopes"),
        (
            token(json!({ "resources": many("https://api.example/") })),
            "resources",
        ),
        (token(json!({ "audiences": many("a") })), "audiences"),
        (
            token(json!({ "customParameters": parameters })),
            "customParameters",
        ),
        (
            create(json!({ "name": "agent", "allowedResourceOauth2ReturnUrls": many("https://a.example/") })),
            "allowedResourceOauth2ReturnUrls",
        ),
        (
            token(json!({ "workloadIdentityToken": "t".repeat(LONGEST_TOKEN + 1) })),
            "workloadIdentityToken",
        ),
        (create(json!({ "name": "\u{430}gent" })), "name"),
        (create(json!({ "name": "\u{ff41}gent" })), "name"),
        (create(json!({ "name": "agent\u{202e}x" })), "name"),
        (create(json!({ "name": "agent\u{0}x" })), "name"),
        (minted("dev-\u{430}gent"), "workloadName"),
        (minted("dev-agent\u{301}"), "workloadName"),
    ] {
        let (status, answer) = said(&system, &client, path, &body.to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{member}: {answer}");
        assert_eq!(answer["__type"], "ValidationException", "{member}: {answer}");
        assert_eq!(answer["fieldList"][0]["name"], member, "{answer}");
    }

    // As long as the model allows, and no token all the same.
    let (path, body) = token(json!({ "workloadIdentityToken": "t".repeat(LONGEST_TOKEN) }));
    let (status, answer) = said(&system, &client, path, &body.to_string()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
    // Of a person's token a limit of ours is the longest.
    for (length, expected) in [
        (LONGEST_USER_TOKEN, StatusCode::UNAUTHORIZED),
        (LONGEST_USER_TOKEN + 1, StatusCode::BAD_REQUEST),
        (LONGEST_TOKEN, StatusCode::BAD_REQUEST),
    ] {
        let jwt = format!("aaa.bbb.{}", "c".repeat(length - 8));
        let body = json!({ "workloadName": "dev-agent", "userToken": jwt }).to_string();
        let path = "/identities/GetWorkloadAccessTokenForJWT";
        let (status, answer) = said(&system, &client, path, &body).await;
        assert_eq!(status, expected, "{length}: {answer}");
    }

    // A person's name is their own: whatever it is written in, and never with control characters.
    for (user, expected) in [
        ("\u{5c71}\u{7530} \u{592a}\u{90ce}", StatusCode::OK),
        ("zo\u{eb}@example.com", StatusCode::OK),
        ("u\u{7}", StatusCode::BAD_REQUEST),
        ("u\u{85}", StatusCode::BAD_REQUEST),
    ] {
        let body = json!({ "workloadName": "dev-agent", "userId": user }).to_string();
        let (status, answer) = said(&system, &client, &format!("/identities/{MINT}"), &body).await;
        assert_eq!(status, expected, "{user:?}: {answer}");
    }
}

#[tokio::test]
async fn json_that_two_readers_would_understand_differently_and_arns_that_climb() {
    let system = System::start();
    let client = Client::builder().no_proxy().build().expect("a client");
    let deep = format!(
        r#"{{"workloadName": "dev-agent", "userId": "u", "x": {}{}}}"#,
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    let repeated: Vec<String> = (0..10_000).map(|n| format!(r#""m{n}": 0"#)).collect();
    let repeated = format!(
        r#"{{"workloadName": "dev-agent", "userId": "u", {}, "m9999": 1}}"#,
        repeated.join(", ")
    );
    for body in [
        r#"{"workloadName": "dev-agent", "userId": "u", "userId": "v"}"#,
        r#"{"workloadName": "dev-agent", "userId": "u", "user\u0049d": "v"}"#,
        r#"{"workloadName": "dev-agent", "userId": "u", "x": {"y": [{"z": 1, "z": null}]}}"#,
        r#"{"workloadName": "dev-agent", "userId": "u"} {}"#,
        r#"{"workloadName": "dev-agent", "userId": "\ud800"}"#,
        repeated.as_str(),
        deep.as_str(),
    ] {
        let (status, answer) = said(&system, &client, &format!("/identities/{MINT}"), body).await;
        let shown = &body[..body.len().min(100)];
        assert_eq!(status, StatusCode::BAD_REQUEST, "{shown}: {answer}");
        assert_eq!(answer["reason"], "CannotParse", "{shown}: {answer}");
    }
    // Not UTF-8.
    let mut request = mint(&system, "");
    *request.body_mut() = Bytes::from_static(b"{\"workloadName\": \"dev-agent\", \"userId\": \"\xff\"}");
    let answer = send(&client, Signing::of(&system).sign(request)).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);

    let arn = "arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A000000000000%3Atoken-vault%2Fdefault";
    for resource in [
        arn.replace('%', "%25"),
        format!("{arn}%2F..%2F..%2Fworkload-identity-directory%2Fdefault"),
        format!("{arn}%00"),
        format!("{arn}%0d%0aX-Header%3A%20x"),
        "..%2F..%2F..%2Fetc%2Fpasswd".to_owned(),
        "%ff%fe".to_owned(),
        "arn%3Aaws%3Aiam%3A%3A000000000000%3Auser%2Fdev-admin".to_owned(),
        format!("{arn}%2Foauth2credentialprovider%2F%D1%85"),
        "a".repeat(4_000),
    ] {
        let request = http::Request::get(system.url(1, &format!("/tags/{resource}")).as_str())
            .body(Bytes::new())
            .expect("a request");
        let answer = send(&client, Signing::of(&system).sign(request)).await;
        let status = answer.status();
        let text = answer.text().await.expect("a body");
        assert!(
            status == StatusCode::BAD_REQUEST || status == StatusCode::NOT_FOUND,
            "{resource}: {status} {text}"
        );
        assert!(!text.contains("root:"), "{resource}: {text}");
    }
}

/// Whether a client that has sent its bytes waits, or says that there will be no more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Waits,
    HangsUp,
}

/// What comes back to bytes on a socket of their own.
fn answer_to(system: &System, bytes: &[u8], then: Then) -> String {
    let authority = system.url(1, "/").authority().to_owned();
    let mut socket = TcpStream::connect(authority.replace("localhost", "127.0.0.1")).expect("connected");
    socket.set_read_timeout(Some(SOON)).expect("set");
    // A server that refuses early closes while it is still being written to.
    let _ = socket.write_all(bytes);
    if then == Then::HangsUp {
        let _ = socket.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn bodies_that_are_not_as_long_as_they_say() {
    let system = System::start();
    let body = valid();
    let signed = Signing::of(&system).sign(post(&system, MINT, &body));
    let authority = system.url(1, "/").authority().to_owned();
    let mut head = format!("POST /identities/{MINT} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n");
    for (name, value) in signed.headers().iter().filter(|(name, _)| *name != "host") {
        write!(head, "{name}: {}\r\n", value.to_str().expect("text")).expect("text");
    }
    let with = |framing: &str, rest: &str| format!("{head}{framing}\r\n{rest}").into_bytes();
    let length = body.len();
    let whole = with(&format!("content-length: {length}\r\n"), &body);
    let chunks = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    for bytes in [whole, with("transfer-encoding: chunked\r\n", &chunks)] {
        let answer = answer_to(&system, &bytes, Then::Waits);
        assert!(
            answer.starts_with("HTTP/1.1 200 "),
            "what every row departs from: {answer}"
        );
    }

    let lying = [
        // A chunk that promises more than comes, or less; sizes that are no sizes.
        (
            "transfer-encoding: chunked\r\n",
            format!("{:x}\r\n{body}\r\n0\r\n\r\n", length + 100),
        ),
        (
            "transfer-encoding: chunked\r\n",
            format!("{:x}\r\n{body}\r\n0\r\n\r\n", length - 1),
        ),
        (
            "transfer-encoding: chunked\r\n",
            format!("{length:x}\r\n{body}\r\n"),
        ),
        (
            "transfer-encoding: chunked\r\n",
            format!("ffffffffffffffff\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "transfer-encoding: chunked\r\n",
            format!("10000000000000000\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "transfer-encoding: chunked\r\n",
            format!("-1\r\n{body}\r\n0\r\n\r\n"),
        ),
        (
            "transfer-encoding: chunked\r\n",
            format!("0x{length:x}\r\n{body}\r\n0\r\n\r\n"),
        ),
        // Two lengths.
        (
            "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
            chunks.clone(),
        ),
        (
            "content-length: 5\r\ntransfer-encoding: chunked\r\n",
            chunks.clone(),
        ),
        ("content-length: 5\r\ncontent-length: 6\r\n", body.clone()),
        ("content-length: 5, 5\r\n", body.clone()),
        ("content-length: -5\r\n", body.clone()),
        ("content-length: 99999999999999999999\r\n", body.clone()),
        ("transfer-encoding: gzip, chunked\r\n", chunks),
    ];
    for (framing, rest) in &lying {
        let answer = answer_to(&system, &with(framing, rest), Then::HangsUp);
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(refused, "{framing}{rest}: {answer}");
    }
    // A length that says less: what is left is no request of anybody's.
    let short = with(&format!("content-length: {}\r\n", length - 1), &body);
    let answer = answer_to(&system, &short, Then::Waits);
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    // A length that says more: the rest never comes.
    let long = with(&format!("content-length: {}\r\n", length + 1), &body);
    let answer = answer_to(&system, &long, Then::HangsUp);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");

    let whole = with(&format!("content-length: {length}\r\n"), &body);
    let answer = answer_to(&system, &whole, Then::Waits);
    assert!(
        answer.starts_with("HTTP/1.1 200 "),
        "the server goes on: {answer}"
    );
}
