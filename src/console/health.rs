//! `/healthz`, `/readyz`, `/metrics`: what machines ask.
//!
//! Refuses: names of people and values of events; the first two are open to anyone who reaches the port.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::json;

use super::Room;
use super::answer;
use crate::telemetry::metrics::EXPOSITION_TYPE;

/// 200 while the runtime and the store's writer tick.
pub async fn healthz(State(room): State<Arc<Room>>) -> Response {
    if room.desk.health.alive() {
        answer::json(StatusCode::OK, &json!({ "status": "ok" }))
    } else {
        answer::json(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "stuck" }))
    }
}

/// 200 while the daemon can do its work.
pub async fn readyz(State(room): State<Arc<Room>>) -> Response {
    let found = room.desk.health.ready();
    let status = if found.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(status, &json!({ "ready": found.ready, "degraded": found.degraded, "detail": found.detail }))
}

/// Everything that is counted.
pub async fn metrics(State(room): State<Arc<Room>>) -> Response {
    let mut response = Response::new(Body::from(room.desk.metrics.exposition()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(EXPOSITION_TYPE));
    response
}
