//! Schemas: out of a document as JSON Schema that every vendor's models take, and against the arguments a model gives.

use serde_json::{Map, Value, json};

use super::document::Document;

/// Schemas within schemas.
const MOST_DEPTH: usize = 24;
/// Nodes of one schema with everything it refers to.
const MOST_NODES: usize = 4_000;
/// Characters of a description within a schema.
const MOST_DESCRIPTION: usize = 400;
/// What is kept of a schema as it stands. The rest is for people and code generators, and some vendors refuse it.
const KEPT: [&str; 14] = [
    "format",
    "enum",
    "const",
    "default",
    "minimum",
    "maximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "type",
];

/// Copies schemas with their references put in place.
pub(super) struct Inliner<'a> {
    document: &'a Document,
    /// References on the way here: one that is met again stands for itself, and is left open.
    trail: Vec<String>,
    depth: usize,
    nodes: usize,
}

impl<'a> Inliner<'a> {
    pub(super) fn new(document: &'a Document) -> Self {
        Self {
            document,
            trail: Vec::new(),
            depth: 0,
            nodes: 0,
        }
    }

    /// `schema` for a request: without what is read-only, references in place.
    pub(super) fn inline(&mut self, schema: &Value) -> Result<Value, String> {
        self.nodes += 1;
        if self.nodes > MOST_NODES || self.depth > MOST_DEPTH {
            return Err("its input schema is too large for a tool".to_owned());
        }
        let Some(members) = schema.as_object() else {
            // `true`, or nonsense: anything goes, and the service decides.
            return Ok(json!({}));
        };
        if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
            if self.trail.iter().any(|passed| passed == reference) {
                return Ok(json!({}));
            }
            self.trail.push(reference.to_owned());
            let target = self.document.at(reference)?;
            let inlined = self.inline(target);
            self.trail.pop();
            return inlined;
        }
        self.depth += 1;
        let copied = self.members(members);
        self.depth -= 1;
        copied
    }

    fn members(&mut self, members: &Map<String, Value>) -> Result<Value, String> {
        let mut copy = Map::new();
        for name in KEPT {
            if let Some(value) = members.get(name) {
                copy.insert(name.to_owned(), value.clone());
            }
        }
        if let Some(words) = members.get("description").and_then(Value::as_str) {
            let words: String = words.chars().take(MOST_DESCRIPTION).collect();
            copy.insert("description".to_owned(), words.into());
        }
        exclusive(members, &mut copy, ("exclusiveMinimum", "minimum"));
        exclusive(members, &mut copy, ("exclusiveMaximum", "maximum"));
        if let Some(items) = members.get("items") {
            copy.insert("items".to_owned(), self.inline(items)?);
        }
        for name in ["anyOf", "oneOf"] {
            if let Some(alternatives) = members.get(name).and_then(Value::as_array) {
                let alternatives: Result<Vec<Value>, String> =
                    alternatives.iter().map(|schema| self.inline(schema)).collect();
                copy.insert(name.to_owned(), alternatives?.into());
            }
        }
        self.properties(members, &mut copy)?;
        for part in members
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let part = self.inline(part)?;
            merge(&mut copy, part);
        }
        nullable(members, &mut copy);
        Ok(Value::Object(copy))
    }

    fn properties(
        &mut self,
        members: &Map<String, Value>,
        copy: &mut Map<String, Value>,
    ) -> Result<(), String> {
        let mut dropped = Vec::new();
        if let Some(properties) = members.get("properties").and_then(Value::as_object) {
            let mut copies = Map::new();
            for (name, property) in properties {
                if self.document.resolve(property)?.get("readOnly") == Some(&Value::Bool(true)) {
                    dropped.push(name);
                    continue;
                }
                copies.insert(name.clone(), self.inline(property)?);
            }
            copy.insert("properties".to_owned(), copies.into());
        }
        if let Some(required) = members.get("required").and_then(Value::as_array) {
            let required: Vec<Value> = required
                .iter()
                .filter(|name| !dropped.iter().any(|dropped| name.as_str() == Some(dropped)))
                .cloned()
                .collect();
            copy.insert("required".to_owned(), required.into());
        }
        match members.get("additionalProperties") {
            Some(Value::Bool(allowed)) => {
                copy.insert("additionalProperties".to_owned(), (*allowed).into());
            }
            Some(schema) => {
                copy.insert("additionalProperties".to_owned(), self.inline(schema)?);
            }
            None => {}
        }
        Ok(())
    }
}

/// `OpenAPI` 3.0 has a flag where JSON Schema has the bound itself.
fn exclusive(members: &Map<String, Value>, copy: &mut Map<String, Value>, (name, bound): (&str, &str)) {
    match members.get(name) {
        Some(Value::Bool(true)) => {
            if let Some(value) = copy.remove(bound) {
                copy.insert(name.to_owned(), value);
            }
        }
        Some(value @ Value::Number(_)) => {
            copy.insert(name.to_owned(), value.clone());
        }
        _ => {}
    }
}

/// `OpenAPI` 3.0's `nullable` as JSON Schema writes it.
fn nullable(members: &Map<String, Value>, copy: &mut Map<String, Value>) {
    if members.get("nullable") != Some(&Value::Bool(true)) {
        return;
    }
    if let Some(Value::String(kind)) = copy.get("type").cloned() {
        copy.insert("type".to_owned(), json!([kind, "null"]));
    }
    if let Some(Value::Array(values)) = copy.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
}

/// Adds a part of `allOf`: members and requirements of objects come together, of anything else the later word counts.
fn merge(whole: &mut Map<String, Value>, part: Value) {
    let Value::Object(part) = part else { return };
    for (name, value) in part {
        match (name.as_str(), whole.get_mut(&name), value) {
            ("properties", Some(Value::Object(own)), Value::Object(more)) => own.extend(more),
            ("required", Some(Value::Array(own)), Value::Array(more)) => own.extend(more),
            (_, _, value) => {
                whole.insert(name, value);
            }
        }
    }
}

/// Whether `value` is as `schema` says; the error is for the model and names the place. What is not checked here (patterns,
/// formats) the service checks.
pub(super) fn check(schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let Some(schema) = schema.as_object() else {
        return Ok(());
    };
    check_kind(schema, value, place)?;
    if let Some(Value::Array(values)) = schema.get("enum")
        && !values.contains(value)
    {
        return Err(format!("{place} must be one of {}", Value::from(values.clone())));
    }
    if let Some(constant) = schema.get("const")
        && constant != value
    {
        return Err(format!("{place} must be {constant}"));
    }
    for name in ["anyOf", "oneOf"] {
        if let Some(Value::Array(alternatives)) = schema.get(name)
            && !alternatives
                .iter()
                .any(|schema| check(schema, value, place).is_ok())
        {
            return Err(format!("{place} is none of what it may be"));
        }
    }
    match value {
        Value::Number(number) => check_number(schema, number.as_f64().unwrap_or_default(), place),
        Value::String(text) => check_size(schema, ("minLength", "maxLength"), text.chars().count(), place),
        Value::Array(items) => {
            check_size(schema, ("minItems", "maxItems"), items.len(), place)?;
            let Some(schema) = schema.get("items") else {
                return Ok(());
            };
            items
                .iter()
                .enumerate()
                .try_for_each(|(index, item)| check(schema, item, &format!("{place}[{index}]")))
        }
        Value::Object(members) => check_members(schema, members, place),
        Value::Null | Value::Bool(_) => Ok(()),
    }
}

fn check_kind(schema: &Map<String, Value>, value: &Value, place: &str) -> Result<(), String> {
    let is = |kind: &Value| match kind.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => true,
    };
    let (fits, kind) = match schema.get("type") {
        Some(Value::Array(kinds)) => (kinds.iter().any(is), schema.get("type")),
        Some(kind) => (is(kind), Some(kind)),
        None => (true, None),
    };
    match kind {
        Some(kind) if !fits => Err(format!("{place} must be of type {kind}")),
        _ => Ok(()),
    }
}

fn check_number(schema: &Map<String, Value>, number: f64, place: &str) -> Result<(), String> {
    let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
    let too_small = bound("minimum").is_some_and(|least| number < least)
        || bound("exclusiveMinimum").is_some_and(|least| number <= least);
    let too_large = bound("maximum").is_some_and(|most| number > most)
        || bound("exclusiveMaximum").is_some_and(|most| number >= most);
    if too_small || too_large {
        return Err(format!("{place} is out of its range"));
    }
    Ok(())
}

fn check_size(
    schema: &Map<String, Value>,
    (least, most): (&str, &str),
    size: usize,
    place: &str,
) -> Result<(), String> {
    let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
    let size = size as u64;
    if bound(least).is_some_and(|least| size < least) || bound(most).is_some_and(|most| size > most) {
        return Err(format!("{place} is too short or too long"));
    }
    Ok(())
}

fn check_members(
    schema: &Map<String, Value>,
    members: &Map<String, Value>,
    place: &str,
) -> Result<(), String> {
    for name in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        if let Some(name) = name.as_str()
            && !members.contains_key(name)
        {
            return Err(format!("{place} needs `{name}`"));
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, value) in members {
        let place = format!("{place}.{name}");
        let declared = properties.and_then(|properties| properties.get(name));
        match declared.or_else(|| schema.get("additionalProperties")) {
            Some(Value::Bool(false)) => return Err(format!("{place} is not known")),
            Some(schema) => check(schema, value, &place)?,
            None => {}
        }
    }
    Ok(())
}
