//! The row of a visitor.
//!
//! Refuses: knowing which of it is old.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::clicks::ClicksRow;
use super::parts::{ConsentRow, Str};
use super::{RowError, decode, encode};
use crate::model::click::Click;
use crate::model::field::Field;
use crate::model::ids::VisitorId;
use crate::model::time::Time;
use crate::model::visitor::{ConsentTimes, Fact, Session, Sharing, Visitor};

type SessionRow<'a> = (i64, i64, bool, Option<(i64, Str<'a>)>);

#[derive(Serialize, Deserialize)]
struct VisitorRow<'a> {
    #[serde(rename = "k")]
    container: Cow<'a, str>,
    /// Field, value, time.
    #[serde(rename = "f", borrow)]
    facts: Vec<(Str<'a>, Str<'a>, i64)>,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    consent: Option<ConsentRow>,
    /// When each flag was last spoken of: ads, analytics.
    #[serde(rename = "na", default, skip_serializing_if = "Option::is_none")]
    consent_at: Option<(Option<i64>, Option<i64>)>,
    /// Start, end, forced, and of the landing: time, URL.
    #[serde(rename = "s", borrow)]
    sessions: Vec<SessionRow<'a>>,
    /// `None`: they lie apart, in a row of their own.
    #[serde(rename = "w", borrow, default, skip_serializing_if = "Option::is_none")]
    clicks: Option<ClicksRow<'a>>,
    /// Identifier and what it came with; nothing of one that is shared.
    #[serde(rename = "j", default, skip_serializing_if = "Vec::is_empty")]
    sharings: Vec<(u32, Cow<'a, [u32]>)>,
}

/// Bytes of most visitors.
const VISITOR_USUAL: usize = 1024;

/// Bytes of most clicks with their landings.
const CLICK_USUAL: usize = 192;

/// From so many clicks on, a visitor's clicks lie in a row of their own, which is written only when they change.
const CLICKS_APART_FROM: usize = 16;

/// Whether a visitor's row leaves these clicks, all that it has, to [`write_clicks`].
pub fn are_apart(clicks: &[Click]) -> bool {
    CLICKS_APART_FROM <= clicks.len()
}

/// A visitor as one row's text, with its clicks unless they lie [apart](are_apart).
pub fn write_visitor(visitor: &Visitor) -> String {
    let at = visitor.consent_at;
    let facts = visitor.facts.iter().map(|f| (f.field.name().into(), f.value.as_str().into(), f.time.ms()));
    let sessions = visitor.sessions.iter().map(|s| {
        let landing = s.landing.as_ref().map(|(time, url)| (time.ms(), Str::from(&**url)));
        (s.start.ms(), s.end.ms(), s.forced, landing)
    });
    let row = VisitorRow {
        container: (&*visitor.container).into(),
        facts: facts.collect(),
        consent: ConsentRow::of(visitor.consent),
        consent_at: (at != ConsentTimes::default()).then(|| (at.ads.map(Time::ms), at.analytics.map(Time::ms))),
        sessions: sessions.collect(),
        clicks: (!are_apart(&visitor.clicks)).then(|| ClicksRow::of(&visitor.clicks)),
        sharings: visitor.sharings.iter().map(|s| (s.identifier, Cow::Borrowed(&*s.with))).collect(),
    };
    encode(&row, VISITOR_USUAL)
}

/// Clicks that lie apart, as one row's text.
pub fn write_clicks(clicks: &[Click]) -> String {
    encode(&ClicksRow::of(clicks), clicks.len() * CLICK_USUAL)
}

/// The clicks that [`write_clicks`] wrote.
///
/// # Errors
/// The text is no such row.
pub fn read_clicks(text: &str) -> Result<Vec<Click>, RowError> {
    decode::<ClicksRow<'_>>("list of clicks", text)?.clicks()
}

/// The visitor that [`write_visitor`] wrote. Where its clicks lie apart it has none yet, and they are to be read beside it: true.
///
/// # Errors
/// The text is no such row.
pub fn read_visitor(id: VisitorId, text: &str) -> Result<(Visitor, bool), RowError> {
    let row: VisitorRow<'_> = decode("visitor", text)?;
    let mut facts: Vec<Fact> = row
        .facts
        .into_iter()
        .filter_map(|(name, value, time)| {
            Field::from_name(&name.0).map(|field| Fact { field, value: value.into(), time: Time::from_ms(time) })
        })
        .collect();
    facts.sort_by_key(|f| f.field);
    let sessions = row.sessions.into_iter().map(|(start, end, forced, landing)| Session {
        start: Time::from_ms(start),
        end: Time::from_ms(end),
        landing: landing.map(|(time, url)| (Time::from_ms(time), url.into())),
        forced,
    });
    let is_apart = row.clicks.is_none();
    let visitor = Visitor {
        id,
        container: (&*row.container).into(),
        facts,
        consent: ConsentRow::consent(row.consent),
        consent_at: row.consent_at.map_or_else(ConsentTimes::default, |(ads, analytics)| ConsentTimes {
            ads: ads.map(Time::from_ms),
            analytics: analytics.map(Time::from_ms),
        }),
        sessions: sessions.collect(),
        clicks: Arc::new(row.clicks.unwrap_or_default().clicks()?),
        sharings: row
            .sharings
            .into_iter()
            .map(|(identifier, with)| Sharing { identifier, is_shared: with.is_empty(), with: with.into_owned() })
            .collect(),
    };
    Ok((visitor, is_apart))
}
