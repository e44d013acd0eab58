//! Tells what happens: it reads the delivery log again and again and puts whatever is different into words.
//!
//! Refuses: telling what is not in the log. A decision, a request, a reply stands here because the daemon has recorded it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::Halt;
use super::page::{Mark, Page};
use super::words;
use crate::model::delivery::{Delivery, Sending, State};
use crate::model::ids::{DeliveryId, Seq};
use crate::model::outcome::Outcome;
use crate::model::record::Attempt;
use crate::store::{DeliveryDetail, DeliveryFilter, LoggedEntry, Store};

/// How many of the newest deliveries are looked at. Who pours in more at once reads the log with `postbackd log`.
const LOOKED_AT: usize = 200;

/// How often.
const LOOKED_EVERY: Duration = Duration::from_millis(50);

/// What has been told of a delivery.
#[derive(Debug)]
struct Told {
    state: State,
    attempts: u32,
    /// Entries of its log.
    entries: usize,
    /// It is decided for good: sent or skipped.
    decided: bool,
}

/// The story so far.
pub(super) struct Story<'p, 'w> {
    pub page: &'p mut Page<'w>,
    store: Store,
    told: HashMap<DeliveryId, Told>,
    /// Events that the shop has announced.
    announced: HashSet<&'static str>,
    /// Events of others that were told, by their place in the store.
    guests: HashSet<Seq>,
    /// The newest event: what follows it directly need not name it.
    last: Option<String>,
    /// Of the longest connector's name.
    width: usize,
}

impl<'p, 'w> Story<'p, 'w> {
    /// `width` is that of the longest connector's name.
    pub fn new(page: &'p mut Page<'w>, store: Store, width: usize) -> Self {
        let (told, announced, guests) = (HashMap::new(), HashSet::new(), HashSet::new());
        Self { page, store, told, announced, guests, last: None, width }
    }

    /// The shop sends an event.
    pub fn event(&mut self, id: &'static str, text: &str) {
        self.announced.insert(id);
        self.last = Some(id.to_owned());
        self.page.happened(Mark::Event, text);
    }

    /// Tells what comes, for so long.
    ///
    /// # Errors
    /// Nobody reads any more, or the store does not answer.
    pub async fn watch(&mut self, span: Duration) -> Result<(), Halt> {
        let end = tokio::time::Instant::now() + span;
        while tokio::time::Instant::now() < end {
            tokio::time::sleep_until(end.min(tokio::time::Instant::now() + LOOKED_EVERY)).await;
            self.look().await?;
        }
        Ok(())
    }

    /// Tells what is new.
    ///
    /// # Errors
    /// As [`Self::watch`].
    pub async fn look(&mut self) -> Result<(), Halt> {
        let page = self.store.deliveries(DeliveryFilter::default(), LOOKED_AT, None).await?;
        for line in page.items.iter().rev() {
            let known = self.told.get(&line.id);
            if known.is_some_and(|told| told.state == line.state && told.attempts == line.attempts) {
                continue;
            }
            if let Some(detail) = self.store.delivery(line.id).await? {
                self.tell(&detail);
            }
        }
        // What has left the page is not looked at again.
        let shown: HashSet<DeliveryId> = page.items.iter().map(|line| line.id).collect();
        self.told.retain(|id, _| shown.contains(id));
        self.guests.retain(|seq| shown.iter().any(|id| id.seq() == *seq));
        if self.page.is_read() { Ok(()) } else { Err(Halt::NobodyReads) }
    }

    fn tell(&mut self, detail: &DeliveryDetail) {
        let line = &detail.line;
        self.guest(detail);
        let before = self.told.remove(&line.id);
        let waited = before.as_ref().is_some_and(|told| !told.decided);
        let was_decided = before.as_ref().is_some_and(|told| told.decided);
        let entries = before.map_or(0, |told| told.entries);
        match line.state {
            State::Waiting if !waited => self.waits(detail),
            State::Waiting => {}
            _ if was_decided => {}
            State::Skipped => self.decided(Mark::Skip, detail, waited),
            _ => self.decided(Mark::Send, detail, waited),
        }
        for entry in &detail.log[entries.min(detail.log.len())..] {
            match &entry.what {
                LoggedEntry::Started { .. } => {}
                LoggedEntry::Attempted(attempt) => self.attempted(detail, attempt),
                LoggedEntry::Rendered(request) => {
                    self.page.happened(Mark::Test, &format!("{}: written to the log, not sent", subject(detail)));
                    words::request(request).iter().for_each(|text| self.page.more(text));
                }
                // Told as a decision.
                LoggedEntry::Ended { state: State::Skipped, .. } if !was_decided => {}
                LoggedEntry::Ended { state, reason, detail: more } => {
                    let why = words::why(*reason, more.as_deref());
                    self.page.happened(Mark::GivenUp, &format!("{}: {}, {why}", subject(detail), state.word()));
                }
                LoggedEntry::Replayed => {
                    self.page.happened(Mark::Known, &format!("{}: replayed by hand", subject(detail)));
                }
            }
        }
        let told = Told {
            state: line.state,
            attempts: line.attempts,
            entries: detail.log.len(),
            decided: line.state != State::Waiting,
        };
        self.told.insert(line.id, told);
    }

    /// An event that the shop did not send is somebody's own, and worth a line.
    fn guest(&mut self, detail: &DeliveryDetail) {
        let line = &detail.line;
        if !self.announced.contains(&*line.event_id) && self.guests.insert(line.id.seq()) {
            self.last = Some(line.event_id.clone());
            self.page.put("");
            self.page.happened(Mark::Event, &format!("{} {}, yours", line.event, line.event_id));
        }
    }

    fn waits(&mut self, detail: &DeliveryDetail) {
        let Delivery { due, reason, .. } = detail.delivery;
        let span = words::span(due.since(detail.facts.event.received));
        let why = words::why(reason, because(detail));
        let subject = self.subject_after(detail, false);
        self.page.happened(Mark::Wait, &format!("{subject} wait up to {span} for a click — so far {why}"));
    }

    fn decided(&mut self, mark: Mark, detail: &DeliveryDetail, waited: bool) {
        let subject = self.subject_after(detail, waited);
        let over = if waited { "the wait is over, " } else { "" };
        let text = match (mark, detail.delivery.sending) {
            (Mark::Skip, _) => format!("{subject} {over}skip — {}", words::why(detail.line.reason, because(detail))),
            (_, Sending::Dry) => format!("{subject} send — but it is in test mode"),
            (_, Sending::Live | Sending::Forced) => {
                let why = because(detail).unwrap_or("all conditions hold; it asks for no click");
                let arrived = if waited { "its click has arrived, " } else { "" };
                format!("{subject} {arrived}send — {why}")
            }
        };
        self.page.happened(mark, &text);
    }

    fn attempted(&mut self, detail: &DeliveryDetail, attempt: &Attempt) {
        let nth = if attempt.number == 1 { String::new() } else { format!("attempt {} ", attempt.number) };
        let head = format!("{} {nth}→ {}", subject(detail), words::reply(attempt));
        let (mark, text) = match attempt.outcome {
            Outcome::Delivered if attempt.number == 1 => (Mark::Sent, head),
            Outcome::Delivered => (Mark::Sent, format!("{head}; same Idempotency-Key")),
            Outcome::Retry { at } => {
                let pause = words::span(at.since(attempt.started.plus(attempt.duration)));
                (Mark::Retry, format!("{head}; again in {pause}"))
            }
            Outcome::Rejected(reason) => (Mark::Rejected, format!("{head}; {}", words::why(Some(reason), None))),
            Outcome::Dead(reason) => (Mark::GivenUp, format!("{head}; given up, {}", words::why(Some(reason), None))),
            Outcome::Held => (Mark::GivenUp, format!("{head}; held, it may have arrived")),
        };
        self.page.happened(mark, &text);
        if attempt.number == 1 {
            words::request(&attempt.request).iter().for_each(|text| self.page.more(text));
        }
    }

    /// The connector, with the event where that is not the one just told, and a colon.
    fn subject_after(&self, detail: &DeliveryDetail, late: bool) -> String {
        if !late && self.last.as_deref() == Some(&*detail.line.event_id) {
            let name = format!("{}:", detail.line.connector);
            let width = self.width + 1;
            format!("{name:<width$}")
        } else {
            format!("{}:", subject(detail))
        }
    }
}

/// Connector and event.
fn subject(detail: &DeliveryDetail) -> String {
    let item = detail.delivery.item.map_or_else(String::new, |item| format!(" item {}", u64::from(item) + 1));
    format!("{}, {}{item}", detail.line.connector, detail.line.event_id)
}

/// What the decision said about itself.
fn because(detail: &DeliveryDetail) -> Option<&str> {
    let attribution = detail.delivery.attribution.as_ref().map(|attribution| &*attribution.why);
    attribution.or(detail.delivery.detail.as_deref())
}
