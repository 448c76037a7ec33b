//! Reading policy documents.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::condition::{self, Condition};
use super::key::Key;
use super::pattern::{ActionPattern, ResourcePattern};
use super::{Effect, Listed, Policy, Statement};

/// Most statements of a document; its length is limited by the wire contract.
const MAX_STATEMENTS: usize = 100;

const ACTION_RULE: &str = "must be * or service:action, with wildcards in the action only";
const RESOURCE_RULE: &str = "must be * or an ARN of six parts";

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
        if document.get("Id").is_some_and(|id| !id.is_string()) {
            return Err(error("document.Id", "must be a text"));
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
        let statements = statements.collect::<Result<Vec<_>, _>>()?;
        let mut sids = HashSet::new();
        if let Some(at) = statements
            .iter()
            .position(|statement| statement.sid.as_ref().is_some_and(|sid| !sids.insert(sid)))
        {
            return Err(error(format!("document.Statement[{at}].Sid"), "must be unique"));
        }
        let reads = |is: fn(&Key) -> bool| statements.iter().flat_map(keys).any(is);
        Ok(Self {
            reads_resource_tags: reads(|key| matches!(key, Key::ResourceTag(_))),
            reads_claims: reads(|key| matches!(key, Key::InboundJwtClaim(_))),
            statements,
        })
    }
}

fn keys(statement: &Statement) -> impl Iterator<Item = &Key> {
    let conditions = statement.conditions.iter().flat_map(Condition::keys);
    let resources = statement.resources.patterns.iter();
    conditions.chain(resources.flat_map(ResourcePattern::variables))
}

fn parse_statement(place: &str, statement: &Value) -> Result<Statement, PolicyError> {
    const ELEMENTS: [&str; 7] = [
        "Sid",
        "Effect",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    ];
    let statement = statement
        .as_object()
        .ok_or_else(|| error(place, "must be an object"))?;
    only(statement, place, &ELEMENTS)?;
    let effect = match statement.get("Effect").and_then(Value::as_str) {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => return Err(error(format!("{place}.Effect"), "must be Allow or Deny")),
    };
    let conditions = match statement.get("Condition") {
        None => Vec::new(),
        Some(Value::Object(block)) => condition::parse_block(block)
            .map_err(|(below, rule)| error(format!("{place}.Condition{below}"), rule))?,
        Some(_) => return Err(error(format!("{place}.Condition"), "must be an object")),
    };
    Ok(Statement {
        sid: parse_sid(statement, place)?,
        effect,
        actions: parse_list(statement, place, "Action", "NotAction", |text| {
            ActionPattern::parse(text).ok_or(ACTION_RULE)
        })?,
        resources: parse_list(statement, place, "Resource", "NotResource", |text| {
            let parsed = ResourcePattern::parse(text).ok_or(RESOURCE_RULE)?;
            parsed.map_err(super::pattern::TemplateError::rule)
        })?,
        conditions,
    })
}

fn parse_sid(statement: &Map<String, Value>, place: &str) -> Result<Option<String>, PolicyError> {
    match statement.get("Sid") {
        None => Ok(None),
        Some(Value::String(sid)) if sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            Ok(Some(sid.clone()).filter(|sid| !sid.is_empty()))
        }
        Some(_) => Err(error(format!("{place}.Sid"), "must be letters and digits")),
    }
}

/// The patterns of `member` or of its opposite, exactly one of which must be there.
fn parse_list<T>(
    statement: &Map<String, Value>,
    place: &str,
    member: &str,
    opposite: &str,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Listed<T>, PolicyError> {
    let (name, list, except) = match (statement.get(member), statement.get(opposite)) {
        (Some(list), None) => (member, list, false),
        (None, Some(list)) => (opposite, list, true),
        _ => {
            let place = format!("{place}.{member}");
            return Err(error(place, "must be set, or its Not… form, and not both"));
        }
    };
    let failed = |rule| error(format!("{place}.{name}"), rule);
    let items = match list {
        Value::Array(items) if !items.is_empty() => items.iter().collect(),
        item @ Value::String(_) => vec![item],
        _ => return Err(failed("must be a text, or a list of at least one")),
    };
    let mut listed = Listed {
        patterns: Vec::with_capacity(items.len()),
        except,
        written: Vec::with_capacity(items.len()),
    };
    for item in items {
        let text = item
            .as_str()
            .ok_or_else(|| failed("must be a text, or a list of at least one"))?;
        listed.patterns.push(parse(text).map_err(failed)?);
        listed.written.push(text.to_owned());
    }
    Ok(listed)
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

    fn statement(extra: (&str, Value)) -> Value {
        let mut statement = json!({"Effect": "Allow", "Action": "*", "Resource": "*"});
        statement[extra.0] = extra.1;
        json!({"Version": "2012-10-17", "Statement": [statement]})
    }

    #[test]
    fn what_would_not_be_enforced_is_refused() {
        for document in [
            json!([]),
            json!({}),
            json!({"Statement": []}),
            json!({"Statement": "Allow"}),
            json!({"Version": "2008-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}),
            json!({"Id": 1, "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}),
            json!({"Statement": [{"Effect": "Allow", "Action": "*"}]}),
            json!({"Statement": [{"Effect": "Allow", "Resource": "*"}]}),
            json!({"Statement": [{"Effect": "Permit", "Action": "*", "Resource": "*"}]}),
            json!({"Statement": [{"Effect": "Allow", "Action": [], "Resource": "*"}]}),
            json!({"Statement": [
                {"Sid": "A", "Effect": "Allow", "Action": "*", "Resource": "*"},
                {"Sid": "A", "Effect": "Deny", "Action": "*", "Resource": "*"},
            ]}),
            statement(("NotAction", json!("x:y"))),
            statement(("NotResource", json!("*"))),
            statement(("Principal", json!("*"))),
            statement(("Sid", json!("with space"))),
            statement(("Action", json!(["bedrock-agentcore:Get*", 1]))),
            statement(("Resource", json!("arn:aws:s3:::${saml:sub}"))),
        ] {
            assert!(Policy::parse(&document).is_err(), "{document}");
        }
        assert!(Policy::parse(&statement(("Sid", json!("Name")))).is_ok());
        let variable = statement(("Resource", json!("arn:aws:s3:::${aws:username}")));
        assert!(Policy::parse(&variable).is_ok());
    }

    #[test]
    fn unknown_operators_keys_and_values_are_refused() {
        for condition in [
            json!({}),
            json!([]),
            json!({"StringEquals": {}}),
            json!({"StringEquals": {"aws:username": []}}),
            json!({"StringEquals": {"aws:username": [["a"]]}}),
            json!({"StringEquals": {"aws:SourceVpce": "vpce-1"}}),
            json!({"StringEquals": {"a": "b"}}),
            json!({"StringMatches": {"aws:username": "b"}}),
            json!({"stringequals": {"aws:username": "b"}}),
            json!({"BinaryEquals": {"aws:username": "b"}}),
            json!({"ForEachValue:StringEquals": {"countersign:scopes": "b"}}),
            json!({"NullIfExists": {"aws:username": "true"}}),
            json!({"ForAnyValue:Null": {"countersign:scopes": "true"}}),
            json!({"Null": {"aws:username": "maybe"}}),
            json!({"Bool": {"aws:SecureTransport": "yes"}}),
            json!({"NumericLessThan": {"aws:EpochTime": "soon"}}),
            json!({"NumericLessThan": {"aws:EpochTime": "inf"}}),
            json!({"DateLessThan": {"aws:CurrentTime": "tomorrow"}}),
            json!({"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}),
            json!({"IpAddress": {"aws:SourceIp": "localhost"}}),
            json!({"ArnLike": {"aws:PrincipalArn": "user/me"}}),
            json!({"StringLike": {"aws:username": "${aws:username"}}),
            json!({"StringLike": {"aws:username": "${aws:SourceVpc}"}}),
        ] {
            let document = statement(("Condition", condition));
            assert!(Policy::parse(&document).is_err(), "{document}");
        }
    }

    #[test]
    fn the_message_says_where() {
        let document = json!({"Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"},
            {"Effect": "Allow", "Action": "*", "Resource": "*",
             "Condition": {"StringEquals": {"aws:SourceVpce": "vpce-1"}}},
        ]});
        let error = Policy::parse(&document).expect_err("a key that is not supplied");
        assert_eq!(
            error.to_string(),
            "document.Statement[1].Condition.StringEquals.aws:SourceVpce: is not a condition key of this server"
        );
    }
}
