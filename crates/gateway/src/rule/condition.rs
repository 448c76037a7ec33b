//! Conditions of rules.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, Method};
use ipnet::IpNet;

use super::pattern::{Case, Pattern, Text, regex};
use crate::config;

const MAX_VALUES: usize = 5;
const MAX_VALUES_OF_CONDITION: usize = 3;
const MAX_TEXT: usize = 128;
const MAX_HEADER_NAME: usize = 40;
const MAX_METHOD: usize = 40;

/// What conditions judge of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// Without port.
    pub(crate) host: &'a str,
    /// As it was sent, without query.
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
    pub(crate) method: &'a Method,
    pub(crate) headers: &'a HeaderMap,
    /// The client, as the connection or the PROXY protocol names it.
    pub(crate) source: Option<IpAddr>,
}

/// One condition; it holds where one of its values does.
#[derive(Debug)]
pub(super) enum Condition {
    Host(Vec<Text>),
    Path(Vec<Text>),
    Method(Vec<String>),
    Header { name: HeaderName, values: Vec<Text> },
    Query(Vec<(Option<Pattern>, Pattern)>),
    Source(Vec<IpNet>),
}

impl Condition {
    /// The conditions of a rule. The error says which one cannot be, and why.
    pub(super) fn compile(conditions: &config::Conditions) -> Result<Vec<Self>, String> {
        use Case::{Insensitive, Sensitive};
        let mut compiled = Vec::new();
        if let Some(texts) = texts(
            "host_header",
            &conditions.host_header,
            &conditions.host_header_regex,
            [Insensitive; 2],
        )? {
            compiled.push(Self::Host(texts));
        }
        if let Some(texts) = texts(
            "path_pattern",
            &conditions.path_pattern,
            &conditions.path_pattern_regex,
            [Sensitive; 2],
        )? {
            compiled.push(Self::Path(texts));
        }
        if !conditions.http_request_method.is_empty() {
            compiled.push(methods(&conditions.http_request_method)?);
        }
        for header in &conditions.http_header {
            compiled.push(self::header(header)?);
        }
        for query in &conditions.query_string {
            compiled.push(query_string(query)?);
        }
        if !conditions.source_ip.is_empty() {
            compiled.push(Self::Source(conditions.source_ip.clone()));
        }
        for condition in &compiled {
            // source-ip has the limit of the rule alone.
            if !matches!(condition, Self::Source(_)) && condition.values() > MAX_VALUES_OF_CONDITION {
                return Err(format!(
                    "a condition has at most {MAX_VALUES_OF_CONDITION} values"
                ));
            }
        }
        if compiled.iter().map(Self::values).sum::<usize>() > MAX_VALUES {
            return Err(format!("a rule has at most {MAX_VALUES} values"));
        }
        Ok(compiled)
    }

    fn values(&self) -> usize {
        match self {
            Self::Host(values) | Self::Path(values) | Self::Header { values, .. } => values.len(),
            Self::Method(values) => values.len(),
            Self::Query(values) => values.len(),
            Self::Source(values) => values.len(),
        }
    }

    pub(super) fn holds(&self, asked: &Asked<'_>) -> bool {
        match self {
            Self::Host(texts) => texts.iter().any(|text| text.matches(asked.host)),
            Self::Path(texts) => texts.iter().any(|text| text.matches(asked.path)),
            Self::Method(methods) => methods.iter().any(|method| method == asked.method.as_str()),
            Self::Header { name, values } => asked
                .headers
                .get_all(name)
                .iter()
                .filter_map(|value| std::str::from_utf8(value.as_bytes()).ok())
                .any(|value| values.iter().any(|text| text.matches(value))),
            Self::Query(pairs) => parameters(asked.query.unwrap_or_default()).any(|(key, value)| {
                pairs.iter().any(|(wanted, pattern)| {
                    wanted
                        .as_ref()
                        .is_none_or(|wanted| wanted.matches(key.as_bytes()))
                        && pattern.matches(value.as_bytes())
                })
            }),
            Self::Source(networks) => asked
                .source
                .is_some_and(|source| networks.iter().any(|network| network.contains(&source))),
        }
    }
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|parameter| !parameter.is_empty())
        .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
}

fn bounded(field: &str, text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > MAX_TEXT {
        return Err(format!("{field}: a value has 1 to {MAX_TEXT} characters"));
    }
    Ok(())
}

fn texts(
    field: &str,
    patterns: &[String],
    expressions: &[String],
    [pattern_case, regex_case]: [Case; 2],
) -> Result<Option<Vec<Text>>, String> {
    let mut texts = Vec::new();
    for text in patterns {
        bounded(field, text)?;
        texts.push(Text::Pattern(Pattern::new(text, pattern_case)));
    }
    for text in expressions {
        bounded(field, text)?;
        let regex = regex(text, regex_case).map_err(|fault| format!("{field}: {fault}"))?;
        texts.push(Text::Regex(regex));
    }
    match (patterns.is_empty(), expressions.is_empty()) {
        (true, true) => Ok(None),
        (false, false) => Err(format!("{field}: patterns or regular expressions, not both")),
        _ => Ok(Some(texts)),
    }
}

fn methods(methods: &[String]) -> Result<Condition, String> {
    for method in methods {
        let good = |byte: u8| byte.is_ascii_uppercase() || byte == b'-' || byte == b'_';
        if method.is_empty() || method.len() > MAX_METHOD || !method.bytes().all(good) {
            return Err(format!(
                "http_request_method: {method:?} is not 1 to {MAX_METHOD} of A-Z, - and _"
            ));
        }
    }
    Ok(Condition::Method(methods.to_vec()))
}

fn header(condition: &config::HttpHeaderCondition) -> Result<Condition, String> {
    let field = "http_header";
    let name: HeaderName = condition
        .name
        .parse()
        .map_err(|_| format!("{field}: {:?} is not a header name", condition.name))?;
    if condition.name.len() > MAX_HEADER_NAME {
        return Err(format!(
            "{field}: a name has at most {MAX_HEADER_NAME} characters"
        ));
    }
    if name == http::header::HOST {
        return Err(format!("{field}: the host is host_header's matter"));
    }
    let cases = [Case::Insensitive, Case::Sensitive];
    let values = texts(field, &condition.values, &condition.regex_values, cases)?
        .ok_or_else(|| format!("{field}: {name} has no values"))?;
    Ok(Condition::Header { name, values })
}

fn query_string(condition: &config::QueryStringCondition) -> Result<Condition, String> {
    if condition.values.is_empty() {
        return Err("query_string: has no values".to_owned());
    }
    let pattern = |text: &str| {
        bounded("query_string", text)?;
        Ok::<_, String>(Pattern::with_escapes(text, Case::Insensitive))
    };
    let pairs = condition.values.iter().map(|pair| {
        Ok((
            pair.key.as_deref().map(pattern).transpose()?,
            pattern(&pair.value)?,
        ))
    });
    Ok(Condition::Query(pairs.collect::<Result<_, String>>()?))
}
