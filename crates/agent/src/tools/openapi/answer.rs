//! What a model is shown of a service's answer: the members that the operator chose, and no more than fits.

use std::collections::BTreeMap;

use countersign_outbound::Response;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

/// Steps in which an answer that is too large gets smaller: items of an array and characters of a text that are left.
const CUTS: [(usize, usize); 6] = [
    (100, 4_000),
    (50, 2_000),
    (20, 1_000),
    (10, 500),
    (5, 200),
    (1, 100),
];
/// Members of an object that are left in a cut answer, for each item that is.
const MEMBERS_PER_ITEM: usize = 4;

/// How an operation's answers are shown.
#[derive(Debug)]
pub(super) struct AnswerRule {
    /// `None`: everything.
    kept: Option<Kept>,
    most_bytes: usize,
}

/// Members that are kept; an empty one is kept whole.
#[derive(Debug, Default)]
struct Kept(BTreeMap<String, Kept>);

impl AnswerRule {
    /// `paths` are members such as `items.id`; arrays are passed through. None: everything.
    pub(super) fn new(paths: &[String], most_bytes: usize) -> Self {
        let mut kept = Kept::default();
        for path in paths {
            let mut place = &mut kept;
            for name in path.split('.') {
                place = place.0.entry(name.to_owned()).or_default();
            }
        }
        Self {
            kept: (!paths.is_empty()).then_some(kept),
            most_bytes,
        }
    }

    /// What the model gets; `None` when the answer says that it is JSON and is not.
    pub(super) fn read(&self, response: &Response) -> Option<Value> {
        let status = response.status.as_u16();
        if response.body.is_empty() {
            return Some(json!({ "status": status }));
        }
        let kind = response
            .headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let kind = kind
            .and_then(|kind| kind.split(';').next())
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let data = if kind == "application/json" || kind.ends_with("+json") {
            let data = serde_json::from_slice(&response.body).ok()?;
            match &self.kept {
                Some(kept) => pick(data, kept),
                None => data,
            }
        } else if kind.starts_with("text/") && self.kept.is_none() {
            Value::String(String::from_utf8_lossy(&response.body).into_owned())
        } else {
            // Of a picture or an archive a model could make nothing.
            let bytes = response.body.len();
            return Some(json!({ "status": status, "contentType": kind, "bytes": bytes }));
        };
        Some(self.fitted(status, &data))
    }

    fn fitted(&self, status: u16, data: &Value) -> Value {
        let fits = |data: &Value| data.to_string().len() <= self.most_bytes;
        if fits(data) {
            return json!({ "status": status, "data": data });
        }
        for (items, characters) in CUTS {
            let data = cut(data, items, characters);
            if fits(&data) {
                return json!({ "status": status, "truncated": true, "data": data });
            }
        }
        json!({ "status": status, "truncated": true })
    }
}

fn pick(value: Value, kept: &Kept) -> Value {
    if kept.0.is_empty() {
        return value;
    }
    match value {
        Value::Array(items) => items.into_iter().map(|item| pick(item, kept)).collect(),
        Value::Object(mut members) => {
            let mut picked = Map::new();
            for (name, kept) in &kept.0 {
                if let Some(value) = members.remove(name) {
                    picked.insert(name.clone(), pick(value, kept));
                }
            }
            picked.into()
        }
        // A member that should have had members, and has none of those that are kept.
        _ => Value::Null,
    }
}

fn cut(value: &Value, items: usize, characters: usize) -> Value {
    match value {
        Value::String(text) if text.chars().count() > characters => {
            let mut text: String = text.chars().take(characters).collect();
            text.push('…');
            text.into()
        }
        Value::Array(all) => all
            .iter()
            .take(items)
            .map(|item| cut(item, items, characters))
            .collect(),
        Value::Object(members) => members
            .iter()
            .take(items.saturating_mul(MEMBERS_PER_ITEM))
            .map(|(name, value)| (name.clone(), cut(value, items, characters)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}
