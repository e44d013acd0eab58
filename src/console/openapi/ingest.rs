//! The ingest listener's operations: one for each dialect and method.
//!
//! Refuses: fields of its own; an event's are those of its schema.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::{Body, Content, FORM, JSON, Operation, Param, of, part, query, text};
use crate::ingest::http::Accepted;

/// What any dialect may answer.
const REFUSES: &[u16] = &[400, 403, 408, 413, 415, 429, 500, 503];

pub(super) fn operations(generator: &mut SchemaGenerator) -> Vec<Operation> {
    let accepted = vec![(JSON, of::<Accepted<'static>>(generator))];
    let event = || json!({"$ref": "#/components/schemas/Event"});
    let hook_body = json!({"anyOf": [event(), {"type": "array", "items": event(), "minItems": 1}, {"type": "object"}]});
    let hook = |method, body| Operation {
        params: vec![
            query("k", "the container's key; it may stand in the body too", text()),
            query("source", "`stripe`: the body is an event of Stripe's", text()),
            fields(),
        ],
        ..operation(method, "/collect/hook", "One event of any fields, or an array of them", accepted.clone(), body)
    };
    let collect = |method, path: &'static str, body| {
        let mut params = vec![part("event_type", "the event's name"), part("container_key", "the container's key")];
        if path.contains("session_id") {
            params.push(part("session_id", "the sender's session"));
        }
        params.push(fields());
        Operation { params, ..operation(method, path, "One event that the path names", accepted.clone(), body) }
    };
    let object = || vec![(JSON, event()), (FORM, event())];
    let (short, long) = ("/collect/{event_type}/{container_key}", "/collect/{event_type}/{container_key}/{session_id}");
    vec![
        hook("get", None),
        hook("post", Some(Body { is_required: false, content: vec![(JSON, hook_body), (FORM, event())] })),
        collect("get", short, None),
        collect("post", short, Some(Body { is_required: false, content: object() })),
        collect("get", long, None),
        collect("post", long, Some(Body { is_required: false, content: object() })),
        Operation {
            params: vec![part("container_key", "the container's key")],
            success: (201, accepted.clone()),
            ..operation(
                "post",
                "/collector/webhook_event/{container_key}",
                "Many events of people known by email",
                accepted.clone(),
                Some(batch()),
            )
        },
        Operation {
            params: vec![part("container_key", "the container's key")],
            ..operation(
                "post",
                "/conversion/{container_key}",
                "A conversion in whatever form, or none",
                accepted.clone(),
                Some(Body {
                    is_required: false,
                    content: vec![(JSON, json!({"type": "object"})), (FORM, json!({"type": "object"}))],
                }),
            )
        },
    ]
}

fn operation(
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    accepted: Content,
    body: Option<Body>,
) -> Operation {
    Operation {
        method,
        path,
        summary,
        params: Vec::new(),
        body,
        success: (200, accepted),
        alike: None,
        others: REFUSES,
    }
}

/// Every field of an event as a parameter of its own.
fn fields() -> Param {
    Param {
        name: "event",
        is_path: false,
        is_required: false,
        meaning: "every field of the event, each as a parameter of its own name",
        schema: json!({"type": "object", "additionalProperties": {"type": "string"}}),
    }
}

fn batch() -> Body {
    let element: Value = json!({
        "type": "object",
        "required": ["event_id", "event_timestamp", "event_email"],
        "properties": {
            "event_id": {"type": ["string", "number"]},
            "event_timestamp": {"type": ["string", "integer"]},
            "event_email": {"type": "string"},
            "event_adb_cdt": {"type": "string"},
            "event_payload": {"$ref": "#/components/schemas/Event"},
        },
    });
    Body { is_required: true, content: vec![(JSON, json!({"type": "array", "items": element, "minItems": 1}))] }
}
