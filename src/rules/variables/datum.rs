//! A value as it was found, its type kept until a place decides how to write it.
//!
//! Refuses: escaping.

use std::borrow::Cow;

use crate::json;
use crate::model::secret::Text;
use crate::model::value::Value;

/// A value that was found, never an empty text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datum<'a> {
    Text(Cow<'a, str>),
    /// A number in its own text.
    Number(Cow<'a, str>),
    Bool(bool),
    /// A list or an object.
    Tree(&'a Value),
    /// The items.
    Items(&'a [Value]),
    /// A setting, which may be secret.
    Setting(&'a Text),
    /// A text of the connector's own, which may hold what is secret.
    Made(Text),
}

impl<'a> Datum<'a> {
    /// As text: scalars as they are, lists and objects as JSON.
    pub fn text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) | Self::Number(text) => text,
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Tree(value) => Cow::Owned(json::to_string(value)),
            Self::Items(items) => {
                let mut out = String::new();
                write_items(&mut out, items);
                Cow::Owned(out)
            }
            Self::Setting(text) => Cow::Borrowed(text.reveal()),
            Self::Made(text) => Cow::Owned(text.reveal().to_owned()),
        }
    }

    /// Whether it must never be shown.
    pub fn is_secret(&self) -> bool {
        match self {
            Self::Setting(text) => text.is_tainted(),
            Self::Made(text) => text.is_tainted(),
            Self::Text(_) | Self::Number(_) | Self::Bool(_) | Self::Tree(_) | Self::Items(_) => false,
        }
    }

    /// As JSON of its own type.
    pub fn json(&self) -> String {
        let mut out = String::new();
        match self {
            Self::Text(text) => json::write_string(&mut out, text),
            Self::Number(text) => out.push_str(text),
            Self::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Self::Tree(value) => json::write(&mut out, value),
            Self::Items(items) => write_items(&mut out, items),
            Self::Setting(text) => json::write_string(&mut out, text.reveal()),
            Self::Made(text) => json::write_string(&mut out, text.reveal()),
        }
        out
    }
}

fn write_items(out: &mut String, items: &[Value]) {
    out.push('[');
    for (nth, item) in items.iter().enumerate() {
        if nth != 0 {
            out.push(',');
        }
        json::write(out, item);
    }
    out.push(']');
}
