//! What a lane has to do next, in bounded memory, without losing or doubling a delivery.
//!
//! First attempts come as offers, in order of admission. When memory is full an offer is dropped, and the lane is behind:
//! it reads first attempts from the store, from there on, until it has read past the newest offer. Retries lie in memory
//! in the order in which they are due, up to an *edge*: below it memory holds all that the store holds, beyond it
//! nothing is promised, and the next page is read once what lies below is used up.
//!
//! First attempts that are parked are put on record, as if they had been tried, so that a connector that is switched off
//! for weeks, or was removed, has nobody scan for them.
//!
//! An answer of the store tells of the moment it was asked. So a delivery that is in flight, or whose attempt ended while
//! the store was being read, is not taken from an answer; and an answer to a question that was overtaken by a nudge or a
//! change of mode promises nothing.
//!
//! Refuses: I/O, clocks, and the connector's limits. It is told what was read, and the lane asks it what comes next.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::Untried;
use super::budget::{Budget, SURE};
use crate::model::delivery::Sending;
use crate::model::ids::{DeliveryId, Seq};
use crate::model::record::Job;
use crate::model::time::Time;

/// First attempts one lane queues: with [`RETRIES_MAX`] 2,048 jobs, some seconds of a busy partner.
pub(crate) const FRESH_MAX: usize = 1536;

/// Retries one lane queues, so that they never take the room of first attempts.
pub(crate) const RETRIES_MAX: usize = 512;

/// Jobs asked of the store at a time.
const PAGE: usize = 512;

/// Reading starts again when the queue is down to this.
const FRESH_LOW: usize = PAGE / 2;

/// A read that brought nothing new is not repeated before this has passed.
const REST: Duration = Duration::from_millis(20);

/// The order in which retries are sent.
pub(crate) type Key = (Time, DeliveryId);

/// What is parked in the connector's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parked {
    Nothing,
    /// Test mode: what was decided live.
    Live,
    /// Disabled or removed.
    All,
}

impl Parked {
    fn holds(self, sending: Sending) -> bool {
        match self {
            Self::Nothing => false,
            Self::Live => sending == Sending::Live,
            Self::All => true,
        }
    }
}

/// Up to where memory holds every retry that the store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    Nothing,
    Until(Key),
    Everything,
}

/// A question to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Untried { from: Seq, limit: usize },
    Due { after: Option<Key>, limit: usize },
    SetAside { from: Seq, only_live: bool },
}

/// A question that was asked, and what happened since.
#[derive(Debug)]
struct Reading {
    question: Question,
    /// Deliveries whose attempt ended meanwhile.
    settled: HashSet<DeliveryId>,
    /// The earliest retry that found no room meanwhile.
    lost: Option<Key>,
    /// Overtaken: the answer promises nothing.
    stale: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Queue {
    Fresh,
    Retries,
}

/// The queues of one lane.
#[derive(Debug)]
pub(crate) struct Feed {
    budget: Arc<Budget>,
    parked: Parked,
    /// In order of admission.
    fresh: VecDeque<Job>,
    retries: BTreeMap<Key, Job>,
    first_in_flight: BTreeSet<DeliveryId>,
    retries_in_flight: BTreeSet<DeliveryId>,
    /// Behind: where to read on.
    scan: Option<Seq>,
    /// Every event before this was read from the store; an offer of one is not taken again.
    scanned: Seq,
    /// The newest offer's event.
    newest: Option<Seq>,
    /// The earliest event with a first attempt that was passed over because it is parked, and may not be on record.
    parked_from: Option<Seq>,
    /// Of every event before this, all deliveries, or those decided live, were put on record; an offer of one is not taken.
    aside_all: Seq,
    aside_live: Seq,
    edge: Edge,
    reading: Option<Reading>,
    rest_until: Option<Time>,
    /// The last question was about first attempts: it is the other's turn.
    asked_untried: bool,
    /// Which queue goes first when both are ready.
    turn: Queue,
}

impl Feed {
    /// Holds nothing, and knows nothing of the store's retries yet.
    pub(crate) fn new(budget: Arc<Budget>) -> Self {
        Self {
            budget,
            parked: Parked::All,
            fresh: VecDeque::new(),
            retries: BTreeMap::new(),
            first_in_flight: BTreeSet::new(),
            retries_in_flight: BTreeSet::new(),
            scan: None,
            scanned: Seq(0),
            newest: None,
            parked_from: None,
            aside_all: Seq(0),
            aside_live: Seq(0),
            edge: Edge::Nothing,
            reading: None,
            rest_until: None,
            asked_untried: false,
            turn: Queue::Fresh,
        }
    }

    // === What comes in ===

    /// A delivery that was just committed. Offers come in order of admission.
    pub(crate) fn offer(&mut self, job: Job) {
        if job.on_record {
            return self.keep(job);
        }
        let seq = job.delivery.id.seq();
        self.newest = self.newest.max(Some(seq));
        let is_aside = seq < self.aside_all || (job.delivery.sending == Sending::Live && seq < self.aside_live);
        if is_aside || self.scan.is_some() || seq < self.scanned {
            return;
        }
        if self.parked.holds(job.delivery.sending) {
            return self.pass_over(seq);
        }
        if self.fresh_room() == 0 {
            // The event as a whole: its deliveries are read together.
            while self.fresh.back().is_some_and(|last| last.delivery.id.seq() == seq) {
                self.fresh.pop_back();
                self.budget.give_back(1);
            }
            self.scan = Some(seq);
            return;
        }
        self.budget.take(1);
        self.fresh.push_back(job);
    }

    /// First attempts of events from `from` on may be in the store without having been offered.
    pub(crate) fn resume(&mut self, from: Seq) {
        match self.parked {
            Parked::All => self.pass_over(from),
            Parked::Nothing | Parked::Live => self.read_again(from),
        }
    }

    /// Something on record became due that this lane was not told of.
    pub(crate) fn nudge(&mut self) {
        self.edge = Edge::Nothing;
        if let Some(reading) = &mut self.reading
            && matches!(reading.question, Question::Due { .. })
        {
            reading.stale = true;
        }
    }

    /// The connector's mode changed what is parked. What is parked leaves memory; what is released is read again.
    pub(crate) fn park(&mut self, parked: Parked) {
        if parked == self.parked {
            return;
        }
        self.parked = parked;
        self.nudge();
        if let Some(reading) = &mut self.reading {
            reading.stale = true;
        }
        let passed_over = self.parked_from.take();
        let stays = |job: &Job| !parked.holds(job.delivery.sending);
        let before = self.fresh.len() + self.retries.len();
        self.parked_from = self.fresh.iter().find(|job| !stays(job)).map(|job| job.delivery.id.seq());
        self.fresh.retain(stays);
        self.retries.retain(|_, job| stays(job));
        self.budget.give_back(before - self.fresh.len() - self.retries.len());
        match (parked, passed_over) {
            // What was still to be read is parked like the rest.
            (Parked::All, _) => passed_over.into_iter().chain(self.scan.take()).for_each(|from| self.pass_over(from)),
            (Parked::Nothing | Parked::Live, Some(from)) => self.read_again(from),
            (Parked::Nothing | Parked::Live, None) => {}
        }
    }

    fn pass_over(&mut self, seq: Seq) {
        self.parked_from = Some(self.parked_from.map_or(seq, |from| from.min(seq)));
    }

    fn read_again(&mut self, from: Seq) {
        let queued = self.fresh.front().map(|job| job.delivery.id.seq());
        let earliest = [self.scan, queued].into_iter().flatten().fold(from, Seq::min);
        self.budget.give_back(self.fresh.len());
        self.fresh.clear();
        self.scan = Some(earliest);
        if let Some(reading) = &mut self.reading
            && matches!(reading.question, Question::Untried { .. })
        {
            reading.stale = true;
        }
    }

    // === What goes out ===

    /// The queue whose head may be attempted at `now`, and how that delivery may leave.
    pub(crate) fn head(&self, now: Time) -> Option<(Queue, Sending)> {
        let fresh = self.fresh.front().map(|job| (Queue::Fresh, job.delivery.sending));
        let due = self.retries.first_key_value().filter(|((due, _), _)| *due <= now);
        let retry = due.map(|(_, job)| (Queue::Retries, job.delivery.sending));
        match self.turn {
            Queue::Fresh => fresh.or(retry),
            Queue::Retries => retry.or(fresh),
        }
    }

    /// Takes the head of a queue into flight; the other queue goes first next time.
    pub(crate) fn take(&mut self, queue: Queue) -> Option<Job> {
        let job = match queue {
            Queue::Fresh => self.fresh.pop_front()?,
            Queue::Retries => self.retries.pop_first()?.1,
        };
        match queue {
            Queue::Fresh => self.first_in_flight.insert(job.delivery.id),
            Queue::Retries => self.retries_in_flight.insert(job.delivery.id),
        };
        self.turn = match queue {
            Queue::Fresh => Queue::Retries,
            Queue::Retries => Queue::Fresh,
        };
        Some(job)
    }

    /// A delivery is out of flight and what happened to it is on record. `again`: it is to be retried.
    pub(crate) fn done(&mut self, id: DeliveryId, again: Option<Job>) {
        if self.first_in_flight.remove(&id) || self.retries_in_flight.remove(&id) {
            self.budget.give_back(1);
        }
        if let Some(reading) = &mut self.reading {
            reading.settled.insert(id);
        }
        if let Some(job) = again {
            self.keep(job);
        }
    }

    /// Keeps a retry that is on record, if it belongs to what memory holds: the soonest.
    fn keep(&mut self, job: Job) {
        let key = (job.due, job.delivery.id);
        if self.parked.holds(job.delivery.sending) {
            return;
        }
        let being_read = self.reading.as_ref().is_some_and(|r| matches!(r.question, Question::Due { .. }));
        if being_read || Edge::Until(key) <= self.edge {
            let lost = self.squeeze_in(key, job);
            self.lose(lost);
        }
    }

    /// Queues a retry, if need be in place of the one due last; answers with the one that found no room.
    fn squeeze_in(&mut self, key: Key, job: Job) -> Option<Key> {
        let mut lost = None;
        if self.retries_room() == 0 {
            let last = self.retries.last_key_value().map(|(last, _)| *last).filter(|last| key < *last);
            let Some(last) = last else { return Some(key) };
            self.retries.remove(&last);
            self.budget.give_back(1);
            lost = Some(last);
        }
        self.budget.take(1);
        self.retries.insert(key, job);
        lost
    }

    /// Memory is complete only below a retry that found no room.
    fn lose(&mut self, lost: Option<Key>) {
        let Some(lost) = lost else { return };
        self.edge = self.edge.min(self.below(lost));
        if let Some(reading) = &mut self.reading {
            reading.lost = Some(reading.lost.map_or(lost, |earlier| earlier.min(lost)));
        }
    }

    fn below(&self, key: Key) -> Edge {
        self.retries.range(..key).next_back().map_or(Edge::Nothing, |(below, _)| Edge::Until(*below))
    }

    // === What is read ===

    /// The question to ask now, if any; it must be answered by [`Self::found_untried`], [`Self::found_due`] or
    /// [`Self::set_aside`].
    pub(crate) fn ask(&mut self, now: Time) -> Option<Question> {
        let question = self.question(now)?;
        self.rest_until = None;
        self.asked_untried = matches!(question, Question::Untried { .. });
        self.reading = Some(Reading { question, settled: HashSet::new(), lost: None, stale: false });
        Some(question)
    }

    /// Whether there is a question to ask.
    pub(crate) fn would_ask(&self, now: Time) -> bool {
        self.question(now).is_some()
    }

    fn question(&self, now: Time) -> Option<Question> {
        if self.reading.is_some() || self.rest_until.is_some_and(|rest| now < rest) {
            return None;
        }
        if let Some(from) = self.parked_from {
            return Some(Question::SetAside { from, only_live: self.parked != Parked::All });
        }
        if self.parked == Parked::All {
            return None;
        }
        let untried = self.scan.filter(|_| self.fresh.len() <= FRESH_LOW).and_then(|from| {
            let limit = self.fresh_room().min(PAGE);
            (limit != 0).then_some(Question::Untried { from, limit })
        });
        if self.asked_untried { self.due_question().or(untried) } else { untried.or_else(|| self.due_question()) }
    }

    fn due_question(&self) -> Option<Question> {
        let is_used_up = self.retries.first_key_value().is_none_or(|(first, _)| self.edge < Edge::Until(*first));
        match self.edge {
            Edge::Everything => None,
            // Whatever lies in memory, something on record may be due sooner and takes its place.
            Edge::Nothing => Some(Question::Due { after: None, limit: RETRIES_MAX }),
            Edge::Until(_) if !is_used_up => None,
            Edge::Until(key) => {
                Some(Question::Due { after: Some(key), limit: self.retries_room().clamp(SURE, RETRIES_MAX) })
            }
        }
    }

    /// The answer to [`Question::Untried`].
    pub(crate) fn found_untried(&mut self, found: Untried, now: Time) {
        let Some(Reading { question: Question::Untried { from, .. }, settled, stale, .. }) = self.reading.take() else {
            return;
        };
        if stale || self.parked == Parked::All {
            return;
        }
        let queued = self.fresh.iter().rev().map(|job| job.delivery.id).take_while(|id| from <= id.seq());
        let queued: HashSet<DeliveryId> = queued.collect();
        let mut next = found.next;
        let is_end = found.jobs.is_empty() && next <= from;
        let mut is_moving = from < next;
        // An event of which only some deliveries were read must not be taken from an offer as well.
        let mut is_cut = found.jobs.last().is_some_and(|last| next <= last.delivery.id.seq());
        for job in found.jobs {
            let id = job.delivery.id;
            if queued.contains(&id) || settled.contains(&id) || self.is_in_flight(&id) {
                continue;
            }
            if self.parked.holds(job.delivery.sending) {
                self.pass_over(id.seq());
                continue;
            }
            if self.fresh_room() == 0 {
                (next, is_cut) = (id.seq(), true);
                break;
            }
            self.budget.take(1);
            self.fresh.push_back(job);
            is_moving = true;
        }
        let next = next.max(from);
        let is_level = !is_cut && self.newest.map_or(is_end, |newest| newest < next);
        if is_level {
            self.scan = None;
            self.scanned = self.scanned.max(next);
        } else {
            self.scan = Some(next);
            self.rest_until = (!is_moving).then(|| now.plus(REST));
        }
    }

    /// The answer to [`Question::Due`].
    pub(crate) fn found_due(&mut self, found: Vec<Job>, now: Time) {
        let Some(Reading { question: Question::Due { after, limit }, settled, mut lost, stale }) = self.reading.take()
        else {
            return;
        };
        if self.parked == Parked::All {
            return;
        }
        let asked_from = after.map_or(Edge::Nothing, Edge::Until);
        let mut edge = match found.last() {
            Some(last) if limit <= found.len() => Edge::Until((last.due, last.delivery.id)),
            _ => Edge::Everything,
        };
        let queued: HashMap<DeliveryId, Key> = self.retries.keys().map(|key| (key.1, *key)).collect();
        for job in found {
            let key = (job.due, job.delivery.id);
            if settled.contains(&key.1) || self.is_in_flight(&key.1) || self.parked.holds(job.delivery.sending) {
                continue;
            }
            if let Some(old) = queued.get(&key.1) {
                // Someone else may have changed when it is due; the store knows better.
                if *old != key && self.retries.remove(old).is_some() {
                    self.retries.insert(key, job);
                }
                continue;
            }
            if let Some(without) = self.squeeze_in(key, job) {
                lost = Some(lost.map_or(without, |earlier| earlier.min(without)));
            }
        }
        if let Some(lost) = lost {
            // What found no room was read beyond `asked_from`, so everything up to there is still known.
            let known = if asked_from < Edge::Until(lost) { asked_from } else { Edge::Nothing };
            edge = edge.min(self.below(lost).max(known));
        }
        if stale {
            edge = Edge::Nothing;
        }
        if edge <= asked_from {
            self.rest_until = Some(now.plus(REST));
        }
        self.edge = edge;
    }

    /// First attempts that are being made.
    pub(crate) fn first_attempts(&self) -> Vec<DeliveryId> {
        self.first_in_flight.iter().copied().collect()
    }

    /// The answer to [`Question::SetAside`]. What was released meanwhile is read again from the store in any case; until
    /// then the lane is behind and takes no offer.
    pub(crate) fn set_aside(&mut self, next: Seq, now: Time) {
        let Some(Reading { question: Question::SetAside { from, only_live }, stale, .. }) = self.reading.take() else {
            return;
        };
        let next = next.max(from);
        let aside = if only_live { &mut self.aside_live } else { &mut self.aside_all };
        *aside = next.max(*aside);
        if stale {
            return self.nudge();
        }
        if self.parked_from != Some(from) {
            return;
        }
        let is_level = self.newest.map_or(next == from, |newest| newest < next);
        self.parked_from = (!is_level).then_some(next);
        if next == from {
            self.rest_until = Some(now.plus(REST));
        }
    }

    fn is_in_flight(&self, id: &DeliveryId) -> bool {
        self.first_in_flight.contains(id) || self.retries_in_flight.contains(id)
    }

    fn fresh_room(&self) -> usize {
        self.budget.room(self.fresh.len(), FRESH_MAX)
    }

    fn retries_room(&self) -> usize {
        self.budget.room(self.retries.len(), RETRIES_MAX)
    }

    // === What can be seen ===

    /// The lowest event of which a first attempt may still lack an entry; `None`: there is none among those offered.
    pub(crate) fn frontier(&self) -> Option<Seq> {
        let queued = self.fresh.front().map(|job| job.delivery.id.seq());
        let in_flight = self.first_in_flight.first().map(|id| id.seq());
        [queued, in_flight, self.scan, self.parked_from].into_iter().flatten().min()
    }

    /// Whether first attempts lie in the store alone.
    pub(crate) fn is_behind(&self) -> bool {
        self.scan.is_some() || self.parked_from.is_some()
    }

    /// Whether it is behind, or `jobs` further first attempts would make it fall behind.
    pub(crate) fn is_crowded(&self, jobs: usize) -> bool {
        self.is_behind() || (!self.fresh.is_empty() && self.fresh_room() < jobs)
    }

    /// Jobs queued.
    pub(crate) fn queued(&self) -> usize {
        self.fresh.len() + self.retries.len()
    }

    /// When something will be ready or worth asking, if nothing happens before.
    pub(crate) fn next_at(&self) -> Option<Time> {
        let due = self.retries.first_key_value().map(|((due, _), _)| *due);
        [due, self.rest_until].into_iter().flatten().min()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.budget.give_back(self.queued() + self.first_in_flight.len() + self.retries_in_flight.len());
    }
}

#[cfg(test)]
mod tests;
