//! Configurations that load, and those that are refused with a place.

use countersign_web::tls::TlsConfig;

use super::*;

const GOOD: &str = r#"
account = "000000000000"
region = "us-east-1"
cookie_suffix = "8400"
outbound_allow = ["127.0.0.1:8403"]
database = { url = "sqlite:gateway.sqlite" }
claims_header = { signer = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/x/0" }
user_token = { issuer = "http://localhost:8402/default" }

[authenticate_oidc]
issuer = "http://127.0.0.1:8403"
client_id = "gateway"
client_secret = "secret"

[listeners.keys]
listen = "localhost:8402"
hosts = ["localhost:8402"]

[listeners.account]
listen = "localhost:8407"
origin = "http://localhost:8407"
rules = []

[listeners.app]
listen = "localhost:8400"
origin = "http://localhost:8400"

[[listeners.app.rules]]
priority = 10
conditions = { path_pattern = ["/docs*"], http_request_method = ["GET"] }
actions = [{ type = "redirect", path = "/help" }]

[[listeners.app.rules]]
priority = 20
conditions = { path_pattern = ["/ping"] }
actions = [{ type = "fixed-response", status_code = 404 }]

[[listeners.app.rules]]
priority = 30
actions = [
    { type = "authenticate-oidc", on_unauthenticated_request = "authenticate-navigation" },
    { type = "forward", target_group = "agent" },
]

[target_groups.agent]
url = "http://localhost:8405"
user_token_audience = "dev-agent"

[target_groups.binding]
url = "http://localhost:8406"
user_token_audience = "binding"
"#;

fn load(text: &str) -> Result<(), String> {
    let config: Config = toml::from_str(text).map_err(|error| error.to_string())?;
    config.check().map_err(|error| error.to_string())
}

#[test]
fn a_good_configuration_loads_with_its_defaults() {
    let config: Config = toml::from_str(GOOD).expect("it parses");
    config.check().expect("it is good");
    assert_eq!(config.session.session_timeout_seconds, 43_200);
    assert_eq!(config.claims_header.lifetime_seconds, 120);
    assert_eq!(config.authenticate_oidc.scope, ["openid", "profile", "email"]);
    assert!(config.target_groups["agent"].claims_header);
    assert_eq!(config.user_token.issuer(), "http://localhost:8402/default");
    assert!(
        !format!("{config:?}").contains("\"secret\""),
        "no secret in Debug"
    );
}

#[test]
fn our_own_rules_are_good() {
    let mut config: Config = toml::from_str(GOOD).expect("it parses");
    config.listeners.app.rules = app_rules("agent");
    config.listeners.account.rules = account_rules("agent", "binding");
    config.check().expect("they are good");
}

#[test]
fn app_and_account_share_a_cookie_name_on_two_hosts_alone() {
    let named = GOOD.replacen("client_id =", "session_cookie_name = \"both\"\nclient_id =", 1);
    let two = named.replacen(
        "origin = \"http://localhost:8407\"",
        "origin = \"http://127.0.0.1:8407\"",
        1,
    );
    load(&two).expect("two hosts");
    let error = load(&named).expect_err("one host");
    assert!(error.contains("authenticate_oidc.session_cookie_name"), "{error}");
}

#[test]
fn bad_configurations_are_refused_with_a_place() {
    for (from, to, place) in [
        ("region =", "regoin = \"\"\nregion =", "regoin"),
        ("client_secret", "client_secert", "client_secert"),
        ("account = \"000000000000\"", "account = \"1\"", "account"),
        (
            "cookie_suffix = \"8400\"",
            "cookie_suffix = \"a;b\"",
            "cookie_suffix",
        ),
        (
            "origin = \"http://localhost:8407\"",
            "origin = \"http://localhost:8400\"",
            "listeners",
        ),
        (
            "origin = \"http://localhost:8407\"",
            "origin = \"http://app.example.com\"",
            "listeners.account.origin",
        ),
        (
            "[target_groups.agent]",
            "[listeners.api]\nlisten = \"localhost:8408\"\norigin = \"http://api.example.com\"\n\
             rules = [{ priority = 1, actions = [\
             { type = \"jwt-validation\", issuer = \"https://i.example\", jwks_endpoint = \"https://i.example/keys\" },\
             { type = \"forward\", target_group = \"agent\" } ] }]\n[target_groups.agent]",
            "listeners.api.origin",
        ),
        (
            "client_id = \"gateway\"",
            "client_id = \"\"",
            "authenticate_oidc.client_id",
        ),
        (
            "client_id =",
            "scope = [\"email\"]\nclient_id =",
            "authenticate_oidc.scope",
        ),
        ("priority = 20", "priority = 10", "listeners.app.rules[10]"),
        ("priority = 20", "priority = 50001", "listeners.app.rules[50001]"),
        (
            "\"/docs*\"]",
            "\"/1\",\"/2\",\"/3\",\"/4\",\"/5\"]",
            "rules[10].conditions",
        ),
        ("status_code = 404", "status_code = 302", "rules[20].actions"),
        (
            "path = \"/help\"",
            "path = \"https://evil.example/\"",
            "rules[10].actions",
        ),
        (
            "{ type = \"forward\", target_group = \"agent\" },",
            "",
            "rules[30].actions",
        ),
        (
            "target_group = \"agent\"",
            "target_group = \"nobody\"",
            "rules[30].actions",
        ),
        (
            "user_token_audience = \"binding\"",
            "user_token_audience = \"dev-agent\"",
            "user_token_audience",
        ),
        (
            "url = \"http://localhost:8406\"",
            "url = \"ftp://localhost:8406\"",
            "target_groups.binding.url",
        ),
        (
            "url = \"http://localhost:8406\"",
            "url = \"http://localhost:8406/x\"",
            "target_groups.binding.url",
        ),
        (
            "url = \"http://localhost:8406\"",
            "targets = [\"http://a:1\", \"https://b:1\"]",
            "target_groups.binding.targets",
        ),
        (
            "url = \"http://localhost:8406\"",
            "url = \"http://localhost:8406\"\nslow_start_seconds = 10",
            "target_groups.binding.slow_start_seconds",
        ),
        (
            "url = \"http://localhost:8406\"",
            "url = \"http://localhost:8406\"\nhealth_check = { matcher = \"500\" }",
            "target_groups.binding.health_check.matcher",
        ),
        (
            "/default\" }",
            "/default\", lifetime_seconds = 3600 }",
            "user_token.lifetime_seconds",
        ),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let error = load(&GOOD.replacen(from, to, 1)).expect_err(to);
        assert!(error.contains(place), "{to}: {error}");
    }
}

#[test]
fn every_listener_that_wants_acme_has_an_order_for_its_names() {
    let mut config: Config = toml::from_str(GOOD).expect("it parses");
    assert!(config.listeners.acme_orders().is_empty());
    let acme = || {
        Some(TlsConfig {
            acme: true,
            ..TlsConfig::default()
        })
    };
    config.listeners.keys.tls = acme();
    config.listeners.keys.hosts = ["keys.example:8443", "keys.example", "other.example"]
        .map(str::to_owned)
        .into();
    config.listeners.app.tls = acme();
    config.listeners.app.origin = "https://app.example:8443".parse().expect("an origin");
    assert_eq!(
        config.listeners.acme_orders(),
        [vec!["app.example"], vec!["keys.example", "other.example"]]
    );
}
