//! A connector's `when`: comparisons that must all hold.
//!
//! Refuses: looking values up; `rules::decide` compares.

use regex::Regex;
use rust_decimal::Decimal;

use super::template::Slot;

/// One comparison of one variable.
#[derive(Clone, Debug)]
pub struct Condition {
    pub variable: Slot,
    pub test: Test,
}

/// Text compares as text, `gt gte lt lte` as decimal numbers; a value that is missing, or is no number where one is
/// needed, fails every test but `Exists(false)`, `Ne` and `NotIn`.
#[derive(Clone, Debug)]
pub enum Test {
    Eq(Box<str>),
    Ne(Box<str>),
    In(Vec<Box<str>>),
    NotIn(Vec<Box<str>>),
    Gt(Decimal),
    Gte(Decimal),
    Lt(Decimal),
    Lte(Decimal),
    Exists(bool),
    /// Unanchored; the `regex` crate's syntax, which runs in linear time.
    Matches(Regex),
}
