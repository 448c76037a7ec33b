//! One operation as a tool: its parameters and body as an input schema, and a model's arguments as a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_outbound::Request;
use http::{HeaderName, HeaderValue, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use url::Url;

use super::answer::AnswerRule;
use super::document::{Document, Found};
use super::schema::{Inliner, check};
use crate::tools::{Call, Tool, ToolSpec};

/// The name of the body among a tool's arguments.
const BODY: &str = "body";
/// Bytes of a model's arguments.
const MOST_ARGUMENT_BYTES: usize = 64 << 10;
/// Everything but the unreserved characters of RFC 3986 section 2.3: no value becomes a separator or another segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// Headers that no document and no configuration may set: they carry credentials, or the request's own form.
const OWN_HEADERS: [&str; 14] = [
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// One operation as a tool.
#[derive(Debug)]
pub(super) struct OpenApiTool {
    pub(super) spec: ToolSpec,
    pub(super) provider: Arc<str>,
    pub(super) scopes: Vec<String>,
    pub(super) title: String,
    pub(super) method: Method,
    pub(super) base: Url,
    pub(super) path: Vec<Segment>,
    pub(super) parameters: Parameters,
    pub(super) body: Option<Body>,
    pub(super) answer: Arc<AnswerRule>,
}

/// A segment of a path template.
type Segment = Vec<Piece>;

/// A piece of a segment.
#[derive(Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    /// The parameter of that name.
    Parameter(String),
}

/// An operation's parameters: those that the model gives, and those that the operator fixed.
#[derive(Debug)]
pub(super) struct Parameters {
    given: Vec<Parameter>,
    fixed: Vec<(Parameter, Value)>,
}

#[derive(Debug)]
struct Parameter {
    name: String,
    location: Location,
    required: bool,
    /// Of an array in the query: between its items; `None` repeats the name.
    separator: Option<char>,
    schema: Value,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Location {
    Path,
    Query,
    Header,
}

/// An operation's JSON body.
#[derive(Debug)]
pub(super) struct Body {
    required: bool,
    content_type: HeaderValue,
    schema: Value,
}

impl Parameters {
    pub(super) fn of(
        document: &Document,
        found: &Found<'_>,
        fixed: &BTreeMap<String, Value>,
    ) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        // The operation's own parameters replace those of its path (OpenAPI 4.8.10).
        for holder in [found.item, found.operation] {
            let declared = holder.get("parameters").and_then(Value::as_array);
            for parameter in declared.into_iter().flatten() {
                let parameter = document.resolve(parameter)?;
                let text = |name: &str| parameter.get(name).and_then(Value::as_str);
                if let (Some(name), Some(location)) = (text("name"), text("in")) {
                    all.insert((name.to_owned(), location.to_owned()), parameter);
                }
            }
        }
        let mut parameters = Self {
            given: Vec::new(),
            fixed: Vec::new(),
        };
        for ((name, location), declared) in &all {
            parameters.add(document, (name, location), declared, fixed.get(name))?;
        }
        let known = |name: &String| all.keys().any(|(known, _)| known == name);
        match fixed.keys().find(|name| !known(name)) {
            Some(name) => Err(format!("`fixed` names `{name}`, and there is no such parameter")),
            None => Ok(parameters),
        }
    }

    fn add(
        &mut self,
        document: &Document,
        (name, location): (&str, &str),
        declared: &Value,
        fixed: Option<&Value>,
    ) -> Result<(), String> {
        let required = declared.get("required") == Some(&Value::Bool(true));
        match Parameter::of(document, name, location, declared) {
            Ok(parameter) => match fixed {
                Some(value) => {
                    let place = format!("fixed.{name}");
                    check(&parameter.schema, value, &place)?;
                    let text = joined(value, ',')?;
                    if parameter.location == Location::Header && HeaderValue::from_str(&text).is_err() {
                        return Err(format!("{place} cannot stand in a header"));
                    }
                    self.fixed.push((parameter, value.clone()));
                }
                // A model does not choose headers.
                None if parameter.location == Location::Header && required => {
                    return Err(format!(
                        "header parameter `{name}` is required: give it in `fixed`"
                    ));
                }
                None if parameter.location == Location::Header => {}
                None if name == BODY || self.given.iter().any(|other| other.name == name) => {
                    return Err(format!(
                        "two arguments would be called `{name}`: give one in `fixed`"
                    ));
                }
                None => self.given.push(parameter),
            },
            // What a person did not ask for and cannot be said is left out.
            Err(_) if fixed.is_none() && !required => {}
            Err(what) => return Err(format!("parameter `{name}`: {what}")),
        }
        Ok(())
    }
}

impl Parameter {
    fn of(document: &Document, name: &str, location: &str, declared: &Value) -> Result<Self, String> {
        let text = |member: &str| declared.get(member).and_then(Value::as_str);
        let location = match location {
            "path" => Location::Path,
            "query" => Location::Query,
            "header" => Location::Header,
            other => return Err(format!("parameters in `{other}` are not supported")),
        };
        if location == Location::Header && OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err("this header is not for documents to set".to_owned());
        }
        let schema = declared
            .get("schema")
            .ok_or("only parameters with a `schema` are supported")?;
        let mut schema = Inliner::new(document).inline(schema)?;
        if schema["type"] == "object" || schema.get("properties").is_some() {
            return Err("objects in parameters are not supported".to_owned());
        }
        let separator = match (location, text("style").unwrap_or_default()) {
            (Location::Query, "" | "form") if declared.get("explode") != Some(&Value::Bool(false)) => None,
            (Location::Path | Location::Header, "" | "simple") | (Location::Query, "" | "form") => Some(','),
            (Location::Query, "spaceDelimited") => Some(' '),
            (Location::Query, "pipeDelimited") => Some('|'),
            (_, style) => return Err(format!("style `{style}` is not supported")),
        };
        if let (Some(words), Some(members)) = (text("description"), schema.as_object_mut()) {
            let words: String = words.chars().take(400).collect();
            members.insert("description".to_owned(), words.into());
        }
        Ok(Self {
            name: name.to_owned(),
            location,
            // A path has no gaps, whatever the document says (OpenAPI 4.8.12.2).
            required: location == Location::Path || declared.get("required") == Some(&Value::Bool(true)),
            separator,
            schema,
        })
    }
}

impl Body {
    pub(super) fn of(document: &Document, found: &Found<'_>) -> Result<Option<Self>, String> {
        let Some(declared) = found.operation.get("requestBody") else {
            return Ok(None);
        };
        let declared = document.resolve(declared)?;
        let required = declared.get("required") == Some(&Value::Bool(true));
        let contents = declared.get("content").and_then(Value::as_object);
        let json = contents.into_iter().flatten().find(|(kind, _)| {
            let kind = kind.split(';').next().unwrap_or_default().trim();
            kind == "application/json" || (kind.ends_with("+json") && !kind.contains('*'))
        });
        let Some((kind, content)) = json else {
            return if required {
                Err("its body is required and is not JSON".to_owned())
            } else {
                Ok(None)
            };
        };
        let schema = content.get("schema").unwrap_or(&Value::Null);
        Ok(Some(Self {
            required,
            content_type: HeaderValue::from_str(kind).map_err(|_| "a content type that is none")?,
            schema: Inliner::new(document).inline(schema)?,
        }))
    }
}

/// The path in segments; each parameter in it is one that is declared.
pub(super) fn template(path: &str, parameters: &Parameters) -> Result<Vec<Segment>, String> {
    let known = |name: &str| {
        let of_path = |parameter: &Parameter| parameter.location == Location::Path && parameter.name == name;
        parameters.given.iter().any(of_path)
            || parameters.fixed.iter().any(|(parameter, _)| of_path(parameter))
    };
    let path = path.strip_prefix('/').ok_or("its path does not begin with `/`")?;
    let mut segments = Vec::new();
    for segment in path.split('/') {
        if matches!(segment, "." | "..") || segment.contains(['?', '#', '\\']) {
            return Err("its path has characters that lead elsewhere".to_owned());
        }
        let mut pieces = Vec::new();
        let mut rest = segment;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or("its path has an unclosed brace")?;
            if !known(name) {
                return Err(format!("its path names `{name}`, which it does not declare"));
            }
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Parameter(name.to_owned()));
            rest = after;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        segments.push(pieces);
    }
    Ok(segments)
}

/// What a model is told of the arguments.
pub(super) fn input_schema(parameters: &Parameters, body: Option<&Body>) -> Result<Value, String> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for parameter in &parameters.given {
        properties.insert(parameter.name.clone(), parameter.schema.clone());
        if parameter.required {
            required.push(Value::from(parameter.name.as_str()));
        }
    }
    if let Some(body) = body {
        properties.insert(BODY.to_owned(), body.schema.clone());
        if body.required {
            required.push(BODY.into());
        }
    }
    // Names of parameters are the document's, and vendors allow few characters.
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if let Some(name) = properties
        .keys()
        .find(|name| !(1..=64).contains(&name.len()) || !name.bytes().all(allowed))
    {
        return Err(format!(
            "a model cannot be given an argument called `{name}`: use `fixed`"
        ));
    }
    Ok(json!({
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    }))
}

impl OpenApiTool {
    pub(super) fn scopes(&self) -> &[String] {
        &self.scopes
    }

    fn url(&self, arguments: &Map<String, Value>) -> Result<Url, String> {
        let mut path = self.base.path().trim_end_matches('/').to_owned();
        for segment in &self.path {
            path.push('/');
            path.push_str(&self.segment(segment, arguments)?);
        }
        let mut url = self.base.clone();
        url.set_path(&path);
        for (parameter, value) in self.of_location(Location::Query, arguments) {
            let mut pairs = url.query_pairs_mut();
            match (value, parameter.separator) {
                (Value::Array(items), None) => {
                    for item in items {
                        pairs.append_pair(&parameter.name, &joined(item, ',')?);
                    }
                }
                (value, separator) => {
                    pairs.append_pair(&parameter.name, &joined(value, separator.unwrap_or(','))?);
                }
            }
        }
        Ok(url)
    }

    fn segment(&self, pieces: &[Piece], arguments: &Map<String, Value>) -> Result<String, String> {
        let mut segment = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(text) => segment.push_str(text),
                Piece::Parameter(name) => {
                    let value = self
                        .value(Location::Path, name, arguments)
                        .unwrap_or(&Value::Null);
                    segment.extend(utf8_percent_encode(&joined(value, ',')?, SEGMENT));
                }
            }
        }
        // A segment of dots would climb, and an empty one is none: either is another resource than the document's.
        if pieces.len() > 1 && matches!(segment.as_str(), "" | "." | "..") {
            return Err(
                "invalid arguments: what stands in the path may not be empty, `.` or `..`".to_owned(),
            );
        }
        Ok(segment)
    }

    /// The parameters that stand in `location` and have a value.
    fn of_location<'a>(
        &'a self,
        location: Location,
        arguments: &'a Map<String, Value>,
    ) -> impl Iterator<Item = (&'a Parameter, &'a Value)> {
        let given = self
            .parameters
            .given
            .iter()
            .filter_map(|parameter| Some((parameter, arguments.get(&parameter.name)?)));
        let fixed = self
            .parameters
            .fixed
            .iter()
            .map(|(parameter, value)| (parameter, value));
        given
            .chain(fixed)
            .filter(move |(parameter, value)| parameter.location == location && !value.is_null())
    }

    fn value<'a>(
        &'a self,
        location: Location,
        name: &str,
        arguments: &'a Map<String, Value>,
    ) -> Option<&'a Value> {
        self.of_location(location, arguments)
            .find(|(parameter, _)| parameter.name == name)
            .map(|(_, value)| value)
    }
}

/// A primitive as a URL writes it; an array with `separator` between its items.
fn joined(value: &Value, separator: char) -> Result<String, String> {
    Ok(match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null => String::new(),
        Value::Array(items) if items.iter().all(|item| !item.is_array() && !item.is_object()) => {
            let items: Result<Vec<String>, String> =
                items.iter().map(|item| joined(item, separator)).collect();
            items?.join(separator.encode_utf8(&mut [0; 4]))
        }
        Value::Array(_) | Value::Object(_) => {
            return Err(
                "invalid arguments: a parameter is a text, a number, a flag or a list of those".to_owned(),
            );
        }
    })
}

impl Tool for OpenApiTool {
    fn spec(&self) -> &ToolSpec {
        &self.spec
    }

    fn provider(&self) -> &Arc<str> {
        &self.provider
    }

    fn prepare(&self, arguments: &Value) -> Result<Call, String> {
        let invalid = |what: String| format!("invalid arguments: {what}");
        let Some(given) = arguments.as_object() else {
            return Err(invalid("they must be a JSON object".to_owned()));
        };
        if arguments.to_string().len() > MOST_ARGUMENT_BYTES {
            return Err(invalid(format!("more than {MOST_ARGUMENT_BYTES} bytes")));
        }
        check(&self.spec.schema, arguments, "arguments").map_err(invalid)?;
        let mut request = Request::new(self.method.clone(), self.url(given)?).accept_json();
        for (parameter, value) in self.of_location(Location::Header, given) {
            let name = HeaderName::from_bytes(parameter.name.as_bytes());
            let value = HeaderValue::from_str(&joined(value, ',')?);
            if let (Ok(name), Ok(value)) = (name, value) {
                request = request.header(name, value);
            }
        }
        if let (Some(body), Some(value)) = (&self.body, given.get(BODY)) {
            request = request.body(body.content_type.clone(), value.to_string());
        }
        let scopes: Vec<&str> = self.scopes.iter().map(String::as_str).collect();
        let answer = Arc::clone(&self.answer);
        Ok(Call::read_by(&self.title, &scopes, request, move |response| {
            answer.read(response)
        }))
    }
}
