//! An event while its fields come in, one after the other.
//!
//! Refuses: rules that need more than one field; those wait until all are there (`finish`).

use std::borrow::Cow;

use smol_str::SmolStr;

use super::country::{self, Country};
use super::input::{Input, Unreadable, present};
use super::{ATTRIBUTES_MAX, ITEMS_MAX, Reason, Refused, VALUE_MAX, VARIANTS_MAX};
use crate::json;
use crate::model::event::{Consent, Texts};
use crate::model::field::{Field, camel};
use crate::model::time::Time;
use crate::model::value::{Members, Value};

/// What the fields said so far, and what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Levels of nesting a field may have.
    depth: usize,
    pub container: Option<Box<str>>,
    pub name: Option<SmolStr>,
    pub id: Option<SmolStr>,
    pub time: Option<Time>,
    pub texts: Texts,
    pub email_variants: Vec<Box<str>>,
    pub phone_variants: Vec<Box<str>>,
    pub click_time: Option<Time>,
    pub items: Vec<Value>,
    pub consent: Consent,
    pub attributes: Members,
    pub is_partial: bool,
    pub new_session_at: Option<Time>,
    pub is_test: bool,
    /// Something other than the container was said, be it wrong.
    pub says_something: bool,
    /// `value` was sent, be it unreadable.
    pub has_value: bool,
    /// `currency` was sent, be it unreadable.
    pub has_currency: bool,
    pub refused: Option<Refused>,
}

impl Draft {
    pub fn new(depth: usize) -> Self {
        Self { depth, ..Self::default() }
    }

    /// Notes a problem with the field that the sender called `name`.
    pub fn problem(&mut self, reason: Reason, name: &str, problem: impl Into<String>) {
        let one = Refused::new(reason, shown(name), problem);
        self.refused = Some(match self.refused.take() {
            Some(others) => others.and(one),
            None => one,
        });
    }

    /// Takes one field in, under the name the sender used.
    pub fn take(&mut self, name: &str, input: &Input<'_>) {
        let meant = if name.contains('_') { Cow::Owned(camel(name)) } else { Cow::Borrowed(name) };
        if matches!(&*meant, "k" | "container") {
            if let Some(key) = self.text(name, input) {
                self.container = Some(key.trim().into());
            }
            return;
        }
        self.says_something |= !input.is_blank();
        match &*meant {
            "track" | "event" | "eventName" => {
                if let Some(text) = self.text(name, input) {
                    self.name = Some(text.into());
                }
            }
            "eventId" => {
                if let Some(text) = self.text(name, input) {
                    self.id = Some(text.into());
                }
            }
            "timestamp" | "eventTime" | "occurredAt" => {
                if let Some(time) = self.time_of(name, input) {
                    self.time = Some(time);
                }
            }
            "clickTime" => {
                if let Some(time) = self.time_of(name, input) {
                    self.click_time = Some(time);
                }
            }
            "forceNewSessionCreatedAt" => {
                if let Some(time) = self.time_of(name, input) {
                    self.new_session_at = Some(time);
                }
            }
            "emailVariants" => self.take_variants(name, input, |draft| &mut draft.email_variants),
            "phoneNumberVariants" => self.take_variants(name, input, |draft| &mut draft.phone_variants),
            "consent" => self.take_consent(name, input),
            "items" => self.take_items(name, input),
            "eventAttributes" => self.take_attributes(name, input),
            "isPartial" => {
                if let Some(is_partial) = self.flag(name, input) {
                    self.is_partial = is_partial;
                }
            }
            "trlTest" => {
                if let Some(is_test) = self.flag(name, input) {
                    self.is_test = is_test;
                }
            }
            meant => match Field::from_name(meant) {
                Some(field) => self.take_text(field, name, input),
                None => self.take_attribute(name, input),
            },
        }
    }

    fn take_text(&mut self, field: Field, name: &str, input: &Input<'_>) {
        match field {
            Field::Value => {
                let Some(text) = self.text(name, input) else {
                    return;
                };
                self.has_value = true;
                match decimal(&text) {
                    Some(decimal) => self.texts.set(field, decimal),
                    None => self.problem(Reason::Invalid, name, NO_DECIMAL),
                }
            }
            Field::Currency => {
                let Some(text) = self.text(name, input) else {
                    return;
                };
                self.has_currency = true;
                let code = text.trim();
                if code.len() == 3 && code.bytes().all(|b| b.is_ascii_alphabetic()) {
                    self.texts.set(field, code.to_ascii_uppercase());
                } else {
                    self.problem(Reason::Invalid, name, "is no currency; send three letters as in ISO 4217, like EUR");
                }
            }
            Field::Country => {
                let Some(text) = self.text(name, input) else {
                    return;
                };
                match country::read(&text) {
                    Country::Code(code) => self.texts.set(field, code),
                    Country::Unknown => self.add_attribute(name, Value::Text(text.into())),
                }
            }
            _ => {
                if let Some(text) = self.text(name, input) {
                    self.texts.set(field, text);
                }
            }
        }
    }

    fn take_variants(&mut self, name: &str, input: &Input<'_>, list: fn(&mut Self) -> &mut Vec<Box<str>>) {
        let elements: Result<Vec<Cow<'_, str>>, Unreadable> = match input {
            Input::Raw(raw) if raw.get().starts_with('[') => json::elements(raw.get())
                .map_err(|e| Cow::Owned(e.to_string()))
                .and_then(|elements| elements.into_iter().filter_map(|e| Input::Raw(e).scalar().transpose()).collect()),
            Input::Raw(_) | Input::Text(_) => input.scalar().map(|one| one.into_iter().collect()),
        };
        let Some(elements) = self.noted(name, elements) else {
            return;
        };
        if elements.iter().any(|e| VALUE_MAX < e.len()) {
            self.problem(Reason::TooLarge, name, VALUE_TOO_LONG);
            return;
        }
        let list = list(self);
        list.extend(elements.into_iter().map(Box::<str>::from));
        if VARIANTS_MAX < list.len() {
            list.truncate(VARIANTS_MAX);
            self.problem(Reason::TooLarge, name, format!("has more than {VARIANTS_MAX} entries; send fewer"));
        }
    }

    fn take_consent(&mut self, name: &str, input: &Input<'_>) {
        let text = input.json_text();
        let Some(Some(text)) = self.noted(name, text) else {
            return;
        };
        if !text.trim_start().starts_with('{') {
            self.problem(Reason::Invalid, name, "is no object; send {\"ads\": true, \"analytics\": true}");
            return;
        }
        let members = json::members(&text).map_err(|e| Cow::Owned(e.to_string()));
        for (key, value) in self.noted(name, members).unwrap_or_default() {
            let place = format!("{name}.{key}");
            match &*key {
                "ads" => self.consent.ads = self.flag(&place, &Input::Raw(value)).or(self.consent.ads),
                "analytics" => {
                    self.consent.analytics = self.flag(&place, &Input::Raw(value)).or(self.consent.analytics);
                }
                _ => {}
            }
        }
    }

    fn take_items(&mut self, name: &str, input: &Input<'_>) {
        let text = input.json_text();
        let Some(Some(text)) = self.noted(name, text) else {
            return;
        };
        if !text.trim_start().starts_with('[') {
            self.problem(Reason::Invalid, name, "is no list; send a list of objects");
            return;
        }
        let elements = json::elements(&text).map_err(|e| Cow::Owned(e.to_string()));
        let Some(elements) = self.noted(name, elements) else {
            return;
        };
        if ITEMS_MAX < elements.len() {
            self.problem(Reason::TooLarge, name, format!("has more than {ITEMS_MAX} items; split the order"));
            return;
        }
        let mut items = Vec::with_capacity(elements.len());
        for (index, raw) in elements.into_iter().enumerate() {
            let place = format!("{name}[{index}]");
            if !raw.get().starts_with('{') {
                self.problem(Reason::Invalid, &place, "is no object; send a list of objects");
            } else if VALUE_MAX < raw.get().len() {
                self.problem(Reason::TooLarge, &place, VALUE_TOO_LONG);
            } else {
                // The list itself is one of the levels.
                let item = Input::Raw(raw).value(self.depth.saturating_sub(1));
                items.extend(self.noted(&place, item).flatten());
            }
        }
        self.items = items;
    }

    fn take_attributes(&mut self, name: &str, input: &Input<'_>) {
        let text = input.json_text();
        let Some(Some(text)) = self.noted(name, text) else {
            return;
        };
        if !text.trim_start().starts_with('{') {
            self.problem(Reason::Invalid, name, "is no object; send an object, or one written as JSON text");
            return;
        }
        let members = json::members(&text).map_err(|e| Cow::Owned(e.to_string()));
        let Some(members) = self.noted(name, members) else {
            return;
        };
        for (key, raw) in members {
            if raw.get().len() <= VALUE_MAX {
                let value = json::value(raw, self.depth.saturating_sub(1)).map_err(|e| Cow::Owned(e.to_string()));
                if let Some(value) = self.noted(&format!("{name}.{key}"), value).and_then(present) {
                    self.add_attribute(&key, value);
                }
            } else {
                self.problem(Reason::TooLarge, &format!("{name}.{key}"), VALUE_TOO_LONG);
            }
        }
    }

    fn take_attribute(&mut self, name: &str, input: &Input<'_>) {
        if VALUE_MAX < input.len() {
            self.problem(Reason::TooLarge, name, VALUE_TOO_LONG);
            return;
        }
        let value = input.value(self.depth);
        if let Some(Some(value)) = self.noted(name, value) {
            self.add_attribute(name, value);
        }
    }

    fn add_attribute(&mut self, name: &str, value: Value) {
        if let Some((_, held)) = self.attributes.iter_mut().find(|(known, _)| **known == *name) {
            *held = value;
        } else if self.attributes.len() < ATTRIBUTES_MAX {
            self.attributes.push((name.into(), value));
        } else if !self.refused.as_ref().is_some_and(|r| r.problems.iter().any(|p| p.problem == TOO_MANY_ATTRIBUTES)) {
            self.problem(Reason::TooLarge, "eventAttributes", TOO_MANY_ATTRIBUTES);
        }
    }

    /// A text within its limit; `None` where there is none or it is no text, which is noted.
    fn text<'a>(&mut self, name: &str, input: &Input<'a>) -> Option<Cow<'a, str>> {
        let text = self.noted(name, input.scalar()).flatten()?;
        if VALUE_MAX < text.len() {
            self.problem(Reason::TooLarge, name, VALUE_TOO_LONG);
            return None;
        }
        Some(text)
    }

    fn time_of(&mut self, name: &str, input: &Input<'_>) -> Option<Time> {
        let text = self.text(name, input)?;
        let time = Time::parse(&text);
        if time.is_none() {
            self.problem(Reason::Invalid, name, "is no time; send ISO 8601, or seconds or milliseconds since 1970");
        }
        time
    }

    fn flag(&mut self, name: &str, input: &Input<'_>) -> Option<bool> {
        let text = self.text(name, input)?;
        match text.trim() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => {
                self.problem(Reason::Invalid, name, "must be true or false");
                None
            }
        }
    }

    fn noted<T>(&mut self, name: &str, read: Result<T, Unreadable>) -> Option<T> {
        read.map_err(|problem| self.problem(Reason::Invalid, name, problem)).ok()
    }
}

const TOO_MANY_ATTRIBUTES: &str = "more than 200 attributes; send fewer, or nest them in one object";
const VALUE_TOO_LONG: &str = "longer than 8 kB; send less";
const NO_DECIMAL: &str = "is no decimal number of at most 28 digits; write it like 1234.50";

/// Bytes of a field's name that a problem shows; names are the sender's, so they may be of any length.
const NAME_SHOWN_MAX: usize = 100;

fn shown(name: &str) -> &str {
    let end = (0..=name.len().min(NAME_SHOWN_MAX)).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
    &name[..end]
}

/// A decimal as it is to be kept: as sent (`99.00`), an exponent written out. `None` where it is none.
fn decimal(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    match exponent {
        None => rust_decimal::Decimal::from_str_exact(text).ok().map(|_| text.to_owned()),
        Some(_) => rust_decimal::Decimal::from_scientific(text).ok().map(|d| d.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_keeps_its_text() {
        for (text, expect) in [
            ("99.00", Some("99.00")),
            ("-0.5", Some("-0.5")),
            (" 7 ", Some("7")),
            ("1e3", Some("1000")),
            ("1.25E-2", Some("0.0125")),
            ("99,00", None),
            ("1_000", None),
            ("+5", None),
            (".5", None),
            ("5.", None),
            ("", None),
            ("-", None),
            ("1e", None),
            ("1e999", None),
            ("NaN", None),
            ("99999999999999999999999999999999", None),
        ] {
            assert_eq!(decimal(text).as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn a_long_name_is_shown_in_part() {
        assert_eq!(shown("plan"), "plan");
        assert_eq!(shown(&"ä".repeat(200)).len(), 100);
        assert_eq!(shown(&format!("x{}", "ä".repeat(200))).len(), 99);
    }
}
