//! Reading policy documents.

use serde_json::{Map, Value};

use super::pattern::{ActionPattern, ResourcePattern};
use super::{Effect, Policy, Statement};

/// Most statements of a document; its length is limited by the wire contract.
const MAX_STATEMENTS: usize = 100;

/// Why a document is refused. The text says where, for the author.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {rule}")]
pub(crate) struct PolicyError {
    place: String,
    rule: &'static str,
}

fn error(place: impl Into<String>, rule: &'static str) -> PolicyError {
    PolicyError {
        place: place.into(),
        rule,
    }
}

impl Policy {
    /// Compiles a document; refuses whatever it would not enforce.
    pub(crate) fn parse(document: &Value) -> Result<Self, PolicyError> {
        let document = document
            .as_object()
            .ok_or_else(|| error("document", "must be an object"))?;
        only(document, "document", &["Version", "Id", "Statement"])?;
        if document
            .get("Version")
            .is_some_and(|version| version != "2012-10-17")
        {
            return Err(error("document.Version", "must be 2012-10-17"));
        }
        let statements = match document.get("Statement") {
            Some(Value::Array(statements)) => statements.iter().collect(),
            Some(statement @ Value::Object(_)) => vec![statement],
            _ => {
                return Err(error(
                    "document.Statement",
                    "must be a statement or a list of statements",
                ));
            }
        };
        if statements.is_empty() || statements.len() > MAX_STATEMENTS {
            return Err(error("document.Statement", "must have 1 to 100 statements"));
        }
        let statements = statements.into_iter().enumerate().map(|(index, statement)| {
            let place = format!("document.Statement[{index}]");
            parse_statement(&place, statement)
        });
        Ok(Self {
            statements: statements.collect::<Result<_, _>>()?,
        })
    }
}

fn parse_statement(place: &str, statement: &Value) -> Result<Statement, PolicyError> {
    let statement = statement
        .as_object()
        .ok_or_else(|| error(place, "must be an object"))?;
    only(statement, place, &["Sid", "Effect", "Action", "Resource"])?;
    let effect = match statement.get("Effect").and_then(Value::as_str) {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => return Err(error(format!("{place}.Effect"), "must be Allow or Deny")),
    };
    Ok(Statement {
        effect,
        actions: parse_list(
            statement,
            place,
            "Action",
            ActionPattern::parse,
            "must be * or service:action, with wildcards in the action only",
        )?,
        resources: parse_list(
            statement,
            place,
            "Resource",
            ResourcePattern::parse,
            "must be * or an ARN of six parts without policy variables",
        )?,
    })
}

fn parse_list<T>(
    statement: &Map<String, Value>,
    place: &str,
    member: &str,
    parse: fn(&str) -> Option<T>,
    rule: &'static str,
) -> Result<Vec<T>, PolicyError> {
    let failed = || error(format!("{place}.{member}"), rule);
    let items = match statement.get(member) {
        Some(Value::Array(items)) if !items.is_empty() => items.iter().collect(),
        Some(item @ Value::String(_)) => vec![item],
        _ => return Err(failed()),
    };
    items
        .into_iter()
        .map(|item| item.as_str().and_then(parse).ok_or_else(failed))
        .collect()
}

fn only(object: &Map<String, Value>, place: &str, known: &[&str]) -> Result<(), PolicyError> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(error(format!("{place}.{key}"), "is not supported by this server")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_would_not_be_enforced_is_refused() {
        let statement = |extra: (&str, Value)| {
            let mut statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
            statement[extra.0] = extra.1;
            json!({"Version": "2012-10-17", "Statement": [statement]})
        };
        for document in [
            json!([]),
            json!({}),
            json!({"Statement": []}),
            json!({"Statement": "Allow"}),
            json!({"Version": "2008-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}),
            json!({"Statement": [{"Effect": "Allow", "Action": "*"}]}),
            json!({"Statement": [{"Effect": "Allow", "Resource": "*"}]}),
            json!({"Statement": [{"Effect": "Permit", "Action": "*", "Resource": "*"}]}),
            json!({"Statement": [{"Effect": "Allow", "Action": [], "Resource": "*"}]}),
            statement(("Condition", json!({"StringEquals": {"a": "b"}}))),
            statement(("NotAction", json!("x:y"))),
            statement(("NotResource", json!("*"))),
            statement(("Principal", json!("*"))),
            statement(("Action", json!(["bedrock-agentcore:Get*", 1]))),
            statement(("Resource", json!("arn:aws:s3:::${aws:username}"))),
        ] {
            assert!(Policy::parse(&document).is_err(), "{document}");
        }
        assert!(Policy::parse(&statement(("Sid", json!("Name")))).is_ok());
    }

    #[test]
    fn the_message_says_where() {
        let document = json!({"Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {}},
        ]});
        let error = Policy::parse(&document).expect_err("a condition");
        assert_eq!(
            error.to_string(),
            "document.Statement[1].Condition: is not supported by this server"
        );
    }
}
