//! Fields in, one event out: the one place that knows what the fields of SPEC section 2.1 mean and what is wrong with
//! them. Every dialect comes down to names and inputs, and hands them to [`read_event`].
//!
//! Refuses: knowing how the fields travelled, and quoting what they say: a problem names the field, never its value.

mod country;
mod draft;
mod finish;
mod input;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use input::Input;

use crate::config::Container;
use crate::model::event::Event;
use crate::model::time::Time;

/// Attributes of one event (SPEC section 13).
pub const ATTRIBUTES_MAX: usize = 200;
/// Bytes of one value (SPEC section 13): a text, an attribute as JSON, one item as JSON.
pub const VALUE_MAX: usize = 8_000;
/// Items of one event: as many as it may have attributes.
pub const ITEMS_MAX: usize = 200;
/// Variants of one e-mail address or phone number. Each is looked up and stored for matching, so a few are meant.
pub const VARIANTS_MAX: usize = 100;
/// Problems listed of one event: more than anyone reads.
pub const PROBLEMS_MAX: usize = 100;
/// Bad elements of an array that are named, each with its first problem: a body of 300 kB holds not many more that say
/// anything.
pub const ELEMENTS_NAMED_MAX: usize = 5_000;

/// What is known about a message or request beside its fields.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    pub containers: &'a [Container],
    /// The container key that came beside the message (AMQP header `container`).
    pub container_header: Option<&'a str>,
    /// The source's own container, for messages that name none.
    pub container_default: Option<&'a str>,
    /// AMQP `message_id` or `Idempotency-Key`: the id of an event that brings none. Blank is none.
    pub message_id: Option<&'a str>,
    /// When the broker says the message was sent.
    pub sent: Option<Time>,
    pub received: Time,
    /// The broker says that it delivered this message before.
    pub redelivered: bool,
}

/// Where in a message an event stands.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Its place in an array, from 0; `None` for an event on its own.
    pub index: Option<usize>,
    /// Levels of nesting its fields may have.
    pub depth: usize,
    /// The event's own bytes, for the content hash.
    pub content: &'a [u8],
}

/// One thing that is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field at fault, as the sender spelt it; `[2].currency` for the third event of an array; empty where it is the
    /// message as a whole.
    pub field: String,
    /// What is wrong and what to write instead. Never quotes the value.
    pub problem: String,
}

/// Why a message is refused, for the header `x-postbackd-reason` and the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A field carries an impossible value.
    Invalid,
    /// It breaks a limit.
    TooLarge,
    /// Its container is missing or unknown.
    UnknownContainer,
    /// It cannot be read at all.
    Malformed,
}

impl Reason {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::UnknownContainer => "unknown_container",
            Self::Malformed => "malformed",
        }
    }
}

/// A message that is refused whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The gravest of its reasons.
    pub reason: Reason,
    /// Its problems, at least one. The first is one of the gravest.
    pub problems: Vec<Problem>,
    /// How many more there are than are listed.
    pub more: usize,
}

impl Refused {
    /// Refused for one problem.
    pub fn new(reason: Reason, field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { reason, problems: vec![Problem { field: field.into(), problem: problem.into() }], more: 0 }
    }

    /// The field at fault, for the header `x-postbackd-field`.
    pub fn field(&self) -> &str {
        self.problems.first().map_or("", |p| &p.field)
    }

    /// Both together: the graver reason, all problems up to [`PROBLEMS_MAX`], those of the graver first; the rest is
    /// counted.
    pub fn and(mut self, mut other: Self) -> Self {
        if self.reason < other.reason {
            std::mem::swap(&mut self, &mut other);
        }
        self.problems.append(&mut other.problems);
        self.more += other.more + self.problems.len().saturating_sub(PROBLEMS_MAX);
        self.problems.truncate(PROBLEMS_MAX);
        self
    }

    /// Those of an array's elements together, at least one: each is named, up to [`ELEMENTS_NAMED_MAX`], one of the
    /// gravest first, and as many problems more as one event may list.
    pub fn of_elements(mut elements: Vec<Self>) -> Option<Self> {
        let reason = elements.iter().map(|element| element.reason).max()?;
        let gravest = elements.iter().position(|element| element.reason == reason)?;
        elements[..=gravest].rotate_right(1);
        let mut all = Self { reason, problems: Vec::new(), more: 0 };
        let mut further = PROBLEMS_MAX;
        for (named, element) in elements.into_iter().enumerate() {
            let listed = if named < ELEMENTS_NAMED_MAX { element.problems.len().min(1 + further) } else { 0 };
            further -= listed.saturating_sub(1);
            all.more += element.more + element.problems.len() - listed;
            all.problems.extend(element.problems.into_iter().take(listed));
        }
        Some(all)
    }
}

/// Reads one event from its fields. Where a field comes twice (in two spellings, or in the query and the body) the later
/// one that is not blank counts.
///
/// # Errors
/// Everything that is wrong with the event, not only the first.
pub fn read_event<'a>(
    context: &Context<'_>,
    place: Place<'_>,
    fields: impl IntoIterator<Item = (Cow<'a, str>, Input<'a>)>,
) -> Result<Event, Refused> {
    let mut draft = draft::Draft::new(place.depth);
    for (name, input) in fields {
        draft.take(&name, &input);
    }
    finish::event(context, place, draft)
}

/// The container whose key this is. Takes the same time whichever key it is, and whether it is one at all, so that
/// answering a guess tells nothing about how near it was.
pub(crate) fn container<'c>(containers: &'c [Container], key: &str) -> Option<&'c Container> {
    use subtle::ConstantTimeEq as _;
    let mut found = None;
    for container in containers {
        if bool::from(container.key.as_bytes().ct_eq(key.as_bytes())) {
            found = Some(container);
        }
    }
    found
}
