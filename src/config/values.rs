//! Single values: durations, rates, addresses, numbers.
//!
//! Refuses: quoting what it was given. A value may hold a secret; whoever asked knows how it was written and says that.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use rust_decimal::Decimal;

use crate::model::spelling;

/// Longer than any network's window and any law's retention; keeps sums of times far from overflow.
const DURATION_MAX: Duration = Duration::from_secs(3650 * 86_400);
/// Requests per second that no lane reaches.
const RATE_MAX: f64 = 1_000_000.0;

/// What is wrong with a value, worded to follow the value itself: "is no duration: write …".
pub type Wrong = String;

/// `500ms 10s 5m 2h 14d`.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    let wrong = || "is no duration: write a whole number and a unit, like 500ms, 10s, 5m, 2h or 14d".to_owned();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    if number.is_empty() {
        return Err(wrong());
    }
    let ms = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit_ms));
    ms.map(Duration::from_millis).filter(|d| *d <= DURATION_MAX).ok_or_else(|| "is too long: at most 3650d".to_owned())
}

/// A duration as it would be written, in the largest unit that fits.
pub fn duration_text(duration: Duration) -> String {
    let ms = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let fit = units.into_iter().find(|(unit, _)| ms != 0 && ms.is_multiple_of(*unit));
    fit.map_or_else(
        || if ms == 0 { "0s".to_owned() } else { format!("{ms}ms") },
        |(unit, name)| format!("{}{name}", ms / unit),
    )
}

/// `100/s`, `30/m`, `500/h` as events per second.
pub fn rate(text: &str) -> Result<f64, Wrong> {
    let wrong = || "is no rate: write a number per unit of time, like 100/s, 30/m or 500/h".to_owned();
    let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number = number.trim();
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(wrong());
    }
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let per_second = number / seconds;
    if per_second <= 0.0 {
        return Err(
            "would let nothing through: leave it out for no limit, or switch the connector off by `mode`".to_owned()
        );
    }
    if RATE_MAX < per_second { Err(format!("is too fast: at most {RATE_MAX}/s")) } else { Ok(per_second) }
}

/// `true` or `false`, nothing else.
pub fn boolean(text: &str) -> Result<bool, Wrong> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    }
}

/// A whole number between `min` and `max`, both allowed.
pub fn integer(text: &str, min: u64, max: u64) -> Result<u64, Wrong> {
    let number = text.parse::<u64>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    number.filter(|n| (min..=max).contains(n)).ok_or_else(|| format!("is no whole number from {min} to {max}"))
}

/// A plain number, for factors.
pub fn number(text: &str) -> Result<f64, Wrong> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse::<f64>()
        .ok()
        .filter(|n| plain && n.is_finite())
        .ok_or_else(|| "is no number such as 4 or 0.2".to_owned())
}

/// An exact decimal, for amounts.
pub fn decimal(text: &str) -> Result<Decimal, Wrong> {
    Decimal::from_str_exact(text).map_err(|_| "is no number such as 10 or 99.50".to_owned())
}

/// `127.0.0.1:8080`, `[::1]:8080`.
pub fn address(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse()
        .map_err(|_| "is no address: write an IP address and a port, like 127.0.0.1:8080 or [::]:8080".to_owned())
}

/// `10.0.0.0/8`, `fd00::/8`; an address alone means itself.
pub fn network(text: &str) -> Result<IpNet, Wrong> {
    let alone = || text.parse().ok().map(|ip: std::net::IpAddr| IpNet::from(ip));
    text.parse().ok().or_else(alone).ok_or_else(|| "is no network: write a CIDR like 10.0.0.0/8 or fd00::/8".to_owned())
}

/// The one of `known` that `word` most likely means.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let known: Vec<&str> = known.into_iter().collect();
    let same =
        known.iter().copied().find(|candidate| candidate.to_lowercase().replace('-', "_") == word.replace('-', "_"));
    same.or_else(|| spelling::nearest(&word, known.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_have_a_unit() {
        for (text, ms) in [
            ("500ms", Some(500)),
            ("0s", Some(0)),
            ("10s", Some(10_000)),
            ("5m", Some(300_000)),
            ("2h", Some(7_200_000)),
            ("14d", Some(1_209_600_000)),
            ("14", None),
            ("14 d", None),
            ("1.5h", None),
            ("-1s", None),
            ("d", None),
            ("4000d", None),
            ("99999999999999999999d", None),
            ("", None),
            ("1w", None),
        ] {
            assert_eq!(duration(text).ok().map(|d| d.as_millis()), ms, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_duration_is_read_back(ms in 0u64..315_360_000_000) {
            let given = Duration::from_millis(ms);
            prop_assert_eq!(duration(&duration_text(given)), Ok(given));
        }

        #[test]
        fn no_text_makes_a_reader_panic(text in any::<String>()) {
            let _ = (duration(&text), rate(&text), number(&text), decimal(&text), address(&text), network(&text));
        }
    }

    #[test]
    fn rates_are_per_second() {
        for (text, expect) in [
            ("100/s", Some(100.0)),
            ("30/m", Some(0.5)),
            ("3600/h", Some(1.0)),
            ("100", None),
            ("0/s", None),
            ("-1/s", None),
            ("1/d", None),
            ("inf/s", None),
            ("NaN/s", None),
        ] {
            assert_eq!(rate(text).ok(), expect, "{text}");
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_understood() {
        let known = ["postback", "mode", "name", "url", "when"];
        for (word, expect) in [
            ("postbak", Some("postback")),
            ("Mode", Some("mode")),
            ("urll", Some("url")),
            ("nmae", Some("name")),
            ("xyz", None),
            ("pixel", None),
        ] {
            assert_eq!(nearest(word, known), expect, "{word}");
        }
    }
}
