//! Polling with one deadline. Nothing in these tests sleeps for a guessed time.
//!
//! Refuses: asserting how long something took; a slow machine is no fault.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Between two looks: short against everything that is waited for, long against the cost of a look.
const PAUSE: Duration = Duration::from_millis(25);

/// How long anything may take before it counts as never happening: 30 s, or `POSTBACKD_TEST_DEADLINE_S`.
pub fn deadline() -> Duration {
    let seconds = std::env::var("POSTBACKD_TEST_DEADLINE_S").ok().and_then(|s| s.parse().ok()).unwrap_or(30);
    Duration::from_secs(seconds)
}

/// Looks until `look` succeeds; its last complaint, after the deadline, is the error.
///
/// # Errors
/// `what` never happened.
pub async fn until<T>(what: impl Display, look: impl AsyncFnMut() -> Result<T, String>) -> Result<T, String> {
    within(deadline(), what, look).await
}

/// The same with a deadline of its own, for what takes long by its nature.
///
/// # Errors
/// `what` never happened.
pub async fn within<T>(
    deadline: Duration,
    what: impl Display,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, String> {
    let end = Instant::now() + deadline;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(complaint) if end <= Instant::now() => {
                return Err(format!("never in {} s: {what}: {complaint}", deadline.as_secs()));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
