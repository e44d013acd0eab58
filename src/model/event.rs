//! An event as every dialect delivers it: what happened, when, and what was said with it.
//!
//! Refuses: knowing where it came from. A dialect that needs a field of its own needs a word in [`Field`] instead.

use std::fmt;
use std::ops::Range;

use smol_str::SmolStr;

use super::field::Field;
use super::ids::ContainerKey;
use super::time::Time;
use super::value::{Members, Value};

/// What makes an event the same event when it comes again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventId {
    /// Given by the sender or the broker: never blank.
    Given(SmolStr),
    /// Assigned by us, since none was given. `content` is a hash of the message, compared only when the broker says
    /// that this is a redelivery.
    Assigned { id: SmolStr, content: u128, redelivered: bool },
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

/// Bytes and fields that most events have room enough with.
const USUAL_BYTES: usize = 288;
const USUAL_FIELDS: usize = 12;

/// Text values of standard fields, sorted by field, at most one each, none blank.
///
/// All of them stand in one piece of memory: an event goes from thread to thread, and what lies together moves together.
#[derive(Clone, Default)]
pub struct Texts {
    whole: String,
    /// Sorted by field.
    places: Vec<(Field, Place)>,
}

/// Where in the whole a value is. Four bytes each are plenty: some sixty fields have 8 kB at most (SPEC section 13).
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    end: u32,
}

impl Place {
    fn new(start: usize, end: usize) -> Self {
        let short = |at| u32::try_from(at).expect("the texts of an event are not gigabytes");
        Self { start: short(start), end: short(end) }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Texts {
    /// The value of `field`.
    pub fn of(&self, field: Field) -> Option<&str> {
        self.place(field).ok().map(|at| &self.whole[self.places[at].1.range()])
    }

    /// Sets `field`, replacing what it held; a blank value is no value and leaves the field as it was.
    pub fn set(&mut self, field: Field, value: impl AsRef<str>) {
        let value = value.as_ref();
        if value.trim().is_empty() {
            return;
        }
        self.remove(field);
        if self.whole.capacity() == 0 {
            self.whole.reserve(USUAL_BYTES.max(value.len()));
            self.places.reserve(USUAL_FIELDS);
        }
        let start = self.whole.len();
        self.whole.push_str(value);
        let (Ok(at) | Err(at)) = self.place(field);
        self.places.insert(at, (field, Place::new(start, self.whole.len())));
    }

    /// Takes `field` away.
    pub fn remove(&mut self, field: Field) {
        let Ok(at) = self.place(field) else { return };
        let (_, gone) = self.places.remove(at);
        self.whole.replace_range(gone.range(), "");
        let length = gone.end - gone.start;
        for (_, place) in self.places.iter_mut().filter(|(_, place)| gone.end <= place.start) {
            *place = Place { start: place.start - length, end: place.end - length };
        }
    }

    /// All of them, in the order of [`Field::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Field, &str)> {
        self.places.iter().map(|(field, place)| (*field, &self.whole[place.range()]))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Where `field` stands among the places, or would.
    fn place(&self, field: Field) -> Result<usize, usize> {
        self.places.binary_search_by_key(&field, |(f, _)| *f)
    }
}

impl PartialEq for Texts {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Texts {}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// One event, within the limits of SPEC section 13.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub container: ContainerKey,
    pub id: EventId,
    /// Present: a track event, which can trigger connectors. Absent: a set event, which only enriches.
    pub name: Option<SmolStr>,
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
    pub attributes: Members,
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
            id: EventId::Given(SmolStr::default()),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_a_map_without_blanks(steps in prop::collection::vec((0..6_usize, "[ aé]{0,4}", any::<bool>()), 0..40)) {
            let (mut texts, mut map) = (Texts::default(), BTreeMap::new());
            for (field, value, is_set) in steps {
                let field = Field::ALL[field];
                if !is_set {
                    texts.remove(field);
                    map.remove(&field);
                } else {
                    texts.set(field, &value);
                    if !value.trim().is_empty() {
                        map.insert(field, value);
                    }
                }
                prop_assert!(texts.iter().eq(map.iter().map(|(field, value)| (*field, &**value))));
                prop_assert!(Field::ALL.iter().all(|field| texts.of(*field) == map.get(field).map(|value| &**value)));
                prop_assert_eq!(texts.is_empty(), map.is_empty());
                prop_assert_eq!(texts.whole.len(), map.values().map(String::len).sum::<usize>(), "nothing stays of what is gone");
                let mut again = Texts::default();
                map.iter().rev().for_each(|(field, value)| again.set(*field, value));
                prop_assert_eq!(&texts, &again, "in whatever order they came");
            }
        }
    }
}
