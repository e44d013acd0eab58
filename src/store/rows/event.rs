//! The row of an event, with the facts that its decisions rest on.
//!
//! Refuses: what became of it; its deliveries are a row of their own.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::clicks::ClicksRow;
use super::parts::{ConsentRow, ListRow, MapRow, TextsRow};
use super::{RowError, decode, encode, is_empty, is_false};
use crate::model::event::{Event, EventId};
use crate::model::facts::{Facts, Known};
use crate::model::identifier::IdentifierKind;
use crate::model::ids::{Seq, VisitorId};
use crate::model::time::Time;

#[derive(Serialize, Deserialize)]
struct EventRow<'a> {
    #[serde(rename = "k")]
    container: Cow<'a, str>,
    id: Cow<'a, str>,
    /// The content's hash, of an event whose id we assigned.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    content: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    track: Option<Cow<'a, str>>,
    #[serde(rename = "t")]
    time: i64,
    #[serde(rename = "r")]
    received: i64,
    #[serde(rename = "f")]
    texts: TextsRow<'a>,
    #[serde(rename = "ev", default, skip_serializing_if = "is_empty")]
    email_variants: Cow<'a, [Box<str>]>,
    #[serde(rename = "pv", default, skip_serializing_if = "is_empty")]
    phone_variants: Cow<'a, [Box<str>]>,
    #[serde(rename = "ct", default, skip_serializing_if = "Option::is_none")]
    click_time: Option<i64>,
    #[serde(rename = "i", default, skip_serializing_if = "ListRow::is_empty")]
    items: ListRow<'a>,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    consent: Option<ConsentRow>,
    #[serde(rename = "a", default, skip_serializing_if = "MapRow::is_empty")]
    attributes: MapRow<'a>,
    #[serde(rename = "p", default, skip_serializing_if = "is_false")]
    is_partial: bool,
    #[serde(rename = "ns", default, skip_serializing_if = "Option::is_none")]
    new_session_at: Option<i64>,
    #[serde(rename = "x", default, skip_serializing_if = "is_false")]
    is_test: bool,
}

impl<'a> From<&'a Event> for EventRow<'a> {
    fn from(event: &'a Event) -> Self {
        let content = match &event.id {
            EventId::Given(_) => None,
            EventId::Assigned { content, .. } => Some(format!("{content:032x}").into()),
        };
        Self {
            container: (&*event.container).into(),
            id: event.id.as_str().into(),
            content,
            track: event.name.as_deref().map(Cow::Borrowed),
            time: event.time.ms(),
            received: event.received.ms(),
            texts: TextsRow(Cow::Borrowed(&event.texts)),
            email_variants: Cow::Borrowed(&event.email_variants),
            phone_variants: Cow::Borrowed(&event.phone_variants),
            click_time: event.click_time.map(Time::ms),
            items: ListRow(Cow::Borrowed(&event.items)),
            consent: ConsentRow::of(event.consent),
            attributes: MapRow(Cow::Borrowed(&event.attributes)),
            is_partial: event.is_partial,
            new_session_at: event.new_session_at.map(Time::ms),
            is_test: event.is_test,
        }
    }
}

impl EventRow<'_> {
    fn event(self) -> Result<Event, RowError> {
        let id = match self.content {
            None => EventId::Given(self.id.into()),
            Some(hash) => EventId::Assigned {
                id: self.id.into(),
                content: u128::from_str_radix(&hash, 16).map_err(|e| RowError::new("event", e))?,
                redelivered: false,
            },
        };
        Ok(Event {
            container: (&*self.container).into(),
            id,
            name: self.track.map(Into::into),
            time: Time::from_ms(self.time),
            received: Time::from_ms(self.received),
            texts: self.texts.0.into_owned(),
            email_variants: self.email_variants.into_owned(),
            phone_variants: self.phone_variants.into_owned(),
            click_time: self.click_time.map(Time::from_ms),
            items: self.items.0.into_owned(),
            consent: ConsentRow::consent(self.consent),
            attributes: self.attributes.0.into_owned(),
            is_partial: self.is_partial,
            new_session_at: self.new_session_at.map(Time::from_ms),
            is_test: self.is_test,
        })
    }
}

#[derive(Default, Serialize, Deserialize)]
pub(super) struct KnownRow<'a> {
    #[serde(rename = "f", default)]
    texts: TextsRow<'a>,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    consent: Option<ConsentRow>,
    #[serde(rename = "ss", default, skip_serializing_if = "Option::is_none")]
    session_start: Option<i64>,
    #[serde(rename = "lu", default, skip_serializing_if = "Option::is_none")]
    landing_url: Option<Cow<'a, str>>,
    #[serde(rename = "cc", default, skip_serializing_if = "Option::is_none")]
    container_country: Option<Cow<'a, str>>,
    #[serde(rename = "fb", default, skip_serializing_if = "Option::is_none")]
    fbclid_time: Option<i64>,
}

impl<'a> From<&'a Known> for KnownRow<'a> {
    fn from(known: &'a Known) -> Self {
        Self {
            texts: TextsRow(Cow::Borrowed(&known.texts)),
            consent: ConsentRow::of(known.consent),
            session_start: known.session_start.map(Time::ms),
            landing_url: known.landing_url.as_deref().map(Cow::Borrowed),
            container_country: known.container_country.as_deref().map(Cow::Borrowed),
            fbclid_time: known.fbclid_time.map(Time::ms),
        }
    }
}

impl KnownRow<'_> {
    pub(super) fn known(self) -> Known {
        Known {
            texts: self.texts.0.into_owned(),
            consent: ConsentRow::consent(self.consent),
            session_start: self.session_start.map(Time::from_ms),
            landing_url: self.landing_url.map(Into::into),
            container_country: self.container_country.map(Into::into),
            fbclid_time: self.fbclid_time.map(Time::from_ms),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct FactsRow<'a> {
    #[serde(rename = "e", borrow)]
    event: EventRow<'a>,
    #[serde(rename = "v")]
    visitor: i64,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    matched_by: Option<Cow<'a, str>>,
    #[serde(rename = "n", borrow)]
    known: KnownRow<'a>,
    #[serde(rename = "w", borrow)]
    clicks: ClicksRow<'a>,
}

/// Bytes of most events.
const EVENT_USUAL: usize = 1024;

/// An event alone as one text.
pub fn write_event(event: &Event) -> String {
    encode(&EventRow::from(event), EVENT_USUAL)
}

/// The event that [`write_event`] wrote.
///
/// # Errors
/// The text is no such row.
pub fn read_event(text: &str) -> Result<Event, RowError> {
    decode::<EventRow<'_>>("event", text)?.event()
}

/// Bytes of most events' facts.
const FACTS_USUAL: usize = 1536;

/// The facts of an event as one text.
pub fn write_facts(facts: &Facts) -> String {
    let row = FactsRow {
        event: (&*facts.event).into(),
        visitor: facts.visitor.0,
        matched_by: facts.matched_by.map(|kind| kind.word().into()),
        known: (&facts.known).into(),
        clicks: ClicksRow::of(&facts.clicks),
    };
    encode(&row, FACTS_USUAL)
}

/// The facts that [`write_facts`] wrote.
///
/// # Errors
/// The text is no such row.
pub fn read_facts(seq: Seq, text: &str) -> Result<Facts, RowError> {
    let row: FactsRow<'_> = decode("event", text)?;
    Ok(Facts {
        seq,
        event: Arc::new(row.event.event()?),
        visitor: VisitorId(row.visitor),
        matched_by: row.matched_by.and_then(|word| IdentifierKind::from_word(&word)),
        known: row.known.known(),
        clicks: row.clicks.clicks()?,
    })
}
