//! The email address of a body that may hold it anywhere: under its own name, in a nested object, in `Name <a@b>`.
//!
//! Refuses: judging whether anybody reads it.

use std::sync::LazyLock;

use regex::Regex;

use crate::ingest::dialects::FieldIn;
use crate::ingest::reading::Input;
use crate::json::{self, DEPTH_MAX};
use crate::model::value::Value;

/// What browsers take for an address (the HTML standard's pattern for `type=email`), with a dot in its domain: in a free
/// text, `a@b` is more often something else.
static ADDRESS: LazyLock<Regex> = LazyLock::new(|| {
    let label = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?";
    Regex::new(&format!(r"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{label}(?:\.{label})+")).expect("the pattern is constant")
});

/// Bytes of a text that are searched: as many as a value may have.
const SEARCHED_MAX: usize = crate::ingest::reading::VALUE_MAX;

/// The address, the first of: that of `email`; one under a name that speaks of mail; any, in the order of the body.
pub(super) fn find(fields: &[FieldIn<'_>]) -> Option<String> {
    let named = |wanted: fn(&str) -> bool| fields.iter().filter(move |(name, _)| wanted(name));
    let own = named(|name| name.eq_ignore_ascii_case("email")).find_map(|(_, input)| first(input, &mut |_| true));
    own.or_else(|| {
        named(|_| true).find_map(|(name, input)| {
            let outer = speaks_of_mail(name);
            first(input, &mut |inner: Option<&str>| outer || inner.is_some_and(speaks_of_mail))
        })
    })
    .or_else(|| fields.iter().find_map(|(_, input)| first(input, &mut |_| true)))
}

fn speaks_of_mail(name: &str) -> bool {
    name.to_ascii_lowercase().contains("mail")
}

/// The first address within `input` under a name that `counts`.
fn first(input: &Input<'_>, counts: &mut dyn FnMut(Option<&str>) -> bool) -> Option<String> {
    match input {
        Input::Text(text) => counts(None).then(|| address(text)).flatten(),
        // What can't be read is told by whoever reads the field.
        Input::Raw(raw) => within(&json::value(raw, DEPTH_MAX).ok()?, None, counts),
    }
}

fn within(value: &Value, name: Option<&str>, counts: &mut dyn FnMut(Option<&str>) -> bool) -> Option<String> {
    match value {
        Value::Text(text) => counts(name).then(|| address(text)).flatten(),
        Value::List(elements) => elements.iter().find_map(|element| within(element, name, counts)),
        Value::Map(members) => members.iter().find_map(|(inner, member)| {
            // A name that speaks of mail speaks for all below it.
            let name = name.filter(|name| speaks_of_mail(name)).unwrap_or(inner);
            within(member, Some(name), counts)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// The first address in a text; one in angle brackets before others.
fn address(text: &str) -> Option<String> {
    // A URL may hold an `@` that is none of an address.
    if !text.contains('@') || text.trim_start().get(..4).is_some_and(|start| start.eq_ignore_ascii_case("http")) {
        return None;
    }
    let end = (0..=text.len().min(SEARCHED_MAX)).rev().find(|at| text.is_char_boundary(*at))?;
    let text = &text[..end];
    let bracketed = text.split_once('<').and_then(|(_, rest)| ADDRESS.find(rest.split_once('>')?.0));
    let found = bracketed.or_else(|| ADDRESS.find(text))?.as_str();
    Some(found.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn of(body: &str) -> Option<String> {
        let raw: Vec<(std::borrow::Cow<'_, str>, &RawValue)> = json::members(body).unwrap();
        find(&raw.into_iter().map(|(name, raw)| (name, Input::Raw(raw))).collect::<Vec<_>>())
    }

    #[test]
    fn it_is_found_wherever_it_stands() {
        for (body, expect) in [
            (r#"{"email":"a@example.com"}"#, Some("a@example.com")),
            (r#"{"email":" Ann <a@example.com> "}"#, Some("a@example.com")),
            (r#"{"x":"help@shop.example","email":"a@example.com"}"#, Some("a@example.com")),
            (r#"{"x":"help@shop.example","email":"none"}"#, Some("help@shop.example")),
            (r#"{"x":"help@shop.example","buyer":{"contactEmail":"a@example.com"}}"#, Some("a@example.com")),
            (r#"{"x":"help@shop.example","E-Mail":{"values":["a@example.com"]}}"#, Some("a@example.com")),
            (
                r#"{"answers":[{"q":"Your address?","a":"write to a+b@mail.example.com, please"}]}"#,
                Some("a+b@mail.example.com"),
            ),
            (r#"{"customer":"b@one.example Ann <a@example.com>"}"#, Some("a@example.com")),
            (r#"{"page":"https://user@host.example/"}"#, None),
            (r#"{"a":"a@b","b":"@x.example","c":7,"d":null}"#, None),
            (r"{}", None),
        ] {
            assert_eq!(of(body).as_deref(), expect, "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_searched(text in "\\PC{0,60}(@\\PC{0,20}){0,3}") {
            if let Some(found) = address(&text) {
                prop_assert!(text.contains(&found) && found.contains('@'));
            }
        }
    }
}
