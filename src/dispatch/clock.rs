//! The one place of this room that reads the wall clock.
//!
//! Refuses: anything else. What decides takes `now` as an argument.

use std::time::SystemTime;

use crate::model::time::Time;

/// This moment.
pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
