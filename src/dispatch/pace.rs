//! Whether a lane is quick. Admission waits a moment for one that is and has no room left: what it does not get now it would
//! have to read back from the store, and once admission is ahead of it, it would never catch up with a full queue.
//!
//! Refuses: patience. A lane that is not quick never sets the pace of others.

use std::time::Duration;

use crate::model::time::Time;

/// Attempts are counted for this long at least: some commits, since their slots are freed commit by commit.
pub(crate) const MEASURED_OVER: Duration = Duration::from_millis(50);

/// Attempts that a quick lane finishes in a second, at least.
const QUICK_FROM: u128 = 2_500;

/// How many attempts a lane that lacks room finishes.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    since: Option<Time>,
    finished: u32,
    is_slow: bool,
}

impl Pace {
    pub(crate) fn finished_one(&mut self) {
        self.finished = self.finished.saturating_add(1);
    }

    /// It has plenty of room: there is nothing to measure, and no grudge.
    pub(crate) fn rest(&mut self) {
        *self = Self::default();
    }

    /// Whether a lane that lacks room is worth waiting for. Until it has been measured it is.
    pub(crate) fn is_quick(&mut self, now: Time) -> bool {
        let over = self.since.map_or(Duration::ZERO, |since| now.since(since));
        if MEASURED_OVER <= over {
            self.is_slow = u128::from(self.finished) * 1000 < QUICK_FROM * over.as_millis();
        }
        if self.since.is_none_or(|since| now < since) || MEASURED_OVER <= over {
            (self.since, self.finished) = (Some(now), 0);
        }
        !self.is_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Time {
        Time::from_ms(ms)
    }

    fn finished(pace: &mut Pace, count: usize) {
        (0..count).for_each(|_| pace.finished_one());
    }

    #[test]
    fn a_lane_is_quick_by_what_it_finishes_while_it_lacks_room() {
        let mut pace = Pace::default();
        finished(&mut pace, 1000);
        assert!(pace.is_quick(at(0)), "not measured yet");
        finished(&mut pace, 100);
        assert!(pace.is_quick(at(49)), "not for long enough");
        assert!(!pace.is_quick(at(50)), "2,000 a second, and what it did before does not count");
        assert!(!pace.is_quick(at(99)), "it stays slow until it is measured again");
        finished(&mut pace, 125);
        assert!(pace.is_quick(at(100)), "2,500 a second");
        assert!(!pace.is_quick(at(10_000)), "and nothing since");
        pace.rest();
        assert!(pace.is_quick(at(10_001)));
    }

    #[test]
    fn a_clock_that_is_set_back_begins_a_fresh_measurement() {
        let mut pace = Pace::default();
        assert!(pace.is_quick(at(100_000)));
        assert!(pace.is_quick(at(5)));
        assert!(!pace.is_quick(at(55)));
    }
}
