//! Reading inputs: what is ignored, what cannot be parsed, what breaks a rule, and how it is said.

use countersign_api::control::{
    CreateOauth2CredentialProvider, CreateWorkloadIdentity, ListTagsForResource, ListWorkloadIdentities,
    UntagResource,
};
use countersign_api::data::{
    CompleteResourceTokenAuth, GetResourceOauth2Token, GetWorkloadAccessToken, GetWorkloadAccessTokenForJWT,
    UserIdentifier,
};
use countersign_api::operation::{parse, parse_request};
use countersign_api::{ApiError, Operation, ValidationReason, admin};
use serde_json::{Value, json};

fn error<O: Operation>(input: &Value) -> ApiError
where
    O::Input: std::fmt::Debug,
{
    parse::<O>(input.to_string().as_bytes()).expect_err("refused")
}

/// The one field that is named.
fn field<O: Operation>(input: &Value) -> (String, String)
where
    O::Input: std::fmt::Debug,
{
    let error = error::<O>(input);
    assert_eq!(
        error.reason,
        Some(ValidationReason::FieldValidationFailed),
        "{error:?}"
    );
    let [field] = error.fields.as_slice() else {
        panic!("{error:?}")
    };
    assert_eq!(error.message, format!("{}: {}", field.name, field.message));
    (field.name.clone(), field.message.clone())
}

fn token_request() -> Value {
    json!({
        "workloadIdentityToken": "wat", "resourceCredentialProviderName": "p", "scopes": [], "oauth2Flow": "USER_FEDERATION",
    })
}

fn token_request_with(member: &str, value: Value) -> Value {
    let mut request = token_request();
    request[member] = value;
    request
}

#[test]
fn null_is_absence_and_newer_members_are_ignored() {
    let input = json!({"workloadName": "agent-one", "ofANewerModel": {"x": [1]}});
    assert_eq!(
        parse::<GetWorkloadAccessToken>(input.to_string().as_bytes())
            .expect("an input")
            .workload_name,
        "agent-one"
    );
    let input = token_request_with("sessionUri", Value::Null);
    assert_eq!(
        parse::<GetResourceOauth2Token>(input.to_string().as_bytes())
            .expect("an input")
            .session_uri,
        None
    );
    assert!(
        parse::<ListWorkloadIdentities>(b"").is_ok(),
        "no body is an empty object"
    );
}

#[test]
fn what_is_not_json_or_of_another_type_cannot_be_parsed() {
    for (body, message) in [
        ("{", "the body is not valid JSON (line 1, column 1)"),
        ("[]", "the body must be a JSON object"),
        ("\"workloadName\"", "the body must be a JSON object"),
        ("{\"workloadName\": 7}", "workloadName: expected a string"),
        (
            "{\"workloadName\": {\"a\": 1}}",
            "workloadName: expected a string",
        ),
    ] {
        let error = parse::<GetWorkloadAccessToken>(body.as_bytes()).expect_err(body);
        assert_eq!(
            (error.reason, error.message.as_str()),
            (Some(ValidationReason::CannotParse), message)
        );
        assert!(error.fields.is_empty());
    }
    for (member, value, message) in [
        ("scopes", json!([1]), "scopes[0]: expected a string"),
        ("scopes", json!("openid"), "scopes: expected a sequence"),
        ("scopes", json!([null]), "scopes[0]: expected a string"),
        (
            "customParameters",
            json!({"a": true}),
            "customParameters.a: expected a string",
        ),
        (
            "forceAuthentication",
            json!("true"),
            "forceAuthentication: expected a boolean",
        ),
    ] {
        let error = error::<GetResourceOauth2Token>(&token_request_with(member, value));
        assert_eq!(
            (error.reason, error.message.as_str()),
            (Some(ValidationReason::CannotParse), message)
        );
    }
}

#[test]
fn a_member_that_is_given_twice_is_refused_at_any_depth() {
    for body in [
        r#"{"workloadName": "agent-one", "workloadName": "agent-two"}"#,
        r#"{"workloadName": "agent-one", "x": [{"a": 1, "a": 2}]}"#,
        r#"{"workloadName": "agent-one", "x": null, "x": 1}"#,
        r#"{"workloadName": "agent-one", "workload\u004eame": "agent-two"}"#,
    ] {
        let error = parse::<GetWorkloadAccessToken>(body.as_bytes()).expect_err(body);
        assert_eq!(error.reason, Some(ValidationReason::CannotParse));
        assert!(error.message.contains("twice"), "{}", error.message);
    }
}

#[test]
fn a_resource_in_the_path_is_decoded_once() {
    let arn = "arn%3Aaws%3Abedrock-agentcore%3Aus-east-1%3A123456789012%3Atoken-vault%2Fdefault";
    let of = |path: String| {
        let uri = path.parse().expect("a path");
        parse_request::<ListTagsForResource>(&uri, b"{\"resourceArn\": \"ignored\"}")
            .map(|input| input.resource_arn)
    };
    let expected = "arn:aws:bedrock-agentcore:us-east-1:123456789012:token-vault/default";
    assert_eq!(of(format!("/tags/{arn}")).as_deref(), Ok(expected));
    // Slashes and colons may stand as they are.
    assert_eq!(of(format!("/tags/{expected}")).as_deref(), Ok(expected));
    for path in [
        format!("/tags/{}", arn.replace('%', "%25")),
        format!("/tags/{arn}%2F..%2F..%2Fsecret"),
        "/tags/..%2F..%2Fidentities%2Fget-token-vault".to_owned(),
        "/tags/%FF%FE".to_owned(),
        "/tags/".to_owned(),
    ] {
        let error = of(path.clone()).expect_err(&path);
        assert_eq!(error.fields.len(), 1, "{path}: {error:?}");
        assert_eq!(error.fields[0].name, "resourceArn", "{path}");
    }
    let uri = format!("/tags/{arn}?tagKeys=a%20b&other=x&tagKeys=c+d").parse();
    let input = parse_request::<UntagResource>(&uri.expect("a path"), b"").expect("an input");
    assert_eq!(input.tag_keys, ["a b", "c d"]);
    let uri = format!("/tags/{arn}").parse().expect("a path");
    let error = parse_request::<UntagResource>(&uri, b"{\"tagKeys\": [\"a\"]}").expect_err("in the query");
    assert_eq!(error.fields[0].name, "tagKeys");
}

#[test]
fn a_deep_body_is_refused_and_not_a_stack_overflow() {
    let body = format!(
        "{{\"workloadName\": {}1{}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let error = parse::<GetWorkloadAccessToken>(body.as_bytes()).expect_err("too deep");
    assert_eq!(error.reason, Some(ValidationReason::CannotParse));
}

#[test]
fn every_rule_names_its_member() {
    let must_match = |pattern: &str| format!("must match {pattern}");
    for (member, value, name, rule) in [
        (
            "workloadIdentityToken",
            json!(""),
            "workloadIdentityToken",
            "must have 1 to 131072 characters".to_owned(),
        ),
        (
            "resourceCredentialProviderName",
            json!("a b"),
            "resourceCredentialProviderName",
            must_match(r"[a-zA-Z0-9\-_]+"),
        ),
        (
            "scopes",
            json!(["ok", ""]),
            "scopes[1]",
            "must have 1 to 128 characters".to_owned(),
        ),
        (
            "scopes",
            json!(vec!["s"; 101]),
            "scopes",
            "must have 0 to 100 items".to_owned(),
        ),
        (
            "sessionUri",
            json!("urn:ietf:params:oauth:request_uri:"),
            "sessionUri",
            must_match("urn:ietf:params:oauth:request_uri:[a-zA-Z0-9-._~]+"),
        ),
        (
            "sessionUri",
            json!("u".repeat(1025)),
            "sessionUri",
            "must have 1 to 1024 characters".to_owned(),
        ),
        (
            "customState",
            json!("x".repeat(4097)),
            "customState",
            "must have 1 to 4096 characters".to_owned(),
        ),
        (
            "customParameters",
            json!({"a b": "c"}),
            "customParameters.a b",
            must_match(r"[a-zA-Z0-9\-_\.]+"),
        ),
        (
            "resources",
            json!(["r".repeat(2049)]),
            "resources[0]",
            "must have 1 to 2048 characters".to_owned(),
        ),
    ] {
        assert_eq!(
            field::<GetResourceOauth2Token>(&token_request_with(member, value)),
            (name.to_owned(), rule)
        );
    }
    let (name, rule) = field::<GetResourceOauth2Token>(&token_request_with("oauth2Flow", json!("IMPLICIT")));
    assert_eq!(name, "oauth2Flow");
    assert_eq!(
        rule,
        "must be one of `USER_FEDERATION`, `M2M`, `ON_BEHALF_OF_TOKEN_EXCHANGE`"
    );
    assert_eq!(
        field::<GetWorkloadAccessToken>(&json!({})),
        ("workloadName".to_owned(), "must be set".to_owned())
    );
}

#[test]
fn lengths_are_characters_not_bytes() {
    let scope = "ü".repeat(128);
    let input = token_request_with("scopes", json!([scope]));
    assert!(parse::<GetResourceOauth2Token>(input.to_string().as_bytes()).is_ok());
}

#[test]
fn a_union_has_exactly_one_member() {
    let uri = "urn:ietf:params:oauth:request_uri:abc-123";
    let with = |identifier: Value| json!({"userIdentifier": identifier, "sessionUri": uri});
    let rule = "exactly one of these members must be set: userToken userId";
    for identifier in [
        json!({}),
        json!({"userId": "a", "userToken": "a.b.c"}),
        json!({"other": "a"}),
    ] {
        assert_eq!(
            field::<CompleteResourceTokenAuth>(&with(identifier)),
            ("userIdentifier".to_owned(), rule.to_owned())
        );
    }
    let input = with(json!({"userId": "a", "userToken": null, "other": 1})).to_string();
    let input = parse::<CompleteResourceTokenAuth>(input.as_bytes()).expect("one member");
    assert_eq!(input.user_identifier, UserIdentifier::UserId("a".to_owned()));
    let (name, _) = field::<CompleteResourceTokenAuth>(&with(json!({"userId": ""})));
    assert_eq!(name, "userIdentifier.userId");
}

#[test]
fn user_tokens_follow_the_models_pattern() {
    let good = [
        "aaa.bbb.ccc",
        "a.b.c",
        "aaaaa",
        "a=b_c-d",
        "aaa bbb.ccc",
        "a.bbb",
        "aa:bb:cc",
        "abc.d",
    ];
    let bad = [
        "",
        "a",
        "a.b.",
        ".a.b.c",
        "a..bc.d.",
        "a.b.c.d",
        "a.b.c d.e.f",
        "aaaa",
        "ab.c",
        "a.\nb.c",
        "a.b",
    ];
    for (tokens, ok) in [(good.as_slice(), true), (bad.as_slice(), false)] {
        for token in tokens {
            let input = json!({"workloadName": "agent-one", "userToken": token}).to_string();
            assert_eq!(
                parse::<GetWorkloadAccessTokenForJWT>(input.as_bytes()).is_ok(),
                ok,
                "{token}"
            );
        }
    }
}

#[test]
fn d02_return_urls_are_checked_at_registration() {
    for url in [
        "javascript:alert(1)",
        "data:text/html,x",
        "http://app.example.com/cb",
        "https://a.example/#f",
    ] {
        let input =
            json!({"name": "agent-one", "allowedResourceOauth2ReturnUrls": ["https://ok.example/cb", url]});
        let (name, _) = field::<CreateWorkloadIdentity>(&input);
        assert_eq!(name, "allowedResourceOauth2ReturnUrls[1]", "{url}");
    }
}

fn provider(vendor: &str, member: &str, config: &Value) -> Value {
    json!({"name": "p", "credentialProviderVendor": vendor, "oauth2ProviderConfigInput": {member: config}})
}

#[test]
fn a_vendors_member_and_secret() {
    for (vendor, member) in [
        ("GoogleOauth2", "googleOauth2ProviderConfig"),
        ("MicrosoftOauth2", "microsoftOauth2ProviderConfig"),
        ("OktaOauth2", "includedOauth2ProviderConfig"),
    ] {
        let input = provider(vendor, member, &json!({"clientId": "c"}));
        let (name, rule) = field::<CreateOauth2CredentialProvider>(&input);
        assert_eq!(name, format!("oauth2ProviderConfigInput.{member}.clientSecret"));
        assert_eq!(rule, "must be set unless clientSecretSource is EXTERNAL");
    }
    let input = provider(
        "SlackOauth2",
        "githubOauth2ProviderConfig",
        &json!({"clientId": "c"}),
    );
    let (name, rule) = field::<CreateOauth2CredentialProvider>(&input);
    assert_eq!(
        (name.as_str(), rule.contains("slackOauth2ProviderConfig")),
        ("oauth2ProviderConfigInput", true)
    );
}

#[test]
fn a_custom_providers_rules() {
    let url = json!({"discoveryUrl": "https://as.example.com/.well-known/openid-configuration"});
    let metadata = |token_endpoint: &str| {
        json!({"authorizationServerMetadata": {
            "issuer": "https://as.example.com", "authorizationEndpoint": "https://as.example.com/a",
            "tokenEndpoint": token_endpoint, "tokenEndpointAuthMethods": ["client_secret_post"],
        }})
    };
    let custom = |discovery: Value, member: &str, value: Value| {
        let mut config = json!({"oauthDiscovery": discovery, "clientId": "c", "clientSecret": "s"});
        config[member] = value;
        provider("CustomOauth2", "customOauth2ProviderConfig", &config)
    };
    for (input, name) in [
        (custom(url.clone(), "clientId", json!("")), "clientId"),
        (
            custom(
                url.clone(),
                "clientSecretConfig",
                json!({"secretId": "s", "jsonKey": "k"}),
            ),
            "clientSecretConfig",
        ),
        (
            custom(
                url.clone(),
                "privateKeyJwtConfig",
                json!({"signingAlgorithm": "RS256"}),
            ),
            "privateKeyJwtConfig",
        ),
        (
            custom(url.clone(), "privateEndpoint", json!({})),
            "privateEndpoint",
        ),
        (
            custom(
                json!({"discoveryUrl": "https://as.example.com/metadata"}),
                "clientId",
                json!("c"),
            ),
            "oauthDiscovery.discoveryUrl",
        ),
        (
            custom(
                json!({"discoveryUrl": "ftp://as.example.com/.well-known/openid-configuration"}),
                "clientId",
                json!("c"),
            ),
            "oauthDiscovery.discoveryUrl",
        ),
        (
            custom(metadata("/token"), "clientId", json!("c")),
            "oauthDiscovery.authorizationServerMetadata.tokenEndpoint",
        ),
        (
            custom(metadata("https://u:p@as.example.com/t"), "clientId", json!("c")),
            "oauthDiscovery.authorizationServerMetadata.tokenEndpoint",
        ),
        (
            custom(
                metadata("https://as.example.com/t"),
                "clientAuthenticationMethod",
                json!("CLIENT_SECRET_POST"),
            ),
            "clientAuthenticationMethod",
        ),
    ] {
        let (field, _) = field::<CreateOauth2CredentialProvider>(&input);
        assert_eq!(
            field,
            format!("oauth2ProviderConfigInput.customOauth2ProviderConfig.{name}")
        );
    }
    for path in ["", "/tenant", "/a/b"] {
        let url = format!("https://as.example.com/.well-known/oauth-authorization-server{path}");
        let input = custom(json!({"discoveryUrl": url}), "clientId", json!("c")).to_string();
        assert!(
            parse::<CreateOauth2CredentialProvider>(input.as_bytes()).is_ok(),
            "{url}"
        );
    }
}

#[test]
fn no_error_and_no_debug_quotes_a_value() {
    let canary = "canary-4711 with, expected spaces";
    let inputs = [
        token_request_with("oauth2Flow", json!(canary)),
        token_request_with("scopes", json!({"a": canary})),
        token_request_with("resourceCredentialProviderName", json!(canary)),
        token_request_with("forceAuthentication", json!(canary)),
    ];
    for input in inputs {
        let error = error::<GetResourceOauth2Token>(&input);
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
    let mut input = token_request_with("customState", json!(canary));
    input["customParameters"] = json!({"a": canary});
    input["workloadIdentityToken"] = json!(canary);
    let input = parse::<GetResourceOauth2Token>(input.to_string().as_bytes()).expect("an input");
    assert!(!format!("{input:?}").contains("canary"), "{input:?}");
}

#[test]
fn many_errors_are_cut_short() {
    let input = token_request_with("scopes", json!(vec![""; 100]));
    assert_eq!(error::<GetResourceOauth2Token>(&input).fields.len(), 20);
}

#[test]
fn our_own_operations_have_rules_too() {
    let uri = "urn:ietf:params:oauth:request_uri:abc-123";
    let (name, _) = field::<admin::DescribeAuthorizationSession>(&json!({"sessionUri": uri, "scopes": []}));
    assert_eq!(name, "userIdentifier", "somebody has to be asking");
    for (kind, subject, ok) in [
        ("user", "idp:abc", true),
        ("workload", "agent one", false),
        ("provider", "ledgerline", true),
        ("principal", "dev/agent", false),
        ("account", "000000000000", true),
        ("account", "everything", false),
    ] {
        let input = json!({"subjectKind": kind, "subject": subject}).to_string();
        assert_eq!(
            parse::<admin::Stop>(input.as_bytes()).is_ok(),
            ok,
            "{kind} {subject}"
        );
    }
    assert_eq!(
        field::<admin::Start>(&json!({"subjectKind": "planet", "subject": "x"})).0,
        "subjectKind"
    );
    let policy = json!({"principalName": "p", "document": "{}"});
    assert_eq!(field::<admin::PutPrincipalPolicy>(&policy).0, "document");
    assert_eq!(admin::Stop::ACTION, "countersign:Stop");
    assert_eq!(
        (admin::Stop::PATH, admin::Stop::SERVICE),
        ("/countersign/Stop", "countersign")
    );
}
