//! One connector's lane: when an attempt may start, and how many at once.
//!
//! A lane is a small state behind a lock, a task that starts attempts, and one task for each slot in use. A slot that is
//! free again takes the next job itself, so that a busy lane starts no task for an attempt. The slot is held until the
//! ledger has answered: what is in flight is all that a crash can make uncertain.
//!
//! Refuses: knowing other lanes, and sending anything itself (`attempt` does).

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::Notify;

use super::attempt::{self, Done, Setup, Task};
use super::breaker::{Breaker, Pass};
use super::budget::Budget;
use super::feed::{Feed, Parked, Question};
use super::pace::{self, Pace};
use super::parking::Parking;
use super::{Aside, LaneState, Ledger, LedgerFailed, Untried, Watch, clock};
use crate::model::connector::{Limits, Mode};
use crate::model::delivery::Sending;
use crate::model::ids::{ConnectorName, Seq};
use crate::model::record::{Haste, Job};
use crate::model::time::Time;

/// First attempts that a lane should have room for: what admission has under way.
const ROOM: usize = 256;

/// The room that it is waited for, where that was short: a small batch more.
const ROOM_MADE: usize = ROOM + 32;

/// Whether a lane has [`ROOM`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// It has fallen behind or soon would, and is worth waiting for.
    Short,
    /// It is too slow to be waited for.
    OfNoUse,
}

/// How long admission waits for a lane at most.
const ROOM_WITHIN: Duration = pace::MEASURED_OVER;

/// A lane looks at the wall clock at least this often, since a sleep does not notice when it is set.
const SLEEP_MAX: Duration = Duration::from_secs(10);

/// A lane that has so many times the slots it uses when an attempt starts has plenty: none is needed when that ends, or only the
/// first time after a quiet while.
const SLOTS_PLENTY: usize = 2;

/// The part of a second whose share of the rate may be sent at one go: timers do not wake more often than that.
const BURST_PART: f64 = 0.02;

/// What a lane shares with its tasks.
pub(crate) struct Lane {
    name: ConnectorName,
    ledger: Arc<dyn Ledger>,
    watch: Arc<dyn Watch>,
    state: Mutex<State>,
    /// Something may start, or be read.
    wake: Notify,
    /// A slot was given back.
    freed: Notify,
    /// There is room for first attempts again, or none is needed.
    eased: Notify,
}

struct State {
    feed: Feed,
    /// `None`: the connector was removed.
    setup: Option<Arc<Setup>>,
    limiter: Option<(f64, DefaultDirectRateLimiter)>,
    breaker: Breaker,
    paused_until: Option<Time>,
    parking: Parking,
    slots_used: usize,
    /// Somebody waits until the lane is eased.
    is_awaited: bool,
    pace: Pace,
    /// No attempt starts any more: the daemon drains, or the ledger failed.
    is_stopped: bool,
    is_closed: bool,
}

/// What may happen next.
enum Next {
    Start(Box<Task>),
    /// Nothing before this; `None`: before something happens.
    Wait(Option<Time>),
}

/// An answer of the ledger.
enum Answered {
    Untried(Result<Untried, LedgerFailed>),
    Due(Result<Vec<Job>, LedgerFailed>),
    SetAside(Result<Seq, LedgerFailed>),
}

impl Lane {
    /// A lane that is parked until [`Self::set_up`].
    pub(crate) fn new(
        name: ConnectorName,
        ledger: Arc<dyn Ledger>,
        watch: Arc<dyn Watch>,
        budget: Arc<Budget>,
    ) -> Arc<Self> {
        let state = State {
            feed: Feed::new(budget),
            setup: None,
            limiter: None,
            breaker: Breaker::new(),
            paused_until: None,
            parking: Parking::default(),
            slots_used: 0,
            is_awaited: false,
            pace: Pace::default(),
            is_stopped: false,
            is_closed: false,
        };
        let lane = Self {
            name,
            ledger,
            watch,
            state: Mutex::new(state),
            wake: Notify::new(),
            freed: Notify::new(),
            eased: Notify::new(),
        };
        Arc::new(lane)
    }

    /// Starts the task that starts attempts.
    pub(crate) fn launch(self: &Arc<Self>) {
        tokio::spawn(self.clone().guarded(self.clone().drive()));
    }

    /// The connector as it is from the next attempt on; `None`: it was removed.
    pub(crate) fn set_up(&self, setup: Option<Setup>, now: Time) {
        let mut state = self.lock();
        let mode = setup.as_ref().map(|s| s.connector.mode);
        let revision = |setup: &Setup| setup.connector.revision.clone();
        if setup.as_ref().map(revision) != state.setup.as_deref().map(revision) {
            // Someone has changed it, perhaps to mend it: what it was blamed for is forgotten.
            if state.breaker.is_open() {
                self.watch.breaker(&self.name, false);
            }
            state.breaker = Breaker::new();
            state.paused_until = None;
        }
        let rate = setup.as_ref().and_then(|s| s.connector.postback.limits.rate);
        if rate != state.limiter.as_ref().map(|(rate, _)| *rate) {
            state.limiter = rate.and_then(|rate| Some((rate, RateLimiter::direct(quota(rate)?))));
        }
        state.setup = setup.map(Arc::new);
        state.parking.turn(mode, now);
        state.feed.park(match mode {
            Some(Mode::Enabled) => Parked::Nothing,
            Some(Mode::Test) => Parked::Live,
            Some(Mode::Disabled) | None => Parked::All,
        });
        drop(state);
        self.wake.notify_one();
    }

    pub(crate) fn offer(&self, job: Job) {
        let mut state = self.lock();
        state.feed.offer(job);
        let is_busy = state.setup.as_ref().is_some_and(|s| s.connector.postback.limits.concurrency <= state.slots_used);
        drop(state);
        // With every slot in use, the next one that is free looks by itself.
        if !is_busy {
            self.wake.notify_one();
        }
    }

    /// Whether it could take another batch.
    pub(crate) fn room(&self) -> Room {
        let mut state = self.lock();
        if !state.feed.is_crowded(ROOM * 2) {
            state.pace.rest();
        }
        // In between, it goes on being measured: a lane that was just waited for has some room, and may be slow all the same.
        if !state.feed.is_crowded(ROOM) {
            Room::Enough
        } else if state.pace.is_quick(clock::now()) {
            Room::Short
        } else {
            Room::OfNoUse
        }
    }

    /// Answers when it has caught up and made room for first attempts; false where it has not within [the time](ROOM_WITHIN)
    /// for it.
    pub(crate) async fn eased(&self) -> bool {
        let room = async {
            loop {
                let eased = self.eased.notified();
                tokio::pin!(eased);
                eased.as_mut().enable();
                {
                    let mut state = self.lock();
                    state.is_awaited = state.feed.is_crowded(ROOM_MADE);
                    if !state.is_awaited || state.is_stopped {
                        return;
                    }
                }
                eased.await;
            }
        };
        // It may be judged slow by then.
        tokio::time::timeout(ROOM_WITHIN, room).await.is_ok()
    }

    pub(crate) fn resume(&self, from: Seq) {
        self.lock().feed.resume(from);
        self.wake.notify_one();
    }

    pub(crate) fn nudge(&self) {
        self.lock().feed.nudge();
        self.wake.notify_one();
    }

    pub(crate) fn restore(&self, parking: Parking, now: Time) {
        self.lock().parking.restore(parking, now);
    }

    pub(crate) fn parking(&self) -> Parking {
        self.lock().parking.clone()
    }

    /// The lowest event of which a first attempt may lack an entry, and whether the lane is behind.
    pub(crate) fn frontier(&self) -> (Option<Seq>, bool) {
        let state = self.lock();
        (state.feed.frontier(), state.feed.is_behind())
    }

    pub(crate) fn state(&self, now: Time) -> LaneState {
        let state = self.lock();
        let mode = state.setup.as_ref().map(|s| s.connector.mode);
        LaneState {
            connector: self.name.clone(),
            mode,
            breaker_open: state.breaker.is_open(),
            paused_until: state.paused_until.filter(|until| now < *until),
            parked_since: state.parking.since.map(|(since, _)| since),
            in_flight: state.slots_used,
            queued: state.feed.queued(),
            is_behind: state.feed.is_behind(),
        }
    }

    /// Starts no attempt any more.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.is_stopped = true;
        state.is_closed = true;
        drop(state);
        self.wake.notify_one();
    }

    /// Answers when no slot is in use.
    pub(crate) async fn idle(&self) {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.lock().slots_used == 0 {
                return;
            }
            freed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in here has been told to the watch, which ends the process.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A panic in a lane is one of ours: the daemon must not live on with half its lanes.
    async fn guarded(self: Arc<Self>, work: impl Future<Output = ()>) {
        if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
            self.lock().is_stopped = true;
            let text = panic.downcast_ref::<&str>().map(|t| (*t).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            self.watch.panicked(&self.name, &text);
        }
    }

    /// Starts what may start, asks the ledger what must be asked, and sleeps until there is more.
    async fn drive(self: Arc<Self>) {
        let mut reading: Option<BoxFuture<'static, Answered>> = None;
        loop {
            let wake_at = {
                let mut state = self.lock();
                if state.is_closed {
                    return;
                }
                let now = clock::now();
                let wake_at = loop {
                    match state.next(now) {
                        Next::Start(task) => drop(tokio::spawn(self.clone().guarded(self.clone().work(task)))),
                        Next::Wait(until) => break until,
                    }
                };
                if reading.is_none() && !state.is_stopped {
                    reading = state.feed.ask(now).map(|question| self.read(question, &state.feed));
                }
                let feed_at = state.feed.next_at().filter(|at| now < *at);
                [wake_at, feed_at].into_iter().flatten().min().map_or(SLEEP_MAX, |at| at.since(now).min(SLEEP_MAX))
            };
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(wake_at.max(Duration::from_millis(1))) => {}
                answered = answer(&mut reading) => {
                    reading = None;
                    self.take_in(answered);
                }
            }
        }
    }

    fn read(&self, question: Question, feed: &Feed) -> BoxFuture<'static, Answered> {
        match question {
            Question::Untried { from, limit } => {
                self.ledger.untried(&self.name, from, limit).map(Answered::Untried).boxed()
            }
            Question::Due { after, limit } => self.ledger.due(&self.name, after, limit).map(Answered::Due).boxed(),
            Question::SetAside { from, only_live } => {
                let what = Aside { only_live, but: feed.first_attempts() };
                self.ledger.set_aside(&self.name, from, what).map(Answered::SetAside).boxed()
            }
        }
    }

    fn take_in(&self, answered: Answered) {
        let now = clock::now();
        let failed = match answered {
            Answered::Untried(Ok(found)) => {
                let mut state = self.lock();
                state.feed.found_untried(found, now);
                if state.is_eased() {
                    self.eased.notify_waiters();
                }
                return;
            }
            Answered::Due(Ok(found)) => return self.lock().feed.found_due(found, now),
            Answered::SetAside(Ok(next)) => return self.lock().feed.set_aside(next, now),
            Answered::Untried(Err(failed)) | Answered::Due(Err(failed)) | Answered::SetAside(Err(failed)) => failed,
        };
        self.fail(&failed);
    }

    fn fail(&self, failed: &LedgerFailed) {
        self.lock().is_stopped = true;
        self.watch.ledger_failed(&self.name, failed);
    }

    /// One slot in use: attempts, one after the other, for as long as there is one that may start.
    async fn work(self: Arc<Self>, task: Box<Task>) {
        let mut slot = Slot { lane: &self, is_held: true };
        let mut next = Some(task);
        while let Some(task) = next {
            let done = match attempt::run(*task, &*self.ledger, &*self.watch).await {
                Ok(done) => done,
                Err(failed) => return self.fail(&failed),
            };
            next = slot.settle(done);
        }
    }
}

/// Gives the slot back, however its task ends.
struct Slot<'a> {
    lane: &'a Lane,
    is_held: bool,
}

impl Slot<'_> {
    /// Takes in what an attempt taught, and the next job if one may start.
    fn settle(&mut self, done: Done) -> Option<Box<Task>> {
        let mut state = self.lane.lock();
        let now = clock::now();
        let was_open = state.breaker.is_open();
        state.settle(done, now);
        state.pace.finished_one();
        let is_open = state.breaker.is_open();
        state.slots_used -= 1;
        self.is_held = false;
        let task = match state.next(now) {
            Next::Start(task) => Some(task),
            Next::Wait(_) => None,
        };
        self.is_held = task.is_some();
        let is_eased = state.is_eased();
        let is_more = task.is_none() || state.has_more(now);
        drop(state);
        if was_open != is_open {
            self.lane.watch.breaker(&self.lane.name, is_open);
        }
        if is_eased {
            self.lane.eased.notify_waiters();
        }
        if is_more {
            self.lane.wake.notify_one();
        }
        if task.is_none() {
            self.lane.freed.notify_waiters();
        }
        task
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if self.is_held {
            self.lane.lock().slots_used -= 1;
            self.lane.freed.notify_waiters();
        }
    }
}

/// Waits for an answer, for ever if nothing was asked.
async fn answer(reading: &mut Option<BoxFuture<'static, Answered>>) -> Answered {
    match reading {
        Some(reading) => reading.await,
        None => std::future::pending().await,
    }
}

/// `None` for a rate that is no positive number, which the configuration refuses.
fn quota(rate: f64) -> Option<Quota> {
    let period = Duration::try_from_secs_f64(rate.recip()).ok()?;
    // Saturates, and is at least 1.
    let burst = std::num::NonZeroU32::new((rate * BURST_PART).ceil() as u32).unwrap_or(std::num::NonZeroU32::MIN);
    Some(Quota::with_period(period)?.allow_burst(burst))
}

impl State {
    /// Takes the next job if one may start now.
    fn next(&mut self, now: Time) -> Next {
        let Some(setup) = &self.setup else { return Next::Wait(None) };
        let Limits { concurrency, .. } = setup.connector.postback.limits;
        if self.is_stopped || concurrency <= self.slots_used {
            return Next::Wait(None);
        }
        let Some((queue, sending)) = self.feed.head(now) else { return Next::Wait(None) };
        let mut is_probe = false;
        // What is only rendered troubles nobody.
        if sending != Sending::Dry {
            if let Some(until) = self.paused_until.filter(|until| now < *until) {
                return Next::Wait(Some(until));
            }
            is_probe = match self.breaker.pass(now) {
                Pass::Yes => false,
                Pass::Probe => true,
                Pass::From(until) => return Next::Wait(Some(until)),
                Pass::Probing => return Next::Wait(None),
            };
            if let Some((_, limiter)) = &self.limiter
                && let Err(not_until) = limiter.check()
            {
                let wait = not_until.wait_time_from(governor::clock::Clock::now(limiter.clock()));
                return Next::Wait(Some(now.plus(wait.max(Duration::from_millis(1)))));
            }
        }
        let setup = setup.clone();
        let Some(job) = self.feed.take(queue) else { return Next::Wait(None) };
        if is_probe {
            self.breaker.probe();
        }
        self.slots_used += 1;
        let parked = self.parking.within(sending, job.first_due, now);
        let is_urgent = is_probe || concurrency < self.slots_used * SLOTS_PLENTY;
        let haste = if is_urgent { Haste::Now } else { Haste::Soon };
        Next::Start(Box::new(Task { job, setup, is_probe, parked, haste }))
    }

    /// True once, when somebody waited for room and there is.
    fn is_eased(&mut self) -> bool {
        let is_eased = self.is_awaited && !self.feed.is_crowded(ROOM_MADE);
        self.is_awaited &= !is_eased;
        is_eased
    }

    /// Takes in what an attempt taught.
    fn settle(&mut self, done: Done, now: Time) {
        if let Some(setup) = &self.setup {
            self.breaker.learn(done.sign, done.is_probe, &setup.connector.postback.breaker, now);
        }
        self.paused_until = self.paused_until.max(done.pause_until);
        self.feed.done(done.id, done.again);
    }

    /// Whether there is more to start or to ask than the slot that asks this can do.
    fn has_more(&self, now: Time) -> bool {
        let Some(setup) = &self.setup else { return false };
        let is_free = self.slots_used < setup.connector.postback.limits.concurrency;
        (is_free && self.feed.queued() != 0) || self.feed.would_ask(now)
    }
}
