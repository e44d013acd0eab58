//! `POST /conversion/KEY`: what a form, a CRM or an automation tool sends when it lets nobody choose the names. A JSON
//! object or a form, which may be empty; an email is found wherever it stands.
//!
//! Refuses: other events than the container's `conversion.event`.

mod email;
mod products;

use std::borrow::Cow;

use super::{FieldIn, body, one_event, own, renamed, wrong};
use crate::ingest::http::{Refusal, Request, pairs};
use crate::ingest::reading::{Context, Reason, Refused, container};
use crate::model::event::Event;
use crate::model::field::camel;

/// The event of one request.
///
/// # Errors
/// All problems of the request.
pub fn read(request: &Request, context: &Context<'_>) -> Result<Vec<Event>, Refusal> {
    let key = request.path.first().map_or("", |key| &**key);
    let Some(container) = container(context.containers, key) else {
        return Err(
            Refused::new(Reason::UnknownContainer, "k", "is no container; use a key from the configuration").into()
        );
    };
    let mut sent = pairs(request.query.as_bytes())?;
    sent.append(&mut body(request)?);
    let email = email::find(&sent);
    let (sent, items) = products::taken_out(sent);
    let is_named = |name: &str, wanted: &str| name == wanted || camel(name) == wanted;
    let says = |wanted: &str| sent.iter().any(|(name, input)| is_named(name, wanted) && !input.is_blank());
    // A sum of no currency is no value, but somebody may want to show it.
    let is_value = !says("value") && (says("currency") || container.currency.is_some());
    let mut fields: Vec<FieldIn<'_>> = Vec::with_capacity(sent.len() + 4);
    for (name, input) in sent {
        fields.push(match &*name {
            "total" if is_value => (Cow::Borrowed("value"), input),
            "guid" => (Cow::Borrowed("clientId"), input),
            // What was found in it stands in its place.
            "email" if email.is_some() => continue,
            _ => (name, input),
        });
    }
    fields.extend(email.map(|found| own("email", found)));
    fields.extend(items.map(|items| own("items", items)));
    fields.push(own("track", &*container.conversion_event));
    fields.push(own("k", key));
    let sent_as = |field: &str| match field {
        "value" if is_value => Some("total".to_owned()),
        "clientId" => Some("guid".to_owned()),
        _ => field.strip_prefix("items").map(|rest| format!("products{rest}")),
    };
    if container.conversion_event.trim().is_empty() {
        return Err(wrong("track", "the container's `conversion.event` is blank").into());
    }
    Ok(vec![one_event(request, fields, context).map_err(|refused| renamed(refused, sent_as))?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::http::Body;
    use crate::ingest::samples;
    use crate::json;
    use crate::model::field::Field;

    fn event(kind: Body, body: &str) -> Event {
        read_at("shop", kind, body).unwrap_or_else(|e| panic!("{body}: {e:?}")).remove(0)
    }

    fn read_at(key: &str, kind: Body, body: &str) -> Result<Vec<Event>, Refusal> {
        samples::read_over_http(read, &samples::containers(), &[key], "", kind, body)
    }

    #[test]
    fn it_may_say_nothing_at_all() {
        let event = event(Body::Empty, "");
        assert_eq!(event.name.as_deref(), Some("Conversion"));
        assert!(event.texts.is_empty() && event.items.is_empty());
    }

    #[test]
    fn a_total_is_a_value_where_its_currency_is_known() {
        let of = |event: &Event| {
            let text = |field| event.texts.of(field).map(str::to_owned);
            (text(Field::Value), text(Field::Currency), event.attribute("total").is_some())
        };
        let some = |text: &str| Some(text.to_owned());
        let known = event(Body::Form, "total=5.50&currency=usd");
        assert_eq!(of(&known), (some("5.50"), some("USD"), false));
        let unknown = event(Body::Json, r#"{"total":5.50}"#);
        assert_eq!(of(&unknown), (None, None, true));
        let by_default = read_at("fi", Body::Json, r#"{"total":5.50}"#).unwrap();
        assert_eq!(of(&by_default[0]), (some("5.50"), some("EUR"), false));
        let both = event(Body::Json, r#"{"total":5.50,"value":4,"currency":"EUR"}"#);
        assert_eq!(of(&both), (some("4"), some("EUR"), true));
    }

    #[test]
    fn problems_are_named_as_sent() {
        let Err(Refusal::Problems(refused)) =
            read_at("fi", Body::Json, r#"{"total":"much","timestamp":"soon","guid":{"a":1},"products":[5,[1]]}"#)
        else {
            panic!("it is to be refused")
        };
        let named: Vec<&str> = refused.problems.iter().map(|p| &*p.field).collect();
        for field in ["total", "timestamp", "guid", "products[1]"] {
            assert!(named.contains(&field), "{field} is not in {named:?}");
        }
        for body in ["[]", "5", "{", "\"x\""] {
            assert!(read_at("fi", Body::Json, body).is_err(), "{body}");
        }
    }

    #[test]
    fn persons_places_and_products_are_taken_from_where_they_stand() {
        let event = event(
            Body::Json,
            r#"{"customer":{"mail":"Ann <e@example.com>"},"guid":"g-1","firstName":"Ann","stateCode":"CA","countryCode":"US",
                "timestamp":1768042800000,"productName":"Boot","event":"ignored","products":[{"name":"Sock","price":"2"}]}"#,
        );
        let text = |field| event.texts.of(field);
        assert_eq!((text(Field::Email), text(Field::ClientId)), (Some("e@example.com"), Some("g-1")));
        assert_eq!((text(Field::Region), text(Field::Country)), (Some("CA"), Some("US")));
        assert_eq!((event.time.ms(), event.name.as_deref()), (1_768_042_800_000, Some("Conversion")));
        assert_eq!(json::to_string(&event.items[0]), r#"{"name":"Sock","price":"2"}"#);
        assert!(event.attribute("productName").is_some() && event.attribute("customer").is_some());
    }
}
