//! Erasing a person.
//!
//! Refuses: telling who it was. The answer and the log count, and name the container alone.

use std::sync::Arc;

use axum::extract::{Request, State};

use super::answer::{self, Answer, FieldProblem, Refusal};
use super::asked::{self, Asked};
use super::shapes::ErasedShown;
use super::{Room, now};
use crate::model::delivery::State as DeliveryState;
use crate::pipeline::erase::{self, By};
use crate::telemetry::events;

pub(super) async fn erase(State(room): State<Arc<Room>>, request: Request) -> Answer {
    let text = asked::body(request).await?;
    let mut asked = Asked::body(&text)?;
    let container = asked.text("container");
    let named: Vec<(By, String)> = By::ALL.into_iter().filter_map(|by| Some((by, asked.text(by.word())?))).collect();
    asked.done()?;
    let (Some(container), [(by, value)]) = (container, &*named) else {
        let problem = "is missing; send `container` and one of email, phone, external_id, session_id";
        return Err(Refusal::fields(vec![FieldProblem::new("", problem)]));
    };
    let config = room.desk.config.load_full();
    let who = erase::asked(&config, &container, *by, value)
        .map_err(|(field, problem)| Refusal::fields(vec![FieldProblem::new(field, problem)]))?;
    let store = &room.desk.store;
    let erased = store.erase(who.container, who.identifiers, now(), who.keep_keys_for).await;
    let Some(erased) = erased.map_err(|e| Refusal::store("erase", &e))? else {
        return Err(Refusal::not_found("nobody is known by this; nothing was erased"));
    };
    for connector in &erased.cancelled {
        room.desk.metrics.final_state(connector, DeliveryState::Cancelled);
    }
    events::person_erased(&container, erased.visitors, erased.events, erased.deliveries);
    answer::ok(&ErasedShown::from(&erased))
}
