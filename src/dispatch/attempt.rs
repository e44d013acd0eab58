//! One attempt, from the job to what is on record of it.
//!
//! Refuses: deciding when it may start, and what comes next; that is the lane's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::breaker::Sign;
use super::client::Wire;
use super::token::{Token, Tokens};
use super::{Ledger, LedgerFailed, Watch, backoff, clock, sign};
use crate::model::connector::{Connector, OnUncertain};
use crate::model::delivery::{Reason, Sending, State};
use crate::model::ids::DeliveryId;
use crate::model::outcome::{Met, Outcome};
use crate::model::postback::Postback;
use crate::model::record::{Attempt, Entry, Haste, Job, Record, ShownRequest};
use crate::model::secret::Secrets;
use crate::model::time::Time;
use crate::rules::judge::{self, Case, Deadline};
use crate::rules::render::{Refusal, render};
use crate::rules::variables::RenderContext;

/// How much of a reply the log keeps (SPEC section 7).
const RESPONSE_SHOWN_MAX: usize = 4096;

/// The connector as it is now, and its wire.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) connector: Arc<Connector>,
    pub(crate) wire: Wire,
    /// Where it needs one that changes.
    pub(crate) tokens: Option<Arc<Tokens>>,
}

/// A job with all it needs.
pub(crate) struct Task {
    pub(crate) job: Job,
    pub(crate) setup: Arc<Setup>,
    /// It is the breaker's probe.
    pub(crate) is_probe: bool,
    /// How long it was parked since its first attempt was due.
    pub(crate) parked: Duration,
    /// How soon its outcome must be on record.
    pub(crate) haste: Haste,
}

/// What the lane learns from an attempt that is on record.
pub(crate) struct Done {
    pub(crate) id: DeliveryId,
    pub(crate) is_probe: bool,
    pub(crate) sign: Sign,
    /// A 429: nothing may be sent before this.
    pub(crate) pause_until: Option<Time>,
    pub(crate) again: Option<Job>,
}

/// What was made of a job: its entry, and what the network was heard to say.
struct Made {
    entry: Entry,
    sign: Sign,
    pause_until: Option<Time>,
}

/// Makes the attempt and answers once it is on record.
///
/// # Errors
/// The ledger failed. What was sent is not sent again because of it.
pub(crate) async fn run(task: Task, ledger: &dyn Ledger, watch: &dyn Watch) -> Result<Done, LedgerFailed> {
    let Task { mut job, setup, is_probe, parked, haste } = task;
    let id = job.delivery.id;
    if ledger.is_withdrawn(id) {
        return Ok(Done { id, is_probe, sign: Sign::None, pause_until: None, again: None });
    }
    let made = make(&mut job, &setup, parked, ledger).await?;
    let at = clock::now();
    // Copied out before the record takes the entry away.
    let seen = Seen::of(&made.entry);
    // The lane learns of a pause once the outcome is on record, and goes on sending until then.
    let haste = if made.pause_until.is_some() { Haste::Now } else { haste };
    ledger.record(record(&job, at, made.entry), haste).await?;
    // Cancelled while it was on its way, it has ended otherwise.
    let is_withdrawn = ledger.is_withdrawn(id);
    seen.tell(&job, at, is_withdrawn, watch);
    let again = match seen.leaves {
        _ if is_withdrawn => None,
        (State::Pending, Some(due)) => {
            job.attempts += 1;
            job.is_repeat |= seen.may_have_arrived;
            job.on_record = true;
            job.due = due;
            Some(job)
        }
        _ => None,
    };
    Ok(Done { id, is_probe, sign: made.sign, pause_until: made.pause_until, again })
}

async fn make(job: &mut Job, setup: &Setup, parked: Duration, ledger: &dyn Ledger) -> Result<Made, LedgerFailed> {
    let connector = &*setup.connector;
    let spec = &connector.postback;
    let now = clock::now();
    let deadline = judge::deadline(spec, job.first_due, job.facts.event.time, parked);
    let is_dry = job.delivery.sending == Sending::Dry;
    if !is_dry && deadline.at < now {
        return Ok(unsent(State::Dead, deadline.reason, late(deadline)));
    }
    let mut postback = match rendered(connector, job, now) {
        Ok(postback) => postback,
        Err(refusal) => return Ok(unsent(State::Skipped, refusal.reason, refusal.detail)),
    };
    if let Some(signing) = &spec.sign {
        sign::sign(&mut postback, signing, job.delivery.id, now);
    }
    if is_dry {
        let entry = Entry::Rendered(Box::new(ShownRequest::from(&postback)));
        return Ok(Made { entry, sign: Sign::None, pause_until: None });
    }
    let (started, clock) = (clock::now(), Instant::now());
    let token = token(setup).await;
    if let Some(Ok(token)) = &token {
        token.put_into(&mut postback);
    }
    let prepared = match setup.wire.prepare(&postback, spec.timeout.total) {
        Ok(prepared) => prepared,
        Err(unsendable) => return Ok(unsent(State::Skipped, Reason::RenderFailed, unsendable.to_string())),
    };
    let number = job.attempts + 1;
    let (met, secrets) = match &token {
        Some(Err(met)) => (met.clone(), &connector.secrets),
        Some(Ok(_)) | None => {
            if spec.on_uncertain != OnUncertain::Resend {
                ledger.record(record(job, now, Entry::Started { number }), Haste::Now).await?;
                job.on_record = true;
            }
            let secrets =
                token.as_ref().and_then(|token| token.as_ref().ok()).map_or(&connector.secrets, |t| &t.secrets);
            (prepared.send(secrets).await, secrets)
        }
    };
    let duration = clock.elapsed();
    let ended = clock::now();
    let has_ended = has_ended(setup, token.as_ref(), &met).await;
    let delay = match has_ended {
        true => Duration::ZERO,
        false => backoff::delay(&spec.retry, number, fastrand::f64().mul_add(2.0, -1.0)),
    };
    let outcome = judge::judge(&Case { spec, met: &met, now: ended, delay, deadline });
    let attempt = Attempt {
        number,
        revision: connector.revision.clone(),
        started,
        duration,
        request: ShownRequest::from(&postback),
        status: met.status(),
        response: shown_response(&met, secrets),
        failure: shown_failure(&met),
        outcome,
        is_repeat: job.is_repeat,
        may_have_arrived: met.may_have_arrived(),
    };
    let pause_until = pause(&met, ended, spec.retry.initial());
    // A token that has ended says nothing of the partner's health.
    let sign = if has_ended { Sign::None } else { Sign::of(&met) };
    Ok(Made { entry: Entry::Attempted(Box::new(attempt)), sign, pause_until })
}

/// The token to send with, where one is needed.
async fn token(setup: &Setup) -> Option<Result<Arc<Token>, Met>> {
    let connector = &*setup.connector;
    Some(setup.tokens.as_ref()?.get(&setup.wire, connector.postback.timeout.total, &connector.secrets).await)
}

/// Whether the token that was sent has ended, so that it is tried again at once with another.
async fn has_ended(setup: &Setup, token: Option<&Result<Arc<Token>, Met>>, met: &Met) -> bool {
    match (&setup.tokens, token) {
        (Some(tokens), Some(Ok(token))) => tokens.met(token, met).await,
        _ => false,
    }
}

/// A panic while rendering concerns one event and ends its delivery; it would come again at every start otherwise.
fn rendered(connector: &Connector, job: &Job, now: Time) -> Result<Postback, Refusal> {
    let context = RenderContext {
        connector,
        facts: &job.facts,
        delivery: &job.delivery,
        item: job.delivery.item,
        attempt: job.attempts + 1,
        is_repeat: job.is_repeat,
        now,
    };
    let panicked = || Refusal { reason: Reason::RenderFailed, detail: "internal error while rendering".to_owned() };
    catch_unwind(AssertUnwindSafe(|| render(&connector.postback, &context))).unwrap_or_else(|_| Err(panicked()))
}

fn record(job: &Job, at: Time, entry: Entry) -> Record {
    Record {
        delivery: job.delivery.id,
        connector: job.delivery.connector.clone(),
        at,
        on_record: job.on_record,
        first_due: job.first_due,
        entry,
    }
}

fn unsent(state: State, reason: Reason, detail: String) -> Made {
    let entry = Entry::Ended { state, reason: Some(reason), detail: Some(detail.into()) };
    Made { entry, sign: Sign::None, pause_until: None }
}

fn late(deadline: Deadline) -> String {
    let limit = if deadline.reason == Reason::Expired { "expires_after" } else { "retry.max_elapsed" };
    format!("{limit} had passed at {}", deadline.at)
}

/// A 429 pauses the lane until its `Retry-After`, or for the first delay of the schedule.
fn pause(met: &Met, now: Time, otherwise: Duration) -> Option<Time> {
    match met {
        Met::Reply(reply) if reply.status == 429 => {
            let said = reply.retry_after.map(|said| judge::retry_after_ends(said, now));
            Some(said.unwrap_or_else(|| now.plus(otherwise)))
        }
        Met::Reply(_) | Met::Failure { .. } => None,
    }
}

/// Scrubbed first and cut then, so that no half of a secret stays at the cut.
fn shown_response(met: &Met, secrets: &Secrets) -> Box<str> {
    let Met::Reply(reply) = met else { return Box::default() };
    let text = String::from_utf8_lossy(&reply.body);
    let text = if reply.complete { secrets.scrub(&text) } else { secrets.scrub_cut(&text) };
    text[..text.floor_char_boundary(RESPONSE_SHOWN_MAX)].into()
}

fn shown_failure(met: &Met) -> Option<Box<str>> {
    match met {
        Met::Reply(_) => None,
        Met::Failure { kind, detail } => Some(format!("{}: {detail}", kind.word()).into()),
    }
}

/// What the metrics want to know of an entry.
struct Seen {
    leaves: (State, Option<Time>),
    attempt: Option<(Outcome, Option<u16>, Duration)>,
    reason: Option<Reason>,
    may_have_arrived: bool,
}

impl Seen {
    fn of(entry: &Entry) -> Self {
        let (state, reason, due) = entry.leaves();
        let attempt = match entry {
            Entry::Attempted(a) => Some((a.outcome, a.status, a.duration)),
            Entry::Started { .. } | Entry::Rendered(_) | Entry::Ended { .. } => None,
        };
        let may_have_arrived = matches!(entry, Entry::Attempted(a) if a.may_have_arrived);
        Self { leaves: (state, due), attempt, reason, may_have_arrived }
    }

    fn tell(&self, job: &Job, at: Time, is_withdrawn: bool, watch: &dyn Watch) {
        let connector = &job.delivery.connector;
        if let Some((outcome, status, duration)) = self.attempt {
            watch.attempted(connector, &outcome, status, duration);
        }
        if is_withdrawn {
            return;
        }
        if self.reason == Some(Reason::Uncertain) {
            watch.uncertain(connector);
        }
        let state = self.leaves.0;
        if state == State::Delivered {
            watch.delivered(connector, at.since(job.facts.event.received));
        }
        if state.is_final() || state == State::Held {
            watch.ended(connector, job.delivery.id, state, self.reason);
        }
    }
}
