//! The order in which deliveries are offered to lanes: that in which their commits were asked for.
//!
//! Refuses: knowing what is offered.

use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// A place in the order. Whoever comes after waits until it is dropped.
#[derive(Debug)]
pub struct Turn {
    before: Option<oneshot::Receiver<()>>,
    /// Dropped with it, which is what the next one waits for.
    _ends: oneshot::Sender<()>,
}

impl Turn {
    /// Answers when everybody before has had their turn.
    pub async fn comes(&mut self) {
        if let Some(before) = &mut self.before {
            // Nothing is ever sent: it ends.
            drop(before.await);
            self.before = None;
        }
    }
}

/// Everybody's turns. It knows the last of those who have a place.
#[derive(Debug, Default)]
pub struct Turns(Mutex<Option<oneshot::Receiver<()>>>);

impl Turns {
    /// Takes the next place and asks for the commit, so that no other can be asked for in between. `ask` has asked when it
    /// returns, whatever it returns.
    pub fn take<T>(&self, ask: impl FnOnce() -> T) -> (Turn, T) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (ends, ended) = oneshot::channel();
        (Turn { before: last.replace(ended), _ends: ends }, ask())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_turn_comes_when_all_before_are_over() {
        let turns = Turns::default();
        let ((mut first, ()), (second, ()), (mut third, three)) =
            (turns.take(|| ()), turns.take(|| ()), turns.take(|| 3));
        assert_eq!(three, 3);
        assert!(first.comes().now_or_never().is_some());
        assert!(third.comes().now_or_never().is_none());
        drop(first);
        assert!(third.comes().now_or_never().is_none(), "the second is not over");
        drop(second);
        assert!(third.comes().now_or_never().is_some());
        assert!(third.comes().now_or_never().is_some(), "and stays");
    }
}
