//! Building the daemon: open the store, bind the listeners, make the lanes, take up what was left, then the sources.
//!
//! Refuses: half a start. Whatever can't be had ends it before the first event is taken.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::health::DaemonHealth;
use super::reload::Reloader;
use super::tester::Attended;
use super::watch::LaneWatch;
use super::{Daemon, StartError, jobs, now};
use crate::config::{Config, StoreChoice};
use crate::console::{self, Desk, LaneState, LaneStates};
use crate::dispatch::Lanes;
use crate::ingest::amqp::{self, AmqpHandle, AmqpState};
use crate::ingest::http::{self, HttpState};
use crate::ingest::{Arrival, Counts};
use crate::model::connector::{Mode, OnUncertain};
use crate::model::delivery::{Reason, State};
use crate::model::ids::ConnectorName;
use crate::model::record::{Entry, Record};
use crate::pipeline::ledger::{StoreLedger, Suspects};
use crate::pipeline::{ARRIVALS_WAITING, House, Rules, Trouble};
use crate::store::{Store, StoreError};
use crate::telemetry::events;
use crate::telemetry::metrics::Metrics;

/// Conversions whose waiting is over are looked for so often.
const WAITING_LOOKED_AT: Duration = Duration::from_millis(250);

/// Starts the daemon of this configuration on the current runtime.
///
/// # Errors
/// The store is in use or can't be opened, or an address can't be had.
pub async fn start(config: Config) -> Result<Daemon, StartError> {
    let failed = |what: &dyn std::fmt::Display| StartError(what.to_string());
    let config = Arc::new(config);
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    metrics.set_connectors(&config.connectors);
    let (admin, ingest) = (bind("admin", config.admin.listen).await?, bind("ingest", config.ingest.listen).await?);
    let store = open(&config, metrics.clone()).map_err(|e| failed(&e))?;
    let trouble = Arc::new(Trouble::default());
    let lanes = make_lanes(&config, &store, &metrics, &trouble).await?;
    let shared = Arc::new(ArcSwap::from(config.clone()));
    let rules = Arc::new(ArcSwap::from_pointee(Rules::new(config.clone())));
    let house = Arc::new(House {
        store: store.clone(),
        rules: rules.clone(),
        lanes: lanes.clone(),
        metrics: metrics.clone(),
        trouble: trouble.clone(),
        now,
    });
    let (stopping, stop) = watch::channel(false);
    let (arrivals, arrived) = mpsc::channel(ARRIVALS_WAITING);
    let addresses = (local(&admin)?, local(&ingest)?);
    let (amqp, listener) = sources(&config, &shared, &metrics, arrivals, ingest, stop.clone());
    let desk = desk(&house, &shared, amqp.as_ref(), stop);
    events::listener_opened("admin", addresses.0);
    events::listener_opened("ingest", addresses.1);
    let admission = tokio::spawn({
        let house = house.clone();
        async move { house.admit_all(arrived).await }
    });
    let mut jobs = jobs::start(&house, &shared, amqp.as_ref());
    // It answers to the end: a probe during the drain must hear that the daemon is not ready.
    jobs.push(tokio::spawn(console::server::serve(admin, console::router(desk), std::future::pending())));
    jobs.push(tokio::spawn({
        let house = house.clone();
        async move { house.end_waiting(WAITING_LOOKED_AT).await }
    }));
    events::daemon_started(env!("CARGO_PKG_VERSION"), config.connectors.len(), config.containers.len());
    metrics.reloaded(now());
    let reloader = Arc::new(Reloader::new(shared.clone(), rules, lanes.clone(), metrics.clone()));
    Ok(Daemon {
        admin: addresses.0,
        ingest: addresses.1,
        store,
        metrics,
        config: shared,
        house,
        lanes,
        reloader,
        amqp,
        stopping,
        listener,
        admission,
        jobs,
    })
}

/// What the admin listener may ask about.
fn desk(
    house: &Arc<House>,
    shared: &Arc<ArcSwap<Config>>,
    amqp: Option<&AmqpHandle>,
    stopping: watch::Receiver<bool>,
) -> Desk {
    let (store, lanes) = (house.store.clone(), house.lanes.clone());
    let amqp = amqp.map(AmqpHandle::status);
    let health = DaemonHealth { store: store.clone(), trouble: house.trouble.watch(), amqp, stopping };
    let nudged = lanes.clone();
    Desk {
        store: store.clone(),
        config: shared.clone(),
        metrics: house.metrics.clone(),
        health: Arc::new(health),
        lanes: Arc::new(LanesShown(lanes.clone())),
        tester: Arc::new(Attended { store, rules: house.rules.clone(), lanes }),
        nudge: Box::new(move |connector| nudged.nudge(connector)),
    }
}

async fn bind(name: &str, address: std::net::SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|e| {
        StartError(format!("can't listen on {address} (`{name}.listen`): {e}; is another postbackd running?"))
    })
}

fn local(listener: &TcpListener) -> Result<std::net::SocketAddr, StartError> {
    listener.local_addr().map_err(|e| StartError(format!("can't tell the address listened on: {e}")))
}

fn open(config: &Config, metrics: Arc<Metrics>) -> Result<Store, StoreError> {
    match &config.store {
        StoreChoice::Embedded { path } => Store::open(path, move |took| metrics.commit(took)),
    }
}

/// The lanes with what the last run left: first attempts from where it had come to, pauses, and what may have been
/// under way when it ended.
async fn make_lanes(
    config: &Arc<Config>,
    store: &Store,
    metrics: &Arc<Metrics>,
    trouble: &Arc<Trouble>,
) -> Result<Arc<Lanes>, StartError> {
    let failed = |e: StoreError| StartError(e.to_string());
    // Before a lane could send what was to be forgotten.
    let rules = Arc::new(Rules::new(config.clone()));
    let erased = store.finish_erasures(rules, now(), config.deduplicate_events_for).await.map_err(failed)?;
    erased.cancelled.iter().for_each(|connector| metrics.final_state(connector, State::Cancelled));
    settle_cut_off(config, store, metrics).await.map_err(failed)?;
    let slots: HashMap<_, _> = if store.found().clean {
        HashMap::new()
    } else {
        // Where the start of an attempt is on record, what was cut off is known and settled.
        let unannounced = config.connectors.iter().filter(|c| c.postback.on_uncertain == OnUncertain::Resend);
        unannounced.map(|c| (c.name.clone(), c.postback.limits.concurrency)).collect()
    };
    let counted = metrics.clone();
    let suspects = Suspects::new(now(), slots, move |connector| counted.connector(connector).uncertain());
    let ledger = Arc::new(StoreLedger::new(store.clone(), trouble.clone(), suspects));
    let watch = Arc::new(LaneWatch { metrics: metrics.clone(), trouble: trouble.clone() });
    let lanes = Arc::new(Lanes::new(ledger, watch));
    let left = jobs::left_behind(store).await.map_err(failed)?;
    store.begin_run().await.map_err(failed)?;
    // Before anything may start: how long a delivery was parked decides whether it is tried again.
    for (connector, parking) in left.parkings {
        lanes.restore(&connector, parking);
    }
    lanes.apply(config).map_err(|e| StartError(e.to_string()))?;
    // Of connectors that are gone too, also where they went while nobody ran: what is parked must not be forgotten.
    let mut all: BTreeSet<ConnectorName> = config.connectors.iter().map(|c| c.name.clone()).collect();
    all.extend(left.frontiers.keys().cloned());
    all.extend(store.found().backlog.keys().map(|name| ConnectorName::from(name.as_str())));
    lanes.begin(left.all);
    // A lane that has nothing pending has nothing to look for, and a thousand that look keep the store from its work.
    let pending = |name: &ConnectorName| store.found().backlog.get(&**name).is_some_and(|backlog| backlog.pending != 0);
    for connector in all.iter().filter(|name| pending(name)) {
        lanes.resume(connector, left.frontiers.get(connector).copied().unwrap_or(left.all));
    }
    Ok(lanes)
}

/// Attempts whose start is on record and whose outcome a crash took: what their connector wants done with them.
async fn settle_cut_off(config: &Config, store: &Store, metrics: &Metrics) -> Result<(), StoreError> {
    for cut_off in store.cut_off().await? {
        let wanted = config.connector(&cut_off.connector).map(|c| c.postback.on_uncertain);
        metrics.connector(&cut_off.connector).uncertain();
        let state = match wanted {
            Some(OnUncertain::Drop) => State::Dead,
            Some(OnUncertain::Resend) => {
                store.resend_cut_off(cut_off.delivery).await?;
                continue;
            }
            // A connector that is gone can't say; nothing is lost by keeping it for a person.
            Some(OnUncertain::Hold) | None => State::Held,
        };
        let record = Record {
            delivery: cut_off.delivery,
            connector: cut_off.connector,
            at: now(),
            on_record: true,
            first_due: cut_off.first_due,
            entry: Entry::Ended {
                state,
                reason: Some(Reason::Uncertain),
                detail: Some(format!("the daemon ended during attempt {}", cut_off.attempt).into()),
            },
        };
        store.record(record).await?;
    }
    Ok(())
}

/// Starts what brings events in. When all of it has ended, so has the channel.
fn sources(
    config: &Config,
    shared: &Arc<ArcSwap<Config>>,
    metrics: &Arc<Metrics>,
    arrivals: mpsc::Sender<Arrival>,
    ingest: TcpListener,
    stop: watch::Receiver<bool>,
) -> (Option<AmqpHandle>, JoinHandle<()>) {
    let counted = metrics.clone();
    let counts = Arc::new(Counts {
        rejected: Box::new(move |source, reason| {
            counted.rejected(source, reason);
            events::message_rejected(source, reason);
        }),
    });
    let amqp = config.amqp.clone().map(|source| {
        metrics.set_source_connected(amqp::SOURCE, false);
        let state = AmqpState { arrivals: arrivals.clone(), config: shared.clone(), counts: counts.clone() };
        amqp::start(source, state)
    });
    let state = HttpState { arrivals, config: shared.clone(), counts };
    (amqp, tokio::spawn(http::serve(ingest, state, stop)))
}

/// The lanes as the console shows them.
struct LanesShown(Arc<Lanes>);

impl LaneStates for LanesShown {
    fn states(&self) -> Vec<LaneState> {
        let shown = |lane: crate::dispatch::LaneState| LaneState {
            parked: match (lane.mode, lane.parked_since, lane.paused_until) {
                (None, ..) => Some("the connector was removed".to_owned()),
                (Some(Mode::Test), Some(since), _) => {
                    Some(format!("in test since {since}: what was decided before waits until it is enabled"))
                }
                (_, Some(since), _) => Some(format!("switched off since {since}")),
                (_, None, Some(until)) => Some(format!("the network asked for a pause until {until}")),
                (_, None, None) => None,
            },
            connector: lane.connector,
            breaker_open: lane.breaker_open,
            in_flight: lane.in_flight,
        };
        self.0.states().into_iter().map(shown).collect()
    }
}
