//! What is kept of a person from event to event (SPEC section 3): facts, consent, sessions, clicks.
//!
//! The same events leave the same visitor in whatever order they arrive, and whether they came to one visitor or to two
//! that were merged. So everything kept here is a set, a union, a minimum or a maximum by event time; what depends on
//! the whole, such as which landings are one click, is concluded anew from what is kept ([`Clicks`]). Only beyond the
//! bounds below may order show.
//!
//! Refuses: finding the visitor (`rules::identify`) and judging its clicks (`rules::attribute`).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::model::click::{Click, query_pairs};
use crate::model::event::{Consent, Event};
use crate::model::field::Field;
use crate::model::time::Time;
use crate::model::visitor::{ConsentTimes, Fact, Visitor};

mod capture;
mod clicks;
mod known;
mod sessions;
#[cfg(test)]
pub(in crate::rules) mod tests;

pub use capture::{CLICKS_PER_EVENT_MAX, Capture, VALUE_BYTES_MAX, clicks_of};
pub use clicks::{CLICKS_MAX, Clicks, LANDINGS_PER_SESSION_MAX};
pub use known::known;
pub use sessions::SESSIONS_MAX;

/// What an event taught about its visitor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The visitor's distinct clicks are not what they were: conversions that wait may be decided otherwise now.
    pub gained_click: bool,
    /// The visitor differs at all.
    pub changed: bool,
    /// All that differs may be written late: a session's end, the time at which a known fact was last confirmed, one more
    /// landing of a click already known.
    pub stretched_only: bool,
}

/// How much something kept has changed; a greater change outdoes a smaller one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Nothing,
    /// It may be written late.
    Slight,
    Real,
}

/// Adds what `event` and the `clicks` captured from it tell to its visitor. `unique` says whether a value of a click
/// parameter stands for one click however often it lands; a gap longer than `session_timeout` parts sessions.
pub fn remember(
    visitor: &mut Visitor,
    event: &Event,
    clicks: &[Click],
    unique: &dyn Fn(&str) -> bool,
    session_timeout: Duration,
) -> Learned {
    let mut change = learn_facts(&mut visitor.facts, event).max(learn_consent(visitor, event));
    let gained_click = if clicks.is_empty() && clicks::stay(visitor, event, session_timeout) {
        change = change.max(sessions::extend(&mut visitor.sessions, event, session_timeout));
        false
    } else if let Some(gained) = clicks::add_different(visitor, clicks) {
        change = change.max(sessions::extend(&mut visitor.sessions, event, session_timeout));
        gained
    } else {
        let (landings, sessions) = (visitor.clicks.clone(), visitor.sessions.clone());
        change = change.max(sessions::extend(&mut visitor.sessions, event, session_timeout));
        for click in clicks {
            clicks::insert(Arc::make_mut(&mut visitor.clicks), click.clone());
        }
        clicks::bound(visitor, unique, session_timeout);
        let gained = clicks::differ((&landings, &sessions), visitor, unique, session_timeout);
        // Compared as a whole, since what was put in may have been more than is kept.
        if landings == visitor.clicks {
            // The very same: who writes only what differs need not look into it.
            visitor.clicks = landings;
        } else {
            change = change.max(Change::Slight);
        }
        gained
    };
    sessions::bound(&mut visitor.sessions);
    Learned {
        gained_click,
        changed: gained_click || Change::Nothing < change,
        stretched_only: !gained_click && change == Change::Slight,
    }
}

/// Makes one visitor of two: `into` knows afterwards what it would know if all events of `from` had come to it. Says
/// whether it has other distinct clicks than before.
pub fn merge(into: &mut Visitor, from: Visitor, unique: &dyn Fn(&str) -> bool, session_timeout: Duration) -> bool {
    let (landings, sessions) = (into.clicks.clone(), into.sessions.clone());
    merge_facts(&mut into.facts, &from.facts);
    let theirs = (from.consent, from.consent_at);
    hear(&mut into.consent.ads, &mut into.consent_at.ads, theirs.0.ads, theirs.1.ads);
    hear(&mut into.consent.analytics, &mut into.consent_at.analytics, theirs.0.analytics, theirs.1.analytics);
    sessions::add(&mut into.sessions, from.sessions, session_timeout);
    for click in from.clicks.iter() {
        clicks::insert(Arc::make_mut(&mut into.clicks), click.clone());
    }
    clicks::bound(into, unique, session_timeout);
    sessions::bound(&mut into.sessions);
    clicks::differ((&landings, &sessions), into, unique, session_timeout)
}

// === facts ===

/// How a standard field is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keep {
    /// The newest value by event time.
    Newest,
    /// The first value by event time. A visitor that was joined by a stronger identifier from an event with another
    /// priority id stays the person it was; else the two people could be merged later.
    First,
    /// The newest event that names a campaign replaces all five, since parts of two campaigns are no campaign.
    Campaign,
    /// Of its own event only; click IDs are remembered as clicks.
    Not,
}

fn keep(field: Field) -> Keep {
    use Field::*;
    match field {
        SessionId | ClientId | ExternalId | Email | PhoneNumber | FirstName | LastName | Birthday | Gender
        | Address | PostCode | City | Region | Country | Ip | UserAgent | Language | Fbc | Fbp | Ttp | Trls => {
            Keep::Newest
        }
        PriorityExternalId => Keep::First,
        UtmSource | UtmMedium | UtmCampaign | UtmContent | UtmTerm => Keep::Campaign,
        Gclid | Gbraid | Wbraid | Dclid | Fbclid | Ttclid | Msclkid | Epik | RdtCid | Sccid | LiFatId | Twclid
        | Qclid | Awc | Cjevent | Irclickid | Trlc => Keep::Not,
        Value | Currency | Url | Referrer | ActionSource | EventSourceDomain | TransactionId | OrderId | Status
        | Coupon | Discount | Tax | Shipping | Quantity | Payout => Keep::Not,
    }
}

/// The UTM parameters and the fields that mean the same.
const CAMPAIGN: [(Field, &str); 5] = [
    (Field::UtmSource, "utm_source"),
    (Field::UtmMedium, "utm_medium"),
    (Field::UtmCampaign, "utm_campaign"),
    (Field::UtmContent, "utm_content"),
    (Field::UtmTerm, "utm_term"),
];

/// The campaign an event names, in its fields or, where a field is not sent, in the query of its URL.
fn campaign(event: &Event) -> Vec<(Field, Cow<'_, str>)> {
    let mut found: Vec<(Field, Cow<'_, str>)> =
        CAMPAIGN.iter().filter_map(|(field, _)| Some((*field, Cow::Borrowed(event.texts.of(*field)?)))).collect();
    for (name, value) in query_pairs(event.texts.of(Field::Url).unwrap_or("")) {
        let Some((field, _)) = CAMPAIGN.iter().find(|(_, param)| param.eq_ignore_ascii_case(&name)) else { continue };
        if !value.trim().is_empty() && found.iter().all(|(known, _)| known != field) {
            found.push((*field, value));
        }
    }
    found
}

fn learn_facts(facts: &mut Vec<Fact>, event: &Event) -> Change {
    let mut change = Change::Nothing;
    for (field, value) in event.texts.iter() {
        if matches!(keep(field), Keep::Newest | Keep::First) {
            change = change.max(learn(facts, field, value, event.time));
        }
    }
    let campaign = campaign(event);
    let named: Vec<(Field, &str)> = campaign.iter().map(|(field, value)| (*field, &**value)).collect();
    change.max(learn_campaign(facts, &named, event.time))
}

fn merge_facts(into: &mut Vec<Fact>, from: &[Fact]) {
    let is_campaign = |fact: &&Fact| keep(fact.field) == Keep::Campaign;
    for fact in from.iter().filter(|fact| !is_campaign(fact)) {
        learn(into, fact.field, &fact.value, fact.time);
    }
    if let Some(time) = campaign_time(from) {
        let named: Vec<_> = from.iter().filter(is_campaign).map(|fact| (fact.field, &*fact.value)).collect();
        learn_campaign(into, &named, time);
    }
}

/// When the campaign kept was named.
fn campaign_time(facts: &[Fact]) -> Option<Time> {
    facts.iter().find(|fact| keep(fact.field) == Keep::Campaign).map(|fact| fact.time)
}

/// Takes up a campaign, whole, unless a newer one is known.
fn learn_campaign(facts: &mut Vec<Fact>, named: &[(Field, &str)], time: Time) -> Change {
    let known = campaign_time(facts);
    if named.is_empty() || known.is_some_and(|known| time < known) {
        return Change::Nothing;
    }
    let had = facts.len();
    if known != Some(time) {
        facts.retain(|fact| keep(fact.field) != Keep::Campaign || named.iter().any(|(field, _)| *field == fact.field));
    }
    let change = if facts.len() < had { Change::Real } else { Change::Nothing };
    named.iter().fold(change, |change, (field, value)| change.max(learn(facts, *field, value, time)))
}

/// Takes up one value. Of two said at the same time the greater stands, so that arrival does not decide.
fn learn(facts: &mut Vec<Fact>, field: Field, value: &str, time: Time) -> Change {
    let at = match facts.binary_search_by_key(&field, |fact| fact.field) {
        Err(at) => {
            facts.insert(at, Fact { field, value: value.into(), time });
            return Change::Real;
        }
        Ok(at) => at,
    };
    let known = &mut facts[at];
    let outdone = match keep(field) {
        Keep::First => time < known.time,
        Keep::Newest | Keep::Campaign | Keep::Not => known.time < time,
    };
    if !outdone && (time != known.time || value <= &*known.value) {
        return Change::Nothing;
    }
    known.time = time;
    if *known.value == *value {
        return Change::Slight;
    }
    known.value = value.into();
    Change::Real
}

// === consent ===

fn learn_consent(visitor: &mut Visitor, event: &Event) -> Change {
    let Consent { ads, analytics } = event.consent;
    let ConsentTimes { ads: ads_at, analytics: analytics_at } = &mut visitor.consent_at;
    let time = Some(event.time);
    hear(&mut visitor.consent.ads, ads_at, ads, time).max(hear(
        &mut visitor.consent.analytics,
        analytics_at,
        analytics,
        time,
    ))
}

/// Takes up what was said of one flag. Of two things said at the same time the refusal stands.
fn hear(known: &mut Option<bool>, known_at: &mut Option<Time>, said: Option<bool>, said_at: Option<Time>) -> Change {
    if said.is_none() || (said_at, said == Some(false)) <= (*known_at, *known == Some(false)) {
        return Change::Nothing;
    }
    *known_at = said_at;
    if *known == said {
        return Change::Slight;
    }
    *known = said;
    Change::Real
}
