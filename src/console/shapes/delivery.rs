//! A delivery whole: why it was decided, what was sent, and what came of every attempt.
//!
//! Refuses: revealing; a request is shown as the log keeps it.

use schemars::JsonSchema;
use serde::Serialize;

use super::event::{ClickShown, FactsShown};
use super::{Head, RequestShown};
use crate::model::delivery::Attribution;
use crate::model::outcome::Outcome;
use crate::model::record::{Attempt, ShownRequest};
use crate::store::{DeliveryDetail, LogEntry, LoggedEntry};

/// Everything about one delivery.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Detail {
    #[serde(flatten)]
    pub head: Head,
    /// More about the reason.
    pub detail: Option<String>,
    /// `live`, `forced` or `dry`.
    pub sending: &'static str,
    /// With `for_each: items`: which one, from 0.
    pub item: Option<u32>,
    pub attribution: Option<AttributionShown>,
    pub click: Option<ClickShown>,
    pub facts: FactsShown,
    /// That of the last attempt, or what test mode rendered.
    pub request: Option<RequestShown>,
    /// In the order made.
    pub attempts: Vec<AttemptShown>,
    /// What else happened to it, in order.
    pub history: Vec<HistoryShown>,
}

/// Why a click was chosen, or why none was.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AttributionShown {
    pub model: &'static str,
    pub window_s: u64,
    pub click_count: usize,
    pub why: String,
}

/// One attempt.
#[derive(Debug, Serialize, JsonSchema)]
pub struct AttemptShown {
    /// From 1.
    pub number: u32,
    pub at: String,
    pub revision: String,
    #[serde(flatten)]
    pub request: RequestShown,
    pub status: Option<u16>,
    /// The first 4 kB.
    pub response: String,
    pub failure: Option<String>,
    pub duration_ms: u64,
    pub outcome: &'static str,
    pub reason: Option<&'static str>,
    pub next_attempt_at: Option<String>,
    pub is_repeat: bool,
}

/// Something that happened to a delivery beside its attempts.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HistoryShown {
    pub at: String,
    /// `started`, `rendered`, `ended` or `replayed`.
    pub what: &'static str,
    /// The number of the attempt that started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl From<&DeliveryDetail> for Detail {
    fn from(found: &DeliveryDetail) -> Self {
        let chosen = found.delivery.attribution.as_ref().and_then(|a| found.facts.clicks.get(a.click?));
        Self {
            head: Head::from(&found.line),
            detail: found.delivery.detail.as_ref().map(ToString::to_string),
            sending: found.delivery.sending.word(),
            item: found.delivery.item,
            attribution: found.delivery.attribution.as_ref().map(AttributionShown::from),
            click: chosen.map(ClickShown::from),
            facts: FactsShown::from(&*found.facts),
            request: found.log.iter().rev().find_map(request_of).map(RequestShown::from),
            attempts: found.log.iter().filter_map(attempt_of).map(AttemptShown::from).collect(),
            history: found.log.iter().filter_map(history_of).collect(),
        }
    }
}

impl From<&Attribution> for AttributionShown {
    fn from(attribution: &Attribution) -> Self {
        Self {
            model: attribution.model.word(),
            window_s: attribution.window.as_secs(),
            click_count: attribution.click_count,
            why: attribution.why.to_string(),
        }
    }
}

impl From<&Attempt> for AttemptShown {
    fn from(attempt: &Attempt) -> Self {
        let (reason, next) = match attempt.outcome {
            Outcome::Delivered | Outcome::Held => (None, None),
            Outcome::Retry { at } => (None, Some(at.to_string())),
            Outcome::Rejected(reason) | Outcome::Dead(reason) => (Some(reason.word()), None),
        };
        Self {
            number: attempt.number,
            at: attempt.started.to_string(),
            revision: attempt.revision.to_string(),
            request: RequestShown::from(&attempt.request),
            status: attempt.status,
            response: attempt.response.to_string(),
            failure: attempt.failure.as_ref().map(ToString::to_string),
            duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
            outcome: attempt.outcome.word(),
            reason,
            next_attempt_at: next,
            is_repeat: attempt.is_repeat,
        }
    }
}

fn request_of(entry: &LogEntry) -> Option<&ShownRequest> {
    match &entry.what {
        LoggedEntry::Attempted(attempt) => Some(&attempt.request),
        LoggedEntry::Rendered(request) => Some(request),
        LoggedEntry::Started { .. } | LoggedEntry::Ended { .. } | LoggedEntry::Replayed => None,
    }
}

fn attempt_of(entry: &LogEntry) -> Option<&Attempt> {
    match &entry.what {
        LoggedEntry::Attempted(attempt) => Some(attempt),
        LoggedEntry::Started { .. } | LoggedEntry::Rendered(_) | LoggedEntry::Ended { .. } | LoggedEntry::Replayed => {
            None
        }
    }
}

fn history_of(entry: &LogEntry) -> Option<HistoryShown> {
    let plain =
        |what| HistoryShown { at: entry.at.to_string(), what, number: None, state: None, reason: None, detail: None };
    Some(match &entry.what {
        LoggedEntry::Attempted(_) => return None,
        LoggedEntry::Started { number } => HistoryShown { number: Some(*number), ..plain("started") },
        LoggedEntry::Rendered(_) => plain("rendered"),
        LoggedEntry::Ended { state, reason, detail } => HistoryShown {
            state: Some(state.word()),
            reason: reason.map(|r| r.word()),
            detail: detail.as_ref().map(ToString::to_string),
            ..plain("ended")
        },
        LoggedEntry::Replayed => plain("replayed"),
    })
}
