//! Deliveries that were cancelled under the feet of their lanes.
//!
//! Refuses: being a record. The store's is; this is what a run needs to know of itself.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::model::ids::DeliveryId;

/// Unfinished deliveries that this run has cancelled: what lanes still hold of them must not be sent, and what was in flight
/// must not be written back. Forgotten at the next start, which finds them cancelled.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct Withdrawn {
    /// Asked for every attempt; nearly always nobody was ever erased.
    any: AtomicBool,
    deliveries: RwLock<HashSet<DeliveryId>>,
}

impl Withdrawn {
    pub(in crate::store::sqlite) fn contains(&self, delivery: DeliveryId) -> bool {
        self.any.load(Ordering::Acquire)
            && self.deliveries.read().unwrap_or_else(PoisonError::into_inner).contains(&delivery)
    }

    /// They are on record as cancelled.
    pub(in crate::store::sqlite) fn add(&self, deliveries: impl IntoIterator<Item = DeliveryId>) {
        let mut deliveries = deliveries.into_iter().peekable();
        if deliveries.peek().is_some() {
            self.deliveries.write().unwrap_or_else(PoisonError::into_inner).extend(deliveries);
            self.any.store(true, Ordering::Release);
        }
    }
}
