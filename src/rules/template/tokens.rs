//! The tokenizer: a text as literals and expressions.
//!
//! Refuses: text from `${ENV}`. It passes through as a marked literal and is never read.

use crate::model::secret::Text;
use crate::model::template::{Expression, Slot};

use super::{Notes, expression, keys};

/// A piece of a text.
#[derive(Debug)]
pub(in crate::rules) enum Token {
    Literal { offset: usize, text: Text },
    Expression { offset: usize, expression: Expression },
}

/// The marks around an expression.
const MARKS: [(&str, &str); 2] = [("<<", ">>"), ("{{", "}}")];

/// What marks become when something escaped them before they reached us.
const MANGLED: &[&str] = &["%3C%3C", "%7B%7B", "&lt;&lt;"];

/// Reads a text; mistakes go to `notes`. Neighbouring literals are one token.
pub(in crate::rules) fn read(text: &Text, notes: &mut Notes) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut offset = 0;
    for (part, secret) in text.parts() {
        if secret {
            literal(&mut tokens, offset, part, true);
        } else {
            read_part(part, offset, &mut tokens, notes);
        }
        offset += part.len();
    }
    tokens
}

fn read_part(part: &str, offset: usize, tokens: &mut Vec<Token>, notes: &mut Notes) {
    let mut at = 0;
    while at < part.len() {
        let rest = &part[at..];
        let next = MARKS.iter().filter_map(|(open, close)| Some((rest.find(open)?, *open, *close))).min();
        let Some((start, open, close)) = next else {
            plain(tokens, offset + at, rest, notes);
            return;
        };
        let slashes = rest[..start].bytes().rev().take_while(|b| *b == b'\\').count();
        match slashes {
            0 => plain(tokens, offset + at, &rest[..start], notes),
            1 => {
                plain(tokens, offset + at, &rest[..start - 1], notes);
                literal(tokens, offset + at + start - 1, open, false);
                at += start + open.len();
                continue;
            }
            // `\\<<X>>` is a backslash and an expression.
            _ => plain(tokens, offset + at, &rest[..start - 1], notes),
        }
        let place = offset + at + start;
        match expression_at(&rest[start..], open, close, place, notes) {
            Ok((expression, length)) => {
                tokens.push(Token::Expression { offset: place, expression });
                at += start + length;
            }
            Err(length) => at += start + length,
        }
    }
}

/// Reads the expression that `text` starts with, at `offset` of the whole. Gives its length, marks included; after a
/// mistake, which goes to `notes`, how much to pass over.
pub(in crate::rules) fn expression_at(
    text: &str,
    open: &str,
    close: &str,
    offset: usize,
    notes: &mut Notes,
) -> Result<(Expression, usize), usize> {
    let inside = &text[open.len()..];
    let Some(end) = expression::end(inside, close) else {
        let shown: String = text.lines().next().unwrap_or(text).chars().take(40).collect();
        notes.error(
            offset,
            format!(
                "`{shown}` is not closed: write `{open}NAME{close}`, a secret as `{open}SETTING.name{close}`, or \
                     `\\{open}` for the characters `{open}` themselves"
            ),
        );
        return Err(text.len());
    };
    let length = open.len() + end + close.len();
    match expression::parse(&inside[..end], offset + open.len(), notes) {
        Ok(expression) => {
            notes.slots.push((offset, expression.slot.clone()));
            notes.slots.extend(keys(&expression.filters).map(|key| (offset, Slot::Setting(key.into()))));
            Ok((expression, length))
        }
        Err(message) => {
            notes.error(offset, format!("{message} (in `{}`)", &text[..length]));
            Err(length)
        }
    }
}

/// A literal of the author's, looked over for marks that something has escaped.
fn plain(tokens: &mut Vec<Token>, offset: usize, text: &str, notes: &mut Notes) {
    for mark in MANGLED {
        let found = text.as_bytes().windows(mark.len()).position(|w| w.eq_ignore_ascii_case(mark.as_bytes()));
        if let Some(at) = found {
            let written = &text[at..at + mark.len()];
            notes.warn(offset + at, format!("`{written}` looks like an escaped `<<`; write `<<NAME>>` as it is"));
        }
    }
    literal(tokens, offset, text, false);
}

fn literal(tokens: &mut Vec<Token>, offset: usize, part: &str, secret: bool) {
    if part.is_empty() {
        return;
    }
    if !matches!(tokens.last(), Some(Token::Literal { .. })) {
        tokens.push(Token::Literal { offset, text: Text::default() });
    }
    if let Some(Token::Literal { text, .. }) = tokens.last_mut() {
        if secret { text.push_secret(part) } else { text.push(part) }
    }
}
