//! Attempts, and who may make them: one lane per connector, each with its own concurrency, rate and breaker.
//!
//! Refuses: knowing the store. A lane speaks to a [`Ledger`], and the pipeline knows who that is.

use std::future::Future;
use std::pin::Pin;

use crate::model::ids::{ConnectorName, DeliveryId, Seq};
use crate::model::record::{Job, Record};
use crate::model::time::Time;

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

/// What a lane needs of the store.
pub trait Ledger: Send + Sync + 'static {
    /// Answers once the record is durable.
    fn record(&self, record: Record) -> Answer<()>;

    /// Deliveries of `connector` that were decided to be sent at once and have no entry yet, of events admitted at
    /// `from` or later, at most `limit`, in order of admission. `next` is where the scan stopped: beyond the newest
    /// event when the last one has been reached.
    fn untried(&self, connector: &ConnectorName, from: Seq, limit: usize) -> Answer<Untried>;

    /// Deliveries of `connector` that are on record as pending, by due time and id, strictly after `after`, at most
    /// `limit`; those due later included.
    fn due(&self, connector: &ConnectorName, after: Option<(Time, DeliveryId)>, limit: usize) -> Answer<Vec<Job>>;
}
