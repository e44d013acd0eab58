//! Goal: no delivery lost, none attempted twice, whatever the order of offers, reads, ends of attempts, nudges and
//! changes of mode. Method: a store in memory, memory of the smallest size, and random histories; each ends with the
//! lane released and drained.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::testing::{self, Row, delivery_id, job};
use super::*;
use crate::model::delivery::State;

const NAME: &str = "n";

#[derive(Clone, Debug)]
enum Op {
    /// So many events with so many deliveries each are committed; every `dry`th is not live.
    Commit {
        events: u8,
        each: u8,
        dry: u8,
    },
    /// A conversion that waits.
    Wait,
    /// The first conversion that waits is woken: on record, due now, and the lane nudged.
    Wake,
    Offer(u8),
    /// Asks; the store looks at once, or only when it answers.
    Ask {
        looks_late: bool,
    },
    Answer,
    Take(u8),
    Finish {
        which: u8,
        retry_ms: Option<u8>,
    },
    Park(u8),
    Pass(u8),
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => (1u8..40, 1u8..4, 1u8..5).prop_map(|(events, each, dry)| Op::Commit { events, each, dry }),
        1 => Just(Op::Commit { events: 1, each: 100, dry: 7 }),
        1 => Just(Op::Wait),
        1 => Just(Op::Wake),
        3 => any::<u8>().prop_map(Op::Offer),
        4 => any::<bool>().prop_map(|looks_late| Op::Ask { looks_late }),
        4 => Just(Op::Answer),
        4 => (1u8..60).prop_map(Op::Take),
        6 => (any::<u8>(), proptest::option::of(0u8..200)).prop_map(|(which, retry_ms)| Op::Finish { which, retry_ms }),
        1 => (0u8..3).prop_map(Op::Park),
        2 => any::<u8>().prop_map(Op::Pass),
    ]
}

enum Found {
    Untried(Untried),
    Due(Vec<Job>),
    SetAside(Seq),
}

struct World {
    budget: Arc<Budget>,
    feed: Feed,
    rows: BTreeMap<DeliveryId, Row>,
    seq: i64,
    now: Time,
    parked: Parked,
    /// Committed and not offered yet.
    to_offer: VecDeque<Vec<Job>>,
    newest_offered: i64,
    in_flight: Vec<Job>,
    reading: Option<(Question, super::super::Aside, Option<Found>)>,
}

impl World {
    fn new() -> Self {
        let budget = Arc::new(Budget::new(0));
        let mut feed = Feed::new(budget.clone());
        feed.park(Parked::Nothing);
        let now = Time::from_ms(1_000_000);
        Self {
            budget,
            feed,
            rows: BTreeMap::new(),
            seq: 0,
            now,
            parked: Parked::Nothing,
            to_offer: VecDeque::new(),
            newest_offered: 0,
            in_flight: Vec::new(),
            reading: None,
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Commit { events, each, dry } => self.commit(events, each, dry),
            Op::Wait => {
                self.seq += 1;
                let job = job(NAME, self.seq, 0, Sending::Live, self.now);
                self.rows.insert(job.delivery.id, Row { job, state: State::Waiting, entries: Vec::new() });
            }
            Op::Wake => {
                if let Some(row) = self.rows.values_mut().find(|row| row.state == State::Waiting) {
                    row.state = State::Pending;
                    row.job.on_record = true;
                    row.job.due = self.now;
                    self.feed.nudge();
                }
            }
            Op::Offer(events) => (0..=events).for_each(|_| self.offer()),
            Op::Ask { looks_late } => self.ask(looks_late),
            Op::Answer => self.answer(),
            Op::Take(most) => {
                let _ = (0..most).all(|_| self.take());
            }
            Op::Finish { which, retry_ms } => self.finish(which.into(), retry_ms),
            Op::Park(mode) => {
                self.parked = [Parked::Nothing, Parked::Live, Parked::All][usize::from(mode)];
                self.feed.park(self.parked);
            }
            Op::Pass(ms) => self.now = self.now.plus(Duration::from_millis(ms.into())),
        }
        self.check_frontier();
        // Room of each queue's own, and what was in flight before the mode changed.
        assert!(self.feed.queued() <= 2 * SURE, "memory is bounded: {}", self.feed.queued());
    }

    fn commit(&mut self, events: u8, each: u8, dry: u8) {
        for _ in 0..events {
            self.seq += 1;
            let sending = |place| if place % u32::from(dry) == 1 { Sending::Forced } else { Sending::Live };
            let jobs: Vec<Job> =
                (0..each.into()).map(|place| job(NAME, self.seq, place, sending(place), self.now)).collect();
            for job in &jobs {
                let row = Row { job: job.clone(), state: State::Pending, entries: Vec::new() };
                self.rows.insert(job.delivery.id, row);
            }
            self.to_offer.push_back(jobs);
        }
    }

    fn offer(&mut self) {
        let Some(jobs) = self.to_offer.pop_front() else { return };
        for job in jobs {
            self.newest_offered = job.delivery.id.seq().0;
            self.feed.offer(job);
        }
    }

    fn look(&mut self, question: Question, aside: &super::super::Aside) -> Found {
        match question {
            Question::Untried { from, limit } => Found::Untried(testing::untried(&self.rows, NAME, from, limit)),
            Question::Due { after, limit } => Found::Due(testing::due(&self.rows, NAME, after, limit)),
            Question::SetAside { from, .. } => Found::SetAside(testing::set_aside(&mut self.rows, NAME, from, aside)),
        }
    }

    fn ask(&mut self, looks_late: bool) {
        if let Some(question) = self.feed.ask(self.now) {
            assert!(self.reading.is_none(), "one question at a time");
            let only_live = matches!(question, Question::SetAside { only_live: true, .. });
            let aside = super::super::Aside { only_live, but: self.feed.first_attempts() };
            let found = (!looks_late).then(|| self.look(question, &aside));
            self.reading = Some((question, aside, found));
        }
    }

    fn answer(&mut self) {
        let Some((question, aside, found)) = self.reading.take() else { return };
        let found = match found {
            Some(found) => found,
            None => self.look(question, &aside),
        };
        match found {
            Found::Untried(found) => self.feed.found_untried(found, self.now),
            Found::Due(found) => self.feed.found_due(found, self.now),
            Found::SetAside(next) => self.feed.set_aside(next, self.now),
        }
    }

    fn take(&mut self) -> bool {
        let Some((queue, sending)) = self.feed.head(self.now) else { return false };
        let job = self.feed.take(queue).expect("a queue with a head has one");
        assert_eq!(job.delivery.sending, sending);
        assert!(!self.parked.holds(sending), "parked deliveries stay");
        let id = job.delivery.id;
        assert!(self.in_flight.iter().all(|other| other.delivery.id != id), "{id} is in flight already");
        let row = &self.rows[&id];
        assert_eq!(row.state, State::Pending, "{id} has ended");
        assert_eq!((row.job.attempts, row.job.on_record), (job.attempts, job.on_record), "{id} is as on record");
        assert!(row.job.due <= self.now, "{id} is not due yet");
        self.in_flight.push(job);
        true
    }

    fn finish(&mut self, which: usize, retry_ms: Option<u8>) {
        if self.in_flight.is_empty() {
            return;
        }
        let mut job = self.in_flight.swap_remove(which % self.in_flight.len());
        let row = self.rows.get_mut(&job.delivery.id).expect("it was committed");
        row.job.on_record = true;
        row.job.attempts += 1;
        let again = retry_ms.map(|ms| {
            row.job.due = self.now.plus(Duration::from_millis(ms.into()));
            (job.attempts, job.on_record, job.due) = (row.job.attempts, true, row.job.due);
            job.clone()
        });
        if again.is_none() {
            row.state = State::Delivered;
        }
        self.feed.done(job.delivery.id, again);
    }

    fn check_frontier(&self) {
        let frontier = self.feed.frontier().unwrap_or(Seq(self.newest_offered + 1));
        for row in self.rows.values() {
            let seq = row.job.delivery.id.seq();
            let is_untried = row.state == State::Pending && !row.job.on_record;
            assert!(!is_untried || frontier <= seq || self.newest_offered < seq.0, "{seq:?} lies before {frontier:?}");
        }
    }

    /// Releases the lane and delivers all there is.
    fn drain(&mut self) {
        self.apply(Op::Park(0));
        while !self.to_offer.is_empty() {
            self.offer();
        }
        while self.rows.values().any(|row| row.state == State::Waiting) {
            self.apply(Op::Wake);
        }
        for _ in 0..10_000 {
            self.ask(false);
            self.answer();
            while self.take() {}
            while !self.in_flight.is_empty() {
                self.finish(0, None);
            }
            self.check_frontier();
            if self.rows.values().all(|row| row.state == State::Delivered) {
                assert_eq!(self.budget.taken(), 0);
                return;
            }
            self.now = self.now.plus(Duration::from_millis(10));
        }
        let left: Vec<_> =
            self.rows.values().filter(|row| row.state != State::Delivered).map(|r| r.job.delivery.id).collect();
        panic!("{} deliveries were lost, among them {:?}", left.len(), left.first());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn each_delivery_is_attempted_and_never_twice(ops in proptest::collection::vec(any_op(), 1..80)) {
        let mut world = World::new();
        for op in ops {
            world.apply(op);
        }
        world.drain();
    }

    #[test]
    fn a_restart_reads_on_from_the_frontier(
        ops in proptest::collection::vec(any_op(), 1..60),
        more in proptest::collection::vec(any_op(), 0..30),
    ) {
        let mut world = World::new();
        for op in ops {
            world.apply(op);
        }
        // The process dies: what was in flight has no entry, what was not offered is offered no more.
        let from = world.feed.frontier().unwrap_or(Seq(world.newest_offered + 1));
        world.feed = Feed::new(world.budget.clone());
        world.feed.park(world.parked);
        world.feed.resume(from);
        world.reading = None;
        world.in_flight.clear();
        world.to_offer.clear();
        for op in more {
            world.apply(op);
        }
        world.drain();
    }
}

#[test]
fn first_attempts_keep_their_order_and_retries_take_turns_with_them() {
    let now = Time::from_ms(1000);
    let mut feed = Feed::new(Arc::new(Budget::default()));
    feed.park(Parked::Nothing);
    feed.ask(now);
    feed.found_due(Vec::new(), now);
    for seq in [1, 2, 3, 4] {
        feed.offer(job(NAME, seq, 0, Sending::Live, now));
    }
    for (seq, due) in [(11, 900), (12, 800), (13, 700), (14, 2000)] {
        let mut retry = job(NAME, seq, 0, Sending::Live, now);
        (retry.on_record, retry.due) = (true, Time::from_ms(due));
        feed.offer(retry);
    }
    let mut order = Vec::new();
    while let Some((queue, _)) = feed.head(now) {
        order.push(feed.take(queue).unwrap().delivery.id.seq().0);
    }
    assert_eq!(order, [1, 13, 2, 12, 3, 11, 4]);
    assert_eq!(feed.next_at(), Some(Time::from_ms(2000)));
}

#[test]
fn what_does_not_fit_is_read_back_and_memory_stays_bounded() {
    let now = Time::from_ms(1000);
    let budget = Arc::new(Budget::default());
    let mut feed = Feed::new(budget.clone());
    feed.park(Parked::Nothing);
    for seq in 1..=5000 {
        feed.offer(job(NAME, seq, 0, Sending::Live, now));
    }
    assert_eq!((feed.queued(), budget.taken()), (FRESH_MAX, FRESH_MAX));
    assert!(feed.is_behind());
    assert_eq!(feed.frontier(), Some(Seq(1)));
    while feed.queued() != FRESH_LOW {
        let job = feed.take(Queue::Fresh).unwrap();
        feed.done(job.delivery.id, None);
    }
    assert_eq!(feed.ask(now), Some(Question::Untried { from: Seq(FRESH_MAX as i64 + 1), limit: PAGE }));
    drop(feed);
    assert_eq!(budget.taken(), 0);
}

#[test]
fn a_far_retry_makes_room_for_a_near_one() {
    let now = Time::from_ms(1000);
    let mut feed = Feed::new(Arc::new(Budget::new(0)));
    feed.park(Parked::Nothing);
    feed.ask(now);
    feed.found_due(Vec::new(), now);
    let retry = |seq: i64, due: i64| {
        let mut retry = job(NAME, seq, 0, Sending::Live, now);
        (retry.on_record, retry.due) = (true, Time::from_ms(due));
        retry
    };
    for seq in 1..=SURE as i64 {
        feed.offer(retry(seq, 10_000 + seq));
    }
    assert_eq!(feed.edge, Edge::Everything);
    feed.offer(retry(100, 900));
    assert_eq!(feed.queued(), SURE);
    assert_eq!(feed.edge, Edge::Until((Time::from_ms(10_000 + SURE as i64 - 1), delivery_id(SURE as i64 - 1, 0))));
    assert_eq!(feed.head(now), Some((Queue::Retries, Sending::Live)));
    feed.offer(retry(101, 99_000));
    assert_eq!(feed.queued(), SURE, "it is on record, and read when its time comes");
}
