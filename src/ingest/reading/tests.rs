//! What each field means, what is wrong with each, and that nothing makes the reader fall over.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::config::Container;
use crate::ingest::dialects::flat::read_message;
use crate::ingest::samples;
use crate::json;
use crate::model::event::{Consent, Event, EventId};
use crate::model::field::{Field, upper_snake};
use crate::model::value::{Members, Value};

/// 2026-01-10T12:00:00Z.
use crate::ingest::samples::NOON;

fn with<T>(
    containers: &[Container],
    change: impl FnOnce(&mut Context<'_>) -> T,
    body: impl AsRef<[u8]>,
) -> Result<Vec<Event>, Refused> {
    let mut context = samples::context(containers);
    change(&mut context);
    read_message(body.as_ref(), &context)
}

fn read(body: impl AsRef<[u8]>) -> Result<Vec<Event>, Refused> {
    with(&samples::containers(), |_| (), body)
}

fn one(body: impl AsRef<[u8]>) -> Event {
    let events = read(body).unwrap();
    assert_eq!(events.len(), 1);
    events.into_iter().next().unwrap()
}

/// Field and a part of the problem for each, in order.
#[track_caller]
fn refused(body: impl AsRef<[u8]>, reason: Reason, problems: &[(&str, &str)]) {
    let refused = read(body).unwrap_err();
    assert_eq!(refused.reason, reason, "{refused:?}");
    assert_eq!(refused.problems.len(), problems.len(), "{refused:?}");
    for (found, (field, says)) in refused.problems.iter().zip(problems) {
        assert_eq!(found.field, *field, "{refused:?}");
        assert!(found.problem.contains(says), "{refused:?}");
    }
}

#[test]
fn every_text_field_is_read_in_both_spellings_and_under_its_aliases() {
    let special = [Field::Value, Field::Currency, Field::Country];
    for field in Field::ALL.iter().filter(|f| !special.contains(f)) {
        for name in [field.name().to_owned(), upper_snake(field.name()).to_lowercase()] {
            let event = one(format!(r#"{{"k":"shop","{name}":" tëxt "}}"#));
            assert_eq!(event.texts.of(*field), Some(" tëxt "), "{name}");
            assert!(event.attributes.is_empty(), "{name}");
        }
    }
    for (name, field) in [
        ("phone", Field::PhoneNumber),
        ("state", Field::Region),
        ("stateCode", Field::Region),
        ("state_code", Field::Region),
        ("sccId", Field::Sccid),
    ] {
        assert_eq!(one(format!(r#"{{"k":"shop","{name}":"x"}}"#)).texts.of(field), Some("x"), "{name}");
    }
    let event = one(r#"{"k":"shop","postCode":900,"status":true,"quantity":2.0,"city":null,"region":"  "}"#);
    let texts: Vec<_> = event.texts.iter().collect();
    assert_eq!(texts, [(Field::PostCode, "900"), (Field::Status, "true"), (Field::Quantity, "2.0")]);
}

#[test]
fn a_track_event_has_a_name_and_a_set_event_has_none() {
    for name in ["track", "event", "eventName", "event_name"] {
        assert_eq!(one(format!(r#"{{"k":"shop","{name}":"Purchase"}}"#)).name.as_deref(), Some("Purchase"));
    }
    assert_eq!(one(r#"{"container":"shop","email":"a@b"}"#).name, None);
    assert_eq!(one(r#"{"container":" shop ","track":" ","email":"a@b"}"#).name, None);
}

#[test]
fn the_container_is_the_messages_own_else_the_headers_else_the_sources() {
    let containers = samples::containers();
    let of = |header, default, body: &str| {
        let change = |c: &mut Context<'_>| (c.container_header, c.container_default) = (header, default);
        with(&containers, change, body).map(|events| events[0].container.to_string())
    };
    assert_eq!(of(Some("fi"), Some("x"), r#"{"k":"shop","track":"P"}"#).unwrap(), "shop");
    assert_eq!(of(Some("fi"), Some("x"), r#"{"k":"","track":"P"}"#).unwrap(), "fi");
    assert_eq!(of(None, Some("fi"), r#"{"track":"P"}"#).unwrap(), "fi");
    assert_eq!(of(None, None, r#"{"track":"P"}"#).unwrap_err().reason, Reason::UnknownContainer);
    assert_eq!(of(Some("nobody"), Some("fi"), r#"{"track":"P"}"#).unwrap_err().field(), "k");
    refused(
        r#"{"k":"nobody","value":1,"timestamp":"x"}"#,
        Reason::UnknownContainer,
        &[("k", "is no container"), ("timestamp", "ISO 8601")],
    );
}

#[test]
fn the_id_is_the_events_own_else_the_messages_else_assigned() {
    assert_eq!(one(r#"{"k":"shop","eventId":"o 1"}"#).id, EventId::Given("o 1".into()));
    assert_eq!(one(r#"{"k":"shop","event_id":7}"#).id, EventId::Given("7".into()));
    let containers = samples::containers();
    let of = |id, body: &str| {
        let events = with(&containers, |c| c.message_id = Some(id), body).unwrap();
        events.into_iter().map(|e| e.id).collect::<Vec<_>>()
    };
    let given = |id: &str| EventId::Given(id.into());
    assert_eq!(of("m", r#"{"k":"shop","track":"P","eventId":" "}"#), [given("m")]);
    let array = r#"[{"k":"shop","track":"P"},{"k":"shop","track":"P","eventId":"e"},{"k":"shop","track":"P"}]"#;
    assert_eq!(of("m", array), [given("m#0"), given("e"), given("m#2")]);
    assert!(matches!(&of(" ", r#"{"k":"shop","track":"P"}"#)[0], EventId::Assigned { .. }));
}

#[test]
fn an_assigned_id_is_new_each_time_and_its_content_is_that_of_the_message() {
    let containers = samples::containers();
    let of = |redelivered, body: &str| match &with(&containers, |c| c.redelivered = redelivered, body).unwrap()[..] {
        [one] | [.., one] => one.id.clone(),
        [] => panic!("never empty"),
    };
    let parts = |id: EventId| match id {
        EventId::Assigned { id, content, redelivered } => (id, content, redelivered),
        EventId::Given(_) => panic!("none was given"),
    };
    let (first, first_content, _) = parts(of(false, r#"{"k":"shop","track":"P"}"#));
    let (again, again_content, redelivered) = parts(of(true, r#"{"k":"shop","track":"P"}"#));
    assert!(first != again && first_content == again_content && redelivered);
    for other in [
        r#"{"k":"fi","track":"P"}"#,
        r#"{"k":"shop","track":"Q"}"#,
        r#"[{"k":"shop","track":"P"},{"k":"shop","track":"P"}]"#,
    ] {
        assert_ne!(parts(of(false, other)).1, first_content, "{other}");
    }
    assert_eq!(uuid::Uuid::parse_str(&first).unwrap().get_version_num(), 7);
}

#[test]
fn the_time_is_the_senders_else_the_brokers_else_that_of_receipt() {
    let containers = samples::containers();
    let at = |sent: Option<i64>, body: &str| {
        let events = with(&containers, |c| c.sent = sent.map(Time::from_ms), body).unwrap();
        events[0].time.ms() - NOON
    };
    for (body, expect) in [
        (r#"{"k":"shop","timestamp":"2026-01-10T11:00:00Z"}"#, -3_600_000),
        (r#"{"k":"shop","eventTime":1768046399}"#, -1_000),
        (r#"{"k":"shop","event_time":"1768046399000"}"#, -1_000),
        (r#"{"k":"shop","occurredAt":"2026-01-10T13:00:00+02:00"}"#, -3_600_000),
        (r#"{"k":"shop","occurred_at":"2026-01-10 12:05:00"}"#, 300_000),
        (r#"{"k":"shop","timestamp":"2026-01-10T12:05:01"}"#, 0),
        (r#"{"k":"shop","timestamp":"","track":"P"}"#, -7_000),
        (r#"{"k":"shop","track":"P"}"#, -7_000),
    ] {
        assert_eq!(at(Some(NOON - 7_000), body), expect, "{body}");
    }
    assert_eq!(at(None, r#"{"k":"shop","track":"P"}"#), 0);
    assert_eq!(at(Some(NOON + 3_600_000), r#"{"k":"shop","track":"P"}"#), 0, "a broker's clock may be wrong too");
    let event =
        one(r#"{"k":"shop","clickTime":"2026-01-09","force_new_session_created_at":1768046399,"click_time":null}"#);
    assert_eq!(event.click_time, Some(event.received.minus(Duration::from_secs(36 * 3600))));
    assert_eq!(event.new_session_at, Some(event.received.minus(Duration::from_secs(1))));
}

#[test]
fn a_value_keeps_its_text_and_needs_a_currency() {
    for (body, value, currency) in [
        (r#"{"k":"shop","value":99.00,"currency":"eur"}"#, "99.00", "EUR"),
        (r#"{"k":"shop","value":"99.00","currency":" USD "}"#, "99.00", "USD"),
        (r#"{"k":"fi","value":-5}"#, "-5", "EUR"),
        (r#"{"k":"fi","value":1e2,"currency":"SEK"}"#, "100", "SEK"),
    ] {
        let event = one(body);
        assert_eq!((event.texts.of(Field::Value), event.texts.of(Field::Currency)), (Some(value), Some(currency)));
    }
    let event = one(r#"{"k":"fi","value":"","track":"P"}"#);
    assert!(event.texts.is_empty(), "no value, so no default currency");
    refused(r#"{"k":"shop","value":5}"#, Reason::Invalid, &[("currency", "default currency")]);
    refused(
        r#"{"k":"shop","value":"5,00","currency":"EU"}"#,
        Reason::Invalid,
        &[("value", "no decimal"), ("currency", "three letters")],
    );
    refused(r#"{"k":"shop","value":"free"}"#, Reason::Invalid, &[("value", "no decimal"), ("currency", "missing")]);
}

#[test]
fn a_country_is_a_code_or_an_attribute() {
    for (sent, code) in [("fi", "FI"), ("FIN", "FI"), ("Finland", "FI"), (" Sweden ", "SE"), ("XX", "XX")] {
        for name in ["country", "countryCode", "country_code"] {
            let event = one(format!(r#"{{"k":"shop","{name}":"{sent}"}}"#));
            assert_eq!(event.texts.of(Field::Country), Some(code), "{sent}");
        }
    }
    let event = one(r#"{"k":"shop","country":"Atlantis"}"#);
    assert_eq!(event.texts.of(Field::Country), None);
    assert_eq!(event.attribute("country"), Some(&Value::from("Atlantis")));
}

#[test]
fn lists_consent_items_and_flags() {
    let event = one(r#"{"k":"shop","emailVariants":["a@b",null,"","c@d"],"phone_number_variants":"+358 1",
        "consent":{"ads":true,"analytics":"false","other":[1]},"items":[{"id":"a","price":9.90,"tags":["x"]},{}],
        "isPartial":true,"trl_test":1}"#);
    assert_eq!(event.email_variants, ["a@b".into(), "c@d".into()] as [Box<str>; 2]);
    assert_eq!(event.phone_variants, ["+358 1".into()] as [Box<str>; 1]);
    assert_eq!(event.consent, Consent { ads: Some(true), analytics: Some(false) });
    assert_eq!(json::to_string(&event.items[0]), r#"{"id":"a","price":9.90,"tags":["x"]}"#);
    assert_eq!((event.items.len(), event.is_partial, event.is_test), (2, true, true));
    let event =
        one(r#"{"k":"shop","consent":"{\"ads\":false}","items":"[{\"id\":1}]","is_partial":"0","trl_test":"0"}"#);
    assert_eq!((event.consent.ads, event.items.len(), event.is_partial, event.is_test), (Some(false), 1, false, false));
    for (url, is_test) in [
        ("https://s/?a=b&trl_test=1#x", true),
        ("https://s/?trl_test=0", false),
        ("https://s/?xtrl_test=1", false),
        ("https://s/#?trl_test=1", false),
        ("?trl_test=1", true),
    ] {
        assert_eq!(one(format!(r#"{{"k":"shop","url":"{url}"}}"#)).is_test, is_test, "{url}");
    }
}

#[test]
fn what_is_unknown_is_an_attribute() {
    let event = one(r#"{"k":"shop","plan":"Gold","n":1.50,"none":null,"blank":" ","deep":{"a":[1,{"b":null}]},
        "event_attributes":{"plan":"Silver","x":true,"gone":null}}"#);
    let shown: Vec<String> = event.attributes.iter().map(|(n, v)| format!("{n}={}", json::to_string(v))).collect();
    assert_eq!(shown, ["plan=\"Silver\"", "n=1.50", r#"deep={"a":[1,{"b":null}]}"#, "x=true"]);
    let event = one(r#"{"k":"shop","eventAttributes":"{\"plan\":\"Gold\"}"}"#);
    assert_eq!(event.attribute("plan"), Some(&Value::from("Gold")));
}

#[test]
fn every_problem_is_named_and_no_value_quoted() {
    refused(
        r#"{"k":"shop","track":{"a":1},"eventId":[],"timestamp":"secret-1","click_time":"secret-2",
        "forceNewSessionCreatedAt":true,"email":{"secret":1},"emailVariants":{"secret":1},"consent":"secret-3",
        "items":{"secret":1},"isPartial":"secret-4","trl_test":2,"eventAttributes":["secret"]}"#,
        Reason::Invalid,
        &[
            ("track", "list or an object"),
            ("eventId", "list or an object"),
            ("timestamp", "ISO 8601"),
            ("click_time", "ISO 8601"),
            ("forceNewSessionCreatedAt", "ISO 8601"),
            ("email", "list or an object"),
            ("emailVariants", "list or an object"),
            ("consent", "no object"),
            ("items", "no list"),
            ("isPartial", "true or false"),
            ("trl_test", "true or false"),
            ("eventAttributes", "no object"),
        ],
    );
    refused(
        r#"{"k":"shop","consent":{"ads":"granted"},"items":[1,{}]}"#,
        Reason::Invalid,
        &[("consent.ads", "true or false"), ("items[0]", "no object")],
    );
    refused(r#"{"k":"shop"}"#, Reason::Invalid, &[("track", "at least one field")]);
    refused(r#"{"k":"shop","track":"","plan":null}"#, Reason::Invalid, &[("track", "at least one field")]);
    refused(r#"{"k":"shop","email":"\ud800 secret"}"#, Reason::Invalid, &[("email", "")]);
    for body in
        [r#""secret""#, "secret", "[\"secret\"]", r#"{"k":"shop","a":"secret","a":"secret"}"#, r#"{"a":secret}"#]
    {
        let refused = read(body).unwrap_err();
        assert!(!format!("{refused:?}").contains("secret"), "{refused:?}");
        assert_eq!(refused.reason, Reason::Malformed);
    }
    for body in [&b"\xff{}"[..], b"{\"k\":\"\xff\"}", b"", b"[]", b" [ ] ", b"{", b"{} x", b"[{}", b"null", b"1"] {
        assert_eq!(read(body).unwrap_err().reason, Reason::Malformed, "{body:?}");
    }
}

#[test]
fn one_bad_element_refuses_the_array_and_each_is_named() {
    refused(
        r#"[{"k":"shop","track":"P"},{"k":"shop","value":1},5,{"k":"nobody","timestamp":"x"}]"#,
        Reason::Malformed,
        &[("[2]", "no object"), ("[1].currency", "missing"), ("[3].k", "no container"), ("[3].timestamp", "ISO")],
    );
}

#[test]
fn a_flood_of_problems_is_cut_and_counted() {
    let refused = read(format!("[{}]", vec!["1"; 10_000].join(","))).unwrap_err();
    assert_eq!((refused.problems.len(), refused.more), (ELEMENTS_NAMED_MAX, 10_000 - ELEMENTS_NAMED_MAX));
}

#[test]
fn limits_are_kept_and_named() {
    let long = "x".repeat(VALUE_MAX + 1);
    refused(format!(r#"{{"k":"shop","email":"{long}"}}"#), Reason::TooLarge, &[("email", "8 kB")]);
    refused(format!(r#"{{"k":"shop","plan":"{long}"}}"#), Reason::TooLarge, &[("plan", "8 kB")]);
    refused(format!(r#"{{"k":"shop","emailVariants":["{long}"]}}"#), Reason::TooLarge, &[("emailVariants", "8 kB")]);
    refused(format!(r#"{{"k":"shop","items":[{{"a":"{long}"}}]}}"#), Reason::TooLarge, &[("items[0]", "8 kB")]);
    refused(
        format!(r#"{{"k":"shop","eventAttributes":{{"a":"{long}"}}}}"#),
        Reason::TooLarge,
        &[("eventAttributes.a", "8 kB")],
    );
    assert_eq!(one(format!(r#"{{"k":"shop","email":"{}"}}"#, &long[1..])).texts.of(Field::Email), Some(&long[1..]));

    let attributes = |n: usize| (0..n).map(|i| format!(r#","a{i}":{i}"#)).collect::<String>();
    assert_eq!(one(format!(r#"{{"k":"shop"{}}}"#, attributes(200))).attributes.len(), 200);
    let over = format!(r#"{{"k":"shop"{}}}"#, attributes(300));
    refused(over, Reason::TooLarge, &[("eventAttributes", "200 attributes")]);
    let items = vec!["{}"; 201].join(",");
    refused(format!(r#"{{"k":"shop","items":[{items}]}}"#), Reason::TooLarge, &[("items", "200 items")]);
    let variants = vec!["\"a\""; 101].join(",");
    refused(format!(r#"{{"k":"shop","emailVariants":[{variants}]}}"#), Reason::TooLarge, &[("emailVariants", "100")]);

    let padded = |length: usize| {
        let object = r#"{"k":"shop","track":"P"}"#;
        format!("{object}{}", " ".repeat(length - object.len()))
    };
    assert!(read(padded(300_000)).is_ok());
    refused(padded(300_001), Reason::TooLarge, &[("", "300 kB")]);

    // The object is the first of 32 levels; in an array it is the second.
    let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let object = |levels| format!(r#"{{"k":"shop","deep":{}}}"#, nested(levels));
    assert!(read(object(31)).is_ok());
    refused(object(32), Reason::Invalid, &[("deep", "deeper than 32")]);
    assert!(read(format!("[{}]", object(30))).is_ok());
    refused(format!("[{}]", object(31)), Reason::Invalid, &[("[0].deep", "deeper than 32")]);
}

/// A flat event: standard fields under either spelling, and attributes.
fn flat() -> impl Strategy<Value = Vec<(String, String, Option<Field>)>> {
    let special = [Field::Value, Field::Currency, Field::Country];
    let fields: Vec<Field> = Field::ALL.iter().copied().filter(|f| !special.contains(f)).collect();
    let text = "[^\\s]\\PC{0,20}";
    let standard = prop::sample::subsequence(fields, 0..8).prop_flat_map(move |fields| {
        let values = prop::collection::vec((text, any::<bool>()), fields.len());
        (Just(fields), values).prop_map(|(fields, values)| {
            let each = fields.into_iter().zip(values).map(|(field, (value, snake))| {
                let name = if snake { upper_snake(field.name()).to_lowercase() } else { field.name().to_owned() };
                (name, value, Some(field))
            });
            each.collect::<Vec<_>>()
        })
    });
    let custom = prop::collection::btree_map("x[a-z]{4,8}", text, 0..5);
    (standard, custom).prop_map(|(mut all, custom)| {
        all.extend(custom.into_iter().map(|(name, value)| (name, value, None)));
        all
    })
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        drop(read(&bytes));
    }

    #[test]
    fn no_json_makes_the_reader_panic(names in prop::collection::vec("[a-zA-Z_]{0,12}|k|value|items|consent", 0..6),
                                      values in prop::collection::vec(
                                          "\"\\PC{0,9}\"|[0-9]{1,4}|\\[\\]|\\[\\{\\}\\]|\\{\\}|null|\"\\\\\\\\ud8[0-9]{2}\"", 6)) {
        let members: Vec<String> = names.iter().zip(&values).map(|(n, v)| format!("\"{n}\":{v}")).collect();
        drop(read(format!("{{{}}}", members.join(","))));
    }

    #[test]
    fn what_is_written_is_read(fields in flat()) {
        let mut members = vec![("k".into(), Value::from("shop")), ("eventId".into(), Value::from("e"))];
        members.extend(fields.iter().map(|(name, value, _)| (name.as_str().into(), Value::from(value.as_str()))));
        let event = one(json::to_string(&Value::Map(members)));
        let expect: Vec<_> = fields.iter().filter_map(|(_, value, f)| f.map(|f| (f, value.as_str()))).collect();
        prop_assert_eq!(event.texts.iter().collect::<Vec<_>>(), expect);
        let expect: Members = fields.iter().filter(|(_, _, f)| f.is_none())
            .map(|(name, value, _)| (name.as_str().into(), Value::from(value.as_str()))).collect();
        prop_assert_eq!(event.attributes, expect);
    }
}
