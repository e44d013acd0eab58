//! An event as every dialect delivers it: what happened, when, and what was said with it.
//!
//! Refuses: knowing where it came from. A dialect that needs a field of its own needs a word in [`Field`] instead.

use std::fmt;

use super::field::Field;
use super::ids::ContainerKey;
use super::time::Time;
use super::value::Value;

/// What makes an event the same event when it comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventId {
    /// Given by the sender or the broker: never blank.
    Given(Box<str>),
    /// Assigned by us, since none was given. `content` is a hash of the message, compared only when the broker says
    /// that this is a redelivery.
    Assigned { id: Box<str>, content: u128, redelivered: bool },
}

impl EventId {
    /// The id as shown, and as `<<EVENT_ID>>`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Given(id) | Self::Assigned { id, .. } => id,
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the visitor agreed to; `None` where nothing was said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consent {
    pub ads: Option<bool>,
    pub analytics: Option<bool>,
}

/// Text values of standard fields, sorted by field, at most one each, none blank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts(Vec<(Field, Box<str>)>);

impl Texts {
    /// The value of `field`.
    pub fn of(&self, field: Field) -> Option<&str> {
        self.0.binary_search_by_key(&field, |(f, _)| *f).ok().map(|at| &*self.0[at].1)
    }

    /// Sets `field`, replacing what it held; a blank value is no value and leaves the field as it was.
    pub fn set(&mut self, field: Field, value: impl Into<Box<str>>) {
        let value = value.into();
        if value.trim().is_empty() {
            return;
        }
        match self.0.binary_search_by_key(&field, |(f, _)| *f) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (field, value)),
        }
    }

    /// Takes `field` away.
    pub fn remove(&mut self, field: Field) {
        self.0.retain(|(f, _)| *f != field);
    }

    /// All of them, in the order of [`Field::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Field, &str)> {
        self.0.iter().map(|(field, value)| (*field, &**value))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One event, within the limits of SPEC section 13.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub container: ContainerKey,
    pub id: EventId,
    /// Present: a track event, which can trigger connectors. Absent: a set event, which only enriches.
    pub name: Option<Box<str>>,
    /// When it happened, as the sender says; never more than five minutes after `received`.
    pub time: Time,
    pub received: Time,
    pub texts: Texts,
    /// Further spellings of the person's e-mail address and phone number, used for matching only.
    pub email_variants: Vec<Box<str>>,
    pub phone_variants: Vec<Box<str>>,
    /// When the click whose ID came in a field happened, if the sender said so.
    pub click_time: Option<Time>,
    /// Each a [`Value::Map`].
    pub items: Vec<Value>,
    pub consent: Consent,
    /// Custom attributes under the names the sender used.
    pub attributes: Vec<(Box<str>, Value)>,
    /// More is coming under the same id.
    pub is_partial: bool,
    /// A session starts at this time, however short the gap.
    pub new_session_at: Option<Time>,
    /// `trl_test=1` in its URL, its query or a field.
    pub is_test: bool,
}

impl Event {
    /// An event of which nothing is known but when it happened and when it came.
    pub fn bare(time: Time, received: Time) -> Self {
        Self {
            container: ContainerKey::default(),
            id: EventId::Given(Box::default()),
            name: None,
            time,
            received,
            texts: Texts::default(),
            email_variants: Vec::new(),
            phone_variants: Vec::new(),
            click_time: None,
            items: Vec::new(),
            consent: Consent::default(),
            attributes: Vec::new(),
            is_partial: false,
            new_session_at: None,
            is_test: false,
        }
    }

    /// The attribute called `name` as the sender spelt it.
    pub fn attribute(&self, name: &str) -> Option<&Value> {
        self.attributes.iter().find(|(n, _)| &**n == name).map(|(_, value)| value)
    }
}
