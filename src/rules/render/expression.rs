//! Expressions and texts, evaluated: a slot's value through its filters, then written for its place.
//!
//! Refuses: reading what it writes. A value that looks like a template is a value.

use std::borrow::Cow;

use crate::json;
use crate::model::filter::Filter;
use crate::model::secret::Text;
use crate::model::template::{Expression, Missing, Output, Segment, Slot, Template};
use crate::rules::escape;
use crate::rules::filter;
use crate::rules::template::keys;
use crate::rules::variables::{Datum, RenderContext, lookup, own_value};

use super::{BODY_MAX, Refusal};

/// What an expression gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<'a> {
    /// `None`: no value. Written as its `output` asks: for `json`, JSON; for `number`, a number by the JSON grammar.
    pub value: Option<Cow<'a, str>>,
    /// Made from a secret setting.
    pub secret: bool,
}

/// The value of an expression, not yet escaped.
///
/// # Errors
/// It is required and missing, or a filter gave up.
pub fn evaluate<'a>(expression: &'a Expression, ctx: &'a RenderContext<'a>) -> Result<Given<'a>, Refusal> {
    let found = match &expression.slot {
        Slot::Value(name) => own_value(name, ctx).map_err(|e| e.at(|| expression.slot.to_string()))?,
        slot => lookup(slot, ctx),
    };
    let keyed = || keys(&expression.filters).any(|k| ctx.connector.setting(k).is_some_and(Text::is_tainted));
    let secret = found.as_ref().is_some_and(Datum::is_secret) || keyed();
    let untouched = expression.filters.iter().all(|f| matches!(f, Filter::Default(_)));
    let value = match (expression.output, found) {
        (Output::Json, Some(datum)) if untouched => Some(Cow::Owned(datum.json())),
        (output, found) => {
            let instead = found.is_none();
            let text = filter::apply(&expression.filters, found.map(Datum::text), ctx)
                .map_err(|e| Refusal::failed(format!("{}: {e}", expression.slot)))?;
            match output {
                Output::Text => text,
                Output::Number => text.and_then(|text| filter::number(&text).map(Cow::Owned)),
                // The author's own words may be JSON already: `default:[]`.
                Output::Json if instead && text.as_ref().is_some_and(|t| json::parse(t).is_ok()) => text,
                Output::Json => text.map(|text| Cow::Owned(Datum::Text(text).json())),
            }
        }
    };
    if value.is_none() && expression.missing == Missing::Required {
        return Err(Refusal::missing(format!("{} has no value", expression.slot)));
    }
    Ok(Given { value, secret })
}

/// Appends a text, escaped for its place. Says whether it is to be kept although empty.
pub(super) fn write(template: &Template, ctx: &RenderContext<'_>, out: &mut Text) -> Result<bool, Refusal> {
    let mut kept = false;
    for segment in &template.segments {
        match segment {
            Segment::Literal(text) => out.append(text),
            Segment::Expression(expression) => {
                kept |= expression.missing == Missing::Keep;
                let given = evaluate(expression, ctx)?;
                if let Some(value) = given.value {
                    escape::push(out, template.place, expression.raw, &value, given.secret)
                        .map_err(|e| Refusal::failed(format!("{}: {e}", expression.slot)))?;
                }
                if BODY_MAX < out.len() {
                    return Err(Refusal::failed(format!("{}: more than {BODY_MAX} bytes", expression.slot)));
                }
            }
        }
    }
    Ok(kept)
}

/// The slots of a text, for messages.
pub(super) fn names(template: &Template) -> String {
    let mut out = String::new();
    for segment in &template.segments {
        if let Segment::Expression(expression) = segment {
            if !out.is_empty() {
                out.push_str(", ");
            }
            out.push_str(&expression.slot.to_string());
        }
    }
    out
}
