//! `POST /collect/hook?k=KEY&source=stripe`: an event object as Stripe's webhooks send it
//! (docs.stripe.com/api/events/object). Who bought, what and for how much stands in other places for each kind of object;
//! here they become the fields of SPEC section 2.1.
//!
//! Refuses: asking Stripe for more than it sent, and letting `metadata` say what Stripe itself says: event, id, time, sum.

mod amount;
mod object;

use std::borrow::Cow;

use super::{FieldIn, own, wrong};
use crate::ingest::http::{Body, Refusal, Request, pairs};
use crate::ingest::reading::{Context, Input, Place, Reason, Refused, read_event};
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
    let previous = sent.member("data").and_then(|data| data.member("previous_attributes"));

    let mut fields: Vec<FieldIn<'_>> = vec![own("track", kind)];
    fields.extend(pairs(request.query.as_bytes())?.into_iter().filter(|(name, _)| name != "source"));
    object::read(object, &mut fields);
    fields.extend(metadata(object));
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

/// What the shop itself wrote on the object: fields of SPEC section 2.1 by their names, attributes by others. An invoice carries
/// that of its subscription too.
fn metadata(object: &Value) -> impl Iterator<Item = FieldIn<'_>> {
    let paths: [&[&str]; 3] =
        [&["parent", "subscription_details", "metadata"], &["subscription_details", "metadata"], &["metadata"]];
    let members = paths.into_iter().filter_map(|path| match object::at(object, path)? {
        Value::Map(members) => Some(members),
        _ => None,
    });
    // Whose event it is was said by the URL that Stripe was given.
    let is_free = |name: &str| {
        !matches!(
            &*camel(name),
            "k" | "container" | "track" | "event" | "eventName" | "eventId" | "timestamp" | "eventTime" | "occurredAt"
        )
    };
    members
        .flatten()
        .filter(move |(name, _)| is_free(name))
        .filter_map(|(name, value)| Some((Cow::Borrowed(&**name), Input::Text(value.scalar()?.into()))))
}

#[cfg(test)]
mod tests;
