//! Parsed templates: literals and slots, each slot resolved when the connector is loaded.
//!
//! Refuses: rendering (`rules::render`) and reading files (`config`). An unparsed template cannot reach a renderer.

use std::fmt;

use super::filter::Filter;
use super::secret::Text;
use super::variable::Variable;

/// Where an expression takes its value from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A standard variable.
    Variable(Variable),
    /// A custom attribute, by its name in upper snake case.
    Attribute(Box<str>),
    /// `EVENT.path.to.x`: a path into the event as the sender wrote it.
    EventPath(Vec<Box<str>>),
    /// `ITEM.x`: a path into the item at hand.
    Item(Vec<Box<str>>),
    /// `CLICK.param`: a query parameter of the chosen click's landing URL.
    ClickParam(Box<str>),
    /// `SETTING.name`.
    Setting(Box<str>),
}

/// `<<NAME|filter|filter:arg>>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    pub slot: Slot,
    pub filters: Vec<Filter>,
    /// As written between the marks, for messages.
    pub source: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Text of the connector's author; the parts that came from `${ENV}` are marked.
    Literal(Text),
    Expression(Expression),
}

/// A text with slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pub segments: Vec<Segment>,
}

/// One `name: value` of `params`, `query`, `form` or `headers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub name: Text,
    pub value: Template,
}

/// A URL whose scheme, host and port hold no slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlTemplate {
    /// `scheme://[userinfo@]host[:port]`, normalised, without a trailing slash.
    pub origin: Text,
    /// Between slashes; the first follows the origin's slash. At least one, which may be empty.
    pub path: Vec<Template>,
    /// The query written into the URL, in order.
    pub query: Vec<(Template, Option<Template>)>,
}

/// A JSON body: the tree as written, its strings templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonTemplate {
    Null,
    Bool(bool),
    /// The number as written.
    Number(Box<str>),
    Text(Template),
    List(Vec<JsonTemplate>),
    Map(Vec<(Box<str>, JsonTemplate)>),
}

/// What a body file's extension chooses: escaping and content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyContext {
    Json,
    Form,
    Xml,
    Html,
    Text,
}

/// A Handlebars body file, compiled. How it renders is `rules::body_file`'s business, which implements this.
pub trait CompiledBody: Send + Sync + fmt::Debug {
    /// For the implementation to find itself again.
    fn as_any(&self) -> &dyn std::any::Any;
}

/// A body file as a connector names it.
#[derive(Debug)]
pub struct BodyFile {
    /// As the connector names it, for messages.
    pub name: Box<str>,
    pub context: BodyContext,
    pub compiled: Box<dyn CompiledBody>,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// Byte offset into the template's text at which the trouble starts.
    pub offset: usize,
    /// Says what is wrong and what to write instead; quotes the offending text.
    pub message: String,
}
