//! Templates, read: `<<NAME|filter:arg>>` (or `{{NAME}}`) in a text becomes literals and slots, and every mistake a message.
//!
//! A `<<` or `{{` always starts an expression; the characters themselves are written `\<<` and `\{{`. Only what the author
//! wrote is read: parts that came from `${ENV}` are literals, whatever they hold.
//!
//! Refuses: values. Nothing that an event holds is ever read as a template.

mod expression;
mod json;
mod tokens;
mod url;

pub(super) use self::expression::{OPEN, slot};
pub use self::json::compile_json;
pub(super) use self::tokens::{Token, expression_at, read};
pub use self::url::compile_url;

use crate::model::filter::Filter;
use crate::model::secret::Text;
use crate::model::template::{Expression, Output, Segment, Slot, Template, TemplateError};

pub use crate::model::template::{JsonSource, Place};

use super::escape;

/// A template with what else is to be said of it.
#[derive(Clone, Debug, Default)]
pub struct Compiled<T> {
    pub template: T,
    /// What is probably a mistake, though it can be used.
    pub warnings: Vec<TemplateError>,
    /// Every slot it asks for and where; a setting that keys a hash is among them. So that the configuration can check
    /// that settings exist and that `ITEM.x` stands in a connector with `for_each`.
    pub slots: Vec<(usize, Slot)>,
}

/// What a compilation collects on its way.
#[derive(Default)]
pub(super) struct Notes {
    pub warnings: Vec<TemplateError>,
    pub errors: Vec<TemplateError>,
    pub slots: Vec<(usize, Slot)>,
}

impl Notes {
    pub fn error(&mut self, offset: usize, message: impl Into<String>) {
        self.errors.push(TemplateError { offset, message: message.into() });
    }

    pub fn warn(&mut self, offset: usize, message: impl Into<String>) {
        self.warnings.push(TemplateError { offset, message: message.into() });
    }

    pub fn finish<T>(self, template: T) -> Result<Compiled<T>, Vec<TemplateError>> {
        if self.errors.is_empty() {
            Ok(Compiled { template, warnings: self.warnings, slots: self.slots })
        } else {
            Err(self.errors)
        }
    }
}

/// Reads `text` for `place`.
///
/// # Errors
/// Every mistake in it.
pub fn compile(text: &Text, place: Place) -> Result<Compiled<Template>, Vec<TemplateError>> {
    let mut notes = Notes::default();
    let tokens = read(text, &mut notes);
    let template = template(tokens, place, Literals::Plain, &mut notes);
    notes.finish(template)
}

/// Reads the name of a parameter or a header, or a key of a JSON object, where no slot may stand: only `\<<` and `\{{` mean
/// something.
///
/// # Errors
/// It holds a slot, or a mark that is not closed.
pub fn compile_name(text: &Text) -> Result<Text, Vec<TemplateError>> {
    let mut notes = Notes::default();
    let name = name(text, &mut notes);
    notes.finish(name).map(|compiled| compiled.template)
}

fn name(text: &Text, notes: &mut Notes) -> Text {
    let mut out = Text::default();
    for token in read(text, notes) {
        match token {
            Token::Literal { text, .. } => out.append(&text),
            Token::Expression { offset, expression } => notes.error(
                offset,
                format!("`{}` stands in a name, but no event may name anything; write the name out", expression.slot),
            ),
        }
    }
    out
}

/// Reads a bare variable name, as `when.variable` and `deduplicate.by` hold it.
///
/// # Errors
/// It is no name.
pub fn compile_slot(name: &str) -> Result<Compiled<Slot>, TemplateError> {
    let mut notes = Notes::default();
    let bare = name.trim();
    let marked = [("<<", ">>"), ("{{", "}}")]
        .iter()
        .find_map(|(open, close)| bare.strip_prefix(open)?.strip_suffix(close))
        .map(str::trim);
    if let Some(inside) = marked {
        let message = format!("a variable is named without marks here; write `{inside}` instead of `{bare}`");
        return Err(TemplateError { offset: 0, message });
    }
    let slot = expression::slot(bare, 0, &mut notes).map_err(|message| TemplateError { offset: 0, message })?;
    Ok(Compiled { slots: vec![(0, slot.clone())], template: slot, warnings: notes.warnings })
}

/// Whether literals are plain text, or an author's part of a URL, which keeps its own percent-encoding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literals {
    Plain,
    Url,
}

/// Tokens as a template for `place`, its literals escaped.
fn template(tokens: Vec<Token>, place: Place, literals: Literals, notes: &mut Notes) -> Template {
    let alone = tokens.len() == 1;
    let mut segments = Vec::with_capacity(tokens.len());
    for token in tokens {
        match token {
            Token::Literal { offset, text } => match escape::literal(place, literals == Literals::Url, &text) {
                Ok(text) => segments.push(Segment::Literal(text)),
                Err(_) => {
                    notes.error(offset, "a header can't hold a line break or another control character; remove it")
                }
            },
            Token::Expression { offset, expression } => {
                check_place(&expression, place, alone, offset, notes);
                segments.push(Segment::Expression(expression));
            }
        }
    }
    Template { place, segments }
}

/// What an expression may not do in its place.
fn check_place(expression: &Expression, place: Place, alone: bool, offset: usize, notes: &mut Notes) {
    if place == Place::Header && expression.raw {
        notes.error(
            offset,
            format!("`{}|raw` stands in a header, where nothing goes unchecked; remove `|raw`", expression.slot),
        );
    }
    if place == Place::JsonString && !alone && expression.output != Output::Text {
        let name = if expression.output == Output::Number { "number" } else { "json" };
        notes.error(
            offset,
            format!(
                "`|{name}` gives a value of its own, so its expression must be the whole text; remove `|{name}`, or \
                     the text around `{}`",
                expression.slot
            ),
        );
    }
}

/// The settings that the filters of an expression are keyed by.
pub(super) fn keys(filters: &[Filter]) -> impl Iterator<Item = &str> {
    filters.iter().filter_map(|filter| match filter {
        Filter::HmacSha256(name) => Some(&**name),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
