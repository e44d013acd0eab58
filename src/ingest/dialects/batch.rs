//! `POST /collector/webhook_event/KEY`: a JSON array of `{event_id, event_timestamp, event_email, event_adb_cdt?,
//! event_payload?}`.
//!
//! Refuses: half of an array. Each bad element is named with its field, and nothing is kept.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{FieldIn, flat, own, renamed, wrong};
use crate::ingest::http::{Body, Refusal, Request};
use crate::ingest::reading::{Context, Input, Place, Reason, Refused, container, read_event};
use crate::json::{self, DEPTH_MAX};
use crate::model::event::Event;
use crate::model::field::camel;

/// What an element must say, and the field that it is.
const REQUIRED: [(&str, &str); 3] =
    [("event_id", "eventId"), ("event_timestamp", "timestamp"), ("event_email", "email")];

/// The events of one request, at least one.
///
/// # Errors
/// All problems of the request.
pub fn read(request: &Request, context: &Context<'_>) -> Result<Vec<Event>, Refusal> {
    if request.body.kind == Body::Form {
        return Err(Refusal::MediaType);
    }
    let key = request.path.first().map_or("", |key| &**key);
    // Who shows no key learns nothing else about its events.
    let Some(container) = container(context.containers, key) else {
        return Err(
            Refused::new(Reason::UnknownContainer, "k", "is no container; use a key from the configuration").into()
        );
    };
    let malformed = |problem: String| Refused::new(Reason::Malformed, "", problem);
    let text = std::str::from_utf8(&request.body.bytes).map_err(|_| malformed("is no UTF-8 text".to_owned()))?;
    let elements = json::elements(text).map_err(|e| malformed(format!("is no JSON array of events: {e}")))?;
    if elements.is_empty() {
        return Err(malformed("is an empty array; send at least one event".to_owned()).into());
    }
    let element = |index: usize, raw: &RawValue| one(raw, index, key, container.batch_event.as_deref(), context);
    Ok(flat::each(&elements, element)?)
}

fn one(
    element: &RawValue,
    index: usize,
    key: &str,
    default_name: Option<&str>,
    context: &Context<'_>,
) -> Result<Event, Refused> {
    let members = json::members(element.get())
        .map_err(|e| Refused::new(Reason::Malformed, "", format!("is no JSON object: {e}")))?;
    let member = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, raw)| Input::Raw(raw));
    let mut fields: Vec<FieldIn<'_>> = Vec::new();
    let unreadable = |problem: String| wrong("event_payload", &format!("is no object of fields: {problem}"));
    let payload = member("event_payload").map_or(Ok(None), |payload| payload.json_text());
    let payload = payload.map_err(|problem| unreadable(problem.into_owned()))?;
    let payload = payload.as_deref().map_or(Ok(Vec::new()), json::members).map_err(|e| unreadable(e.to_string()))?;
    let payload: Vec<FieldIn<'_>> =
        payload.into_iter().filter(|(name, _)| !is_own(name)).map(|(name, raw)| (name, Input::Raw(raw))).collect();
    let says = |names: &[&str]| payload.iter().any(|(name, input)| names.contains(&&*camel(name)) && !input.is_blank());
    let (has_name, has_value) = (says(&["track", "event", "eventName"]), says(&["value"]));
    // The browser's id in the sender's own system; a payload may know a better one.
    fields.extend(member("event_adb_cdt").map(|input| (Cow::Borrowed("clientId"), input)));
    for (name, input) in payload {
        let is_revenue = !has_value && name == "revenue";
        fields.push((if is_revenue { Cow::Borrowed("value") } else { name }, input));
    }
    let mut missing: Option<Refused> = None;
    let mut miss = |one: Refused| {
        missing = Some(match missing.take() {
            Some(others) => others.and(one),
            None => one,
        });
    };
    for (name, meant) in REQUIRED {
        match member(name).filter(|input| !input.is_blank()) {
            Some(input) => fields.push((Cow::Borrowed(meant), input)),
            None => miss(wrong(name, "is missing; every event of a batch needs it")),
        }
    }
    match default_name {
        _ if has_name => {}
        Some(name) => fields.push(own("track", name)),
        None => {
            miss(wrong("event_payload.event", "is missing; send the event's name, or give the container `batch.event`"))
        }
    }
    fields.push(own("k", key));
    // The array, its element and the payload are three levels.
    let place = Place { index: Some(index), depth: DEPTH_MAX - 3, content: element.get().as_bytes() };
    let read = read_event(context, place, fields).map_err(|refused| renamed(refused, sent_as));
    match (read, missing) {
        (Ok(event), None) => Ok(event),
        (Ok(_), Some(missing)) => Err(missing),
        (Err(refused), None) => Err(refused),
        (Err(refused), Some(missing)) => Err(missing.and(refused)),
    }
}

/// Whether the element itself says what a payload's field of this name would.
fn is_own(name: &str) -> bool {
    matches!(&*camel(name), "k" | "container" | "eventId" | "timestamp" | "eventTime" | "occurredAt" | "email")
}

/// A field's name as it stands in the element.
fn sent_as(field: &str) -> Option<String> {
    if field == "k" {
        return None;
    }
    let own = REQUIRED.iter().find(|(_, meant)| *meant == field).map(|(name, _)| (*name).to_owned());
    Some(own.unwrap_or_else(|| format!("event_payload.{field}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::samples;
    use crate::model::event::EventId;
    use crate::model::field::Field;

    fn read_body(key: &str, body: &str) -> Result<Vec<Event>, Refusal> {
        let mut containers = samples::containers();
        containers[1].batch_event = Some("Payment".into());
        samples::read_over_http(read, &containers, &[key], "", Body::Json, body)
    }

    fn problems(key: &str, body: &str) -> Vec<(String, String)> {
        let Err(Refusal::Problems(refused)) = read_body(key, body) else { panic!("{body} is to be refused") };
        refused.problems.into_iter().map(|p| (p.field, p.problem)).collect()
    }

    #[test]
    fn an_element_says_who_when_and_what() {
        let body = r#"[
            {"event_id":"b1","event_timestamp":"2026-01-10T11:00:00Z","event_email":"A@b.example","event_adb_cdt":"cdt-1",
             "event_payload":{"event":"Order","revenue":12.50,"currency":"SEK","email":"x@y","plan":"Gold","order_id":7}},
            {"event_id":2,"event_timestamp":1768042800,"event_email":"c@d.example"}]"#;
        let events = read_body("fi", body).unwrap();
        let texts = |at: usize, field| events[at].texts.of(field);
        assert_eq!(events.iter().map(|e| e.name.as_deref()).collect::<Vec<_>>(), [Some("Order"), Some("Payment")]);
        assert_eq!(events[0].id, EventId::Given("b1".into()));
        assert_eq!(texts(0, Field::Email), Some("A@b.example"));
        assert_eq!((texts(0, Field::Value), texts(0, Field::Currency)), (Some("12.50"), Some("SEK")));
        assert_eq!((texts(0, Field::ClientId), texts(0, Field::OrderId)), (Some("cdt-1"), Some("7")));
        assert!(events[0].attribute("plan").is_some() && events[0].attribute("event_email").is_none());
        assert_eq!((events[0].time, events[1].time), (events[1].time, events[0].time));
        let payload = r#"[{"event_id":"b","event_timestamp":1768042800,"event_email":"c@d","event_adb_cdt":"x",
            "event_payload":{"clientId":"better","revenue":1,"value":2}}]"#;
        let events = read_body("fi", payload).unwrap();
        assert_eq!(
            (events[0].texts.of(Field::ClientId), events[0].texts.of(Field::Value)),
            (Some("better"), Some("2"))
        );
        assert!(events[0].attribute("revenue").is_some());
    }

    #[test]
    fn each_bad_element_is_named_with_its_field() {
        let body = r#"[{"event_id":"good","event_timestamp":1768042800,"event_email":"a@b","event_payload":{"event":"E"}},
            {"event_id":" "},
            {"event_id":"x","event_timestamp":"soon","event_email":"a@b","event_payload":{"event":"E","revenue":1}},
            {"event_id":"x","event_timestamp":1768042800,"event_email":"a@b","event_payload":5}, 7]"#;
        let found = problems("shop", body);
        let named: Vec<&str> = found.iter().map(|(field, _)| &**field).collect();
        for field in [
            "[1].event_id",
            "[1].event_timestamp",
            "[1].event_email",
            "[1].event_payload.event",
            "[2].event_timestamp",
            "[2].event_payload.currency",
            "[3].event_payload",
            "[4]",
        ] {
            assert!(named.contains(&field), "{field} is not in {named:?}");
        }
        assert!(named.iter().all(|field| !field.starts_with("[0]")), "{named:?}");
    }

    #[test]
    fn of_many_bad_elements_each_is_named_and_what_is_left_out_is_counted() {
        let list = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        let refused = |count: usize| match read_body("shop", &list(count)) {
            Err(Refusal::Problems(refused)) => refused,
            _ => panic!("{count} are to be refused"),
        };
        let thousand = refused(1000);
        let is_named = |n: usize| thousand.problems.iter().any(|p| p.field.starts_with(&format!("[{n}].")));
        assert!((0..1000).all(is_named));
        // Four fields are missing of each, and it says nothing.
        assert_eq!(thousand.problems.len() + thousand.more, 5000);
        assert_eq!(thousand.problems.len(), 1000 + 100);
        let too_many = refused(6000);
        assert_eq!((too_many.problems.len(), too_many.problems.len() + too_many.more), (5100, 30_000));
    }

    #[test]
    fn what_is_no_array_of_a_known_container_is_refused() {
        for body in ["", "[]", "{}", "x", "\"a\"", "[", r#"[{"a":1,"a":2}]"#] {
            assert!(!problems("fi", body).is_empty());
        }
        let Err(Refusal::Problems(refused)) = read_body("nobody", "x") else { panic!() };
        assert_eq!((refused.reason, refused.field()), (Reason::UnknownContainer, "k"));
    }
}
