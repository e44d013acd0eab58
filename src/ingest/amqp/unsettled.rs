//! Which messages of one connection are still open, and up to which tag all are settled.
//!
//! Refuses: skipping one. A cumulative acknowledgement covers every tag below it, so it never passes an open message.

use std::collections::VecDeque;

/// The messages of one channel, by their delivery tags, which the broker counts from 1. Holds at most the prefetch.
#[derive(Debug)]
pub(super) struct Unsettled<M> {
    /// The lowest tag that is not acknowledged.
    first: u64,
    /// One per tag from `first` on.
    slots: VecDeque<Slot<M>>,
}

#[derive(Debug)]
enum Slot<M> {
    /// Passed on; kept in case it comes back rejected.
    Open(M),
    /// On its way to the rejected queue.
    Taken,
    Settled,
}

impl<M> Unsettled<M> {
    pub fn new() -> Self {
        Self { first: 1, slots: VecDeque::new() }
    }

    /// Notes a message. False if its tag does not follow the last one, which would make the count meaningless.
    #[must_use]
    pub fn arrived(&mut self, tag: u64, message: M) -> bool {
        let follows = tag == self.first + self.slots.len() as u64;
        if follows {
            self.slots.push_back(Slot::Open(message));
        }
        follows
    }

    /// Gives an open message out; it stays unsettled.
    pub fn take(&mut self, tag: u64) -> Option<M> {
        let slot = self.slot(tag)?;
        match std::mem::replace(slot, Slot::Taken) {
            Slot::Open(message) => Some(message),
            other => {
                *slot = other;
                None
            }
        }
    }

    /// Notes that nothing is left to do about this message. Again is no harm.
    pub fn settle(&mut self, tag: u64) {
        if let Some(slot) = self.slot(tag) {
            *slot = Slot::Settled;
        }
    }

    /// The highest tag up to which all are settled, if that is further than when last asked.
    pub fn ackable(&mut self) -> Option<u64> {
        let before = self.first;
        while matches!(self.slots.front(), Some(Slot::Settled)) {
            self.slots.pop_front();
            self.first += 1;
        }
        (before < self.first).then(|| self.first - 1)
    }

    fn slot(&mut self, tag: u64) -> Option<&mut Slot<M>> {
        let at = usize::try_from(tag.checked_sub(self.first)?).ok()?;
        self.slots.get_mut(at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_open_message_holds_back_those_after_it() {
        let mut open = Unsettled::new();
        assert!((1..=4).all(|tag| open.arrived(tag, tag)));
        assert!(!open.arrived(6, 6), "a gap");
        open.settle(2);
        open.settle(3);
        assert_eq!(open.ackable(), None);
        assert_eq!((open.take(1), open.take(1), open.take(2)), (Some(1), None, None));
        assert_eq!(open.ackable(), None, "taken is not settled");
        open.settle(1);
        open.settle(1);
        assert_eq!((open.ackable(), open.ackable()), (Some(3), None));
        open.settle(2);
        open.settle(99);
        assert!(open.arrived(5, 5));
        open.settle(4);
        assert_eq!(open.ackable(), Some(4));
    }

    proptest! {
        #[test]
        fn an_acknowledgement_covers_settled_messages_only(order in Just((1..=40u64).collect::<Vec<_>>()).prop_shuffle()) {
            let mut open = Unsettled::new();
            for tag in 1..=40 {
                prop_assert!(open.arrived(tag, ()));
            }
            let mut settled = BTreeSet::new();
            let mut acknowledged = 0;
            for tag in order {
                open.settle(tag);
                settled.insert(tag);
                if let Some(up_to) = open.ackable() {
                    prop_assert!(acknowledged < up_to);
                    acknowledged = up_to;
                }
                prop_assert!((1..=acknowledged).all(|t| settled.contains(&t)));
                prop_assert!(!settled.contains(&(acknowledged + 1)));
            }
            prop_assert_eq!(acknowledged, 40);
        }
    }
}
