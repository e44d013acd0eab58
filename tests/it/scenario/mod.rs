//! The format of `tests/scenarios/**/*.yaml`: one file tells one story, and its path is the sentence.
//!
//! Refuses: unknown keys. A misspelt expectation would hold for ever. `README.md` beside the scenarios describes the keys.

mod expect;
mod fill;
mod play;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::partner::Answer;

pub use play::play;

/// One scenario file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What is promised, in a sentence.
    pub promise: String,
    #[serde(default)]
    pub given: Given,
    #[serde(default)]
    pub partner: BTreeMap<String, Vec<Answer>>,
    /// Published before the story.
    #[serde(default)]
    pub events: Vec<Value>,
    #[serde(default)]
    pub story: Vec<Step>,
    #[serde(default)]
    pub expect: Expect,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Given {
    pub config: Value,
    pub connectors: BTreeMap<String, Value>,
    pub env: BTreeMap<String, String>,
    pub files: BTreeMap<String, String>,
    /// Events come by RabbitMQ; else over HTTP.
    pub broker: bool,
    /// The daemon runs before the story starts.
    pub daemon: bool,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            config: Value::Object(serde_json::Map::new()),
            connectors: BTreeMap::new(),
            env: BTreeMap::new(),
            files: BTreeMap::new(),
            broker: true,
            daemon: true,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// More events.
    Publish(Vec<Value>),
    /// A request to the ingest listener.
    Ingest(Call),
    /// A request to the admin listener.
    Admin(Call),
    /// Waits until all of it holds.
    Expect(Box<Expect>),
    /// Changes connectors (null removes one) or the configuration, and sends SIGHUP.
    Reload(Reload),
    /// A command of the binary.
    Run(Run),
    Script(BTreeMap<String, Vec<Answer>>),
    Start,
    Stop,
    Kill,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    pub get: Option<String>,
    pub post: Option<String>,
    pub json: Option<Value>,
    pub form: Option<BTreeMap<String, String>>,
    pub body: Option<String>,
    /// A file below `tests/events`, sent as it is: JSON, or a form where it ends in `.form`.
    pub file: Option<String>,
    /// Signs the body with this secret: `X-Signature`, or for `source=stripe` the header of Stripe's.
    pub signed: Option<String>,
    /// The same of path and query, a line feed and the body.
    pub signed_whole: Option<String>,
    /// How often `body` is repeated.
    #[serde(default = "one")]
    pub times: usize,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default = "ok")]
    pub answer: u16,
    /// Parts of the answer, or of its headers (`retry-after: 1`).
    #[serde(default)]
    pub says: Vec<String>,
    #[serde(default)]
    pub hides: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reload {
    pub connectors: BTreeMap<String, Value>,
    pub config: Value,
    pub accepted: bool,
}

impl Default for Reload {
    fn default() -> Self {
        Self { connectors: BTreeMap::new(), config: Value::Null, accepted: true }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    pub args: Vec<String>,
    #[serde(default)]
    pub exit: i32,
    /// Parts of what it prints, on either stream.
    #[serde(default)]
    pub says: Vec<String>,
    #[serde(default)]
    pub hides: Vec<String>,
    /// Parts of stdout read as JSON or as lines of JSON: each must match some value.
    #[serde(default)]
    pub json: Vec<Value>,
}

/// What is looked at. A field that is left out is not looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Exactly these requests reached the partner, in any order.
    pub requests: Option<Vec<Request>>,
    /// These were among them.
    pub some_requests: Vec<Request>,
    /// At least so many.
    pub requests_at_least: usize,
    /// Exactly these deliveries are in the log; each may say how many `times`.
    pub deliveries: Option<Vec<Value>>,
    pub some_deliveries: Vec<Value>,
    pub metrics: BTreeMap<String, f64>,
    /// What lies in the rejected queue.
    pub rejected: Option<Vec<Rejected>>,
    /// Parts of the process log.
    pub log: Vec<String>,
    /// Must appear nowhere: process log, metrics, API, store.
    pub nowhere: Vec<String>,
    /// Parts of `GET /api/deliveries/ID` of every listed delivery of these connectors.
    pub details: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    pub method: Option<String>,
    pub path: Option<String>,
    /// Exactly these parameters.
    pub query: Option<BTreeMap<String, String>>,
    pub query_has: BTreeMap<String, Option<String>>,
    /// As it stood on the wire.
    pub raw_query: Option<String>,
    pub form: Option<BTreeMap<String, String>>,
    /// Exactly this JSON, types included.
    pub json: Option<Value>,
    pub text: Option<String>,
    /// `null`: there is no such header.
    pub headers: BTreeMap<String, Option<String>>,
    /// The secret by which its Standard Webhooks signature verifies.
    pub signed: Option<String>,
    pub times: Option<usize>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rejected {
    pub reason: String,
    pub field: Option<String>,
    pub body: Option<String>,
}

fn one() -> usize {
    1
}

fn ok() -> u16 {
    200
}

/// Reads a scenario.
///
/// # Errors
/// What is wrong with the file, with its path.
pub fn read(path: &Path) -> Result<Scenario, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    // By way of JSON, so that the parts that are passed on (connectors, events) keep whatever shape they have.
    let yaml_1_2 = serde_saphyr::options! { strict_booleans: true };
    let value: Value =
        serde_saphyr::from_str_with_options(&text, yaml_1_2).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_value(value).map_err(|e| format!("{}: {e}", path.display()))
}
