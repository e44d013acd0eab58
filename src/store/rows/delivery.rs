//! The row of an event's deliveries as they were decided.
//!
//! Refuses: what happened to them after; that is told by the log.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clicks::ClicksRow;
use super::event::KnownRow;
use super::{RowError, decode, encode};
use crate::model::click::Click;
use crate::model::delivery::{Attribution, AttributionModel, Delivery, Reason, Sending, State};
use crate::model::facts::Known;
use crate::model::ids::{DeliveryId, Seq, StoreTag};
use crate::model::time::Time;

#[derive(Serialize, Deserialize)]
struct AttributionRow<'a> {
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    click: Option<usize>,
    #[serde(rename = "m")]
    model: Cow<'a, str>,
    #[serde(rename = "w")]
    window_ms: u64,
    #[serde(rename = "n")]
    click_count: usize,
    #[serde(rename = "y")]
    why: Cow<'a, str>,
}

/// What a delivery that waited was decided with, where that differs from the facts of its event.
#[derive(Serialize, Deserialize)]
struct LaterRow<'a> {
    #[serde(rename = "n", borrow)]
    known: KnownRow<'a>,
    #[serde(rename = "w", borrow)]
    clicks: ClicksRow<'a>,
}

#[derive(Serialize, Deserialize)]
struct DeliveryRow<'a> {
    #[serde(rename = "n")]
    connector: Cow<'a, str>,
    #[serde(rename = "r")]
    revision: Cow<'a, str>,
    #[serde(rename = "o")]
    sending: Cow<'a, str>,
    #[serde(rename = "s")]
    state: Cow<'a, str>,
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'a, str>>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    attribution: Option<AttributionRow<'a>>,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    item: Option<u32>,
    #[serde(rename = "u")]
    due: i64,
    /// The key this conversion holds in the table of claims.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    claim: Option<i64>,
    #[serde(rename = "l", borrow, default, skip_serializing_if = "Option::is_none")]
    later: Option<LaterRow<'a>>,
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

/// Bytes of most deliveries.
const DELIVERY_USUAL: usize = 320;

/// The deliveries of one event, in the order of their places.
pub fn write_deliveries(deliveries: &[StoredDelivery]) -> String {
    fn row(stored: &StoredDelivery) -> DeliveryRow<'_> {
        let d = &stored.delivery;
        DeliveryRow {
            connector: (&*d.connector).into(),
            revision: (&*d.revision).into(),
            sending: d.sending.word().into(),
            state: d.state.word().into(),
            reason: d.reason.map(|r| r.word().into()),
            detail: d.detail.as_deref().map(Cow::Borrowed),
            attribution: d.attribution.as_ref().map(|a| AttributionRow {
                click: a.click,
                model: a.model.word().into(),
                window_ms: u64::try_from(a.window.as_millis()).unwrap_or(u64::MAX),
                click_count: a.click_count,
                why: (&*a.why).into(),
            }),
            item: d.item,
            due: d.due.ms(),
            claim: stored.claim,
            later: stored
                .later
                .as_ref()
                .map(|l| LaterRow { known: (&l.known).into(), clicks: ClicksRow::of(&l.clicks) }),
        }
    }
    encode(&deliveries.iter().map(row).collect::<Vec<_>>(), deliveries.len() * DELIVERY_USUAL)
}

/// The deliveries that [`write_deliveries`] wrote, of the event at `seq`.
///
/// # Errors
/// The text is no such row, or holds a word this version does not know.
pub fn read_deliveries(tag: StoreTag, seq: Seq, text: &str) -> Result<Vec<StoredDelivery>, RowError> {
    let rows: Vec<DeliveryRow<'_>> = decode("delivery", text)?;
    let unknown = |word: &str| RowError::new("delivery", format!("unknown word {word}"));
    let read = |(place, row): (usize, DeliveryRow<'_>)| {
        let attribution = row.attribution.map(|a| {
            Ok::<_, RowError>(Attribution {
                click: a.click,
                model: AttributionModel::from_word(&a.model).ok_or_else(|| unknown(&a.model))?,
                window: Duration::from_millis(a.window_ms),
                click_count: a.click_count,
                why: a.why.into(),
            })
        });
        let later = row.later.map(|l| Ok::<_, RowError>(Later { known: l.known.known(), clicks: l.clicks.clicks()? }));
        Ok(StoredDelivery {
            delivery: Delivery {
                id: DeliveryId::new(tag, seq, u32::try_from(place).unwrap_or(u32::MAX)),
                connector: (&*row.connector).into(),
                revision: (&*row.revision).into(),
                sending: Sending::from_word(&row.sending).ok_or_else(|| unknown(&row.sending))?,
                state: State::from_word(&row.state).ok_or_else(|| unknown(&row.state))?,
                reason: row.reason.map(|w| Reason::from_word(&w).ok_or_else(|| unknown(&w))).transpose()?,
                detail: row.detail.map(Into::into),
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
