//! Conditions: operators, and how they compare.
//!
//! IAM's rules. Every operator and key of a block must hold; of the values of one key any is enough, and for a
//! negated operator none may be equal. An absent key fails a positive operator and passes a negated one and one with
//! `IfExists`. `ForAllValues` holds when every value of the request does (also when there is none), `ForAnyValue` when
//! one does. Without either, a key with several values is compared as with `ForAnyValue`.

use std::net::IpAddr;

use countersign_crypto::Timestamp;
use ipnet::IpNet;
use serde_json::{Map, Value};

use super::context::{Datum, Facts, Values};
use super::key::Key;
use super::pattern::{Template, TemplateError};

/// One key under one operator.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    pub(super) key: Key,
    /// As written, for explanations.
    pub(super) operator: String,
    pub(super) expected: Vec<String>,
    quantifier: Quantifier,
    negated: bool,
    if_exists: bool,
    test: Test,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    Single,
    All,
    Any,
}

#[derive(Debug, Clone)]
enum Test {
    Null(bool),
    /// Equal, or with wildcards: the templates know which.
    Text(Vec<Template>),
    TextIgnoringCase(Vec<Template>),
    /// Part by part, wildcards in each.
    Arn(Vec<Vec<Template>>),
    Bool(Vec<bool>),
    Numeric(Order, Vec<f64>),
    Date(Order, Vec<Timestamp>),
    Ip(Vec<IpNet>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// The operators by name: what they compare and whether they negate.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Null,
    Equals,
    EqualsIgnoreCase,
    Like,
    Arn,
    Bool,
    Numeric(Order),
    Date(Order),
    Ip,
}

pub(super) const OPERATORS: [(&str, Kind, bool); 26] = [
    ("Null", Kind::Null, false),
    ("StringEquals", Kind::Equals, false),
    ("StringNotEquals", Kind::Equals, true),
    ("StringEqualsIgnoreCase", Kind::EqualsIgnoreCase, false),
    ("StringNotEqualsIgnoreCase", Kind::EqualsIgnoreCase, true),
    ("StringLike", Kind::Like, false),
    ("StringNotLike", Kind::Like, true),
    ("ArnEquals", Kind::Arn, false),
    ("ArnLike", Kind::Arn, false),
    ("ArnNotEquals", Kind::Arn, true),
    ("ArnNotLike", Kind::Arn, true),
    ("Bool", Kind::Bool, false),
    ("NumericEquals", Kind::Numeric(Order::Equal), false),
    ("NumericNotEquals", Kind::Numeric(Order::Equal), true),
    ("NumericLessThan", Kind::Numeric(Order::Less), false),
    ("NumericLessThanEquals", Kind::Numeric(Order::LessOrEqual), false),
    ("NumericGreaterThan", Kind::Numeric(Order::Greater), false),
    (
        "NumericGreaterThanEquals",
        Kind::Numeric(Order::GreaterOrEqual),
        false,
    ),
    ("DateEquals", Kind::Date(Order::Equal), false),
    ("DateNotEquals", Kind::Date(Order::Equal), true),
    ("DateLessThan", Kind::Date(Order::Less), false),
    ("DateLessThanEquals", Kind::Date(Order::LessOrEqual), false),
    ("DateGreaterThan", Kind::Date(Order::Greater), false),
    ("DateGreaterThanEquals", Kind::Date(Order::GreaterOrEqual), false),
    ("IpAddress", Kind::Ip, false),
    ("NotIpAddress", Kind::Ip, true),
];

/// How a condition came out. A policy variable without a value equals nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) holds: bool,
    /// Whether that is for want of a variable's value.
    pub(super) unresolved: bool,
}

/// Where a block is wrong, below its own place, and the rule.
pub(super) type BlockError = (String, &'static str);

/// Reads a `Condition` block.
pub(super) fn parse_block(block: &Map<String, Value>) -> Result<Vec<Condition>, BlockError> {
    let mut conditions = Vec::new();
    for (operator, keys) in block {
        let keys = keys
            .as_object()
            .filter(|keys| !keys.is_empty())
            .ok_or_else(|| (format!(".{operator}"), "must be an object of condition keys"))?;
        for (key, values) in keys {
            let condition = Condition::parse(operator, key, values);
            conditions.push(condition.map_err(|rule| (format!(".{operator}.{key}"), rule))?);
        }
    }
    if conditions.is_empty() {
        return Err((String::new(), "must have an operator"));
    }
    Ok(conditions)
}

impl Condition {
    fn parse(operator: &str, key: &str, values: &Value) -> Result<Self, &'static str> {
        let (quantifier, name) = match operator.split_once(':') {
            None => (Quantifier::Single, operator),
            Some(("ForAllValues", name)) => (Quantifier::All, name),
            Some(("ForAnyValue", name)) => (Quantifier::Any, name),
            Some(_) => return Err("is not a condition operator of this server"),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (_, kind, negated) = OPERATORS
            .into_iter()
            .find(|(known, ..)| *known == name)
            .ok_or("is not a condition operator of this server")?;
        if matches!(kind, Kind::Null) && (if_exists || quantifier != Quantifier::Single) {
            return Err("Null stands alone, without IfExists, ForAllValues or ForAnyValue");
        }
        let key = Key::parse(key).ok_or("is not a condition key of this server")?;
        let expected = texts(values).ok_or("must be a text, or a list of at least one")?;
        Ok(Self {
            test: Test::compile(kind, &expected)?,
            key,
            operator: operator.to_owned(),
            expected,
            quantifier,
            negated,
            if_exists,
        })
    }

    pub(super) fn evaluate(&self, facts: &Facts<'_>) -> Outcome {
        let values = facts.values(&self.key);
        if let Test::Null(absent) = self.test {
            return outcome(values.is_absent() == absent);
        }
        if values.is_absent() {
            return outcome(match self.quantifier {
                _ if self.if_exists => true,
                Quantifier::All => true,
                Quantifier::Any => false,
                Quantifier::Single => self.negated,
            });
        }
        let mut unresolved = false;
        let mut equal = |datum: Datum<'_>| {
            let equal = self.test.matches(datum, facts);
            unresolved |= equal.is_none();
            equal.unwrap_or(false)
        };
        let holds = match self.quantifier {
            Quantifier::All => values.all(|datum| equal(datum) != self.negated),
            Quantifier::Any => values.any(|datum| equal(datum) != self.negated),
            Quantifier::Single => values.any(equal) != self.negated,
        };
        Outcome { holds, unresolved }
    }

    /// What the request has for the key, for explanations.
    pub(super) fn actual(&self, facts: &Facts<'_>) -> Option<Vec<String>> {
        let values = facts.values(&self.key);
        let mut texts = Vec::new();
        values.all(|datum| {
            texts.push(datum.text().into_owned());
            true
        });
        (!matches!(values, Values::Absent)).then_some(texts)
    }

    /// Every key it reads, in its variables too.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Key> {
        let templates: Vec<&Template> = match &self.test {
            Test::Text(templates) | Test::TextIgnoringCase(templates) => templates.iter().collect(),
            Test::Arn(arns) => arns.iter().flatten().collect(),
            _ => Vec::new(),
        };
        std::iter::once(&self.key).chain(templates.into_iter().flat_map(Template::variables))
    }
}

const fn outcome(holds: bool) -> Outcome {
    Outcome {
        holds,
        unresolved: false,
    }
}

impl Test {
    fn compile(kind: Kind, expected: &[String]) -> Result<Self, &'static str> {
        fn each<T>(
            expected: &[String],
            rule: &'static str,
            parse: impl Fn(&str) -> Option<T>,
        ) -> Result<Vec<T>, &'static str> {
            expected.iter().map(|text| parse(text).ok_or(rule)).collect()
        }
        let templates = |wildcards| {
            let parsed = expected.iter().map(|text| Template::parse(text, wildcards));
            parsed.collect::<Result<Vec<_>, _>>().map_err(TemplateError::rule)
        };
        Ok(match kind {
            Kind::Null => match expected {
                [absent] => Self::Null(flag(absent).ok_or("must be true or false")?),
                _ => return Err("must be true or false"),
            },
            Kind::Equals => Self::Text(templates(false)?),
            Kind::EqualsIgnoreCase => Self::TextIgnoringCase(templates(false)?),
            Kind::Like => Self::Text(templates(true)?),
            Kind::Arn => Self::Arn(
                expected
                    .iter()
                    .map(|text| arn_templates(text))
                    .collect::<Result<_, _>>()?,
            ),
            Kind::Bool => Self::Bool(each(expected, "must be true or false", flag)?),
            Kind::Numeric(order) => Self::Numeric(order, each(expected, "must be a number", number)?),
            Kind::Date(order) => Self::Date(
                order,
                each(
                    expected,
                    "must be a date as in 2026-01-31T00:00:00Z, or epoch seconds",
                    date,
                )?,
            ),
            Kind::Ip => Self::Ip(each(expected, "must be an IP address or CIDR range", network)?),
        })
    }

    /// `None` when nothing is equal and a variable had no value.
    fn matches(&self, datum: Datum<'_>, facts: &Facts<'_>) -> Option<bool> {
        match self {
            Self::Null(_) => Some(false),
            Self::Text(templates) => {
                let text = datum.text();
                any(templates.iter().map(|template| template.matches(&text, facts)))
            }
            Self::TextIgnoringCase(templates) => {
                let text = datum.text();
                any(templates
                    .iter()
                    .map(|template| template.matches_ignoring_case(&text, facts)))
            }
            Self::Arn(arns) => {
                let text = datum.text();
                let parts: Vec<&str> = text.splitn(6, ':').collect();
                if parts.len() != 6 {
                    return Some(false);
                }
                any(arns.iter().map(|templates| {
                    let mut all = true;
                    for (template, part) in templates.iter().zip(&parts) {
                        all &= template.matches(part, facts)?;
                    }
                    Some(all)
                }))
            }
            Self::Bool(flags) => {
                let actual = flag(&datum.text());
                Some(actual.is_some_and(|actual| flags.contains(&actual)))
            }
            Self::Numeric(order, numbers) => {
                let actual = match datum {
                    Datum::Time(at) => number(&at.as_secs().to_string()),
                    other => number(&other.text()),
                };
                Some(actual.is_some_and(|actual| numbers.iter().any(|number| order.holds(&actual, number))))
            }
            Self::Date(order, dates) => {
                let actual = match datum {
                    Datum::Time(at) | Datum::Epoch(at) => Some(Timestamp::from_secs(at.as_secs())),
                    other => date(&other.text()),
                };
                Some(actual.is_some_and(|actual| dates.iter().any(|date| order.holds(&actual, date))))
            }
            Self::Ip(networks) => {
                let actual = match datum {
                    Datum::Ip(address) => Some(address),
                    other => other.text().parse().ok(),
                };
                Some(actual.is_some_and(|actual| networks.iter().any(|network| network.contains(&actual))))
            }
        }
    }
}

/// Whether any holds; `None` when none does and one could not be told.
fn any(outcomes: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut unresolved = false;
    for outcome in outcomes {
        match outcome {
            Some(true) => return Some(true),
            Some(false) => {}
            None => unresolved = true,
        }
    }
    (!unresolved).then_some(false)
}

/// A value or a list of values, each a text, number or boolean, as texts.
fn texts(values: &Value) -> Option<Vec<String>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    };
    match values {
        Value::Array(values) if !values.is_empty() => values.iter().map(one).collect(),
        value => one(value).map(|text| vec![text]),
    }
}

pub(super) fn flag(text: &str) -> Option<bool> {
    match () {
        () if text.eq_ignore_ascii_case("true") => Some(true),
        () if text.eq_ignore_ascii_case("false") => Some(false),
        () => None,
    }
}

fn number(text: &str) -> Option<f64> {
    let digits = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.".contains(&byte));
    digits.then(|| text.parse().ok()).flatten()
}

/// ISO 8601 with an offset, a date alone (midnight UTC), or epoch seconds.
pub(super) fn date(text: &str) -> Option<Timestamp> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Timestamp::from_secs);
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Some(Timestamp::from_secs(at.as_second()));
    }
    let day: jiff::civil::Date = text.parse().ok()?;
    let midnight = jiff::tz::Offset::UTC.to_timestamp(day.to_datetime(jiff::civil::Time::midnight()));
    midnight.ok().map(|at| Timestamp::from_secs(at.as_second()))
}

fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(IpNet::from(address.to_canonical()));
    }
    // A range whose host bits are set is a mistake more often than it is meant, and IAM takes it; so does this.
    text.parse::<IpNet>().ok().map(|network| network.trunc())
}

fn arn_templates(text: &str) -> Result<Vec<Template>, &'static str> {
    const RULE: &str = "must be an ARN of six parts";
    let parts = super::pattern::split_arn(text).ok_or(RULE)?;
    if parts[0] != "arn" {
        return Err(RULE);
    }
    let parsed = parts.into_iter().map(|part| Template::parse(part, true));
    parsed.collect::<Result<_, _>>().map_err(TemplateError::rule)
}
