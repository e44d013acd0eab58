//! `POST /collect/hook?k=KEY&source=stripe`: an event object as Stripe's webhooks send it
//! (docs.stripe.com/api/events/object). Who bought, what and for how much stands in other places for each kind of object;
//! here they become the fields of SPEC section 2.1.
//!
//! Refuses: asking Stripe for more than it sent, and letting `metadata` say what Stripe itself says: event, id, time, sum.

mod amount;
mod metadata;
mod object;

use super::{FieldIn, own, wrong};
use crate::ingest::http::{Body, Refusal, Request, pairs};
use crate::ingest::reading::{Context, Place, Reason, Refused, read_event};
use crate::json::{self, DEPTH_MAX};
use crate::model::event::Event;
use crate::model::field::camel;
use crate::model::value::Value;

/// Whether this query announces a Stripe event.
pub fn is_asked_for(query: &str) -> bool {
    url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "source" && value.eq_ignore_ascii_case("stripe"))
}

/// The event of one request.
///
/// # Errors
/// All problems of the request.
pub fn read(request: &Request, context: &Context<'_>) -> Result<Vec<Event>, Refusal> {
    if request.body.kind == Body::Form {
        return Err(Refusal::MediaType);
    }
    let malformed = |problem: String| Refused::new(Reason::Malformed, "", problem);
    let text = std::str::from_utf8(&request.body.bytes).map_err(|_| malformed("is no UTF-8 text".to_owned()))?;
    let sent = json::parse(text).map_err(|e| malformed(format!("is no Stripe event: {e}")))?;
    let Some(object) = sent.member("data").and_then(|data| data.member("object")) else {
        return Err(wrong("data.object", "is missing; send the event object as Stripe's webhook does").into());
    };
    let kind = sent.member("type").and_then(Value::scalar).unwrap_or_default();
    let query = pairs(request.query.as_bytes())?;
    let is_named = query.iter().any(|(name, input)| is_name(name) && !input.is_blank());
    if kind.trim().is_empty() && !is_named {
        return Err(wrong("type", "is missing; send the event object as Stripe's webhook does").into());
    }
    let previous = sent.member("data").and_then(|data| data.member("previous_attributes"));

    let mut fields: Vec<FieldIn<'_>> = vec![own("track", kind)];
    fields.extend(query.into_iter().filter(|(name, _)| name != "source"));
    object::read(object, &mut fields);
    metadata::read(object, &mut fields);
    for (name, value) in [("eventId", sent.member("id")), ("timestamp", sent.member("created"))] {
        let Some(value) = value.and_then(Value::scalar) else {
            let sent_as = if name == "eventId" { "id" } else { "created" };
            return Err(wrong(sent_as, "is missing; send the event object as Stripe's webhook does").into());
        };
        fields.push(own(name, value));
    }
    if let Some(livemode) = sent.member("livemode").and_then(Value::scalar) {
        fields.push(own("livemode", livemode));
    }
    if let Some((value, currency)) = amount::of(kind, object, previous) {
        fields.push(own("value", value));
        fields.push(own("currency", currency));
    }
    let place = Place { index: None, depth: DEPTH_MAX - 1, content: &request.body.bytes };
    Ok(vec![read_event(context, place, fields)?])
}

/// Whether a query's field of this name is that of the event.
fn is_name(name: &str) -> bool {
    matches!(&*camel(name), "track" | "event" | "eventName")
}

#[cfg(test)]
mod tests;
