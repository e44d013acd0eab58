//! One expression: `NAME|filter|filter:arg,"quoted, arg"`.
//!
//! Refuses: guessing at a name in the wrong case; it says which one was meant.

use crate::model::field::Field;
use crate::model::filter::Filter;
use crate::model::spelling::nearest;
use crate::model::template::{Expression, Missing, Output, Slot};
use crate::model::variable::{ALIASES, Variable};

use super::Notes;

/// What takes a name of somebody's own after a dot.
pub const OPEN: [&str; 5] = ["EVENT", "ITEM", "CLICK", "SETTING", "VALUES"];

/// Members of a path such as `EVENT.a.b.c`: as deep as an event may be.
const PATH_MAX: usize = 32;

/// Where the expression that `inside` starts with ends: the first `close` outside quotes.
pub fn end(inside: &str, close: &str) -> Option<usize> {
    let mut quoted = false;
    let mut at = 0;
    // A quote opens only where an argument starts, so that an inch sign in a bare argument is no trap.
    let mut opens = false;
    while at < inside.len() {
        let rest = &inside[at..];
        let c = rest.chars().next()?;
        if quoted && c == '\\' {
            at += 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            continue;
        }
        if !quoted && rest.starts_with(close) {
            return Some(at);
        }
        if c == '"' && (quoted || opens) {
            quoted = !quoted;
        }
        opens = matches!(c, ':' | ',') || (opens && c == ' ');
        at += c.len_utf8();
    }
    None
}

/// Reads what stands between the marks.
///
/// # Errors
/// What is wrong and what to write.
pub fn parse(source: &str, offset: usize, notes: &mut Notes) -> Result<Expression, String> {
    let mut parts = split(source, '|')?.into_iter();
    let name = parts.next().unwrap_or_default().trim();
    let slot = slot(name, offset, notes)?;
    let mut expression =
        Expression { slot, filters: Vec::new(), missing: Missing::LeaveOut, output: Output::Text, raw: false };
    for part in parts {
        let filter = filter(part)?;
        let typed = if expression.output == Output::Number { "number" } else { "json" };
        let changes = !matches!(filter, Filter::Required | Filter::Empty | Filter::Raw | Filter::Default(_));
        if expression.output != Output::Text && changes {
            return Err(format!("`{typed}` must be the last filter; put `{}` before it", filter.name()));
        }
        match filter {
            Filter::Required => expression.missing = Missing::Required,
            Filter::Empty => expression.missing = Missing::Keep,
            Filter::Raw => expression.raw = true,
            Filter::Number => {
                expression.output = Output::Number;
                // What is no number is no value, for a `default` that may follow.
                expression.filters.push(Filter::Number);
            }
            Filter::Json => expression.output = Output::Json,
            other => expression.filters.push(other),
        }
    }
    Ok(expression)
}

/// `name:argument,argument`.
fn filter(part: &str) -> Result<Filter, String> {
    let part = part.trim_start();
    let Some((name, arguments)) = part.split_once(':') else {
        let name = part.trim_end();
        if name.is_empty() {
            return Err("a filter is missing after `|`; write its name, or remove the `|`".to_owned());
        }
        return Filter::parse(name, &[]);
    };
    let arguments = split(arguments, ',')?.into_iter().map(argument).collect::<Result<Vec<_>, _>>()?;
    Filter::parse(name.trim(), &arguments)
}

/// One argument, out of its quotes. What is bare keeps its spaces, but for those at the end before `|` or the mark.
fn argument(text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    let Some(inside) = trimmed.strip_prefix('"') else {
        return match trimmed.find([':', '"']) {
            Some(_) if trimmed.contains(':') => Err(format!("put the argument in quotes: `\"{trimmed}\"`")),
            _ => Ok(trimmed.to_owned()),
        };
    };
    let mut out = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' if chars.as_str().is_empty() => return Ok(out),
            '"' => return Err(format!("`{trimmed}` goes on after its closing quote; write `\\\"` for a quote inside")),
            '\\' => out.push(chars.next().unwrap_or('\\')),
            other => out.push(other),
        }
    }
    Err(format!("`{trimmed}` has no closing quote"))
}

/// Splits at `separator` outside quotes.
fn split(text: &str, separator: char) -> Result<Vec<&str>, String> {
    let mut parts = Vec::new();
    let mut from = 0;
    let mut quoted = false;
    let mut opens = separator == ',';
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if quoted {
            match c {
                _ if std::mem::take(&mut escaped) => {}
                '\\' => escaped = true,
                '"' => quoted = false,
                _ => {}
            }
            continue;
        }
        if c == separator {
            parts.push(&text[from..at]);
            from = at + c.len_utf8();
        }
        if c == '"' && opens {
            quoted = true;
        }
        opens = matches!(c, ':' | ',') || (opens && c == ' ');
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    parts.push(&text[from..]);
    Ok(parts)
}

/// The slot called `name`; a name that nearly is a standard one is worth a warning.
///
/// # Errors
/// It is no name.
pub fn slot(name: &str, offset: usize, notes: &mut Notes) -> Result<Slot, String> {
    if name.is_empty() {
        return Err(
            "a variable's name is missing; write for example `<<VALUE>>`, or `\\<<` for the characters themselves"
                .to_owned(),
        );
    }
    if let Some((head, path)) = name.split_once('.') {
        return dotted(name, head, path);
    }
    if let Some(variable) = Variable::from_name(name) {
        return Ok(Slot::Variable(variable));
    }
    let well_formed = name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if !well_formed {
        return Err(badly_named(name));
    }
    if OPEN.contains(&name) {
        return Err(format!("`{name}` needs a name after it; write `{name}.name`"));
    }
    if Field::from_name(&name.to_ascii_lowercase()).is_none()
        && let Some(near) = nearest(name, standard_names())
    {
        notes.warn(
            offset,
            format!(
                "`{name}` is no standard variable; did you mean `{near}`? (else it is taken for a custom attribute)"
            ),
        );
    }
    Ok(Slot::Attribute(name.into()))
}

fn standard_names() -> impl Iterator<Item = &'static str> {
    Variable::ALL.iter().map(|v| v.name()).chain(ALIASES.iter().map(|(alias, _)| *alias))
}

fn dotted(name: &str, head: &str, path: &str) -> Result<Slot, String> {
    let steps: Vec<Box<str>> = path.split('.').map(|step| step.trim().into()).collect();
    if steps.iter().any(|step| step.is_empty()) {
        return Err(format!("`{name}` has an empty part; remove the extra dot"));
    }
    if PATH_MAX < steps.len() {
        return Err(format!("`{name}` goes deeper than {PATH_MAX} levels"));
    }
    match head {
        "EVENT" => Ok(Slot::EventPath(steps)),
        "ITEM" => Ok(Slot::Item(steps)),
        "CLICK" => Ok(Slot::ClickParam(path.into())),
        "SETTING" => Ok(Slot::Setting(path.into())),
        "VALUES" => Ok(Slot::Value(path.into())),
        _ => Err(match nearest(head, OPEN.into_iter()) {
            Some(near) => format!("`{name}` is no variable; did you mean `{near}.{path}`?"),
            None => format!(
                "`{name}` is no variable; only EVENT, ITEM, CLICK, SETTING and VALUES take a dot: for a custom \
                             attribute write `EVENT.{name}` in the sender's spelling"
            ),
        }),
    }
}

fn badly_named(name: &str) -> String {
    let upper = crate::model::field::upper_snake(name);
    if Variable::from_name(&upper).is_some() {
        return format!("`{name}` is no variable; did you mean `{upper}`?");
    }
    format!(
        "`{name}` is no variable name; names are A to Z, 0 to 9 and `_`, such as `VALUE`; for the characters `<<` or \
         `{{{{` themselves write `\\<<` or `\\{{{{`"
    )
}
