//! What each container has been seen to send.
//!
//! Refuses: containers that are no longer configured.

use std::sync::Arc;

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::Room;
use super::answer::{self, Answer, Refusal};

#[derive(Serialize, JsonSchema)]
pub(super) struct ContainerShown<'a> {
    key: &'a str,
    name: &'a str,
    /// `awaiting data` or `connected`.
    status: &'static str,
    last_event_at: Option<String>,
    /// Names of track events.
    event_names: &'a [String],
    country: Option<&'a str>,
    currency: Option<&'a str>,
    /// Events per second over HTTP.
    rate: Option<f64>,
    /// Requests must be signed.
    has_secret: bool,
    has_stripe_secret: bool,
    /// The name of batch events that bring none.
    batch_event: Option<&'a str>,
    conversion_event: &'a str,
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
                country: container.country.as_deref(),
                currency: container.currency.as_deref(),
                rate: container.rate,
                has_secret: container.secret.is_some(),
                has_stripe_secret: container.stripe_secret.is_some(),
                batch_event: container.batch_event.as_deref(),
                conversion_event: &container.conversion_event,
            }
        })
        .collect();
    answer::items(&shown)
}
