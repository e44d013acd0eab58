//! A connector's examples of itself: given this event and these clicks, that request, or that reason.
//!
//! Refuses: running them; whoever can decide and render does.

use crate::model::delivery::Reason;
use crate::model::ids::ConnectorName;
use crate::model::postback::Method;
use crate::model::value::Value;

/// The fixtures of one connector, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorFixtures {
    pub connector: ConnectorName,
    /// Relative to how the configuration file was given.
    pub file: Box<str>,
    pub fixtures: Vec<Fixture>,
}

/// One example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fixture {
    /// A [`Value::Map`] with the fields of a message; it need not name a container.
    pub event: Value,
    /// Clicks that the visitor made before, oldest first: the query parameters of each landing.
    pub clicks: Vec<Vec<(Box<str>, Box<str>)>>,
    pub expect: Expect,
    /// Where `expect` stands.
    pub line: usize,
    pub column: usize,
}

/// What must come of an example. What is `None` may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    pub url: Option<Box<str>>,
    pub method: Option<Method>,
    /// Names in lower case.
    pub headers: Vec<(Box<str>, Box<str>)>,
    pub body: Option<ExpectBody>,
    /// Nothing is sent, for this reason.
    pub reason: Option<Reason>,
}

/// The body that must be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpectBody {
    Text(Box<str>),
    /// All fields, in any order.
    Form(Vec<(Box<str>, Box<str>)>),
    /// Equal as JSON, members in any order.
    Json(Value),
}
