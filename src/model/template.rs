//! Parsed templates: literals and slots, each slot resolved when the connector is loaded.
//!
//! Refuses: rendering (`rules::render`) and reading files (`config`). An unparsed template cannot reach a renderer.

use std::fmt;

use super::filter::Filter;
use super::secret::Text;
use super::variable::Variable;

/// Where a rendered text stands, which decides how values are escaped there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// One segment of a URL's path.
    Path,
    /// A name or a value in a URL's query: percent-encoded, a space as `%20`.
    Query,
    /// A name or a value in a form body: as `application/x-www-form-urlencoded` writes it.
    Form,
    /// The value of a request header: control characters are refused; what is not ASCII goes out as UTF-8.
    Header,
    /// The inside of a JSON string.
    JsonString,
    /// Text without syntax of its own; values are inserted as they are.
    #[default]
    PlainText,
    /// Text or a quoted attribute in HTML, or in XML.
    Html,
    /// The inside of a quoted JavaScript string.
    Js,
}

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
    /// `VALUES.name`: a text that the connector puts together.
    Value(Box<str>),
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(variable) => f.write_str(variable.name()),
            Self::Attribute(name) => f.write_str(name),
            Self::EventPath(path) => write!(f, "EVENT.{}", path.join(".")),
            Self::Item(path) => write!(f, "ITEM.{}", path.join(".")),
            Self::ClickParam(param) => write!(f, "CLICK.{param}"),
            Self::Setting(name) => write!(f, "SETTING.{name}"),
            Self::Value(name) => write!(f, "VALUES.{name}"),
        }
    }
}

/// What becomes of an expression without a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missing {
    /// Its entry is left out, if nothing else stands in it.
    #[default]
    LeaveOut,
    /// `empty`: the entry is kept, empty.
    Keep,
    /// `required`: the delivery is skipped with `missing_variable`.
    Required,
}

/// What an expression gives where types matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    #[default]
    Text,
    /// Ends in `number`.
    Number,
    /// Ends in `json`.
    Json,
}

/// `<<NAME|filter|filter:arg>>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    pub slot: Slot,
    /// Those that change the value, in order. `required`, `empty`, `raw` and `json` are told by the members below.
    pub filters: Vec<Filter>,
    pub missing: Missing,
    pub output: Output,
    /// The escaping of the place is switched off.
    pub raw: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// Text of the connector's author, escaped for the template's place; the parts that came from `${ENV}` are marked.
    Literal(Text),
    Expression(Expression),
}

/// A text with slots, made for one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pub place: Place,
    pub segments: Vec<Segment>,
}

impl Template {
    /// Whether it holds no expression.
    pub fn is_literal(&self) -> bool {
        self.segments.iter().all(|s| matches!(s, Segment::Literal(_)))
    }
}

/// One `name: value` of `params`, `query`, `form` or `headers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As the author wrote it, not yet escaped.
    pub name: Text,
    pub value: Template,
    pub there: There,
}

/// When a part of a request is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum There {
    #[default]
    Always,
    /// Once for each item; in a name, `#` stands for the item's number from 1.
    EachItem,
    /// Where the event has none.
    NoItems,
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

/// A JSON body: the tree as written, its strings templates for [`Place::JsonString`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonTemplate {
    Null,
    Bool(bool),
    /// The number as written, valid by the JSON grammar.
    Number(Box<str>),
    Text(Template),
    List(Vec<JsonTemplate>),
    /// An element of a list that is there for items, or for none.
    There(There, Box<JsonTemplate>),
    /// Keys escaped as in a JSON string, without the quotes.
    Map(Vec<(Text, JsonTemplate)>),
}

/// A JSON body as an author wrote it, before its texts are compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonSource {
    Null,
    Bool(bool),
    /// The number as written.
    Number(Box<str>),
    Text(Text),
    List(Vec<JsonSource>),
    /// An element of a list that is there for items, or for none.
    There(There, Box<JsonSource>),
    Map(Vec<(Text, JsonSource)>),
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
