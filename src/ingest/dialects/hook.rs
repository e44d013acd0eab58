//! `GET` and `POST /collect/hook`: every field of SPEC section 2.1 as query parameter, form field or JSON, merged, the body
//! winning over the query. A JSON array is read as on RabbitMQ, each element over the query's fields.
//!
//! Refuses: taking `ip` and `userAgent` from the request. The caller is the sender's server as a rule, and its address
//! and agent would be shown to networks as the visitor's; who has the visitor's sends them as fields.

use std::borrow::Cow;

use super::flat::{self, FieldIn};
use crate::ingest::http::{Body, Refusal, Request, pairs};
use crate::ingest::reading::{Context, Input, Place, Reason, Refused, read_event};
use crate::json::DEPTH_MAX;
use crate::model::event::Event;

/// The events of one request, at least one.
///
/// # Errors
/// All problems of the request.
pub fn read(request: &Request, context: &Context<'_>) -> Result<Vec<Event>, Refusal> {
    let mut query = pairs(request.query.as_bytes())?;
    refuse_source(&query)?;
    let is_array = request.body.kind == Body::Json && flat::is_array(&request.body.bytes);
    let mut context = *context;
    // One id for the whole array would make repeats of all but the first; it is the request's id, as in the header.
    let id = if is_array { take_id(&mut query) } else { None };
    if id.is_some() {
        context.message_id = id.as_deref();
    }
    let events = match request.body.kind {
        Body::Json => flat::read_over(&query, &request.body.bytes, &context)?,
        Body::Form => {
            query.append(&mut pairs(&request.body.bytes)?);
            vec![read_pairs(query, &request.body.bytes, &context)?]
        }
        Body::Empty => vec![read_pairs(query, request.query.as_bytes(), &context)?],
    };
    Ok(events)
}

fn read_pairs(fields: Vec<FieldIn<'_>>, content: &[u8], context: &Context<'_>) -> Result<Event, Refused> {
    read_event(context, Place { index: None, depth: DEPTH_MAX - 1, content }, fields)
}

/// `source=stripe` announces another shape of body; to read it as a flat event would admit nonsense.
fn refuse_source(query: &[FieldIn<'_>]) -> Result<(), Refused> {
    let asks = |input: &Input<'_>| matches!(input, Input::Text(text) if text.eq_ignore_ascii_case("stripe"));
    if query.iter().any(|(name, input)| name == "source" && asks(input)) {
        let problem = "stripe is not read here; send the fields of the event themselves";
        return Err(Refused::new(Reason::Invalid, "source", problem));
    }
    Ok(())
}

fn take_id<'a>(query: &mut Vec<FieldIn<'a>>) -> Option<Cow<'a, str>> {
    let at = query.iter().position(|(name, _)| name == "eventId" || name == "event_id")?;
    match query.remove(at).1 {
        Input::Text(text) => Some(text),
        Input::Raw(_) => None,
    }
}
