//! What only several connectors together can get wrong.
//!
//! Refuses: deciding who is paid; it warns that two would be.

use std::collections::HashMap;

use super::connector::Draft;
use super::problem::{Problems, Severity};
use crate::model::connector::{Connector, Triggers};

/// Notes repeated names and clicks that two connectors would be paid for.
pub fn check(drafts: &[Draft], problems: &Problems) {
    let mut names: HashMap<&str, &Draft> = HashMap::new();
    for draft in drafts {
        let name = &*draft.name;
        if let Some(first) = names.get(name) {
            let (file, line) = (problems.name(first.rank), first.name_at.line);
            let message = format!("name: `{name}` is taken by the connector at {file}:{line}: choose another");
            problems.note(draft.rank, Some(draft.name_at), Severity::Error, message);
        } else {
            names.insert(name, draft);
        }
    }
    for (at, one) in drafts.iter().enumerate() {
        for other in &drafts[at + 1..] {
            if let (Some(connector), Some(rival)) = (&one.connector, &other.connector)
                && let Some(param) = shared_param(connector, rival)
            {
                warn_shared(one, other, param, problems);
            }
        }
    }
}

/// The parameter for whose clicks both would be paid, since one of them takes clicks of every source.
fn shared_param<'a>(one: &'a Connector, other: &Connector) -> Option<&'a str> {
    let (click, rival) = (one.click_matching.as_ref()?, other.click_matching.as_ref()?);
    if click.source_value.is_some() && rival.source_value.is_some() {
        return None;
    }
    let same_events = match (&one.triggers, &other.triggers) {
        (Triggers::Every, _) | (_, Triggers::Every) => true,
        (Triggers::Named(a), Triggers::Named(b)) => a.iter().any(|name| b.contains(name)),
    };
    let same_containers = match (&one.containers, &other.containers) {
        (None, _) | (_, None) => true,
        (Some(a), Some(b)) => a.iter().any(|key| b.contains(key)),
    };
    let shared = click.params.iter().find(|param| rival.is_param(param));
    shared.filter(|_| same_events && same_containers).map(|param| &**param)
}

/// The warning stands at the one that lacks `source_value`, the later of two.
fn warn_shared(one: &Draft, other: &Draft, param: &str, problems: &Problems) {
    let lacks = |draft: &Draft| {
        let click = draft.connector.as_ref().and_then(|c| c.click_matching.as_ref());
        click.is_some_and(|c| c.source_value.is_none())
    };
    let (at, rival) = if lacks(other) { (other, one) } else { (one, other) };
    let message = format!(
        "param: `{param}` is also the click ID of `{}`, so both would be paid for one click: give each a `source_param` \
         and a `source_value` of its own",
        rival.name
    );
    problems.note(at.rank, Some(at.click_param_at), Severity::Warning, message);
}
