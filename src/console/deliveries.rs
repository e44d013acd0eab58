//! The delivery log.
//!
//! Refuses: pages without end, and filters it does not know.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};

use super::Room;
use super::answer::{self, Answer, FieldProblem, Refusal};
use super::asked::Asked;
use super::shapes::{Detail, Page};
use crate::model::delivery::{Reason, State as DeliveryState};
use crate::model::ids::DeliveryId;
use crate::store::{DeliveryFilter, StoreError};

/// Deliveries of one page.
pub const LIMIT_MAX: usize = 1000;

/// Deliveries of a page whose length nobody gave.
pub const LIMIT_DEFAULT: usize = 100;

/// How the store calls a cursor that it did not give.
const NO_CURSOR: &str = "is no cursor of this log";

pub async fn list(State(room): State<Arc<Room>>, RawQuery(query): RawQuery) -> Answer {
    let mut asked = Asked::query(query.as_deref());
    let filter = DeliveryFilter {
        connector: asked.text("connector"),
        state: asked.word("state", DeliveryState::ALL, DeliveryState::word),
        reason: asked.word("reason", Reason::ALL, Reason::word),
        event_id: asked.text("event_id"),
        since: asked.time("since"),
        until: asked.time("until"),
    };
    let limit = asked.number("limit", 1, LIMIT_MAX).unwrap_or(LIMIT_DEFAULT);
    let cursor = asked.text("cursor");
    asked.done()?;
    let page = room.desk.store.deliveries(filter, limit, cursor).await.map_err(|error| match error {
        // The store is the only one who can read a cursor, and says so in its own words.
        StoreError::Failed(why) if why.ends_with(NO_CURSOR) => {
            Refusal::fields(vec![FieldProblem::new("cursor", "is none of ours; take `next_cursor` of the page before")])
        }
        error => failed(&error),
    })?;
    answer::ok(&Page::from(&page))
}

pub async fn one(State(room): State<Arc<Room>>, id: Result<Path<String>, PathRejection>) -> Answer {
    let id = delivery_id(&answer::path(id)?)?;
    let found = room.desk.store.delivery(id).await.map_err(|e| failed(&e))?;
    let detail = found.ok_or_else(|| unknown(id))?;
    answer::ok(&Detail::from(&detail))
}

/// Reads the id of a path.
pub fn delivery_id(text: &str) -> Result<DeliveryId, Refusal> {
    text.parse().map_err(|_| Refusal::not_found(format!("{text:?} is no delivery id; ids are UUIDs, as in the list")))
}

/// There is no delivery of this id.
pub fn unknown(id: DeliveryId) -> Refusal {
    Refusal::not_found(format!("there is no delivery {id}; it may be older than `retention.log`"))
}

fn failed(error: &StoreError) -> Refusal {
    Refusal::store("deliveries", error)
}
