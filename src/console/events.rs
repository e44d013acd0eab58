//! One stored event with what became of it.
//!
//! Refuses: events about which nothing was decided; those are not kept.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};

use super::Room;
use super::answer::{self, Answer, Refusal};
use super::shapes::EventShown;

pub async fn one(State(room): State<Arc<Room>>, id: Result<Path<String>, PathRejection>) -> Answer {
    let id = answer::path(id)?;
    let found = room.desk.store.events(id).await.map_err(|e| Refusal::store("events", &e))?;
    if found.is_empty() {
        return Err(Refusal::not_found(
            "no event of this id is kept: it may be unknown, too old, or of no interest to any connector",
        ));
    }
    answer::items(&found.iter().map(EventShown::from).collect::<Vec<_>>())
}
