//! JSON that means one thing: duplicate members are refused. Parsers disagree on which of two wins, and an
//! attacker chooses the parser that suits him (RFC 8725 section 2.4 and RFC 7515 section 4).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Not JSON, or a member is repeated.
#[derive(Debug, thiserror::Error)]
#[error("not JSON, or a member is repeated: {0}")]
pub struct StrictJsonError(#[from] serde_json::Error);

/// Parses JSON; a member name that occurs twice in one object is an error, at any depth. Nesting is limited
/// to the 128 levels of `serde_json`.
pub fn parse_strict_json(json: &[u8]) -> Result<Value, StrictJsonError> {
    Ok(serde_json::from_slice::<Strict>(json)?.0)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let Strict(value) = members.next_value()?;
            if out.contains_key(&name) {
                return Err(A::Error::custom("repeated member"));
            }
            out.insert(name, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_refused_at_any_depth() {
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"x":[{"a":1,"a":2}]}"#,
            r#"{"a":1,"\u0061":2}"#,
        ] {
            assert!(parse_strict_json(json.as_bytes()).is_err(), "{json}");
        }
        for json in ["", "{} {}", "{\"a\":}", "nul", &"[".repeat(200)] {
            assert!(parse_strict_json(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn all_other_json_reads_as_usual() {
        let json = r#"{"s":"ä\u0000","n":[null,true,-1,18446744073709551615,1.5],"o":{"a":{"a":1}}}"#;
        let plain: Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(parse_strict_json(json.as_bytes()).expect("strict JSON"), plain);
    }
}
