//! Who may call at all: signatures, and requests that no operation understands.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use countersign_api::control::{GetWorkloadIdentity, get_workload_identity};
use countersign_api::{ApiError, Credentials, ErrorCode, sigv4};
use countersign_crypto::Clock as _;
use countersign_identity::AccessKey;
use http::{HeaderValue, Method, Request, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{REGION, World, call, code, worlds};

const PATH: &str = "/identities/GetWorkloadIdentity";
const BODY: &[u8] = br#"{"name":"dev-agent"}"#;

/// A request to the API, signed unless `key` is `None`, changed by `tamper` after signing.
async fn send(
    world: &World,
    request: (Method, &str, &[u8]),
    sign: Option<(&AccessKey, &str, &str)>,
    tamper: impl FnOnce(&mut Request<Bytes>),
) -> (StatusCode, Option<ErrorCode>, String) {
    let (method, path, body) = request;
    let url = world.api.join(path).expect("a URL");
    let mut request = Request::builder()
        .method(method)
        .uri(url.as_str())
        .header("content-type", "application/json")
        .body(Bytes::copy_from_slice(body))
        .expect("a request");
    if let Some((key, region, service)) = sign {
        let credentials = Credentials {
            access_key_id: key.access_key_id.clone(),
            secret_access_key: key.secret_access_key.clone(),
            session_token: None,
        };
        sigv4::sign(
            &credentials,
            region,
            service,
            &mut request,
            world.clock.now().as_secs(),
        )
        .expect("signed");
    }
    tamper(&mut request);
    raw(world, &request).await
}

/// Sends the request as it is and reads the answer to its end.
async fn raw(world: &World, request: &Request<Bytes>) -> (StatusCode, Option<ErrorCode>, String) {
    let authority = world.api.authority();
    let path = request.uri().path_and_query().expect("a path");
    let mut head = format!("{} {path} HTTP/1.1\r\n", request.method());
    if !request.headers().contains_key("host") {
        write!(head, "host: {authority}\r\n").expect("text");
    }
    for (name, value) in request.headers() {
        write!(head, "{name}: {}\r\n", value.to_str().expect("text")).expect("text");
    }
    let length = request.body().len();
    write!(head, "content-length: {length}\r\nconnection: close\r\n\r\n").expect("text");
    let mut stream = tokio::net::TcpStream::connect(authority)
        .await
        .expect("connected");
    stream.write_all(head.as_bytes()).await.expect("sent");
    // A server that refuses early may not read all of it.
    let _ = stream.write_all(request.body()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    assert!(head.to_ascii_lowercase().contains("x-amzn-requestid: "), "{head}");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    let mut headers = http::HeaderMap::new();
    for line in head.lines().skip(1) {
        if let Some(("x-amzn-errortype", value)) = line.split_once(": ") {
            headers.insert(
                "x-amzn-errortype",
                HeaderValue::from_str(value).expect("a header"),
            );
        }
    }
    let error = ApiError::from_http(&headers, body.as_bytes());
    (status, error.map(|error| error.code), head.to_owned())
}

/// A refusal: what is wrong, how the request is signed, what is changed afterwards, and how it ends.
struct Refused<'w> {
    what: &'static str,
    sign: Option<(&'w AccessKey, &'static str, &'static str)>,
    tamper: fn(&mut Request<Bytes>),
    code: ErrorCode,
    reason: &'static str,
}

impl Refused<'_> {
    async fn check(self, world: &World) {
        let (status, error, _) = send(world, (Method::POST, PATH, BODY), self.sign, self.tamper).await;
        assert_eq!(
            (status, error),
            (StatusCode::FORBIDDEN, Some(self.code)),
            "{}: {}",
            world.engine,
            self.what
        );
        let record = world.refusal("GetWorkloadIdentity", self.reason).await;
        assert_eq!(record["principal"], serde_json::Value::Null, "nobody is known");
    }
}

#[tokio::test]
async fn unsigned_requests_and_strangers_are_refused_by_name() {
    for world in worlds().await {
        let admin = &world.dev.admin;
        let signed = Some((admin, REGION, "bedrock-agentcore"));
        let (status, ..) = send(&world, (Method::POST, PATH, BODY), signed, |_| ()).await;
        assert_eq!(
            status,
            StatusCode::OK,
            "{}: the request itself is good",
            world.engine
        );

        let stranger = AccessKey {
            access_key_id: "AKIANOBODYNOBODY0000".to_owned(),
            ..admin.clone()
        };
        let forged = AccessKey {
            secret_access_key: "wrong".to_owned().into(),
            ..admin.clone()
        };
        let refused = |what, sign, code, reason| Refused {
            what,
            sign,
            tamper: |_| (),
            code,
            reason,
        };
        for case in [
            refused(
                "unsigned",
                None,
                ErrorCode::MissingAuthenticationToken,
                "signature_missing",
            ),
            refused(
                "unknown key",
                Some((&stranger, REGION, "bedrock-agentcore")),
                ErrorCode::UnrecognizedClient,
                "unknown_access_key",
            ),
            refused(
                "wrong secret",
                Some((&forged, REGION, "bedrock-agentcore")),
                ErrorCode::InvalidSignature,
                "signature_mismatch",
            ),
            refused(
                "another region",
                Some((admin, "eu-west-1", "bedrock-agentcore")),
                ErrorCode::InvalidSignature,
                "signature_scope",
            ),
            refused(
                "another service",
                Some((admin, REGION, "countersign")),
                ErrorCode::InvalidSignature,
                "signature_scope",
            ),
        ] {
            case.check(&world).await;
        }
        world.close().await;
    }
}

#[tokio::test]
async fn what_changed_after_signing_is_refused_by_name() {
    for world in worlds().await {
        let signed = Some((&world.dev.admin, REGION, "bedrock-agentcore"));
        let refused = |what, sign, tamper, code, reason| Refused {
            what,
            sign,
            tamper,
            code,
            reason,
        };
        for case in [
            refused(
                "changed body",
                signed,
                |request| *request.body_mut() = Bytes::from_static(br#"{"name":"dev-agenx"}"#),
                ErrorCode::InvalidSignature,
                "signature_mismatch",
            ),
            refused(
                "half a signature",
                signed,
                |request| {
                    let whole = request.headers()["authorization"]
                        .to_str()
                        .expect("text")
                        .to_owned();
                    let half = whole.split(", Signature=").next().expect("a part").to_owned();
                    request
                        .headers_mut()
                        .insert("authorization", half.parse().expect("a header"));
                },
                ErrorCode::IncompleteSignature,
                "signature_incomplete",
            ),
            refused(
                "presigned",
                None,
                |request| {
                    let uri = format!("{PATH}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=00");
                    *request.uri_mut() = uri.parse().expect("a URI");
                },
                ErrorCode::IncompleteSignature,
                "signature_presigned",
            ),
        ] {
            case.check(&world).await;
        }
        let elsewhere = |request: &mut Request<Bytes>| {
            let uri = "http://x/identities/DeleteWorkloadIdentity";
            *request.uri_mut() = uri.parse().expect("a URI");
        };
        let (status, error, _) = send(&world, (Method::POST, PATH, BODY), signed, elsewhere).await;
        assert_eq!(
            (status, error),
            (StatusCode::FORBIDDEN, Some(ErrorCode::InvalidSignature))
        );
        world
            .refusal("DeleteWorkloadIdentity", "signature_mismatch")
            .await;
        world.close().await;
    }
}

#[tokio::test]
async fn a_clock_may_be_five_minutes_off_and_no_more() {
    for world in worlds().await {
        let input = || get_workload_identity::Input {
            name: "dev-agent".to_owned(),
        };
        for (skew, accepted) in [
            (-300, true),
            (300, true),
            (-301, false),
            (301, false),
            (86_400, false),
        ] {
            let now = world.clock.now().as_secs() + skew;
            let client = world.client_at(&world.dev.admin, Arc::new(move || now));
            let result = call::<GetWorkloadIdentity>(&client, input()).await;
            if accepted {
                result.expect("within five minutes");
            } else {
                assert_eq!(code(result), ErrorCode::InvalidSignature, "{skew}");
            }
        }
        world.close().await;
    }
}

#[tokio::test]
async fn requests_that_no_operation_understands() {
    for world in worlds().await {
        let signed = Some((&world.dev.admin, REGION, "bedrock-agentcore"));
        let nothing = |_: &mut Request<Bytes>| ();
        let (status, error, _) = send(
            &world,
            (Method::POST, "/identities/Nothing", b"{}"),
            signed,
            nothing,
        )
        .await;
        assert_eq!(
            (status, error),
            (StatusCode::NOT_FOUND, Some(ErrorCode::UnknownOperation))
        );
        world.refusal("UnknownOperation", "unknown_operation").await;
        let (status, error, head) = send(&world, (Method::GET, PATH, b""), signed, nothing).await;
        assert_eq!(
            (status, error),
            (StatusCode::METHOD_NOT_ALLOWED, Some(ErrorCode::UnknownOperation))
        );
        assert!(head.to_ascii_lowercase().contains("allow: post\r\n"), "{head}");
        let tags = "/tags/arn:aws:bedrock-agentcore:us-east-1:000000000000:token-vault/default";
        let (status, _, head) = send(&world, (Method::PUT, tags, b"{}"), signed, nothing).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        let head = head.to_ascii_lowercase();
        let allow = head.lines().find_map(|line| line.strip_prefix("allow: "));
        let mut allowed: Vec<&str> = allow.unwrap_or_default().split(',').collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["delete", "get", "head", "post"], "{head}");

        for body in [
            &b"{"[..],
            b"[]",
            b"\"x\"",
            b"{\"name\":1}",
            b"{\"name\":\"a\"} x",
            b"\xff",
            b"{}",
            b"{\"name\":\"a b\"}",
        ] {
            let (status, error, _) = send(&world, (Method::POST, PATH, body), signed, nothing).await;
            let text = String::from_utf8_lossy(body).into_owned();
            assert_eq!(
                (status, error),
                (StatusCode::BAD_REQUEST, Some(ErrorCode::Validation)),
                "{text}"
            );
        }
        let record = &world.records("GetWorkloadIdentity").await[0];
        assert_eq!(
            (&record["outcome"], &record["reason"]),
            (&"refused".into(), &"invalid_input".into())
        );

        let large = vec![b' '; (1 << 20) + 1];
        let (status, error, _) = send(&world, (Method::POST, PATH, &large), signed, nothing).await;
        assert_eq!(
            (status, error),
            (
                StatusCode::PAYLOAD_TOO_LARGE,
                Some(ErrorCode::RequestEntityTooLarge)
            )
        );
        world.refusal("GetWorkloadIdentity", "body_too_large").await;
        let mut longest = BODY.to_vec();
        longest.resize(1 << 20, b' ');
        let (status, ..) = send(&world, (Method::POST, PATH, &longest), signed, nothing).await;
        assert_eq!(status, StatusCode::OK, "1 MiB exactly");
        world.close().await;
    }
}

#[tokio::test]
async fn another_host_name_is_not_answered() {
    for world in worlds().await {
        let signed = Some((&world.dev.admin, REGION, "bedrock-agentcore"));
        let rebound = |request: &mut Request<Bytes>| {
            request
                .headers_mut()
                .insert("host", HeaderValue::from_static("evil.example"));
        };
        let (status, ..) = send(&world, (Method::POST, PATH, BODY), signed, rebound).await;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST);
        world.close().await;
    }
}
