//! One entry of `when`.
//!
//! Refuses: comparing.

use regex::{Regex, RegexBuilder};

use crate::config::fields::Fields;
use crate::config::templates::Templates;
use crate::config::values;
use crate::model::condition::{Condition, Test};

/// Bytes of a compiled expression: generous for a person's pattern, small for a machine that runs hundreds.
const REGEX_SIZE_MAX: usize = 1 << 20;

const TESTS: &[&str] = &["eq", "ne", "in", "not_in", "gt", "gte", "lt", "lte", "exists", "matches"];

/// Reads one condition.
pub fn read(f: &Fields<'_>, templates: &Templates<'_>) -> Option<Condition> {
    let variable = f.given("variable").and_then(|node| templates.slot("variable", node));
    let given = f.which(TESTS);
    let [name] = given[..] else {
        let message = match given.as_slice() {
            [] => format!("a condition needs one test besides `variable`: {}", TESTS.join(", ")),
            many => format!("a condition takes one test, not {}: write one condition for each", many.join(" and ")),
        };
        f.ctx.error(f.at, message);
        // Asked for all the same, so that each is checked.
        for name in TESTS {
            let _ = test(f, name);
        }
        return None;
    };
    Some(Condition { test: test(f, name)?, variable: variable? })
}

fn test(f: &Fields<'_>, name: &str) -> Option<Test> {
    let text = |name: &str| f.parsed(name, |text| Ok(Box::from(text)));
    let number = |name: &str| f.parsed(name, values::decimal);
    let found = match name {
        "eq" => text(name).map(Test::Eq),
        "ne" => text(name).map(Test::Ne),
        "in" => texts(f, name).map(Test::In),
        "not_in" => texts(f, name).map(Test::NotIn),
        "gt" => number(name).map(Test::Gt),
        "gte" => number(name).map(Test::Gte),
        "lt" => number(name).map(Test::Lt),
        "lte" => number(name).map(Test::Lte),
        "exists" => f.parsed(name, values::boolean).map(Test::Exists),
        _ => f.parsed(name, regex).map(Test::Matches),
    };
    if f.is_null(name) {
        f.ctx.error(
            f.position(name),
            format!("`{name}: null` compares with nothing: write `exists: false` for a missing value"),
        );
    }
    found
}

fn texts(f: &Fields<'_>, name: &str) -> Option<Vec<Box<str>>> {
    let elements = f.elements(name)?;
    if elements.is_empty() {
        f.ctx.error(f.position(name), format!("`{name}: []` names nothing to compare with: write some values"));
    }
    f.all(name, |text| Ok(Box::from(text)))
}

fn regex(text: &str) -> Result<Regex, values::Wrong> {
    RegexBuilder::new(text).size_limit(REGEX_SIZE_MAX).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "is too large a regular expression: repeat less".to_owned(),
        error => {
            // The message proper is the last line, below a drawing of the place.
            let message = error.to_string();
            let last = message.lines().last().unwrap_or_default();
            format!("is no regular expression: {}", last.strip_prefix("error: ").unwrap_or(last))
        }
    })
}
