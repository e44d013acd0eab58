//! How long to wait after attempt n, by a connector's retry policy.
//!
//! Refuses: time and chance. Jitter is an argument, and when retries end is `rules::judge`'s business.
//!
//! Why the `backoff` crate: the owner of this project asks for it. It is unmaintained (RUSTSEC-2025-0012), so nothing but
//! this file uses it, and only the arithmetic of its `ExponentialBackoff`, with its own randomisation and its own limit
//! of time switched off. Replacing it is a change of this file alone.

use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff;

use crate::model::retry::RetryPolicy;

/// Growth steps counted at most: a policy that has not reached its `max_interval` by then grows so slowly that one more
/// step is nothing, and an attempt must not cost more the older its delivery is.
const STEPS_MAX: u32 = 10_000;

/// The delay after attempt `attempt` (from 1): `initial × multiplier^(attempt − 1)`, at most `max_interval`, then spread
/// by `jitter` (between -1 and 1) times the policy's randomization.
pub(crate) fn delay(policy: &RetryPolicy, attempt: u32, jitter: f64) -> Duration {
    let interval = interval(policy, attempt);
    let factor = 1.0 + policy.randomization() * jitter.clamp(-1.0, 1.0);
    Duration::try_from_secs_f64(interval.as_secs_f64() * factor).unwrap_or(interval)
}

fn interval(policy: &RetryPolicy, attempt: u32) -> Duration {
    let mut schedule = ExponentialBackoffBuilder::new()
        .with_initial_interval(policy.initial())
        .with_multiplier(policy.multiplier())
        .with_max_interval(policy.max_interval())
        .with_randomization_factor(0.0)
        .with_max_elapsed_time(None)
        .build();
    for _ in 1..attempt.min(STEPS_MAX) {
        let before = schedule.current_interval;
        // What it returns is the interval plus up to a nanosecond of its own chance; the field is exact.
        let _ = schedule.next_backoff();
        if schedule.current_interval == before {
            break;
        }
    }
    schedule.current_interval
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(initial_ms: u64, multiplier: f64, randomization: f64, max_ms: u64) -> RetryPolicy {
        let ms = Duration::from_millis;
        RetryPolicy::new(ms(initial_ms), multiplier, randomization, ms(max_ms), ms(1)).unwrap()
    }

    #[test]
    fn delays_grow_to_the_longest() {
        for (policy, expect) in [
            (
                RetryPolicy::default(),
                &[10_000, 40_000, 160_000, 640_000, 2_560_000, 10_240_000, 21_600_000, 21_600_000][..],
            ),
            (policy(100, 1.0, 0.0, 60_000), &[100, 100, 100]),
            (policy(1000, 2.0, 0.0, 1000), &[1000, 1000]),
            (policy(1000, 1.5, 0.0, 2000), &[1000, 1500, 2000, 2000]),
        ] {
            for (attempt, expect) in (1..).zip(expect) {
                assert_eq!(delay(&policy, attempt, 0.0).as_millis(), *expect, "{policy:?} {attempt}");
            }
        }
        assert_eq!(delay(&RetryPolicy::default(), u32::MAX, 0.0), Duration::from_secs(6 * 3600));
        assert_eq!(
            delay(&RetryPolicy::default(), 0, 0.0),
            Duration::from_secs(10),
            "no attempt yet counts as the first"
        );
    }

    proptest! {
        #[test]
        fn jitter_spreads_by_the_randomization(
            jitter in -1.0f64..=1.0, randomization in 0.0f64..0.99, attempt in 1u32..40, multiplier in 1.0f64..10.0,
        ) {
            let policy = policy(1000, multiplier, randomization, 3_600_000);
            let plain = delay(&policy, attempt, 0.0).as_secs_f64();
            let spread = delay(&policy, attempt, jitter).as_secs_f64();
            prop_assert!((spread - plain * (1.0 + randomization * jitter)).abs() < 1e-6);
        }
    }
}
