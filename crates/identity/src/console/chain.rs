//! `/console/audit/{id}`: the chain in which a record, request, session or grant stands, drawn from the login down.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use countersign_api::admin::{ExplainAuditRecord, explain_audit_record};
use countersign_audit::Counted;
use serde_json::Value;

use super::audit::{caller, class, time};
use super::operator::Session;
use super::page::{Page, encoded, link, query, short};

/// The tree.
#[derive(Template, Default)]
#[template(path = "console/chain.html")]
pub(super) struct Chain {
    nodes: Vec<Node>,
}

struct Node {
    title: &'static str,
    id: String,
    /// Its page, or its records where there is none.
    href: Option<String>,
    /// Whose grant it is: a user key, as far as it is stored.
    person: Option<Link>,
    /// Whether the question was about it.
    focus: bool,
    /// Whether it is known only by what followed from it.
    missing: bool,
    records: Vec<Recorded>,
    children: Vec<Node>,
    /// Those that are left out of it, and where they are.
    omitted: Option<(Counted<'static>, String)>,
}

struct Recorded {
    id: String,
    action: String,
    outcome: String,
    class: &'static str,
    reason: String,
    at: String,
    /// Who called.
    who: String,
    agent: Option<Link>,
    provider: Option<Link>,
    focus: bool,
}

/// A name, and the page of what it names.
struct Link {
    name: String,
    /// API keys have no page.
    href: Option<String>,
}

impl Node {
    /// What followed from it.
    fn below(&self) -> Below<'_> {
        Below {
            nodes: &self.children,
        }
    }
}

/// [`Chain`], a level down.
#[derive(Template)]
#[template(path = "console/chain.html")]
struct Below<'a> {
    nodes: &'a [Node],
}

#[tracing::instrument(name = "identity.console_chain", skip_all)]
pub(super) async fn show(Path(id): Path<String>, session: Session) -> Response {
    let input = explain_audit_record::Input { id };
    let found = session.perform::<ExplainAuditRecord>(&input).await;
    session.answer(found.map(|found| drawn(&input.id, &found)))
}

fn drawn(id: &str, found: &explain_audit_record::Output) -> Page {
    let explanation = &found.explanation;
    let mut page = Page::new("/console/audit", "How it came to this");
    page.lead = "From the login through consent to each use, as this service recorded it.";
    page.chain = Some(Chain {
        nodes: nodes(&explanation["roots"], id, &found.user_keys),
    });
    page.documents
        .extend(record(&explanation["roots"], id).map(|record| ("The record", pretty(record))));
    page
}

fn nodes(list: &Value, asked: &str, people: &BTreeMap<String, String>) -> Vec<Node> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|node| read(node, asked, people)).collect()
}

fn read(node: &Value, asked: &str, people: &BTreeMap<String, String>) -> Node {
    let kind = node["kind"].as_str().unwrap_or_default();
    let id = node["id"].as_str().unwrap_or_default();
    let records = node["records"].as_array().map(Vec::as_slice).unwrap_or_default();
    Node {
        title: match kind {
            "login" => "Login",
            "workload access token" => "Workload access token",
            "authorization session" => "Authorization session",
            "grant" => "Grant",
            "use" => "Token released",
            _ => "Record",
        },
        id: id.to_owned(),
        href: match kind {
            "login" if !id.is_empty() => Some(query("/console/audit", "login", id)),
            "authorization session" => Some(query("/console/audit", "session", id)),
            "grant" => Some(link("/console/grants", id)),
            _ => None,
        },
        person: people.get(id).map(|key| Link {
            name: short(key, 12),
            href: Some(link("/console/people", key)),
        }),
        focus: id == asked,
        missing: kind == "login",
        records: records.iter().map(|record| recorded(record, asked)).collect(),
        children: nodes(&node["children"], asked, people),
        omitted: omitted(node, kind, id),
    }
}

fn omitted(node: &Value, kind: &str, id: &str) -> Option<(Counted<'static>, String)> {
    let count = node["omitted"].as_u64().filter(|count| *count > 0)?;
    let filter = if kind == "grant" { "grant" } else { "session" };
    let all = format!("/console/audit?{filter}={}", encoded(id));
    Some((Counted(count, "record"), all))
}

fn recorded(record: &Value, asked: &str) -> Recorded {
    let said = |member: &str| record[member].as_str().unwrap_or_default();
    let link = |name: &str, part: Option<&str>| {
        (!name.is_empty()).then(|| Link {
            name: name.to_owned(),
            href: part.map(|part| link(part, name)),
        })
    };
    let providers = (!said("action").contains("ApiKey")).then_some("/console/providers");
    Recorded {
        id: said("id").to_owned(),
        action: said("action").to_owned(),
        outcome: said("outcome").to_owned(),
        class: class(said("outcome")),
        reason: said("reason").to_owned(),
        at: time(said("at")),
        who: caller(said("principal")).to_owned(),
        agent: link(said("workload"), Some("/console/agents")),
        provider: link(said("provider"), providers),
        focus: said("id") == asked,
    }
}

/// The record that was asked about, when it was one.
fn record<'a>(list: &'a Value, id: &str) -> Option<&'a Value> {
    list.as_array()?.iter().find_map(|node| {
        let records = node["records"].as_array()?;
        let itself = records.iter().find(|record| record["id"] == id);
        itself.or_else(|| record(&node["children"], id))
    })
}

fn pretty(record: &Value) -> String {
    serde_json::to_string_pretty(record).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_of_a_long_grant_is_counted_and_linked() {
        let node = |omitted: u64| json!({"kind": "grant", "id": "g&1", "records": [], "children": [], "omitted": omitted});
        let drawn = |omitted| {
            let roots = json!([node(omitted)]);
            let chain = Chain {
                nodes: nodes(&roots, "", &BTreeMap::new()),
            };
            chain.render().expect("renders")
        };
        let long = drawn(302);
        assert!(long.contains("302 records between its oldest and its newest left out"));
        assert!(
            long.contains(r#"<a href="/console/audit?grant=g%261">"#),
            "{long}"
        );
        assert!(!drawn(0).contains("left out"));
    }
}
