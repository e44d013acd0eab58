//! `/openapi.json`: both listeners in the words of OpenAPI 3.1, for generators and for who reads no README. Answers are
//! described by the types that are written, events by the tables that they are read by.
//!
//! Refuses: describing what no router has; a test asks both.

mod admin;
mod ingest;

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::State;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::Room;
use super::answer::{self, Answer, ErrorShown, FieldProblem};
use crate::config::schema;

/// The description of a running daemon, by the addresses it listens on.
pub(super) async fn serve(State(room): State<Arc<Room>>) -> Answer {
    let config = room.desk.config.load();
    answer::ok(&document(&config.admin.listen.to_string(), &config.ingest.listen.to_string()))
}

/// One thing that can be asked.
struct Operation {
    method: &'static str,
    /// As routers write it, parts that are open in braces.
    path: &'static str,
    summary: &'static str,
    params: Vec<Param>,
    body: Option<Body>,
    /// What is told where all is well: status and schema by content type.
    success: (u16, Content),
    /// Another status at which the same is told: of a probe that says no.
    alike: Option<u16>,
    /// Other statuses that can come back, each with a list of problems or an error.
    others: &'static [u16],
}

/// Something in the path or the query.
struct Param {
    name: &'static str,
    is_path: bool,
    is_required: bool,
    meaning: &'static str,
    schema: Value,
}

/// What may be sent: schemas by content type.
struct Body {
    is_required: bool,
    content: Content,
}

type Content = Vec<(&'static str, Value)>;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// A part of the path.
fn part(name: &'static str, meaning: &'static str) -> Param {
    let schema = json!({"type": "string", "minLength": 1});
    Param { name, is_path: true, is_required: true, meaning, schema }
}

/// A parameter of the query, which may be left out.
fn query(name: &'static str, meaning: &'static str, schema: Value) -> Param {
    Param { name, is_path: false, is_required: false, meaning, schema }
}

fn text() -> Value {
    json!({"type": "string"})
}

/// The schema of a type, by its name among the components.
fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Value {
    generator.subschema_for::<T>().to_value()
}

/// The whole document.
fn document(admin: &str, ingest: &str) -> Value {
    let mut generator = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = Cow::Borrowed("/components/schemas"))
        .into_generator();
    let problems = json!({"anyOf": [
        {"type": "array", "items": of::<FieldProblem>(&mut generator)},
        of::<ErrorShown>(&mut generator),
    ]});
    let listeners = [(admin, admin::operations(&mut generator)), (ingest, ingest::operations(&mut generator))];
    let mut paths: Map<String, Value> = Map::new();
    for (address, operations) in listeners {
        for operation in operations {
            let described = describe(&operation, &problems);
            let path = paths
                .entry(operation.path)
                .or_insert_with(|| json!({"servers": [{"url": format!("http://{address}")}]}));
            path[operation.method] = described;
        }
    }
    let mut schemas = generator.take_definitions(true);
    schemas.insert("Event".to_owned(), event());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "postbackd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The ingest listener takes events, the admin listener tells what became of them.",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": format!("http://{admin}"), "description": "the admin listener"},
                    {"url": format!("http://{ingest}"), "description": "the ingest listener"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "`admin.token`, where one is set"}},
        },
    })
}

/// The event's schema, as `postbackd schema event` prints it.
fn event() -> Value {
    let mut event: Value = serde_json::from_str(&schema::event()).expect("the schema is JSON");
    if let Some(event) = event.as_object_mut() {
        event.remove("$schema");
    }
    event
}

fn describe(operation: &Operation, problems: &Value) -> Value {
    let media = |content: &Content| -> Value {
        content
            .iter()
            .map(|(kind, schema)| ((*kind).to_owned(), json!({"schema": schema})))
            .collect::<Map<_, _>>()
            .into()
    };
    let (status, content) = &operation.success;
    let mut responses = Map::new();
    responses.insert(status.to_string(), json!({"description": "as asked", "content": media(content)}));
    if let Some(status) = operation.alike {
        responses.insert(status.to_string(), json!({"description": "no", "content": media(content)}));
    }
    for status in operation.others {
        let said = json!({"description": meaning(*status), "content": {JSON: {"schema": problems}}});
        responses.insert(status.to_string(), said);
    }
    let params: Vec<Value> = operation
        .params
        .iter()
        .map(|param| {
            let place = if param.is_path { "path" } else { "query" };
            json!({"name": param.name, "in": place, "required": param.is_required, "description": param.meaning, "schema": param.schema})
        })
        .collect();
    let mut described = json!({"summary": operation.summary, "parameters": params, "responses": responses});
    if let Some(body) = &operation.body {
        described["requestBody"] = json!({"required": body.is_required, "content": media(&body.content)});
    }
    described
}

/// What a status says, wherever it comes from.
fn meaning(status: u16) -> &'static str {
    match status {
        400 => "something that was sent is wrong; every problem is listed",
        401 => "the token is missing or wrong",
        403 => "the caller may not ask for this: key, signature, Host or Origin",
        404 => "there is no such thing",
        408 => "the body did not come in time",
        409 => "its state does not allow it",
        413 => "the body is too large",
        415 => "the content type is none that is read here",
        422 => "it was understood, and can't be done",
        429 => "over the rate; Retry-After says when to come again",
        503 => "not now; Retry-After says when to come again",
        _ => "a fault of the daemon's own, which its log tells",
    }
}

#[cfg(test)]
mod tests;
