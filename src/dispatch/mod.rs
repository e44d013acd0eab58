//! Attempts, and who may make them: one lane per connector, each with its own concurrency, rate and breaker.
//!
//! Refuses: knowing the store. A lane speaks to a [`Ledger`], and the pipeline knows who that is.

mod attempt;
mod backoff;
mod breaker;
mod budget;
mod client;
mod clock;
mod failure;
mod feed;
mod guard;
mod lane;
mod lanes;
mod pace;
mod parking;
mod resolve;
mod sign;
mod target;
#[cfg(test)]
mod testing;
mod token;
mod turn;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::model::connector::Mode;
use crate::model::delivery::{Reason, State};
use crate::model::ids::{ConnectorName, DeliveryId, Seq};
use crate::model::outcome::Outcome;
use crate::model::record::{Haste, Job, Record};
use crate::model::time::Time;

pub use client::ClientFailed;
pub use guard::{Denied, Guard};
pub use lanes::Lanes;
pub use parking::{Parking, Span};
pub use turn::{Turn, Turns};

/// A future that a ledger answers with.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, LedgerFailed>> + Send>>;

/// The ledger can't write or read any more; the daemon is about to stop or to pause.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct LedgerFailed(pub String);

/// First attempts read back from the ledger.
#[derive(Debug)]
pub struct Untried {
    /// In order of admission.
    pub jobs: Vec<Job>,
    /// Where to go on reading: every event before it has been looked at.
    pub next: Seq,
}

/// Which first attempts are put on record although nobody has made them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Only what was decided live; else all.
    pub only_live: bool,
    /// These are being made and have no entry yet.
    pub but: Vec<DeliveryId>,
}

/// What a lane needs of the store.
pub trait Ledger: Send + Sync + 'static {
    /// Answers once the record is durable.
    fn record(&self, record: Record, haste: Haste) -> Answer<()>;

    /// Deliveries of `connector` that were decided to be sent at once and have no entry yet, of events admitted at
    /// `from` or later, at most `limit`, in order of admission. `next` is where the scan stopped: beyond the newest
    /// event when the last one has been reached.
    fn untried(&self, connector: &ConnectorName, from: Seq, limit: usize) -> Answer<Untried>;

    /// Deliveries of `connector` that are on record as pending, by due time and id, strictly after `after`, at most
    /// `limit`; those due later included.
    fn due(&self, connector: &ConnectorName, after: Option<(Time, DeliveryId)>, limit: usize) -> Answer<Vec<Job>>;

    /// Whether it was cancelled since it was handed out: it is not to be sent, and no outcome of it is recorded.
    fn is_withdrawn(&self, _: DeliveryId) -> bool {
        false
    }

    /// Puts on record first attempts of `connector` that are parked, of events admitted at `from` and after, so that they
    /// need not be looked for any more. Answers where to go on: every event before it has been looked at, as a whole.
    fn set_aside(&self, connector: &ConnectorName, from: Seq, what: Aside) -> Answer<Seq>;
}

/// What the lanes tell of their work, once it is on record. Called often and from within lanes: must not block.
pub trait Watch: Send + Sync + 'static {
    /// An attempt: what it amounts to, the status if there was a reply, and how long the network took.
    fn attempted(&self, connector: &ConnectorName, outcome: &Outcome, status: Option<u16>, took: Duration);

    /// A delivery was delivered this long after its event was received.
    fn delivered(&self, connector: &ConnectorName, after: Duration);

    /// A delivery reached a final state, or is held.
    fn ended(&self, connector: &ConnectorName, delivery: DeliveryId, state: State, reason: Option<Reason>);

    /// An attempt may have arrived and is not repeated by itself.
    fn uncertain(&self, connector: &ConnectorName);

    /// The breaker opened or closed.
    fn breaker(&self, connector: &ConnectorName, is_open: bool);

    /// The lane starts no attempt any more. The daemon decides what becomes of it.
    fn ledger_failed(&self, connector: &ConnectorName, failed: &LedgerFailed);

    /// An attempt or a lane panicked, and the lane stands still: the process must end.
    fn panicked(&self, connector: &ConnectorName, message: &str);
}

/// From where the first attempts of each lane may lack an entry: where to scan after a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontiers {
    /// Every first attempt of an earlier event has an entry, but for the lanes named in `behind`.
    pub all: Seq,
    /// Lanes that are parked or behind, each with its own frontier.
    pub behind: Vec<(ConnectorName, Seq)>,
}

/// One lane as the API and the metrics show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneState {
    pub connector: ConnectorName,
    /// `None`: the connector was removed.
    pub mode: Option<Mode>,
    pub breaker_open: bool,
    /// A 429 asked for this.
    pub paused_until: Option<Time>,
    pub parked_since: Option<Time>,
    /// Slots in use: sent, or sent and not on record yet.
    pub in_flight: usize,
    /// Jobs queued in memory.
    pub queued: usize,
    /// First attempts lie in the store alone.
    pub is_behind: bool,
}
