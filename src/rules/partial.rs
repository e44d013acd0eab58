//! One event of the parts that came under its id: of each field, the newest value that is not blank (SPEC section 2.1,
//! `isPartial`).
//!
//! Refuses: waiting for parts. That is the store's, and for how long is configured.

use crate::model::event::Event;
use crate::model::time::Time;

/// Attributes of an event (SPEC section 13). What parts bring beyond them is left out, the later ones first.
pub const ATTRIBUTES_MAX: usize = 200;

/// Merges parts of one event, at least one, in whatever order they came. Parts go by their times; of those of one moment
/// the complete one says the last word, and between others the content decides, so that arrival does not. The event is
/// partial while none of them is complete; it was received with the last of them.
pub fn merge(mut parts: Vec<Event>) -> Option<Event> {
    parts.sort_by_cached_key(|part| {
        let content = Event { received: Time::from_ms(0), ..part.clone() };
        (part.time, !part.is_partial, format!("{content:?}"))
    });
    let mut parts = parts.into_iter();
    let mut merged = parts.next()?;
    for part in parts {
        add(&mut merged, part);
    }
    Some(merged)
}

fn add(merged: &mut Event, part: Event) {
    merged.time = part.time;
    merged.received = merged.received.max(part.received);
    for (field, value) in part.texts.iter() {
        merged.texts.set(field, value);
    }
    for (known, newer) in
        [(&mut merged.email_variants, part.email_variants), (&mut merged.phone_variants, part.phone_variants)]
    {
        if !newer.is_empty() {
            *known = newer;
        }
    }
    if !part.items.is_empty() {
        merged.items = part.items;
    }
    for (name, value) in part.attributes {
        match merged.attributes.iter().position(|(known, _)| *known == name) {
            Some(at) => merged.attributes[at].1 = value,
            None if merged.attributes.len() < ATTRIBUTES_MAX => merged.attributes.push((name, value)),
            None => {}
        }
    }
    merged.consent.ads = part.consent.ads.or(merged.consent.ads);
    merged.consent.analytics = part.consent.analytics.or(merged.consent.analytics);
    merged.click_time = part.click_time.or(merged.click_time);
    merged.new_session_at = part.new_session_at.or(merged.new_session_at);
    merged.is_test |= part.is_test;
    merged.is_partial &= part.is_partial;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::event::{Consent, Texts};
    use crate::model::field::Field;
    use crate::model::value::Value;
    use crate::rules::testing::Sample;

    fn part(minute: i64, is_partial: bool, texts: &[(Field, &str)]) -> Event {
        let mut event = Sample::default().event().clone();
        event.time = Time::from_ms(minute * 60_000);
        event.received = Time::from_ms(minute * 60_000 + 5);
        event.is_partial = is_partial;
        (event.texts, event.attributes, event.items) = (Texts::default(), Vec::new(), Vec::new());
        event.consent = Consent::default();
        texts.iter().for_each(|(field, value)| event.texts.set(*field, *value));
        event
    }

    #[test]
    fn the_newest_value_of_each_field_stands() {
        let mut first = part(1, true, &[(Field::Email, "old@x"), (Field::City, "Oulu")]);
        first.attributes = vec![("plan".into(), Value::from("Silver")), ("seat".into(), Value::from("1"))];
        first.items = vec![Value::Map(Vec::new())];
        first.consent = Consent { ads: Some(false), analytics: Some(true) };
        let mut second = part(2, true, &[(Field::Email, "new@x")]);
        second.attributes = vec![("plan".into(), Value::from("Gold"))];
        second.consent.ads = Some(true);
        second.is_test = true;
        let whole = part(2, false, &[(Field::Value, "5")]);
        let merged = merge(vec![whole.clone(), second.clone(), first.clone()]).unwrap();
        let text = |field| merged.texts.of(field);
        assert_eq!(
            (text(Field::Email), text(Field::City), text(Field::Value)),
            (Some("new@x"), Some("Oulu"), Some("5"))
        );
        assert_eq!(merged.attribute("plan"), Some(&Value::from("Gold")));
        assert_eq!(merged.attribute("seat"), Some(&Value::from("1")));
        assert_eq!((merged.items.len(), merged.is_test, merged.is_partial), (1, true, false));
        assert_eq!(merged.consent, Consent { ads: Some(true), analytics: Some(true) });
        assert_eq!((merged.time, merged.received), (whole.time, whole.received));
        assert!(merge(vec![first, second]).unwrap().is_partial && merge(Vec::new()).is_none());
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_leaves_no_trace(
            parts in prop::collection::vec((0..3i64, any::<bool>(), prop::option::of("[ab]"), prop::option::of("[ab]"), "[pq]"), 1..6),
            turn in any::<prop::sample::Index>(),
        ) {
            let parts: Vec<Event> = parts
                .into_iter()
                .map(|(minute, is_partial, email, city, plan)| {
                    let mut part = part(minute, is_partial, &[]);
                    for (field, value) in [(Field::Email, email), (Field::City, city)] {
                        part.texts.set(field, value.unwrap_or_default());
                    }
                    part.attributes = vec![("plan".into(), Value::from(&*plan))];
                    part
                })
                .collect();
            let mut turned = parts.clone();
            turned.rotate_left(turn.index(parts.len()));
            turned.reverse();
            // Received in the order of arrival, whatever that is.
            let arrived = |mut parts: Vec<Event>| {
                parts.iter_mut().zip(0..).for_each(|(part, n)| part.received = Time::from_ms(1_000_000 + n));
                merge(parts)
            };
            prop_assert_eq!(arrived(parts), arrived(turned));
        }
    }
}
