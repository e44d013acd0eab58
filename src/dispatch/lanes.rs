//! All lanes: one for each connector that is or was configured.
//!
//! Refuses: looking into a delivery. It hands each to the lane it names.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::attempt::Setup;
use super::budget::Budget;
use super::client::{ClientFailed, Clients};
use super::lane::{Lane, Room};
use super::parking::Parking;
use super::token::Tokens;
use super::turn::Turns;
use super::{Frontiers, LaneState, Ledger, Watch, clock};
use crate::config::Config;
use crate::model::connector::Auth;
use crate::model::ids::{ConnectorName, Seq};
use crate::model::record::Job;

/// The lanes of a daemon. Dropping them stops them: what is in flight is recorded, nothing else is started.
pub struct Lanes {
    ledger: Arc<dyn Ledger>,
    watch: Arc<dyn Watch>,
    budget: Arc<Budget>,
    clients: Mutex<Option<Clients>>,
    /// Of connectors that need them; kept over a reload that changes nothing of it.
    tokens: Mutex<HashMap<ConnectorName, Arc<Tokens>>>,
    /// A lane whose connector was removed stays: it knows what of it is parked. Bounded by the names ever configured.
    lanes: RwLock<HashMap<ConnectorName, Arc<Lane>>>,
    /// The newest event whose deliveries have all been offered.
    newest: AtomicI64,
    turns: Turns,
    /// Lanes that the last offer left short of room, if it left none with enough.
    short: Mutex<Vec<Arc<Lane>>>,
}

/// Lanes of one offer that are looked at; where there are more, one of them can surely go on.
const EASED_TOGETHER: usize = 8;

impl Lanes {
    /// No lane yet: [`Self::apply`] makes them. Needs a tokio runtime from there on.
    pub fn new(ledger: Arc<dyn Ledger>, watch: Arc<dyn Watch>) -> Self {
        Self {
            ledger,
            watch,
            budget: Arc::default(),
            clients: Mutex::default(),
            tokens: Mutex::default(),
            lanes: RwLock::default(),
            newest: AtomicI64::new(0),
            turns: Turns::default(),
            short: Mutex::default(),
        }
    }

    /// The connectors as they are from the next attempt on. A connector that is configured no more is parked.
    ///
    /// # Errors
    /// A client cannot be built; then nothing has changed.
    pub fn apply(&self, config: &Config) -> Result<(), ClientFailed> {
        let setups = self.setups(config)?;
        let now = clock::now();
        for (name, lane) in &*self.lanes.read().unwrap_or_else(PoisonError::into_inner) {
            if !setups.contains_key(name) {
                lane.set_up(None, now);
            }
        }
        for (name, setup) in setups {
            self.lane(&name).set_up(Some(setup), now);
        }
        Ok(())
    }

    fn setups(&self, config: &Config) -> Result<HashMap<ConnectorName, Setup>, ClientFailed> {
        let mut kept = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let mut clients =
            kept.take().filter(|c| c.fits(&config.egress)).unwrap_or_else(|| Clients::new(&config.egress));
        let mut kept_tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let mut tokens = HashMap::new();
        // A connector without a postback sends none: it has no lane of its own accord.
        let setups = config.connectors.iter().filter(|c| c.postback_enabled).map(|connector| {
            let wire = clients.wire(connector.postback.timeout.connect)?;
            let own = match &connector.postback.auth {
                Some(Auth::OAuth2(spec)) => {
                    let known = kept_tokens.get(&connector.name).filter(|known| known.fit(spec)).cloned();
                    Some(known.unwrap_or_else(|| Arc::new(Tokens::new(spec.clone()))))
                }
                Some(Auth::Header { .. }) | None => None,
            };
            tokens.extend(own.clone().map(|own| (connector.name.clone(), own)));
            Ok((connector.name.clone(), Setup { connector: connector.clone(), wire, tokens: own }))
        });
        let setups: Result<_, ClientFailed> = setups.collect();
        if setups.is_ok() {
            *kept_tokens = tokens;
        }
        clients.keep(|connect| config.connectors.iter().any(|c| c.postback.timeout.connect == connect));
        *kept = Some(clients);
        setups
    }

    /// Who may [`offer`](Self::offer) next. Were a later event offered first, a crash in between would have a restart begin behind the
    /// earlier one.
    pub fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Gives lanes that the last offer found short of room a moment to make some. What finds none is read back from the store,
    /// which costs more than waiting does. Nobody waits where another lane could go on, nor for a lane that is slow. False where
    /// one made none in its time.
    pub async fn ease(&self) -> bool {
        let short = self.short.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let eased = futures_util::future::join_all(short.iter().map(|lane| lane.eased())).await;
        // Until the next offer there is nothing more to wait for.
        self.short.lock().unwrap_or_else(PoisonError::into_inner).clear();
        eased.into_iter().all(|in_time| in_time)
    }

    /// Deliveries just committed, in order of admission, by whose [turn](Self::turns) it is. Never blocks.
    pub fn offer(&self, jobs: Vec<Job>) {
        let Some(newest) = jobs.iter().map(|job| job.delivery.id.seq()).max() else { return };
        let mut strangers = Vec::new();
        let mut fed: Vec<Arc<Lane>> = Vec::new();
        {
            let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
            for job in jobs {
                match lanes.get(&job.delivery.connector) {
                    Some(lane) => {
                        lane.offer(job);
                        if fed.len() <= EASED_TOGETHER && !fed.iter().any(|known| Arc::ptr_eq(known, lane)) {
                            fed.push(lane.clone());
                        }
                    }
                    None => strangers.push(job),
                }
            }
        }
        let strangers_are_none = strangers.is_empty();
        for job in strangers {
            // Decided just before its connector was removed, or switched off.
            self.lane(&job.delivery.connector.clone()).offer(job);
        }
        let rooms: Vec<Room> = fed.iter().map(|lane| lane.room()).collect();
        let is_stuck = strangers_are_none && fed.len() <= EASED_TOGETHER && !rooms.contains(&Room::Enough);
        let short =
            fed.into_iter().zip(rooms).filter(|(_, room)| is_stuck && *room == Room::Short).map(|(lane, _)| lane);
        *self.short.lock().unwrap_or_else(PoisonError::into_inner) = short.collect();
        // Only now: until here, a frontier between the two must not pass what a lane has not got yet.
        self.newest.fetch_max(newest.0, Ordering::Release);
    }

    /// There is something on record for this connector that the lane was not offered: a conversion that was woken, a
    /// replay.
    pub fn nudge(&self, connector: &str) {
        if let Some(lane) = self.lanes.read().unwrap_or_else(PoisonError::into_inner).get(connector) {
            lane.nudge();
        }
    }

    /// At start: first attempts of events before `from` have all been made, but for those of lanes that are told to
    /// [resume](Self::resume).
    pub fn begin(&self, from: Seq) {
        self.newest.fetch_max(from.0 - 1, Ordering::Release);
    }

    /// At start: first attempts of events from `from` on may lack an entry. For a connector that is not configured too, so
    /// that what is parked of it is not forgotten.
    pub fn resume(&self, connector: &ConnectorName, from: Seq) {
        self.begin(from);
        self.lane(connector).resume(from);
    }

    /// At start, before [`Self::apply`]: when the lane was parked before.
    pub fn restore(&self, connector: &ConnectorName, parking: Parking) {
        self.lane(connector).restore(parking, clock::now());
    }

    /// When each lane was parked, for [`Self::restore`] after the next start.
    pub fn parkings(&self) -> Vec<(ConnectorName, Parking)> {
        let all = self.all().into_iter().map(|(name, lane)| (name, lane.parking()));
        all.filter(|(_, parking)| *parking != Parking::default()).collect()
    }

    /// Starts no attempt any more, and waits until those in flight are on record, but no longer than `grace`.
    pub async fn drain(&self, grace: Duration) {
        let lanes = self.all();
        for (_, lane) in &lanes {
            lane.stop();
        }
        let idle = futures_util::future::join_all(lanes.iter().map(|(_, lane)| lane.idle()));
        // Whatever is left is uncertain, which is what the next start takes it for.
        drop(tokio::time::timeout(grace, idle).await);
    }

    /// Where a restart would have to scan from.
    pub fn frontiers(&self) -> Frontiers {
        // Read before the lanes: what is offered meanwhile lies beyond it.
        let mut all = Seq(self.newest.load(Ordering::Acquire) + 1);
        let mut behind = Vec::new();
        for (name, lane) in self.all() {
            match lane.frontier() {
                (Some(from), true) => behind.push((name, from)),
                (Some(from), false) => all = all.min(from),
                (None, _) => {}
            }
        }
        behind.sort();
        Frontiers { all, behind }
    }

    /// Every lane as it stands, by name.
    pub fn states(&self) -> Vec<LaneState> {
        let now = clock::now();
        let mut states: Vec<_> = self.all().iter().map(|(_, lane)| lane.state(now)).collect();
        states.sort_by(|a, b| a.connector.cmp(&b.connector));
        states
    }

    fn all(&self) -> Vec<(ConnectorName, Arc<Lane>)> {
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.iter().map(|(name, lane)| (name.clone(), lane.clone())).collect()
    }

    /// The lane of this name, made if there is none.
    fn lane(&self, name: &ConnectorName) -> Arc<Lane> {
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        let made = || {
            let lane = Lane::new(name.clone(), self.ledger.clone(), self.watch.clone(), self.budget.clone());
            // Parked from now on, for as long as nobody configures it.
            lane.set_up(None, clock::now());
            lane.launch();
            lane
        };
        lanes.entry(name.clone()).or_insert_with(made).clone()
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        for (_, lane) in self.all() {
            lane.stop();
        }
    }
}

#[cfg(test)]
mod tests;
