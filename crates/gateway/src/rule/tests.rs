//! Which rule a request meets. The conditions are those of the ELB user guide's examples.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::*;
use crate::config::{account_rules, app_rules};

fn listener(rules: &str) -> config::Listener {
    let text = format!("listen = \"localhost:1\"\norigin = \"https://example.com\"\n{rules}");
    toml::from_str(&text).expect("a listener")
}

fn compile(rules: &str) -> Result<Rules, ConfigError> {
    let known = |name: &str| ["agent", "identity", "binding", "blue", "green"].contains(&name);
    Rules::compile("listeners.x", &listener(rules), &known)
}

/// Whether a rule with these conditions meets the request.
fn holds(conditions: &str, request: &str, headers: &[(&'static str, &'static str)]) -> bool {
    let rules = format!(
        "[[rules]]\npriority = 1\nconditions = {conditions}\nactions = [{{ type = \"fixed-response\", status_code = 200 }}]"
    );
    let rules = compile(&rules).expect(conditions);
    let (method, url) = request.split_once(' ').expect("a method and a URL");
    let (source, url) = url.split_once(' ').unwrap_or(("192.0.2.9", url));
    let url: url::Url = url.parse().expect("a URL");
    let headers: HeaderMap = headers
        .iter()
        .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    let asked = Asked {
        host: url.host_str().expect("a host"),
        path: url.path(),
        query: url.query(),
        method: &method.parse().expect("a method"),
        headers: &headers,
        source: Some(source.parse().expect("an address")),
    };
    rules.select(&asked).is_some()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn conditions() {
    for (conditions, request, expected) in [
        // host-header: case-insensitive, wildcards.
        (
            r#"{ host_header = ["*.example.com"] }"#,
            "GET http://test.example.com/",
            true,
        ),
        (
            r#"{ host_header = ["*.example.com"] }"#,
            "GET http://example.com/",
            false,
        ),
        (
            r#"{ host_header = ["EXAMPLE.com"] }"#,
            "GET http://example.com/",
            true,
        ),
        (
            r#"{ host_header_regex = ["^(www|api)\\.example\\.com$"] }"#,
            "GET http://api.example.com/",
            true,
        ),
        (
            r#"{ host_header_regex = ["^(www|api)\\.example\\.com$"] }"#,
            "GET http://api.example.com.evil/",
            false,
        ),
        // path-pattern: case-sensitive, the path alone.
        (r#"{ path_pattern = ["/img/*"] }"#, "GET http://a/img/b.png", true),
        (
            r#"{ path_pattern = ["/img/*"] }"#,
            "GET http://a/IMG/b.png",
            false,
        ),
        (
            r#"{ path_pattern = ["/img/*/pics"] }"#,
            "GET http://a/img/x/y/pics",
            true,
        ),
        (r#"{ path_pattern = ["*b=c*"] }"#, "GET http://a/?b=c", false),
        (
            r#"{ path_pattern_regex = ["^/v[12]/"] }"#,
            "GET http://a/v2/x",
            true,
        ),
        (
            r#"{ path_pattern_regex = ["^/v[12]/"] }"#,
            "GET http://a/V2/x",
            false,
        ),
        // http-request-method: case-sensitive, exact.
        (
            r#"{ http_request_method = ["CUSTOM-METHOD", "GET"] }"#,
            "CUSTOM-METHOD http://a/",
            true,
        ),
        (r#"{ http_request_method = ["GET"] }"#, "HEAD http://a/", false),
        (r#"{ http_request_method = ["GET"] }"#, "get http://a/", false),
        // query-string: case-insensitive, a pair, or any key with the value.
        (
            r#"{ query_string = [{ values = [{ key = "version", value = "v1" }, { value = "*example*" }] }] }"#,
            "GET http://a/?VERSION=V1",
            true,
        ),
        (
            r#"{ query_string = [{ values = [{ key = "version", value = "v1" }, { value = "*example*" }] }] }"#,
            "GET http://a/?x=anexampleis",
            true,
        ),
        (
            r#"{ query_string = [{ values = [{ key = "version", value = "v1" }, { value = "*example*" }] }] }"#,
            "GET http://a/?version=v2",
            false,
        ),
        (
            r#"{ query_string = [{ values = [{ key = "a", value = "1" }] }, { values = [{ key = "b", value = "2" }] }] }"#,
            "GET http://a/?b=2&a=1",
            true,
        ),
        (
            r#"{ query_string = [{ values = [{ key = "a", value = "1" }] }, { values = [{ key = "b", value = "2" }] }] }"#,
            "GET http://a/?a=1",
            false,
        ),
        (
            r#"{ query_string = [{ values = [{ key = "q", value = "\\*" }] }] }"#,
            "GET http://a/?q=*",
            true,
        ),
        (
            r#"{ query_string = [{ values = [{ key = "q", value = "\\*" }] }] }"#,
            "GET http://a/?q=x",
            false,
        ),
        // source-ip: the connection's, in CIDR form, of either family.
        (
            r#"{ source_ip = ["192.0.2.0/24", "198.51.100.10/32"] }"#,
            "GET http://a/",
            true,
        ),
        (r#"{ source_ip = ["198.51.100.10/32"] }"#, "GET http://a/", false),
        (
            r#"{ source_ip = ["2001:db8::/32"] }"#,
            "GET 2001:db8::7 http://a/",
            true,
        ),
        // All conditions of a rule must hold.
        (
            r#"{ host_header = ["a"], path_pattern = ["/x"] }"#,
            "GET http://a/x",
            true,
        ),
        (
            r#"{ host_header = ["a"], path_pattern = ["/x"] }"#,
            "GET http://b/x",
            false,
        ),
        ("{}", "GET http://a/", true),
    ] {
        assert_eq!(
            holds(conditions, request, &[]),
            expected,
            "{conditions} {request}"
        );
    }
}

#[test]
fn header_conditions() {
    let chrome = r#"{ http_header = [{ name = "User-Agent", values = ["*Chrome*", "*Safari*"] }] }"#;
    for (conditions, headers, expected) in [
        (chrome, &[("user-agent", "Mozilla/5.0 chrome/1")][..], true),
        (chrome, &[("user-agent", "curl/8")], false),
        (chrome, &[], false),
        // Every line of the field is tried.
        (
            chrome,
            &[("user-agent", "curl/8"), ("user-agent", "x Safari y")],
            true,
        ),
        (
            r#"{ http_header = [{ name = "X-Version", regex_values = ["^v[0-9]+$"] }] }"#,
            &[("x-version", "v12")],
            true,
        ),
        (
            r#"{ http_header = [{ name = "X-Version", regex_values = ["^v[0-9]+$"] }] }"#,
            &[("x-version", "V12")],
            false,
        ),
        (
            r#"{ http_header = [{ name = "A", values = ["1"] }, { name = "B", values = ["2"] }] }"#,
            &[("a", "1"), ("b", "2")],
            true,
        ),
        (
            r#"{ http_header = [{ name = "A", values = ["1"] }, { name = "B", values = ["2"] }] }"#,
            &[("a", "1")],
            false,
        ),
        // What a client says about its address is no source.
        (
            r#"{ source_ip = ["203.0.113.0/24"] }"#,
            &[("x-forwarded-for", "203.0.113.1")],
            false,
        ),
    ] {
        assert_eq!(
            holds(conditions, "GET http://a/", headers),
            expected,
            "{conditions} {headers:?}"
        );
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn rules_that_cannot_be_are_refused_with_a_place() {
    let ok = r#"actions = [{ type = "fixed-response", status_code = 200 }]"#;
    let rule = |conditions: &str| format!("[[rules]]\npriority = 7\nconditions = {conditions}\n{ok}");
    let actions = |actions: &str| format!("[[rules]]\npriority = 7\nactions = [{actions}]");
    let jwt = |rest: &str| {
        actions(&format!(
            r#"{{ type = "jwt-validation", jwks_endpoint = "https://a/jwks", {rest} }}, {{ type = "forward", target_group = "agent" }}"#
        ))
    };
    let long = "x".repeat(129);
    for (rules, fault) in [
        (
            rule(r#"{ path_pattern = ["/1", "/2", "/3", "/4"] }"#),
            "at most 3",
        ),
        (
            rule(r#"{ path_pattern = ["/1", "/2", "/3"], host_header = ["a.b", "c.d", "e.f"] }"#),
            "at most 5",
        ),
        (rule(&format!("{{ path_pattern = [\"{long}\"] }}")), "128"),
        (rule(&format!("{{ path_pattern_regex = [\"{long}\"] }}")), "128"),
        (rule(r#"{ path_pattern = [""] }"#), "1 to 128"),
        (
            rule(r#"{ path_pattern = ["/a"], path_pattern_regex = ["a"] }"#),
            "not both",
        ),
        (rule(r#"{ path_pattern_regex = ["("] }"#), "regular expression"),
        (
            rule(r#"{ path_pattern_regex = ["(?<!a)b"] }"#),
            "regular expression",
        ),
        (rule(r#"{ http_request_method = ["get"] }"#), "A-Z"),
        (
            rule(r#"{ http_header = [{ name = "a b", values = ["x"] }] }"#),
            "header name",
        ),
        (
            rule(r#"{ http_header = [{ name = "Host", values = ["x"] }] }"#),
            "host_header",
        ),
        (rule(r#"{ http_header = [{ name = "A" }] }"#), "no values"),
        (rule("{ query_string = [{ values = [] }] }"), "no values"),
        (format!("[[rules]]\npriority = 0\n{ok}"), "1 to 50000"),
        (format!("[[rules]]\npriority = 50001\n{ok}"), "1 to 50000"),
        (
            format!("[[rules]]\npriority = 7\n{ok}\n[[rules]]\npriority = 7\n{ok}"),
            "priority",
        ),
        (actions(""), "one or two"),
        (actions(r#"{ type = "authenticate-oidc" }"#), "last action"),
        (
            actions(r#"{ type = "forward", target_group = "nobody" }"#),
            "nobody",
        ),
        (actions(r#"{ type = "forward" }"#), "names"),
        (
            actions(r#"{ type = "forward", target_groups = [{ name = "blue", weight = 1000 }] }"#),
            "999",
        ),
        (
            actions(r#"{ type = "forward", target_groups = [{ name = "blue", weight = 0 }] }"#),
            "weight 0",
        ),
        (
            actions(r#"{ type = "forward", target_group = "blue", target_group_stickiness_seconds = 0 }"#),
            "604800",
        ),
        (
            actions(
                r#"{ type = "forward", target_group = "blue" }, { type = "forward", target_group = "blue" }"#,
            ),
            "first",
        ),
        (
            actions(r#"{ type = "fixed-response", status_code = 302 }"#),
            "2XX",
        ),
        (
            actions(r#"{ type = "fixed-response", status_code = 200, content_type = "text/xml" }"#),
            "content_type",
        ),
        (
            actions(&format!(
                r#"{{ type = "fixed-response", status_code = 200, message_body = "{}" }}"#,
                "x".repeat(1_025)
            )),
            "1024",
        ),
        (
            actions(r#"{ type = "redirect", protocol = "HTTP", port = "80" }"#),
            "HTTPS to HTTP",
        ),
        (actions(r#"{ type = "redirect" }"#), "itself"),
        (jwt("issuer = \"\""), "256"),
        (
            jwt(
                r#"issuer = "i", additional_claims = [{ name = "iss", format = "single-string", values = ["x"] }]"#,
            ),
            "additional claim",
        ),
        (
            jwt(
                r#"issuer = "i", additional_claims = [{ name = "s", format = "space-separated-values", values = ["a b"] }]"#,
            ),
            "space",
        ),
        (
            format!(
                "{}\ntransforms = {{ url_rewrite = {{ regex = \"(\", replace = \"x\" }} }}",
                actions(r#"{ type = "forward", target_group = "blue" }"#)
            ),
            "url_rewrite",
        ),
    ] {
        let error = compile(&rules).map(|_| ()).expect_err(&rules);
        assert!(error.place.starts_with("listeners.x.rules["), "{error}");
        assert!(error.fault.contains(fault), "{rules}: {error}");
    }
    let many: String = (1..=101)
        .map(|n| format!("[[rules]]\npriority = {n}\n{ok}\n"))
        .collect::<Vec<_>>()
        .concat();
    assert!(compile(&many).expect_err("too many").fault.contains("100"));
}

fn decide(rules: &Rules, path: &str) -> String {
    let asked = Asked {
        host: "localhost",
        path,
        query: None,
        method: &Method::GET,
        headers: &HeaderMap::new(),
        source: None,
    };
    let Some(rule) = rules.select(&asked) else {
        return "404".to_owned();
    };
    let terminal = match &rule.terminal {
        Terminal::Forward(forward) => forward.names().join("+"),
        Terminal::Redirect(redirect) => redirect.status.as_u16().to_string(),
        Terminal::FixedResponse { status, .. } => status.as_u16().to_string(),
    };
    match &rule.first {
        Some(First::AuthenticateOidc { otherwise, .. }) => format!("{otherwise:?} {terminal}"),
        Some(First::JwtValidation(_)) => format!("jwt {terminal}"),
        None => terminal,
    }
}

fn decision(rules: &[config::Rule], path: &str) -> String {
    let mut listener = listener("rules = []");
    listener.rules = rules.to_vec();
    decide(
        &Rules::compile("x", &listener, &|_| true).expect("good rules"),
        path,
    )
}

#[test]
fn the_path_table_of_the_app_origin() {
    let rules = app_rules("agent");
    assert_eq!(decision(&rules, "/"), "Authenticate agent");
    assert_eq!(decision(&rules, "/assets/chat.js"), "Authenticate agent");
    assert_eq!(decision(&rules, "/invocations"), "AuthenticateNavigation agent");
    assert_eq!(decision(&rules, "/identities/oauth2/authorize"), "404");
    assert_eq!(decision(&rules, "/identities"), "404");
}

#[test]
fn the_path_table_of_the_account_origin() {
    let rules = account_rules("identity", "binding");
    assert_eq!(decision(&rules, "/identities/oauth2/authorize"), "Allow identity");
    assert_eq!(
        decision(&rules, "/identities/oauth2/authorize/login"),
        "Authenticate identity"
    );
    assert_eq!(decision(&rules, "/identities/oauth2/callback/9b2f"), "identity");
    assert_eq!(decision(&rules, "/identities/oauth2/callbac"), "404");
    assert_eq!(decision(&rules, "/identities/CreateWorkloadIdentity"), "404");
    assert_eq!(
        decision(&rules, "/oauth2/session-binding"),
        "Authenticate binding"
    );
    assert_eq!(decision(&rules, "/connections"), "Authenticate identity");
    assert_eq!(decision(&rules, "/console/audit"), "Authenticate identity");
    for other in [
        "/",
        "/invocations",
        "/ping",
        "/connectionsx",
        "/%69dentities/oauth2/authorize",
    ] {
        assert_eq!(decision(&rules, other), "404", "{other}");
    }
}

#[test]
fn ascending_priority_decides_and_the_default_rule_comes_last() {
    let mut rules = app_rules("agent");
    rules.reverse();
    assert_eq!(decision(&rules, "/invocations"), "AuthenticateNavigation agent");
    let rules = compile(
        r#"
        default_actions = [{ type = "redirect", path = "/elsewhere" }]
        [[rules]]
        priority = 20
        conditions = { path_pattern = ["/a*"] }
        actions = [{ type = "forward", target_groups = [{ name = "blue", weight = 3 }, { name = "green", weight = 1 }] }]
        [[rules]]
        priority = 10
        conditions = { path_pattern = ["/api/*"] }
        actions = [
            { type = "jwt-validation", jwks_endpoint = "https://idp.example/jwks", issuer = "https://idp.example" },
            { type = "forward", target_group = "agent" },
        ]
        "#,
    )
    .expect("good rules");
    assert_eq!(decide(&rules, "/api/x"), "jwt agent");
    assert_eq!(decide(&rules, "/a"), "blue+green");
    assert_eq!(decide(&rules, "/"), "302");
}
