//! The order in which deliveries are offered to lanes: that in which their commits were asked for.
//!
//! Refuses: knowing what is offered.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// How a turn ends: with the turn before it, if it ends without having come.
#[derive(Debug)]
struct Ended(oneshot::Receiver<Option<Ended>>);

/// A place in the order. Whoever comes after waits until it is dropped, and all before it are.
#[derive(Debug)]
pub struct Turn {
    before: Option<Ended>,
    ends: Option<oneshot::Sender<Option<Ended>>>,
}

impl Turn {
    /// Answers when everybody before has had their turn, or given it up.
    pub async fn comes(&mut self) {
        while let Some(Ended(before)) = &mut self.before {
            self.before = before.await.ok().flatten();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(ends) = self.ends.take() {
            // Nobody may have come after.
            drop(ends.send(self.before.take()));
        }
    }
}

/// Everybody's turns. It knows the last of those who have a place.
#[derive(Debug, Default)]
pub struct Turns(Mutex<Option<Ended>>);

impl Turns {
    /// Takes the next place and asks for the commit, so that no other can be asked for in between. `ask` has asked when it
    /// returns, whatever it returns.
    pub fn take<T>(&self, ask: impl FnOnce() -> T) -> (Turn, T) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (ends, ended) = oneshot::channel();
        (Turn { before: last.replace(Ended(ended)), ends: Some(ends) }, ask())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_turn_comes_when_all_before_are_over() {
        let turns = Turns::default();
        let (mut first, ()) = turns.take(|| ());
        let (second, ()) = turns.take(|| ());
        let (mut third, three) = turns.take(|| 3);
        assert_eq!(three, 3);
        assert!(first.comes().now_or_never().is_some());
        assert!(third.comes().now_or_never().is_none());
        drop(first);
        assert!(third.comes().now_or_never().is_none(), "the second is not over");
        drop(second);
        assert!(third.comes().now_or_never().is_some());
        assert!(third.comes().now_or_never().is_some(), "and stays");
    }

    #[test]
    fn who_gives_a_turn_up_lets_nobody_past_those_before() {
        let turns = Turns::default();
        let (first, ()) = turns.take(|| ());
        let (second, ()) = turns.take(|| ());
        let (third, ()) = turns.take(|| ());
        let (mut fourth, ()) = turns.take(|| ());
        drop(third);
        drop(second);
        assert!(fourth.comes().now_or_never().is_none(), "the first is not over");
        drop(first);
        assert!(fourth.comes().now_or_never().is_some());
    }
}
