//! `/healthz`, `/readyz`, `/metrics`: what machines ask.
//!
//! Refuses: names of people and values of events; the first two are open to anyone who reaches the port.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use super::Room;
use super::answer;
use crate::telemetry::metrics::EXPOSITION_TYPE;

/// Whether the daemon lives.
#[derive(Serialize, JsonSchema)]
pub(super) struct Alive {
    /// `ok` or `stuck`.
    status: &'static str,
}

/// Whether the daemon can do its work.
#[derive(Serialize, JsonSchema)]
pub(super) struct Ready {
    ready: bool,
    /// What does not work, although the rest may.
    degraded: Vec<String>,
    /// One sentence for a person.
    detail: String,
}

/// 200 while the runtime and the store's writer tick.
pub async fn healthz(State(room): State<Arc<Room>>) -> Response {
    if room.desk.health.alive() {
        answer::json(StatusCode::OK, &Alive { status: "ok" })
    } else {
        answer::json(StatusCode::SERVICE_UNAVAILABLE, &Alive { status: "stuck" })
    }
}

/// 200 while the daemon can do its work.
pub async fn readyz(State(room): State<Arc<Room>>) -> Response {
    let found = room.desk.health.ready();
    let status = if found.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(status, &Ready { ready: found.ready, degraded: found.degraded, detail: found.detail })
}

/// Everything that is counted.
pub async fn metrics(State(room): State<Arc<Room>>) -> Response {
    let mut response = Response::new(Body::from(room.desk.metrics.exposition()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(EXPOSITION_TYPE));
    response
}
