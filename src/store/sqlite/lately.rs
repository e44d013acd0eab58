//! Who was about: the times of recent events and whose they were, for an event that carries no identifier (`match.by_time`).
//! In memory alone, since it is a matter of seconds: right after a start nobody was about.
//!
//! Refuses: guessing. Where what was kept does not reach back far enough, nobody is the only one.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::model::ids::{ContainerKey, VisitorId};
use crate::model::time::Time;

/// Moments kept of each container: with more people about than this, none of them is the only one.
const MOMENTS_MAX: usize = 10_000;

/// See the module. What the transaction under way adds counts once it is committed.
#[derive(Debug, Default)]
pub(super) struct Lately {
    by_container: HashMap<ContainerKey, Moments>,
    fresh: Vec<(ContainerKey, Time, VisitorId)>,
}

#[derive(Debug, Default)]
struct Moments {
    kept: BTreeSet<(Time, VisitorId)>,
    /// The latest that was dropped for want of room.
    dropped: Option<Time>,
}

impl Lately {
    pub(super) fn note(&mut self, container: &ContainerKey, time: Time, visitor: VisitorId) {
        self.fresh.push((container.clone(), time, visitor));
    }

    /// Whoever had an event within `window` before `time`, each once.
    pub(super) fn about(&self, container: &ContainerKey, time: Time, window: Duration) -> BTreeSet<VisitorId> {
        let from = time.minus(window);
        let fresh = self.fresh.iter().filter(|(key, at, _)| key == container && from <= *at && *at <= time);
        let mut about: BTreeSet<VisitorId> = fresh.map(|(.., visitor)| *visitor).collect();
        let Some(Moments { kept, dropped }) = self.by_container.get(container) else { return about };
        if dropped.is_some_and(|dropped| from <= dropped) {
            return BTreeSet::new();
        }
        about
            .extend(kept.range((from, VisitorId(i64::MIN))..=(time, VisitorId(i64::MAX))).map(|(_, visitor)| *visitor));
        about
    }

    /// The transaction is on record.
    pub(super) fn committed(&mut self) {
        for (container, time, visitor) in self.fresh.drain(..) {
            let moments = self.by_container.entry(container).or_default();
            moments.kept.insert((time, visitor));
            if MOMENTS_MAX < moments.kept.len() {
                let oldest = moments.kept.pop_first().map(|(time, _)| time);
                moments.dropped = moments.dropped.max(oldest);
            }
        }
    }

    /// The transaction was undone.
    pub(super) fn rolled_back(&mut self) {
        self.fresh.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Time {
        Time::from_ms(1_768_046_400_000 + ms)
    }

    fn about(lately: &Lately, ms: i64) -> Vec<i64> {
        lately.about(&"shop".into(), at(ms), Duration::from_secs(2)).into_iter().map(|id| id.0).collect()
    }

    #[test]
    fn they_were_about_before_and_both_ends_count() {
        let mut lately = Lately::default();
        lately.note(&"shop".into(), at(0), VisitorId(1));
        assert_eq!(about(&lately, 0), [1], "of the same transaction");
        lately.committed();
        lately.note(&"shop".into(), at(1_000), VisitorId(2));
        lately.note(&"other".into(), at(1_000), VisitorId(3));
        for (ms, expect) in [(-1, &[][..]), (0, &[1]), (1_000, &[1, 2]), (2_000, &[1, 2]), (2_001, &[2]), (3_001, &[])]
        {
            assert_eq!(about(&lately, ms), expect, "{ms}");
        }
        lately.rolled_back();
        assert_eq!(about(&lately, 1_000), [1]);
    }

    #[test]
    fn nobody_is_the_only_one_where_some_were_forgotten() {
        let mut lately = Lately::default();
        let last = i64::try_from(MOMENTS_MAX).unwrap();
        for ms in 0..=last {
            lately.note(&"shop".into(), at(ms), VisitorId(1));
        }
        lately.committed();
        assert_eq!(about(&lately, 2_000), [0; 0], "what happened at 0 ms is not kept");
        assert_eq!(about(&lately, 2_001), [1]);
    }
}
