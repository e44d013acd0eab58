//! One entry of `fixtures`.
//!
//! Refuses: running it.

use crate::config::fields::Fields;
use crate::config::fixtures::{Expect, ExpectBody, Fixture};
use crate::config::json_value;
use crate::config::node::{Member, Tree};
use crate::config::values;
use crate::model::delivery::Reason;
use crate::model::postback::Method;
use crate::model::value::Value;

/// Reads one example.
pub fn read(f: &Fields<'_>) -> Option<Fixture> {
    let event = f.given("event").and_then(|node| {
        let value = json_value::read(f.ctx, "event", node)?;
        if !matches!(value, Value::Map(_)) {
            f.ctx.error(node.at, format!("`event` must be a mapping like {{track: Purchase}}, not {}", node.kind()));
        }
        Some(value)
    });
    let mut clicks = Vec::new();
    for node in f.elements("clicks").unwrap_or_default() {
        match &node.tree {
            Tree::Map(members) => clicks.push(pairs(f, members)),
            Tree::Reported => {}
            Tree::Scalar(_) | Tree::List(_) => {
                f.ctx.error(
                    node.at,
                    format!("a click must be a mapping like {{aff_click_id: abc}}, not {}", node.kind()),
                );
            }
        }
    }
    let expect = f.object("expect").and_then(|f| expect(&f));
    let at = f.position("expect");
    Some(Fixture { event: event?, clicks, expect: expect?, line: at.line, column: at.column })
}

fn expect(f: &Fields<'_>) -> Option<Expect> {
    let text = |name: &str| f.parsed(name, |text| Ok(Box::<str>::from(text)));
    let body = text("body").map(ExpectBody::Text);
    let form = f.members("form").map(|members| ExpectBody::Form(pairs(f, members)));
    let json = f.given("json").and_then(|node| json_value::read(f.ctx, "json", node)).map(ExpectBody::Json);
    let reason = f.parsed("reason", reason);
    let url = text("url");
    let method = f.choice("method", &[Method::Get, Method::Post]);
    let headers = pairs(f, f.members("headers").unwrap_or_default());
    let bodies = f.which(&["body", "form", "json"]);
    if 1 < bodies.len() {
        f.ctx.error(f.at, format!("`expect` takes one of body, form and json, not {}", bodies.join(" and ")));
    }
    let request = f.which(&["url", "method", "headers", "body", "form", "json"]);
    match (f.which(&["reason"]).is_empty(), request.is_empty()) {
        (true, true) => {
            f.ctx.error(f.at, "`expect` says nothing: give `url` or another part of the request, or a `reason`")
        }
        (false, false) => {
            f.ctx.error(f.at, format!("`expect` takes a `reason` or a request ({}), not both", request.join(", ")));
        }
        _ => {}
    }
    let headers = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase().into(), value)).collect();
    Some(Expect { url, method, headers, body: body.or(form).or(json), reason })
}

fn reason(text: &str) -> Result<Reason, values::Wrong> {
    let skips = || Reason::ALL.iter().copied().filter(|reason| *reason <= Reason::RenderFailed);
    Reason::from_word(text).filter(|found| skips().any(|r| r == *found)).ok_or_else(|| {
        match values::nearest(text, skips().map(Reason::word)) {
            Some(near) => format!("is no reason of a skip; did you mean `{near}`?"),
            None => format!("is no reason of a skip: {}", skips().map(Reason::word).collect::<Vec<_>>().join(", ")),
        }
    })
}

fn pairs(f: &Fields<'_>, members: &[Member]) -> Vec<(Box<str>, Box<str>)> {
    let pair = |m: &Member| Some((m.key.clone(), f.ctx.text(&m.key, &m.value)?.text.reveal().into()));
    members.iter().filter_map(pair).collect()
}
