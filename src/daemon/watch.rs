//! What the lanes tell, counted and logged.
//!
//! Refuses: blocking a lane.

use std::sync::Arc;
use std::time::Duration;

use crate::dispatch::{LedgerFailed, Watch};
use crate::model::delivery::{Reason, State};
use crate::model::ids::{ConnectorName, DeliveryId};
use crate::model::outcome::Outcome;
use crate::pipeline::Trouble;
use crate::store::StoreError;
use crate::telemetry::events;
use crate::telemetry::metrics::Metrics;

pub(super) struct LaneWatch {
    pub metrics: Arc<Metrics>,
    pub trouble: Arc<Trouble>,
}

impl Watch for LaneWatch {
    fn attempted(&self, connector: &ConnectorName, outcome: &Outcome, status: Option<u16>, took: Duration) {
        self.metrics.connector(connector).attempt(outcome, status, took);
    }

    fn delivered(&self, connector: &ConnectorName, after: Duration) {
        self.metrics.connector(connector).delivered_after(after);
    }

    fn ended(&self, connector: &ConnectorName, delivery: DeliveryId, state: State, reason: Option<Reason>) {
        self.metrics.connector(connector).final_state(state);
        match state {
            State::Rejected => events::delivery_rejected(connector, delivery, reason),
            State::Dead => events::delivery_dead(connector, delivery, reason),
            State::Held => events::delivery_held(connector, delivery),
            _ => {}
        }
    }

    fn uncertain(&self, connector: &ConnectorName) {
        self.metrics.connector(connector).uncertain();
    }

    fn breaker(&self, connector: &ConnectorName, is_open: bool) {
        self.metrics.connector(connector).set_breaker_open(is_open);
        if is_open {
            events::breaker_opened(connector);
        } else {
            events::breaker_closed(connector);
        }
    }

    fn ledger_failed(&self, connector: &ConnectorName, failed: &LedgerFailed) {
        events::lane_failed(connector, &failed.to_string());
        self.trouble.tell(&StoreError::Fatal(failed.to_string()));
    }

    fn panicked(&self, connector: &ConnectorName, message: &str) {
        // A lane that stands still would keep its deliveries back without a word: end, and let the next start go on.
        events::lane_failed(connector, message);
        std::process::abort();
    }
}
