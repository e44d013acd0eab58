//! Every metric, declared once: its name, kind, labels and help make both the registry and the table that the README is
//! compared with.
//!
//! Refuses: counting. Who counts holds the handles of `super`.

use prometheus::{GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// What a metric measures, as Prometheus calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

/// Seconds one attempt takes: from a partner next door (5 ms) through the default `timeout.total` (15 s) to the longest
/// anyone configures (minutes), about two and a half times apart, so that a percentile is off by no more than that.
const ATTEMPT_BUCKETS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0];

/// Seconds from receipt to acceptance: milliseconds when all is well, then the steps of the retry schedule up to the
/// three days after which the default one ends.
const DELIVERY_BUCKETS: &[f64] = &[
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0, 259_200.0,
];

/// Seconds one commit takes: a fraction of a millisecond on a disk with a write cache, tens on one that spins, more than
/// a second where something is wrong.
const COMMIT_BUCKETS: &[f64] =
    &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

macro_rules! metrics {
    (@kind counter) => { Kind::Counter };
    (@kind gauge) => { Kind::Gauge };
    (@kind seconds) => { Kind::Gauge };
    (@kind histogram) => { Kind::Histogram };
    (@type counter) => { IntCounterVec };
    (@type gauge) => { IntGaugeVec };
    (@type seconds) => { GaugeVec };
    (@type histogram) => { HistogramVec };
    (@make counter, $metric:expr $(,)?) => { IntCounterVec::new(Opts::new($metric.name, $metric.help), $metric.labels) };
    (@make gauge, $metric:expr $(,)?) => { IntGaugeVec::new(Opts::new($metric.name, $metric.help), $metric.labels) };
    (@make seconds, $metric:expr $(,)?) => { GaugeVec::new(Opts::new($metric.name, $metric.help), $metric.labels) };
    (@make histogram, $metric:expr, $buckets:expr) => {
        HistogramVec::new(HistogramOpts::new($metric.name, $metric.help).buckets($buckets.to_vec()), $metric.labels)
    };
    ($($field:ident: $kind:ident $(($buckets:expr))? $name:literal [$($label:literal),*] $help:literal;)*) => {
        /// All of them, in the order of the README.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name, kind: metrics!(@kind $kind), labels: &[$($label),*], help: $help,
        },)*];

        /// One family of series per metric.
        #[derive(Debug)]
        pub(super) struct Families { $(pub(super) $field: metrics!(@type $kind),)* }

        impl Families {
            /// Makes every family and registers it.
            pub(super) fn register(registry: &Registry) -> Self {
                let mut table = METRICS.iter();
                Self { $($field: {
                    let metric = table.next().expect("the table has a row for every field");
                    let family = metrics!(@make $kind, metric, $($buckets)?).expect("the table's names are valid");
                    registry.register(Box::new(family.clone())).expect("the table names each metric once");
                    family
                },)* }
            }
        }
    };
}

metrics! {
    events: counter "postbackd_events_total" ["source", "kind"] "Events admitted, duplicates included.";
    events_rejected: counter "postbackd_events_rejected_total" ["source", "reason"]
        "Messages or requests refused whole.";
    events_duplicate: counter "postbackd_events_duplicate_total" ["source"]
        "Events whose id was known: they enriched a visitor and triggered nothing.";
    clicks_captured: counter "postbackd_clicks_captured_total" [] "Clicks added to visitors.";
    decisions: counter "postbackd_decisions_total" ["connector", "reason"]
        "Decisions: send, or the reason of the skip.";
    attempts: counter "postbackd_attempts_total" ["connector", "outcome", "status"]
        "Requests made, by what they amounted to and the class of the HTTP status.";
    deliveries: counter "postbackd_deliveries_total" ["connector", "state"] "Deliveries that reached a final state.";
    deliveries_pending: gauge "postbackd_deliveries_pending" ["connector"] "Deliveries to be sent, now or later.";
    deliveries_waiting: gauge "postbackd_deliveries_waiting" ["connector"]
        "Conversions that wait for a click or for the rest of an event.";
    oldest_pending: seconds "postbackd_oldest_pending_seconds" ["connector"]
        "How long ago the first attempt of the oldest pending delivery was due.";
    oldest_due: seconds "postbackd_oldest_due_seconds" ["connector"]
        "How long the oldest delivery that could be sent now has been due: neither backing off nor behind an open breaker.";
    attempt_duration: histogram(ATTEMPT_BUCKETS) "postbackd_attempt_duration_seconds" ["connector"]
        "From the first byte dialled to the last byte read.";
    event_to_delivery: histogram(DELIVERY_BUCKETS) "postbackd_event_to_delivery_seconds" ["connector"]
        "From the receipt of an event to the partner's acceptance.";
    breaker_open: gauge "postbackd_breaker_open" ["connector"] "1 while the connector's breaker is open.";
    connector_info: gauge "postbackd_connector_info" ["connector", "mode", "revision"]
        "1 for every configured connector.";
    source_connected: gauge "postbackd_source_connected" ["source"] "1 while the source can deliver events.";
    reload_successful: gauge "postbackd_config_last_reload_successful" []
        "1 if the configuration on disk is the one in use, 0 if it was refused.";
    reload_timestamp: seconds "postbackd_config_last_reload_timestamp_seconds" []
        "When the configuration in use was read, in seconds since 1970.";
    store_commit: histogram(COMMIT_BUCKETS) "postbackd_store_commit_seconds" [] "Duration of the store's commits.";
    uncertain: counter "postbackd_uncertain_total" ["connector"] "Attempts whose outcome is not known.";
    unaccounted: gauge "postbackd_unaccounted_deliveries" []
        "Found at start + decided - final - waiting - pending - held: the daemon's own book against the store. Must be 0.";
    build_info: gauge "postbackd_build_info" ["version"] "1, labelled with the version.";
}
