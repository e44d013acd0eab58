//! How many jobs all lanes together may hold in memory, and what share of it one lane may take.
//!
//! Refuses: favourites. The fuller the memory, the smaller the share of each: a lane may hold as many as are still free,
//! so that lanes which stand still never take the room of those that move. A few each lane may always hold.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Jobs in memory over all lanes. A job is some kilobytes, shared with its event.
pub(crate) const TOTAL_MAX: usize = 16_384;

/// Jobs that a lane may queue whatever the others hold, of first attempts and of retries each.
pub(crate) const SURE: usize = 32;

/// Counts the jobs in memory.
#[derive(Debug)]
pub(crate) struct Budget {
    total: usize,
    taken: AtomicUsize,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(TOTAL_MAX)
    }
}

impl Budget {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, taken: AtomicUsize::new(0) }
    }

    /// How many more jobs a queue that holds `held` of at most `own_max` may take.
    pub(crate) fn room(&self, held: usize, own_max: usize) -> usize {
        let free = self.total.saturating_sub(self.taken.load(Ordering::Relaxed));
        // Each one taken makes one more held and one fewer free.
        let shared = (own_max.min(free).saturating_sub(held)).min(free.saturating_sub(held).div_ceil(2));
        shared.max(SURE.saturating_sub(held))
    }

    pub(crate) fn take(&self, jobs: usize) {
        self.taken.fetch_add(jobs, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn give_back(&self, jobs: usize) {
        self.taken.fetch_sub(jobs, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_that_stand_still_leave_room_for_others() {
        let budget = Budget::default();
        let fill = || {
            let mut held = 0;
            while budget.room(held, 1536) != 0 {
                budget.take(1);
                held += 1;
            }
            held
        };
        let held: Vec<usize> = (0..100).map(|_| fill()).collect();
        assert_eq!(held[0], 1536);
        assert!(held.windows(2).all(|pair| pair[1] <= pair[0]));
        assert!(SURE <= held[99]);
        assert!(held.iter().sum::<usize>() <= TOTAL_MAX + 100 * SURE);
        budget.give_back(5000);
        assert!(500 < budget.room(0, 1536));
    }
}
