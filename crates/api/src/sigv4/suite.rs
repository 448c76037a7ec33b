//! AWS's published signing suite (`tests/vectors`): every case of it, signed and verified.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;
use serde::Deserialize;

use super::canonical::CanonicalRequest;
use super::*;

/// The date of every case with a context, 2015-08-30T12:36:00Z.
const TIME: i64 = 1_440_938_160;

#[derive(Deserialize)]
struct Context {
    credentials: ContextCredentials,
    normalize: bool,
    region: String,
    service: String,
    sign_body: bool,
    timestamp: String,
    #[serde(default)]
    omit_session_token: bool,
}

#[derive(Deserialize)]
struct ContextCredentials {
    access_key_id: String,
    secret_access_key: SecretString,
    token: Option<SecretString>,
}

/// A request as its file has it: the path may hold what no client could send.
struct Raw {
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Raw {
    fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).expect("a vector").replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
        let mut lines = head.lines();
        let request_line = lines.next().expect("a request line");
        let request_line = request_line.strip_suffix(" HTTP/1.1").unwrap_or(request_line);
        let (method, target) = request_line.split_once(' ').expect("a method");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut folded: Vec<String> = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            match folded.last_mut() {
                // An obsolete line folding (RFC 9112 5.2) reads as a space.
                Some(last) if line.starts_with(' ') => last.push_str(line),
                _ => folded.push(line.to_owned()),
            }
        }
        let headers = folded.iter().map(|line| {
            let (name, value) = line.split_once(':').expect("a header");
            let name: HeaderName = name.to_lowercase().parse().expect("a header name");
            (name, HeaderValue::from_str(value.trim()).expect("a header value"))
        });
        let mut map = HeaderMap::new();
        headers.for_each(|(name, value)| {
            map.append(name, value);
        });
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: map,
            body: body.as_bytes().to_vec(),
        }
    }

    /// As the server would get it; `None` where no HTTP parser lets it through.
    fn request(&self) -> Option<http::Request<Bytes>> {
        let query = if self.query.is_empty() {
            String::new()
        } else {
            format!("?{}", self.query)
        };
        let mut request = http::Request::builder()
            .method(self.method.as_str())
            .uri(format!("{}{query}", self.path))
            .body(Bytes::from(self.body.clone()))
            .ok()?;
        *request.headers_mut() = self.headers.clone();
        Some(request)
    }
}

struct Case {
    directory: PathBuf,
    context: Context,
}

impl Case {
    fn text(&self, file: &str) -> String {
        fs::read_to_string(self.directory.join(file))
            .expect(file)
            .trim_end()
            .replace("\r\n", "\n")
    }

    fn name(&self) -> String {
        self.directory
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    }

    /// The unsigned request with the headers that the suite expects a signer to add.
    fn prepared(&self) -> Raw {
        let mut raw = Raw::read(&self.directory.join("request.txt"));
        raw.headers
            .insert(X_AMZ_DATE, HeaderValue::from_static("20150830T123600Z"));
        if let Some(token) = self
            .context
            .credentials
            .token
            .as_ref()
            .filter(|_| !self.context.omit_session_token)
        {
            let token = HeaderValue::from_str(token.expose_secret()).expect("a token");
            raw.headers.insert(X_AMZ_SECURITY_TOKEN, token);
        }
        if self.context.sign_body {
            let hash = HeaderValue::from_str(&sha256_hex(&raw.body)).expect("hex");
            raw.headers.insert(X_AMZ_CONTENT_SHA256, hash);
        }
        raw
    }
}

fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/sigv4")
}

fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = fs::read_dir(suite())
        .expect("the suite")
        .map(|entry| entry.expect("an entry").path())
        .filter(|directory| directory.join("context.json").exists())
        .map(|directory| {
            let context = fs::read(directory.join("context.json")).expect("a context");
            let context: Context = serde_json::from_slice(&context).expect("a context");
            assert_eq!(context.timestamp, "2015-08-30T12:36:00Z");
            Case { directory, context }
        })
        .collect();
    cases.sort_by_key(Case::name);
    assert_eq!(cases.len(), 38, "the whole suite");
    cases
}

/// Path style of the suite: encoded once. Ours encodes what was sent once more, so it gets the path
/// before its first encoding.
fn canonical_text(raw: &Raw, path: &str, normalise: bool) -> String {
    let mut signed_headers: Vec<&str> = raw.headers.keys().map(HeaderName::as_str).collect();
    signed_headers.sort_unstable();
    CanonicalRequest {
        method: &raw.method,
        path,
        query: &raw.query,
        headers: &raw.headers,
        authority: None,
        signed_headers: &signed_headers,
        payload_hash: &sha256_hex(&raw.body),
        normalise,
    }
    .text()
    .expect("a canonical request")
}

#[test]
fn every_case_gives_its_canonical_request_string_to_sign_and_signature() {
    for case in cases() {
        let raw = case.prepared();
        let path = percent_encoding::percent_decode_str(&raw.path)
            .decode_utf8()
            .expect("UTF-8");
        let canonical = canonical_text(&raw, &path, case.context.normalize);
        assert_eq!(
            canonical,
            case.text("header-canonical-request.txt"),
            "{}",
            case.name()
        );
        let scope = Scope {
            date: "20150830",
            region: &case.context.region,
            service: &case.context.service,
        };
        let string_to_sign = string_to_sign("20150830T123600Z", &scope, &canonical);
        assert_eq!(
            string_to_sign,
            case.text("header-string-to-sign.txt"),
            "{}",
            case.name()
        );
        let signature = signature(
            &case.context.credentials.secret_access_key,
            &scope,
            &string_to_sign,
        );
        assert_eq!(
            hex::encode(signature),
            case.text("header-signature.txt"),
            "{}",
            case.name()
        );
    }
}

#[test]
fn both_cases_of_double_encoding_give_their_canonical_request() {
    for name in ["double-encode-path", "double-url-encode"] {
        let directory = suite().join(name);
        let mut raw = Raw::read(&directory.join("request.txt"));
        raw.headers
            .insert(X_AMZ_DATE, HeaderValue::from_static("20210511T154045Z"));
        let expected = fs::read_to_string(directory.join("header-canonical-request.txt")).expect("a vector");
        assert_eq!(
            canonical_text(&raw, &raw.path, true),
            expected.trim_end(),
            "{name}"
        );
    }
}

/// The suite's second path style aside, what it signs is what we sign and accept.
#[test]
fn every_signed_request_is_verified_or_refused_for_its_reason() {
    let (mut accepted, mut refused) = (0, 0);
    for case in cases() {
        let Some(request) = Raw::read(&case.directory.join("header-signed-request.txt")).request() else {
            continue;
        };
        let (parts, body) = request.into_parts();
        let secret = &case.context.credentials.secret_access_key;
        let verified = SignedRequest::parse(&parts).and_then(|signed| {
            assert_eq!(signed.access_key_id, case.context.credentials.access_key_id);
            signed.check(&Expectation {
                region: &case.context.region,
                service: &case.context.service,
                now_secs: TIME,
            })?;
            signed.verify(&parts, &body, secret)
        });
        match case.name().as_str() {
            // Its token was added after signing.
            "post-sts-header-after" => {
                assert!(matches!(verified, Err(SigV4Error::Incomplete(_))), "{verified:?}");
            }
            // Signed by S3's rules: not normalised, or encoded once only.
            "get-relative-relative-unnormalized"
            | "get-relative-unnormalized"
            | "get-slash-dot-slash-unnormalized"
            | "get-slash-pointless-dot-unnormalized"
            | "get-slash-unnormalized"
            | "get-slashes-unnormalized"
            | "get-space-normalized" => {
                assert_eq!(verified, Err(SigV4Error::Mismatch), "{}", case.name());
                refused += 1;
            }
            name => {
                assert_eq!(verified, Ok(()), "{name}");
                accepted += 1;
            }
        }
    }
    assert!(accepted >= 26, "{accepted} accepted, {refused} refused");
}

#[test]
fn signing_gives_the_suites_signature() {
    let mut signed = 0;
    for case in cases() {
        let context = &case.context;
        // Our signer signs as every service but S3 wants it, with the token.
        if !context.normalize || context.omit_session_token || case.name() == "get-space-normalized" {
            continue;
        }
        let mut raw = Raw::read(&case.directory.join("request.txt"));
        if context.sign_body {
            raw.headers = case.prepared().headers;
        }
        let Some(mut request) = raw.request() else {
            continue;
        };
        let credentials = Credentials {
            access_key_id: context.credentials.access_key_id.clone(),
            secret_access_key: context.credentials.secret_access_key.clone(),
            session_token: context.credentials.token.clone(),
        };
        sign(
            &credentials,
            &context.region,
            &context.service,
            &mut request,
            TIME,
        )
        .expect("signed");
        let expected = Raw::read(&case.directory.join("header-signed-request.txt")).headers;
        assert_eq!(
            request.headers()["authorization"],
            expected["authorization"],
            "{}",
            case.name()
        );
        signed += 1;
    }
    assert!(signed >= 26, "{signed} signed");
}

#[test]
fn every_presigned_request_is_refused() {
    let mut seen = 0;
    for case in cases() {
        let Some(request) = Raw::read(&case.directory.join("query-signed-request.txt")).request() else {
            continue;
        };
        let refusal = SignedRequest::parse(&request.into_parts().0).expect_err("presigned");
        assert_eq!(refusal, SigV4Error::Presigned, "{}", case.name());
        seen += 1;
    }
    assert!(seen >= 30, "{seen} presigned requests");
}
