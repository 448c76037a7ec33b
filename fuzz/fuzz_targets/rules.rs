//! Rules of the gateway: whatever compiles can be asked about any request, a wildcard holds where a naive reading of it
//! holds, a redirect is a header and never leads from HTTPS to HTTP, and a rewrite makes a path that means one thing.
//! The input is lines: path pattern, host pattern, query pattern, regular expression, redirect path, redirect host,
//! rewrite expression, replacement, then the request's path, host and query.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The modules themselves: their crate is slow to build with instrumentation.
#[allow(dead_code, unreachable_pub, reason = "the target uses a part of it")]
#[path = "../../crates/gateway/src/config/rule.rs"]
mod rule_config;

#[allow(dead_code, reason = "the target uses a part of it")]
#[path = "../../crates/gateway/src/origin.rs"]
mod origin;

#[allow(dead_code, reason = "the target uses a part of it")]
#[path = "../../crates/gateway/src/reason.rs"]
mod reason;

#[allow(dead_code, reason = "the target uses a part of it")]
#[path = "../../crates/gateway/src/request_target.rs"]
mod request_target;

#[allow(dead_code, reason = "the target uses a part of it")]
#[path = "../../crates/gateway/src/rule/mod.rs"]
mod rule;

/// What rules need of the configuration.
#[allow(unused_imports, unreachable_pub, reason = "the modules name what they need")]
mod config {
    pub use crate::rule_config::*;

    pub struct Listener {
        pub origin: crate::origin::Origin,
        pub rules: Vec<Rule>,
        pub default_actions: Vec<Action>,
    }

    #[derive(Debug)]
    pub struct ConfigError;

    impl ConfigError {
        pub fn new(_place: impl Into<String>, _fault: impl Into<String>) -> Self {
            Self
        }
    }
}

use rule::{Asked, Rules, Terminal, redirect};

/// `*` any text, `?` any character.
fn holds(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => holds(rest, text),
        (Some((b'*', rest)), Some((_, tail))) => holds(rest, text) || holds(pattern, tail),
        (Some((b'?', rest)), Some((_, tail))) => holds(rest, tail),
        (Some((wanted, rest)), Some((found, tail))) => wanted == found && holds(rest, tail),
        _ => false,
    }
}

fuzz_target!(|text: &str| {
    let lines: Vec<&str> = text.split('\n').collect();
    let [pattern, host_pattern, query_pattern, regex, to_path, to_host, rewrite, replace, path, host, query] = lines[..]
    else {
        return;
    };
    let Ok(uri) = format!("{path}?{query}").parse::<http::Uri>() else { return };
    let Ok(path) = request_target::path(&uri) else { return };
    let listener = |conditions: serde_json::Value, actions: serde_json::Value, transforms: serde_json::Value| {
        let rule = serde_json::json!({
            "priority": 1, "conditions": conditions, "actions": actions, "transforms": transforms
        });
        let listener = config::Listener {
            origin: "https://a.example".parse().expect("an origin"),
            rules: vec![serde_json::from_value(rule).expect("the form of a rule")],
            default_actions: Vec::new(),
        };
        Rules::compile("fuzz", &listener, &|_| true)
    };
    let headers = http::HeaderMap::new();
    let asked = Asked {
        host,
        path,
        query: uri.query(),
        method: &http::Method::GET,
        headers: &headers,
        source: Some(std::net::IpAddr::from([192, 0, 2, 1])),
    };
    let forward = serde_json::json!([{ "type": "forward", "target_group": "g" }]);

    let conditions = serde_json::json!({ "path_pattern": [pattern] });
    if let Ok(rules) = listener(conditions, forward.clone(), serde_json::json!({}))
        && pattern.len() < 20
        && path.len() < 40
        && pattern.is_ascii()
    {
        assert_eq!(rules.select(&asked).is_some(), holds(pattern.as_bytes(), path.as_bytes()), "{pattern:?} {path:?}");
    }
    for conditions in [
        serde_json::json!({ "host_header": [host_pattern], "query_string": [{ "values": [{ "value": query_pattern }] }] }),
        serde_json::json!({ "path_pattern_regex": [regex], "host_header_regex": [regex] }),
    ] {
        if let Ok(rules) = listener(conditions, forward.clone(), serde_json::json!({})) {
            let _ = rules.select(&asked);
        }
    }

    let redirect = serde_json::json!([{ "type": "redirect", "path": to_path, "host": to_host, "status_code": 302 }]);
    if let Ok(rules) = listener(serde_json::json!({}), redirect, serde_json::json!({}))
        && let Some(rule) = rules.select(&asked)
        && let Terminal::Redirect(redirect) = &rule.terminal
    {
        let from = redirect::From { scheme: "https", host, port: 443, path, query: uri.query().unwrap_or_default() };
        if let Ok(location) = redirect.location(&from) {
            assert!(location.as_bytes().starts_with(b"https://"), "{location:?}");
            assert!(location.len() <= 8_192, "{}", location.len());
        }
    }

    let transforms = serde_json::json!({
        "url_rewrite": { "regex": rewrite, "replace": replace }, "host_header_rewrite": { "regex": rewrite, "replace": replace }
    });
    if let Ok(rules) = listener(serde_json::json!({}), forward, transforms)
        && let Some(rule) = rules.select(&asked)
    {
        if let Ok(Some(rewritten)) = rule.transforms.url(&uri) {
            assert!(request_target::path(&http::Uri::from(rewritten)).is_ok(), "a path that means two things");
        }
        let _ = rule.transforms.host(host);
    }
});
