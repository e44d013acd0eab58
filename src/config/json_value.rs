//! A YAML node as a JSON value.
//!
//! Refuses: guessing at numbers: `007` is a number to YAML and none to JSON.

use super::context::Context;
use super::node::{Meaning, Node, Tree};
use crate::model::value::Value;

/// The value at `node`, texts substituted. `None`, with notes, if some part is no JSON.
pub fn read(ctx: &Context<'_>, label: &str, node: &Node) -> Option<Value> {
    match &node.tree {
        Tree::Reported => None,
        Tree::List(elements) => {
            // Every element is read before the first that failed counts, so that all mistakes are noted.
            let read: Vec<_> = elements.iter().map(|element| self::read(ctx, label, element)).collect();
            read.into_iter().collect::<Option<Vec<_>>>().map(Value::List)
        }
        Tree::Map(members) => {
            let read: Vec<_> =
                members.iter().map(|m| (m.key.as_ref().into(), self::read(ctx, &m.key, &m.value))).collect();
            let read: Option<Vec<_>> = read.into_iter().map(|(key, value)| Some((key, value?))).collect();
            read.map(Value::Map)
        }
        Tree::Scalar(scalar) => match scalar.meaning() {
            Meaning::Null => Some(Value::Null),
            Meaning::Bool(b) => Some(Value::Bool(b)),
            Meaning::Number(number) => Some(Value::Number(number.into())),
            Meaning::Text(_) => ctx.text(label, node).map(|text| Value::Text(text.text.reveal().into())),
            Meaning::Ambiguous(text) => {
                report_ambiguous(ctx, label, node, text);
                None
            }
        },
    }
}

/// Says that `text` could be meant as a number or as text.
pub fn report_ambiguous(ctx: &Context<'_>, label: &str, node: &Node, text: &str) {
    let message =
        format!("{label}: `{text}` is no JSON number: quote it (\"{text}\") if text is meant, else write it plainly");
    ctx.error(node.at, message);
}
