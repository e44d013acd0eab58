//! Body files: Handlebars templates with the standard variables, the filters as helpers, and `<<NAME|filter>>` too.
//!
//! Numbers are texts here, so that `99.00` stays `99.00`; `{{#if X}}` asks whether there is a value (or `true`). A value
//! outside quotes in a `.json.hbs` must be a number, `true`, `false` or `null`; `{{json X}}` writes any value with its type. In a
//! `.form.hbs` line breaks are for the author and are not sent. Secret settings stay masked through every filter; what is
//! compared or looped over is not shown, so it needs no mask.
//!
//! Refuses: what an event could abuse. Partials and decorators, deep nesting and endless output are refused, and no value is
//! ever read as a template.

mod check;
mod helpers;
mod marks;
mod scan;

use std::io;

use handlebars::{Context, Handlebars, RenderError, RenderErrorReason, Template};
use serde_json::{Map, Value as Json, json};

use crate::model::delivery::Reason;
use crate::model::secret::Text;
use crate::model::template::{BodyContext, BodyFile, CompiledBody, Expression, Output, Slot, TemplateError};
use crate::model::value::Value;

use super::filter::Surroundings;
use super::render::{BODY_MAX, Refusal, evaluate};
use super::template::{Compiled, Notes};
use super::variables::{Datum, RenderContext, lookup};

use self::check::{Check, Root};
use self::helpers::Refused;
use self::marks::{Kind, Marked};

/// The name under which a registry knows its one template.
const NAME: &str = "body";

/// The extensions of body files and what they choose.
pub const EXTENSIONS: &[(&str, BodyContext)] = &[
    (".json.hbs", BodyContext::Json),
    (".form.hbs", BodyContext::Form),
    (".xml.hbs", BodyContext::Xml),
    (".html.hbs", BodyContext::Html),
    (".txt.hbs", BodyContext::Text),
];

/// A body file, ready to render.
#[derive(Debug)]
struct Ready {
    registry: Handlebars<'static>,
    /// Shorter paths first, so that a whole is there before its parts are asked for.
    roots: Vec<Root>,
    expressions: Vec<Expression>,
    keys: Vec<Box<str>>,
}

impl CompiledBody for Ready {
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// Compiles the body file called `name`, whose extension chooses its escaping.
///
/// # Errors
/// Every mistake in it; offsets count within `source`, and are near where Handlebars itself reports one.
pub fn compile(name: &str, source: &str) -> Result<Compiled<BodyFile>, Vec<TemplateError>> {
    let Some((_, context)) = EXTENSIONS.iter().find(|(extension, _)| name.ends_with(extension)) else {
        let known = EXTENSIONS.iter().map(|(extension, _)| *extension).collect::<Vec<_>>().join(", ");
        let message = format!("`{name}` does not say what it holds; name it with one of {known}");
        return Err(vec![TemplateError { offset: 0, message }]);
    };
    let mut notes = Notes::default();
    let scanned = scan::scan(source, &mut notes);
    if !notes.errors.is_empty() {
        return Err(notes.errors);
    }
    let lines: Vec<usize> = std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect();
    let mut template = Template::compile(&scanned.source).map_err(|e| {
        let offset = e.pos().map_or(0, |(line, column)| {
            lines.get(line.saturating_sub(1)).map_or(0, |start| start + column.saturating_sub(1))
        });
        vec![TemplateError { offset, message: format!("Handlebars can't read it: {}", e.reason()) }]
    })?;
    let mut check =
        Check { context: *context, notes: &mut notes, roots: Vec::new(), keys: Vec::new(), offset: 0, lines };
    check.template(&mut template, 0);
    let (mut roots, mut keys) = (check.roots, check.keys);
    roots.sort_by_key(|root| root.path.len());
    notes.slots.extend(keys.iter().map(|key| (0, Slot::Setting(key.clone()))));
    keys.sort();
    keys.dedup();
    let mut registry = Handlebars::new();
    helpers::register(&mut registry, *context);
    registry.register_template(NAME, template);
    let compiled = Box::new(Ready { registry, roots, expressions: scanned.expressions, keys });
    notes.finish(BodyFile { name: name.into(), context: *context, compiled })
}

/// Renders a body file.
///
/// # Errors
/// A required value is missing, a limit, or a `.json.hbs` that gives no JSON.
pub fn render(file: &BodyFile, ctx: &RenderContext<'_>) -> Result<Text, Refusal> {
    let at = |refusal: Refusal| refusal.at(|| file.name.to_string());
    let Some(ready) = file.compiled.as_any().downcast_ref::<Ready>() else {
        return Err(at(Refusal::failed("it was not compiled by this program")));
    };
    let data = ready.data(file.context, ctx);
    let context = Context::wraps(data).map_err(|_| at(Refusal::failed("its data can't be written")))?;
    let mut out = Capped(Vec::new());
    helpers::begin();
    ready.registry.render_with_context_to_write(NAME, &context, &mut out).map_err(|e| at(refusal(&e)))?;
    let written = String::from_utf8(out.0).map_err(|_| at(Refusal::failed("it is no UTF-8")))?;
    let text = marks::finish(file.context, &written).map_err(at)?;
    if file.context == BodyContext::Json
        && let Err(e) = serde_json::from_str::<serde::de::IgnoredAny>(text.reveal())
    {
        return Err(at(Refusal::failed(format!("the result is no JSON at line {} column {}", e.line(), e.column()))));
    }
    Ok(text)
}

impl Ready {
    fn data(&self, context: BodyContext, ctx: &RenderContext<'_>) -> Json {
        let mut data = Map::new();
        for root in &self.roots {
            put(&mut data, &root.path, lookup(&root.slot, ctx).map_or(Json::Null, |datum| of_datum(&datum)));
        }
        let settings = self.keys.iter().filter_map(|key| {
            let value = ctx.connector.setting(key)?;
            Some((key.to_string(), json!({"value": value.reveal(), "secret": value.is_tainted()})))
        });
        let around = json!({
            "country": Surroundings::country(ctx),
            "currency": Surroundings::currency(ctx),
            "settings": settings.collect::<Map<_, _>>(),
        });
        data.insert(helpers::AROUND.to_owned(), around);
        let slots = self.expressions.iter().map(|expression| of_expression(expression, context, ctx)).collect();
        data.insert(helpers::SLOTS.to_owned(), Json::Array(slots));
        Json::Object(data)
    }
}

/// Puts a value at a path; what a shorter path has put there already holds it.
fn put(data: &mut Map<String, Json>, path: &[String], value: Json) {
    let Some((first, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        data.insert(first.clone(), value);
        return;
    }
    let inner = data.entry(first.clone()).or_insert_with(|| Json::Object(Map::new()));
    if let Json::Object(inner) = inner
        && (rest.len() != 1 || !inner.contains_key(&rest[0]))
    {
        put(inner, rest, value);
    }
}

fn of_datum(datum: &Datum<'_>) -> Json {
    let encoded = |text: &str, kind, secret| Json::String(Marked { text: text.to_owned(), kind, secret }.encode());
    match datum {
        Datum::Text(text) => encoded(text, Kind::Text, false),
        Datum::Number(text) => encoded(text, Kind::Number, false),
        Datum::Bool(b) => Json::Bool(*b),
        Datum::Tree(value) => of_value(value),
        Datum::Items(items) => Json::Array(items.iter().map(of_value).collect()),
        Datum::Made(text) => encoded(text.reveal(), Kind::Text, text.is_tainted()),
        Datum::Setting(text) => encoded(text.reveal(), Kind::Text, text.is_tainted()),
    }
}

fn of_value(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(b) => Json::Bool(*b),
        Value::Number(text) => of_datum(&Datum::Number((&**text).into())),
        Value::Text(text) => of_datum(&Datum::Text((&**text).into())),
        Value::List(elements) => Json::Array(elements.iter().map(of_value).collect()),
        Value::Map(members) => Json::Object(members.iter().map(|(k, v)| (k.to_string(), of_value(v))).collect()),
    }
}

/// The nth `<<…>>`: its value, or why there is none, which counts only where it is written.
fn of_expression(expression: &Expression, context: BodyContext, ctx: &RenderContext<'_>) -> Json {
    match evaluate(expression, ctx) {
        Ok(given) => {
            let text = given.value.unwrap_or_default().into_owned();
            let typed = context == BodyContext::Json && expression.output == Output::Json;
            let kind = if expression.output == Output::Number { Kind::Number } else { Kind::Text };
            let value = Marked { text, kind, secret: given.secret }.encode();
            json!({"value": value, "raw": expression.raw, "typed": typed})
        }
        Err(refusal) if refusal.reason == Reason::MissingVariable => json!({"missing": refusal.detail}),
        Err(refusal) => json!({"failed": refusal.detail}),
    }
}

/// What stopped Handlebars, without any value.
fn refusal(error: &RenderError) -> Refusal {
    match error.reason() {
        RenderErrorReason::NestedError(inner) => match inner.downcast_ref::<Refused>() {
            Some(Refused(refusal)) => refusal.clone(),
            None => Refusal::failed("a helper failed"),
        },
        RenderErrorReason::IOError(_) => Refusal::failed(format!("more than {BODY_MAX} bytes, or too many pieces")),
        _ => Refusal::failed(match error.line_no {
            Some(line) => format!("line {line} can't be rendered"),
            None => "it can't be rendered".to_owned(),
        }),
    }
}

/// A writer that stops. Marks take room too, so it allows twice a body; the exact limit is checked when they are off.
struct Capped(Vec<u8>);

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if 2 * BODY_MAX < self.0.len() + bytes.len() || !helpers::may_go_on() {
            return Err(io::Error::other("too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
