//! What strangers and careless callers send to the running system: each is told what is wrong and no more, nothing
//! happens, and the refusal is on record.

mod bodies;
mod browsers;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use countersign_api::{Credentials, sigv4};
use e2e::{System, cli::countersign};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

const MINT: &str = "GetWorkloadAccessTokenForUserId";
const COMPLETE: &str = "CompleteResourceTokenAuth";
/// Of the right shape, and of nobody: the text of a UUID in base 64 comes after it.
const URN: &str = "urn:ietf:params:oauth:request_uri:";
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your \
                        AWS Secret Access Key and signing method. Consult the service documentation for details.";
const UNKNOWN_KEY: &str = "The security token included in the request is invalid.";
const MOST_BODY: usize = 1 << 20;

/// How one request departs from a signed one that is accepted.
struct Signing {
    credentials: Credentials,
    region: &'static str,
    service: &'static str,
    /// Added to the time of signing, seconds.
    skew: i64,
}

impl Signing {
    fn of(system: &System) -> Self {
        Self {
            credentials: Credentials {
                access_key_id: system.variable("AWS_ACCESS_KEY_ID").to_owned(),
                secret_access_key: system.variable("AWS_SECRET_ACCESS_KEY").to_owned().into(),
                session_token: None,
            },
            region: "us-east-1",
            service: "bedrock-agentcore",
            skew: 0,
        }
    }

    fn sign(&self, mut request: http::Request<Bytes>) -> http::Request<Bytes> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let now = i64::try_from(now.as_secs()).expect("before the end of time");
        sigv4::sign(
            &self.credentials,
            self.region,
            self.service,
            &mut request,
            now + self.skew,
        )
        .expect("the request can be signed");
        request
    }
}

/// A request, and what it gets.
struct Row {
    name: &'static str,
    request: http::Request<Bytes>,
    status: u16,
    /// `x-amzn-errortype`.
    error: &'static str,
    message: String,
    /// The `reason` of a `ValidationException`, and the members that `fieldList` names.
    validation: Option<(&'static str, Vec<&'static str>)>,
    /// The action and the reason in the audit record.
    audited: (&'static str, &'static str),
    /// Whether the record names who signed.
    authenticated: bool,
}

impl Row {
    /// A refusal of somebody unknown.
    fn stranger(
        name: &'static str,
        request: http::Request<Bytes>,
        (status, error): (u16, &'static str),
        message: &str,
        reason: &'static str,
    ) -> Self {
        Self {
            name,
            request,
            status,
            error,
            message: message.to_owned(),
            validation: None,
            audited: (MINT, reason),
            authenticated: false,
        }
    }

    /// A `ValidationException` that concerns one member, or the body as a whole.
    fn invalid(
        name: &'static str,
        request: http::Request<Bytes>,
        member: Option<&'static str>,
        message: &str,
    ) -> Self {
        let validation = match member {
            Some(member) => ("FieldValidationFailed", vec![member]),
            None => ("CannotParse", vec![]),
        };
        Self {
            name,
            request,
            status: 400,
            error: "ValidationException",
            message: message.to_owned(),
            validation: Some(validation),
            audited: (MINT, "invalid_input"),
            authenticated: true,
        }
    }
}

#[tokio::test]
async fn the_api_says_what_is_wrong_and_records_the_refusal() {
    let system = System::start();
    let client = Client::builder().no_proxy().build().expect("a client");
    let good = Signing::of(&system).sign(mint(&system, &valid()));
    let answer = send(&client, good).await;
    assert_eq!(answer.status(), StatusCode::OK, "what every row departs from");

    let mut rows = invalid_inputs(&system);
    rows.extend(sessions(&system));
    rows.extend(unsigned(&system));
    rows.extend(wrongly_signed(&system));
    rows.extend(no_operations(&system));
    let secret = system.variable("AWS_SECRET_ACCESS_KEY");
    let mut sent = vec![];
    for row in rows {
        let answer = send(&client, row.request.clone()).await;
        let header = |name: &str| {
            let value = answer.headers().get(name);
            value.map(|value| value.to_str().expect("text").to_owned())
        };
        let (status, error) = (answer.status(), header("x-amzn-errortype"));
        let id = header("x-amzn-requestid").expect("every answer has its id");
        let text = answer.text().await.expect("a body");
        let name = row.name;
        assert_eq!(status.as_u16(), row.status, "{name}: {text}");
        assert_eq!(error.as_deref(), Some(row.error), "{name}: {text}");
        assert!(!text.contains(secret), "{name} is told the secret");
        let body: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{name}: not JSON: {text}"));
        assert_eq!(body["__type"], row.error, "{name}: {text}");
        assert_eq!(body["message"], row.message, "{name}: {text}");
        let (reason, members) = row.validation.clone().unzip();
        assert_eq!(body["reason"].as_str(), reason, "{name}: {text}");
        let named: Vec<&str> = body["fieldList"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
            .iter()
            .map(|field| field["name"].as_str().expect("a name"))
            .collect();
        assert_eq!(named, members.unwrap_or_default(), "{name}: {text}");
        sent.push((row, id));
    }
    let records = records_until(&system, |records| {
        sent.iter()
            .all(|(_, id)| records.iter().any(|record| record["requestId"] == **id))
    })
    .await;
    for (row, id) in &sent {
        let of_it: Vec<_> = records
            .iter()
            .filter(|record| record["requestId"] == **id)
            .collect();
        let [record] = of_it[..] else {
            panic!("{}: one record, not {of_it:#?}", row.name);
        };
        assert_eq!(record["action"], row.audited.0, "{}: {record}", row.name);
        assert_eq!(record["reason"], row.audited.1, "{}: {record}", row.name);
        assert_eq!(record["outcome"], "refused", "{}: {record}", row.name);
        assert_eq!(
            record["principal"].is_string(),
            row.authenticated,
            "{}: {record}",
            row.name
        );
    }
}

fn invalid_inputs(system: &System) -> Vec<Row> {
    let signed = |body: &str| Signing::of(system).sign(mint(system, body));
    let long = json!({ "workloadName": "w".repeat(256), "userId": "u" }).to_string();
    vec![
        Row::invalid(
            "malformed JSON",
            signed("{\"workloadName\": "),
            None,
            "the body is not valid JSON (line 1, column 17)",
        ),
        Row::invalid(
            "not an object",
            signed("[]"),
            None,
            "the body must be a JSON object",
        ),
        Row::invalid(
            "a number for a string",
            signed(r#"{"workloadName": 5, "userId": "u"}"#),
            None,
            "workloadName: expected a string",
        ),
        Row::invalid(
            "an object for a string",
            signed(r#"{"workloadName": "dev-agent", "userId": {"userId": "u"}}"#),
            None,
            "userId: expected a string",
        ),
        Row::invalid(
            "a missing member",
            signed(r#"{"userId": "u"}"#),
            Some("workloadName"),
            "workloadName: must be set",
        ),
        Row::invalid(
            "null for a member",
            signed(r#"{"workloadName": "dev-agent", "userId": null}"#),
            Some("userId"),
            "userId: must be set",
        ),
        Row::invalid(
            "a member too long by one",
            signed(&long),
            Some("workloadName"),
            "workloadName: must have 3 to 255 characters",
        ),
    ]
}

fn sessions(system: &System) -> Vec<Row> {
    let signed = |uri: &str| {
        let body = json!({ "sessionUri": uri, "userIdentifier": { "userId": "u" } }).to_string();
        Signing::of(system).sign(post(system, COMPLETE, &body))
    };
    vec![
        Row {
            audited: (COMPLETE, "invalid_input"),
            ..Row::invalid(
                "a sessionUri that is no request URI",
                signed("https://attacker.example/"),
                Some("sessionUri"),
                "sessionUri: must match urn:ietf:params:oauth:request_uri:[a-zA-Z0-9-._~]+",
            )
        },
        Row {
            audited: (COMPLETE, "malformed_session_uri"),
            ..Row::invalid(
                "a sessionUri that we cannot have made",
                signed(&format!("{URN}guess")),
                Some("sessionUri"),
                "sessionUri: must be what came back to the return URL as session_id",
            )
        },
        Row {
            status: 403,
            error: "AccessDeniedException",
            validation: None,
            audited: (COMPLETE, "unknown_session"),
            ..Row::invalid(
                "the sessionUri of no session",
                signed(&unknown_session()),
                None,
                "Invalid or expired session",
            )
        },
    ]
}

fn unsigned(system: &System) -> Vec<Row> {
    let with = |authorization: &'static str| {
        let mut request = Signing::of(system).sign(mint(system, &valid()));
        let value = http::HeaderValue::from_static(authorization);
        request.headers_mut().insert(http::header::AUTHORIZATION, value);
        request
    };
    let mut undated = Signing::of(system).sign(mint(system, &valid()));
    undated.headers_mut().remove("x-amz-date");
    let incomplete = |name, request, message| {
        let kind = (403, "IncompleteSignatureException");
        Row::stranger(name, request, kind, message, "signature_incomplete")
    };
    vec![
        Row::stranger(
            "no Authorization",
            mint(system, &valid()),
            (403, "MissingAuthenticationTokenException"),
            "Missing Authentication Token",
            "signature_missing",
        ),
        incomplete(
            "a bearer token",
            with("Bearer abc"),
            "Authorization header must use AWS4-HMAC-SHA256.",
        ),
        incomplete(
            "the algorithm alone",
            with("AWS4-HMAC-SHA256 "),
            "Authorization header must use AWS4-HMAC-SHA256.",
        ),
        incomplete(
            "no signature in it",
            with(
                "AWS4-HMAC-SHA256 Credential=A/20260101/us-east-1/bedrock-agentcore/aws4_request, SignedHeaders=host",
            ),
            "Authorization header requires 'Signature' parameter.",
        ),
        incomplete(
            "no date",
            undated,
            "Authorization header requires existence of 'X-Amz-Date' header.",
        ),
    ]
}

fn wrongly_signed(system: &System) -> Vec<Row> {
    let signed = |change: &dyn Fn(&mut Signing)| {
        let mut signing = Signing::of(system);
        change(&mut signing);
        signing.sign(mint(system, &valid()))
    };
    let mut changed = signed(&|_| {});
    *changed.body_mut() = json!({ "workloadName": "dev-agent", "userId": "other" })
        .to_string()
        .into();
    let invalid = |name, request, message, reason| {
        Row::stranger(name, request, (403, "InvalidSignatureException"), message, reason)
    };
    let unknown = |name, request| {
        let kind = (403, "UnrecognizedClientException");
        Row::stranger(name, request, kind, UNKNOWN_KEY, "unknown_access_key")
    };
    vec![
        unknown(
            "a key that nobody has",
            signed(&|signing| "AKIAAAAAAAAAAAAAAAAA".clone_into(&mut signing.credentials.access_key_id)),
        ),
        Row {
            audited: (MINT, "security_token_invalid"),
            ..unknown(
                "a session token with a long-lived key",
                signed(&|signing| signing.credentials.session_token = Some("token".to_owned().into())),
            )
        },
        invalid(
            "another secret",
            signed(&|signing| signing.credentials.secret_access_key = "wrong".to_owned().into()),
            MISMATCH,
            "signature_mismatch",
        ),
        invalid(
            "a body changed after signing",
            changed,
            MISMATCH,
            "signature_mismatch",
        ),
        invalid(
            "signed 301 s ago",
            signed(&|signing| signing.skew = -301),
            "Signature expired: the request's date is more than 5 minutes in the past.",
            "signature_skew",
        ),
        // Not 301: each second until it arrives brings it nearer to what is accepted.
        invalid(
            "signed in the future",
            signed(&|signing| signing.skew = 360),
            "Signature not yet current: the request's date is more than 5 minutes in the future.",
            "signature_skew",
        ),
        invalid(
            "for another region",
            signed(&|signing| signing.region = "eu-west-1"),
            "Credential should be scoped to a valid region.",
            "signature_scope",
        ),
        invalid(
            "for another service",
            signed(&|signing| signing.service = "execute-api"),
            "Credential should be scoped to correct service.",
            "signature_scope",
        ),
    ]
}

fn no_operations(system: &System) -> Vec<Row> {
    let unknown = |name, request, status, reason| Row {
        audited: ("UnknownOperation", reason),
        ..Row::stranger(
            name,
            request,
            (status, "UnknownOperationException"),
            "No operation has this method and path.",
            reason,
        )
    };
    let mut get = mint(system, "");
    *get.method_mut() = http::Method::GET;
    vec![
        unknown("GET on an operation", get, 405, "wrong_method"),
        unknown(
            "a path of no operation",
            post(system, "GetEverything", "{}"),
            404,
            "unknown_operation",
        ),
        Row::stranger(
            "a body over 1 MiB",
            mint(system, &" ".repeat(MOST_BODY + 1)),
            (413, "RequestEntityTooLargeException"),
            "The request body is larger than 1 MiB or broke off.",
            "body_too_large",
        ),
    ]
}

fn valid() -> String {
    json!({ "workloadName": "dev-agent", "userId": "u" }).to_string()
}

fn unknown_session() -> String {
    format!(
        "{URN}{}",
        STANDARD_NO_PAD.encode("6f1b1b1e-6b0e-4c55-9b0a-0a5a3c9d1e2f")
    )
}

fn mint(system: &System, body: &str) -> http::Request<Bytes> {
    post(system, MINT, body)
}

fn post(system: &System, operation: &str, body: &str) -> http::Request<Bytes> {
    http::Request::post(system.url(1, &format!("/identities/{operation}")).as_str())
        .header("content-type", "application/json")
        .body(Bytes::copy_from_slice(body.as_bytes()))
        .expect("a request")
}

async fn send(client: &Client, request: http::Request<Bytes>) -> reqwest::Response {
    let request = reqwest::Request::try_from(request).expect("the same request");
    client.execute(request).await.expect("an answer")
}

/// The audit trail, oldest first, once `complete` or after 5 s: strangers' refusals are written in groups, later.
async fn records_until(system: &System, complete: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let data = system.data.to_str().expect("a text path");
    let deadline = std::time::Instant::now() + Duration::from_secs(5);
    loop {
        let tail = countersign(
            &["audit", "tail", "--data", data, "-n", "1000", "--output", "json"],
            [],
        );
        assert_eq!(tail.code, 0, "{}", tail.stderr);
        let records: Vec<Value> = tail
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("an object a line"))
            .collect();
        if complete(&records) || std::time::Instant::now() > deadline {
            return records;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
