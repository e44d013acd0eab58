//! JSON text to [`Value`] and back, numbers kept as written.
//!
//! Refuses: types of its own. The parsing is `serde_json`'s; what is ours is that a number keeps its text (`99.00`), that
//! depth is bounded, and that a key written twice is an error rather than a guess.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::value::Value;

/// Levels of nesting that an event may have (SPEC section 13).
pub const DEPTH_MAX: usize = 32;

/// Why a text is no acceptable JSON. The message names the place and never quotes a value.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

/// Parses one value of at most [`DEPTH_MAX`] levels.
///
/// # Errors
/// Malformed JSON, a repeated key, or too deep.
pub fn parse(text: &str) -> Result<Value, JsonError> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|e| JsonError(e.to_string()))?;
    value(raw, DEPTH_MAX)
}

/// The members of one JSON object, each unparsed.
///
/// # Errors
/// Malformed JSON, not an object, or a repeated key.
pub fn members(text: &str) -> Result<Vec<(Cow<'_, str>, &RawValue)>, JsonError> {
    starts_with(text, '{', "an object")?;
    let mut parser = serde_json::Deserializer::from_str(text);
    let found = parser.deserialize_map(Members).map_err(|e| JsonError(e.to_string()))?;
    parser.end().map_err(|e| JsonError(e.to_string()))?;
    Ok(found)
}

/// The elements of one JSON array, each unparsed.
///
/// # Errors
/// Malformed JSON or not an array.
pub fn elements(text: &str) -> Result<Vec<&RawValue>, JsonError> {
    starts_with(text, '[', "a list")?;
    let mut parser = serde_json::Deserializer::from_str(text);
    let found = parser.deserialize_seq(Elements).map_err(|e| JsonError(e.to_string()))?;
    parser.end().map_err(|e| JsonError(e.to_string()))?;
    Ok(found)
}

/// The parser would quote what stands there instead.
fn starts_with(text: &str, bracket: char, wanted: &str) -> Result<(), JsonError> {
    if text.trim_start().starts_with(bracket) { Ok(()) } else { Err(JsonError(format!("it is not {wanted}"))) }
}

/// One unparsed value of at most `depth` further levels.
///
/// # Errors
/// A repeated key, or too deep.
pub fn value(raw: &RawValue, depth: usize) -> Result<Value, JsonError> {
    let text = raw.get();
    let too_deep = || JsonError(format!("nested deeper than {DEPTH_MAX} levels"));
    match text.as_bytes().first() {
        Some(b'n') => Ok(Value::Null),
        Some(b't') => Ok(Value::Bool(true)),
        Some(b'f') => Ok(Value::Bool(false)),
        Some(b'"') => {
            let text: Cow<'_, str> = string(text)?;
            Ok(Value::Text(text.into()))
        }
        Some(b'[') => {
            let inner = depth.checked_sub(1).ok_or_else(too_deep)?;
            Ok(Value::List(elements(text)?.into_iter().map(|e| value(e, inner)).collect::<Result<_, _>>()?))
        }
        Some(b'{') => {
            let inner = depth.checked_sub(1).ok_or_else(too_deep)?;
            let members = members(text)?.into_iter();
            Ok(Value::Map(members.map(|(k, v)| Ok((k.into(), value(v, inner)?))).collect::<Result<_, JsonError>>()?))
        }
        _ => Ok(Value::Number(text.into())),
    }
}

/// Appends `value` as compact JSON.
pub fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(text) => out.push_str(text),
        Value::Text(text) => write_string(out, text),
        Value::List(elements) => {
            out.push('[');
            for (i, element) in elements.iter().enumerate() {
                if i != 0 {
                    out.push(',');
                }
                write(out, element);
            }
            out.push(']');
        }
        Value::Map(members) => {
            out.push('{');
            for (i, (key, member)) in members.iter().enumerate() {
                if i != 0 {
                    out.push(',');
                }
                write_string(out, key);
                out.push(':');
                write(out, member);
            }
            out.push('}');
        }
    }
}

/// `value` as compact JSON.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

/// Appends `text` as a JSON string, quotes included.
pub fn write_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => write!(out, "\\u{control:04x}").expect("a String takes all that is written"),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

fn string(text: &str) -> Result<Cow<'_, str>, JsonError> {
    // Cow's own Deserialize always copies; this borrows where nothing is escaped.
    if let Some(plain) = text.get(1..text.len() - 1).filter(|plain| !plain.contains('\\')) {
        return Ok(Cow::Borrowed(plain));
    }
    serde_json::from_str::<String>(text).map(Cow::Owned).map_err(|e| JsonError(e.to_string()))
}

/// Members up to which comparing keys one by one is cheaper than hashing them.
const KEYS_COMPARED_MAX: usize = 64;

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found: Self::Value = Vec::new();
        // Small objects are compared key by key; a hostile one with thousands of keys must not cost their square.
        let mut many: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &RawValue>()? {
            if found.len() == KEYS_COMPARED_MAX {
                many.extend(found.iter().map(|(known, _)| known.clone()));
            }
            let known = if found.len() < KEYS_COMPARED_MAX {
                found.iter().any(|(known, _)| *known == key)
            } else {
                !many.insert(key.clone())
            };
            if known {
                return Err(A::Error::custom("a key is written twice in one object"));
            }
            found.push((key, value));
        }
        Ok(found)
    }
}

/// A key, borrowed where nothing in it is escaped.
struct Key<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(element) = seq.next_element()? {
            found.push(element);
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,6})?".prop_map(|n| Value::Number(n.into())),
            any::<String>().prop_map(|t| Value::Text(t.into())),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|m| Value::Map(m.into_iter().map(|(k, v)| (k.into(), v)).collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any_value()) {
            prop_assert_eq!(parse(&to_string(&value)).unwrap(), value);
        }
    }

    #[test]
    fn a_key_written_twice_is_found_in_objects_of_any_size() {
        for size in [2, 63, 64, 65, 66, 500] {
            let object = |last: usize| {
                let keys = (0..size - 1).chain([last]).map(|i| format!("\"k{i}\":{i}")).collect::<Vec<_>>().join(",");
                format!("{{{keys}}}")
            };
            assert!(parse(&object(size)).is_ok(), "{size}");
            for twice in [0, (size - 2) / 2, size - 2] {
                assert!(parse(&object(twice)).is_err(), "{size}, {twice}");
            }
        }
    }

    #[test]
    fn numbers_keep_their_text_and_mistakes_are_named() {
        assert_eq!(
            to_string(&parse(r#" {"a": [99.00, 1e3], "b":"\u0041"} "#).unwrap()),
            r#"{"a":[99.00,1e3],"b":"A"}"#
        );
        assert!(parse(r#"{"a":1,"a":2}"#).unwrap_err().to_string().contains("twice"));
        assert!(parse(&("[".repeat(40) + &"]".repeat(40))).unwrap_err().to_string().contains("deeper"));
        for text in ["\"secret\"", "true", "7", "[\"secret\"]"] {
            assert!(!members(text).unwrap_err().to_string().contains("secret"));
        }
        assert!(!elements("{\"secret\":1}").unwrap_err().to_string().contains("secret"));
        assert!(parse("[1,]").is_err());
        assert!(parse("{} x").is_err());
    }
}
