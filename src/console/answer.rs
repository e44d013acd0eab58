//! How the admin listener answers: JSON, and every refusal with its reason.
//!
//! Refuses: quoting what was asked beyond the names of parameters, and the store's errors beyond their own words.

use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use crate::store::StoreError;
use crate::telemetry::events;

/// What is wrong with one parameter or member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FieldProblem {
    pub field: String,
    pub problem: String,
}

impl FieldProblem {
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// An answer other than what was asked for.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    said: Said,
    header: Option<(HeaderName, HeaderValue)>,
}

#[derive(Debug)]
enum Said {
    /// `{"error": …}`
    Error(String),
    /// A list of `{"field", "problem"}`.
    Fields(Vec<FieldProblem>),
}

/// What a handler gives.
pub type Answer = Result<Response, Refusal>;

impl Refusal {
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, said: Said::Error(error.into()), header: None }
    }

    /// 400, naming every parameter at fault.
    pub fn fields(problems: Vec<FieldProblem>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, said: Said::Fields(problems), header: None }
    }

    pub fn not_found(what: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, what)
    }

    /// Come again in a few seconds.
    pub fn busy(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error).with(header::RETRY_AFTER, "5")
    }

    /// The store was asked for `what` in vain.
    pub fn store(what: &str, error: &StoreError) -> Self {
        let why = error.to_string();
        events::store_failed(what, &why);
        match error {
            StoreError::Full | StoreError::Locked(_) => Self::busy(why),
            StoreError::Panicked(_) | StoreError::Fatal(_) | StoreError::Failed(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, why)
            }
        }
    }

    /// With one header more.
    pub fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, HeaderValue::from_static(value)));
        self
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = match self.said {
            Said::Error(error) => json(self.status, &ErrorShown { error }),
            Said::Fields(problems) => json(self.status, &problems),
        };
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// `value` as JSON.
pub fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    let body = serde_json::to_vec(value).expect("shapes have text keys and no failing parts");
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 200 with `value` as JSON.
pub fn ok<T: Serialize + ?Sized>(value: &T) -> Answer {
    Ok(json(StatusCode::OK, value))
}

/// 200 with a list under `items`.
pub fn items<T: Serialize>(items: &[T]) -> Answer {
    ok(&Items { items })
}

/// A list that is no page.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Items<'a, T> {
    items: &'a [T],
}

/// What is wrong, where it is no parameter's fault.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorShown {
    error: String,
}

/// A part of the path, decoded.
pub fn path(found: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    found
        .map(|Path(part)| part)
        .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the path is not percent-encoded UTF-8"))
}

/// The answer to a path that is none of ours.
pub async fn unknown_path(uri: Uri) -> Refusal {
    Refusal::not_found(format!("there is nothing at {}; the paths are listed in the README", uri.path()))
}

/// The answer to a method that a path does not take; the router adds `Allow`.
pub async fn wrong_method(method: Method, uri: Uri) -> Refusal {
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not what {} takes; see `Allow`", uri.path()))
}
