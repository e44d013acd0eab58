//! What each container has been seen to send.
//!
//! Refuses: containers that are no longer configured.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use super::Room;
use super::answer::{self, Answer, Refusal};

#[derive(Serialize)]
struct ContainerShown<'a> {
    key: &'a str,
    name: &'a str,
    status: &'static str,
    last_event_at: Option<String>,
    /// Names of track events.
    event_names: &'a [String],
}

pub async fn list(State(room): State<Arc<Room>>) -> Answer {
    let seen = room.desk.store.containers_seen().await.map_err(|e| Refusal::store("containers", &e))?;
    let config = room.desk.config.load();
    let shown: Vec<_> = config
        .containers
        .iter()
        .map(|container| {
            let seen = seen.iter().find(|s| *s.container == *container.key);
            ContainerShown {
                key: &container.key,
                name: &container.name,
                status: if seen.is_some() { "connected" } else { "awaiting data" },
                last_event_at: seen.map(|s| s.last_event_at.to_string()),
                event_names: seen.map_or(&[], |s| &s.event_names),
            }
        })
        .collect();
    answer::items(&shown)
}
