//! JSON Schemas (draft 2020-12), by which an editor completes and checks configuration files and events.
//!
//! Refuses: saying anything of its own about a key; the tables in `keys` do, and the readers go by the same.

use serde_json::{Map, Value, json};

use super::keys::connector::CONNECTOR;
use super::keys::daemon::DAEMON;
use super::shape::{Key, Shape, Table};
use crate::model::field::Field;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Any value of a setting may come from outside.
const SUBSTITUTED: &str = "\\$\\{.+\\}";

/// The schema of `postbackd.yaml`.
pub fn config() -> String {
    let mut schema = object(&DAEMON);
    head(&mut schema, "postbackd configuration", "postbackd.yaml: every key has a default");
    print(schema)
}

/// The schema of a connector file: one connector, or a list of them.
pub fn connector() -> String {
    let mut schema = json!({
        "anyOf": [
            {"$ref": "#/$defs/connector"},
            {
                "type": "object",
                "properties": {"connectors": {"type": "array", "items": {"$ref": "#/$defs/connector"}}},
                "required": ["connectors"],
                "additionalProperties": false
            }
        ],
        "$defs": {"connector": object(&CONNECTOR)}
    });
    // What a ready-made connector has, its user need not say.
    let one = &mut schema["$defs"]["connector"];
    let whole = std::mem::replace(&mut one["required"], json!(["name"]));
    one["anyOf"] = json!([{"required": whole}, {"required": ["template"]}]);
    head(&mut schema, "postbackd connector", "one connector, or a list under `connectors`");
    print(schema)
}

/// The schema of an event, as a message or as the body of a hook.
pub fn event() -> String {
    let scalar = || json!({"type": ["string", "number"]});
    let text = || json!({"type": "string"});
    let texts = || json!({"type": "array", "items": {"type": "string"}});
    let time = || {
        let meaning = "ISO 8601, or seconds or milliseconds since 1970; without an offset it is UTC";
        json!({"type": ["string", "integer"], "description": meaning})
    };
    let mut properties = Map::new();
    let mut add = |names: &[&str], schema: Value| {
        properties.extend(names.iter().map(|name| ((*name).to_owned(), schema.clone())));
    };
    add(&["k", "container"], described(text(), "container key"));
    add(
        &["track", "event", "eventName"],
        described(text(), "event name; without one the event only enriches the visitor"),
    );
    add(&["eventId"], described(scalar(), "deduplication id"));
    add(&["timestamp", "eventTime", "occurredAt", "clickTime", "forceNewSessionCreatedAt"], time());
    for field in Field::ALL {
        add(&[field.name()], scalar());
    }
    add(&["value"], described(scalar(), "amount, kept as it is written"));
    let currency = json!({"type": "string", "pattern": "^[A-Za-z]{3}$"});
    add(&["currency"], described(currency, "ISO 4217; required where `value` is given, unless the container has one"));
    add(&["phone", "state", "stateCode", "countryCode"], scalar());
    add(&["emailVariants", "phoneNumberVariants"], described(texts(), "further spellings, for matching only"));
    add(
        &["items"],
        json!({"type": "array", "items": {"type": "object", "properties": {
            "id": scalar(), "name": text(), "price": scalar(), "quantity": scalar(), "category": text()
        }}}),
    );
    add(&["isPartial"], described(json!({"type": "boolean"}), "true: more is coming under the same eventId"));
    add(
        &["consent"],
        json!({"type": "object", "properties": {"ads": {"type": "boolean"}, "analytics": {"type": "boolean"}}}),
    );
    add(&["eventAttributes", "event_attributes"], described(json!({"type": "object"}), "custom attributes"));
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": true});
    head(
        &mut schema,
        "postbackd event",
        "both camelCase and snake_case are read; unknown fields are custom attributes",
    );
    print(schema)
}

/// Every setting of `postbackd.yaml` as `path.to.key`, its default and its meaning, in the order of the file.
pub fn settings_table() -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    rows_of("", &DAEMON, &mut rows);
    rows
}

/// Every key of a connector, as [`settings_table`] tells those of `postbackd.yaml`.
pub fn connector_table() -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    rows_of("", &CONNECTOR, &mut rows);
    rows
}

fn rows_of(path: &str, table: &Table, rows: &mut Vec<(String, String, String)>) {
    for key in table.keys {
        let name = format!("{path}{}", key.name);
        match key.shape {
            Shape::Object(inner) => rows_of(&format!("{name}."), inner, rows),
            Shape::List(Shape::Object(inner)) => rows_of(&format!("{name}[]."), inner, rows),
            _ => rows.push((name, default_text(key).to_owned(), key.meaning.to_owned())),
        }
    }
}

fn default_text(key: &Key) -> &'static str {
    match (key.default, key.required) {
        (Some(default), _) => default,
        (None, true) => "required",
        (None, false) => "none",
    }
}

fn head(schema: &mut Value, title: &str, description: &str) {
    if let Value::Object(members) = schema {
        members.insert("$schema".to_owned(), DRAFT.into());
        members.insert("title".to_owned(), title.into());
        members.insert("description".to_owned(), description.into());
    }
}

fn print(schema: Value) -> String {
    serde_json::to_string_pretty(&schema).expect("a tree of plain values can always be written") + "\n"
}

fn described(mut schema: Value, description: &str) -> Value {
    schema["description"] = description.into();
    schema
}

fn object(table: &Table) -> Value {
    let properties: Map<String, Value> = table.keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    let required: Vec<&str> = table.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn property(key: &Key) -> Value {
    let mut value = shape(&key.shape);
    if !key.required {
        // Null stands for "not given" wherever something may be left out.
        value = json!({"anyOf": [value, {"type": "null"}]});
    }
    value["description"] = key.meaning.into();
    if let Some(default) = key.default {
        value["default"] = match key.shape {
            Shape::Bool => (default == "true").into(),
            Shape::Integer(..) | Shape::Number => serde_json::from_str(default).unwrap_or_else(|_| default.into()),
            _ => default.into(),
        };
    }
    value
}

fn shape(shape: &Shape) -> Value {
    let pattern = |pattern: &str| json!({"type": "string", "pattern": format!("{pattern}|{SUBSTITUTED}")});
    let or_substituted = |value: Value| json!({"anyOf": [value, {"type": "string", "pattern": SUBSTITUTED}]});
    match shape {
        Shape::Text | Shape::Scalar | Shape::Template => json!({"type": ["string", "number", "boolean"]}),
        Shape::Regex => json!({"type": "string", "format": "regex"}),
        Shape::Pattern(text) => pattern(text),
        Shape::Duration => pattern("^[0-9]+(ms|s|m|h|d)$"),
        Shape::Rate => pattern("^[0-9.]+ */ *[smh]$"),
        Shape::Address => pattern("^(\\[[0-9a-fA-F:.]+\\]|[0-9.]+):[0-9]{1,5}$"),
        Shape::Network => pattern("^[0-9a-fA-F:.]+(/[0-9]{1,3})?$"),
        Shape::Bool => or_substituted(json!({"type": "boolean"})),
        Shape::Integer(min, max) => or_substituted(json!({"type": "integer", "minimum": min, "maximum": max})),
        Shape::Number => or_substituted(json!({"type": "number"})),
        Shape::Choice(words) => or_substituted(json!({"enum": words})),
        Shape::Any | Shape::JsonTemplate => json!({}),
        Shape::List(inner) => json!({"type": "array", "items": self::shape(inner)}),
        Shape::OneOrList(inner) => {
            let one = self::shape(inner);
            json!({"anyOf": [one.clone(), {"type": "array", "items": one}]})
        }
        Shape::Entries => {
            let entries = self::shape(&Shape::Map(&Shape::Template));
            let additional = &entries["additionalProperties"];
            json!({"type": "object", "properties": {"each_item": entries.clone(), "no_items": entries.clone()}, "additionalProperties": additional})
        }
        Shape::TemplateOr(table) => json!({"anyOf": [self::shape(&Shape::Template), object(table)]}),
        Shape::Map(inner) => {
            let value = self::shape(inner);
            json!({"type": "object", "additionalProperties": {"anyOf": [value, {"type": "null"}]}})
        }
        Shape::Object(table) => object(table),
    }
}
