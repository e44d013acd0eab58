//! The rules that need all fields of an event, and the event built.
//!
//! Refuses: reading fields.

use std::time::Duration;

use sha2::{Digest, Sha256};
use smol_str::SmolStr;
use url::form_urlencoded;
use uuid::Uuid;

use super::draft::Draft;
use super::{Context, Place, Reason, Refused, container};
use crate::config::Container;
use crate::model::event::{Event, EventId};
use crate::model::field::Field;
use crate::model::time::Time;

/// A sender's clock may be this far ahead of ours; beyond it, the time of receipt counts (SPEC section 2.1).
const AHEAD_MAX: Duration = Duration::from_secs(300);

/// Builds the event, or lists what is wrong with it.
pub(super) fn event(context: &Context<'_>, place: Place<'_>, mut draft: Draft) -> Result<Event, Refused> {
    let container = container_of(context, &mut draft);
    check_currency(container, &mut draft);
    if !draft.says_something {
        draft.problem(Reason::Invalid, "track", "is missing; send at least one field besides the container");
    }
    if let Some(refused) = draft.refused.take() {
        return Err(refused);
    }
    let Some(container) = container else {
        return Err(Refused::new(Reason::UnknownContainer, "k", UNKNOWN_CONTAINER));
    };
    let received = context.received;
    let sane = |time: Time| if received.plus(AHEAD_MAX) < time { received } else { time };
    let is_test = draft.is_test || draft.texts.of(Field::Url).is_some_and(asks_for_test);
    Ok(Event {
        container: container.key.clone(),
        id: id(context, place, container, draft.id),
        name: draft.name,
        time: draft.time.or(context.sent).map_or(received, sane),
        received,
        texts: draft.texts,
        email_variants: draft.email_variants,
        phone_variants: draft.phone_variants,
        click_time: draft.click_time.map(sane),
        items: draft.items,
        consent: draft.consent,
        attributes: draft.attributes,
        is_partial: draft.is_partial,
        new_session_at: draft.new_session_at.map(sane),
        is_test,
    })
}

const UNKNOWN_CONTAINER: &str = "is no container; use a key from the configuration";

/// The event's own word first, then the message's, then the source's.
fn container_of<'c>(context: &Context<'c>, draft: &mut Draft) -> Option<&'c Container> {
    let named = [draft.container.as_deref(), context.container_header, context.container_default];
    let Some(key) = named.into_iter().flatten().map(str::trim).find(|key| !key.is_empty()) else {
        draft.problem(Reason::UnknownContainer, "k", "is missing; send the key of a container");
        return None;
    };
    let found = container(context.containers, key);
    if found.is_none() {
        draft.problem(Reason::UnknownContainer, "k", UNKNOWN_CONTAINER);
    }
    found
}

/// A value needs a currency. Whose container is unknown, its default is too, so nothing more is said there.
fn check_currency(container: Option<&Container>, draft: &mut Draft) {
    let Some(container) = container.filter(|_| draft.has_value && !draft.has_currency) else {
        return;
    };
    match &container.currency {
        Some(currency) => draft.texts.set(Field::Currency, currency),
        None => {
            let problem = "is missing; send it with every value, or give the container a default currency";
            draft.problem(Reason::Invalid, "currency", problem);
        }
    }
}

fn id(context: &Context<'_>, place: Place<'_>, container: &Container, given: Option<SmolStr>) -> EventId {
    if let Some(id) = given {
        return EventId::Given(id);
    }
    if let Some(id) = context.message_id.filter(|id| !id.trim().is_empty()) {
        return EventId::Given(match place.index {
            Some(index) => format!("{id}#{index}").into(),
            None => id.into(),
        });
    }
    let id = Uuid::now_v7().to_string().into();
    EventId::Assigned { id, content: content_hash(&container.key, place), redelivered: context.redelivered }
}

/// The place in the array is part of it: two equal elements of one message are two events, when it comes again too.
fn content_hash(container: &str, place: Place<'_>) -> u128 {
    let mut hash = Sha256::new();
    hash.update(container.as_bytes());
    hash.update([0]);
    hash.update((place.index.map_or(0, |i| i as u64)).to_be_bytes());
    hash.update(place.content);
    let digest = hash.finalize();
    u128::from_be_bytes(digest[..16].try_into().expect("SHA-256 has 32 bytes"))
}

/// Whether the query of `url` says `trl_test=1`.
fn asks_for_test(url: &str) -> bool {
    let before_fragment = url.split('#').next().unwrap_or_default();
    let Some((_, query)) = before_fragment.split_once('?') else {
        return false;
    };
    form_urlencoded::parse(query.as_bytes()).any(|(name, value)| name == "trl_test" && value == "1")
}
