//! What the shop itself wrote on an object of Stripe's: fields of SPEC section 2.1 that are plain texts by their names,
//! everything else as attributes.
//!
//! Refuses: refusing. A shop's own words, meant for its own eyes, must not cost it an event; and what Stripe says itself, or
//! the URL that Stripe was given, they can't say otherwise.

use super::object::at;
use crate::ingest::dialects::{FieldIn, own};
use crate::ingest::reading::{Input, VALUE_MAX};
use crate::json;
use crate::model::field::{Field, camel};
use crate::model::value::{Members, Value};

/// Keys of one metadata (docs.stripe.com/metadata): so all three that an invoice has fit among the attributes of an event.
const KEYS_MAX: usize = 50;

/// Where it lies. An invoice carries that of its subscription too; its own is read last and wins.
const PATHS: [&[&str]; 3] =
    [&["parent", "subscription_details", "metadata"], &["subscription_details", "metadata"], &["metadata"]];

/// Adds what the metadata of `object` says.
pub(super) fn read<'a>(object: &'a Value, fields: &mut Vec<FieldIn<'a>>) {
    let members = PATHS.into_iter().filter_map(|path| match at(object, path)? {
        Value::Map(members) => Some(members.iter().take(KEYS_MAX)),
        _ => None,
    });
    let mut attributes: Members = Vec::new();
    for (name, value) in members.flatten() {
        let Some(text) = value.scalar().filter(|text| text.len() <= VALUE_MAX && !text.trim().is_empty()) else {
            continue;
        };
        let meant = camel(name);
        if is_said_elsewhere(&meant) {
            continue;
        }
        // A sum must be a decimal and a currency a code; what a shop writes there is as it pleases.
        if Field::from_name(&meant).is_some_and(|field| !matches!(field, Field::Value | Field::Currency)) {
            fields.push(((&**name).into(), Input::Text(text.into())));
            continue;
        }
        match attributes.iter_mut().find(|(known, _)| **known == **name) {
            Some((_, known)) => *known = Value::Text(text.into()),
            None => attributes.push(((&**name).into(), Value::Text(text.into()))),
        }
    }
    if !attributes.is_empty() {
        fields.push(own("eventAttributes", json::to_string(&Value::Map(attributes))));
    }
}

/// Whether it is Stripe's, or the URL's, to say.
fn is_said_elsewhere(meant: &str) -> bool {
    matches!(
        meant,
        "k" | "container" | "track" | "event" | "eventName" | "eventId" | "timestamp" | "eventTime" | "occurredAt"
    )
}
