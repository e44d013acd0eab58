//! Bytes in, events out. A source turns what arrives into [`Arrival`]s on one bounded channel and learns from each
//! [`Receipt`] what became of it.
//!
//! Refuses: knowing what happens to an event. Nothing here imports the pipeline, the store or the lanes.

pub mod amqp;
pub mod dialects;
pub mod http;
pub mod reading;
#[cfg(test)]
mod samples;

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};

use crate::model::event::Event;
use crate::model::time::Time;

/// Bytes in one message or request body (SPEC section 13; a kB is 1000 bytes throughout).
pub const MESSAGE_MAX: usize = 300_000;

/// The events of one message or request: admitted together or not at all.
#[derive(Debug)]
pub struct Arrival {
    /// The `source` label of the metrics: `amqp`, `hook`, ….
    pub source: &'static str,
    /// Never empty.
    pub events: Vec<Event>,
    pub receipt: Receipt,
}

/// What became of an arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Durable. `duplicates` of its events were known already.
    Stored { duplicates: u32 },
    /// At fault by itself (`reason` is `internal_error`): to be set aside, not tried again.
    Rejected { reason: &'static str, field: String },
    /// The store can't take it now; the sender should come again.
    Unavailable,
}

/// Where to say what became of an arrival.
#[derive(Debug)]
pub enum Receipt {
    /// A broker's message: `tag` is its delivery tag on the connection numbered `generation`.
    Message { generation: u64, tag: u64, settled: mpsc::UnboundedSender<(u64, u64, Settled)> },
    /// A caller who waits for the answer.
    Caller(oneshot::Sender<Settled>),
}

impl Receipt {
    /// Tells the source. A source that is gone has nothing left to acknowledge; its broker sends the message again.
    pub fn settle(self, outcome: Settled) {
        match self {
            Self::Message { generation, tag, settled } => drop(settled.send((generation, tag, outcome))),
            Self::Caller(answer) => drop(answer.send(outcome)),
        }
    }
}

/// How a source stands, for readiness and metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceStatus {
    /// The queues are declared and it consumes.
    pub connected: bool,
    /// It has been connected at least once since the start.
    pub ever_connected: bool,
    /// What it does or why it can't, for a person to read; never a URL or a password.
    pub detail: String,
}

/// What a source counts that nobody behind it sees. The telemetry supplies the counters.
pub struct Counts {
    /// One message or request was refused: `(source, reason)`, reason as in [`reading::Reason::word`] or
    /// `internal_error`.
    pub rejected: Box<dyn Fn(&'static str, &'static str) + Send + Sync>,
}

impl Counts {
    /// Counts nothing.
    pub fn none() -> Self {
        Self { rejected: Box::new(|_, _| ()) }
    }
}

impl fmt::Debug for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counts")
    }
}

/// The moment of receipt. A clock set before 1970 counts as 1970.
fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
