//! `countersign config schema`: a JSON Schema of the configuration for editors, which complete keys and show what they
//! are for. It is read off the commented default configuration, the one place where every key stands with its meaning, so
//! it says nothing that the reference does not. It describes and never refuses: what is wrong, `config check` says.

use serde_json::{Map, Value as Json, json};
use toml::{Table, Value};

/// Tables whose keys are names of the operator's.
const NAMED: [&str; 3] = [
    "gateway.listeners",
    "gateway.target_groups",
    "gateway.applications",
];

/// The schema.
pub(crate) fn of(default: &str) -> Json {
    let mut root = object("The configuration of `countersign serve`.");
    let mut table: Vec<String> = Vec::new();
    let mut said: Vec<String> = Vec::new();
    let mut lines = default.lines();
    while let Some(line) = lines.next() {
        // Explanations within what is commented out have two signs.
        let text = line.trim_start_matches(['#', ' ']);
        if text.is_empty() || (text.starts_with("--") && text.ends_with("--")) {
            said.clear();
        } else if let Some((path, list)) = header(text) {
            let description = said.join(" ");
            said.clear();
            let place = at(&mut root, &path);
            if list {
                place.entry("type").or_insert_with(|| json!("array"));
                place.entry("items").or_insert_with(|| object(""));
            }
            describe(place, &description);
            table = path;
        } else if let Some((key, value)) = assignment(text, &mut lines, line.starts_with('#')) {
            let mut path = table.clone();
            path.push(key);
            let place = at(&mut root, &path);
            merge(place, &value);
            describe(place, &said.join(" "));
            said.clear();
        } else if line.starts_with('#') {
            said.push(text.to_owned());
        }
    }
    if let Some(root) = root.as_object_mut() {
        root.insert(
            "$schema".to_owned(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        );
        root.insert("title".to_owned(), json!("countersign"));
    }
    root
}

/// `[a.b]` and `[[a.b]]`.
fn header(text: &str) -> Option<(Vec<String>, bool)> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let (inner, list) = match inner.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => (inner, true),
        None => (inner, false),
    };
    let plain = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    let parts: Vec<String> = inner.split('.').map(str::to_owned).collect();
    parts.iter().all(|part| plain(part)).then_some((parts, list))
}

/// `key = value`, over as many lines as the value takes.
fn assignment<'a>(
    text: &str,
    lines: &mut impl Iterator<Item = &'a str>,
    commented: bool,
) -> Option<(String, Value)> {
    let (key, _) = text.split_once(" = ")?;
    if key.is_empty()
        || !key
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    {
        return None;
    }
    let mut whole = text.to_owned();
    loop {
        if let Ok(table) = toml::from_str::<Table>(&whole) {
            return table.into_iter().next();
        }
        // Only a list is written over several lines, and none of those that are commented out.
        if commented || !whole.contains('[') {
            return None;
        }
        whole.push('\n');
        whole.push_str(lines.next()?);
    }
}

fn object(description: &str) -> Json {
    let mut made = json!({"type": "object", "properties": {}});
    if !description.is_empty() {
        made["description"] = description.into();
    }
    made
}

/// The schema of the key at `path`, which is made where it is missing.
fn at<'a>(root: &'a mut Json, path: &[String]) -> &'a mut Map<String, Json> {
    let mut place = root;
    for (index, part) in path.iter().enumerate() {
        if place["type"] == "array" {
            place = &mut place["items"];
        }
        if place["properties"].is_null() && place["additionalProperties"].is_null() {
            place["type"] = json!("object");
            place["properties"] = json!({});
        }
        let last = index + 1 == path.len();
        let parent = path[..index].join(".");
        place = if NAMED.contains(&parent.as_str()) {
            if let Some(named) = place.as_object_mut() {
                named.remove("properties");
            }
            &mut place["additionalProperties"]
        } else {
            &mut place["properties"][part.as_str()]
        };
        if place.is_null() {
            *place = if last { json!({}) } else { object("") };
        }
    }
    if !place.is_object() {
        *place = json!({});
    }
    match place {
        Json::Object(place) => place,
        _ => unreachable!("it has just been made one"),
    }
}

/// Adds what a value shows of its key's type to what other examples have shown.
fn merge(place: &mut Map<String, Json>, value: &Value) {
    merge_shown(place, shape(value));
}

fn merge_shown(place: &mut Map<String, Json>, shown: Json) {
    let Json::Object(shown) = shown else { return };
    if place.is_empty() {
        *place = shown;
    } else if place.get("type") == shown.get("type") {
        for (member, theirs) in shown {
            merge_member(place, &member, theirs);
        }
    } else if let Some(forms) = place.get_mut("anyOf").and_then(Json::as_array_mut) {
        let shown = Json::Object(shown);
        if !forms.contains(&shown) {
            forms.push(shown);
        }
    } else {
        let mut first = std::mem::take(place);
        if let Some(description) = first.remove("description") {
            place.insert("description".to_owned(), description);
        }
        place.insert("anyOf".to_owned(), json!([first, shown]));
    }
}

/// Of two examples of one type: the keys of tables and the entries of lists add up.
fn merge_member(place: &mut Map<String, Json>, member: &str, theirs: Json) {
    match (member, place.get_mut(member), theirs) {
        ("properties", Some(Json::Object(mine)), Json::Object(theirs)) => {
            for (key, shown) in theirs {
                if let Json::Object(known) = mine.entry(key).or_insert_with(|| json!({})) {
                    merge_shown(known, shown);
                }
            }
        }
        ("items", Some(Json::Object(mine)), theirs) => merge_shown(mine, theirs),
        ("items", None, theirs) => {
            place.insert(member.to_owned(), theirs);
        }
        _ => {}
    }
}

fn shape(value: &Value) -> Json {
    match value {
        // Every text may be a reference to a secret.
        Value::String(_) | Value::Datetime(_) => json!({"type": "string"}),
        Value::Integer(_) => json!({"type": "integer"}),
        Value::Float(_) => json!({"type": "number"}),
        Value::Boolean(_) => json!({"type": "boolean"}),
        Value::Array(items) if items.is_empty() => json!({"type": "array"}),
        Value::Array(items) => {
            let mut entry = Map::new();
            for item in items {
                merge(&mut entry, item);
            }
            json!({"type": "array", "items": entry})
        }
        Value::Table(table) => {
            let properties: Map<String, Json> = table
                .iter()
                .map(|(key, value)| (key.clone(), shape(value)))
                .collect();
            json!({"type": "object", "properties": properties})
        }
    }
}

fn describe(place: &mut Map<String, Json>, description: &str) {
    if !description.is_empty() {
        place.entry("description").or_insert_with(|| description.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT;

    /// Whether `value` has keys that the schema does not know, or other types.
    fn strangers(schema: &Json, value: &Value, path: &str, found: &mut Vec<String>) {
        if let Some(forms) = schema["anyOf"].as_array() {
            if !forms.iter().any(|form| form["type"] == shape(value)["type"]) {
                found.push(path.to_owned());
            }
            return;
        }
        if schema["type"] != shape(value)["type"] {
            found.push(path.to_owned());
        }
        match value {
            Value::Table(table) => {
                for (key, value) in table {
                    let known = match &schema["properties"][key] {
                        Json::Null => &schema["additionalProperties"],
                        known => known,
                    };
                    strangers(known, value, &format!("{path}.{key}"), found);
                }
            }
            Value::Array(items) => {
                for item in items {
                    strangers(&schema["items"], item, path, found);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn it_knows_every_key_of_the_default_configuration() {
        let schema = of(DEFAULT);
        let default: Table = toml::from_str(DEFAULT).expect("TOML");
        let mut found = Vec::new();
        strangers(&schema, &Value::Table(default), "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn keys_have_their_meaning_and_commented_ones_are_known() {
        let schema = of(DEFAULT);
        let identity = &schema["properties"]["identity"]["properties"];
        assert_eq!(identity["start_login"]["type"], "string");
        assert!(
            identity["start_login"]["description"]
                .as_str()
                .is_some_and(|text| text.contains("recognised"))
        );
        assert_eq!(
            identity["rate_limits"]["properties"]["account_requests_per_second"]["type"],
            "integer"
        );
        assert_eq!(identity["gateways"]["type"], "array");
        let keys = &schema["properties"]["keys"]["properties"]["identity"]["anyOf"];
        assert_eq!(keys[0]["type"], "string");
        assert!(keys[1]["properties"]["kms"]["properties"]["key_arn"].is_object());
        let listeners = &schema["properties"]["gateway"]["properties"]["listeners"];
        assert!(listeners["additionalProperties"]["properties"]["origin"].is_object());
    }

    #[test]
    fn prose_is_no_key() {
        let schema = of("[a]\n# It is so = or not.\n# x = 1\ny = [\n  { z = 1 },\n]\n");
        let properties = schema["properties"]["a"]["properties"]
            .as_object()
            .expect("an object");
        assert_eq!(properties.keys().collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(properties["y"]["items"]["properties"]["z"]["type"], "integer");
    }
}
