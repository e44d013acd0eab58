//! How events, visitors, deliveries and log entries are written into rows: compact JSON that a person can read.
//!
//! Rows borrow what they write, since each is written once for every event and read back for few.
//!
//! Refuses: SQL, and any meaning. A row read back equals what was written; a row that can't be read says which and why.

mod clicks;
mod delivery;
mod event;
mod parts;
mod visitor;

use serde::{Deserialize, Serialize};

pub use delivery::{Later, StoredDelivery, read_deliveries, write_deliveries};
pub use event::{read_event, read_facts, write_event, write_facts};
pub use visitor::{are_apart, read_clicks, read_visitor, write_clicks, write_visitor};

/// A row that does not say what this version expects of it.
#[derive(Debug, thiserror::Error)]
#[error("a stored {what} can't be read: {problem}")]
pub struct RowError {
    what: &'static str,
    problem: String,
}

impl RowError {
    fn new(what: &'static str, problem: impl ToString) -> Self {
        Self { what, problem: problem.to_string() }
    }
}

/// A row as text, with room for `usual` bytes from the start, so that most are written in one piece.
pub(super) fn encode(row: &impl Serialize, usual: usize) -> String {
    let mut out = Vec::with_capacity(usual);
    serde_json::to_writer(&mut out, row).expect("rows are strings, numbers, lists and maps with text keys");
    String::from_utf8(out).expect("JSON is text")
}

pub(super) fn decode<'a, T: Deserialize<'a>>(what: &'static str, text: &'a str) -> Result<T, RowError> {
    serde_json::from_str(text).map_err(|e| RowError::new(what, e))
}

fn is_false(b: &bool) -> bool {
    !b
}

pub(super) fn is_empty<T>(list: &[T]) -> bool {
    list.is_empty()
}
