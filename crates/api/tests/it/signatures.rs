//! What the verifier refuses, and by which name.

use bytes::Bytes;
use countersign_api::sigv4::{self, Expectation, MAX_SKEW_SECS, SigV4Error, SignedRequest};
use countersign_api::{ApiError, Credentials};
use http::request::Parts;
use http::{HeaderValue, Request};
use secrecy::SecretString;

const NOW: i64 = 1_795_456_800;
const EXPECT: Expectation<'static> = Expectation {
    region: "us-east-1",
    service: "bedrock-agentcore",
    now_secs: NOW,
};

fn secret() -> SecretString {
    SecretString::from("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
}

fn signed_with(change: impl FnOnce(&mut Request<Bytes>), region: &str, service: &str) -> (Parts, Bytes) {
    let mut request = Request::post("http://localhost:8401/identities/GetWorkloadAccessToken?b=2&a=1")
        .header("content-type", "application/json")
        .body(Bytes::from_static(b"{\"workloadName\":\"agent-one\"}"))
        .expect("a request");
    change(&mut request);
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: secret(),
        session_token: None,
    };
    sigv4::sign(&credentials, region, service, &mut request, NOW).expect("signed");
    request.into_parts()
}

fn signed() -> (Parts, Bytes) {
    signed_with(|_| {}, "us-east-1", "bedrock-agentcore")
}

fn verify(parts: &Parts, body: &[u8]) -> Result<(), SigV4Error> {
    let request = SignedRequest::parse(parts)?;
    request.check(&EXPECT)?;
    request.verify(parts, body, &secret())
}

fn replace(parts: &mut Parts, from: &str, to: &str) {
    let value = parts.headers["authorization"]
        .to_str()
        .expect("text")
        .replacen(from, to, 1);
    parts
        .headers
        .insert("authorization", value.parse().expect("a header"));
}

fn uri(text: &str) -> http::Uri {
    text.parse().expect("a URI")
}

fn wire_name(error: SigV4Error) -> &'static str {
    let error = ApiError::from(error);
    assert_eq!(error.code.status(), 403);
    error.code.as_str()
}

#[test]
fn what_we_sign_we_accept() {
    let (parts, body) = signed();
    assert_eq!(verify(&parts, &body), Ok(()));
}

#[test]
fn any_change_is_a_mismatch() {
    let (parts, body) = signed();
    assert_eq!(
        verify(&parts, b"{\"workloadName\":\"agent-two\"}"),
        Err(SigV4Error::Mismatch)
    );

    let changes: [fn(&mut Parts); 5] = [
        |parts| parts.method = http::Method::PUT,
        |parts| parts.uri = uri("/identities/GetWorkloadAccessTokenForJWT?b=2&a=1"),
        |parts| parts.uri = uri("/identities/GetWorkloadAccessToken?b=2&a=2"),
        |parts| {
            parts
                .headers
                .insert("host", HeaderValue::from_static("elsewhere:8401"));
        },
        |parts| {
            parts
                .headers
                .append("content-type", HeaderValue::from_static("text/plain"));
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let (mut parts, _) = signed();
        change(&mut parts);
        assert_eq!(verify(&parts, &body), Err(SigV4Error::Mismatch), "change {index}");
    }
    let request = SignedRequest::parse(&parts).expect("signed");
    let other = SecretString::from("another secret");
    assert_eq!(request.verify(&parts, &body, &other), Err(SigV4Error::Mismatch));
    assert_eq!(wire_name(SigV4Error::Mismatch), "InvalidSignatureException");
}

#[test]
fn the_order_of_the_query_does_not_matter() {
    let (mut parts, body) = signed();
    parts.uri = "/identities/GetWorkloadAccessToken?a=1&b=2"
        .parse()
        .expect("a URI");
    assert_eq!(verify(&parts, &body), Ok(()));
}

#[test]
fn http2_has_its_host_in_the_uri() {
    let (mut parts, body) = signed();
    parts.headers.remove("host");
    assert_eq!(verify(&parts, &body), Ok(()));
}

#[test]
fn skew_is_five_minutes_to_the_second_both_ways() {
    let (parts, _) = signed();
    let request = SignedRequest::parse(&parts).expect("signed");
    for (offset, expected) in [
        (0, Ok(())),
        (MAX_SKEW_SECS, Ok(())),
        (MAX_SKEW_SECS + 1, Err(SigV4Error::TooOld)),
        (-MAX_SKEW_SECS, Ok(())),
        (-MAX_SKEW_SECS - 1, Err(SigV4Error::TooNew)),
    ] {
        let expect = Expectation {
            now_secs: NOW + offset,
            ..EXPECT
        };
        assert_eq!(request.check(&expect), expected, "{offset}");
    }
    assert_eq!(wire_name(SigV4Error::TooOld), "InvalidSignatureException");
    assert_eq!(wire_name(SigV4Error::TooNew), "InvalidSignatureException");
}

#[test]
fn scope_must_be_ours() {
    for (region, service) in [
        ("eu-west-1", "bedrock-agentcore"),
        ("us-east-1", "countersign"),
        ("us-east-1", "s3"),
    ] {
        let (parts, body) = signed_with(|_| {}, region, service);
        let error = verify(&parts, &body).expect_err("another scope");
        assert!(matches!(error, SigV4Error::Scope(_)), "{error:?}");
        assert_eq!(wire_name(error), "InvalidSignatureException");
    }
    let (mut parts, body) = signed();
    replace(&mut parts, "/20261123/", "/20261122/");
    assert!(matches!(verify(&parts, &body), Err(SigV4Error::Scope(_))));
    let (mut parts, body) = signed();
    replace(&mut parts, "aws4_request", "aws5_request");
    assert!(matches!(verify(&parts, &body), Err(SigV4Error::Scope(_))));
}

#[test]
fn the_payload_must_be_signed() {
    for value in [
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "",
        "00",
    ] {
        let value = HeaderValue::from_static(value);
        let (parts, body) = signed_with(
            |request| {
                request.headers_mut().insert("x-amz-content-sha256", value);
            },
            "us-east-1",
            "bedrock-agentcore",
        );
        assert_eq!(verify(&parts, &body), Err(SigV4Error::Payload));
    }
    assert_eq!(wire_name(SigV4Error::Payload), "InvalidSignatureException");
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let (parts, body) = signed_with(
        |request| {
            *request.body_mut() = Bytes::new();
            request
                .headers_mut()
                .insert("x-amz-content-sha256", HeaderValue::from_static(hash));
        },
        "us-east-1",
        "bedrock-agentcore",
    );
    assert_eq!(verify(&parts, &body), Ok(()));
}

#[test]
fn no_signature_has_its_own_name() {
    let (mut parts, body) = signed();
    parts.headers.remove("authorization");
    assert_eq!(verify(&parts, &body), Err(SigV4Error::Missing));
    assert_eq!(
        wire_name(SigV4Error::Missing),
        "MissingAuthenticationTokenException"
    );
    parts.uri = "/x?X-Amz-Credential=a&X-Amz-Signature=b".parse().expect("a URI");
    assert_eq!(verify(&parts, &body), Err(SigV4Error::Presigned));
    assert_eq!(wire_name(SigV4Error::Presigned), "IncompleteSignatureException");
}

#[test]
fn malformed_signatures_are_incomplete() {
    let changes: [(&str, &str); 14] = [
        ("AWS4-HMAC-SHA256 ", "AWS4-HMAC-SHA256"),
        ("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"),
        ("AWS4-HMAC-SHA256", "Bearer"),
        ("Credential=", "Credentials="),
        ("Credential=AKIDEXAMPLE/", "Credential=/"),
        ("Credential=AKIDEXAMPLE/", "Credential=A/B/"),
        (", Signature=", ", Signature=a, Signature="),
        ("Signature=", "Signature=zz"),
        ("host;", ""),
        ("content-type;host", "host;content-type"),
        ("content-type;host", "Content-Type;host"),
        ("host;", "host;host;"),
        ("SignedHeaders=", "SignedHeaders=;"),
        (";x-amz-date", ""),
    ];
    for (from, to) in changes {
        let (mut parts, body) = signed();
        replace(&mut parts, from, to);
        let error = verify(&parts, &body).expect_err(to);
        assert!(
            matches!(error, SigV4Error::Incomplete(_)),
            "{from} -> {to}: {error:?}"
        );
        assert_eq!(wire_name(error), "IncompleteSignatureException");
    }
}

#[test]
fn headers_that_could_be_read_twice_or_added_are_refused() {
    let changes: [fn(&mut Parts); 6] = [
        |parts| {
            let value = parts.headers["authorization"].clone();
            parts.headers.append("authorization", value);
        },
        |parts| {
            let value = parts.headers["x-amz-date"].clone();
            parts.headers.append("x-amz-date", value);
        },
        |parts| {
            parts.headers.remove("x-amz-date");
        },
        |parts| {
            parts.headers.insert(
                "x-amz-date",
                HeaderValue::from_static("Mon, 23 Nov 2026 18:00:00 GMT"),
            );
        },
        |parts| {
            parts
                .headers
                .insert("x-amz-security-token", HeaderValue::from_static("t"));
        },
        |parts| {
            let long = "a".repeat(5000);
            parts.headers.insert(
                "authorization",
                format!("AWS4-HMAC-SHA256 Credential={long}")
                    .parse()
                    .expect("a header"),
            );
        },
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let (mut parts, body) = signed();
        change(&mut parts);
        let error = verify(&parts, &body).expect_err("refused");
        assert!(
            matches!(error, SigV4Error::Incomplete(_)),
            "change {index}: {error:?}"
        );
    }
}

#[test]
fn the_signing_secret_is_never_printed() {
    let credentials = Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: secret(),
        session_token: Some("canary-token".into()),
    };
    let (parts, _) = signed();
    let text = format!(
        "{credentials:?} {:?}",
        SignedRequest::parse(&parts).expect("signed")
    );
    assert!(
        text.contains("AKIDEXAMPLE") && !text.contains("wJalr") && !text.contains("canary"),
        "{text}"
    );
}
