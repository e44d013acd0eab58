//! How values travel through Handlebars: as text with marks for what a plain string cannot tell.
//!
//! Handlebars knows strings only. A mark says that a value is a number, a hash, or secret, and, once it is written, where it
//! begins and ends, so that a value outside quotes in JSON can be checked and a secret stays masked. The mark is a character
//! that Unicode keeps for such internal use; where a value holds it, it is escaped, so no value can forge a mark.
//!
//! Refuses: leaving this room. [`finish`] takes every mark out again.

use serde_json::Value as Json;

use crate::model::secret::Text;
use crate::model::template::{BodyContext, Place};
use crate::rules::escape;
use crate::rules::render::Refusal;

/// U+FDD0, a noncharacter; a body file may not hold it.
pub const MARK: char = '\u{fdd0}';

const ITSELF: char = '0';
const NUMBER: char = 'N';
const DIGEST: char = 'H';
const SECRET_START: char = 'S';
const SECRET_END: char = 'E';
const VALUE_START: char = 'V';
const JSON_START: char = 'J';
const VALUE_END: char = 'W';

/// What a value is beside its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Text,
    Number,
    /// A hash, in hex.
    Digest,
}

/// A value as a helper sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    pub text: String,
    pub kind: Kind,
    pub secret: bool,
}

impl Marked {
    /// As a string for Handlebars.
    pub fn encode(&self) -> String {
        let mut out = String::with_capacity(self.text.len() + 8);
        match self.kind {
            Kind::Text => {}
            Kind::Number => out.extend([MARK, NUMBER]),
            Kind::Digest => out.extend([MARK, DIGEST]),
        }
        wrapped(&mut out, self.secret, &self.text);
        out
    }

    /// What a string of Handlebars says.
    pub fn decode(encoded: &str) -> Self {
        let mut out = Self::default();
        let mut rest = encoded;
        while let Some(at) = rest.find(MARK) {
            out.text.push_str(&rest[..at]);
            let mut after = rest[at + MARK.len_utf8()..].chars();
            match after.next() {
                Some(ITSELF) => out.text.push(MARK),
                Some(NUMBER) => out.kind = Kind::Number,
                Some(DIGEST) => out.kind = Kind::Digest,
                Some(SECRET_START | SECRET_END) => out.secret = true,
                _ => {}
            }
            rest = after.as_str();
        }
        out.text.push_str(rest);
        out
    }

    /// What a value of Handlebars says: scalars by their text, lists and objects as JSON; `None` where there is nothing.
    pub fn of(value: &Json) -> Option<Self> {
        let found = match value {
            Json::Null => return None,
            Json::String(encoded) => Self::decode(encoded),
            Json::Number(number) => Self { text: number.to_string(), kind: Kind::Number, secret: false },
            Json::Bool(b) => Self { text: b.to_string(), ..Self::default() },
            Json::Array(_) | Json::Object(_) => Self { text: json(value), ..Self::default() },
        };
        (!found.text.is_empty()).then_some(found)
    }
}

fn wrapped(out: &mut String, secret: bool, text: &str) {
    if secret {
        out.extend([MARK, SECRET_START]);
    }
    for (nth, piece) in text.split(MARK).enumerate() {
        if nth != 0 {
            out.extend([MARK, ITSELF]);
        }
        out.push_str(piece);
    }
    if secret {
        out.extend([MARK, SECRET_END]);
    }
}

/// A value of Handlebars as JSON, numbers as they were sent.
pub fn json(value: &Json) -> String {
    let mut out = String::new();
    write_json(&mut out, value);
    out
}

fn write_json(out: &mut String, value: &Json) {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) => out.push_str(&value.to_string()),
        Json::String(encoded) => {
            let marked = Marked::decode(encoded);
            if marked.kind == Kind::Number {
                out.push_str(&marked.text);
            } else {
                crate::json::write_string(out, &marked.text);
            }
        }
        Json::Array(elements) => {
            out.push('[');
            for (nth, element) in elements.iter().enumerate() {
                if nth != 0 {
                    out.push(',');
                }
                write_json(out, element);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (nth, (name, member)) in members.iter().enumerate() {
                if nth != 0 {
                    out.push(',');
                }
                crate::json::write_string(out, name);
                out.push(':');
                write_json(out, member);
            }
            out.push('}');
        }
    }
}

/// The place that values stand in.
pub fn place(context: BodyContext) -> Place {
    match context {
        BodyContext::Json => Place::JsonString,
        BodyContext::Form => Place::Form,
        BodyContext::Xml | BodyContext::Html => Place::Html,
        BodyContext::Text => Place::PlainText,
    }
}

/// A value as it is written into the body: escaped for the context, its end and its secrecy marked.
pub fn escaped(context: BodyContext, value: &Marked) -> String {
    let text = escape::escaped(place(context), &value.text).expect("only headers refuse values");
    let mut out = String::with_capacity(text.len() + 16);
    out.extend([MARK, VALUE_START]);
    wrapped(&mut out, value.secret, &text);
    out.extend([MARK, VALUE_END]);
    out
}

/// A value of its own type, as it is written into a JSON body.
pub fn typed(value: &Marked) -> String {
    let mut out = String::with_capacity(value.text.len() + 16);
    out.extend([MARK, JSON_START]);
    wrapped(&mut out, value.secret, &value.text);
    out.extend([MARK, VALUE_END]);
    out
}

/// A value as it is written into the body without escaping.
pub fn raw(value: &Marked) -> String {
    let mut out = String::with_capacity(value.text.len() + 8);
    wrapped(&mut out, value.secret, &value.text);
    out
}

/// The body without marks, its secrets masked.
///
/// # Errors
/// In JSON, a value outside quotes that is neither number nor `true`, `false` or `null`, or `json` within quotes.
pub fn finish(context: BodyContext, written: &str) -> Result<Text, Refusal> {
    let mut out = Text::with_capacity(written.len());
    let mut lexer = Lexer::default();
    let mut secret = false;
    let mut value_at = None;
    let mut typed = false;
    let mut rest = written;
    loop {
        let at = rest.find(MARK).unwrap_or(rest.len());
        let (piece, marked) = rest.split_at(at);
        if secret {
            out.push_secret(piece)
        } else {
            out.push(piece)
        }
        if value_at.is_none() && context == BodyContext::Json {
            lexer.read(piece);
        }
        let Some(after) = marked.strip_prefix(MARK) else { break };
        let mut after = after.chars();
        match after.next() {
            Some(ITSELF) if secret => out.push_secret("\u{fdd0}"),
            Some(ITSELF) => out.push("\u{fdd0}"),
            Some(SECRET_START) => secret = true,
            Some(SECRET_END) => secret = false,
            Some(kind @ (VALUE_START | JSON_START)) => {
                value_at = Some(out.len());
                typed = kind == JSON_START;
            }
            Some(VALUE_END) => {
                let start = value_at.take().unwrap_or(out.len());
                if context == BodyContext::Json {
                    check_json(typed, lexer.in_string, &out.reveal()[start..])?;
                }
            }
            _ => {}
        }
        rest = after.as_str();
    }
    Ok(out)
}

/// Whether a value may stand where it does in a JSON body.
fn check_json(typed: bool, in_string: bool, text: &str) -> Result<(), Refusal> {
    match (typed, in_string) {
        (true, true) => Err(Refusal::failed("`json` stands inside quotes; remove the quotes, or the `json`")),
        (false, false) if !is_scalar(text) => Err(Refusal::failed(
            "a value that is no number stands outside quotes; put it in quotes, or write `{{json …}}`",
        )),
        _ => Ok(()),
    }
}

fn is_scalar(text: &str) -> bool {
    matches!(text, "true" | "false" | "null")
        || (text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
            && serde_json::from_str::<serde_json::Number>(text).is_ok())
}

/// Whether the author's own JSON is inside a string.
#[derive(Default)]
struct Lexer {
    in_string: bool,
    escaped: bool,
}

impl Lexer {
    fn read(&mut self, piece: &str) {
        for b in piece.bytes() {
            match b {
                _ if std::mem::take(&mut self.escaped) => {}
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn marks_come_off_again(text: String, secret: bool, number: bool) {
            let kind = if number { Kind::Number } else { Kind::Text };
            let value = Marked { text: format!("{text}{MARK}S{text}"), kind, secret };
            prop_assert_eq!(&Marked::decode(&value.encode()), &value);
            let made = finish(BodyContext::Text, &escaped(BodyContext::Text, &value)).unwrap();
            prop_assert_eq!(made.reveal(), &value.text);
            prop_assert_eq!(&*made.masked(), if secret { "***" } else { &value.text });
        }
    }
}
