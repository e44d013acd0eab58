//! Reasons, requests, replies and spans of time in words.
//!
//! Refuses: terms that are not the log's. A reason's own word always stands first, so that it can be looked up.

use std::time::Duration;

use crate::model::delivery::Reason;
use crate::model::record::{Attempt, ShownRequest};

/// Characters of a reply that are shown.
const REPLY_MAX: usize = 60;

/// Headers worth a line; the rest is in the log.
const HEADERS: [&str; 2] = ["authorization", "webhook-signature"];

/// A reason with what the daemon says about it, else with what it means.
pub(super) fn why(reason: Option<Reason>, detail: Option<&str>) -> String {
    match (reason, detail) {
        (Some(reason), Some(detail)) => format!("{}: {detail}", reason.word()),
        (Some(reason), None) => format!("{}: {}", reason.word(), meaning(reason)),
        (None, Some(detail)) => detail.to_owned(),
        (None, None) => "nothing speaks against it".to_owned(),
    }
}

fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::TriggerMismatch => "the connector does not listen to this event",
        Reason::Disabled => "the connector is switched off",
        Reason::ConsentDenied => "this network is told only with consent, and there is none",
        Reason::ConditionFalse => "a condition under `when` does not hold",
        Reason::Expired => "the event is too old for this network",
        Reason::NotLastClick => "another source has the newer click",
        Reason::SourceMismatch => "the click came from another source",
        Reason::ClickExpired => "the click is older than the window",
        Reason::NoClick => "no click of this network brought the visitor",
        Reason::DuplicateConversion => "this order was sent before",
        Reason::NoItems => "the event has no items",
        Reason::MissingVariable => "a required value is missing",
        Reason::RenderFailed => "a value does not fit where it would stand",
        Reason::HttpStatus => "this status is a no; kept for replay",
        Reason::BodyRule => "the connector's `outcomes` read this body as a no; kept for replay",
        Reason::EgressDenied => "the address is private and not under `egress.allow`",
        Reason::RetriesExhausted => "it was tried as long as `retry` allows; kept for replay",
        Reason::Uncertain => "it may have arrived, and nobody knows",
    }
}

/// What came back: `200 in 3 ms, "OK"`.
pub(super) fn reply(attempt: &Attempt) -> String {
    let took = attempt.duration.as_millis();
    match (attempt.status, &attempt.failure) {
        (Some(status), _) if attempt.response.trim().is_empty() => format!("{status} in {took} ms"),
        (Some(status), _) => format!("{status} in {took} ms, {}", said(attempt.response.trim())),
        (None, Some(failure)) => format!("no reply after {took} ms ({failure})"),
        (None, None) => format!("no reply after {took} ms"),
    }
}

/// A reply's body, in quotes unless it is JSON.
fn said(text: &str) -> String {
    let short = match text.char_indices().nth(REPLY_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    if short.starts_with(['{', '[']) { short } else { format!("\"{short}\"") }
}

/// A request as the log keeps it: secrets masked.
pub(super) fn request(request: &ShownRequest) -> Vec<String> {
    let mut lines = vec![format!("{} {}", request.method, request.url)];
    let telling = request.headers.iter().filter(|(name, _)| HEADERS.iter().any(|h| name.eq_ignore_ascii_case(h)));
    lines.extend(telling.map(|(name, value)| format!("{name}: {value}")));
    lines.extend(request.body.iter().map(ToString::to_string));
    lines
}

/// `2 s`, `0.5 s`, `10 min`.
pub(super) fn span(span: Duration) -> String {
    // Whole tenths: who waits does not count milliseconds.
    let tenths = (span.as_millis() + 50) / 100;
    match tenths {
        0..600 if tenths.is_multiple_of(10) => format!("{} s", tenths / 10),
        0..600 => format!("{}.{} s", tenths / 10, tenths % 10),
        600..36_000 => format!("{} min", tenths / 600),
        36_000..864_000 => format!("{} h", tenths / 36_000),
        _ => format!("{} d", tenths / 864_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (ms, text) in [
            (0, "0 s"),
            (512, "0.5 s"),
            (2999, "3 s"),
            (59_900, "59.9 s"),
            (90_000, "1 min"),
            (7_200_000, "2 h"),
            (172_800_000, "2 d"),
        ] {
            assert_eq!(span(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn every_reason_has_its_word_and_a_meaning() {
        for reason in Reason::ALL {
            let text = why(Some(*reason), None);
            assert!(text.starts_with(&format!("{}: ", reason.word())), "{text}");
        }
        assert_eq!(why(Some(Reason::NoClick), Some("none at all")), "no_click: none at all");
    }
}
