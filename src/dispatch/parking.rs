//! When a lane was parked, so that `max_elapsed` can stand still for those times.
//!
//! Refuses: parking anything. It is a list of times.
//!
//! Why not one total: a delivery decided after a pause would be given the pause as well.

use std::time::Duration;

use crate::model::connector::Mode;
use crate::model::delivery::Sending;
use crate::model::time::Time;

/// Pauses remembered for one lane; the oldest two are joined beyond it, which errs on the side of one more attempt.
const SPANS_MAX: usize = 32;

/// One pause. In test mode (`all` is false) only what was decided live is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Time,
    pub to: Time,
    pub all: bool,
}

/// The pauses of one lane.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parking {
    /// Oldest first.
    pub spans: Vec<Span>,
    /// The pause that goes on: since when, and whether it parks all.
    pub since: Option<(Time, bool)>,
}

impl Parking {
    /// The connector's mode is this from `now` on; `None`: it was removed.
    pub(crate) fn turn(&mut self, mode: Option<Mode>, now: Time) {
        let parks = match mode {
            Some(Mode::Enabled) => None,
            Some(Mode::Test) => Some(false),
            Some(Mode::Disabled) | None => Some(true),
        };
        match (self.since, parks) {
            (Some((_, all)), Some(parks)) if all == parks => return,
            (Some((from, all)), _) => self.close(Span { from, to: now, all }),
            (None, _) => {}
        }
        self.since = parks.map(|all| (now, all));
    }

    /// How long a delivery that may leave in the manner of `sending` was parked between two times.
    pub(crate) fn within(&self, sending: Sending, from: Time, to: Time) -> Duration {
        let open = self.since.map(|(since, all)| Span { from: since, to, all });
        let counted = self.spans.iter().copied().chain(open).filter(|span| span.all || sending == Sending::Live);
        counted.map(|span| span.to.min(to).since(span.from.max(from))).sum()
    }

    /// Takes in what is known from before a restart. A pause that was going on then has gone on until `now`, or goes on
    /// still.
    pub(crate) fn restore(&mut self, before: Parking, now: Time) {
        let current = self.since;
        let mut spans = before.spans;
        spans.append(&mut self.spans);
        self.spans = Vec::new();
        for span in spans {
            self.close(span);
        }
        match (before.since, current) {
            (Some((from, all)), Some((_, now_all))) if all == now_all => self.since = Some((from, all)),
            (Some((from, all)), _) => self.close(Span { from, to: now, all }),
            (None, _) => {}
        }
    }

    fn close(&mut self, span: Span) {
        if span.to <= span.from {
            return;
        }
        self.spans.push(span);
        if SPANS_MAX < self.spans.len() {
            let oldest = self.spans.remove(0);
            let next = &mut self.spans[0];
            *next = Span { from: oldest.from.min(next.from), to: oldest.to.max(next.to), all: oldest.all || next.all };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time::from_ms(second * 1000)
    }

    fn live(parking: &Parking, from: i64, to: i64) -> u64 {
        parking.within(Sending::Live, at(from), at(to)).as_secs()
    }

    #[test]
    fn only_the_pauses_within_a_deliverys_life_count() {
        let mut parking = Parking::default();
        parking.turn(Some(Mode::Enabled), at(0));
        parking.turn(Some(Mode::Disabled), at(10));
        parking.turn(Some(Mode::Disabled), at(15));
        parking.turn(Some(Mode::Enabled), at(20));
        parking.turn(Some(Mode::Test), at(30));
        for (from, to, expect) in
            [(0, 5, 0), (0, 15, 5), (0, 25, 10), (12, 14, 2), (20, 30, 0), (20, 33, 3), (0, 40, 20)]
        {
            assert_eq!(live(&parking, from, to), expect, "{from} {to}");
        }
        let forced = parking.within(Sending::Forced, at(0), at(40));
        assert_eq!(forced.as_secs(), 10, "test mode does not park what was forced");
        parking.turn(None, at(40));
        assert_eq!(live(&parking, 0, 50), 30);
        assert_eq!(parking.within(Sending::Forced, at(0), at(50)).as_secs(), 20);
    }

    #[test]
    fn what_was_parked_before_a_restart_counts_on() {
        let before = Parking { spans: vec![Span { from: at(0), to: at(5), all: true }], since: Some((at(10), true)) };
        let mut still = Parking::default();
        still.turn(Some(Mode::Disabled), at(20));
        still.restore(before.clone(), at(21));
        assert_eq!(live(&still, 0, 30), 25);
        let mut released = Parking::default();
        released.turn(Some(Mode::Enabled), at(20));
        released.restore(before, at(20));
        assert_eq!(live(&released, 0, 30), 15);
    }

    #[test]
    fn the_list_stays_short() {
        let mut parking = Parking::default();
        for i in 0..200 {
            parking.turn(Some(Mode::Disabled), at(i * 10));
            parking.turn(Some(Mode::Enabled), at(i * 10 + 1));
        }
        assert_eq!(parking.spans.len(), SPANS_MAX);
        assert!(200 <= live(&parking, 0, 10_000));
    }
}
