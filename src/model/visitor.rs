//! A visitor: everything known to belong to one person within one container.
//!
//! Refuses: deciding what to remember; `rules::identify` and `rules::remember` do.

use std::sync::Arc;

use smol_str::SmolStr;

use super::click::Click;
use super::event::Consent;
use super::field::Field;
use super::ids::{ContainerKey, VisitorId};
use super::time::Time;

/// One known value of a standard field: the newest by event time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub field: Field,
    pub value: SmolStr,
    pub time: Time,
}

/// A stretch of activity without a gap of `session.timeout`, in event times, both ends in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    pub start: Time,
    pub end: Time,
    /// The URL of its earliest event that had one, and that event's time; of a forced session, the earliest of the
    /// events that forced it.
    pub landing: Option<(Time, Box<str>)>,
    /// Begun by `forceNewSessionCreatedAt`: what came before never joins it.
    pub forced: bool,
}

/// The session and client ids that one identifier has come with. Hashes, since only their number is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    pub identifier: u32,
    /// Sorted, each once; empty when the identifier is shared.
    pub with: Vec<u32>,
    /// It has come with too many to be one person's.
    pub is_shared: bool,
}

/// When each flag of a visitor's consent was last spoken of; `None` where it never was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsentTimes {
    pub ads: Option<Time>,
    pub analytics: Option<Time>,
}

/// All that is remembered of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    pub id: VisitorId,
    pub container: ContainerKey,
    /// Sorted by field.
    pub facts: Vec<Fact>,
    /// What was last said of consent, each flag for itself, and when.
    pub consent: Consent,
    pub consent_at: ConsentTimes,
    /// Oldest first, disjoint.
    pub sessions: Vec<Session>,
    /// Every landing of a click ID, oldest first by time, the untimed before all others. The same value may stand here
    /// several times for one session, since a session forced later may part them; which of them are one click is
    /// for `rules::remember::Clicks` to say. Shared by all copies until one changes, since there may be a thousand.
    pub clicks: Arc<Vec<Click>>,
    /// Sorted by identifier.
    pub sharings: Vec<Sharing>,
}

impl Visitor {
    /// A visitor of whom nothing is known yet.
    pub fn new(id: VisitorId, container: ContainerKey) -> Self {
        Self {
            id,
            container,
            facts: Vec::new(),
            consent: Consent::default(),
            consent_at: ConsentTimes::default(),
            sessions: Vec::new(),
            clicks: Arc::default(),
            sharings: Vec::new(),
        }
    }

    /// The newest value of `field`.
    pub fn fact(&self, field: Field) -> Option<&Fact> {
        self.facts.binary_search_by_key(&field, |fact| fact.field).ok().map(|at| &self.facts[at])
    }

    /// The session that holds `time`.
    pub fn session_at(&self, time: Time) -> Option<&Session> {
        self.sessions.iter().rev().find(|s| s.start <= time && time <= s.end)
    }
}
