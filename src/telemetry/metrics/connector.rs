//! What is counted of one connector.
//!
//! Refuses: outliving its connector in the exposition. A lane may hold a retired handle and count on; nobody sees it.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter, IntCounterVec, IntGauge, Registry};

use super::table::Families;
use crate::model::delivery::{Reason, State};
use crate::model::ids::ConnectorName;
use crate::model::outcome::Outcome;

/// The words of [`Outcome::word`].
const OUTCOMES: [&str; 5] = ["delivered", "retry", "rejected", "dead", "held"];

/// The classes of an HTTP status; `none` where there was no reply.
const STATUSES: [&str; 5] = ["2xx", "3xx", "4xx", "5xx", "none"];

/// One place per [`Reason`], and the last for *send*.
const DECISIONS: usize = Reason::ALL.len() + 1;

/// A counter that shows once it has counted: most reasons never happen to most connectors.
type Lazy = OnceLock<IntCounter>;

/// The series of one connector.
#[derive(Debug)]
pub struct ConnectorMetrics {
    name: ConnectorName,
    families: Arc<Families>,
    /// Held while a series is made or all are dropped, so that none is made after that.
    standing: Mutex<Standing>,
    decisions: [Lazy; DECISIONS],
    attempts: [Lazy; OUTCOMES.len() * STATUSES.len()],
    /// By [`State::ALL`]; empty for states that are not final.
    deliveries: Vec<Option<IntCounter>>,
    pending: IntGauge,
    waiting: IntGauge,
    oldest_pending: Gauge,
    oldest_due: Gauge,
    attempt_duration: Histogram,
    event_to_delivery: Histogram,
    breaker_open: IntGauge,
    uncertain: IntCounter,
}

#[derive(Debug, Default)]
struct Standing {
    retired: bool,
    /// Mode and revision as shown.
    info: Option<(&'static str, Box<str>)>,
}

impl ConnectorMetrics {
    pub(super) fn new(families: &Arc<Families>, name: &ConnectorName) -> Self {
        let label = &[&**name];
        let deliveries = State::ALL
            .iter()
            .map(|s| s.is_final().then(|| families.deliveries.with_label_values(&[&**name, s.word()])))
            .collect();
        let made = Self {
            name: name.clone(),
            families: Arc::clone(families),
            standing: Mutex::default(),
            decisions: std::array::from_fn(|_| Lazy::new()),
            attempts: std::array::from_fn(|_| Lazy::new()),
            deliveries,
            pending: families.deliveries_pending.with_label_values(label),
            waiting: families.deliveries_waiting.with_label_values(label),
            oldest_pending: families.oldest_pending.with_label_values(label),
            oldest_due: families.oldest_due.with_label_values(label),
            attempt_duration: families.attempt_duration.with_label_values(label),
            event_to_delivery: families.event_to_delivery.with_label_values(label),
            breaker_open: families.breaker_open.with_label_values(label),
            uncertain: families.uncertain.with_label_values(label),
        };
        made.decision_counter(None);
        made
    }

    /// A handle whose counts nobody sees.
    pub(super) fn nowhere() -> Self {
        Self::new(&Arc::new(Families::register(&Registry::new())), &ConnectorName::from(""))
    }

    /// A decision: `None` is *send*. A `trigger_mismatch` is not counted (SPEC section 7).
    pub fn decision(&self, reason: Option<Reason>) {
        if reason != Some(Reason::TriggerMismatch) {
            self.decision_counter(reason).inc();
        }
    }

    /// How often each decision was made since the daemon started, those that never were left out.
    pub fn decisions(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let words = Reason::ALL.iter().map(|r| r.word()).chain(["send"]);
        words.zip(&self.decisions).filter_map(|(word, counter)| Some((word, counter.get()?.get())))
    }

    /// An attempt was made. `status` is that of the reply, if there was one.
    pub fn attempt(&self, outcome: &Outcome, status: Option<u16>, took: Duration) {
        let outcome = match outcome {
            Outcome::Delivered => 0,
            Outcome::Retry { .. } => 1,
            Outcome::Rejected(_) => 2,
            Outcome::Dead(_) => 3,
            Outcome::Held => 4,
        };
        // A 1xx ends no exchange; a status beyond 5xx is no HTTP. Both count as no reply.
        let status = match status {
            Some(status @ 200..=599) => usize::from(status / 100 - 2),
            _ => 4,
        };
        let place = &self.attempts[outcome * STATUSES.len() + status];
        self.lazy(place, &self.families.attempts, &[&self.name, OUTCOMES[outcome], STATUSES[status]]).inc();
        self.attempt_duration.observe(took.as_secs_f64());
    }

    /// A partner accepted a postback this long after its event was received.
    pub fn delivered_after(&self, received: Duration) {
        self.event_to_delivery.observe(received.as_secs_f64());
    }

    /// A delivery reached a final state; any other state is not counted.
    pub fn final_state(&self, state: State) {
        if let Some(counter) = &self.deliveries[state as usize] {
            counter.inc();
        }
    }

    /// An attempt's outcome is not known.
    pub fn uncertain(&self) {
        self.uncertain.inc();
    }

    /// How much there is to do. `oldest_pending` and `oldest_due` are ages, 0 where there is nothing.
    pub fn set_backlog(&self, pending: u64, waiting: u64, oldest_pending: Duration, oldest_due: Duration) {
        self.pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.oldest_pending.set(oldest_pending.as_secs_f64());
        self.oldest_due.set(oldest_due.as_secs_f64());
    }

    pub fn set_breaker_open(&self, open: bool) {
        self.breaker_open.set(i64::from(open));
    }

    /// Shows the connector with its mode and revision, in place of what was shown before.
    pub(super) fn set_info(&self, mode: &'static str, revision: &str) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let info = (mode, Box::from(revision));
        if standing.info.as_ref() == Some(&info) {
            return;
        }
        self.drop_info(&standing);
        self.families.connector_info.with_label_values(&[&*self.name, mode, revision]).set(1);
        standing.info = Some(info);
    }

    /// Takes every series of the connector out of the exposition.
    pub(super) fn retire(&self) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.retired = true;
        self.drop_info(&standing);
        let families = &self.families;
        let name = &*self.name;
        // Removing answers an error for a series that never showed, which is as good.
        for reason in Reason::ALL.iter().map(|r| r.word()).chain(["send"]) {
            let _ = families.decisions.remove_label_values(&[name, reason]);
        }
        for (outcome, status) in OUTCOMES.iter().flat_map(|o| STATUSES.iter().map(move |s| (o, s))) {
            let _ = families.attempts.remove_label_values(&[name, outcome, status]);
        }
        for state in State::ALL {
            let _ = families.deliveries.remove_label_values(&[name, state.word()]);
        }
        let _ = families.deliveries_pending.remove_label_values(&[name]);
        let _ = families.deliveries_waiting.remove_label_values(&[name]);
        let _ = families.oldest_pending.remove_label_values(&[name]);
        let _ = families.oldest_due.remove_label_values(&[name]);
        let _ = families.attempt_duration.remove_label_values(&[name]);
        let _ = families.event_to_delivery.remove_label_values(&[name]);
        let _ = families.breaker_open.remove_label_values(&[name]);
        let _ = families.uncertain.remove_label_values(&[name]);
    }

    fn drop_info(&self, standing: &Standing) {
        if let Some((mode, revision)) = &standing.info {
            let _ = self.families.connector_info.remove_label_values(&[&*self.name, mode, &**revision]);
        }
    }

    fn decision_counter(&self, reason: Option<Reason>) -> &IntCounter {
        let (place, word) = reason.map_or((Reason::ALL.len(), "send"), |r| (r as usize, r.word()));
        self.lazy(&self.decisions[place], &self.families.decisions, &[&self.name, word])
    }

    fn lazy<'a>(&self, place: &'a Lazy, family: &IntCounterVec, labels: &[&str]) -> &'a IntCounter {
        if let Some(counter) = place.get() {
            return counter;
        }
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        place.get_or_init(|| {
            let counter = family.with_label_values(labels);
            if standing.retired {
                let _ = family.remove_label_values(labels);
            }
            counter
        })
    }
}
