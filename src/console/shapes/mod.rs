//! The shapes of the API: what a delivery, an event and an explanation look like as JSON. Times are ISO 8601 in UTC with
//! milliseconds.
//!
//! Refuses: deciding what may be shown. Requests come masked, replies scrubbed.

mod delivery;
mod event;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use delivery::{AttemptShown, Detail};
pub use event::{ClickShown, EventShown, FactsShown};

use super::Tested;
use crate::model::record::ShownRequest;
use crate::pipeline::explain::Explained;
use crate::store::{DeliveryLine, DeliveryPage, Erased};

/// What a line and a detail of the log share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Head {
    pub id: String,
    pub event_id: String,
    pub event: String,
    /// The container's key.
    pub container: String,
    pub connector: String,
    pub revision: String,
    pub state: String,
    pub reason: Option<String>,
    pub created_at: String,
    pub updated_at: String,
    pub next_attempt_at: Option<String>,
}

/// One line of the delivery log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    #[serde(flatten)]
    pub head: Head,
    /// How many were made.
    pub attempts: u32,
}

/// A page of the delivery log, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Page {
    pub items: Vec<Line>,
    /// `null` on the last page.
    pub next_cursor: Option<String>,
}

/// A request, secrets masked.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RequestShown {
    pub method: String,
    pub url: String,
    /// In the order sent.
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
}

/// One connector's answer to `explain`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Explanation {
    pub connector: String,
    pub verdict: &'static str,
    pub why: String,
    pub for_now: Option<&'static str>,
    pub click: Option<ClickShown>,
    pub requests: Vec<RequestShown>,
}

/// A postback made on demand.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct TestShown {
    pub deliveries: Vec<String>,
    pub requests: Vec<RequestShown>,
    /// The reason and detail of one that can't be rendered.
    pub refused: Option<String>,
}

/// What was erased of a person.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ErasedShown {
    pub visitors: u64,
    pub identifiers: u64,
    pub clicks: u64,
    /// Those about which something was decided; others leave nothing but what the visitor learned.
    pub events: u64,
    pub deliveries: u64,
    /// Of the deliveries, those that were not final.
    pub cancelled: u64,
}

impl From<&Erased> for ErasedShown {
    fn from(erased: &Erased) -> Self {
        let Erased { visitors, identifiers, clicks, events, deliveries, ref cancelled } = *erased;
        Self { visitors, identifiers, clicks, events, deliveries, cancelled: cancelled.len() as u64 }
    }
}

impl From<&DeliveryLine> for Head {
    fn from(line: &DeliveryLine) -> Self {
        Self {
            id: line.id.to_string(),
            event_id: line.event_id.clone(),
            event: line.event.clone(),
            container: line.container.clone(),
            connector: line.connector.to_string(),
            revision: line.revision.to_string(),
            state: line.state.word().to_owned(),
            reason: line.reason.map(|r| r.word().to_owned()),
            created_at: line.created_at.to_string(),
            updated_at: line.updated_at.to_string(),
            next_attempt_at: line.next_attempt_at.map(|t| t.to_string()),
        }
    }
}

impl From<&DeliveryLine> for Line {
    fn from(line: &DeliveryLine) -> Self {
        Self { head: line.into(), attempts: line.attempts }
    }
}

impl From<&DeliveryPage> for Page {
    fn from(page: &DeliveryPage) -> Self {
        Self { items: page.items.iter().map(Line::from).collect(), next_cursor: page.next_cursor.clone() }
    }
}

impl From<&ShownRequest> for RequestShown {
    fn from(request: &ShownRequest) -> Self {
        Self {
            method: request.method.to_owned(),
            url: request.url.to_string(),
            headers: request.headers.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
            body: request.body.as_ref().map(ToString::to_string),
        }
    }
}

impl From<&Explained> for Explanation {
    fn from(explained: &Explained) -> Self {
        Self {
            connector: explained.connector.to_string(),
            verdict: explained.verdict,
            why: explained.why.clone(),
            for_now: explained.for_now,
            click: explained.click.as_ref().map(ClickShown::from),
            requests: explained.requests.iter().map(RequestShown::from).collect(),
        }
    }
}

impl From<&Tested> for TestShown {
    fn from(tested: &Tested) -> Self {
        Self {
            deliveries: tested.deliveries.iter().map(ToString::to_string).collect(),
            requests: tested.requests.iter().map(RequestShown::from).collect(),
            refused: tested.refused.clone(),
        }
    }
}
