//! The counters, gauges and histograms of SPEC section 11, with a method for each thing that is counted.
//!
//! Refuses: label values that come from events. A connector's series exist from the moment it is configured and go when
//! it does; a source's name and a rejection's reason are words of ours.
//!
//! Who counts often fetches a handle once ([`Metrics::connector`], [`Metrics::source`]) and then pays for one atomic
//! addition a count.

mod connector;
mod source;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::{Gauge, Histogram, IntCounter, IntGauge, Registry, TextEncoder};

pub use connector::ConnectorMetrics;
pub use source::SourceMetrics;
pub use table::{Kind, METRICS, Metric};

use crate::model::connector::Connector;
use crate::model::delivery::{Reason, State};
use crate::model::ids::ConnectorName;
use crate::model::time::Time;
use table::Families;

/// The content type of [`Metrics::exposition`].
pub const EXPOSITION_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

type Connectors = HashMap<ConnectorName, Arc<ConnectorMetrics>>;

/// Everything the daemon counts.
pub struct Metrics {
    registry: Registry,
    families: Arc<Families>,
    connectors: ArcSwap<Connectors>,
    /// For what is counted of a connector that is no longer configured.
    nowhere: Arc<ConnectorMetrics>,
    sources: ArcSwap<Vec<Arc<SourceMetrics>>>,
    /// Held while the sets above change.
    changing: Mutex<()>,
    clicks: IntCounter,
    commit: Histogram,
    unaccounted: IntGauge,
    reload_successful: IntGauge,
    reload_timestamp: Gauge,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// A registry of its own, with the series that need no configuration at 0.
    pub fn new(version: &str) -> Self {
        let registry = Registry::new();
        let families = Arc::new(Families::register(&registry));
        families.build_info.with_label_values(&[version]).set(1);
        let none: &[&str] = &[];
        Self {
            connectors: ArcSwap::default(),
            nowhere: Arc::new(ConnectorMetrics::nowhere()),
            sources: ArcSwap::default(),
            changing: Mutex::new(()),
            clicks: families.clicks_captured.with_label_values(none),
            commit: families.store_commit.with_label_values(none),
            unaccounted: families.unaccounted.with_label_values(none),
            reload_successful: families.reload_successful.with_label_values(none),
            reload_timestamp: families.reload_timestamp.with_label_values(none),
            families,
            registry,
        }
    }

    /// Makes the series of connectors that came, drops those of connectors that went. The others keep their counts.
    pub fn set_connectors(&self, configured: &[Arc<Connector>]) {
        let _changing = self.changing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = self.connectors.load_full();
        let mut wanted = Connectors::with_capacity(configured.len());
        for connector in configured {
            let handle = match known.get(&connector.name) {
                Some(handle) => Arc::clone(handle),
                None => Arc::new(ConnectorMetrics::new(&self.families, &connector.name)),
            };
            handle.set_info(connector.mode.word(), &connector.revision);
            wanted.insert(connector.name.clone(), handle);
        }
        let gone: Vec<_> = known.iter().filter(|(name, _)| !wanted.contains_key(*name)).map(|(_, h)| h).collect();
        self.connectors.store(Arc::new(wanted));
        gone.into_iter().for_each(|handle| handle.retire());
    }

    /// The handle of a connector, good until it is removed from the configuration; what is counted afterwards, or of a
    /// connector that is not configured, goes nowhere.
    pub fn connector(&self, name: &str) -> Arc<ConnectorMetrics> {
        self.connectors.load().get(name).map_or_else(|| Arc::clone(&self.nowhere), Arc::clone)
    }

    /// The handle of a source, made on first use. `name` is a word of the program, as in `ingest::Arrival::source`.
    pub fn source(&self, name: &'static str) -> Arc<SourceMetrics> {
        let find = |sources: &[Arc<SourceMetrics>]| sources.iter().find(|s| s.name() == name).map(Arc::clone);
        if let Some(source) = find(&self.sources.load()) {
            return source;
        }
        let _changing = self.changing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let known = self.sources.load_full();
        find(&known).unwrap_or_else(|| {
            let made = Arc::new(SourceMetrics::new(&self.families, name));
            self.sources.store(Arc::new(known.iter().cloned().chain([Arc::clone(&made)]).collect()));
            made
        })
    }

    /// An event was admitted.
    pub fn event(&self, source: &'static str, is_track: bool) {
        self.source(source).event(is_track);
    }

    /// A message or request was refused whole.
    pub fn rejected(&self, source: &'static str, reason: &'static str) {
        self.source(source).rejected(reason);
    }

    /// An event's id was known.
    pub fn duplicate(&self, source: &'static str) {
        self.source(source).duplicates(1);
    }

    /// Whether a source can deliver; a source shows from the first call on.
    pub fn set_source_connected(&self, source: &'static str, connected: bool) {
        self.families.source_connected.with_label_values(&[source]).set(i64::from(connected));
    }

    /// A source was taken out of the configuration.
    pub fn forget_source(&self, source: &'static str) {
        // An error says that it never showed.
        let _ = self.families.source_connected.remove_label_values(&[source]);
    }

    /// Visitors gained clicks.
    pub fn clicks(&self, gained: u32) {
        self.clicks.inc_by(u64::from(gained));
    }

    /// A decision: `None` is *send*. A `trigger_mismatch` is not counted.
    pub fn decision(&self, connector: &str, reason: Option<Reason>) {
        self.connector(connector).decision(reason);
    }

    /// A delivery reached a final state; any other state is not counted.
    pub fn final_state(&self, connector: &str, state: State) {
        self.connector(connector).final_state(state);
    }

    /// The store committed.
    pub fn commit(&self, took: Duration) {
        self.commit.observe(took.as_secs_f64());
    }

    /// What the daemon's book misses in the store, or the store has too much (below 0).
    pub fn set_unaccounted(&self, deliveries: i64) {
        self.unaccounted.set(deliveries);
    }

    /// The configuration on disk was read and is in use.
    pub fn reloaded(&self, at: Time) {
        self.reload_successful.set(1);
        self.reload_timestamp.set(at.ms() as f64 / 1000.0);
    }

    /// The configuration on disk was refused; the one in use stays.
    pub fn reload_refused(&self) {
        self.reload_successful.set(0);
    }

    /// Everything in Prometheus' text format.
    pub fn exposition(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.registry.gather())
            .expect("counters, gauges and histograms all have a text form")
    }
}

#[cfg(test)]
mod tests;
