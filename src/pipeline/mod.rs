//! The story, readable aloud: what has arrived is admitted in one commit, its senders are told, its deliveries go to
//! their lanes.
//!
//! Refuses: naming a broker, an HTTP library or a database. The sources speak [`Arrival`], the store and the lanes their
//! own words.

pub mod erase;
pub mod explain;
pub mod ledger;
pub mod planner;
pub mod tester;
mod trouble;

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

pub use self::planner::Rules;
pub use self::trouble::{Trouble, Word};
use crate::dispatch::{Lanes, Turn};
use crate::ingest::{Arrival, Receipt, Settled};
use crate::model::delivery::{Reason, State};
use crate::model::event::Event;
use crate::model::ids::ConnectorName;
use crate::model::record::Job;
use crate::model::time::Time;
use crate::store::{Admission, Admitted, Admitting, Candidate, Store, StoreError, Woken};
use crate::telemetry::events;
use crate::telemetry::metrics::Metrics;

/// How much of the writer's time a batch should take. A longer one would make commits rarer, but the outcomes of attempts,
/// which free the slots of lanes, wait behind it.
const BATCH_TAKES: Duration = Duration::from_millis(1);

/// Events after which a batch is closed, at least and at most: as many as [`BATCH_TAKES`] is enough for, going by the last
/// batch. A page view that nobody wants takes a quarter of what a conversion does.
const EVENTS_PER_BATCH: RangeInclusive<usize> = 32..=500;

/// Arrivals that wait for admission. When it is full, AMQP is not read and HTTP answers 503.
pub const ARRIVALS_WAITING: usize = 1024;

/// Batches on their way to the disk: while one is being made durable, the next is decided.
const UNDER_WAY_MAX: usize = 2;

/// Conversions whose waiting is over, decided in one commit.
const WOKEN_PER_COMMIT: usize = 500;

/// What the story is told with.
pub struct House {
    pub store: Store,
    pub rules: Arc<ArcSwap<Rules>>,
    pub lanes: Arc<Lanes>,
    pub metrics: Arc<Metrics>,
    pub trouble: Arc<Trouble>,
    /// Reads the clock.
    pub now: fn() -> Time,
}

/// One arrival whose events are in the batch.
struct Waiting {
    source: &'static str,
    events: usize,
    receipt: Receipt,
}

/// A batch that the store was asked to admit.
struct UnderWay {
    waiting: Vec<Waiting>,
    rules: Arc<Rules>,
    turn: Turn,
    admission: Admitting,
}

impl House {
    /// Admits what arrives until every source is gone and everything has been settled.
    pub async fn admit_all(&self, mut arrivals: mpsc::Receiver<Arrival>) {
        let mut enough = *EVENTS_PER_BATCH.start();
        let mut taken = Vec::with_capacity(*EVENTS_PER_BATCH.end());
        let mut under_way: VecDeque<UnderWay> = VecDeque::with_capacity(UNDER_WAY_MAX);
        loop {
            // Beside another, only a batch that need not wait for company.
            let is_worth_it = under_way.is_empty() || enough <= taken.len() + arrivals.len();
            tokio::select! {
                biased;
                result = oldest(&mut under_way) => {
                    let Some(batch) = under_way.pop_front() else { continue };
                    if let Ok(admission) = &result {
                        enough = enough_for(admission.admitted.len(), admission.took);
                    }
                    self.conclude(batch, result, &mut under_way).await;
                }
                next = self.next(&mut arrivals, &mut taken, enough), if is_worth_it && under_way.len() < UNDER_WAY_MAX => {
                    if let Some(size) = next {
                        let rules = self.rules.load_full();
                        let (waiting, batch) = gather(&rules, &mut taken, size);
                        under_way.push_back(self.ask(rules, waiting, batch));
                    } else if under_way.is_empty() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for arrivals, and for lanes that need a moment to make room for what will come of them. The size of the batch to make
    /// of what was taken; `None` at the end.
    async fn next(
        &self,
        arrivals: &mut mpsc::Receiver<Arrival>,
        taken: &mut Vec<Arrival>,
        enough: usize,
    ) -> Option<usize> {
        if taken.is_empty() && arrivals.recv_many(taken, enough).await == 0 {
            return None;
        }
        // Where it was in vain, all that came meanwhile goes along, so that it cost no more than it must.
        let most = if self.lanes.ease().await { enough } else { *EVENTS_PER_BATCH.end() };
        while taken.len() < most
            && let Ok(arrival) = arrivals.try_recv()
        {
            taken.push(arrival);
        }
        Some(most)
    }

    fn ask(&self, rules: Arc<Rules>, waiting: Vec<Waiting>, batch: Vec<Candidate>) -> UnderWay {
        let keep_for = rules.config.deduplicate_events_for;
        let ask = || self.store.admit(batch, rules.clone(), (self.now)(), keep_for);
        let (turn, admission) = self.lanes.turns().take(ask);
        UnderWay { waiting, rules, turn, admission }
    }

    /// The senders are told, the lanes fed. A batch that failed as a whole is asked for again by halves, behind what is under way,
    /// until the message at fault stands alone.
    async fn conclude(
        &self,
        batch: UnderWay,
        result: Result<Admission, (StoreError, Vec<Candidate>)>,
        under_way: &mut VecDeque<UnderWay>,
    ) {
        let UnderWay { mut waiting, rules, mut turn, .. } = batch;
        match result {
            Ok(admission) => {
                turn.comes().await;
                self.settle(waiting, admission);
            }
            Err((StoreError::Panicked(_) | StoreError::Failed(_), mut batch)) if 1 < waiting.len() => {
                let half = waiting.len() / 2;
                let events: usize = waiting[..half].iter().map(|w| w.events).sum();
                let (waiting_later, batch_later) = (waiting.split_off(half), batch.split_off(events));
                under_way.push_back(self.ask(rules.clone(), waiting, batch));
                under_way.push_back(self.ask(rules, waiting_later, batch_later));
            }
            Err((error, _)) => {
                drop(turn);
                self.refuse(waiting, &error).await;
            }
        }
    }

    /// Tells the senders of one message, or of a batch that nothing in it is to blame for, that it was not admitted.
    async fn refuse(&self, waiting: Vec<Waiting>, error: &StoreError) {
        let at_fault = match error {
            StoreError::Panicked(_) => true,
            // The store says no to this one. If it takes another write, it is this message's fault.
            StoreError::Failed(_) => self.store.write_nothing().await.is_ok(),
            StoreError::Full | StoreError::Fatal(_) | StoreError::Locked(_) => false,
        };
        if !at_fault {
            self.trouble.tell(error);
        }
        for arrival in waiting {
            arrival.receipt.settle(if at_fault {
                events::event_set_aside(arrival.source);
                self.metrics.rejected(arrival.source, "internal_error");
                Settled::Rejected { reason: "internal_error", field: String::new() }
            } else {
                Settled::Unavailable
            });
        }
    }

    /// After the commit: the senders are told, the lanes fed.
    fn settle(&self, waiting: Vec<Waiting>, admission: Admission) {
        let mut admitted = admission.admitted.into_iter();
        let mut jobs: Vec<Job> = Vec::new();
        for arrival in waiting {
            let mut duplicates = 0;
            for one in admitted.by_ref().take(arrival.events) {
                duplicates += u32::from(one.duplicate);
                self.count(arrival.source, &one);
                jobs.extend(one.jobs);
            }
            arrival.receipt.settle(Settled::Stored { duplicates });
        }
        self.lanes.offer(jobs);
        self.wake(&admission.woken);
    }

    fn count(&self, source: &'static str, admitted: &Admitted) {
        let counted = self.metrics.source(source);
        counted.event(admitted.is_track);
        if admitted.duplicate {
            counted.duplicates(1);
        }
        self.metrics.clicks(admitted.clicks_gained);
        for (connector, reason) in &admitted.decisions {
            self.metrics.decision(connector, *reason);
        }
        for (connector, state) in &admitted.ended {
            self.metrics.final_state(connector, *state);
        }
    }

    fn wake(&self, woken: &Woken) {
        for connector in &woken.sent {
            self.metrics.decision(connector, None);
        }
        for (connector, reason) in &woken.skipped {
            self.metrics.decision(connector, Some(*reason));
            self.metrics.final_state(connector, State::Skipped);
        }
        for connector in &woken.disabled {
            self.metrics.decision(connector, Some(Reason::Disabled));
        }
        for connector in &woken.cancelled {
            self.metrics.final_state(connector, State::Cancelled);
        }
        let mut nudged: Vec<&ConnectorName> = woken.sent.iter().collect();
        nudged.sort();
        nudged.dedup();
        nudged.into_iter().for_each(|connector| self.lanes.nudge(connector));
    }

    /// Decides for good the conversions whose waiting is over, looking `every` so often, for ever.
    pub async fn end_waiting(&self, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            loop {
                let rules = self.rules.load_full();
                let keep_for = rules.config.deduplicate_events_for;
                match self.store.wake_due(rules, (self.now)(), keep_for, WOKEN_PER_COMMIT).await {
                    Ok((woken, count)) => {
                        self.wake(&woken);
                        if count < WOKEN_PER_COMMIT {
                            break;
                        }
                    }
                    Err(error) => {
                        self.trouble.tell(&error);
                        break;
                    }
                }
            }
        }
    }
}

/// What becomes of the oldest batch; waits for ever where there is none.
async fn oldest(under_way: &mut VecDeque<UnderWay>) -> Result<Admission, (StoreError, Vec<Candidate>)> {
    match under_way.front_mut() {
        Some(batch) => (&mut batch.admission).await,
        None => std::future::pending().await,
    }
}

/// A batch: of what was taken, arrivals with at least `enough` events, or all there are.
fn gather(rules: &Rules, taken: &mut Vec<Arrival>, enough: usize) -> (Vec<Waiting>, Vec<Candidate>) {
    let (mut waiting, mut batch) = (Vec::with_capacity(enough), Vec::with_capacity(enough));
    let mut before = 0;
    let is_part = |arrival: &&Arrival| {
        let is_wanted = before < enough;
        before += arrival.events.len();
        is_wanted
    };
    let count = taken.iter().take_while(is_part).count();
    for Arrival { source, events, receipt } in taken.drain(..count) {
        waiting.push(Waiting { source, events: events.len(), receipt });
        batch.extend(events.into_iter().map(|event| rules.candidate(event)));
    }
    (waiting, batch)
}

/// How many events [`BATCH_TAKES`] is enough for, where so many took so long.
fn enough_for(events: usize, took: Duration) -> usize {
    let events = u128::try_from(events).unwrap_or(u128::MAX);
    let enough = BATCH_TAKES.as_micros().saturating_mul(events) / took.as_micros().max(1);
    usize::try_from(enough).unwrap_or(usize::MAX).clamp(*EVENTS_PER_BATCH.start(), *EVENTS_PER_BATCH.end())
}

/// Events made ready and admitted one after the other, as if each had arrived alone: for `explain` and fixtures.
pub(crate) async fn admit_one(
    store: &Store,
    rules: &Arc<Rules>,
    event: Event,
    now: Time,
) -> Result<Admitted, StoreError> {
    let batch = vec![rules.candidate(event)];
    let admission = store.admit(batch, rules.clone(), now, rules.config.deduplicate_events_for).await;
    let mut admission = admission.map_err(|(error, _)| error)?;
    admission.admitted.pop().ok_or_else(|| StoreError::Failed("one event was admitted as none".to_owned()))
}
