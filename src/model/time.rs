//! A moment, in whole milliseconds since 1970 UTC, and how senders write one.
//!
//! Refuses: reading a clock. `now` is always somebody's argument.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Milliseconds since 1970-01-01T00:00:00Z, between the years 0 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// 9999-12-30T22:00:00Z, the last moment that every offset can still write.
const LATEST_MS: i64 = 253_402_207_200_000;

impl Time {
    /// Clamped into the years that can be written.
    pub fn from_ms(ms: i64) -> Self {
        Self(ms.clamp(-62_167_219_200_000, LATEST_MS))
    }

    /// Milliseconds since the epoch.
    pub fn ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This moment and `span` more.
    pub fn plus(self, span: Duration) -> Self {
        Self::from_ms(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// `span` before this moment.
    pub fn minus(self, span: Duration) -> Self {
        Self::from_ms(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// For formatting with jiff.
    pub fn timestamp(self) -> Timestamp {
        Timestamp::from_millisecond(self.0).expect("clamped into jiff's range when built")
    }

    /// Reads what SPEC calls a timestamp: ISO 8601 (without an offset: UTC; a date alone: its midnight), or digits: ten
    /// are seconds, thirteen milliseconds. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.bytes().all(|b| b.is_ascii_digit()) {
            let number: i64 = text.parse().ok()?;
            return match text.len() {
                10 => Some(Self::from_ms(number * 1000)),
                13 => Some(Self::from_ms(number)),
                _ => None,
            };
        }
        let found = text.parse::<Timestamp>().ok().or_else(|| {
            let civil =
                text.parse::<DateTime>().ok().or_else(|| text.parse::<Date>().ok().map(|d| d.at(0, 0, 0, 0)))?;
            civil.to_zoned(TimeZone::UTC).ok().map(|z| z.timestamp())
        })?;
        Some(Self::from_ms(found.as_millisecond()))
    }
}

/// ISO 8601 in UTC with milliseconds: `2026-01-10T12:00:00.000Z`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_write_time_in_many_ways() {
        let noon = Some(1_768_046_400_000);
        for (text, expect) in [
            ("2026-01-10T12:00:00Z", noon),
            ("2026-01-10T14:00:00+02:00", noon),
            ("2026-01-10T12:00:00", noon),
            ("2026-01-10 12:00:00.000", noon),
            ("1768046400", noon),
            ("1768046400000", noon),
            ("2026-01-10", Some(1_768_003_200_000)),
            ("yesterday-ish", None),
            ("12345", None),
            ("", None),
        ] {
            assert_eq!(Time::parse(text).map(Time::ms), expect, "{text}");
        }
        assert_eq!(Time::from_ms(1_768_046_400_000).to_string(), "2026-01-10T12:00:00.000Z");
    }
}
