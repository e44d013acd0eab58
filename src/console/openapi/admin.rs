//! The admin listener's operations.
//!
//! Refuses: the words of states and reasons; they are the model's.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::{Body, Content, JSON, Operation, Param, of, part, query, text};
use crate::console::answer::Items;
use crate::console::connectors::ConnectorShown;
use crate::console::containers::ContainerShown;
use crate::console::deliveries::LIMIT_MAX;
use crate::console::health::{Alive, Ready};
use crate::console::replay::{REPLAYED_STATES, ReplayedCount, ReplayedShown};
use crate::console::shapes::{Detail, ErasedShown, EventShown, Explanation, Page, TestShown};
use crate::console::variables::Vocabulary;
use crate::model::delivery::{Reason, State};
use crate::pipeline::erase::By;
use crate::telemetry::metrics::EXPOSITION_TYPE;

/// What anything may answer that reads the store.
const READS: &[u16] = &[400, 401, 403, 404, 500, 503];
/// What anything may answer that takes a body.
const WRITES: &[u16] = &[400, 401, 403, 404, 408, 409, 413, 415, 422, 500, 503];

pub(super) fn operations(generator: &mut SchemaGenerator) -> Vec<Operation> {
    let mut all = vec![
        Operation {
            alike: Some(503),
            others: &[],
            ..get("/healthz", "Whether the daemon lives", json::<Alive>(generator))
        },
        Operation {
            alike: Some(503),
            others: &[],
            ..get("/readyz", "Whether it can do its work", json::<Ready>(generator))
        },
        get("/metrics", "Everything that is counted, for Prometheus", vec![(EXPOSITION_TYPE, text())]),
        get("/openapi.json", "This document", vec![(JSON, json!({"type": "object"}))]),
        get(
            "/api/connectors",
            "The connectors and how they stand",
            json::<Items<'static, ConnectorShown<'static>>>(generator),
        ),
        get(
            "/api/containers",
            "The containers and what they were seen to send",
            json::<Items<'static, ContainerShown<'static>>>(generator),
        ),
        get("/api/variables", "Every variable and filter", json::<Vocabulary>(generator)),
        Operation {
            params: log(),
            ..get("/api/deliveries", "The delivery log, newest first", json::<Page>(generator))
        },
        Operation {
            params: vec![part("id", "the delivery's id")],
            ..get("/api/deliveries/{id}", "One delivery with its facts and attempts", json::<Detail>(generator))
        },
        Operation {
            params: vec![part("id", "the event's id")],
            ..get("/api/events/{id}", "Stored events of this id", json::<Items<'static, EventShown>>(generator))
        },
    ];
    all.extend(changes(generator));
    all
}

fn changes(generator: &mut SchemaGenerator) -> Vec<Operation> {
    let event = json!({"$ref": "#/components/schemas/Event"});
    let time = || json!({"type": "string", "description": "ISO 8601, or seconds or milliseconds since 1970"});
    let words = |states: &[State]| json!({"enum": states.iter().map(|state| state.word()).collect::<Vec<_>>()});
    let flag = || json!({"type": "boolean"});
    let named = By::ALL.map(|by| (by.word(), text()));
    let one_of: Vec<Value> = By::ALL.iter().map(|by| json!({"required": ["container", by.word()]})).collect();
    let mut who = object(&[("container", text())], named);
    who["oneOf"] = one_of.into();
    vec![
        Operation {
            params: vec![part("id", "the delivery's id")],
            body: optional(object(&[], [("force", flag())])),
            ..post("/api/deliveries/{id}/replay", "Send one delivery again", json::<ReplayedShown>(generator))
        },
        Operation {
            body: required(object(
                &[("state", words(REPLAYED_STATES))],
                [("connector", text()), ("since", time()), ("until", time()), ("rate", text())],
            )),
            ..post("/api/replay", "Send every delivery of a selection again", json::<ReplayedCount>(generator))
        },
        Operation { body: required(who), ..post("/api/erase", "Forget a person", json::<ErasedShown>(generator)) },
        Operation {
            body: required(object(
                &[("event", event.clone())],
                [("history", json!({"type": "array", "items": event})), ("connector", text())],
            )),
            ..post(
                "/api/explain",
                "What would be decided and sent, and why",
                json::<Items<'static, Explanation>>(generator),
            )
        },
        Operation {
            params: vec![part("name", "the connector's name")],
            body: optional(object(&[], [("event", json!({"$ref": "#/components/schemas/Event"})), ("send", flag())])),
            ..post("/api/connectors/{name}/test", "One postback on demand", json::<TestShown>(generator))
        },
    ]
}

/// The filters of the log.
fn log() -> Vec<Param> {
    let words = |words: Vec<&str>| json!({"enum": words});
    let time = || json!({"type": "string", "format": "date-time"});
    vec![
        query("connector", "its name", text()),
        query("state", "as it is now", words(State::ALL.iter().map(|state| state.word()).collect())),
        query("reason", "as it is now", words(Reason::ALL.iter().map(|reason| reason.word()).collect())),
        query("event_id", "the event's id", text()),
        query("since", "made at or after", time()),
        query("until", "made before", time()),
        query("limit", "how many", json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": 100})),
        query("cursor", "`next_cursor` of the page before", text()),
    ]
}

fn get(path: &'static str, summary: &'static str, content: Content) -> Operation {
    Operation {
        method: "get",
        path,
        summary,
        params: Vec::new(),
        body: None,
        success: (200, content),
        alike: None,
        others: READS,
    }
}

fn post(path: &'static str, summary: &'static str, content: Content) -> Operation {
    Operation { method: "post", others: WRITES, ..get(path, summary, content) }
}

fn json<T: schemars::JsonSchema>(generator: &mut SchemaGenerator) -> Content {
    vec![(JSON, of::<T>(generator))]
}

fn required(schema: Value) -> Option<Body> {
    Some(Body { is_required: true, content: vec![(JSON, schema)] })
}

fn optional(schema: Value) -> Option<Body> {
    Some(Body { is_required: false, content: vec![(JSON, schema)] })
}

/// An object of these members and no others.
fn object(required: &[(&str, Value)], others: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let names: Vec<&str> = required.iter().map(|(name, _)| *name).collect();
    let others = others.into_iter().map(|(name, schema)| (name.to_owned(), schema));
    let properties: serde_json::Map<_, _> =
        required.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).chain(others).collect();
    json!({"type": "object", "properties": properties, "required": names, "additionalProperties": false})
}
