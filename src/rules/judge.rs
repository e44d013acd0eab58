//! What an attempt amounts to: a partner's reply, or the failure to get one, becomes an [`Outcome`].
//!
//! Refuses: choosing delays and reading clocks. `now` and the delay, jitter included, are arguments.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::str::FromStr;
use std::time::Duration;

use rust_decimal::Decimal;

use crate::json;
use crate::model::connector::{OnUncertain, PostbackSpec};
use crate::model::delivery::Reason;
use crate::model::outcome::{FailureKind, Met, Outcome, OutcomeRule, PointerTest, Reply, RetryAfter, Then};
use crate::model::time::Time;
use crate::model::value::Value;

/// How far a partner's `Retry-After` may push an attempt away (SPEC section 7).
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// Until when a delivery may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The last moment at which an attempt may start.
    pub at: Time,
    /// What the delivery dies of when it passes.
    pub reason: Reason,
}

/// The earlier of `max_elapsed` after the first attempt was due, the time it was `parked` not counted, and
/// `expires_after` the event.
pub fn deadline(spec: &PostbackSpec, first_due: Time, event_time: Time, parked: Duration) -> Deadline {
    let elapsed = first_due.plus(spec.retry.max_elapsed().saturating_add(parked));
    match spec.expires_after.map(|age| event_time.plus(age)) {
        Some(expiry) if expiry <= elapsed => Deadline { at: expiry, reason: Reason::Expired },
        _ => Deadline { at: elapsed, reason: Reason::RetriesExhausted },
    }
}

/// One attempt to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    pub spec: &'a PostbackSpec,
    pub met: &'a Met,
    pub now: Time,
    /// The schedule's delay before the next attempt, jitter included.
    pub delay: Duration,
    pub deadline: Deadline,
}

/// Judges by the connector's `outcomes`, the first that matches, and else by the defaults of SPEC section 7.
pub fn judge(case: &Case<'_>) -> Outcome {
    match case.met {
        Met::Failure { kind: FailureKind::EgressDenied, .. } => Outcome::Rejected(Reason::EgressDenied),
        Met::Failure { kind, .. } => match case.spec.on_uncertain {
            OnUncertain::Hold if kind.may_have_arrived() => Outcome::Held,
            OnUncertain::Drop if kind.may_have_arrived() => Outcome::Dead(Reason::Uncertain),
            OnUncertain::Hold | OnUncertain::Drop | OnUncertain::Resend => retry(case, case.now.plus(case.delay)),
        },
        Met::Reply(reply) => of_reply(case, reply),
    }
}

/// When a `Retry-After` heard at `now` ends: never before `now`, never later than [`RETRY_AFTER_MAX`] from it.
pub fn retry_after_ends(said: RetryAfter, now: Time) -> Time {
    let latest = now.plus(RETRY_AFTER_MAX);
    match said {
        RetryAfter::In(span) => now.plus(span).min(latest),
        RetryAfter::At(time) => time.clamp(now, latest),
    }
}

fn of_reply(case: &Case<'_>, reply: &Reply) -> Outcome {
    let seen = Seen::new(reply);
    if let Some(rule) = case.spec.outcomes.iter().find(|rule| matches(rule, &seen)) {
        return match rule.then {
            Then::Delivered => Outcome::Delivered,
            Then::Reject if rule.body_contains.is_some() || rule.json.is_some() => Outcome::Rejected(Reason::BodyRule),
            Then::Reject => Outcome::Rejected(Reason::HttpStatus),
            Then::Retry => retry(case, next_attempt(case, reply, rule.after)),
        };
    }
    match reply.status {
        200..=299 => Outcome::Delivered,
        401 | 403 | 408 | 410 | 425 | 429 => retry(case, next_attempt(case, reply, None)),
        500..=599 if reply.status != 501 => retry(case, next_attempt(case, reply, None)),
        _ => Outcome::Rejected(Reason::HttpStatus),
    }
}

/// `after` takes the schedule's place; a `Retry-After` is a lower bound for either.
fn next_attempt(case: &Case<'_>, reply: &Reply, after: Option<Duration>) -> Time {
    let scheduled = case.now.plus(after.unwrap_or(case.delay));
    reply.retry_after.map_or(scheduled, |said| scheduled.max(retry_after_ends(said, case.now)))
}

fn retry(case: &Case<'_>, at: Time) -> Outcome {
    if case.deadline.at < at { Outcome::Dead(case.deadline.reason) } else { Outcome::Retry { at } }
}

/// A reply as rules ask about it: its text and its JSON are read at most once, and only if a rule asks.
struct Seen<'a> {
    reply: &'a Reply,
    text: OnceCell<Cow<'a, str>>,
    json: OnceCell<Option<Value>>,
}

impl<'a> Seen<'a> {
    fn new(reply: &'a Reply) -> Self {
        Self { reply, text: OnceCell::new(), json: OnceCell::new() }
    }

    fn text(&self) -> &str {
        self.text.get_or_init(|| String::from_utf8_lossy(&self.reply.body))
    }

    /// `None` where the body is no JSON.
    fn json(&self) -> Option<&Value> {
        self.json.get_or_init(|| json::parse(self.text()).ok()).as_ref()
    }
}

fn matches(rule: &OutcomeRule, seen: &Seen<'_>) -> bool {
    rule.status.is_none_or(|status| status == seen.reply.status)
        && rule.body_contains.as_deref().is_none_or(|part| seen.text().contains(part))
        && rule.json.as_ref().is_none_or(|(pointer, test)| holds(test, pointer, seen))
}

/// A body that is not there whole says nothing about what it lacks, so no pointer test holds of it. A whole body that is
/// no JSON has nothing at any pointer: `not_equals` and `exists: false` hold.
fn holds(test: &PointerTest, pointer: &str, seen: &Seen<'_>) -> bool {
    if !seen.reply.complete {
        return false;
    }
    let found = seen.json().and_then(|root| at_pointer(root, pointer));
    match test {
        PointerTest::Equals(expected) => found.is_some_and(|value| equal(value, expected)),
        PointerTest::NotEquals(expected) => !found.is_some_and(|value| equal(value, expected)),
        PointerTest::Exists(expected) => found.is_some() == *expected,
    }
}

/// RFC 6901.
fn at_pointer<'v>(root: &'v Value, pointer: &str) -> Option<&'v Value> {
    if pointer.is_empty() {
        return Some(root);
    }
    pointer.strip_prefix('/')?.split('/').try_fold(root, |value, token| match value {
        Value::Map(_) => value.member(&token.replace("~1", "/").replace("~0", "~")),
        Value::List(_) if is_index(token) => value.member(token),
        Value::List(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => None,
    })
}

fn is_index(token: &str) -> bool {
    token == "0" || (!token.starts_with('0') && !token.is_empty() && token.bytes().all(|b| b.is_ascii_digit()))
}

/// Numbers by value (`1.0` is `1`), everything else exactly.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || decimal(a).is_some_and(|a| decimal(b) == Some(a)),
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Map(members), Value::Map(others)) => {
            members.len() == others.len()
                && members.iter().all(|(key, value)| b.member(key).is_some_and(|other| equal(value, other)))
        }
        (a, b) => a == b,
    }
}

fn decimal(number: &str) -> Option<Decimal> {
    Decimal::from_str(number).or_else(|_| Decimal::from_scientific(number)).ok()
}

#[cfg(test)]
mod tests;
