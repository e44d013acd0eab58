//! What a reader needs of the file it reads: where to note problems, and how to substitute.
//!
//! Refuses: knowing which keys there are; `fields` does.

use std::cell::RefCell;

use super::node::{Node, Tree};
use super::problem::{Position, Problems, Severity};
use super::substitute::{Environment, Substituted, substitute};
use super::values::Wrong;
use crate::model::secret::{Secrets, forms};

/// Characters of a value that a message quotes.
const QUOTED_MAX: usize = 80;

/// One file being read, or one connector in it.
pub struct Context<'a> {
    pub problems: &'a Problems,
    pub rank: usize,
    pub environment: &'a Environment<'a>,
    secrets: RefCell<Vec<String>>,
}

impl<'a> Context<'a> {
    pub fn new(problems: &'a Problems, rank: usize, environment: &'a Environment<'a>) -> Self {
        Self { problems, rank, environment, secrets: RefCell::default() }
    }

    pub fn error(&self, at: Position, message: impl Into<String>) {
        self.problems.note(self.rank, Some(at), Severity::Error, message.into());
    }

    pub fn warn(&self, at: Position, message: impl Into<String>) {
        self.problems.note(self.rank, Some(at), Severity::Warning, message.into());
    }

    /// The scalar at `node` after substitution. Reports what is no scalar or cannot be substituted.
    pub fn text(&self, label: &str, node: &Node) -> Option<Substituted> {
        let scalar = match &node.tree {
            Tree::Scalar(_) if node.is_null() => {
                self.error(node.at, format!("`{label}` has no value: write one, or \"\" for an empty text"));
                return None;
            }
            Tree::Scalar(scalar) => scalar,
            Tree::Reported => return None,
            Tree::List(_) | Tree::Map(_) => {
                self.error(node.at, format!("`{label}` must be a single value, not {}", node.kind()));
                return None;
            }
        };
        let (out, errors) = substitute(&scalar.text, self.environment);
        let mut failed = false;
        for error in errors {
            let at = node.position_of(error.offset);
            if error.is_warning {
                self.warn(at, error.message);
            } else {
                failed = true;
                self.error(at, error.message);
            }
        }
        self.secrets.borrow_mut().extend(out.secrets.iter().cloned());
        (!failed).then_some(out)
    }

    /// The scalar at `node` as `parse` understands it. Reports what it does not understand, quoted as written.
    pub fn parsed<T>(&self, label: &str, node: &Node, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let text = self.text(label, node)?;
        match parse(text.text.reveal()) {
            Ok(value) => Some(value),
            // What the missing variable would have said nobody can check.
            Err(_) if text.incomplete => None,
            Err(wrong) => {
                self.error(node.at, format!("{label}: {} {wrong}", quoted(node)));
                None
            }
        }
    }

    /// Like [`Self::parsed`], for what is shown in the log and the API: it must not come from `${…}`, whose values never are.
    pub fn shown<T>(&self, label: &str, node: &Node, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let text = self.text(label, node)?;
        if text.replaced {
            self.error(
                node.at,
                format!("{label}: {} is shown in the log, so it cannot come from `${{…}}`: write it out", quoted(node)),
            );
            return None;
        }
        self.parsed(label, node, parse)
    }

    /// Keeps a value that stands in the file itself out of logs.
    pub fn keep_secret(&self, value: &str) {
        self.secrets.borrow_mut().push(value.to_owned());
    }

    /// Every secret met so far, in every form.
    pub fn secrets(&self) -> Secrets {
        Secrets::new(self.secrets.borrow().iter().flat_map(|secret| forms(secret)))
    }
}

/// A scalar as written, for a message.
pub fn quoted(node: &Node) -> String {
    let text = node.scalar().map_or("", |scalar| &*scalar.text);
    quote(text)
}

/// A text for a message: in backticks, on one line, cut where it is long.
pub fn quote(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(QUOTED_MAX).collect();
    let more = if cut.len() < text.trim_end().len() { "…" } else { "" };
    format!("`{cut}{more}`")
}
