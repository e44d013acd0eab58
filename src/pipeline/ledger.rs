//! The store as the lanes know it.
//!
//! Refuses: giving up an outcome that is known. While the disk is full a record is offered again until it is taken; its
//! slot stays taken, so that the lane slows down by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Trouble;
use crate::dispatch::{Answer, Aside, Ledger, LedgerFailed, Untried};
use crate::model::delivery::Sending;
use crate::model::ids::{ConnectorName, DeliveryId, Seq};
use crate::model::record::{Haste, Job, Record};
use crate::model::time::Time;
use crate::store::{Store, StoreError};

/// How often a record is offered to a store that has no room.
const OFFERED_EVERY: Duration = Duration::from_millis(500);

/// A store with what may have been under way when the last run came to a sudden end.
pub struct StoreLedger {
    store: Store,
    trouble: Arc<Trouble>,
    suspects: Arc<Suspects>,
}

/// After a crash, the deliveries that come back first may have been in flight: at most as many per connector as it has
/// slots, since each lane sends in order and frees a slot only when its outcome is on record. First attempts and retries
/// come back apart, and nobody knows which of them had the slots.
pub struct Suspects {
    /// When this run began; what falls due later cannot have been sent before.
    started: Time,
    left: Mutex<HashMap<ConnectorName, Left>>,
    counted: Box<dyn Fn(&ConnectorName) + Send + Sync>,
}

/// How many more of a connector's deliveries may have been in flight.
#[derive(Clone, Copy)]
struct Left {
    untried: usize,
    retries: usize,
}

impl Suspects {
    /// `slots` of each connector; empty after a proper end. `counted` is told of each suspect.
    pub fn new(
        started: Time,
        slots: HashMap<ConnectorName, usize>,
        counted: impl Fn(&ConnectorName) + Send + Sync + 'static,
    ) -> Self {
        let left = slots.into_iter().map(|(name, slots)| (name, Left { untried: slots, retries: slots })).collect();
        Self { started, left: Mutex::new(left), counted: Box::new(counted) }
    }

    /// Marks the jobs that may be repeats.
    fn mark(&self, connector: &ConnectorName, jobs: &mut [Job]) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left) = left.get_mut(connector) else { return };
        let was_sendable = |job: &&mut Job| {
            job.due < self.started && job.facts.event.received < self.started && job.delivery.sending != Sending::Dry
        };
        for job in jobs.iter_mut().filter(was_sendable) {
            let count = if job.on_record { &mut left.retries } else { &mut left.untried };
            if *count == 0 {
                continue;
            }
            *count -= 1;
            job.is_repeat = true;
            (self.counted)(connector);
        }
    }
}

impl StoreLedger {
    pub fn new(store: Store, trouble: Arc<Trouble>, suspects: Suspects) -> Self {
        Self { store, trouble, suspects: Arc::new(suspects) }
    }
}

impl Ledger for StoreLedger {
    fn record(&self, record: Record, haste: Haste) -> Answer<()> {
        let (store, trouble) = (self.store.clone(), self.trouble.clone());
        Box::pin(async move {
            let record = Arc::new(record);
            let mut answer = store.record_with(record.clone(), haste).await;
            if matches!(answer, Err(StoreError::Panicked(_) | StoreError::Failed(_))) {
                // By itself, so that one at fault does not take others down.
                answer = store.record_alone(record.clone()).await;
            }
            loop {
                match answer {
                    Ok(()) => return Ok(()),
                    Err(error @ (StoreError::Full | StoreError::Failed(_))) => trouble.tell(&error),
                    Err(error) => return Err(failed(&trouble, &error)),
                }
                tokio::time::sleep(OFFERED_EVERY).await;
                answer = store.record_alone(record.clone()).await;
            }
        })
    }

    fn untried(&self, connector: &ConnectorName, from: Seq, limit: usize) -> Answer<Untried> {
        let (store, trouble, suspects) = (self.store.clone(), self.trouble.clone(), self.suspects.clone());
        let connector = connector.clone();
        Box::pin(async move {
            let (mut jobs, next) =
                store.untried(connector.clone(), from, limit).await.map_err(|e| failed(&trouble, &e))?;
            suspects.mark(&connector, &mut jobs);
            Ok(Untried { jobs, next })
        })
    }

    fn due(&self, connector: &ConnectorName, after: Option<(Time, DeliveryId)>, limit: usize) -> Answer<Vec<Job>> {
        let (store, trouble, suspects) = (self.store.clone(), self.trouble.clone(), self.suspects.clone());
        let connector = connector.clone();
        Box::pin(async move {
            let mut jobs = store.due(connector.clone(), after, limit).await.map_err(|e| failed(&trouble, &e))?;
            suspects.mark(&connector, &mut jobs);
            Ok(jobs)
        })
    }

    fn is_withdrawn(&self, delivery: DeliveryId) -> bool {
        self.store.is_withdrawn(delivery)
    }

    fn set_aside(&self, connector: &ConnectorName, from: Seq, what: Aside) -> Answer<Seq> {
        let (store, trouble, connector) = (self.store.clone(), self.trouble.clone(), connector.clone());
        Box::pin(async move {
            loop {
                match store.set_aside(connector.clone(), from, what.only_live, what.but.clone()).await {
                    Ok(next) => return Ok(next),
                    Err(error @ (StoreError::Full | StoreError::Failed(_))) => trouble.tell(&error),
                    Err(error) => return Err(failed(&trouble, &error)),
                }
                tokio::time::sleep(OFFERED_EVERY).await;
            }
        })
    }
}

fn failed(trouble: &Trouble, error: &StoreError) -> LedgerFailed {
    trouble.tell(error);
    LedgerFailed(error.to_string())
}
