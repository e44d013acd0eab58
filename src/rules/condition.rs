//! A connector's conditions, asked of one event.
//!
//! Refuses: guessing at numbers. `gt` and its kin fail where the value is none.

use std::borrow::Cow;

use rust_decimal::Decimal;

use crate::model::condition::{Condition, Test};

use super::filter::decimal;
use super::variables::{Datum, RenderContext, lookup};

/// Whether `condition` holds; what a missing value means is said at [`Test`].
pub fn holds(condition: &Condition, ctx: &RenderContext<'_>) -> bool {
    let value = lookup(&condition.variable, ctx).map(Datum::text);
    let text = value.as_deref();
    let is = |wanted: &str| text.is_some_and(|t| t == wanted);
    let compared = |test: fn(&Decimal, &Decimal) -> bool, limit: &Decimal| {
        value.as_ref().and_then(|v: &Cow<'_, str>| decimal(v)).is_some_and(|v| test(&v, limit))
    };
    match &condition.test {
        Test::Eq(wanted) => is(wanted),
        Test::Ne(unwanted) => !is(unwanted),
        Test::In(wanted) => wanted.iter().any(|w| is(w)),
        Test::NotIn(unwanted) => !unwanted.iter().any(|u| is(u)),
        Test::Gt(limit) => compared(Decimal::gt, limit),
        Test::Gte(limit) => compared(Decimal::ge, limit),
        Test::Lt(limit) => compared(Decimal::lt, limit),
        Test::Lte(limit) => compared(Decimal::le, limit),
        Test::Exists(wanted) => value.is_some() == *wanted,
        Test::Matches(pattern) => text.is_some_and(|t| pattern.is_match(t)),
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::rules::template::compile_slot;
    use crate::rules::testing::Sample;

    #[test]
    fn conditions_compare_text_as_text_and_amounts_as_decimals() {
        let sample = Sample::default();
        let texts = |all: &[&str]| all.iter().map(|t| (*t).into()).collect::<Vec<Box<str>>>();
        for (variable, test, expect) in [
            ("CURRENCY", Test::Eq("EUR".into()), true),
            ("CURRENCY", Test::Eq("eur".into()), false),
            ("CURRENCY", Test::Ne("SEK".into()), true),
            ("CURRENCY", Test::In(texts(&["SEK", "EUR"])), true),
            ("CURRENCY", Test::NotIn(texts(&["SEK"])), true),
            ("CURRENCY", Test::NotIn(texts(&["EUR"])), false),
            ("VALUE", Test::Gt("98.999".parse().unwrap()), true),
            ("VALUE", Test::Gt(99.into()), false),
            ("VALUE", Test::Gte(99.into()), true),
            ("VALUE", Test::Lte(99.into()), true),
            ("VALUE", Test::Lt(99.into()), false),
            ("CURRENCY", Test::Gt(0.into()), false),
            ("VALUE", Test::Exists(true), true),
            ("VALUE", Test::Exists(false), false),
            ("EMAIL", Test::Matches(Regex::new("@Example\\.com ?$").unwrap()), true),
            ("IS_TEST", Test::Eq("false".into()), true),
            ("NO_SUCH_THING", Test::Eq("".into()), false),
            ("NO_SUCH_THING", Test::Ne("x".into()), true),
            ("NO_SUCH_THING", Test::NotIn(texts(&["x"])), true),
            ("NO_SUCH_THING", Test::In(texts(&["x"])), false),
            ("NO_SUCH_THING", Test::Lt(1.into()), false),
            ("NO_SUCH_THING", Test::Exists(false), true),
            ("NO_SUCH_THING", Test::Matches(Regex::new("").unwrap()), false),
        ] {
            let condition = Condition { variable: compile_slot(variable).unwrap().template, test };
            assert_eq!(holds(&condition, &sample.ctx()), expect, "{variable} {:?}", condition.test);
        }
    }
}
