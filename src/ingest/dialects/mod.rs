//! The ways in which senders write events. A dialect turns what came into the fields of SPEC section 2.1, no more; what
//! they mean and what is wrong with them is said once, in `reading`.
//!
//! Refuses: rules of its own about a field.

pub mod batch;
pub mod collect;
pub mod conversion;
pub mod flat;
pub mod hook;
pub mod stripe;

use std::borrow::Cow;

use crate::ingest::http::{Body, Request, pairs};
use crate::ingest::reading::{Context, Input, Place, Reason, Refused, read_event};
use crate::json::{self, DEPTH_MAX};
use crate::model::event::Event;

/// One field as a sender named it.
pub(crate) type FieldIn<'a> = (Cow<'a, str>, Input<'a>);

/// A field that the dialect itself names.
fn own<'a>(name: &'static str, text: impl Into<Cow<'a, str>>) -> FieldIn<'a> {
    (Cow::Borrowed(name), Input::Text(text.into()))
}

/// What is wrong with one field.
fn wrong(field: &str, problem: &str) -> Refused {
    Refused::new(Reason::Invalid, field, problem)
}

/// The members of a JSON object.
fn members(bytes: &[u8]) -> Result<Vec<FieldIn<'_>>, Refused> {
    let malformed = |problem: String| Refused::new(Reason::Malformed, "", problem);
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("is no UTF-8 text".to_owned()))?;
    let members = json::members(text).map_err(|e| malformed(format!("is no JSON object: {e}")))?;
    Ok(members.into_iter().map(|(name, raw)| (name, Input::Raw(raw))).collect())
}

/// The fields of a body that is one object or a form; none where it is empty.
fn body(request: &Request) -> Result<Vec<FieldIn<'_>>, Refused> {
    match request.body.kind {
        Body::Empty => Ok(Vec::new()),
        Body::Form => pairs(&request.body.bytes),
        Body::Json => members(&request.body.bytes),
    }
}

/// The one event that these fields make, and no other did.
fn one_event(request: &Request, fields: Vec<FieldIn<'_>>, context: &Context<'_>) -> Result<Event, Refused> {
    let content = if request.body.bytes.is_empty() { request.query.as_bytes() } else { &request.body.bytes };
    read_event(context, Place { index: None, depth: DEPTH_MAX - 1, content }, fields)
}

/// Names each problem's field as the sender did, where the dialect had to rename it.
fn renamed(mut refused: Refused, rename: impl Fn(&str) -> Option<String>) -> Refused {
    for problem in &mut refused.problems {
        if let Some(name) = rename(&problem.field) {
            problem.field = name;
        }
    }
    refused
}
