//! The evaluator against a naive reading of the IAM User Guide: "Policy evaluation logic", "IAM JSON policy elements:
//! Condition operators" and "Set operators for multi-valued context keys". The reference interprets the document as it
//! is written, with sets of texts and nothing compiled.

use std::collections::{BTreeMap, BTreeSet};

use countersign_api::Arn;
use countersign_crypto::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Context, Decision, Facts, Policy, Principal, Tags};

/// What the request has: key to values.
type Request = BTreeMap<&'static str, Vec<String>>;

mod reference {
    use super::*;

    /// "If there is an explicit deny, deny; else if there is an allow, allow; else deny."
    pub(super) fn decision(
        document: &Value,
        action: &str,
        resource: &str,
        request: &Request,
    ) -> &'static str {
        let applicable: BTreeSet<&str> = list(&document["Statement"])
            .into_iter()
            .filter(|statement| applies(statement, action, resource, request))
            .filter_map(|statement| statement["Effect"].as_str())
            .collect();
        match (applicable.contains("Deny"), applicable.contains("Allow")) {
            (true, _) => "explicit deny",
            (false, true) => "allowed",
            (false, false) => "implicit deny",
        }
    }

    fn applies(statement: &Value, action: &str, resource: &str, request: &Request) -> bool {
        let any = |member: &str, matches: &dyn Fn(&str) -> bool| {
            list(&statement[member])
                .iter()
                .any(|item| matches(item.as_str().expect("a text")))
        };
        let of_action = |pattern: &str| like(&pattern.to_lowercase(), &action.to_lowercase());
        let of_resource = |pattern: &str| pattern == "*" || arn_like(pattern, resource);
        let action_holds = match statement.get("NotAction") {
            Some(_) => !any("NotAction", &of_action),
            None => any("Action", &of_action),
        };
        let resource_holds = match statement.get("NotResource") {
            Some(_) => !any("NotResource", &of_resource),
            None => any("Resource", &of_resource),
        };
        let conditions = statement["Condition"].as_object();
        action_holds
            && resource_holds
            && conditions.into_iter().flatten().all(|(operator, keys)| {
                let keys = keys.as_object().expect("keys");
                keys.iter()
                    .all(|(key, expected)| condition(operator, key, expected, request))
            })
    }

    fn condition(operator: &str, key: &str, expected: &Value, request: &Request) -> bool {
        let actual = request.get(key).filter(|values| !values.is_empty());
        let expected: Vec<&str> = list(expected)
            .into_iter()
            .map(|value| value.as_str().expect("a text"))
            .collect();
        if operator == "Null" {
            return (expected == ["true"]) == actual.is_none();
        }
        let (set, operator) = operator.split_once(':').unwrap_or(("", operator));
        let (operator, if_exists) = match operator.strip_suffix("IfExists") {
            Some(operator) => (operator, true),
            None => (operator, false),
        };
        // StringNotLike, NumericNotEquals, NotIpAddress.
        let negated = operator.contains("Not");
        let positive = operator.replacen("Not", "", 1);
        let Some(actual) = actual else {
            return if_exists || set == "ForAllValues" || (set.is_empty() && negated);
        };
        // A negated operator is true of a value when the value is equal to none of those in the policy.
        let holds = |value: &String| {
            expected
                .iter()
                .any(|expected| compare(&positive, expected, value))
                != negated
        };
        match set {
            "ForAllValues" => actual.iter().all(holds),
            "ForAnyValue" => actual.iter().any(holds),
            _ if negated => actual.iter().all(holds),
            _ => actual.iter().any(holds),
        }
    }

    fn compare(operator: &str, expected: &str, actual: &str) -> bool {
        match operator {
            "StringEquals" | "Bool" => expected == actual,
            "StringEqualsIgnoreCase" => expected.to_lowercase() == actual.to_lowercase(),
            "StringLike" => like(expected, actual),
            // "Both ArnEquals and ArnLike behave identically."
            "ArnEquals" | "ArnLike" => arn_like(expected, actual),
            "IpAddress" => {
                let (network, bits) = expected.split_once('/').expect("a range");
                let number = |text: &str| u32::from(text.parse::<std::net::Ipv4Addr>().expect("an address"));
                let bits: u32 = bits.parse().expect("a length");
                let mask = if bits == 0 { 0 } else { u32::MAX << (32 - bits) };
                number(network) & mask == number(actual) & mask
            }
            other => match (other.strip_prefix("Numeric"), other.strip_prefix("Date")) {
                (Some(order), _) => ordered(order, actual.parse::<f64>().ok(), expected.parse().ok()),
                (_, Some(order)) => ordered(order, seconds(actual), seconds(expected)),
                _ => panic!("the reference has no {other}"),
            },
        }
    }

    /// A value that is no number, or no date, is neither equal nor less nor more.
    fn ordered<T: PartialOrd>(order: &str, actual: Option<T>, expected: Option<T>) -> bool {
        let (Some(actual), Some(expected)) = (actual, expected) else {
            return false;
        };
        match order {
            "Equals" => actual == expected,
            "LessThan" => actual < expected,
            "LessThanEquals" => actual <= expected,
            "GreaterThan" => actual > expected,
            "GreaterThanEquals" => actual >= expected,
            other => panic!("the reference has no order {other}"),
        }
    }

    /// The few dates that are generated, by a calendar; epoch seconds.
    fn seconds(text: &str) -> Option<i64> {
        match text {
            "2027-01-15" => Some(1_799_971_200),
            "2027-01-15T08:00:00Z" | "2027-01-15T09:00:00+01:00" => Some(1_800_000_000),
            "2027-01-15T08:00:01Z" => Some(1_800_000_001),
            other => other.parse().ok(),
        }
    }

    fn arn_like(pattern: &str, arn: &str) -> bool {
        let (pattern, arn): (Vec<_>, Vec<_>) =
            (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
        pattern.len() == 6
            && arn.len() == 6
            && pattern
                .iter()
                .zip(&arn)
                .all(|(pattern, part)| like(pattern, part))
    }

    fn like(pattern: &str, text: &str) -> bool {
        let mut rest = text.chars();
        let mut pattern_rest = pattern.chars();
        match pattern_rest.next() {
            None => text.is_empty(),
            Some('*') => {
                like(pattern_rest.as_str(), text) || (rest.next().is_some() && like(pattern, rest.as_str()))
            }
            Some('?') => rest.next().is_some() && like(pattern_rest.as_str(), rest.as_str()),
            Some(other) => rest.next() == Some(other) && like(pattern_rest.as_str(), rest.as_str()),
        }
    }

    fn list(value: &Value) -> Vec<&Value> {
        match value {
            Value::Array(items) => items.iter().collect(),
            Value::Null => Vec::new(),
            one => vec![one],
        }
    }
}

fn one_or_list(values: Vec<String>) -> Value {
    match <[String; 1]>::try_from(values) {
        Ok([one]) => json!(one),
        Err(values) => json!(values),
    }
}

fn some_of(values: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let owned = proptest::sample::select(values).prop_map(str::to_owned);
    proptest::collection::vec(owned, 1..3).prop_map(one_or_list)
}

const OF_TEXTS: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
];
const OF_ARNS: &[&str] = &["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"];
const OF_ADDRESSES: &[&str] = &["IpAddress", "NotIpAddress"];
const OF_FLAGS: &[&str] = &["Bool"];
const OF_NUMBERS: &[&str] = &[
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
];
const OF_DATES: &[&str] = &[
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
];
/// What the user id may be: something for operators of every type, and nothing for most.
const USER_IDS: &[&str] = &[
    "a",
    "A",
    "b",
    "ab",
    "",
    "true",
    "1800000000",
    "2027-01-15T08:00:00Z",
    "arn:aws:iam::000000000000:user/a",
];

/// One of `operators`, of `keys` and of `values`, in every form that an operator has.
fn under(
    operators: &'static [&'static str],
    keys: &'static [&'static str],
    values: &'static [&'static str],
) -> impl Strategy<Value = (String, &'static str, Value)> {
    let set = proptest::sample::select(&["", "", "ForAllValues:", "ForAnyValue:"][..]);
    let if_exists = proptest::sample::select(&["", "", "IfExists"][..]);
    let operator = (set, proptest::sample::select(operators), if_exists)
        .prop_map(|(set, operator, if_exists)| format!("{set}{operator}{if_exists}"));
    (operator, proptest::sample::select(keys), some_of(values))
}

/// An operator, a key it suits, and values.
fn condition() -> impl Strategy<Value = (String, &'static str, Value)> {
    let text_keys = &[
        "bedrock-agentcore:userid",
        "countersign:scopes",
        "aws:PrincipalTag/team",
        "aws:ResourceTag/team",
        "aws:RequestTag/team",
        "aws:TagKeys",
        "aws:username",
    ][..];
    let texts = under(OF_TEXTS, text_keys, &["a", "A", "b", "a*", "?b", "*", "team", ""]);
    let null = (
        Just("Null".to_owned()),
        proptest::sample::select(text_keys),
        proptest::sample::select(&["true", "false"][..]).prop_map(|text| json!(text)),
    );
    let arns = under(
        OF_ARNS,
        &["aws:PrincipalArn", "bedrock-agentcore:userid"],
        &[
            "arn:aws:iam::000000000000:user/a",
            "arn:*:*::*:user/?",
            "arn:aws:iam::*:*",
            "arn:a:b:c:d:e",
        ],
    );
    let addresses = under(
        OF_ADDRESSES,
        &["aws:SourceIp"],
        &["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "192.0.2.0/31"],
    );
    let flags = under(
        OF_FLAGS,
        &["aws:SecureTransport", "bedrock-agentcore:userid"],
        &["true", "false"],
    );
    let numbers = under(
        OF_NUMBERS,
        &["aws:EpochTime", "bedrock-agentcore:userid"],
        &["1799999999", "1800000000", "1800000001", "-1.5"],
    );
    let dates = under(
        OF_DATES,
        &["aws:CurrentTime", "aws:EpochTime", "bedrock-agentcore:userid"],
        &[
            "2027-01-15",
            "2027-01-15T08:00:00Z",
            "2027-01-15T09:00:00+01:00",
            "2027-01-15T08:00:01Z",
            "1799999999",
        ],
    );
    prop_oneof![6 => texts, 1 => null, 2 => arns, 2 => addresses, 1 => flags, 2 => numbers, 2 => dates]
}

#[test]
fn every_operator_is_compared_with_the_rules() {
    let compared = [
        OF_TEXTS,
        OF_ARNS,
        OF_ADDRESSES,
        OF_FLAGS,
        OF_NUMBERS,
        OF_DATES,
        &["Null"],
    ]
    .concat();
    for (operator, ..) in super::condition::OPERATORS {
        assert!(compared.contains(&operator), "{operator}");
    }
}

fn statement() -> impl Strategy<Value = Value> {
    let effect = proptest::sample::select(&["Allow", "Allow", "Deny"][..]);
    let action_member = proptest::sample::select(&["Action", "Action", "Action", "NotAction"][..]);
    let actions = some_of(&["*", "x:*", "x:Get*", "X:getA", "x:Put?", "y:*", "x:GetB"]);
    let resource_member = proptest::sample::select(&["Resource", "Resource", "Resource", "NotResource"][..]);
    let resources = some_of(&[
        "*",
        "arn:aws:x:r:000000000000:thing/a",
        "arn:aws:x:*:*:thing/*",
        "arn:aws:x:r:000000000000:thing/?",
        "arn:*:*:r:*:other/b",
    ]);
    let conditions = proptest::collection::vec(condition(), 0..3);
    (
        effect,
        action_member,
        actions,
        resource_member,
        resources,
        conditions,
    )
        .prop_map(
            |(effect, action_member, actions, resource_member, resources, conditions)| {
                let mut statement =
                    json!({"Effect": effect, action_member: actions, resource_member: resources});
                for (operator, key, expected) in conditions {
                    statement["Condition"][operator][key] = expected;
                }
                statement
            },
        )
}

fn values() -> impl Strategy<Value = Vec<String>> {
    let one = proptest::sample::select(&["a", "A", "b", "ab", "team", ""][..]).prop_map(str::to_owned);
    proptest::collection::vec(one, 0..3)
}

/// A request as the reference and as the evaluator sees it.
fn request() -> impl Strategy<Value = (Request, Context, Tags, Option<Tags>)> {
    let text = proptest::option::of(
        proptest::sample::select(&["a", "A", "b", "ab", ""][..]).prop_map(str::to_owned),
    );
    let user_id = proptest::option::of(proptest::sample::select(USER_IDS).prop_map(str::to_owned));
    let address = proptest::option::of(proptest::sample::select(
        &["10.1.2.3", "192.0.2.1", "172.16.0.1"][..],
    ));
    let tag = text;
    (
        user_id,
        proptest::option::of(values()),
        address,
        tag.clone(),
        tag.clone(),
        tag,
        any::<bool>(),
    )
        .prop_map(
            |(user_id, scopes, address, of_principal, of_resource, of_request, secure_transport)| {
                let tags = |value: &Option<String>| {
                    value
                        .iter()
                        .map(|value| ("team".to_owned(), value.clone()))
                        .collect::<Tags>()
                };
                let context = Context {
                    user_id: user_id.clone(),
                    scopes: scopes.clone(),
                    request_tags: of_request.as_ref().map(|_| tags(&of_request)),
                    source_ip: address.map(|address| address.parse().expect("an address")),
                    secure_transport,
                    ..Context::default()
                };
                let mut request = Request::new();
                let mut has = |key, values: Vec<String>| {
                    request.insert(key, values);
                };
                has("bedrock-agentcore:userid", user_id.into_iter().collect());
                has("countersign:scopes", scopes.unwrap_or_default());
                has("aws:PrincipalTag/team", of_principal.iter().cloned().collect());
                has("aws:ResourceTag/team", of_resource.iter().cloned().collect());
                has("aws:RequestTag/team", of_request.iter().cloned().collect());
                has(
                    "aws:TagKeys",
                    of_request.iter().map(|_| "team".to_owned()).collect(),
                );
                has("aws:username", vec!["a".to_owned()]);
                has(
                    "aws:PrincipalArn",
                    vec!["arn:aws:iam::000000000000:user/a".to_owned()],
                );
                has("aws:SourceIp", address.map(str::to_owned).into_iter().collect());
                has("aws:EpochTime", vec!["1800000000".to_owned()]);
                has("aws:CurrentTime", vec!["2027-01-15T08:00:00Z".to_owned()]);
                has("aws:SecureTransport", vec![secure_transport.to_string()]);
                let resource_tags = of_resource.as_ref().map(|_| tags(&of_resource));
                (request, context, tags(&of_principal), resource_tags)
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    #[test]
    fn the_evaluator_decides_as_iam_does(
        statements in proptest::collection::vec(statement(), 1..4),
        action in proptest::sample::select(&["x:GetA", "x:GetB", "x:PutC", "y:GetA"][..]),
        resource in proptest::sample::select(&[
            "arn:aws:x:r:000000000000:thing/a",
            "arn:aws:x:r:000000000000:thing/ab",
            "arn:aws:y:r:000000000000:other/b",
        ][..]),
        (request, context, principal_tags, resource_tags) in request(),
    ) {
        let document = json!({"Version": "2012-10-17", "Statement": statements});
        let policy = Policy::parse(&document).expect("a policy");
        let arn = Arn::principal("000000000000", "a");
        let facts = Facts {
            principal: Principal { arn: &arn, name: "a", tags: &principal_tags },
            region: "r",
            now: Timestamp::from_secs(1_800_000_000),
            context: &context,
            resource_tags: resource_tags.as_ref(),
        };
        let of_resource: Arn = resource.parse().expect("an ARN");
        let decision = policy.decide(action, &of_resource, &facts);
        let named = match decision {
            Decision::Allowed => "allowed",
            Decision::ImplicitDeny => "implicit deny",
            Decision::ExplicitDeny { .. } => "explicit deny",
        };
        prop_assert_eq!(named, reference::decision(&document, action, resource, &request), "{}", document);
        let explained = policy.explain(action, &of_resource, &facts);
        prop_assert_eq!(explained.decision, decision.into());
        for statement in &explained.statements {
            prop_assert_eq!(statement.applies, statement.elements.iter().all(|element| element.holds));
        }
    }
}
