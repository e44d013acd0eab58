//! A JSON value that keeps its numbers as they were written, so that `99.00` stays `99.00`.
//!
//! Refuses: parsing and printing; that is `crate::json`.

use smol_str::SmolStr;

/// Values under their names, in the order in which they came.
pub type Members = Vec<(SmolStr, Value)>;

/// A value from outside. Numbers keep their source text; maps keep their order. Most names and texts are short, and stand in the value
/// itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Bool(bool),
    /// The number's own text, valid by the JSON grammar.
    Number(SmolStr),
    Text(SmolStr),
    List(Vec<Value>),
    Map(Members),
}

impl Value {
    /// The member `key` of a map, or the element of that number (from 0) of a list.
    pub fn member(&self, key: &str) -> Option<&Value> {
        match self {
            Self::Map(members) => members.iter().find(|(name, _)| &**name == key).map(|(_, value)| value),
            Self::List(elements) => elements.get(key.parse::<usize>().ok()?),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => None,
        }
    }

    /// The text of a scalar: a string itself, a number as written, `true` or `false`. `None` for null, lists and maps.
    pub fn scalar(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            Self::Bool(true) => Some("true"),
            Self::Bool(false) => Some("false"),
            Self::Null | Self::List(_) | Self::Map(_) => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}
