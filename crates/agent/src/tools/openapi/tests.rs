use bytes::Bytes;
use countersign_outbound::Response;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::*;

/// A document with one of everything; `extra` replaces members at the top.
fn document() -> Value {
    json!({
        "openapi": "3.0.3",
        "servers": [{ "url": "https://api.contoso.example/v1/" }],
        "security": [{ "contoso": ["calendar.read"] }],
        "paths": {
            "/calendars/{calendar}/events": {
                "parameters": [{ "$ref": "#/components/parameters/calendar" }],
                "get": {
                    "operationId": "listEvents",
                    "summary": "Lists events.",
                    "parameters": [
                        { "name": "limit", "in": "query", "schema": { "type": "integer", "minimum": 1, "maximum": 100 } },
                        { "name": "tag", "in": "query", "schema": { "type": "array", "items": { "type": "string" } } },
                        { "name": "kinds", "in": "query", "explode": false,
                          "schema": { "type": "array", "items": { "type": "string", "enum": ["work", "home"] } } },
                        { "name": "filter", "in": "query", "style": "deepObject", "schema": { "type": "object" } },
                        { "name": "session", "in": "cookie", "schema": { "type": "string" } },
                        { "name": "X-Version", "in": "header", "schema": { "type": "string" } }
                    ]
                },
                "post": {
                    "operationId": "events/create",
                    "security": [{ "contoso": ["calendar.write"] }],
                    "requestBody": { "required": true, "content": { "application/json": {
                        "schema": { "$ref": "#/components/schemas/NewEvent" } } } }
                }
            },
            "/files/{name}.json": {
                "get": { "operationId": "readFile", "parameters": [
                    { "name": "name", "in": "path", "required": true, "schema": { "type": "string" } } ] }
            }
        },
        "components": {
            "parameters": { "calendar": { "name": "calendar", "in": "path", "required": true,
                "description": "Which calendar.", "schema": { "type": "string", "maxLength": 64 } } },
            "schemas": {
                "NewEvent": { "allOf": [
                    { "type": "object", "required": ["title", "id"], "properties": {
                        "id": { "type": "string", "readOnly": true },
                        "title": { "type": "string", "maxLength": 100, "example": "Lunch" } } },
                    { "type": "object", "properties": {
                        "note": { "type": "string", "nullable": true },
                        "children": { "type": "array", "items": { "$ref": "#/components/schemas/NewEvent" } } } }
                ] }
            },
            "securitySchemes": { "contoso": { "type": "oauth2", "flows": { "authorizationCode": {
                "authorizationUrl": "https://a.example", "tokenUrl": "https://b.example",
                "scopes": { "calendar.read": "see your events", "calendar.write": "change your events" } } } } }
        }
    })
}

fn config(operations: &Value) -> config::OpenApi {
    let config = json!({
        "document": "contoso.json", "title": "Contoso", "provider": "contoso", "operations": operations,
    });
    serde_json::from_value(config).expect("a configuration")
}

fn built(operations: &Value) -> Result<Vec<ServiceTools>, String> {
    tools(
        &config(operations),
        &Document::new(document()).expect("a document"),
    )
}

fn tool(operation: &Value) -> Arc<dyn Tool> {
    let mut services = built(&json!([operation])).expect("a tool");
    services.remove(0).1.remove(0)
}

fn url_of(tool: &Arc<dyn Tool>, arguments: &Value) -> String {
    tool.prepare(arguments).expect("valid").url().to_string()
}

#[test]
fn an_operation_becomes_a_tool_with_its_scopes_and_their_words() {
    let services =
        built(&json!([{ "id": "listEvents", "example": "What is on?" }, { "id": "events/create" }]))
            .expect("tools");
    let (service, tools) = &services[0];
    assert_eq!(services.len(), 1);
    assert_eq!(service.title, "Contoso");
    assert_eq!(service.scopes["calendar.read"], "see your events");
    assert_eq!(service.examples, ["What is on?"]);
    let names: Vec<_> = tools.iter().map(|tool| tool.spec().name.as_str()).collect();
    assert_eq!(names, ["list_events", "events_create"]);
    let list = tools[0].prepare(&json!({ "calendar": "main" })).expect("valid");
    assert_eq!(list.scopes, ["calendar.read"]);
    assert!(list.is_safe());
    let create = tools[1].prepare(&json!({ "calendar": "main", "body": { "title": "Lunch" } }));
    let create = create.expect("valid");
    assert_eq!(create.scopes, ["calendar.write"]);
    assert!(!create.is_safe());
}

#[test]
fn the_model_sees_a_closed_schema_without_references() {
    let list = tool(&json!({ "id": "listEvents" }));
    let schema = &list.spec().schema;
    assert_eq!(schema["required"], json!(["calendar"]));
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["calendar"]["description"], "Which calendar.");
    let names: Vec<_> = schema["properties"]
        .as_object()
        .expect("members")
        .keys()
        .collect();
    assert_eq!(
        names,
        ["calendar", "kinds", "limit", "tag"],
        "no cookie, header or deep object"
    );

    let create = tool(&json!({ "id": "events/create" }));
    let body = &create.spec().schema["properties"]["body"];
    assert_eq!(body["required"], json!(["title"]), "{body}");
    assert_eq!(body["properties"]["note"]["type"], json!(["string", "null"]));
    assert!(body["properties"].get("id").is_none(), "read-only");
    assert_eq!(
        body["properties"]["children"]["items"],
        json!({}),
        "a schema that holds itself ends"
    );
    assert!(!create.spec().schema.to_string().contains("$ref"));
}

#[test]
fn arguments_become_a_request_to_the_service_alone() {
    let list = tool(&json!({ "id": "listEvents", "fixed": { "X-Version": "7" } }));
    assert_eq!(
        url_of(
            &list,
            &json!({ "calendar": "a b", "limit": 5, "tag": ["x&y", "z"], "kinds": ["work", "home"] })
        ),
        "https://api.contoso.example/v1/calendars/a%20b/events?kinds=work%2Chome&limit=5&tag=x%26y&tag=z"
    );
    for (hostile, path) in [
        ("../admin", "/v1/calendars/..%2Fadmin/events"),
        ("a/b", "/v1/calendars/a%2Fb/events"),
        ("a?x=1#y", "/v1/calendars/a%3Fx%3D1%23y/events"),
        ("%2e%2e", "/v1/calendars/%252e%252e/events"),
        ("@evil.example", "/v1/calendars/%40evil.example/events"),
        ("\\..\\", "/v1/calendars/%5C..%5C/events"),
        ("é\n", "/v1/calendars/%C3%A9%0A/events"),
    ] {
        let url = url_of(&list, &json!({ "calendar": hostile }));
        assert_eq!(url, format!("https://api.contoso.example{path}"));
    }
    let file = tool(&json!({ "id": "readFile" }));
    assert!(url_of(&file, &json!({ "name": "." })).ends_with("/v1/files/..json"));
}

#[test]
fn arguments_that_do_not_fit_are_told_to_the_model() {
    let list = tool(&json!({ "id": "listEvents" }));
    for arguments in [
        json!(null),
        json!([]),
        json!("calendar"),
        json!({}),
        json!({ "calendar": "" }),
        json!({ "calendar": "." }),
        json!({ "calendar": ".." }),
        json!({ "calendar": 7 }),
        json!({ "calendar": "x".repeat(65) }),
        json!({ "calendar": "a", "limit": 0 }),
        json!({ "calendar": "a", "limit": 101 }),
        json!({ "calendar": "a", "limit": 1.5 }),
        json!({ "calendar": "a", "limit": "5" }),
        json!({ "calendar": "a", "kinds": ["other"] }),
        json!({ "calendar": "a", "X-Version": "1" }),
        json!({ "calendar": "a", "session": "x" }),
        json!({ "calendar": "a", "authorization": "x" }),
        json!({ "calendar": "a", "tag": ["x".repeat(70_000)] }),
    ] {
        let refused = list.prepare(&arguments).err().expect("refused");
        assert!(refused.starts_with("invalid arguments"), "{refused}");
    }
    let create = tool(&json!({ "id": "events/create" }));
    for body in [
        json!({}),
        json!({ "title": 1 }),
        json!({ "title": "x".repeat(101) }),
        json!([]),
    ] {
        assert!(
            create.prepare(&json!({ "calendar": "a", "body": body })).is_err(),
            "{body}"
        );
    }
    assert!(
        create.prepare(&json!({ "calendar": "a" })).is_err(),
        "its body is required"
    );
}

#[test]
fn a_configuration_that_cannot_work_is_refused_with_its_rule() {
    for (operations, rule) in [
        (json!([]), "names none"),
        (json!([{ "id": "nothing" }]), "no such operationId"),
        (
            json!([{ "id": "listEvents", "name": "List Events" }]),
            "tool name",
        ),
        (
            json!([{ "id": "listEvents", "fixed": { "nobody": 1 } }]),
            "no such parameter",
        ),
        (
            json!([{ "id": "listEvents", "fixed": { "limit": 1000 } }]),
            "out of its range",
        ),
        (
            json!([{ "id": "listEvents", "fixed": { "X-Version": "a\nb" } }]),
            "cannot stand in a header",
        ),
    ] {
        let refused = built(&operations).err().expect(rule);
        assert!(refused.contains(rule), "{refused}");
    }
    for (pointer, value, rule) in [
        ("/openapi", json!("2.0"), "known are 3.0 and 3.1"),
        ("/servers/0/url", json!("/v1"), "set `base_url`"),
        (
            "/servers/0/url",
            json!("https://{tenant}.example"),
            "set `base_url`",
        ),
        (
            "/servers/0/url",
            json!("ftp://contoso.example"),
            "must be http or https",
        ),
        (
            "/servers/0/url",
            json!("https://user@contoso.example"),
            "without user",
        ),
        (
            "/components/parameters/calendar/in",
            json!("cookie"),
            "not supported",
        ),
        (
            "/components/parameters/calendar/schema",
            json!({ "$ref": "other.json#/x" }),
            "leads out of",
        ),
        (
            "/components/parameters/calendar/schema",
            json!({ "$ref": "#/nowhere" }),
            "leads nowhere",
        ),
        (
            "/components/parameters/calendar/name",
            json!("diary"),
            "does not declare",
        ),
        ("/security", json!([]), "set `scopes`"),
    ] {
        let mut document = document();
        *document.pointer_mut(pointer).expect(pointer) = value;
        let refused = Document::new(document)
            .and_then(|document| tools(&config(&json!([{ "id": "listEvents" }])), &document).map(|_| ()));
        let refused = refused.expect_err(rule);
        assert!(refused.contains(rule), "{refused}");
    }
}

#[test]
fn a_header_with_credentials_is_not_for_a_document_to_set() {
    for name in [
        "Authorization",
        "Cookie",
        "Host",
        "Proxy-Authorization",
        "Transfer-Encoding",
    ] {
        let mut document = document();
        document["paths"]["/calendars/{calendar}/events"]["get"]["parameters"][5]["name"] = json!(name);
        let operations = json!([{ "id": "listEvents", "fixed": { name: "x" } }]);
        let refused = tools(
            &config(&operations),
            &Document::new(document).expect("a document"),
        );
        assert!(refused.err().expect(name).contains("not for documents to set"));
    }
}

#[test]
fn a_schema_without_end_is_refused() {
    let mut document = document();
    let deep = (0..40).fold(
        json!({ "type": "string" }),
        |inner, _| json!({ "type": "array", "items": inner }),
    );
    document["components"]["parameters"]["calendar"]["schema"] = deep;
    let document = Document::new(document).expect("a document");
    let refused = tools(&config(&json!([{ "id": "listEvents" }])), &document);
    assert!(refused.err().expect("refused").contains("too large"));
}

#[test]
fn providers_of_operations_are_services_of_their_own() {
    let services = built(&json!([
        { "id": "listEvents" },
        { "id": "readFile", "provider": "contoso-files", "scopes": [] },
    ]));
    let providers: Vec<String> = services
        .expect("tools")
        .iter()
        .map(|(service, _)| service.provider.to_string())
        .collect();
    assert_eq!(providers, ["contoso", "contoso-files"]);
}

fn shown(paths: &[&str], most_bytes: usize, kind: &str, body: &str) -> Option<Value> {
    let paths: Vec<String> = paths.iter().map(|&path| path.to_owned()).collect();
    let mut headers = HeaderMap::new();
    headers.insert("content-type", kind.parse().expect("a value"));
    AnswerRule::new(&paths, most_bytes).read(&Response {
        status: StatusCode::OK,
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
    })
}

#[test]
fn an_answer_is_cut_to_what_fits_and_says_so() {
    let items: Vec<Value> = (0..500)
        .map(|id| json!({ "id": id, "text": "x".repeat(300) }))
        .collect();
    let body = json!({ "items": items }).to_string();
    let answer = shown(&[], 8_000, "application/json", &body).expect("an answer");
    assert_eq!(answer["truncated"], true);
    assert!(answer.to_string().len() < 9_000);
    assert!(
        answer["data"]["items"]
            .as_array()
            .is_some_and(|items| !items.is_empty())
    );

    let whole = shown(&[], 8_000, "application/json", r#"{"a":1}"#).expect("an answer");
    assert_eq!(whole, json!({ "status": 200, "data": { "a": 1 } }));
}

#[test]
fn only_the_chosen_members_are_shown() {
    let body = r#"{"items":[{"id":1,"secret":"s","by":{"name":"n","mail":"m"}},"odd"],"next":"t"}"#;
    let answer = shown(
        &["items.id", "items.by.name"],
        8_000,
        "application/problem+json",
        body,
    );
    assert_eq!(
        answer.expect("an answer")["data"],
        json!({ "items": [{ "by": { "name": "n" }, "id": 1 }, null] })
    );
}

#[test]
fn what_is_no_json_is_text_or_only_named() {
    assert_eq!(
        shown(&[], 8_000, "text/plain; charset=utf-8", "hello").expect("an answer")["data"],
        "hello"
    );
    assert_eq!(
        shown(&[], 8_000, "image/png", "PNG").expect("an answer"),
        json!({ "status": 200, "contentType": "image/png", "bytes": 3 })
    );
    assert!(shown(&[], 8_000, "application/json", "{").is_none());
    assert_eq!(
        shown(&[], 8_000, "application/json", "").expect("an answer"),
        json!({ "status": 200 })
    );
}
