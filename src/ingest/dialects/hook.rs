//! `GET` and `POST /collect/hook`: every field of SPEC section 2.1 as query parameter, form field or JSON, merged, the body
//! winning over the query. A JSON array is read as on RabbitMQ, each element over the query's fields.
//!
//! Refuses: taking `ip` and `userAgent` from the request. The caller is the sender's server as a rule, and its address
//! and agent would be shown to networks as the visitor's; who has the visitor's sends them as fields.

use std::borrow::Cow;

use super::{FieldIn, flat, one_event};
use crate::ingest::http::{Body, Refusal, Request, pairs};
use crate::ingest::reading::{Context, Input};
use crate::model::event::Event;

/// The events of one request, at least one.
///
/// # Errors
/// All problems of the request.
pub fn read(request: &Request, context: &Context<'_>) -> Result<Vec<Event>, Refusal> {
    let mut query = pairs(request.query.as_bytes())?;
    let is_array = request.body.kind == Body::Json && flat::is_array(&request.body.bytes);
    let mut context = *context;
    // One id for the whole array would make repeats of all but the first; it is the request's id, as in the header.
    let id = if is_array { take_id(&mut query) } else { None };
    if id.is_some() {
        context.message_id = id.as_deref();
    }
    Ok(match request.body.kind {
        Body::Json => flat::read_over(&query, &request.body.bytes, &context)?,
        Body::Form => {
            query.append(&mut pairs(&request.body.bytes)?);
            vec![one_event(request, query, &context)?]
        }
        Body::Empty => vec![one_event(request, query, &context)?],
    })
}

fn take_id<'a>(query: &mut Vec<FieldIn<'a>>) -> Option<Cow<'a, str>> {
    let at = query.iter().position(|(name, _)| name == "eventId" || name == "event_id")?;
    match query.remove(at).1 {
        Input::Text(text) => Some(text),
        Input::Raw(_) => None,
    }
}
