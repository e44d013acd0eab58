//! Every variable, as a table.

use uuid::Uuid;

use super::*;
use crate::model::value::Value;
use crate::rules::template::compile_slot;
use crate::rules::testing::{NOON, Sample};

fn value(name: &str, sample: &Sample) -> Option<String> {
    let slot = compile_slot(name).unwrap().template;
    lookup(&slot, &sample.ctx()).map(|datum| datum.text().into_owned())
}

/// The whole vocabulary against one sample; an empty text: no value.
const TABLE: &[(&str, &str)] = &[
    ("EVENT_ID", "ev-1"),
    ("EVENT_NAME", "sale"),
    ("EVENT_NAME_RAW", "Purchase"),
    ("EVENT_TIME", "2026-01-10T12:00:00.000Z"),
    ("EVENT_TIME_S", "1768046400"),
    ("EVENT_TIME_MS", "1768046400000"),
    ("EVENT_TIME_US", "1768046400000000"),
    ("RECEIVED_TIME", "2026-01-10T12:00:01.000Z"),
    ("EVENT_URL", "https://shop.example/thanks?a=1"),
    ("EVENT_DOMAIN", "shop.example"),
    ("REFERRER", "https://shop.example/cart"),
    ("ACTION_SOURCE", ""),
    ("VALUE", "99.00"),
    ("VALUE_MINOR", "9900"),
    ("CURRENCY", "EUR"),
    ("PAYOUT", ""),
    ("TRANSACTION_ID", "t-1"),
    ("ORDER_ID", ""),
    ("STATUS", ""),
    ("COUPON", ""),
    ("DISCOUNT", ""),
    ("TAX", ""),
    ("SHIPPING", ""),
    ("QUANTITY", ""),
    ("ITEM_COUNT", "2"),
    ("ITEM_INDEX", "1"),
    ("ITEM_NUMBER", "2"),
    ("PRODUCT_ID", "b"),
    ("PRODUCT_NAME", "Shoe b"),
    ("PRODUCT_LINK", "https://shop.example/b"),
    ("PRODUCT_IMAGE", "https://shop.example/b.png"),
    ("PRODUCT_PRICE", "89.00"),
    ("IS_TEST", "false"),
    ("CONTAINER", "shop"),
    ("CLICK_ID", "abc-1"),
    ("CLICK_PARAM", "aff_click_id"),
    ("CLICK_SOURCE", "platform_x"),
    ("CLICK_TIME", "2026-01-10T10:59:59.500Z"),
    ("CLICK_TIME_S", "1768042799"),
    ("CLICK_TIME_MS", "1768042799500"),
    ("CLICK_AGE_S", "3600"),
    ("CLICK_URL", "https://shop.example/?aff_click_id=abc-1&utm_source=platform_x&sub=s%201"),
    ("CLICK_REFERRER", "https://news.example/"),
    ("CLICK_IP", "192.0.2.7"),
    ("CLICK_USER_AGENT", "Browser/1"),
    ("CLICK_COUNT", "3"),
    ("IS_ATTRIBUTED", "true"),
    ("ATTRIBUTION_MODEL", "last_click"),
    ("ATTRIBUTION_WINDOW_S", "1209600"),
    ("GCLID", "g-1"),
    ("FBCLID", "fb-1"),
    ("FBC", "fb.1.1768046310000.fb-1"),
    ("SESSION_ID", ""),
    ("SESSION_START", "2026-01-10T11:59:00.000Z"),
    ("LANDING_URL", "https://shop.example/land"),
    ("CLIENT_ID", ""),
    ("EXTERNAL_ID", ""),
    ("EMAIL", " Test@Example.com "),
    ("PHONE", "040 1234567"),
    ("FIRST_NAME", "Åsa"),
    ("CITY", "Turku"),
    ("COUNTRY", "FI"),
    ("COUNTRY_NAME", "Finland"),
    ("IP", "192.0.2.1"),
    ("MATCH_TYPE", "email"),
    ("CONSENT_ADS", "true"),
    ("CONSENT_ANALYTICS", "false"),
    ("CONNECTOR_NAME", "network-x"),
    ("MODE", "enabled"),
    ("DELIVERY_ID", "00000000-0001-8000-8000-000000070000"),
    ("ATTEMPT", "2"),
    ("IS_REPEAT", "true"),
    ("NOW", "2026-01-10T12:00:05.000Z"),
    ("NOW_S", "1768046405"),
    ("NOW_MS", "1768046405000"),
    ("PLAN_NAME", "gold"),
    ("TRIAL", "true"),
    ("CART", "{\"lines\":[1.50,null]}"),
    ("NO_SUCH_THING", ""),
    ("EVENT.planName", "gold"),
    ("EVENT.cart.lines.0", "1.50"),
    ("EVENT.cart.lines.1", ""),
    ("EVENT.cart.lines.9", ""),
    ("EVENT.eventAttributes.planName", "gold"),
    ("EVENT.items.0.id", "a"),
    ("EVENT.track", "Purchase"),
    ("EVENT.value", "99.00"),
    ("EVENT.transaction_id", "t-1"),
    ("EVENT.consent.ads", "true"),
    ("EVENT.city", ""),
    ("EVENT.value.deeper", ""),
    ("ITEM.id", "b"),
    ("ITEM.price", "89.00"),
    ("ITEM.none", ""),
    ("CLICK.sub", "s 1"),
    ("CLICK.aff_click_id", "abc-1"),
    ("CLICK.none", ""),
    ("SETTING.pixel_id", "123"),
    ("SETTING.token", "s3cr3t"),
    ("SETTING.none", ""),
];

#[test]
fn every_variable_tells_what_the_facts_hold() {
    let sample = Sample::default();
    for (name, expect) in TABLE {
        assert_eq!(value(name, &sample).unwrap_or_default(), *expect, "{name}");
    }
    assert!(value("ITEMS", &sample).unwrap().starts_with("[{\"id\":\"a\","));
}

#[test]
fn a_remembered_field_is_the_events_own_first_and_then_the_visitors() {
    for variable in Variable::ALL {
        let Some(field) = visitor_field(*variable) else { continue };
        let mut sample = Sample::default();
        sample.event().texts.remove(field);
        sample.facts.known.texts.set(field, "known");
        assert_eq!(value(variable.name(), &sample).as_deref(), Some("known"), "{}", variable.name());
        sample.event().texts.set(field, "own");
        assert_eq!(value(variable.name(), &sample).as_deref(), Some("own"), "{}", variable.name());
    }
}

#[test]
fn a_field_of_the_event_alone_is_never_that_of_an_older_event() {
    for variable in Variable::ALL {
        let Some(field) = event_field(*variable).or_else(|| amount_field(*variable)) else { continue };
        let mut sample = Sample::default();
        sample.event().texts.remove(field);
        sample.facts.known.texts.set(field, "1");
        assert_eq!(value(variable.name(), &sample), None, "{}", variable.name());
        sample.event().texts.set(field, "2");
        assert_eq!(value(variable.name(), &sample).as_deref(), Some("2"), "{}", variable.name());
    }
}

#[test]
fn an_attribute_of_that_name_fills_what_the_event_left_empty() {
    let mut sample = Sample::default();
    sample.event().texts.remove(Field::TransactionId);
    sample.event().attributes.push(("transaction_id".into(), Value::Number("12345".into())));
    assert_eq!(value("TRANSACTION_ID", &sample).as_deref(), Some("12345"));
    sample.event().texts.set(Field::TransactionId, "own");
    assert_eq!(value("TRANSACTION_ID", &sample).as_deref(), Some("own"));
}

#[test]
fn without_a_click_only_the_fact_remains() {
    let mut sample = Sample::default();
    sample.delivery.attribution = None;
    sample.delivery.item = None;
    for (name, expect) in [
        ("IS_ATTRIBUTED", Some("false")),
        ("CLICK_ID", None),
        ("CLICK_COUNT", None),
        ("CLICK.sub", None),
        ("ITEM.id", None),
    ] {
        assert_eq!(value(name, &sample).as_deref(), expect, "{name}");
    }
}

#[test]
fn fbc_is_sent_or_built() {
    let mut sample = Sample::default();
    sample.event().texts.set(Field::Fbclid, "fb-2");
    sample.event().click_time = Some(Time::from_ms(NOON - 5));
    sample.facts.known.fbclid_time = None;
    assert_eq!(value("FBC", &sample), Some(format!("fb.1.{}.fb-2", NOON - 5)));
    sample.facts.known.texts.set(Field::Fbc, "fb.1.1.other");
    assert_eq!(value("FBC", &sample), Some(format!("fb.1.{}.fb-2", NOON - 5)), "a newer fbclid is not an older fbc's");
    sample.facts.known.texts.set(Field::Fbc, "fb.1.1.fb-2");
    assert_eq!(value("FBC", &sample).as_deref(), Some("fb.1.1.fb-2"));
    sample.event().texts.set(Field::Fbc, "fb.1.2.own");
    assert_eq!(value("FBC", &sample).as_deref(), Some("fb.1.2.own"));
}

#[test]
fn the_uuid_is_of_version_4_and_fixed_per_delivery() {
    let mut sample = Sample::default();
    let first = value("UUID", &sample).unwrap();
    sample.attempt = 9;
    assert_eq!(value("UUID", &sample).as_ref(), Some(&first));
    assert_eq!(first.parse::<Uuid>().unwrap().get_version_num(), 4);
    sample.delivery.id = crate::model::ids::DeliveryId::new(sample.delivery.id.tag(), crate::model::ids::Seq(8), 0);
    assert_ne!(value("UUID", &sample), Some(first));
}

#[test]
fn products_without_prices_are_told_by_the_first_and_by_what_the_event_says_of_itself() {
    let mut sample = Sample::default();
    for item in &mut sample.event().items {
        let Value::Map(members) = item else { unreachable!() };
        members.retain(|(name, _)| &**name != "price");
    }
    assert_eq!(value("PRODUCT_ID", &sample).as_deref(), Some("a"));
    sample.event().attributes.push(("productName".into(), "Boot".into()));
    assert_eq!(value("PRODUCT_NAME", &sample).as_deref(), Some("Boot"));
}
