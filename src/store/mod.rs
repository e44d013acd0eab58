//! What the daemon needs of a store: admission in one commit, the delivery log, and questions about both.
//!
//! Refuses: rules and network. The store asks a [`Planner`] it is given what to remember and what to decide, inside its
//! own transaction, so that a decision and the facts it rests on are one commit.

pub mod entries;
pub mod rows;
pub mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::model::click::Click;
use crate::model::delivery::{Attribution, Delivery, Reason, Sending, State};
use crate::model::event::Event;
use crate::model::facts::{Facts, Known};
use crate::model::identifier::{Identifier, IdentifierKind};
use crate::model::ids::{ConnectorName, DeliveryId, Revision, VisitorId};
use crate::model::record::{Attempt, Job, ShownRequest};
use crate::model::time::Time;
use crate::model::visitor::Visitor;

pub use sqlite::Store;

/// Why the store could not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// No space left. Nothing was written; it is worth asking again once there is room.
    #[error("the disk is full")]
    Full,
    /// The rules panicked on an event of the batch. Nothing was written.
    #[error("an event could not be decided: {0}")]
    Panicked(String),
    /// Another process holds the store.
    #[error("the store {0} is in use by another postbackd; one store belongs to one process")]
    Locked(String),
    /// A write may or may not have reached the disk. The daemon must stop: its next start reads what is there.
    #[error("the store can't be trusted any more: {0}")]
    Fatal(String),
    /// Anything else, with the store's own words.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// An event made ready for admission; what needs no store was done before.
#[derive(Debug)]
pub struct Candidate {
    pub event: Arc<Event>,
    /// Strongest first.
    pub identifiers: Vec<Identifier>,
    /// Clicks captured from it.
    pub clicks: Vec<Click>,
}

/// Whom an event belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    Nobody,
    Visitor { id: VisitorId, by: IdentifierKind, merge: Vec<VisitorId> },
}

/// What remembering an event changed of its visitor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    pub gained_click: bool,
    pub changed: bool,
    /// Nothing but the end of a session moved: worth writing, not worth writing at once.
    pub stretched_only: bool,
}

/// One connector's decision on one event.
#[derive(Clone, Debug)]
pub struct Planned {
    pub connector: ConnectorName,
    pub revision: Revision,
    pub verdict: PlannedVerdict,
    /// Its click is one of those the planner has put among the clicks of the facts.
    pub attribution: Option<Attribution>,
    pub detail: Option<Box<str>>,
}

impl Planned {
    /// Whether it is to wait.
    pub fn is_to_wait(&self) -> bool {
        matches!(self.verdict, PlannedVerdict::Wait { .. })
    }
}

#[derive(Clone, Debug)]
pub enum PlannedVerdict {
    /// Counted and logged, unless the reason is `disabled`, which is only counted.
    Skip(Reason),
    /// `reason` is what it would be skipped for now; `None` while a positive decision settles.
    Wait { until: Time, reason: Option<Reason> },
    Send {
        sending: Sending,
        /// With `deduplicate`: the value that this conversion claims, and for how long.
        claim: Option<(Box<str>, Duration)>,
        /// With `for_each: items`: how many deliveries; else 1.
        deliveries: u32,
        by_item: bool,
    },
}

/// What is asked while one event is decided.
pub struct Case<'a> {
    /// The event's visitor, who has learned of it.
    pub visitor: &'a Visitor,
    pub now: Time,
    /// Whether another conversion holds this value for this connector.
    pub claimed: &'a dyn Fn(&ConnectorName, &str) -> bool,
}

/// The rules and the configuration of the moment, as the store may call them. Pure, and quick: the store's only writer
/// waits for it.
pub trait Planner: Send + Sync {
    /// Whom the event belongs to, given which of its identifiers are known. `visitor` gives what is known of one.
    fn whose(
        &self,
        event: &Event,
        hits: &[(&Identifier, Option<VisitorId>)],
        visitor: &dyn Fn(VisitorId) -> Option<Arc<Visitor>>,
    ) -> Whose;
    /// How long before it the only visitor who had an event is the one of this event, which has no identifier. `None`: time
    /// joins it to nobody.
    fn by_time(&self, _: &Candidate) -> Option<Duration> {
        None
    }
    /// Whether any event may be joined by time, so that it must be kept who was about.
    fn joins_by_time(&self) -> bool {
        false
    }
    fn remember(&self, visitor: &mut Visitor, candidate: &Candidate) -> Change;
    /// Everything of `from` becomes `into`'s; true where that gives `into` a click.
    fn merge(&self, into: &mut Visitor, from: Visitor) -> bool;
    /// What a visitor adds to an event that is not decided yet.
    fn known(&self, visitor: &Visitor, event: &Event) -> Known;
    /// Whether the event really happened, so that its id is compared with those known, and remembered. Not so for one that
    /// a person made up, or took from the log, to try a connector.
    fn happened(&self) -> bool {
        true
    }
    /// The one event that these parts make, ready for admission; `None` of no parts.
    fn merged(&self, parts: Vec<Event>) -> Option<Candidate>;
    /// What is to be held of an event of which more is to come: for every connector whose trigger matches, until when, or
    /// that it is switched off.
    fn hold(&self, event: &Event, now: Time) -> Vec<Planned>;
    /// The identifiers by which somebody can be asked for that stand in an event, or in what was `known` with it; those that
    /// join nobody too.
    fn named(&self, event: &Event, known: &[&Known]) -> Vec<Identifier>;
    /// Takes out of a visitor the identifiers that `is_erased` says; whether there was any.
    fn forget(&self, visitor: &mut Visitor, is_erased: &dyn Fn(&Identifier) -> bool) -> bool;
    /// Whether any connector could want a track event of this name; asked before anything is loaded for it.
    fn wants(&self, event: &Event) -> bool;
    /// A decision for every connector whose trigger matches. What is known, and the clicks that were chosen, come into the facts.
    fn decide(&self, case: &Case<'_>, facts: &mut Facts) -> Vec<Planned>;
    /// The decision of one connector again, for a delivery that waited. `None`: there is no such connector any more.
    fn decide_again(&self, connector: &ConnectorName, case: &Case<'_>, facts: &mut Facts) -> Option<Planned>;
}

/// What became of one candidate.
#[derive(Debug, Default)]
pub struct Admitted {
    /// It has a name.
    pub is_track: bool,
    /// Its event id was known: it enriched its visitor and triggered nothing.
    pub duplicate: bool,
    pub clicks_gained: u32,
    /// A decision per connector: `None` is *send*.
    pub decisions: Vec<(ConnectorName, Option<Reason>)>,
    pub waiting: Vec<ConnectorName>,
    /// Deliveries to make, each for the first time and without a row of its own.
    pub jobs: Vec<Job>,
    /// Deliveries that ended at once (skips), for the count of final states.
    pub ended: Vec<(ConnectorName, State)>,
}

/// What became of deliveries that waited.
#[derive(Debug, Default)]
pub struct Woken {
    /// Now pending and on record: their lanes should look.
    pub sent: Vec<ConnectorName>,
    pub skipped: Vec<(ConnectorName, Reason)>,
    pub cancelled: Vec<ConnectorName>,
    /// Would have been decided but are switched off, which is only counted.
    pub disabled: Vec<ConnectorName>,
}

/// A batch on its way into the store: what became of it, or why nothing did, with the batch.
pub type Admitting = BoxFuture<'static, Result<Admission, (StoreError, Vec<Candidate>)>>;

/// What a batch amounts to.
#[derive(Debug, Default)]
pub struct Admission {
    /// In the order of the candidates.
    pub admitted: Vec<Admitted>,
    pub woken: Woken,
    /// What it took of the writer's time, the commit apart.
    pub took: Duration,
}

/// Which deliveries to list.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    pub connector: Option<String>,
    pub state: Option<State>,
    pub reason: Option<Reason>,
    pub event_id: Option<String>,
    /// Created at or after.
    pub since: Option<Time>,
    /// Created before.
    pub until: Option<Time>,
}

/// One line of the delivery log.
#[derive(Clone, Debug)]
pub struct DeliveryLine {
    pub id: DeliveryId,
    pub event_id: String,
    pub event: String,
    /// The container's key.
    pub container: String,
    pub connector: ConnectorName,
    pub revision: Revision,
    pub state: State,
    pub reason: Option<Reason>,
    pub attempts: u32,
    pub created_at: Time,
    pub updated_at: Time,
    pub next_attempt_at: Option<Time>,
}

/// A page of the log, newest first.
#[derive(Debug, Default)]
pub struct DeliveryPage {
    pub items: Vec<DeliveryLine>,
    /// Where the next page starts; `None` on the last.
    pub next_cursor: Option<String>,
}

/// One thing that happened to a delivery, as it is told.
#[derive(Clone, Debug)]
pub struct LogEntry {
    pub at: Time,
    pub what: LoggedEntry,
}

#[derive(Clone, Debug)]
pub enum LoggedEntry {
    Started {
        number: u32,
    },
    Attempted(Attempt),
    Rendered(ShownRequest),
    Ended {
        state: State,
        reason: Option<Reason>,
        detail: Option<Box<str>>,
    },
    /// A person asked for it again.
    Replayed,
}

/// A delivery whole.
#[derive(Clone, Debug)]
pub struct DeliveryDetail {
    pub line: DeliveryLine,
    pub delivery: Delivery,
    pub facts: Arc<Facts>,
    pub log: Vec<LogEntry>,
}

/// A stored event with its deliveries.
#[derive(Debug)]
pub struct EventDetail {
    pub facts: Arc<Facts>,
    pub deliveries: Vec<DeliveryLine>,
}

/// Which deliveries to send again.
#[derive(Clone, Debug)]
pub struct ReplaySelection {
    pub connector: Option<String>,
    /// `Dead`, `Rejected` or `Held`.
    pub state: State,
    pub since: Option<Time>,
    pub until: Option<Time>,
}

/// What a container has been seen to send.
#[derive(Clone, Debug)]
pub struct ContainerSeen {
    /// The container's key.
    pub container: String,
    pub last_event_at: Time,
    /// Names of track events, sorted; at most [`EVENT_NAMES_MAX`].
    pub event_names: Vec<String>,
}

/// What was erased of a person, or of several that an identifier led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    pub visitors: u64,
    pub identifiers: u64,
    pub clicks: u64,
    /// Of which the store had a row: theirs, and others in which the identifier stood.
    pub events: u64,
    pub deliveries: u64,
    /// Whose deliveries were not final and are cancelled now: one name for each.
    pub cancelled: Vec<ConnectorName>,
}

impl Erased {
    fn add(&mut self, other: Self) {
        let Self { visitors, identifiers, clicks, events, deliveries, cancelled } = other;
        self.visitors += visitors;
        self.identifiers += identifiers;
        self.clicks += clicks;
        self.events += events;
        self.deliveries += deliveries;
        self.cancelled.extend(cancelled);
    }
}

/// Event names remembered per container. Names are a sender's data; a shop has dozens, and a fault must not have millions.
pub const EVENT_NAMES_MAX: usize = 1000;

/// How many deliveries a connector has in each state that is not final, and how old they are.
#[derive(Clone, Debug, Default)]
pub struct Backlog {
    pub pending: u64,
    pub waiting: u64,
    pub held: u64,
    /// When the first attempt of the oldest pending one was due.
    pub oldest_pending: Option<Time>,
    /// The earliest due time among the pending ones.
    pub oldest_due: Option<Time>,
}
