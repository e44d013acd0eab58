//! JSON bodies: the tree as the author wrote it, its texts compiled.
//!
//! Refuses: slots in keys, since no event may name a member.

use std::collections::HashSet;

use serde_json::value::RawValue;

use crate::json::DEPTH_MAX;
use crate::model::secret::Text;
use crate::model::template::{JsonSource, JsonTemplate, Place, TemplateError};
use crate::rules::escape;

use super::{Compiled, Literals, Notes, read, template};

/// Reads a JSON body. Each message names the member it speaks of; its offset counts within that member's text.
///
/// # Errors
/// Every mistake in it.
pub fn compile_json(value: &JsonSource) -> Result<Compiled<JsonTemplate>, Vec<TemplateError>> {
    let mut notes = Notes::default();
    let tree = node(value, &mut String::new(), DEPTH_MAX, &mut notes);
    notes.finish(tree)
}

fn node(value: &JsonSource, path: &mut String, depth: usize, notes: &mut Notes) -> JsonTemplate {
    match value {
        JsonSource::Null => JsonTemplate::Null,
        JsonSource::Bool(b) => JsonTemplate::Bool(*b),
        JsonSource::Number(text) => {
            let number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
            if !number || serde_json::from_str::<&RawValue>(text).is_err() {
                notes.error(
                    0,
                    format!("{}`{text}` is no number in JSON; write it as JSON does, or in quotes", at(path)),
                );
            }
            JsonTemplate::Number(text.clone())
        }
        JsonSource::Text(text) => named(path, notes, |inner| {
            let tokens = read(text, inner);
            JsonTemplate::Text(template(tokens, Place::JsonString, Literals::Plain, inner))
        }),
        JsonSource::There(there, element) => JsonTemplate::There(*there, Box::new(node(element, path, depth, notes))),
        JsonSource::List(_) | JsonSource::Map(_) if depth == 0 => {
            notes.error(0, format!("{}the body is nested deeper than {DEPTH_MAX} levels", at(path)));
            JsonTemplate::Null
        }
        JsonSource::List(elements) => {
            let elements = elements.iter().enumerate();
            JsonTemplate::List(
                elements.map(|(i, e)| below(path, &format!("[{i}]"), |path| node(e, path, depth - 1, notes))).collect(),
            )
        }
        JsonSource::Map(members) => {
            let mut seen = HashSet::new();
            let mut out = Vec::with_capacity(members.len());
            for (name, member) in members {
                if !seen.insert(name.reveal()) {
                    notes.error(0, format!("{}the key `{}` is written twice", at(path), name.masked()));
                }
                let step = format!("{}{}", if path.is_empty() { "" } else { "." }, name.masked());
                let entry = below(path, &step, |path| (key(name, path, notes), node(member, path, depth - 1, notes)));
                out.push(entry);
            }
            JsonTemplate::Map(out)
        }
    }
}

fn key(name: &Text, path: &str, notes: &mut Notes) -> Text {
    named(path, notes, |inner| {
        let written = super::name(name, inner);
        escape::literal(Place::JsonString, false, &written).expect("every text has a form as a JSON string")
    })
}

fn below<T>(path: &mut String, step: &str, read: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    path.push_str(step);
    let out = read(path);
    path.truncate(length);
    out
}

/// Collects what is said of one text, and names the place.
fn named<T>(path: &str, notes: &mut Notes, read: impl FnOnce(&mut Notes) -> T) -> T {
    let mut inner = Notes::default();
    let out = read(&mut inner);
    let place = at(path);
    let name = |said: TemplateError| TemplateError { offset: said.offset, message: format!("{place}{}", said.message) };
    notes.errors.extend(inner.errors.into_iter().map(name));
    notes.warnings.extend(inner.warnings.into_iter().map(name));
    notes.slots.extend(inner.slots);
    out
}

fn at(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("in `{path}`: ") }
}
