//! Who and what: the person, the ids and the goods of an object of Stripe's, wherever its kind keeps them.
//!
//! Refuses: sums of the whole, which are `amount`'s.

use super::amount::decimal;
use crate::ingest::dialects::{FieldIn, own};
use crate::ingest::reading::{ITEMS_MAX, VALUE_MAX};
use crate::json;
use crate::model::value::Value;

/// A place within an object.
type Path = &'static [&'static str];

/// Fields whose value is taken as it is, from the first of these places that has one.
const PLACES: &[(&str, &[Path])] = &[
    (
        "email",
        &[
            &["customer_details", "email"],
            &["customer_email"],
            &["receipt_email"],
            &["billing_details", "email"],
            &["charges", "data", "0", "billing_details", "email"],
            &["latest_charge", "billing_details", "email"],
            &["customer", "email"],
        ],
    ),
    (
        "phone",
        &[
            &["customer_details", "phone"],
            &["customer_phone"],
            &["billing_details", "phone"],
            &["charges", "data", "0", "billing_details", "phone"],
            &["latest_charge", "billing_details", "phone"],
            &["shipping", "phone"],
            &["customer", "phone"],
        ],
    ),
    ("externalId", &[&["client_reference_id"]]),
    ("language", &[&["locale"]]),
    ("status", &[&["payment_status"], &["status"]]),
    ("customer", &[&["customer", "id"], &["customer"]]),
    (
        "subscription",
        &[&["subscription", "id"], &["subscription"], &["parent", "subscription_details", "subscription"]],
    ),
    ("billing_reason", &[&["billing_reason"]]),
    ("mode", &[&["mode"]]),
];

/// The places of a name and of an address.
const PERSONS: &[Path] = &[
    &["customer_details"],
    &["billing_details"],
    &["charges", "data", "0", "billing_details"],
    &["latest_charge", "billing_details"],
    &["shipping"],
    &["shipping_details"],
];

const ADDRESS: &[(&str, &str)] =
    &[("line1", "address"), ("city", "city"), ("state", "region"), ("postal_code", "postCode"), ("country", "country")];

/// Adds what `object` says, later fields winning over those before.
pub(super) fn read<'a>(object: &'a Value, fields: &mut Vec<FieldIn<'a>>) {
    for (name, places) in PLACES {
        let found = places.iter().find_map(|path| at(object, path)?.scalar().filter(|text| !text.trim().is_empty()));
        fields.extend(found.map(|text| own(name, text)));
    }
    if let Some(id) = transaction(object) {
        fields.push(own("transactionId", id));
    }
    name(object, fields);
    address(object, fields);
    let goods = goods(object);
    if !goods.is_empty() {
        fields.push(own("items", json::to_string(&Value::List(goods))));
    }
}

/// What lies at `path`; a number is a place in a list.
pub(super) fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, part| value.member(part))
}

/// The id that is the same for all objects of one payment: the payment intent's, where there is one.
fn transaction(object: &Value) -> Option<&str> {
    let own = at(object, &["id"]).and_then(Value::scalar);
    if at(object, &["object"])?.scalar()? == "invoice" {
        return own;
    }
    let intent = at(object, &["payment_intent", "id"]).or_else(|| at(object, &["payment_intent"]));
    intent.and_then(Value::scalar).or(own)
}

/// Stripe keeps one name; what stands behind its last blank is taken for the family's.
fn name<'a>(object: &'a Value, fields: &mut Vec<FieldIn<'a>>) {
    let of_person = |path: &&Path| at(at(object, path)?, &["name"])?.scalar();
    let found = PERSONS.iter().find_map(|path| of_person(&path)).or_else(|| at(object, &["customer_name"])?.scalar());
    let Some(name) = found.map(str::trim).filter(|name| !name.is_empty()) else { return };
    match name.rsplit_once(char::is_whitespace) {
        Some((first, last)) => fields.extend([own("firstName", first.trim_end()), own("lastName", last)]),
        None => fields.push(own("lastName", name)),
    }
}

fn address<'a>(object: &'a Value, fields: &mut Vec<FieldIn<'a>>) {
    let of_person =
        |path: &&Path| at(at(object, path)?, &["address"]).filter(|address| matches!(address, Value::Map(_)));
    let found = PERSONS.iter().find_map(|path| of_person(&path)).or_else(|| at(object, &["customer_address"]));
    let Some(address) = found else { return };
    for (theirs, ours) in ADDRESS {
        fields.extend(at(address, &[theirs]).and_then(Value::scalar).map(|text| own(ours, text)));
    }
}

/// The lines of an invoice, of a subscription, or of a checkout session that was sent with them; as many as an event may
/// have, since one line more is no reason to lose a payment.
fn goods(object: &Value) -> Vec<Value> {
    let lists: [Path; 3] = [&["lines", "data"], &["line_items", "data"], &["items", "data"]];
    let Some(Value::List(lines)) = lists.iter().find_map(|path| at(object, path)) else { return Vec::new() };
    let currency = at(object, &["currency"]).and_then(Value::scalar).unwrap_or_default().to_ascii_uppercase();
    let items = lines.iter().map(|line| item(line, &currency));
    items.filter(|item| json::to_string(item).len() <= VALUE_MAX).take(ITEMS_MAX).collect()
}

fn item(line: &Value, currency: &str) -> Value {
    let text = |paths: &[Path]| {
        let found = paths.iter().find_map(|path| at(line, path)?.scalar());
        found.map(|text| Value::Text(text.into()))
    };
    let price = [&["price", "unit_amount"][..], &["plan", "amount"], &["amount_total"], &["amount"]]
        .iter()
        .find_map(|path| at(line, path)?.scalar()?.parse::<i64>().ok());
    let members: [(&str, Option<Value>); 4] = [
        ("id", text(&[&["price", "product", "id"], &["price", "product"], &["price", "id"], &["plan", "id"], &["id"]])),
        (
            "name",
            text(&[&["description"], &["price", "product", "name"], &["price", "nickname"], &["plan", "nickname"]]),
        ),
        ("price", price.map(|minor| Value::Number(decimal(minor, currency).into()))),
        ("quantity", at(line, &["quantity"]).filter(|quantity| quantity.scalar().is_some()).cloned()),
    ];
    Value::Map(members.into_iter().filter_map(|(name, value)| Some(((*name).into(), value?))).collect())
}
