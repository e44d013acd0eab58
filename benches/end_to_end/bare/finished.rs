//! Which delivery tags are finished without a gap, so that many are acknowledged at once.
//!
//! Refuses: more than one channel; tags count from 1.

use std::collections::VecDeque;

#[derive(Default)]
pub struct Finished {
    /// Every tag up to here.
    up_to: u64,
    /// Whether the tags after it are.
    ahead: VecDeque<bool>,
}

impl Finished {
    pub fn up_to(&self) -> u64 {
        self.up_to
    }

    pub fn add(&mut self, tag: u64) {
        let at = usize::try_from(tag - self.up_to - 1).expect("within the prefetch");
        if self.ahead.len() <= at {
            self.ahead.resize(at + 1, false);
        }
        self.ahead[at] = true;
        while self.ahead.front() == Some(&true) {
            self.ahead.pop_front();
            self.up_to += 1;
        }
    }
}
