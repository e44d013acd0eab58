//! Whether an event fires a connector: send, wait, or skip with the first reason that holds (SPEC section 5).
//!
//! Refuses: rendering. `missing_variable` and `render_failed` are found when the request is made.

use std::borrow::Cow;
use std::time::Duration;

use crate::model::connector::{ClickMatching, Connector, ConsentKind, Mode};
use crate::model::delivery::{AttributionModel, Reason, Sending};
use crate::model::event::{Consent, Event};
use crate::model::time::Time;
use crate::model::visitor::Visitor;
use crate::rules::attribute::{Attributed, attribute};
use crate::rules::remember::Clicks;

#[cfg(test)]
mod tests;

/// What a decision is made of.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    pub connector: &'a Connector,
    pub event: &'a Event,
    /// The visitor's, the event included.
    pub clicks: &'a Clicks<'a>,
    /// Of the event, else of its visitor: [`consent`].
    pub consent: Consent,
    pub now: Time,
    /// Whether all of the connector's `when` hold. Asked only where there are any. It is told what attribution has found,
    /// since a condition may name a variable of the click.
    pub condition: &'a dyn Fn(Option<&DecidedAttribution>) -> bool,
    /// Whether another event holds the connector's `deduplicate` value. Asked last, only where the connector deduplicates.
    pub dedup_taken: &'a dyn Fn(Option<&DecidedAttribution>) -> bool,
}

/// The click a connector's `click_matching` found, and why; `click` is `None` where none earned the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedAttribution {
    /// Which of [`Input::clicks`].
    pub click: Option<usize>,
    pub model: AttributionModel,
    pub window: Duration,
    /// How many own clicks lay in the window; 0 where none won.
    pub click_count: usize,
    /// One sentence for the log, without contact data.
    pub why: Cow<'static, str>,
}

/// What is to become of an event at one connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Skip(Reason),
    /// To be decided again when its visitor's clicks change, and at this time in any case. With a reason: it would be
    /// skipped for that now. Without: it would be sent, and is held for rivals that may be under way.
    Wait {
        until: Time,
        reason: Option<Reason>,
    },
    Send {
        sending: Sending,
    },
}

/// A verdict with the attribution it rests on; that is `None` where clicks play no part, or were not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub verdict: Verdict,
    pub attribution: Option<DecidedAttribution>,
}

/// What is known of consent at an event: its own word on each flag, else the visitor's.
pub fn consent(event: &Event, visitor: &Visitor) -> Consent {
    Consent {
        ads: event.consent.ads.or(visitor.consent.ads),
        analytics: event.consent.analytics.or(visitor.consent.analytics),
    }
}

/// Whether the connector listens to events like this one. Where it does not, the verdict is `trigger_mismatch`; asking this
/// first saves the loading of what a decision needs.
pub fn is_triggered(connector: &Connector, event: &Event) -> bool {
    event.name.as_deref().is_some_and(|name| connector.triggers.matches(name)) && connector.listens_to(&event.container)
}

/// Decides one event for one connector. The reasons are asked in the order of SPEC section 5, `no_items` between the click
/// reasons and `duplicate_conversion`: an event without items must not wait less for its click, nor ask for a value that
/// it will not hold. What waits for `settle` is asked for neither before that is over.
pub fn decide(input: &Input<'_>) -> Decided {
    let Input { connector, event, .. } = *input;
    if let Some(reason) = unconditional(input) {
        return Decided { verdict: Verdict::Skip(reason), attribution: None };
    }
    let matching = connector.click_matching.as_ref();
    let (attribution, lost) = match matching {
        Some(matching) => found(matching, input.clicks, event.time),
        None => (None, None),
    };
    let verdict = conditional(input, attribution.as_ref(), lost);
    Decided { verdict, attribution }
}

/// The reasons before any condition is evaluated.
fn unconditional(input: &Input<'_>) -> Option<Reason> {
    let Input { connector, event, .. } = *input;
    if !is_triggered(connector, event) {
        return Some(Reason::TriggerMismatch);
    }
    if connector.mode == Mode::Disabled || !connector.postback_enabled {
        return Some(Reason::Disabled);
    }
    let consented = match connector.require_consent {
        None => Some(true),
        Some(ConsentKind::Ads) => input.consent.ads,
        Some(ConsentKind::Analytics) => input.consent.analytics,
    };
    (consented != Some(true)).then_some(Reason::ConsentDenied)
}

fn conditional(input: &Input<'_>, attribution: Option<&DecidedAttribution>, lost: Option<Reason>) -> Verdict {
    let Input { connector, event, now, .. } = *input;
    if !connector.when.is_empty() && !(input.condition)(attribution) {
        return Verdict::Skip(Reason::ConditionFalse);
    }
    if connector.postback.expires_after.is_some_and(|after| after < now.since(event.time)) {
        return Verdict::Skip(Reason::Expired);
    }
    if let Some(matching) = &connector.click_matching {
        // Where no click is required the event fires either way: it is held for rivals, and for no click of its own.
        let reason = lost.filter(|_| matching.required);
        let hold = if reason.is_some() { matching.wait } else { matching.settle };
        let until = event.received.plus(hold);
        if now < until {
            return Verdict::Wait { until, reason };
        }
        if let Some(reason) = reason {
            return Verdict::Skip(reason);
        }
    }
    if connector.postback.for_each_item && event.items.is_empty() {
        return Verdict::Skip(Reason::NoItems);
    }
    if connector.deduplicate.is_some() && (input.dedup_taken)(attribution) {
        return Verdict::Skip(Reason::DuplicateConversion);
    }
    Verdict::Send { sending: sending(connector.mode, event.is_test) }
}

fn sending(mode: Mode, is_test: bool) -> Sending {
    match (mode, is_test) {
        (Mode::Enabled, _) => Sending::Live,
        (Mode::Test, true) => Sending::Forced,
        (Mode::Test | Mode::Disabled, _) => Sending::Dry,
    }
}

fn found(
    matching: &ClickMatching,
    clicks: &Clicks<'_>,
    event_time: Time,
) -> (Option<DecidedAttribution>, Option<Reason>) {
    let (click, click_count, why, lost) = match attribute(matching, clicks, event_time) {
        Attributed::Won { click, count, why } => (Some(click), count, why, None),
        Attributed::Lost { reason, why } => (None, 0, why, Some(reason)),
    };
    let (model, window) = (matching.model, matching.window);
    (Some(DecidedAttribution { click, model, window, click_count, why }), lost)
}
