//! Bytes in, events out. A source turns what arrives into [`Arrival`]s on one bounded channel and learns from each
//! [`Receipt`] what became of it.
//!
//! Refuses: knowing what happens to an event. Nothing here imports the pipeline, the store or the lanes.

use tokio::sync::{mpsc, oneshot};

use crate::model::event::Event;

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
