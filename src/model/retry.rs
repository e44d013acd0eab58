//! A retry policy that cannot be nonsense.
//!
//! Refuses: computing delays; the arithmetic is in `dispatch::backoff`.

use std::time::Duration;

/// When to try again. Built only by [`RetryPolicy::new`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryPolicy {
    initial: Duration,
    multiplier: f64,
    randomization: f64,
    max_interval: Duration,
    max_elapsed: Duration,
}

/// What is wrong with a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RetryPolicyError {
    #[error("initial must be longer than 0")]
    InitialZero,
    #[error("multiplier must be at least 1 and at most 100")]
    Multiplier,
    #[error("randomization must be at least 0 and below 1")]
    Randomization,
    #[error("max_interval must not be shorter than initial")]
    MaxInterval,
    #[error("max_elapsed must be longer than 0")]
    MaxElapsedZero,
}

impl RetryPolicy {
    /// A delay of `initial`, growing by `multiplier` up to `max_interval`, each spread by ± `randomization` of itself,
    /// until `max_elapsed` after the first attempt was due.
    ///
    /// # Errors
    /// Names the first rule that the values break.
    pub fn new(
        initial: Duration,
        multiplier: f64,
        randomization: f64,
        max_interval: Duration,
        max_elapsed: Duration,
    ) -> Result<Self, RetryPolicyError> {
        if initial.is_zero() {
            return Err(RetryPolicyError::InitialZero);
        }
        if !(1.0..=100.0).contains(&multiplier) {
            return Err(RetryPolicyError::Multiplier);
        }
        if !(0.0..1.0).contains(&randomization) {
            return Err(RetryPolicyError::Randomization);
        }
        if max_interval < initial {
            return Err(RetryPolicyError::MaxInterval);
        }
        if max_elapsed.is_zero() {
            return Err(RetryPolicyError::MaxElapsedZero);
        }
        Ok(Self { initial, multiplier, randomization, max_interval, max_elapsed })
    }

    pub fn initial(&self) -> Duration {
        self.initial
    }

    pub fn multiplier(&self) -> f64 {
        self.multiplier
    }

    pub fn randomization(&self) -> f64 {
        self.randomization
    }

    pub fn max_interval(&self) -> Duration {
        self.max_interval
    }

    /// Counted from the moment the first attempt was due; it stands still while the connector is parked.
    pub fn max_elapsed(&self) -> Duration {
        self.max_elapsed
    }
}

/// 10 s, then 40 s, 160 s, … up to 6 h, for 72 h, ± 20 %: SPEC section 4.
impl Default for RetryPolicy {
    fn default() -> Self {
        let hour = 3600;
        Self {
            initial: Duration::from_secs(10),
            multiplier: 4.0,
            randomization: 0.2,
            max_interval: Duration::from_secs(6 * hour),
            max_elapsed: Duration::from_secs(72 * hour),
        }
    }
}
