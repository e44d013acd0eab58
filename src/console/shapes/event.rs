//! Events, facts and clicks as JSON: the fields under the names of SPEC section 2.1, values as the sender wrote them.
//!
//! Refuses: rounding numbers; they are written with their own text.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use smol_str::SmolStr;

use super::Line;
use crate::json;
use crate::model::click::Click;
use crate::model::event::{Consent, Event, Texts};
use crate::model::facts::{Facts, Known};
use crate::model::time::Time;
use crate::model::value::{Members, Value};
use crate::store::EventDetail;

/// One click.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ClickShown {
    pub param: String,
    pub value: String,
    /// `null` where it came in a field without a time.
    pub time: Option<String>,
    /// The landing URL with its query; empty where it came in a field.
    pub url: String,
    pub referrer: Option<String>,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
}

/// What was known when an event was decided.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FactsShown {
    pub event: Box<RawValue>,
    /// The visitor's number in this store.
    pub visitor: i64,
    /// The identifier that joined it to a visitor already known.
    pub matched_by: Option<&'static str>,
    /// How sure that is: `high`, or `low` where it was joined by time alone.
    pub match_confidence: Option<&'static str>,
    /// What the visitor was known by beyond the event itself.
    pub known: Box<RawValue>,
    pub clicks: Vec<ClickShown>,
}

/// A stored event with its deliveries.
#[derive(Debug, Serialize, JsonSchema)]
pub struct EventShown {
    pub facts: FactsShown,
    pub deliveries: Vec<Line>,
}

impl From<&Click> for ClickShown {
    fn from(click: &Click) -> Self {
        let text = |t: &Option<SmolStr>| t.as_ref().map(ToString::to_string);
        Self {
            param: click.param.to_string(),
            value: click.value.to_string(),
            time: click.time.map(|t| t.to_string()),
            url: click.landing.url.to_string(),
            referrer: text(&click.landing.referrer),
            ip: text(&click.landing.ip),
            user_agent: text(&click.landing.user_agent),
        }
    }
}

impl From<&Facts> for FactsShown {
    fn from(facts: &Facts) -> Self {
        Self {
            event: raw(&event(&facts.event)),
            visitor: facts.visitor.0,
            matched_by: facts.matched_by.map(|kind| kind.word()),
            match_confidence: facts.matched_by.map(|kind| kind.confidence()),
            known: raw(&known(&facts.known)),
            clicks: facts.clicks.iter().map(ClickShown::from).collect(),
        }
    }
}

impl From<&EventDetail> for EventShown {
    fn from(detail: &EventDetail) -> Self {
        Self { facts: FactsShown::from(&*detail.facts), deliveries: detail.deliveries.iter().map(Line::from).collect() }
    }
}

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(json::to_string(value)).expect("what the writer writes is JSON")
}

fn event(event: &Event) -> Value {
    let mut members: Members = Vec::new();
    let mut put = |name: &str, value: Value| members.push((name.into(), value));
    put("k", Value::from(&*event.container));
    if let Some(name) = &event.name {
        put("track", Value::from(&**name));
    }
    put("eventId", Value::from(event.id.as_str()));
    put("timestamp", time(event.time));
    put("receivedAt", time(event.received));
    texts(&event.texts, &mut put);
    for (name, variants) in [("emailVariants", &event.email_variants), ("phoneNumberVariants", &event.phone_variants)] {
        if !variants.is_empty() {
            put(name, Value::List(variants.iter().map(|v| Value::from(&**v)).collect()));
        }
    }
    if let Some(at) = event.click_time {
        put("clickTime", time(at));
    }
    if !event.items.is_empty() {
        put("items", Value::List(event.items.clone()));
    }
    consent(event.consent, &mut put);
    if let Some(at) = event.new_session_at {
        put("forceNewSessionCreatedAt", time(at));
    }
    for (name, set) in [("isPartial", event.is_partial), ("isTest", event.is_test)] {
        if set {
            put(name, Value::Bool(true));
        }
    }
    if !event.attributes.is_empty() {
        put("eventAttributes", Value::Map(event.attributes.clone()));
    }
    Value::Map(members)
}

fn known(known: &Known) -> Value {
    let mut members: Members = Vec::new();
    let mut put = |name: &str, value: Value| members.push((name.into(), value));
    texts(&known.texts, &mut put);
    consent(known.consent, &mut put);
    if let Some(at) = known.session_start {
        put("sessionStart", time(at));
    }
    if let Some(url) = &known.landing_url {
        put("landingUrl", Value::from(&**url));
    }
    if let Some(at) = known.fbclid_time {
        put("fbclidTime", time(at));
    }
    Value::Map(members)
}

fn texts(texts: &Texts, put: &mut impl FnMut(&str, Value)) {
    texts.iter().for_each(|(field, value)| put(field.name(), Value::from(value)));
}

fn consent(consent: Consent, put: &mut impl FnMut(&str, Value)) {
    let said: Members = [("ads", consent.ads), ("analytics", consent.analytics)]
        .into_iter()
        .filter_map(|(name, said)| Some((name.into(), Value::Bool(said?))))
        .collect();
    if !said.is_empty() {
        put("consent", Value::Map(said));
    }
}

fn time(time: Time) -> Value {
    Value::from(&*time.to_string())
}
