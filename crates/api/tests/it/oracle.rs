//! The `aws-sigv4` crate as oracle: what it signs we accept, and we sign as it does.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials as AwsCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use countersign_api::Credentials;
use countersign_api::sigv4::{self, Expectation, SignedRequest};
use http::Request;
use proptest::collection::vec;
use proptest::prelude::*;

const ACCESS_KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

fn by_oracle(request: &Request<Bytes>, token: Option<&str>, service: &str, now: u64) -> Request<Bytes> {
    let identity = AwsCredentials::new(ACCESS_KEY, SECRET, token.map(str::to_owned), None, "test").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name(service)
        .time(UNIX_EPOCH + Duration::from_secs(now))
        .settings(SigningSettings::default())
        .build()
        .expect("parameters")
        .into();
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().expect("text")));
    let body = SignableBody::Bytes(request.body());
    let signable = SignableRequest::new(
        request.method().as_str(),
        request.uri().to_string(),
        headers,
        body,
    );
    let (instructions, _) = sign(signable.expect("signable"), &params)
        .expect("signed")
        .into_parts();
    let mut signed = request.clone();
    instructions.apply_to_request_http1x(&mut signed);
    signed
}

/// A part of a path or query as clients send it: percent-encoded.
fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

prop_compose! {
    fn request()(
        method in prop_oneof![Just("GET"), Just("POST"), Just("DELETE")],
        segments in vec(prop_oneof![".{0,8}", Just("..".to_owned()), Just(".".to_owned()), Just("a.b-c_d~e".to_owned())], 0..5),
        slash in any::<bool>(),
        query in vec((".{0,6}", ".{0,6}"), 0..5),
        headers in vec(("x-[a-z]{1,6}", "[!-~]([ -~]{0,12}[!-~])?"), 0..4),
        body in vec(any::<u8>(), 0..64),
    ) -> Request<Bytes> {
        let mut path = String::new();
        for segment in &segments {
            path.push('/');
            // Dots stay as they are, so that dot segments are met.
            path.push_str(&if segment.starts_with('.') { segment.replace(|c: char| c != '.', "") } else { encoded(segment) });
        }
        if slash || path.is_empty() {
            path.push('/');
        }
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let mut builder = Request::builder().method(method).uri(format!("https://identity.example:8443{path}{query}"));
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        builder
            .header("host", "identity.example:8443")
            .body(Bytes::from(body))
            .expect("a request")
    }
}

proptest! {
    #[test]
    fn what_the_oracle_signs_is_accepted(
        request in request(),
        token in proptest::option::of("[!-~]{1,40}"),
        now in 1_000_000_000_u64..4_000_000_000,
    ) {
        let (parts, body) = by_oracle(&request, token.as_deref(), "bedrock-agentcore", now).into_parts();
        let signed = SignedRequest::parse(&parts).expect("a signature");
        let expect = Expectation {
            region: "us-east-1",
            service: "bedrock-agentcore",
            now_secs: i64::try_from(now).expect("a time"),
        };
        prop_assert_eq!(signed.check(&expect), Ok(()));
        prop_assert_eq!(signed.verify(&parts, &body, &SECRET.into()), Ok(()));
    }

    #[test]
    fn we_sign_as_the_oracle_does(
        request in request(),
        token in proptest::option::of("[!-~]{1,40}"),
        now in 1_000_000_000_u64..4_000_000_000,
    ) {
        let oracle = by_oracle(&request, token.as_deref(), "countersign", now);
        let credentials = Credentials {
            access_key_id: ACCESS_KEY.to_owned(),
            secret_access_key: SECRET.into(),
            session_token: token.as_deref().map(Into::into),
        };
        let mut ours = request;
        let now = i64::try_from(now).expect("a time");
        sigv4::sign(&credentials, "us-east-1", "countersign", &mut ours, now).expect("signed");
        prop_assert_eq!(&ours.headers()["authorization"], &oracle.headers()["authorization"]);
        prop_assert_eq!(&ours.headers()["x-amz-date"], &oracle.headers()["x-amz-date"]);
    }
}
