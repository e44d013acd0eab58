//! A body file before Handlebars sees it: `<<…>>` becomes a helper call, and what would exhaust the parser's stack is refused.
//!
//! Handlebars parses and renders by recursion, and a stack that overflows ends the process. So nesting is counted on the text.
//!
//! Refuses: partials, decorators and raw blocks, which no body needs and which could call themselves.

use crate::model::template::Expression;
use crate::rules::template::{Notes, expression_at};

use super::marks::MARK;

/// The longest body file in bytes: many times what a request needs.
pub const SOURCE_MAX: usize = 64 * 1024;
/// How deep blocks, and parentheses and brackets within a tag, may be nested. An `else` counts as a level, since Handlebars
/// nests chains of them.
pub const NESTING_MAX: usize = 32;

/// The helper that writes the nth `<<…>>`.
pub const SLOT_HELPER: &str = "__slot";
/// The helper that writes `{`, where it would otherwise merge with a tag.
pub const BRACE_HELPER: &str = "__brace";

/// The text for Handlebars, and the expressions it calls by number.
#[derive(Debug, Default)]
pub struct Scanned {
    pub source: String,
    pub expressions: Vec<Expression>,
}

/// Scans a body file; mistakes go to `notes`.
pub fn scan(source: &str, notes: &mut Notes) -> Scanned {
    let mut out = Scanned { source: String::with_capacity(source.len()), expressions: Vec::new() };
    if SOURCE_MAX < source.len() {
        notes.error(0, format!("the file has {} bytes; at most {SOURCE_MAX} are allowed", source.len()));
        return out;
    }
    if let Some(at) = source.find(MARK) {
        notes.error(at, "the file holds the noncharacter U+FDD0; remove it");
        return out;
    }
    let mut nesting = Nesting::default();
    let mut at = 0;
    while let Some(found) = ["{{", "<<"].iter().filter_map(|open| source[at..].find(open)).min() {
        let start = at + found;
        let slashes = source[at..start].bytes().rev().take_while(|b| *b == b'\\').count();
        let tag = source[start..].starts_with('{');
        out.source.push_str(&source[at..start]);
        at = match (tag, slashes) {
            (true, 1) => {
                // Handlebars takes the backslash off itself, and up to four braces with it.
                let braces = if source[start..].starts_with("{{{{") { 4 } else { 2 };
                out.source.push_str(&source[start..start + braces]);
                start + braces
            }
            (false, 1) => {
                out.source.pop();
                out.source.push_str("<<");
                start + 2
            }
            (true, _) => {
                let end = start + tag_length(&source[start..], start, notes);
                nesting.enter(&source[start..end], start, notes);
                out.source.push_str(&source[start..end]);
                end
            }
            (false, slashes) => {
                if slashes != 0 {
                    out.source.pop();
                }
                slot(source, start, &mut out, notes)
            }
        };
    }
    out.source.push_str(&source[at..]);
    out
}

/// Takes the `<<…>>` at `start`; gives where the text goes on.
fn slot(source: &str, start: usize, out: &mut Scanned, notes: &mut Notes) -> usize {
    match expression_at(&source[start..], "<<", ">>", start, notes) {
        Ok((expression, length)) => {
            if out.source.ends_with('{') {
                out.source.pop();
                out.source.push_str(&format!("{{{{{BRACE_HELPER} 0}}}}"));
            }
            out.source.push_str(&format!("{{{{{SLOT_HELPER} {}}}}}", out.expressions.len()));
            out.expressions.push(expression);
            start + length
        }
        Err(length) => start + length,
    }
}

/// How long the tag is that `text` starts with.
fn tag_length(text: &str, offset: usize, notes: &mut Notes) -> usize {
    for (open, close) in [("{{!--", "--}}"), ("{{!", "}}")] {
        if let Some(end) = text.strip_prefix(open).and_then(|rest| rest.find(close)) {
            return open.len() + end + close.len();
        }
    }
    let mut quote = None;
    let mut deep = 0_usize;
    let mut escaped = false;
    let opening = text.len() - text.trim_start_matches('{').len();
    for (at, b) in text.bytes().enumerate().skip(opening) {
        // Brackets count within quotes too: where a quote ends is Handlebars' to say, and its stack is what is at stake.
        match b {
            b'(' | b'[' | b'{' => deep += 1,
            b')' | b']' => deep = deep.saturating_sub(1),
            _ => {}
        }
        if NESTING_MAX < deep {
            notes.error(offset + at, format!("the tag is nested deeper than {NESTING_MAX} levels"));
            return text.len();
        }
        match (quote, b) {
            (Some(_), _) if std::mem::take(&mut escaped) => {}
            (Some(_), b'\\') => escaped = true,
            (Some(open), b) if open == b => quote = None,
            (Some(_), b'{') if text[at..].starts_with("{{") => break,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(b),
            (None, b'}') if text[at..].starts_with("}}") => {
                let closing = text[at..].len() - text[at..].trim_start_matches('}').len();
                return at + closing.min(opening);
            }
            (None, b'}') => deep = deep.saturating_sub(1),
            _ => {}
        }
    }
    notes.error(offset, "a `{{` is not closed by `}}`; close it, or write `\\{{` for the characters themselves");
    text.len()
}

/// The blocks that are open, each with its levels.
#[derive(Default)]
struct Nesting {
    blocks: Vec<usize>,
    deep: usize,
}

impl Nesting {
    fn enter(&mut self, tag: &str, offset: usize, notes: &mut Notes) {
        if tag.starts_with("{{{{") {
            notes.error(offset, "raw blocks are not supported; write `\\{{` for the characters themselves");
            return;
        }
        let inside = tag.trim_start_matches('{').trim_start_matches('~').trim_start();
        if inside.starts_with(['>', '*']) || inside.starts_with("#>") || inside.starts_with("#*") {
            notes.error(offset, format!("`{tag}`: partials and decorators are not supported; write the text out"));
        } else if inside.starts_with('#') {
            self.blocks.push(1);
            self.deep += 1;
        } else if inside.starts_with('/') {
            self.deep -= self.blocks.pop().unwrap_or(0);
        } else if (inside.starts_with('^') || inside.starts_with("else"))
            && let Some(levels) = self.blocks.last_mut()
        {
            *levels += 1;
            self.deep += 1;
        }
        if self.deep == NESTING_MAX + 1 {
            notes.error(offset, format!("blocks are nested deeper than {NESTING_MAX} levels"));
        }
    }
}
