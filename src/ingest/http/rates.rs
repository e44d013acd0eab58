//! How many events per second may come over HTTP: over the listener, and of each container.
//!
//! Refuses: limiting anything unless configured.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::answer::Refusal;
use crate::config::Config;
use crate::model::event::Event;
use crate::model::ids::ContainerKey;

/// The slowest rate that is kept: one event a day. Below it the arithmetic of the limiter would overflow.
const SLOWEST: Duration = Duration::from_secs(86_400);

/// The limiters in use, made anew when a reload changes a rate.
#[derive(Debug, Default)]
pub(super) struct Rates {
    /// Of the listener under `None`. At most one entry per configured container.
    limiters: Mutex<HashMap<Option<ContainerKey>, Limiter>>,
}

#[derive(Clone, Debug)]
struct Limiter {
    rate: f64,
    limit: Arc<DefaultDirectRateLimiter>,
    burst: NonZeroU32,
}

impl Rates {
    /// Counts these events, or says when to come again. An array larger than a second's worth is let through when the
    /// whole second is free, else it never would be.
    pub fn admit(&self, config: &Config, events: &[Event]) -> Result<(), Refusal> {
        self.check(config, None, config.ingest.rate, events.len())?;
        let Some(first) = events.first() else {
            return Ok(());
        };
        if config.containers.iter().all(|c| c.rate.is_none()) {
            return Ok(());
        }
        let mut counted: HashMap<&ContainerKey, usize> = HashMap::from([(&first.container, 0)]);
        for event in events {
            *counted.entry(&event.container).or_default() += 1;
        }
        for (key, events) in counted {
            let rate = config.container(key).and_then(|c| c.rate);
            self.check(config, Some(key), rate, events)?;
        }
        Ok(())
    }

    fn check(
        &self,
        config: &Config,
        container: Option<&ContainerKey>,
        rate: Option<f64>,
        events: usize,
    ) -> Result<(), Refusal> {
        let Some(rate) = rate else {
            return Ok(());
        };
        let Some(limiter) = self.limiter(config, container, rate) else {
            return Ok(());
        };
        let cells = u32::try_from(events).unwrap_or(u32::MAX).min(limiter.burst.get());
        let Some(cells) = NonZeroU32::new(cells) else {
            return Ok(());
        };
        match limiter.limit.check_n(cells) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(Refusal::TooMany { again_in: until.wait_time_from(DefaultClock::default().now()) }),
            // No array is counted as more than the burst, so this cannot be; refusing is the safe side.
            Err(_) => Err(Refusal::TooMany { again_in: Duration::from_secs(1) }),
        }
    }

    fn limiter(&self, config: &Config, container: Option<&ContainerKey>, rate: f64) -> Option<Limiter> {
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        let key = container.cloned();
        if let Some(limiter) = limiters.get(&key).filter(|l| l.rate.total_cmp(&rate).is_eq()) {
            return Some(limiter.clone());
        }
        let limiter = limiter(rate)?;
        // A reload may have taken containers away.
        limiters.retain(|key, _| key.as_ref().is_none_or(|key| config.container(key).is_some()));
        limiters.insert(key, limiter.clone());
        Some(limiter)
    }
}

/// `None` for a rate that is so high (or so wrong) that it limits nothing.
fn limiter(rate: f64) -> Option<Limiter> {
    if rate.is_nan() || rate <= 0.0 {
        return None;
    }
    let period = Duration::try_from_secs_f64((1.0 / rate).min(SLOWEST.as_secs_f64())).ok()?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped into the range first")]
    let burst = NonZeroU32::new(rate.ceil().clamp(1.0, f64::from(u32::MAX)) as u32)?;
    let quota = Quota::with_period(period)?.allow_burst(burst);
    Some(Limiter { rate, limit: Arc::new(RateLimiter::direct(quota)), burst })
}
