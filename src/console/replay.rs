//! Sending again what was rejected, given up or held: one delivery, or a selection, at once or spread out.
//!
//! Refuses: making a delivery that never was; a skip has nothing to send.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{self, Answer, FieldProblem, Refusal};
use super::asked::{self, Asked};
use super::deliveries::{delivery_id, unknown};
use super::{Room, now};
use crate::model::delivery::State as DeliveryState;
use crate::model::ids::DeliveryId;
use crate::store::sqlite::ReplayedOne;
use crate::store::{ReplaySelection, StoreError};
use crate::telemetry::events;

/// The states that a replay starts from.
pub const REPLAYED_STATES: &[DeliveryState] = &[DeliveryState::Dead, DeliveryState::Rejected, DeliveryState::Held];

/// A delivery that is to be sent again.
#[derive(Serialize, JsonSchema)]
pub(super) struct ReplayedShown {
    id: String,
    connector: String,
    state: &'static str,
}

/// How many deliveries are to be sent again.
#[derive(Serialize, JsonSchema)]
pub(super) struct ReplayedCount {
    count: u64,
}

pub(super) async fn one(
    State(room): State<Arc<Room>>,
    id: Result<Path<String>, PathRejection>,
    request: Request,
) -> Answer {
    let id = delivery_id(&answer::path(id)?)?;
    let text = asked::body(request).await?;
    let mut asked = Asked::body(&text)?;
    let force = asked.flag("force");
    asked.done()?;
    let conflict = |why: String| Err(Refusal::new(StatusCode::CONFLICT, why));
    match room.desk.store.replay_one(id, force, now()).await.map_err(|e| failed(&e))? {
        ReplayedOne::Replayed(connector) => {
            (room.desk.nudge)(&connector);
            events::delivery_replayed(id, force);
            let state = DeliveryState::Pending.word();
            answer::ok(&ReplayedShown { id: id.to_string(), connector: connector.to_string(), state })
        }
        ReplayedOne::NotFound => Err(unknown(id)),
        ReplayedOne::Delivered => {
            conflict(format!("delivery {id} was delivered; to send it again all the same, force it"))
        }
        ReplayedOne::NotReplayable(state) => conflict(not_replayable(id, state)),
    }
}

/// Why a delivery in this state is not sent again.
pub fn not_replayable(id: DeliveryId, state: DeliveryState) -> String {
    let why = if state.is_final() { "it has nothing to send" } else { "it is still to be decided or sent" };
    format!("delivery {id} is {}: {why}", state.word())
}

pub(super) async fn many(State(room): State<Arc<Room>>, request: Request) -> Answer {
    let text = asked::body(request).await?;
    let mut asked = Asked::body(&text)?;
    let connector = asked.text("connector");
    let state = asked.word("state", REPLAYED_STATES, DeliveryState::word);
    let (since, until) = (asked.time("since"), asked.time("until"));
    let spacing = asked.read("rate", spacing).unwrap_or_default();
    asked.done()?;
    let Some(state) = state else {
        return Err(Refusal::fields(vec![FieldProblem::new("state", "is missing; one of dead, rejected, held")]));
    };
    if let Some(name) = &connector
        && room.desk.config.load().connector(name).is_none()
    {
        return Err(Refusal::not_found(format!("there is no connector {name:?} in the configuration")));
    }
    let selection = ReplaySelection { connector, state, since, until };
    let name = selection.connector.clone();
    let done = room.desk.store.replay(selection, now(), spacing).await.map_err(|e| failed(&e))?;
    done.connectors.iter().for_each(|name| (room.desk.nudge)(name));
    events::replay_asked(name.as_deref(), state.word(), done.count);
    answer::ok(&ReplayedCount { count: done.count })
}

/// Reads `10/s`, `30/m` or `500/h` into the time between two deliveries. Due times are whole milliseconds: beyond 1000/s
/// all are due at once, and the connector's own `limits` hold.
///
/// # Errors
/// Says how to write it.
pub fn spacing(text: &str) -> Result<Duration, &'static str> {
    const HINT: &str = "is no rate; write 10/s, 30/m or 500/h";
    let (count, unit) = text.split_once('/').ok_or(HINT)?;
    let count: u32 = count.trim().parse().ok().filter(|n| 0 < *n).ok_or(HINT)?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(HINT),
    };
    Ok(Duration::from_secs(seconds) / count)
}

fn failed(error: &StoreError) -> Refusal {
    Refusal::store("replay", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_count_in_a_unit_of_time() {
        for (text, expect) in [
            ("10/s", Some(100_000)),
            ("30/m", Some(2_000_000)),
            ("1/h", Some(3_600_000_000)),
            (" 2 / s ", Some(500_000)),
            ("4000000000/s", Some(0)),
            ("0/s", None),
            ("-1/s", None),
            ("10", None),
            ("10/d", None),
            ("", None),
        ] {
            assert_eq!(spacing(text).ok().map(|d| d.as_micros()), expect, "{text}");
        }
    }
}
