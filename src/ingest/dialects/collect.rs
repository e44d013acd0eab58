//! `GET` and `POST /collect/EVENT_TYPE/CONTAINER_KEY[/SESSION_ID]`: the path names event, container and session; the query
//! and the body, a JSON object or a form, hold the fields of SPEC section 2.1.
//!
//! Refuses: another event, container or session than the path's.

use super::{body, one_event, own, wrong};
use crate::ingest::http::{Refusal, Request, pairs};
use crate::ingest::reading::Context;
use crate::model::event::Event;

/// The event of one request.
///
/// # Errors
/// All problems of the request.
pub fn read(request: &Request, context: &Context<'_>) -> Result<Vec<Event>, Refusal> {
    let mut fields = pairs(request.query.as_bytes())?;
    fields.append(&mut body(request)?);
    for (name, part) in ["track", "k", "sessionId"].into_iter().zip(&request.path) {
        if part.trim().is_empty() {
            return Err(wrong(name, "is blank in the path; write /collect/EVENT_TYPE/CONTAINER_KEY").into());
        }
        fields.push(own(name, &**part));
    }
    Ok(vec![one_event(request, fields, context)?])
}
