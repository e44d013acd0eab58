//! What callers are told.
//!
//! Refuses: quoting what they sent.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use super::Taken;
use crate::ingest::reading::{Problem, Reason, Refused};
use crate::json;

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// Its events are at fault: 400, or 403 where the container's key is.
    Problems(Refused),
    /// 403: the container's secret asks for a signature.
    Unsigned { field: String, problem: &'static str },
    /// 404.
    NotFound,
    /// 405: one of these would do.
    Method(&'static [Method]),
    /// 408: its body did not come in time.
    TooSlow,
    /// 400: its body ended before its end.
    BrokenOff,
    /// 413.
    TooLarge,
    /// 415.
    MediaType,
    /// 429.
    TooMany { again_in: Duration },
    /// 500: an event of it cannot be processed, whenever it comes.
    Fault { reason: &'static str, field: String },
    /// 503.
    Unavailable { again_in: Duration },
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::Problems(refused)
    }
}

/// What is told of events that are durable.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Accepted<'a> {
    /// `ok`.
    status: &'static str,
    /// Of an array, that of its first.
    event_id: &'a str,
    /// Of an array, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    event_ids: Option<&'a [String]>,
}

/// The answer to events that are durable.
pub(super) fn accepted(status: StatusCode, taken: &Taken) -> Response {
    let answer = Accepted {
        status: "ok",
        event_id: taken.ids.first().map_or("", String::as_str),
        event_ids: taken.is_array.then_some(&taken.ids),
    };
    respond(status, serde_json::to_string(&answer).expect("texts are JSON"))
}

/// The answer to a refusal: a JSON list of `{field, problem}`, whatever the status.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let one = |field: &str, problem: &str| problems(&[Problem { field: field.into(), problem: problem.into() }], 0);
    match refusal {
        Refusal::Problems(refused) if refused.reason == Reason::UnknownContainer => {
            // Who shows no key learns nothing else about its event.
            let of_key: Vec<Problem> = refused.problems.iter().take(1).cloned().collect();
            respond(StatusCode::FORBIDDEN, problems(&of_key, 0))
        }
        Refusal::Problems(refused) => respond(StatusCode::BAD_REQUEST, problems(&refused.problems, refused.more)),
        Refusal::Unsigned { field, problem } => respond(StatusCode::FORBIDDEN, one(field, problem)),
        Refusal::NotFound => respond(StatusCode::NOT_FOUND, one("", "there is nothing at this path")),
        Refusal::Method(methods) => {
            let allowed = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            let body = one("", "this method is not taken here; see the header Allow");
            let mut response = respond(StatusCode::METHOD_NOT_ALLOWED, body);
            if let Ok(value) = HeaderValue::from_str(&allowed) {
                response.headers_mut().insert(ALLOW, value);
            }
            response
        }
        Refusal::TooSlow => respond(StatusCode::REQUEST_TIMEOUT, one("", "the body did not come in time")),
        Refusal::BrokenOff => respond(StatusCode::BAD_REQUEST, one("", "the body broke off")),
        Refusal::TooLarge => {
            respond(StatusCode::PAYLOAD_TOO_LARGE, one("", "the body is over 300 kB; send fewer events at once"))
        }
        Refusal::MediaType => {
            let problem = "send application/json or application/x-www-form-urlencoded, not compressed";
            respond(StatusCode::UNSUPPORTED_MEDIA_TYPE, one("Content-Type", problem))
        }
        Refusal::TooMany { again_in } => {
            later(StatusCode::TOO_MANY_REQUESTS, one("", "over the rate; see the header Retry-After"), *again_in)
        }
        Refusal::Fault { field, .. } => {
            let problem = "this event cannot be processed; the fault is logged here";
            respond(StatusCode::INTERNAL_SERVER_ERROR, one(field, problem))
        }
        Refusal::Unavailable { again_in } => {
            later(StatusCode::SERVICE_UNAVAILABLE, one("", "nothing was taken; send it again"), *again_in)
        }
    }
}

fn later(status: StatusCode, body: String, again_in: Duration) -> Response {
    let mut response = respond(status, body);
    // Whole seconds, rounded up: who comes back a moment early is refused again.
    let seconds = again_in.as_millis().div_ceil(1000).max(1);
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// The list, and of how many `more` there are its last element tells.
fn problems(list: &[Problem], more: usize) -> String {
    let further = (more != 0).then(|| Problem { field: String::new(), problem: format!("and {more} more problems") });
    let mut body = String::from("[");
    for (i, Problem { field, problem }) in list.iter().chain(&further).enumerate() {
        if i != 0 {
            body.push(',');
        }
        body.push_str(r#"{"field":"#);
        json::write_string(&mut body, field);
        body.push_str(r#","problem":"#);
        json::write_string(&mut body, problem);
        body.push('}');
    }
    body.push(']');
    body
}

fn respond(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
