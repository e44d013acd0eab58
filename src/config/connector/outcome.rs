//! One entry of `outcomes`.
//!
//! Refuses: judging replies.

use crate::config::fields::Fields;
use crate::config::json_value;
use crate::config::values;
use crate::model::outcome::{OutcomeRule, PointerTest, Then};

/// Reads one rule.
pub fn read(f: &Fields<'_>) -> Option<OutcomeRule> {
    let status = f.integer("status").and_then(|status| u16::try_from(status).ok());
    let body_contains = f.word("body_contains");
    let json = f.object("json").map(|f| pointer_test(&f));
    let then = f.choice("then", &[Then::Delivered, Then::Retry, Then::Reject]);
    let after = f.duration("after");
    if f.which(&["status", "body_contains", "json"]).is_empty() {
        f.ctx.error(f.at, "an outcome needs something to match: `status`, `body_contains` or `json`");
    }
    if after.is_some() && then.is_some_and(|then| then != Then::Retry) {
        f.ctx.error(f.position("after"), "`after` goes with `then: retry` only: take it away");
    }
    Some(OutcomeRule { status, body_contains, json: json.flatten(), then: then?, after })
}

fn pointer_test(f: &Fields<'_>) -> Option<(Box<str>, PointerTest)> {
    const TESTS: &[&str] = &["equals", "not_equals", "exists"];
    let pointer = f.parsed("pointer", |text| match text.is_empty() || text.starts_with('/') {
        true => Ok(Box::from(text)),
        false => Err(format!("is no JSON pointer: start it with a slash, like /{text}")),
    });
    // `equals: null` is a test like any other, so the null counts as given.
    let value = |name: &str| {
        if f.is_null(name) {
            Some(crate::model::value::Value::Null)
        } else {
            json_value::read(f.ctx, name, f.given(name)?)
        }
    };
    let test = match f.which(TESTS)[..] {
        ["equals"] => value("equals").map(PointerTest::Equals),
        ["not_equals"] => value("not_equals").map(PointerTest::NotEquals),
        ["exists"] => f.parsed("exists", values::boolean).map(PointerTest::Exists),
        _ => {
            f.ctx.error(f.at, "`json` takes a `pointer` and exactly one of equals, not_equals, exists");
            None
        }
    };
    Some((pointer?, test?))
}
