//! One field as it travelled, JSON or plain text, and what it can be read as.
//!
//! Refuses: knowing which field it is.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json;
use crate::model::value::Value;

/// A field's value, not looked at yet.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// From a JSON object.
    Raw(&'a RawValue),
    /// From a query or a form, decoded.
    Text(Cow<'a, str>),
}

/// Why an input cannot be read as what is asked for.
pub(crate) type Unreadable = Cow<'static, str>;

impl<'a> Input<'a> {
    /// A text, a number as written, or `true` / `false`; `None` where it is null or blank.
    pub(crate) fn scalar(&self) -> Result<Option<Cow<'a, str>>, Unreadable> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Raw(raw) => match raw.get().as_bytes().first() {
                Some(b'[' | b'{') => return Err("is a list or an object; send a text or a number".into()),
                _ => match json::value(raw, 0).map_err(|e| Cow::Owned(e.to_string()))? {
                    Value::Text(text) => Cow::Owned(text.into()),
                    Value::Null => return Ok(None),
                    _ => Cow::Borrowed(raw.get()),
                },
            },
        };
        Ok((!text.trim().is_empty()).then_some(text))
    }

    /// JSON as sent, or the JSON that a text holds; `None` where it is null or blank.
    pub(crate) fn json_text(&self) -> Result<Option<Cow<'a, str>>, Unreadable> {
        match self {
            Self::Raw(raw) if raw.get().starts_with(['[', '{']) => Ok(Some(Cow::Borrowed(raw.get()))),
            Self::Raw(_) | Self::Text(_) => self.scalar(),
        }
    }

    /// Anything; `None` where it is null or blank.
    pub(super) fn value(&self, depth: usize) -> Result<Option<Value>, Unreadable> {
        match self {
            Self::Raw(raw) => {
                let value = json::value(raw, depth).map_err(|e| Cow::Owned(e.to_string()))?;
                Ok(present(value))
            }
            Self::Text(text) => Ok((!text.trim().is_empty()).then(|| Value::Text(text.as_ref().into()))),
        }
    }

    /// Whether it is null or blank, going by its looks: a text of escaped blanks is not seen.
    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Self::Raw(raw) => raw.get() == "null" || raw.get().trim_matches('"').trim().is_empty(),
            Self::Text(text) => text.trim().is_empty(),
        }
    }

    /// Bytes of it as sent.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Raw(raw) => raw.get().len(),
            Self::Text(text) => text.len(),
        }
    }
}

/// `value`, unless it is null or a blank text.
pub(super) fn present(value: Value) -> Option<Value> {
    match &value {
        Value::Null => None,
        Value::Text(text) if text.trim().is_empty() => None,
        _ => Some(value),
    }
}
