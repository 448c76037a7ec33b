//! `countersign config import-alb`: an Application Load Balancer's description as our configuration.
//!
//! What cannot be turned is said, never guessed at: a rule with an action or a condition that we do not have answers
//! 503 in its place, so that nothing becomes public that was not.

mod actions;

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value as Json;
use toml::{Table, Value, map::Entry};

use crate::output;

/// Prints the configuration, and on standard error what is missing in it.
pub(super) fn run(files: &[PathBuf]) -> anyhow::Result<()> {
    let mut described = Described::default();
    for path in files {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let json: Json = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        described.add(&json);
    }
    ensure!(
        !described.listeners.is_empty(),
        "no `Listeners` in these files: give the output of `aws elbv2 describe-listeners`"
    );
    let imported = described.convert()?;
    output::line(toml::to_string_pretty(&imported.config)?.trim_end());
    for note in imported.notes {
        output::note(format!("import-alb: {note}"));
    }
    Ok(())
}

/// The three descriptions put together.
#[derive(Default)]
struct Described {
    listeners: Vec<Json>,
    rules: Vec<Json>,
    target_groups: Vec<Json>,
}

struct Imported {
    config: Table,
    notes: Vec<String>,
}

/// What has been turned so far.
#[derive(Default)]
struct Import {
    applications: BTreeMap<String, Table>,
    target_groups: BTreeMap<String, Table>,
    notes: Vec<String>,
}

impl Described {
    fn add(&mut self, json: &Json) {
        for (name, list) in [
            ("Listeners", &mut self.listeners),
            ("Rules", &mut self.rules),
            ("TargetGroups", &mut self.target_groups),
        ] {
            list.extend(json[name].as_array().into_iter().flatten().cloned());
        }
    }

    fn convert(&self) -> anyhow::Result<Imported> {
        let mut import = Import::default();
        for group in &self.target_groups {
            import.target_group(group);
        }
        let mut listeners = Table::new();
        for listener in &self.listeners {
            let arn = text(listener, "ListenerArn");
            let rules: Vec<&Json> = self.rules.iter().filter(|rule| is_of(rule, arn)).collect();
            let (name, table) = import.listener(listener, &rules);
            match listeners.entry(name) {
                Entry::Vacant(place) => place.insert(Value::Table(table)),
                Entry::Occupied(taken) => bail!(
                    "two listeners are called {}: import one load balancer at a time",
                    taken.key()
                ),
            };
        }
        let tables = |tables: BTreeMap<String, Table>| -> Table {
            tables
                .into_iter()
                .map(|(name, table)| (name, Value::Table(table)))
                .collect()
        };
        let mut gateway = Table::new();
        gateway.insert("applications".to_owned(), tables(import.applications).into());
        gateway.insert("listeners".to_owned(), listeners.into());
        gateway.insert("target_groups".to_owned(), tables(import.target_groups).into());
        Ok(Imported {
            config: Table::from_iter([("gateway".to_owned(), Value::Table(gateway))]),
            notes: import.notes,
        })
    }
}

/// A rule's ARN is its listener's, with another type and the rule's id behind it.
fn is_of(rule: &Json, listener_arn: &str) -> bool {
    let arn = text(rule, "RuleArn").replacen(":listener-rule/", ":listener/", 1);
    arn.rsplit_once('/')
        .is_some_and(|(listener, _)| listener == listener_arn)
}

impl Import {
    fn note(&mut self, place: &str, note: &str) {
        self.notes.push(format!("{place}: {note}"));
    }

    fn listener(&mut self, listener: &Json, rules: &[&Json]) -> (String, Table) {
        let protocol = text(listener, "Protocol").to_ascii_lowercase();
        let port = listener["Port"].as_u64().unwrap_or(80);
        let name = format!("{protocol}-{port}");
        let hosts = hosts(rules);
        let own = if (protocol.as_str(), port) == ("https", 443) || (protocol.as_str(), port) == ("http", 80)
        {
            String::new()
        } else {
            format!(":{port}")
        };
        if hosts.is_empty() {
            self.note(
                &name,
                "no host-header condition names a host: write the names of this listener in origin and hosts",
            );
        }
        let first = hosts.first().map_or("alb.invalid", String::as_str);
        let mut table = Table::new();
        table.insert("listen".to_owned(), format!("0.0.0.0:{port}").into());
        table.insert("origin".to_owned(), format!("{protocol}://{first}{own}").into());
        let rest: Vec<Value> = hosts
            .iter()
            .skip(1)
            .map(|host| format!("{host}{own}").into())
            .collect();
        table.insert("hosts".to_owned(), rest.into());
        if protocol == "https" {
            table.insert("tls".to_owned(), self.tls(&name, listener));
            let certificates = listener["Certificates"].as_array().into_iter().flatten();
            for arn in certificates.map(|certificate| text(certificate, "CertificateArn").to_owned()) {
                self.note(
                    &name,
                    &format!("tls: {arn} cannot be exported; name certificate files, or set acme"),
                );
            }
        } else {
            let everybody = ["0.0.0.0/0", "::/0"].map(Value::from).to_vec();
            table.insert("plaintext_from".to_owned(), everybody.into());
        }
        let mut converted = Vec::new();
        // Not the listener's `DefaultActions`: without its rules, what they keep closed would be open.
        let mut default = None;
        for rule in rules {
            if rule["IsDefault"].as_bool() == Some(true) {
                default = Some(&rule["Actions"]);
            } else {
                converted.push(Value::Table(self.rule(&name, rule)));
            }
        }
        table.insert("rules".to_owned(), converted.into());
        let place = format!("{name} default rule");
        let default = match default {
            Some(actions) => self.actions(&place, actions),
            None => self.closed(
                &place,
                &format!(
                    "its rules are not in these files: give the output of `aws elbv2 describe-rules --listener-arn {}` too",
                    text(listener, "ListenerArn")
                ),
            ),
        };
        table.insert("default_actions".to_owned(), default.into());
        (name, table)
    }

    /// A certificate to begin with, and client certificates as the listener has them.
    fn tls(&mut self, name: &str, listener: &Json) -> Value {
        let mode = text(&listener["MutualAuthentication"], "Mode");
        let mut mutual = table_of([("mode", Value::from(mode))]);
        match mode {
            "" | "off" => return "self-signed".into(),
            "passthrough" => {}
            // With a file that is not there the gateway does not start: it would let everybody in without a certificate.
            _ => {
                mutual.insert("trust_store".to_owned(), "trust-store.pem".into());
                self.note(
                    name,
                    "tls.mutual_authentication: name the trust store's file, which cannot be exported",
                );
            }
        }
        let tls = [
            ("self_signed", true.into()),
            ("mutual_authentication", mutual.into()),
        ];
        table_of(tls).into()
    }

    fn rule(&mut self, listener: &str, rule: &Json) -> Table {
        let priority = text(rule, "Priority");
        let place = format!("{listener} rule {priority}");
        let mut table = Table::new();
        table.insert(
            "priority".to_owned(),
            priority.parse::<i64>().unwrap_or(50_000).into(),
        );
        let (conditions, unknown) = conditions(rule);
        table.insert("conditions".to_owned(), conditions.into());
        let mut transforms = Table::new();
        for transform in rule["Transforms"].as_array().into_iter().flatten() {
            let kind = text(transform, "Type");
            let config = match kind {
                "host-header-rewrite" => &transform["HostHeaderRewriteConfig"],
                _ => &transform["UrlRewriteConfig"],
            };
            if config["Rewrites"].as_array().is_some_and(|all| all.len() > 1) {
                self.note(
                    &place,
                    &format!("{kind}: there is one rewrite here, the first; the others are left out"),
                );
            }
            let rewrite = &config["Rewrites"][0];
            let rewrite = [("regex", "Regex"), ("replace", "Replace")]
                .map(|(ours, theirs)| (ours.to_owned(), Value::from(text(rewrite, theirs))));
            transforms.insert(kind.replace('-', "_"), Table::from_iter(rewrite).into());
        }
        if !transforms.is_empty() {
            table.insert("transforms".to_owned(), transforms.into());
        }
        let actions = match unknown.as_slice() {
            [] => self.actions(&place, &rule["Actions"]),
            // Without a condition the rule would hold for more requests than it did.
            unknown => {
                let unknown = unknown.join(", ");
                self.closed(&place, &format!("the condition {unknown} is unknown here"))
            }
        };
        table.insert("actions".to_owned(), actions.into());
        table
    }

    fn target_group(&mut self, group: &Json) {
        let name = text(group, "TargetGroupName").to_owned();
        let scheme = if text(group, "Protocol") == "HTTPS" {
            "https"
        } else {
            "http"
        };
        let port = group["Port"].as_u64().unwrap_or(80);
        // As behind the load balancer, which hands on the browser's Host and checks no certificate.
        let mut table = table_of([
            (
                "targets",
                Value::Array(vec![format!("{scheme}://{name}.invalid:{port}").into()]),
            ),
            ("preserve_host_header", true.into()),
        ]);
        if scheme == "https" {
            table.insert("verify_certificate".to_owned(), false.into());
        }
        if let Some(version) = group["ProtocolVersion"].as_str() {
            table.insert("protocol_version".to_owned(), version.into());
        }
        if group["HealthCheckEnabled"].as_bool() == Some(true) {
            let number = |key: &str, default: i64| Value::from(group[key].as_i64().unwrap_or(default));
            let check = table_of([
                (
                    "path",
                    Value::from(group["HealthCheckPath"].as_str().unwrap_or("/")),
                ),
                ("interval_seconds", number("HealthCheckIntervalSeconds", 30)),
                ("timeout_seconds", number("HealthCheckTimeoutSeconds", 5)),
                ("healthy_threshold", number("HealthyThresholdCount", 5)),
                ("unhealthy_threshold", number("UnhealthyThresholdCount", 2)),
                (
                    "matcher",
                    Value::from(group["Matcher"]["HttpCode"].as_str().unwrap_or("200")),
                ),
            ]);
            table.insert("health_check".to_owned(), check.into());
        }
        self.note(
            &format!("target group {name}"),
            "its targets are not in these descriptions (`describe-target-health` has them): replace the address",
        );
        self.target_groups.insert(name, table);
    }

    /// One login for equal settings, however many rules have them.
    fn application(&mut self, place: &str, config: &Json) -> String {
        let mut table = Table::new();
        for (ours, theirs) in [
            ("issuer", "Issuer"),
            ("authorization_endpoint", "AuthorizationEndpoint"),
            ("token_endpoint", "TokenEndpoint"),
            ("user_info_endpoint", "UserInfoEndpoint"),
            ("client_id", "ClientId"),
            ("session_cookie_name", "SessionCookieName"),
        ] {
            if let Some(value) = config[theirs].as_str() {
                table.insert(ours.to_owned(), value.into());
            }
        }
        let scope = config["Scope"].as_str().unwrap_or("openid");
        let scope: Vec<Value> = scope.split_whitespace().map(Value::from).collect();
        table.insert("scope".to_owned(), scope.into());
        if let Some(parameters) = config["AuthenticationRequestExtraParams"].as_object() {
            let parameters = parameters
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.into())))
                .collect::<Table>();
            table.insert("extra_params".to_owned(), parameters.into());
        }
        // A description gives seconds as a text or a number, by the version of the tool.
        let timeout = &config["SessionTimeout"];
        let timeout = timeout.as_i64().or_else(|| timeout.as_str()?.parse().ok());
        if let Some(seconds) = timeout {
            // An ALB has no idle limit: a session that is never idle too long.
            let limits = [
                ("session_timeout_seconds", seconds),
                ("idle_timeout_seconds", seconds),
            ];
            let limits = limits.map(|(name, seconds)| (name, Value::from(seconds)));
            table.insert("session".to_owned(), table_of(limits).into());
        }
        let number = self.applications.len() + 1;
        let same = self.applications.iter().find(|(_, known)| {
            let mut known = (*known).clone();
            known.remove("client_secret");
            known == table
        });
        if let Some((name, _)) = same {
            return name.clone();
        }
        let name = format!("oidc-{number}");
        let variable = format!("ALB_CLIENT_SECRET_{number}");
        self.note(
            place,
            &format!("applications.{name}: AWS does not tell the client secret; put it in {variable}"),
        );
        table.insert("client_secret".to_owned(), format!("env:{variable}").into());
        self.applications.insert(name.clone(), table);
        name
    }
}

/// The conditions of a rule, and the fields of those that cannot be turned.
fn conditions(rule: &Json) -> (Table, Vec<&str>) {
    let mut table = Table::new();
    let mut lists: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let mut unknown = Vec::new();
    for condition in rule["Conditions"].as_array().into_iter().flatten() {
        let field = text(condition, "Field");
        let values = |config: &str, key: &str| -> Vec<Value> {
            let nested = &condition[config][key];
            let plain = &condition[key];
            let list = if nested.is_array() { nested } else { plain };
            strings(list).map(Value::from).collect()
        };
        let plain: &[(&str, Vec<Value>)] = match field {
            "host-header" => &[
                ("host_header", values("HostHeaderConfig", "Values")),
                ("host_header_regex", values("HostHeaderConfig", "RegexValues")),
            ],
            "path-pattern" => &[
                ("path_pattern", values("PathPatternConfig", "Values")),
                ("path_pattern_regex", values("PathPatternConfig", "RegexValues")),
            ],
            "http-request-method" => &[("http_request_method", values("HttpRequestMethodConfig", "Values"))],
            "source-ip" => &[("source_ip", values("SourceIpConfig", "Values"))],
            _ => &[],
        };
        let list = match field {
            "http-header" => Some(("http_header", http_header(condition))),
            "query-string" => Some(("query_string", query_string(condition))),
            _ => None,
        };
        let mut known = false;
        for (name, values) in plain.iter().filter(|(_, values)| !values.is_empty()) {
            table.insert((*name).to_owned(), values.clone().into());
            known = true;
        }
        if let Some((name, Some(value))) = list {
            lists.entry(name).or_default().push(value.into());
            known = true;
        }
        if !known {
            unknown.push(field);
        }
    }
    for (name, list) in lists {
        table.insert(name.to_owned(), list.into());
    }
    (table, unknown)
}

fn http_header(condition: &Json) -> Option<Table> {
    let config = &condition["HttpHeaderConfig"];
    let values = |key: &str| -> Vec<Value> { strings(&config[key]).map(Value::from).collect() };
    let (values, regex_values) = (values("Values"), values("RegexValues"));
    let says = !values.is_empty() || !regex_values.is_empty();
    says.then(|| {
        table_of([
            ("name", Value::from(text(config, "HttpHeaderName"))),
            ("values", values.into()),
            ("regex_values", regex_values.into()),
        ])
    })
}

fn query_string(condition: &Json) -> Option<Table> {
    let pairs = condition["QueryStringConfig"]["Values"].as_array()?;
    let pairs = pairs.iter().map(|pair| {
        let key = pair["Key"].as_str().map(|key| ("key", Value::from(key)));
        let value = ("value", Value::from(text(pair, "Value")));
        Value::Table(table_of(key.into_iter().chain([value])))
    });
    let pairs: Vec<Value> = pairs.collect();
    (!pairs.is_empty()).then(|| table_of([("values", Value::Array(pairs))]))
}

/// Host names that rules ask for, without those that have wildcards.
fn hosts(rules: &[&Json]) -> Vec<String> {
    let mut hosts = Vec::new();
    for condition in rules
        .iter()
        .flat_map(|rule| rule["Conditions"].as_array().into_iter().flatten())
    {
        if text(condition, "Field") != "host-header" {
            continue;
        }
        let nested = &condition["HostHeaderConfig"]["Values"];
        let list = if nested.is_array() {
            nested
        } else {
            &condition["Values"]
        };
        for host in strings(list).filter(|host| !host.contains(['*', '?'])) {
            if !hosts.iter().any(|known| known == host) {
                hosts.push(host.to_owned());
            }
        }
    }
    hosts
}

fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json[key].as_str().unwrap_or_default()
}

fn strings(list: &Json) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str)
}

fn table_of(members: impl IntoIterator<Item = (&'static str, Value)>) -> Table {
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCRIBED: &str = include_str!("described.json");
    const EXPECTED: &str = include_str!("expected.toml");

    #[test]
    fn a_load_balancer_becomes_a_configuration_that_loads() {
        let mut described = Described::default();
        described.add(&serde_json::from_str(DESCRIBED).unwrap());
        let imported = described.convert().unwrap();
        assert_eq!(toml::to_string_pretty(&imported.config).unwrap(), EXPECTED);
        let notes = imported.notes.join("\n");
        for note in [
            "target group web:",
            "ALB_CLIENT_SECRET_1",
            "certificate/1",
            "https-443 rule 40: the action authenticate-cognito is not offered",
            "https-443 rule 50: the condition tls-version, query-string is unknown here",
            "https-443 rule 50: url-rewrite: there is one rewrite here",
            "https-8443: tls.mutual_authentication: name the trust store's file",
        ] {
            assert!(notes.contains(note), "{note}: {notes}");
        }

        // Beside the product's own sections it is a whole configuration.
        let mut whole: Table = toml::from_str(super::super::DEFAULT).unwrap();
        for (section, mine) in imported.config["gateway"].as_table().unwrap() {
            let gateway = whole["gateway"].as_table_mut().unwrap();
            let theirs = gateway
                .entry(section.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            theirs
                .as_table_mut()
                .unwrap()
                .extend(mine.as_table().unwrap().clone());
        }
        let gateway: countersign_gateway::Config = whole["gateway"].clone().try_into().unwrap();
        gateway.check().unwrap();
    }

    #[test]
    fn a_listener_without_its_rules_answers_503() {
        let mut json: Json = serde_json::from_str(DESCRIBED).unwrap();
        // As after `describe-rules` of another listener.
        let rules = json["Rules"].as_array_mut().unwrap();
        rules.retain(|rule| !text(rule, "RuleArn").contains("/1111/"));
        let mut described = Described::default();
        described.add(&json);
        let imported = described.convert().unwrap();
        let listener = &imported.config["gateway"]["listeners"]["https-443"];
        assert_eq!(listener["rules"], Value::Array(vec![]));
        let closed = table_of([
            ("type", "fixed-response".into()),
            ("status_code", Value::from(503)),
        ]);
        assert_eq!(listener["default_actions"], Value::Array(vec![closed.into()]));
        let note = "https-443 default rule: its rules are not in these files: give the output of `aws elbv2 describe-rules \
                    --listener-arn arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/lb/50dc/1111` too";
        assert!(
            imported.notes.iter().any(|known| known.starts_with(note)),
            "{:?}",
            imported.notes
        );
    }

    #[test]
    fn listeners_of_two_load_balancers_do_not_replace_each_other() {
        let mut described = Described::default();
        for load_balancer in ["lb/50dc", "other/60dc"] {
            let described_too = DESCRIBED.replace("lb/50dc", load_balancer);
            described.add(&serde_json::from_str(&described_too).unwrap());
        }
        let refused = described.convert().map(|_| ()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "two listeners are called https-443: import one load balancer at a time"
        );
    }
}
