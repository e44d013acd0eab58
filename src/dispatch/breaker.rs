//! A lane's breaker: after so many failures in a row the partner is left alone, but for one probe at a time.
//!
//! Refuses: clocks. Waiting for a breaker uses up no attempt, since nothing is sent.

use crate::model::connector::BreakerPolicy;
use crate::model::outcome::{FailureKind, Met};
use crate::model::time::Time;

/// What an attempt says about the partner's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It answered.
    Well,
    /// No reply, 401, 408 or 5xx.
    Ill,
    /// Nothing was asked of it.
    None,
}

impl Sign {
    pub(crate) fn of(met: &Met) -> Self {
        match met {
            Met::Failure { kind: FailureKind::EgressDenied, .. } => Self::None,
            Met::Failure { .. } => Self::Ill,
            Met::Reply(reply) if matches!(reply.status, 401 | 408 | 500..=599) => Self::Ill,
            Met::Reply(_) => Self::Well,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed { failures: u32 },
    Open { until: Time },
    Probing,
}

/// Closed, open, or open with one probe on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Breaker(State);

/// Whether an attempt may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    Yes,
    /// One may: it is the probe, and must come back by [`Breaker::learn`].
    Probe,
    /// None before this time.
    From(Time),
    /// None until the probe is back.
    Probing,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self(State::Closed { failures: 0 })
    }

    pub(crate) fn is_open(&self) -> bool {
        !matches!(self.0, State::Closed { .. })
    }

    /// Whether an attempt may start at `now`. Changes nothing.
    pub(crate) fn pass(&self, now: Time) -> Pass {
        match self.0 {
            State::Closed { .. } => Pass::Yes,
            State::Open { until } if until <= now => Pass::Probe,
            State::Open { until } => Pass::From(until),
            State::Probing => Pass::Probing,
        }
    }

    /// The probe that [`pass`](Self::pass) allowed is on its way.
    pub(crate) fn probe(&mut self) {
        self.0 = State::Probing;
    }

    /// What an attempt showed. A probe that met nobody (its delivery had expired, could not be rendered …) makes room for
    /// the next. An attempt that started before the breaker opened may close it, and not prolong it.
    pub(crate) fn learn(&mut self, sign: Sign, is_probe: bool, policy: &BreakerPolicy, now: Time) {
        let opened = State::Open { until: now.plus(policy.open_for) };
        self.0 = match (sign, self.0) {
            (Sign::Well, _) => State::Closed { failures: 0 },
            (Sign::Ill, State::Closed { failures }) if policy.failures <= failures + 1 => opened,
            (Sign::Ill, State::Closed { failures }) => State::Closed { failures: failures + 1 },
            (Sign::Ill, State::Probing) if is_probe => opened,
            (Sign::None, State::Probing) if is_probe => State::Open { until: now },
            (Sign::Ill | Sign::None, as_it_was) => as_it_was,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::outcome::Reply;

    const POLICY: BreakerPolicy = BreakerPolicy { failures: 3, open_for: Duration::from_secs(30) };

    fn at(second: i64) -> Time {
        Time::from_ms(second * 1000)
    }

    fn opened() -> Breaker {
        let mut breaker = Breaker::new();
        for second in 0..3 {
            assert_eq!(breaker.pass(at(second)), Pass::Yes);
            breaker.learn(Sign::Ill, false, &POLICY, at(second));
        }
        assert!(breaker.is_open());
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let mut breaker = Breaker::new();
        for sign in [Sign::Ill, Sign::Ill, Sign::Well, Sign::Ill, Sign::None, Sign::Ill] {
            breaker.learn(sign, false, &POLICY, at(0));
            assert!(!breaker.is_open());
        }
        breaker.learn(Sign::Ill, false, &POLICY, at(0));
        assert!(breaker.is_open());
    }

    #[test]
    fn one_probe_passes_each_time_it_was_open_long_enough() {
        let mut breaker = opened();
        assert_eq!(breaker.pass(at(31)), Pass::From(at(32)));
        assert_eq!(breaker.pass(at(32)), Pass::Probe);
        breaker.probe();
        assert_eq!(breaker.pass(at(33)), Pass::Probing);
        breaker.learn(Sign::Ill, true, &POLICY, at(40));
        assert_eq!(breaker.pass(at(69)), Pass::From(at(70)));
        assert_eq!(breaker.pass(at(70)), Pass::Probe);
        breaker.probe();
        breaker.learn(Sign::Well, true, &POLICY, at(71));
        assert_eq!(breaker.pass(at(71)), Pass::Yes);
        breaker.learn(Sign::Ill, false, &POLICY, at(72));
        assert!(!breaker.is_open(), "it counts from the start again");
    }

    #[test]
    fn a_probe_that_met_nobody_makes_room_for_the_next() {
        let mut breaker = opened();
        breaker.probe();
        breaker.learn(Sign::None, true, &POLICY, at(51));
        assert_eq!(breaker.pass(at(51)), Pass::Probe);
    }

    #[test]
    fn stragglers_may_close_it_and_do_not_prolong_it() {
        let mut breaker = opened();
        breaker.learn(Sign::Ill, false, &POLICY, at(20));
        assert_eq!(breaker.pass(at(31)), Pass::From(at(32)));
        breaker.probe();
        breaker.learn(Sign::Ill, false, &POLICY, at(33));
        assert_eq!(breaker.pass(at(33)), Pass::Probing);
        breaker.learn(Sign::Well, false, &POLICY, at(34));
        assert_eq!(breaker.pass(at(34)), Pass::Yes);
    }

    #[test]
    fn what_counts_as_a_failure() {
        let reply = |status| Met::Reply(Reply { status, retry_after: None, body: Vec::new(), complete: true });
        for (status, expect) in [
            (200, Sign::Well),
            (302, Sign::Well),
            (400, Sign::Well),
            (401, Sign::Ill),
            (403, Sign::Well),
            (408, Sign::Ill),
            (429, Sign::Well),
            (500, Sign::Ill),
            (501, Sign::Ill),
            (599, Sign::Ill),
        ] {
            assert_eq!(Sign::of(&reply(status)), expect, "{status}");
        }
        let failure = |kind| Sign::of(&Met::Failure { kind, detail: String::new() });
        assert_eq!(failure(FailureKind::Dns), Sign::Ill);
        assert_eq!(failure(FailureKind::EgressDenied), Sign::None);
    }
}
