//! Signed requests: no head makes the verifier panic, and none is taken as signed by a key that signed nothing.
#![no_main]

use countersign_api::sigv4::{Expectation, SignedRequest};
use http::{HeaderName, HeaderValue, Request};
use libfuzzer_sys::fuzz_target;

/// `METHOD URI` in the first line, `name: value` in the others up to an empty one, then the body.
fn request(bytes: &[u8]) -> Option<Request<Vec<u8>>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, uri) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        request = request.header(name, HeaderValue::from_str(value).ok()?);
    }
    request.body(body.as_bytes().to_vec()).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Some(request) = request(bytes) else { return };
    let (parts, body) = request.into_parts();
    for signed in [
        SignedRequest::parse(&parts),
        SignedRequest::parse_presigned(&parts),
    ] {
        let Ok(signed) = signed else { continue };
        let expect = Expectation {
            region: "us-east-1",
            service: "bedrock-agentcore",
            now_secs: 1_440_938_160,
        };
        let _ = signed.check(&expect);
        let secret = "a secret that no input knows".to_owned().into();
        assert!(signed.verify(&parts, &body, &secret).is_err());
    }
});
