//! What is written down of a delivery after its decision, and the job a lane works from.
//!
//! Refuses: saying how it is stored.

use std::sync::Arc;
use std::time::Duration;

use super::delivery::{Delivery, Reason, State};
use super::facts::Facts;
use super::ids::{ConnectorName, DeliveryId, Revision};
use super::outcome::Outcome;
use super::postback::Postback;
use super::time::Time;

/// A delivery with what is needed to attempt it.
#[derive(Clone, Debug)]
pub struct Job {
    pub facts: Arc<Facts>,
    pub delivery: Delivery,
    /// Attempts made so far.
    pub attempts: u32,
    /// An earlier attempt may have reached the partner: `<<IS_REPEAT>>`.
    pub is_repeat: bool,
    /// When the first attempt was due; `max_elapsed` counts from here.
    pub first_due: Time,
    /// When the next attempt is due.
    pub due: Time,
    /// The store holds a row of its own for this delivery (it was retried, woken, replayed or held); false for the first
    /// attempt of a delivery that was decided to be sent at once.
    pub on_record: bool,
}

/// A request as the log may show it: every secret masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownRequest {
    pub method: &'static str,
    pub url: Box<str>,
    pub headers: Vec<(Box<str>, Box<str>)>,
    pub body: Option<Box<str>>,
}

impl From<&Postback> for ShownRequest {
    fn from(postback: &Postback) -> Self {
        Self {
            method: postback.method.word(),
            url: postback.url.masked().into(),
            headers: postback.headers.iter().map(|(n, v)| (n.clone(), v.masked().into())).collect(),
            body: postback.body.as_ref().map(|b| b.masked().into()),
        }
    }
}

/// One attempt, as the delivery log tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    pub revision: Revision,
    pub started: Time,
    pub duration: Duration,
    pub request: ShownRequest,
    pub status: Option<u16>,
    /// The first 4 kB of the reply, scrubbed of secrets; empty where there was none.
    pub response: Box<str>,
    /// What went wrong where there was no reply, without URL or secret: `timeout: …`.
    pub failure: Option<Box<str>>,
    pub outcome: Outcome,
    /// An earlier attempt may have reached the partner.
    pub is_repeat: bool,
    /// After this attempt, the partner may have the postback (for the repeat mark of the next one).
    pub may_have_arrived: bool,
}

/// What happened to a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An attempt is about to be made (only where `on_uncertain` is `hold` or `drop`).
    Started {
        number: u32,
    },
    Attempted(Box<Attempt>),
    /// Test mode: what would have been sent.
    Rendered(Box<ShownRequest>),
    /// It ended without an attempt, or waits for a person (`State::Held`): render failure, expiry, uncertainty, removal.
    Ended {
        state: State,
        reason: Option<Reason>,
        detail: Option<Box<str>>,
    },
}

/// One entry of the delivery log, to be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub delivery: DeliveryId,
    pub connector: ConnectorName,
    pub at: Time,
    /// As in [`Job::on_record`].
    pub on_record: bool,
    pub first_due: Time,
    pub entry: Entry,
}

/// How soon a record must be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Haste {
    /// Something is held up by it: a slot that is needed, a lane that is to pause or to be probed, or an attempt that is about to be
    /// made.
    Now,
    /// Nothing is, so it may wait some milliseconds for what else is to be committed.
    Soon,
}

impl Entry {
    /// The state the delivery is in after this entry, and when its next attempt is due if it is pending.
    pub fn leaves(&self) -> (State, Option<Reason>, Option<Time>) {
        match self {
            Self::Started { .. } => (State::Pending, None, None),
            Self::Attempted(attempt) => match attempt.outcome {
                Outcome::Delivered => (State::Delivered, None, None),
                Outcome::Retry { at } => (State::Pending, None, Some(at)),
                Outcome::Rejected(reason) => (State::Rejected, Some(reason), None),
                Outcome::Dead(reason) => (State::Dead, Some(reason), None),
                Outcome::Held => (State::Held, Some(Reason::Uncertain), None),
            },
            Self::Rendered(_) => (State::Test, None, None),
            Self::Ended { state, reason, .. } => (*state, *reason, None),
        }
    }
}
