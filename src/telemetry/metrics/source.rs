//! What is counted of one source of events.
//!
//! Refuses: knowing which sources there are.

use std::sync::Arc;

use prometheus::IntCounter;

use super::table::Families;

/// The counters of one source.
#[derive(Debug)]
pub struct SourceMetrics {
    name: &'static str,
    track: IntCounter,
    set: IntCounter,
    duplicates: IntCounter,
    families: Arc<Families>,
}

impl SourceMetrics {
    pub(super) fn new(families: &Arc<Families>, name: &'static str) -> Self {
        Self {
            name,
            track: families.events.with_label_values(&[name, "track"]),
            set: families.events.with_label_values(&[name, "set"]),
            duplicates: families.events_duplicate.with_label_values(&[name]),
            families: Arc::clone(families),
        }
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// An event was admitted.
    pub fn event(&self, is_track: bool) {
        if is_track { self.track.inc() } else { self.set.inc() }
    }

    /// Events whose ids were known.
    pub fn duplicates(&self, count: u32) {
        self.duplicates.inc_by(u64::from(count));
    }

    /// A message or request was refused whole. Rare, so the series is looked up.
    pub fn rejected(&self, reason: &'static str) {
        self.families.events_rejected.with_label_values(&[self.name, reason]).inc();
    }
}
