//! An event that a person hands in, read exactly as one from a queue.
//!
//! Refuses: rules of its own. A container that is not named is the one at hand, so that a sample stays short.

use super::answer::FieldProblem;
use crate::config::Config;
use crate::ingest::dialects::flat;
use crate::ingest::reading::Context;
use crate::model::event::Event;
use crate::model::time::Time;

/// Reads one event (SPEC section 2.1) from `text`, a JSON object. `container` is the key of the container it is from if
/// it names none; else that is the configuration's first.
///
/// # Errors
/// Every field at fault, with what is wrong.
pub fn event(text: &str, config: &Config, container: Option<&str>, received: Time) -> Result<Event, Vec<FieldProblem>> {
    let refused = |problem: &str| vec![FieldProblem::new("", problem)];
    if !text.trim_start().starts_with('{') {
        return Err(refused("is no JSON object; give one event"));
    }
    let context = Context {
        containers: &config.containers,
        container_header: None,
        container_default: container.or_else(|| config.containers.first().map(|c| &*c.key)),
        message_id: None,
        sent: None,
        received,
        redelivered: false,
    };
    let read = flat::read_message(text.as_bytes(), &context).map_err(|refused| {
        refused.problems.into_iter().map(|p| FieldProblem::new(p.field, p.problem)).collect::<Vec<_>>()
    })?;
    read.into_iter().next().ok_or_else(|| refused("holds no event"))
}

/// As [`event`], taken as if it had arrived when it happened, so that an old event is not found to be expired or past
/// waiting for a click.
///
/// # Errors
/// As [`event`].
pub fn as_it_happened(
    text: &str,
    config: &Config,
    container: Option<&str>,
    now: Time,
) -> Result<Event, Vec<FieldProblem>> {
    let mut read = event(text, config, container, now)?;
    read.received = read.received.min(read.time);
    Ok(read)
}
