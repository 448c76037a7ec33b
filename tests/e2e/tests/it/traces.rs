//! Traces as an OpenTelemetry collector gets them, decoded by OpenTelemetry's own messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use e2e::{Person, System, cli::countersign, system::Options};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value::Value, trace::v1::Span,
};
use prost::Message as _;
use tokio::net::TcpListener;
use url::Url;

/// What was sent to `/v1/traces`.
#[derive(Default)]
struct Received {
    spans: Mutex<Vec<Span>>,
    bytes: Mutex<Vec<u8>>,
    services: Mutex<BTreeSet<String>>,
}

/// A collector that keeps everything, and its base URL.
async fn collector() -> (Arc<Received>, Url) {
    let received = Arc::new(Received::default());
    let router = Router::new()
        .route("/v1/traces", post(receive))
        .with_state(Arc::clone(&received));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    (received, Url::parse(&format!("http://{address}")).expect("a URL"))
}

async fn receive(State(received): State<Arc<Received>>, headers: HeaderMap, body: Bytes) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    assert!(
        !headers.contains_key("traceparent"),
        "sending traces is in no trace"
    );
    received.bytes.lock().expect("no panic").extend_from_slice(&body);
    let request = ExportTraceServiceRequest::decode(body).expect("OTLP");
    for resource in request.resource_spans {
        let attributes = resource.resource.expect("a resource").attributes;
        let name = attributes.into_iter().find(|pair| pair.key == "service.name");
        let name = name.and_then(|pair| pair.value?.value);
        if let Some(Value::StringValue(name)) = name {
            received.services.lock().expect("no panic").insert(name);
        }
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        received.spans.lock().expect("no panic").extend(spans);
    }
}

fn text(span: &Span, key: &str) -> String {
    let pair = span.attributes.iter().find(|pair| pair.key == key);
    match pair.and_then(|pair| pair.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// The names from the root of the trace down to `span`.
fn way(spans: &[Span], span: &Span) -> Vec<String> {
    let mut way = vec![span.name.clone()];
    let mut at = span;
    while !at.parent_span_id.is_empty() {
        at = spans
            .iter()
            .find(|other| other.span_id == at.parent_span_id)
            .unwrap_or_else(|| panic!("the parent of {} is missing: {way:?}", at.name));
        way.push(at.name.clone());
    }
    way.reverse();
    way
}

/// Whether `parts` stand on `way` in this order.
fn leads_over(way: &[String], parts: &[&str]) -> bool {
    let mut left = parts.iter().peekable();
    for name in way {
        left.next_if(|part| **part == name);
    }
    left.peek().is_none()
}

// More than one thread: the collector has to answer while the end of the process is waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_question_is_one_trace_from_the_gateway_to_the_provider() {
    let (received, url) = collector().await;
    let mut system = System::start_with(Options {
        arguments: vec!["--otlp-endpoint".to_owned(), url.to_string()],
        ..Options::default()
    });
    let alice = Person::connected(&system, "alice").await;
    let mut events = alice.asks("list my open issues", "t").await;
    assert!(events.answer().await.contains("ALICE-1"));
    let looked_for = "carolcanary2041";
    super::canary::looks_for(&system, &alice, looked_for).await;
    let (data, ledgerline) = (system.data.clone(), system.ledgerline("/"));
    assert!(
        system.interrupt().success(),
        "what is in memory is sent at the end"
    );

    let all = received.spans.lock().expect("no panic").clone();
    let mut traces: BTreeMap<Vec<u8>, Vec<Span>> = BTreeMap::new();
    for span in all {
        traces.entry(span.trace_id.clone()).or_default().push(span);
    }
    let provider = format!("127.0.0.1:{}", ledgerline.port().expect("a port"));
    // The questions: gateway, agent, identity, and the agent's call of the service itself.
    let questions: Vec<&Vec<Span>> = traces
        .values()
        .filter(|spans| spans.iter().any(|span| span.name == "agent.turn"))
        .collect();
    assert_eq!(questions.len(), 2, "a trace for each question");
    for spans in &questions {
        let roots = spans.iter().filter(|span| span.parent_span_id.is_empty());
        let roots: Vec<&str> = roots.map(|span| span.name.as_str()).collect();
        assert_eq!(roots, ["POST gateway.app"]);
        let token = spans
            .iter()
            .filter(|span| span.name == "identity.get_resource_oauth2_token");
        let parts = [
            "POST gateway.app",
            "POST agent",
            "agent.turn",
            "http.request",
            "POST identity.api",
        ];
        let mut ways = token.map(|span| way(spans, span));
        assert!(ways.any(|way| leads_over(&way, &parts)), "{spans:#?}");
        let called = spans
            .iter()
            .filter(|span| span.name == "http.request" && text(span, "server.address") == provider);
        let mut ways = called.map(|span| way(spans, span));
        assert!(
            ways.any(|way| leads_over(&way, &parts[..4])),
            "the service is called in the trace"
        );
    }
    // The consent: gateway, binding, identity, and the exchange of the code at the provider.
    let exchanged = traces.values().any(|spans| {
        let exchange = spans
            .iter()
            .filter(|span| span.name == "http.request" && text(span, "server.address") == provider);
        let parts = [
            "POST gateway.account",
            "POST binding",
            "http.request",
            "POST identity.api",
            "identity.complete_resource_token_auth",
            "http.request",
        ];
        exchange
            .map(|span| way(spans, span))
            .any(|way| leads_over(&way, &parts))
    });
    assert!(
        exchanged,
        "the exchange of the code is in the trace of the binding page's form"
    );

    // The evidence of both roles names the same trace.
    let data = data.to_str().expect("a path");
    let arguments = [
        "audit", "tail", "--data", data, "--lines", "500", "--output", "json",
    ];
    let tail = countersign(&arguments, []);
    assert_eq!(tail.code, 0, "{}", tail.stderr);
    let records = tail
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let released: BTreeSet<String> = records
        .filter(|record| record["action"] == "GetResourceOauth2Token" && record["detail"]["released"] == true)
        .map(|record| record["traceId"].as_str().expect("a trace").to_owned())
        .collect();
    for spans in &questions {
        let id = hex::encode(&spans[0].trace_id);
        assert!(released.contains(&id), "{id} is in no record: {released:?}");
    }
    let services = received.services.lock().expect("no panic").clone();
    assert_eq!(services.into_iter().collect::<Vec<_>>(), ["countersign-dev"]);
    assert_nothing_secret(&received, looked_for);
}

/// Nothing of what opens something is in what was sent, nor who was looked for.
fn assert_nothing_secret(received: &Received, looked_for: &str) {
    let bytes = received.bytes.lock().expect("no panic").clone();
    let sent = String::from_utf8_lossy(&bytes);
    for secret in [
        "request_uri",
        "code=",
        "Bearer",
        "AWS4-HMAC",
        "countersign-password",
        looked_for,
    ] {
        assert!(!sent.contains(secret), "{secret} was sent");
    }
}

#[tokio::test]
async fn a_collector_that_is_away_holds_nobody_up() {
    // Nothing listens there any more.
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = closed.local_addr().expect("an address");
    drop(closed);
    let mut system = System::start_with(Options {
        arguments: vec!["--otlp-endpoint".to_owned(), format!("http://{address}")],
        ..Options::default()
    });
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("hello", "s").await;
    events.answer().await;
    assert!(system.interrupt().success(), "and ends as if there were one");
}
