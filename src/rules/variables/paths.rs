//! What is found by a name of the author's choice: attributes, paths into the event, members of items.
//!
//! Refuses: paths that lead nowhere. They have no value, and that is no error.

use std::borrow::Cow;

use rust_decimal::Decimal;

use crate::model::event::Event;
use crate::model::facts::Facts;
use crate::model::field::{Field, upper_snake};
use crate::model::value::Value;
use crate::rules::filter::decimal;

use super::{Datum, RenderContext, amount, borrowed, of_event, of_visitor, time};

/// A member of the dearest item, or of the first if no price can be read; what the event itself says of its product
/// comes first.
pub fn product<'a>(event: &'a Event, name: &str, members: &[&str]) -> Option<Datum<'a>> {
    let of_event = event.attributes.iter().find(|(n, _)| upper_snake(n) == name).and_then(|(_, value)| datum(value));
    if of_event.is_some() {
        return of_event;
    }
    let price = |item: &Value| price(item);
    let mut dearest: Option<(&Value, Decimal)> = None;
    for item in &event.items {
        if let Some(price) = price(item)
            && dearest.is_none_or(|(_, most)| most < price)
        {
            dearest = Some((item, price));
        }
    }
    let item = dearest.map(|(item, _)| item).or_else(|| event.items.first())?;
    members.iter().chain([&name]).find_map(|member| datum(find(item, member)?))
}

/// The member of an object whose name in upper snake case is `name`.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    match value {
        Value::Map(members) => members.iter().find(|(n, _)| upper_snake(n) == name).map(|(_, value)| value),
        _ => None,
    }
}

/// The member spelt `name`, else one that is the same name in another spelling.
pub fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value.member(name).or_else(|| find(value, &upper_snake(name)))
}

fn price(item: &Value) -> Option<Decimal> {
    decimal(find(item, "PRICE").or_else(|| find(item, "PRODUCT_PRICE"))?.scalar()?)
}

/// What an item costs in all: its price times its quantity, which is 1 where it does not say.
pub fn item_total(item: &Value) -> Option<Decimal> {
    let quantity = match find(item, "QUANTITY") {
        Some(quantity) => decimal(quantity.scalar()?)?,
        None => Decimal::ONE,
    };
    price(item)?.checked_mul(quantity)
}

/// A custom attribute by its name in upper snake case; a standard field by its name as sent, for those that no variable
/// is named after.
pub fn attribute<'a>(name: &str, ctx: &RenderContext<'a>) -> Option<Datum<'a>> {
    own_attribute(name, ctx).or_else(|| borrowed(of_visitor(ctx.facts, Field::from_name(&name.to_ascii_lowercase())?)))
}

/// A custom attribute of the event, by its name in upper snake case.
pub fn own_attribute<'a>(name: &str, ctx: &RenderContext<'a>) -> Option<Datum<'a>> {
    let (_, value) = ctx.facts.event.attributes.iter().find(|(n, _)| is_upper_snake(n, name))?;
    datum(value)
}

/// Whether `upper_snake(name)` is `upper`, without writing it out where it plainly is not.
fn is_upper_snake(name: &str, upper: &str) -> bool {
    match (name.chars().next(), upper.chars().next()) {
        (Some(n), Some(u)) if n.is_ascii_alphanumeric() && u.is_ascii_alphanumeric() && !n.eq_ignore_ascii_case(&u) => {
            false
        }
        _ => upper_snake(name) == upper,
    }
}

/// A path into the event as its sender wrote it: attributes first, then the standard fields and the order's members.
pub fn event_path<'a>(path: &[Box<str>], facts: &'a Facts) -> Option<Datum<'a>> {
    let event = &facts.event;
    let (first, rest) = path.split_first()?;
    if let Some(value) = event.attribute(first) {
        return walk(value, rest);
    }
    let scalar = |found: Option<Datum<'a>>| if rest.is_empty() { found } else { None };
    match &**first {
        "eventAttributes" | "event_attributes" => event_path_of_attributes(rest, event),
        "items" => items_path(rest, &event.items),
        "track" | "event" | "eventName" | "event_name" => scalar(borrowed(event.name.as_deref())),
        "k" | "container" => scalar(borrowed(Some(&event.container))),
        "eventId" | "event_id" => scalar(borrowed(Some(event.id.as_str()))),
        "timestamp" | "eventTime" | "event_time" | "occurredAt" | "occurred_at" => scalar(time(event.time)),
        "clickTime" | "click_time" => scalar(event.click_time.and_then(time)),
        "consent" => match rest {
            [kind] if **kind == *"ads" => event.consent.ads.map(Datum::Bool),
            [kind] if **kind == *"analytics" => event.consent.analytics.map(Datum::Bool),
            _ => None,
        },
        field => {
            let field = Field::from_name(field)?;
            let sent = of_event(facts, field);
            scalar(if is_amount(field) { amount(sent) } else { borrowed(sent) })
        }
    }
}

fn is_amount(field: Field) -> bool {
    matches!(field, Field::Value | Field::Payout | Field::Discount | Field::Tax | Field::Shipping | Field::Quantity)
}

fn event_path_of_attributes<'a>(path: &[Box<str>], event: &'a Event) -> Option<Datum<'a>> {
    let (first, rest) = path.split_first()?;
    walk(event.attribute(first)?, rest)
}

fn items_path<'a>(path: &[Box<str>], items: &'a [Value]) -> Option<Datum<'a>> {
    match path.split_first() {
        None => (!items.is_empty()).then_some(Datum::Items(items)),
        Some((nth, rest)) => walk(items.get(nth.parse::<usize>().ok()?)?, rest),
    }
}

pub fn walk<'a>(value: &'a Value, path: &[Box<str>]) -> Option<Datum<'a>> {
    datum(path.iter().try_fold(value, |value, step| value.member(step))?)
}

fn datum(value: &Value) -> Option<Datum<'_>> {
    match value {
        Value::Null => None,
        Value::Text(text) => borrowed(Some(text)),
        Value::Number(text) => Some(Datum::Number(Cow::Borrowed(text))),
        Value::Bool(b) => Some(Datum::Bool(*b)),
        Value::List(_) | Value::Map(_) => Some(Datum::Tree(value)),
    }
}
