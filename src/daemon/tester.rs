//! Postbacks on demand, with a daemon and without.
//!
//! Refuses: rendering and sending; the pipeline admits and a lane sends.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use super::watch::LaneWatch;
use crate::config::Config;
use crate::console::{TestError, Tested, Tester, Testing};
use crate::dispatch::{Answer, Aside, Lanes, Ledger, Untried};
use crate::model::connector::Mode;
use crate::model::event::Event;
use crate::model::ids::{ConnectorName, DeliveryId, Seq};
use crate::model::record::{Haste, Job, Record};
use crate::model::time::Time;
use crate::pipeline::ledger::{StoreLedger, Suspects};
use crate::pipeline::tester::{OnDemandError, admit};
use crate::pipeline::{Rules, Trouble};
use crate::store::{LoggedEntry, Store};
use crate::telemetry::metrics::Metrics;

impl From<OnDemandError> for TestError {
    fn from(error: OnDemandError) -> Self {
        match error {
            OnDemandError::Refused(why) => Self::Refused(why),
            OnDemandError::Store(error) => Self::Failed(error.to_string()),
        }
    }
}

/// The running daemon's: its lanes send.
pub(super) struct Attended {
    pub store: Store,
    pub rules: Arc<ArcSwap<Rules>>,
    pub lanes: Arc<Lanes>,
}

impl Tester for Attended {
    fn test<'a>(&'a self, connector: &'a ConnectorName, event: Event, send: bool) -> Testing<'a> {
        let (store, rules, lanes) = (self.store.clone(), self.rules.load_full(), self.lanes.clone());
        let connector = connector.clone();
        // A task that no caller can break off: what is committed is to be offered.
        let task = tokio::spawn(async move { test(&store, &rules, &lanes, &connector, event, send).await });
        Box::pin(async move { task.await.unwrap_or_else(|panic| Err(TestError::Failed(panic.to_string()))) })
    }
}

async fn test(
    store: &Store,
    rules: &Arc<Rules>,
    lanes: &Lanes,
    connector: &ConnectorName,
    event: Event,
    send: bool,
) -> Result<Tested, TestError> {
    let Some(connector) = rules.config.connector(connector).cloned() else {
        return Err(TestError::Refused(format!("there is no connector {connector:?}")));
    };
    let is_off = connector.mode == Mode::Disabled || !connector.postback_enabled;
    if is_off && send {
        let why = format!("{:?} is switched off and sends nothing; set `mode: test` to try it", &*connector.name);
        return Err(TestError::Refused(why));
    }
    let made = admit(store, rules, lanes.turns(), &connector, event, send, super::now()).await?;
    let (requests, refused) = (made.requests(), made.refused());
    let deliveries = made.deliveries();
    if is_off {
        made.log(store, super::now()).await.map_err(|e| TestError::Failed(e.to_string()))?;
    } else {
        made.offer(lanes).await;
    }
    Ok(Tested { deliveries, requests, refused })
}

/// How long a postback on demand may take where no daemon runs: longer than any request's own limit.
const SENT_WITHIN: Duration = Duration::from_secs(120);

/// How often the log is asked whether it has happened.
const ASKED_EVERY: Duration = Duration::from_millis(20);

/// Where no daemon runs: lanes of its own, for as long as it takes.
pub(super) struct Alone {
    config: Arc<Config>,
    store: Store,
}

impl Alone {
    pub(super) fn new(config: Arc<Config>, store: Store) -> Self {
        Self { config, store }
    }
}

/// A ledger that has nothing to send but what is offered: the rest is for the daemon.
struct NothingElse(StoreLedger);

impl Ledger for NothingElse {
    fn record(&self, record: Record, haste: Haste) -> Answer<()> {
        self.0.record(record, haste)
    }

    fn untried(&self, _: &ConnectorName, from: Seq, _: usize) -> Answer<Untried> {
        Box::pin(async move { Ok(Untried { jobs: Vec::new(), next: Seq(from.0.max(i64::MAX / 2)) }) })
    }

    fn due(&self, _: &ConnectorName, _: Option<(Time, DeliveryId)>, _: usize) -> Answer<Vec<Job>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn set_aside(&self, _: &ConnectorName, from: Seq, _: Aside) -> Answer<Seq> {
        Box::pin(async move { Ok(Seq(from.0.max(i64::MAX / 2))) })
    }
}

impl Tester for Alone {
    fn test<'a>(&'a self, connector: &'a ConnectorName, event: Event, send: bool) -> Testing<'a> {
        Box::pin(async move {
            let trouble = Arc::new(Trouble::default());
            let suspects = Suspects::new(super::now(), std::collections::HashMap::new(), |_| {});
            let ledger = StoreLedger::new(self.store.clone(), trouble.clone(), suspects);
            let watch = Arc::new(LaneWatch { metrics: Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"))), trouble });
            let lanes = Lanes::new(Arc::new(NothingElse(ledger)), watch);
            let rules = Arc::new(Rules::new(self.config.clone()));
            lanes.apply(&self.config).map_err(|e| TestError::Failed(e.to_string()))?;
            let tested = test(&self.store, &rules, &lanes, connector, event, send).await?;
            self.wait_for(&tested.deliveries).await?;
            lanes.drain(SENT_WITHIN).await;
            Ok(tested)
        })
    }
}

impl Alone {
    /// Until each delivery has been attempted or logged once.
    async fn wait_for(&self, deliveries: &[DeliveryId]) -> Result<(), TestError> {
        let deadline = tokio::time::Instant::now() + SENT_WITHIN;
        let mut open: HashSet<DeliveryId> = deliveries.iter().copied().collect();
        while !open.is_empty() && tokio::time::Instant::now() < deadline {
            for id in deliveries {
                let found = self.store.delivery(*id).await.map_err(|e| TestError::Failed(e.to_string()))?;
                let happened = |log: &[crate::store::LogEntry]| {
                    log.iter().any(|entry| !matches!(entry.what, LoggedEntry::Started { .. }))
                };
                if found.is_none_or(|detail| happened(&detail.log)) {
                    open.remove(id);
                }
            }
            tokio::time::sleep(ASKED_EVERY).await;
        }
        Ok(())
    }
}
