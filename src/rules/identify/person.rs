//! Who stands in an event or is remembered, for the sake of who is to be forgotten.
//!
//! Refuses: `match.ignore`. What joins nobody is somebody's all the same.

use super::{email, phone, sharing};
use crate::model::event::Event;
use crate::model::facts::Known;
use crate::model::field::Field;
use crate::model::identifier::{Identifier, IdentifierKind};
use crate::model::visitor::{Fact, Visitor};

/// The identifier that `typed` is as a value of `field`, compared as events are; `None` where it is none by which somebody
/// can be asked for.
pub fn of_field(field: Field, typed: &str, national: Option<&str>) -> Option<Identifier> {
    let trimmed = || Some(typed.trim().to_owned()).filter(|text| !text.is_empty());
    let (kind, value) = match field {
        Field::SessionId => (IdentifierKind::SessionId, trimmed()),
        Field::PriorityExternalId => (IdentifierKind::PriorityExternalId, trimmed()),
        Field::ExternalId => (IdentifierKind::ExternalId, trimmed()),
        Field::Email => (IdentifierKind::Email, email(typed)),
        Field::PhoneNumber => (IdentifierKind::Phone, phone(typed, national)),
        _ => return None,
    };
    Some(Identifier { kind, value: value?.into() })
}

/// Everybody whom an event names, and what was `known` with it.
pub fn named(event: &Event, known: &[&Known], national: Option<&str>) -> Vec<Identifier> {
    let texts = event.texts.iter().chain(known.iter().flat_map(|known| known.texts.iter()));
    let emails = event.email_variants.iter().map(|typed| (Field::Email, &**typed));
    let phones = event.phone_variants.iter().map(|typed| (Field::PhoneNumber, &**typed));
    texts.chain(emails).chain(phones).filter_map(|(field, typed)| of_field(field, typed, national)).collect()
}

/// Takes out of `visitor` the identifiers that `is_erased` says, and what was counted of them; whether there was any.
pub fn forget(visitor: &mut Visitor, is_erased: &dyn Fn(&Identifier) -> bool, national: Option<&str>) -> bool {
    let named = |fact: &Fact| of_field(fact.field, &fact.value, national);
    let erased: Vec<Identifier> = visitor.facts.iter().filter_map(named).filter(|it| is_erased(it)).collect();
    visitor.facts.retain(|fact| named(fact).is_none_or(|identifier| !erased.contains(&identifier)));
    erased.iter().for_each(|identifier| sharing::forget(visitor, identifier));
    !erased.is_empty()
}
