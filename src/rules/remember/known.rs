//! What a visitor adds to one of its events: for each standard field that the event does not carry, the newest value.
//!
//! Refuses: computing variables; rendering does, from the event first and from this second.

use std::time::Duration;

use super::{Capture, Clicks, Keep, campaign, capture, clicks_of, keep};
use crate::model::click::Click;
use crate::model::event::{Consent, Event, Texts};
use crate::model::facts::Known;
use crate::model::field::Field;
use crate::model::time::Time;
use crate::model::visitor::{Session, Visitor};

/// What is known of `visitor`, who has learned of `event` already, where the event itself does not say it. Click IDs and
/// UTM parameters on the event's own URL count as its own and go before what the visitor had; click IDs, platform browser
/// IDs and campaigns older than `retention_clicks` at the time of the event do not count, nor do clicks after it.
pub fn known(visitor: &Visitor, clicks: &Clicks<'_>, event: &Event, retention_clicks: Duration) -> Known {
    let oldest = event.time.minus(retention_clicks);
    let own = clicks_of(event, Capture { params: &|_| false });
    let mut texts = Texts::default();
    let visitors = clicks.iter().rev().filter(|click| match click.time {
        Some(time) => oldest <= time && time <= event.time,
        None => oldest <= click.seen,
    });
    for click in own.iter().chain(visitors) {
        if let Some(field) = Field::from_click_param(&click.param) {
            set(&mut texts, event, field, &click.value);
        }
    }
    let own_campaign = campaign(event);
    for (field, value) in &own_campaign {
        set(&mut texts, event, *field, value);
    }
    for fact in &visitor.facts {
        let said = match keep(fact.field) {
            Keep::Campaign => own_campaign.is_empty() && oldest <= fact.time,
            Keep::Newest | Keep::First | Keep::Not => !is_browser_id(fact.field) || oldest <= fact.time,
        };
        if said && (fact.field != Field::Fbc || is_of_newest(&fact.value, event, &texts)) {
            set(&mut texts, event, fact.field, &fact.value);
        }
    }
    let session = visitor.session_at(event.time);
    Known {
        fbclid_time: fbclid_time(clicks, &own, event, &texts),
        consent: Consent {
            ads: if event.consent.ads.is_some() { None } else { visitor.consent.ads },
            analytics: if event.consent.analytics.is_some() { None } else { visitor.consent.analytics },
        },
        session_start: session.map(|s| s.start),
        landing_url: session.and_then(|s| landing_url(s, clicks, event)),
        container_country: None,
        texts,
    }
}

/// Sets `field` unless the event carries it or it is set already.
fn set(texts: &mut Texts, event: &Event, field: Field, value: &str) {
    if event.texts.of(field).is_none() && texts.of(field).is_none() {
        texts.set(field, value);
    }
}

/// Platform browser IDs, which are as old as clicks may be.
fn is_browser_id(field: Field) -> bool {
    matches!(field, Field::Fbc | Field::Fbp | Field::Ttp | Field::Trls)
}

/// The `fbclid` that the templates of this event will see.
fn fbclid<'a>(event: &'a Event, texts: &'a Texts) -> Option<&'a str> {
    event.texts.of(Field::Fbclid).or_else(|| texts.of(Field::Fbclid))
}

/// Whether an `fbc` kept is that of the `fbclid` in force; an older one would contradict it, and is built from it instead.
fn is_of_newest(fbc: &str, event: &Event, texts: &Texts) -> bool {
    fbclid(event, texts).is_none_or(|newest| capture::fbc(fbc).is_some_and(|(_, fbclid)| fbclid == newest))
}

/// When the click that `fbclid` names happened: its newest time up to the event, else what the event says.
fn fbclid_time(clicks: &Clicks<'_>, own: &[Click], event: &Event, texts: &Texts) -> Option<Time> {
    let value = fbclid(event, texts)?;
    let is_it = |c: &&Click| Field::from_click_param(&c.param) == Some(Field::Fbclid) && *c.value == *value;
    let time = |c: &Click| c.time.filter(|time| *time <= event.time);
    clicks.iter().rev().filter(is_it).find_map(time).or_else(|| own.iter().filter(is_it).find_map(time))
}

/// The landing page of a session; of one that was forced by an event without a page, that of its first click, else the
/// event's own.
fn landing_url(session: &Session, clicks: &Clicks<'_>, event: &Event) -> Option<Box<str>> {
    let inside = |c: &&Click| c.time.is_some_and(|time| session.start <= time && time <= session.end);
    let clicked = || clicks.iter().filter(|c| c.landing.is_page()).find(inside).map(|c| &*c.landing.url);
    let landed = session.landing.as_ref().map(|(_, url)| &**url);
    landed.or_else(clicked).or_else(|| event.texts.of(Field::Url)).map(Into::into)
}
