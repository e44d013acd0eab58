//! What rows of several kinds are made of: texts, alone or under their fields' names, consent, JSON values.
//!
//! Refuses: being rows.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use smol_str::SmolStr;

use crate::json;
use crate::model::event::{Consent, Texts};
use crate::model::field::Field;
use crate::model::value::{Members, Value};

/// Text values under their fields' names.
#[derive(Clone, Default)]
pub(super) struct TextsRow<'a>(pub Cow<'a, Texts>);

impl Serialize for TextsRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(field, value)| (field.name(), value)))
    }
}

impl<'de> Deserialize<'de> for TextsRow<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Named;
        impl<'de> Visitor<'de> for Named {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("texts under their fields' names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
                let mut texts = Texts::default();
                while let Some((name, value)) = map.next_entry::<Cow<'de, str>, Box<str>>()? {
                    // A field that this version does not know came from a later one; nothing here could ask for it.
                    if let Some(field) = Field::from_name(&name) {
                        texts.set(field, value);
                    }
                }
                Ok(texts)
            }
        }
        deserializer.deserialize_map(Named).map(|texts| Self(Cow::Owned(texts)))
    }
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct ConsentRow {
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    ads: Option<bool>,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    analytics: Option<bool>,
}

impl ConsentRow {
    pub(super) fn of(consent: Consent) -> Option<Self> {
        (consent != Consent::default()).then_some(Self { ads: consent.ads, analytics: consent.analytics })
    }

    pub(super) fn consent(this: Option<Self>) -> Consent {
        this.map(|c| Consent { ads: c.ads, analytics: c.analytics }).unwrap_or_default()
    }
}

/// One JSON value, its numbers as they were sent.
struct ValueOut<'a>(&'a Value);

impl Serialize for ValueOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Null => serializer.serialize_unit(),
            Value::Bool(b) => serializer.serialize_bool(*b),
            Value::Number(text) => {
                let raw: &RawValue = serde_json::from_str(text).map_err(serde::ser::Error::custom)?;
                raw.serialize(serializer)
            }
            Value::Text(text) => serializer.serialize_str(text),
            Value::List(elements) => serializer.collect_seq(elements.iter().map(ValueOut)),
            Value::Map(members) => {
                serializer.collect_map(members.iter().map(|(name, value)| (&**name, ValueOut(value))))
            }
        }
    }
}

/// A level more than a sender may nest: the list or map that holds what was sent.
const DEPTH_MAX: usize = json::DEPTH_MAX + 1;

fn value<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    json::value(&raw, DEPTH_MAX).map_err(serde::de::Error::custom)
}

/// A list of values.
#[derive(Clone, Default)]
pub(super) struct ListRow<'a>(pub Cow<'a, [Value]>);

impl Serialize for ListRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ValueOut))
    }
}

impl<'de> Deserialize<'de> for ListRow<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match value(deserializer)? {
            Value::List(elements) => Ok(Self(Cow::Owned(elements))),
            _ => Err(serde::de::Error::custom("is no list")),
        }
    }
}

impl ListRow<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Values under their names, in order.
#[derive(Clone, Default)]
pub(super) struct MapRow<'a>(pub Cow<'a, Members>);

impl Serialize for MapRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (&**name, ValueOut(value))))
    }
}

impl<'de> Deserialize<'de> for MapRow<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match value(deserializer)? {
            Value::Map(members) => Ok(Self(Cow::Owned(members))),
            _ => Err(serde::de::Error::custom("is no map")),
        }
    }
}

impl MapRow<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A text, borrowed from the row where it stands there as it is.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Str<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl<'a> From<&'a str> for Str<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<Str<'_>> for SmolStr {
    fn from(Str(text): Str<'_>) -> Self {
        Self::new(text)
    }
}

impl From<Str<'_>> for Box<str> {
    fn from(Str(text): Str<'_>) -> Self {
        text.into()
    }
}
