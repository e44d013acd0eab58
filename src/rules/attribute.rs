//! Which click earned an event, for one connector (SPEC section 5).
//!
//! Candidates are the clicks in the window, both ends in; those after the event never count. A click is *own* where its
//! parameter is the connector's and, with `source_value`, its landing query holds exactly that in `source_param`. Whether
//! two connectors are the same source follows from that: sharing parameter and `source_value`, they have the same own
//! clicks, and neither has a rival in the other. An untimed click is in every window and ranks before every timed one.
//!
//! Refuses: choosing by anything but event times. Which landings are one click was settled by `rules::remember`.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::time::Duration;

use crate::model::click::{Click, query_pairs};
use crate::model::connector::ClickMatching;
use crate::model::delivery::{AttributionModel, Reason};
use crate::model::time::Time;
use crate::rules::remember::Clicks;

#[cfg(test)]
pub(in crate::rules) mod tests;

/// What a connector's `click_matching` made of a visitor's clicks. `why` is one sentence for the log; it may name
/// parameters, sources and times, never a click ID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attributed {
    Won {
        /// Which of the clicks given.
        click: usize,
        /// How many own clicks lay in the window.
        count: usize,
        why: Cow<'static, str>,
    },
    /// `reason` is one of the click reasons.
    Lost { reason: Reason, why: Cow<'static, str> },
}

/// Chooses the click that earned an event of this time.
pub fn attribute(matching: &ClickMatching, clicks: &Clicks<'_>, event_time: Time) -> Attributed {
    let seen = survey(matching, clicks, event_time);
    let Some(own) = seen.own else { return lost_without_own(matching, &seen) };
    let beaten = match matching.model {
        AttributionModel::AnyClick => None,
        // Of the same moment is not newer; an untimed rival is never newer, an untimed own click always older.
        AttributionModel::LastClick => seen.rival.filter(|rival| clicks[own].time < rival.time),
    };
    match beaten {
        Some(rival) => {
            Attributed::Lost { reason: Reason::NotLastClick, why: why_beaten(matching, rival, &clicks[own]) }
        }
        None => Attributed::Won { click: own, count: seen.own_count, why: why_won(matching, &seen, &clicks[own]) },
    }
}

/// What lies in the window, and own clicks before it.
struct Survey<'a> {
    /// The newest own click.
    own: Option<usize>,
    own_count: usize,
    /// The newest click that is not own.
    rival: Option<&'a Click>,
    /// A click that has the parameter, but comes from another source.
    other_source: Option<&'a Click>,
    /// The newest own click that is too old.
    expired: Option<&'a Click>,
    opens: Time,
}

fn survey<'a>(matching: &ClickMatching, clicks: &'a Clicks<'_>, event_time: Time) -> Survey<'a> {
    let opens = event_time.minus(matching.window);
    let mut seen = Survey { own: None, own_count: 0, rival: None, other_source: None, expired: None, opens };
    // Oldest first: the last one that is taken is the newest.
    for (at, click) in clicks.iter().enumerate() {
        if click.time.is_some_and(|time| event_time < time) {
            continue;
        }
        let has_param = matching.is_param(&click.param);
        let is_own = has_param && is_of_source(matching, click);
        if click.time.is_some_and(|time| time < opens) {
            if is_own {
                seen.expired = Some(click);
            }
        } else if is_own {
            seen.own_count += 1;
            if seen.own.is_none_or(|known| rank(matching, &clicks[known]) <= rank(matching, click)) {
                seen.own = Some(at);
            }
        } else {
            seen.rival = Some(click);
            if has_param {
                seen.other_source = Some(click);
            }
        }
    }
    seen
}

/// Newer is greater: by time, the untimed by when they were last sent; at the same moment, the alias named first wins.
fn rank(matching: &ClickMatching, click: &Click) -> (Option<Time>, Option<Time>, Reverse<usize>) {
    let is = |alias: &str| {
        if matching.ignore_case { alias.eq_ignore_ascii_case(&click.param) } else { *alias == *click.param }
    };
    let alias = matching.params.iter().position(|p| is(p)).unwrap_or(usize::MAX);
    (click.time, click.time.is_none().then_some(click.seen), Reverse(alias))
}

/// Whether a click with the connector's parameter comes from its source.
fn is_of_source(matching: &ClickMatching, click: &Click) -> bool {
    match (&matching.source_param, &matching.source_value) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(param), Some(wanted)) => source(click, param).is_some_and(|value| *value == **wanted),
    }
}

fn source<'a>(click: &'a Click, param: &str) -> Option<Cow<'a, str>> {
    query_pairs(&click.landing.url).find(|(name, _)| name == param).map(|(_, value)| value)
}

fn lost_without_own(matching: &ClickMatching, seen: &Survey<'_>) -> Attributed {
    if let Some(click) = seen.other_source {
        let wanted = matching.source_value.as_deref().unwrap_or_default();
        let param = matching.source_param.as_deref().unwrap_or("source_param");
        let found = match source(click, param) {
            Some(value) => format!("has {param}={}", shown(&value)),
            None => format!("has no {param}"),
        };
        let why = format!("{} in the window {found}, not {wanted}", dated(click));
        return Attributed::Lost { reason: Reason::SourceMismatch, why: why.into() };
    }
    if let Some(click) = seen.expired {
        let before = click.time.map_or(Duration::ZERO, |time| seen.opens.since(time));
        let why = format!("the newest own click, {}, is {} older than the window allows", dated(click), spelt(before));
        return Attributed::Lost { reason: Reason::ClickExpired, why: why.into() };
    }
    let why = format!("the visitor has no click with {} up to the event", matching.params.join(" or "));
    Attributed::Lost { reason: Reason::NoClick, why: why.into() }
}

fn why_won(matching: &ClickMatching, seen: &Survey<'_>, own: &Click) -> Cow<'static, str> {
    match (seen.own_count, matching.model, seen.rival) {
        (1, _, None) => "the only click in the window".into(),
        (1, AttributionModel::AnyClick, Some(_)) => "the only own click in the window".into(),
        (count, AttributionModel::AnyClick, _) | (count, AttributionModel::LastClick, None) => {
            format!("{} is the newest of {count} own clicks in the window", dated(own)).into()
        }
        (_, AttributionModel::LastClick, Some(rival)) => {
            format!("no click of another source is newer than {}; theirs is {}", dated(own), dated(rival)).into()
        }
    }
}

fn why_beaten(matching: &ClickMatching, rival: &Click, own: &Click) -> Cow<'static, str> {
    let by = matching.source_param.as_deref().and_then(|param| Some((param, source(rival, param)?)));
    let by = by.map_or_else(String::new, |(param, value)| format!(" ({param}={})", shown(&value)));
    let after = match (rival.time, own.time) {
        (Some(theirs), Some(ours)) => format!("{} after {}", spelt(theirs.since(ours)), own.param),
        _ => format!("and {} has no time", own.param),
    };
    format!("the newest click in the window is {}{by}, {after}", dated(rival)).into()
}

/// `gclid of 2026-01-09T12:00:00Z`.
fn dated(click: &Click) -> String {
    match click.time {
        Some(time) => format!("{} of {}", click.param, time.timestamp()),
        None => format!("{} without a time", click.param),
    }
}

/// A source as the log may show it: short, and no address of anybody.
fn shown(value: &str) -> Cow<'_, str> {
    const CHARS_MAX: usize = 64;
    if value.contains('@') {
        return "another".into();
    }
    match value.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &value[..end]).into(),
        None => value.into(),
    }
}

/// The two largest units of a span: `1 d 2 h`.
fn spelt(span: Duration) -> String {
    let ms = span.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
    let first = units.iter().position(|(unit, _)| *unit <= ms).unwrap_or(units.len() - 1);
    let (unit, name) = units[first];
    let mut out = format!("{} {name}", ms / unit);
    if let Some((next, name)) = units.get(first + 1)
        && ms % unit / next != 0
    {
        out.push_str(&format!(" {} {name}", ms % unit / next));
    }
    out
}
