//! What is recorded of a visitor: as it changes, and as it was committed.
//!
//! Refuses: tables.

use std::sync::Arc;

use smol_str::SmolStr;

use crate::model::click::{Click, Landing};
use crate::model::visitor::Visitor;
use crate::store::rows;

/// To write so many bytes of a visitor's row takes as long as to move a key, or a small visitor.
const BYTES_PER_STEP: usize = 2_048;

/// A visitor, or what has become of one. `seen` is when the last event came, in milliseconds since the epoch.
#[derive(Debug)]
pub(in crate::store::sqlite) enum Person {
    /// Changed by the transaction under way.
    Changed {
        visitor: Arc<Visitor>,
        seen: i64,
        presence: Presence,
    },
    /// As it was committed: its row, and itself where it may be asked for soon. Else the row is enough: what a visitor is
    /// made of takes three times the room.
    Kept {
        row: VisitorRow,
        visitor: Option<Arc<Visitor>>,
        /// What the clicks of `visitor` take of memory, where they are there for nothing else.
        bytes: usize,
    },
    /// Taken over by another.
    Merged {
        into: i64,
        seen: i64,
    },
    Gone,
}

impl Person {
    /// A visitor as it is committed; `before` is what was committed of it lately. Where its clicks `have_changed`, they are in
    /// memory in any case.
    pub(super) fn kept(
        visitor: Arc<Visitor>,
        seen: i64,
        presence: Presence,
        before: Option<&Self>,
        have_changed: bool,
    ) -> Self {
        let row = VisitorRow::of(&visitor, seen);
        if presence != Presence::Here {
            return Self::Kept { row, visitor: None, bytes: 0 };
        }
        let bytes = match before {
            _ if have_changed || !rows::are_apart(&visitor.clicks) => 0,
            Some(Self::Kept { visitor: Some(known), bytes, .. }) if Arc::ptr_eq(&known.clicks, &visitor.clicks) => {
                *bytes
            }
            _ => bytes_of(&visitor.clicks),
        };
        Self::Kept { row, visitor: Some(visitor), bytes }
    }

    /// Bytes of clicks that are in memory because they may be asked for soon.
    pub(super) fn at_hand(&self) -> usize {
        match self {
            Self::Kept { bytes, .. } => *bytes,
            Self::Changed { .. } | Self::Merged { .. } | Self::Gone => 0,
        }
    }

    /// How many keys take as long to move.
    pub(super) fn steps(&self) -> usize {
        match self {
            Self::Kept { row, .. } => 1 + row.data.len() / BYTES_PER_STEP,
            Self::Changed { .. } | Self::Merged { .. } | Self::Gone => 1,
        }
    }

    /// Lets go of those clicks; the row stays.
    pub(super) fn let_go(&mut self) {
        if let Self::Kept { visitor, bytes, .. } = self
            && *bytes != 0
        {
            (*visitor, *bytes) = (None, 0);
        }
    }
}

/// Why a visitor changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store::sqlite) enum Presence {
    /// It has come for the first time: no table has it.
    New,
    /// It has come again, and may do so soon.
    Here,
    /// Something of it was taken away, by whoever looks after the store.
    Away,
}

/// What the table holds of a visitor.
#[derive(Debug)]
pub(in crate::store::sqlite) struct VisitorRow {
    pub seen: i64,
    /// When the oldest click was made, in milliseconds since the epoch.
    pub oldest: Option<i64>,
    pub data: Box<str>,
}

impl VisitorRow {
    pub(super) fn of(visitor: &Visitor, seen: i64) -> Self {
        let oldest = visitor.clicks.iter().map(|click| click.time.unwrap_or(click.seen).ms()).min();
        Self { seen, oldest, data: rows::write_visitor(visitor).into() }
    }
}

/// What clicks take of memory, roughly; those of one landing share it, and landings of one browser what it calls itself.
fn bytes_of<'c>(clicks: &'c [Click]) -> usize {
    let len = |text: &Option<SmolStr>| text.as_ref().map_or(0, |text| text.len());
    let mut last: Option<&'c Landing> = None;
    let of_landing = |landing: &'c Landing, last: Option<&'c Landing>| {
        let Landing { url, referrer, ip, user_agent } = landing;
        let place = |agent: &Option<SmolStr>| agent.as_ref().map(|agent| agent.as_str().as_ptr());
        let is_shared = last.is_some_and(|last| place(&last.user_agent) == place(user_agent));
        size_of::<Landing>() + url.len() + len(referrer) + len(ip) + if is_shared { 0 } else { len(user_agent) }
    };
    let of_click = |Click { param, value, landing, .. }: &'c Click| {
        let last = last.replace(landing);
        let is_shared = last.is_some_and(|last| std::ptr::eq(last, &**landing));
        size_of::<Click>() + param.len() + value.len() + if is_shared { 0 } else { of_landing(landing, last) }
    };
    clicks.iter().map(of_click).sum()
}
