//! How events, visitors, deliveries and log entries are written into rows: compact JSON that a person can read.
//!
//! Refuses: SQL, and any meaning. A row read back equals what was written; a row that can't be read says which and why.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::json;
use crate::model::click::{Click, Landing};
use crate::model::delivery::{Attribution, AttributionModel, Delivery, Reason, Sending, State};
use crate::model::event::{Consent, Event, EventId, Texts};
use crate::model::facts::{Facts, Known};
use crate::model::field::Field;
use crate::model::identifier::IdentifierKind;
use crate::model::ids::{DeliveryId, Seq, StoreTag, VisitorId};
use crate::model::time::Time;
use crate::model::value::Value;
use crate::model::visitor::{ConsentTimes, Fact, Session, Visitor};

/// A row that does not say what this version expects of it.
#[derive(Debug, thiserror::Error)]
#[error("a stored {what} can't be read: {problem}")]
pub struct RowError {
    what: &'static str,
    problem: String,
}

impl RowError {
    fn new(what: &'static str, problem: impl ToString) -> Self {
        Self { what, problem: problem.to_string() }
    }
}

pub(super) fn encode(row: &impl Serialize) -> String {
    serde_json::to_string(row).expect("rows are strings, numbers, lists and maps with text keys")
}

pub(super) fn decode<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, RowError> {
    serde_json::from_str(text).map_err(|e| RowError::new(what, e))
}

fn is_false(b: &bool) -> bool {
    !b
}

fn is_empty<T>(list: &[T]) -> bool {
    list.is_empty()
}

/// Text values under their fields' names.
#[derive(Default, Serialize, Deserialize)]
#[serde(transparent)]
struct TextsRow(std::collections::BTreeMap<Cow<'static, str>, Box<str>>);

impl From<&Texts> for TextsRow {
    fn from(texts: &Texts) -> Self {
        Self(texts.iter().map(|(field, value)| (Cow::Borrowed(field.name()), value.into())).collect())
    }
}

impl TextsRow {
    fn texts(self) -> Texts {
        let mut texts = Texts::default();
        for (name, value) in self.0 {
            // A field that this version does not know came from a later one; nothing here could ask for it.
            if let Some(field) = Field::from_name(&name) {
                texts.set(field, value);
            }
        }
        texts
    }
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct ConsentRow {
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    ads: Option<bool>,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    analytics: Option<bool>,
}

impl ConsentRow {
    fn of(consent: Consent) -> Option<Self> {
        (consent != Consent::default()).then_some(Self { ads: consent.ads, analytics: consent.analytics })
    }

    fn consent(this: Option<Self>) -> Consent {
        this.map(|c| Consent { ads: c.ads, analytics: c.analytics }).unwrap_or_default()
    }
}

// === events ===

#[derive(Serialize, Deserialize)]
struct EventRow {
    #[serde(rename = "k")]
    container: Box<str>,
    id: Box<str>,
    /// The content's hash, of an event whose id we assigned.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    content: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    track: Option<Box<str>>,
    #[serde(rename = "t")]
    time: i64,
    #[serde(rename = "r")]
    received: i64,
    #[serde(rename = "f")]
    texts: TextsRow,
    #[serde(rename = "ev", default, skip_serializing_if = "is_empty")]
    email_variants: Vec<Box<str>>,
    #[serde(rename = "pv", default, skip_serializing_if = "is_empty")]
    phone_variants: Vec<Box<str>>,
    #[serde(rename = "ct", default, skip_serializing_if = "Option::is_none")]
    click_time: Option<i64>,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    items: Option<Box<RawValue>>,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    consent: Option<ConsentRow>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    attributes: Option<Box<RawValue>>,
    #[serde(rename = "p", default, skip_serializing_if = "is_false")]
    is_partial: bool,
    #[serde(rename = "ns", default, skip_serializing_if = "Option::is_none")]
    new_session_at: Option<i64>,
    #[serde(rename = "x", default, skip_serializing_if = "is_false")]
    is_test: bool,
}

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(json::to_string(value)).expect("a value writes itself as JSON")
}

impl From<&Event> for EventRow {
    fn from(event: &Event) -> Self {
        let content = match &event.id {
            EventId::Given(_) => None,
            EventId::Assigned { content, .. } => Some(format!("{content:032x}").into()),
        };
        Self {
            container: (*event.container).into(),
            id: event.id.as_str().into(),
            content,
            track: event.name.clone(),
            time: event.time.ms(),
            received: event.received.ms(),
            texts: (&event.texts).into(),
            email_variants: event.email_variants.clone(),
            phone_variants: event.phone_variants.clone(),
            click_time: event.click_time.map(Time::ms),
            items: (!event.items.is_empty()).then(|| raw(&Value::List(event.items.clone()))),
            consent: ConsentRow::of(event.consent),
            attributes: (!event.attributes.is_empty()).then(|| raw(&Value::Map(event.attributes.clone()))),
            is_partial: event.is_partial,
            new_session_at: event.new_session_at.map(Time::ms),
            is_test: event.is_test,
        }
    }
}

impl EventRow {
    fn event(self) -> Result<Event, RowError> {
        let unreadable = |e: json::JsonError| RowError::new("event", e);
        // One level more than a sender may nest: the list or map that holds them.
        let depth = json::DEPTH_MAX + 1;
        let items = match self.items.map(|raw| json::value(&raw, depth)).transpose().map_err(unreadable)? {
            Some(Value::List(items)) => items,
            _ => Vec::new(),
        };
        let attributes = match self.attributes.map(|raw| json::value(&raw, depth)).transpose().map_err(unreadable)? {
            Some(Value::Map(attributes)) => attributes,
            _ => Vec::new(),
        };
        let id = match self.content {
            None => EventId::Given(self.id),
            Some(hash) => EventId::Assigned {
                id: self.id,
                content: u128::from_str_radix(&hash, 16).map_err(|e| RowError::new("event", e))?,
                redelivered: false,
            },
        };
        Ok(Event {
            container: self.container.into(),
            id,
            name: self.track,
            time: Time::from_ms(self.time),
            received: Time::from_ms(self.received),
            texts: self.texts.texts(),
            email_variants: self.email_variants,
            phone_variants: self.phone_variants,
            click_time: self.click_time.map(Time::from_ms),
            items,
            consent: ConsentRow::consent(self.consent),
            attributes,
            is_partial: self.is_partial,
            new_session_at: self.new_session_at.map(Time::from_ms),
            is_test: self.is_test,
        })
    }
}

// === clicks ===

type LandingRow = (Box<str>, Option<Box<str>>, Option<Box<str>>, Option<Box<str>>);
type ClickRow = (Box<str>, Box<str>, Option<i64>, i64, usize);
type SessionRow = (i64, i64, bool, Option<(i64, Box<str>)>);

/// Clicks with the landings they share.
#[derive(Default, Serialize, Deserialize)]
struct ClicksRow {
    /// URL, referrer, ip, user agent.
    #[serde(rename = "l")]
    landings: Vec<LandingRow>,
    /// Parameter, value, time, seen, which landing.
    #[serde(rename = "c")]
    clicks: Vec<ClickRow>,
}

impl ClicksRow {
    fn of(clicks: &[Click]) -> Self {
        let mut row = Self::default();
        let mut known: Vec<&Arc<Landing>> = Vec::new();
        for click in clicks {
            let at = known.iter().rposition(|l| Arc::ptr_eq(l, &click.landing) || ***l == *click.landing);
            let at = at.unwrap_or_else(|| {
                let landing = &click.landing;
                row.landings.push((
                    landing.url.clone(),
                    landing.referrer.clone(),
                    landing.ip.clone(),
                    landing.user_agent.clone(),
                ));
                known.push(landing);
                known.len() - 1
            });
            row.clicks.push((click.param.clone(), click.value.clone(), click.time.map(Time::ms), click.seen.ms(), at));
        }
        row
    }

    fn clicks(self) -> Result<Vec<Click>, RowError> {
        let landings: Vec<Arc<Landing>> = self
            .landings
            .into_iter()
            .map(|(url, referrer, ip, user_agent)| Arc::new(Landing { url, referrer, ip, user_agent }))
            .collect();
        let click = |(param, value, time, seen, at): ClickRow| {
            let landing = landings.get(at).ok_or_else(|| RowError::new("click", "its landing is missing"))?.clone();
            Ok(Click { param, value, time: time.map(Time::from_ms), seen: Time::from_ms(seen), landing })
        };
        self.clicks.into_iter().map(click).collect()
    }
}

// === visitors ===

#[derive(Serialize, Deserialize)]
struct VisitorRow {
    #[serde(rename = "k")]
    container: Box<str>,
    /// Field, value, time.
    #[serde(rename = "f")]
    facts: Vec<(Cow<'static, str>, Box<str>, i64)>,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    consent: Option<ConsentRow>,
    /// When each flag was last spoken of: ads, analytics.
    #[serde(rename = "na", default, skip_serializing_if = "Option::is_none")]
    consent_at: Option<(Option<i64>, Option<i64>)>,
    /// Start, end, forced, and of the landing: time, URL.
    #[serde(rename = "s")]
    sessions: Vec<SessionRow>,
    #[serde(rename = "w")]
    clicks: ClicksRow,
}

/// A visitor as one row's text.
pub fn write_visitor(visitor: &Visitor) -> String {
    let at = visitor.consent_at;
    let sessions = visitor
        .sessions
        .iter()
        .map(|s| (s.start.ms(), s.end.ms(), s.forced, s.landing.as_ref().map(|(time, url)| (time.ms(), url.clone()))));
    encode(&VisitorRow {
        container: (*visitor.container).into(),
        facts: visitor.facts.iter().map(|f| (f.field.name().into(), f.value.clone(), f.time.ms())).collect(),
        consent: ConsentRow::of(visitor.consent),
        consent_at: (at != ConsentTimes::default()).then(|| (at.ads.map(Time::ms), at.analytics.map(Time::ms))),
        sessions: sessions.collect(),
        clicks: ClicksRow::of(&visitor.clicks),
    })
}

/// The visitor that [`write_visitor`] wrote.
///
/// # Errors
/// The text is no such row.
pub fn read_visitor(id: VisitorId, text: &str) -> Result<Visitor, RowError> {
    let row: VisitorRow = decode("visitor", text)?;
    let mut facts: Vec<Fact> = row
        .facts
        .into_iter()
        .filter_map(|(name, value, time)| {
            Field::from_name(&name).map(|field| Fact { field, value, time: Time::from_ms(time) })
        })
        .collect();
    facts.sort_by_key(|f| f.field);
    let sessions = row.sessions.into_iter().map(|(start, end, forced, landing)| Session {
        start: Time::from_ms(start),
        end: Time::from_ms(end),
        landing: landing.map(|(time, url)| (Time::from_ms(time), url)),
        forced,
    });
    Ok(Visitor {
        id,
        container: row.container.into(),
        facts,
        consent: ConsentRow::consent(row.consent),
        consent_at: row.consent_at.map_or_else(ConsentTimes::default, |(ads, analytics)| ConsentTimes {
            ads: ads.map(Time::from_ms),
            analytics: analytics.map(Time::from_ms),
        }),
        sessions: sessions.collect(),
        clicks: row.clicks.clicks()?,
    })
}

// === facts ===

#[derive(Default, Serialize, Deserialize)]
struct KnownRow {
    #[serde(rename = "f", default)]
    texts: TextsRow,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    consent: Option<ConsentRow>,
    #[serde(rename = "ss", default, skip_serializing_if = "Option::is_none")]
    session_start: Option<i64>,
    #[serde(rename = "lu", default, skip_serializing_if = "Option::is_none")]
    landing_url: Option<Box<str>>,
    #[serde(rename = "cc", default, skip_serializing_if = "Option::is_none")]
    container_country: Option<Box<str>>,
    #[serde(rename = "fb", default, skip_serializing_if = "Option::is_none")]
    fbclid_time: Option<i64>,
}

impl From<&Known> for KnownRow {
    fn from(known: &Known) -> Self {
        Self {
            texts: (&known.texts).into(),
            consent: ConsentRow::of(known.consent),
            session_start: known.session_start.map(Time::ms),
            landing_url: known.landing_url.clone(),
            container_country: known.container_country.clone(),
            fbclid_time: known.fbclid_time.map(Time::ms),
        }
    }
}

impl KnownRow {
    fn known(self) -> Known {
        Known {
            texts: self.texts.texts(),
            consent: ConsentRow::consent(self.consent),
            session_start: self.session_start.map(Time::from_ms),
            landing_url: self.landing_url,
            container_country: self.container_country,
            fbclid_time: self.fbclid_time.map(Time::from_ms),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct FactsRow {
    #[serde(rename = "e")]
    event: EventRow,
    #[serde(rename = "v")]
    visitor: i64,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    matched_by: Option<Cow<'static, str>>,
    #[serde(rename = "n")]
    known: KnownRow,
    #[serde(rename = "w")]
    clicks: ClicksRow,
}

/// The facts of an event as one text.
pub fn write_facts(facts: &Facts) -> String {
    encode(&FactsRow {
        event: (&*facts.event).into(),
        visitor: facts.visitor.0,
        matched_by: facts.matched_by.map(|kind| kind.word().into()),
        known: (&facts.known).into(),
        clicks: ClicksRow::of(&facts.clicks),
    })
}

/// The facts that [`write_facts`] wrote.
///
/// # Errors
/// The text is no such row.
pub fn read_facts(seq: Seq, text: &str) -> Result<Facts, RowError> {
    let row: FactsRow = decode("event", text)?;
    Ok(Facts {
        seq,
        event: Arc::new(row.event.event()?),
        visitor: VisitorId(row.visitor),
        matched_by: row.matched_by.and_then(|word| IdentifierKind::from_word(&word)),
        known: row.known.known(),
        clicks: row.clicks.clicks()?,
    })
}

// === deliveries ===

#[derive(Serialize, Deserialize)]
struct AttributionRow {
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    click: Option<usize>,
    #[serde(rename = "m")]
    model: Cow<'static, str>,
    #[serde(rename = "w")]
    window_ms: u64,
    #[serde(rename = "n")]
    click_count: usize,
    #[serde(rename = "y")]
    why: Box<str>,
}

/// What a delivery that waited was decided with, where that differs from the facts of its event.
#[derive(Serialize, Deserialize)]
struct LaterRow {
    #[serde(rename = "n")]
    known: KnownRow,
    #[serde(rename = "w")]
    clicks: ClicksRow,
}

#[derive(Serialize, Deserialize)]
struct DeliveryRow {
    #[serde(rename = "n")]
    connector: Box<str>,
    #[serde(rename = "r")]
    revision: Box<str>,
    #[serde(rename = "o")]
    sending: Cow<'static, str>,
    #[serde(rename = "s")]
    state: Cow<'static, str>,
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'static, str>>,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    detail: Option<Box<str>>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    attribution: Option<AttributionRow>,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    item: Option<u32>,
    #[serde(rename = "u")]
    due: i64,
    /// The key this conversion holds in the table of claims.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    claim: Option<i64>,
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    later: Option<LaterRow>,
}

/// What was known when a delivery that had waited was decided, in place of its event's own facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later {
    pub known: Known,
    pub clicks: Vec<Click>,
}

/// A delivery as its event's row holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDelivery {
    pub delivery: Delivery,
    pub claim: Option<i64>,
    pub later: Option<Later>,
}

/// The deliveries of one event, in the order of their places.
pub fn write_deliveries(deliveries: &[StoredDelivery]) -> String {
    let row = |stored: &StoredDelivery| {
        let d = &stored.delivery;
        DeliveryRow {
            connector: (*d.connector).into(),
            revision: (*d.revision).into(),
            sending: d.sending.word().into(),
            state: d.state.word().into(),
            reason: d.reason.map(|r| r.word().into()),
            detail: d.detail.clone(),
            attribution: d.attribution.as_ref().map(|a| AttributionRow {
                click: a.click,
                model: a.model.word().into(),
                window_ms: u64::try_from(a.window.as_millis()).unwrap_or(u64::MAX),
                click_count: a.click_count,
                why: a.why.clone(),
            }),
            item: d.item,
            due: d.due.ms(),
            claim: stored.claim,
            later: stored
                .later
                .as_ref()
                .map(|l| LaterRow { known: (&l.known).into(), clicks: ClicksRow::of(&l.clicks) }),
        }
    };
    encode(&deliveries.iter().map(row).collect::<Vec<_>>())
}

/// The deliveries that [`write_deliveries`] wrote, of the event at `seq`.
///
/// # Errors
/// The text is no such row, or holds a word this version does not know.
pub fn read_deliveries(tag: StoreTag, seq: Seq, text: &str) -> Result<Vec<StoredDelivery>, RowError> {
    let rows: Vec<DeliveryRow> = decode("delivery", text)?;
    let unknown = |word: &str| RowError::new("delivery", format!("unknown word {word}"));
    let read = |(place, row): (usize, DeliveryRow)| {
        let attribution = row.attribution.map(|a| {
            Ok::<_, RowError>(Attribution {
                click: a.click,
                model: AttributionModel::from_word(&a.model).ok_or_else(|| unknown(&a.model))?,
                window: Duration::from_millis(a.window_ms),
                click_count: a.click_count,
                why: a.why,
            })
        });
        let later = row.later.map(|l| Ok::<_, RowError>(Later { known: l.known.known(), clicks: l.clicks.clicks()? }));
        Ok(StoredDelivery {
            delivery: Delivery {
                id: DeliveryId::new(tag, seq, u32::try_from(place).unwrap_or(u32::MAX)),
                connector: row.connector.into(),
                revision: row.revision.into(),
                sending: Sending::from_word(&row.sending).ok_or_else(|| unknown(&row.sending))?,
                state: State::from_word(&row.state).ok_or_else(|| unknown(&row.state))?,
                reason: row.reason.map(|w| Reason::from_word(&w).ok_or_else(|| unknown(&w))).transpose()?,
                detail: row.detail,
                attribution: attribution.transpose()?,
                item: row.item,
                due: Time::from_ms(row.due),
            },
            claim: row.claim,
            later: later.transpose()?,
        })
    };
    rows.into_iter().enumerate().map(read).collect()
}
