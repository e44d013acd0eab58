//! Admission: one batch of events in one transaction. Load facts, ask the rules, write everything.
//!
//! Refuses: rules of its own. What an identifier means, what a visitor remembers and what a connector decides is the
//! planner's; here it is only looked up and written down.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use super::recent::{KeyRow, Presence};
use super::writer::{Task, Tx};
use super::{partial, visitors, wake};
use crate::model::click::Click;
use crate::model::delivery::{Delivery, Reason, Sending, State};
use crate::model::event::{Event, EventId};
use crate::model::facts::{Facts, Known};
use crate::model::identifier::{Identifier, IdentifierKind};
use crate::model::ids::{ConnectorName, DeliveryId, Seq, VisitorId};
use crate::model::record::Job;
use crate::model::time::Time;
use crate::model::visitor::Visitor;
use crate::store::rows::{self, StoredDelivery};
use crate::store::{Admission, Admitted, Candidate, Case, Planned, PlannedVerdict, Planner, StoreError, Whose, Woken};

/// A batch to admit, and who waits for it.
pub(super) struct Admit {
    pub batch: Vec<Candidate>,
    pub planner: Arc<dyn Planner>,
    pub now: Time,
    /// Until when event ids are remembered.
    pub keys_until: Time,
    pub answer: Admission,
    pub reply: oneshot::Sender<Result<Admission, (StoreError, Vec<Candidate>)>>,
}

impl Task for Admit {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let started = Instant::now();
        let mut answer = Admission::default();
        for candidate in &self.batch {
            let admitted = self.one(tx, candidate, &mut answer.woken)?;
            answer.admitted.push(admitted);
        }
        answer.took = started.elapsed();
        self.answer = answer;
        Ok(())
    }

    fn finish(self: Box<Self>, result: Result<(), StoreError>) {
        let this = *self;
        // A caller who has gone away needs no answer.
        drop(this.reply.send(match result {
            Ok(()) => Ok(this.answer),
            Err(error) => Err((error, this.batch)),
        }));
    }
}

/// Whom an event was found to belong to.
pub(super) struct Owner {
    pub visitor: Arc<Visitor>,
    /// Its clicks as they were found.
    loaded: Arc<Vec<Click>>,
    pub matched_by: Option<IdentifierKind>,
    /// Hashes of the identifiers that nobody had.
    pub unknown: Vec<i64>,
    pub is_new: bool,
    /// It has taken others over.
    pub merged: bool,
    /// It is not as it was.
    changed: bool,
    /// It gained a click or took somebody over: what waits for it may be decided otherwise.
    pub gained: bool,
}

impl Owner {
    /// A visitor as it was loaded.
    pub(super) fn found(visitor: Arc<Visitor>, matched_by: Option<IdentifierKind>, unknown: Vec<i64>) -> Self {
        let loaded = visitor.clicks.clone();
        Self { visitor, loaded, matched_by, unknown, is_new: false, merged: false, changed: false, gained: false }
    }
}

impl Admit {
    fn one(&self, tx: &mut Tx<'_>, candidate: &Candidate, woken: &mut Woken) -> Result<Admitted, StoreError> {
        let event = &candidate.event;
        let happened = self.planner.happened();
        if let Some(seq) = partial::held(tx, event).filter(|_| happened) {
            return self.go_on(tx, seq, candidate, woken);
        }
        let duplicate = match happened {
            true if event.is_partial => self.is_claimed(tx, event)?,
            true => !self.claim_key(tx, event)?,
            false => self.note_tried(tx, event),
        };
        let mut admitted = Admitted { is_track: event.name.is_some(), duplicate, ..Admitted::default() };
        let mut owner = self.owner(tx, candidate)?;
        self.teach(&mut owner, candidate, &mut admitted);
        self.keep(tx, &owner, event);
        if !admitted.duplicate && event.name.is_some() && self.planner.wants(event) {
            self.decide(tx, event, &owner, event.is_partial && happened, &mut admitted)?;
        }
        // Nothing waits for who was not known.
        if owner.gained && !owner.is_new {
            wake::visitor(tx, &*self.planner, &owner.visitor, self.now, woken)?;
        }
        Ok(admitted)
    }

    /// The visitor learns what `candidate` says.
    pub(super) fn teach(&self, owner: &mut Owner, candidate: &Candidate, admitted: &mut Admitted) {
        let change = self.planner.remember(Arc::make_mut(&mut owner.visitor), candidate);
        owner.gained |= change.gained_click;
        owner.changed |= change.changed;
        if change.gained_click {
            let clicks = u32::try_from(candidate.clicks.len()).unwrap_or(u32::MAX);
            admitted.clicks_gained = admitted.clicks_gained.saturating_add(clicks);
        }
    }

    /// Keeps the visitor and what leads to it. What did not happen is nobody's: it is used once, and leaves nothing.
    pub(super) fn keep(&self, tx: &mut Tx<'_>, owner: &Owner, event: &Event) {
        tx.seen.note(&event.container, event.name.as_deref().unwrap_or_default(), self.now);
        if !self.planner.happened() {
            return;
        }
        if self.planner.joins_by_time() {
            tx.lately.note(&event.container, event.time, owner.visitor.id);
        }
        for hash in &owner.unknown {
            visitors::attach(tx, *hash, owner.visitor.id);
        }
        if owner.is_new || owner.changed {
            let presence = if owner.is_new { Presence::New } else { Presence::Here };
            visitors::save(tx, owner.visitor.clone(), &owner.loaded, self.now.ms(), presence);
        }
    }

    /// Whether an event of this key was decided before.
    fn is_claimed(&self, tx: &Tx<'_>, event: &Event) -> Result<bool, StoreError> {
        let (Some(name), EventId::Given(id)) = (&event.name, &event.id) else { return Ok(false) };
        let key = tx.keys.event(&event.container, name, id);
        Ok(tx.recent.key(tx.sql, key)?.is_some_and(|row| self.now.ms() < row.until))
    }

    /// Remembers the event's key; false where it was known. A set event has no name and triggers nothing: it needs none.
    fn claim_key(&self, tx: &mut Tx<'_>, event: &Event) -> Result<bool, StoreError> {
        let Some(name) = event.name.as_deref() else { return Ok(true) };
        let key = match &event.id {
            EventId::Given(id) => tx.keys.event(&event.container, name, id),
            EventId::Assigned { content, redelivered, .. } => {
                let key = tx.keys.content(&event.container, *content);
                if !redelivered {
                    // Two equal messages without an id are two events; only a redelivery is compared.
                    self.insert_key(tx, key)?;
                    return Ok(true);
                }
                key
            }
        };
        self.insert_key(tx, key)
    }

    /// Remembers where an event is that did not happen, under a key of its own. It is never a duplicate.
    fn note_tried(&self, tx: &mut Tx<'_>, event: &Event) -> bool {
        let name = event.name.as_deref().unwrap_or_default();
        let key = tx.keys.tried(&event.container, name, event.id.as_str());
        self.set_key(tx, key, Seq(tx.counters.next_seq));
        false
    }

    fn insert_key(&self, tx: &mut Tx<'_>, key: i64) -> Result<bool, StoreError> {
        let is_known = tx.recent.key(tx.sql, key)?.is_some_and(|row| self.now.ms() < row.until);
        if !is_known {
            self.set_key(tx, key, Seq(tx.counters.next_seq));
        }
        Ok(!is_known)
    }

    /// Finds the visitor by what `candidate` says of it, or begins one.
    pub(super) fn owner(&self, tx: &mut Tx<'_>, candidate: &Candidate) -> Result<Owner, StoreError> {
        let event = &candidate.event;
        let mut hits = Vec::with_capacity(candidate.identifiers.len());
        let mut unknown = Vec::new();
        for identifier in &candidate.identifiers {
            let (hash, visitor) = visitors::lookup(tx, &event.container, identifier)?;
            if visitor.is_none() {
                unknown.push(hash);
            }
            hits.push((identifier, visitor));
        }
        let mut loaded = Vec::new();
        let whose = match self.only_one_about(tx, candidate)? {
            Some(id) => Whose::Visitor { id, by: IdentifierKind::Time, merge: Vec::new() },
            None => self.whose(tx, event, &hits, &mut loaded)?,
        };
        match whose {
            Whose::Nobody => {
                let id = VisitorId(tx.counters.next_visitor);
                tx.counters.next_visitor += 1;
                let visitor = Arc::new(Visitor::new(id, event.container.clone()));
                Ok(Owner { is_new: true, ..Owner::found(visitor, None, unknown) })
            }
            Whose::Visitor { id, by, merge } => {
                let at = loaded.iter().position(|visitor: &Arc<Visitor>| visitor.id == id);
                let visitor = at.map_or_else(|| visitors::load(tx, id), |at| Ok(loaded.swap_remove(at)))?;
                drop(loaded);
                let mut owner = Owner::found(visitor, Some(by), unknown);
                visitors::merge(tx, &*self.planner, &mut owner.visitor, &merge, self.now.ms())?;
                let merged = !merge.is_empty();
                Ok(Owner { merged, changed: merged, gained: merged, ..owner })
            }
        }
    }

    /// Asks the planner; `loaded` are the visitors it looked at, each once.
    fn whose(
        &self,
        tx: &Tx<'_>,
        event: &Event,
        hits: &[(&Identifier, Option<VisitorId>)],
        loaded: &mut Vec<Arc<Visitor>>,
    ) -> Result<Whose, StoreError> {
        let failure: RefCell<Option<StoreError>> = RefCell::new(None);
        let loaded = RefCell::new(loaded);
        let visitor = |id: VisitorId| {
            let known = loaded.borrow().iter().find(|visitor| visitor.id == id).cloned();
            known.or_else(|| {
                let visitor = visitors::load(tx, id).map_err(|error| failure.replace(Some(error))).ok()?;
                loaded.borrow_mut().push(visitor.clone());
                Some(visitor)
            })
        };
        let whose = self.planner.whose(event, hits, &visitor);
        failure.into_inner().map_or(Ok(whose), Err)
    }

    /// The visitor to whom time joins an event without identifier.
    fn only_one_about(&self, tx: &Tx<'_>, candidate: &Candidate) -> Result<Option<VisitorId>, StoreError> {
        let Some(window) = self.planner.by_time(candidate) else { return Ok(None) };
        let mut about = BTreeSet::new();
        for visitor in tx.lately.about(&candidate.event.container, candidate.event.time, window) {
            about.extend(visitors::survivor(tx, visitor)?);
        }
        Ok(if about.len() == 1 { about.pop_first() } else { None })
    }

    /// Decides for every connector whose trigger matches, or if it `is_to_hold` only what will be decided, and writes the event's
    /// row if there is anything to remember.
    fn decide(
        &self,
        tx: &mut Tx<'_>,
        event: &Arc<Event>,
        owner: &Owner,
        is_to_hold: bool,
        admitted: &mut Admitted,
    ) -> Result<(), StoreError> {
        let seq = Seq(tx.counters.next_seq);
        let mut facts = Facts {
            seq,
            event: event.clone(),
            visitor: owner.visitor.id,
            matched_by: owner.matched_by,
            known: Known::default(),
            clicks: Vec::new(),
        };
        let plans = if is_to_hold {
            facts.known = self.planner.known(&owner.visitor, event);
            self.planner.hold(event, self.now).into_iter().filter(Planned::is_to_wait).collect()
        } else {
            asking_claims(tx, self.now, |claimed| {
                self.planner.decide(&Case { visitor: &owner.visitor, now: self.now, claimed }, &mut facts)
            })?
        };
        let mut deliveries: Vec<StoredDelivery> = Vec::new();
        for plan in plans {
            match &plan.verdict {
                PlannedVerdict::Skip(Reason::Disabled) => {
                    admitted.decisions.push((plan.connector, Some(Reason::Disabled)));
                    continue;
                }
                PlannedVerdict::Skip(reason) => admitted.decisions.push((plan.connector.clone(), Some(*reason))),
                PlannedVerdict::Send { .. } => admitted.decisions.push((plan.connector.clone(), None)),
                PlannedVerdict::Wait { .. } => admitted.waiting.push(plan.connector.clone()),
            }
            place(tx, seq, plan, self.now, &mut deliveries);
        }
        if deliveries.is_empty() {
            return Ok(());
        }
        tx.counters.next_seq += 1;
        self.write_event(tx, Arc::new(facts), deliveries, admitted)?;
        if is_to_hold { partial::hold(tx, seq, event) } else { Ok(()) }
    }

    fn write_event(
        &self,
        tx: &mut Tx<'_>,
        facts: Arc<Facts>,
        deliveries: Vec<StoredDelivery>,
        admitted: &mut Admitted,
    ) -> Result<(), StoreError> {
        let seq = facts.seq;
        tx.sql
            .prepare_cached("INSERT INTO event (seq, received, deliveries, facts) VALUES (?1, ?2, ?3, ?4)")?
            .execute((seq.0, self.now.ms(), rows::write_deliveries(&deliveries), rows::write_facts(&facts)))?;
        if let (EventId::Assigned { id, .. }, Some(name)) = (&facts.event.id, &facts.event.name) {
            // Nobody can repeat an id that we assigned; the key is there so that a person can look the event up.
            let key = tx.keys.event(&facts.event.container, name, id);
            self.set_key(tx, key, seq);
        }
        tx.counters.book.decided += i64::try_from(deliveries.len()).unwrap_or(i64::MAX);
        for (place, stored) in deliveries.into_iter().enumerate() {
            let delivery = stored.delivery;
            match delivery.state {
                State::Pending => admitted.jobs.push(Job {
                    facts: facts.clone(),
                    attempts: 0,
                    is_repeat: false,
                    first_due: delivery.due,
                    due: delivery.due,
                    on_record: false,
                    delivery,
                }),
                State::Waiting => wake::insert_waiting(tx, &facts, place, &delivery)?,
                state => {
                    tx.counters.book.ended += 1;
                    admitted.ended.push((delivery.connector, state));
                }
            }
        }
        Ok(())
    }

    fn set_key(&self, tx: &mut Tx<'_>, key: i64, seq: Seq) {
        tx.recent.set_key(key, KeyRow { value: seq.0, until: self.keys_until.ms() });
    }
}

/// Turns one decision into the deliveries it calls for, and claims its deduplication value.
pub(super) fn place(tx: &mut Tx<'_>, seq: Seq, plan: Planned, now: Time, deliveries: &mut Vec<StoredDelivery>) {
    let tag = tx.tag;
    let bare = |state, reason, sending, item, due| Delivery {
        id: DeliveryId::new(tag, seq, 0),
        connector: plan.connector.clone(),
        revision: plan.revision.clone(),
        sending,
        state,
        reason,
        detail: plan.detail.clone(),
        attribution: plan.attribution.clone(),
        item,
        due,
    };
    let mut push = |claim, delivery: Delivery| {
        let place = u32::try_from(deliveries.len()).unwrap_or(u32::MAX);
        let delivery = Delivery { id: DeliveryId::new(tag, seq, place), ..delivery };
        deliveries.push(StoredDelivery { delivery, claim, later: None });
    };
    match plan.verdict {
        PlannedVerdict::Skip(reason) => push(None, bare(State::Skipped, Some(reason), Sending::Live, None, now)),
        PlannedVerdict::Wait { until, reason } => push(None, bare(State::Waiting, reason, Sending::Live, None, until)),
        PlannedVerdict::Send { sending, claim, deliveries: count, by_item } => {
            let key = claim.map(|(value, keep)| (tx.keys.claim(&plan.connector, &value), now.plus(keep)));
            if let Some((key, until)) = key {
                tx.recent.set_key(key, KeyRow { value: seq.0, until: until.ms() });
            }
            for item in 0..count {
                push(key.map(|(key, _)| key), bare(State::Pending, None, sending, by_item.then_some(item), now));
            }
        }
    }
}

/// Runs the rules with a way to ask whether another conversion holds a deduplication value.
pub(super) fn asking_claims<T>(
    tx: &Tx<'_>,
    now: Time,
    rules: impl FnOnce(&dyn Fn(&ConnectorName, &str) -> bool) -> T,
) -> Result<T, StoreError> {
    let failure: RefCell<Option<StoreError>> = RefCell::new(None);
    let answer = rules(&|connector, value| {
        claim_is_held(tx, tx.keys.claim(connector, value), now).unwrap_or_else(|error| {
            failure.replace(Some(error));
            false
        })
    });
    failure.into_inner().map_or(Ok(answer), Err)
}

fn claim_is_held(tx: &Tx<'_>, key: i64, now: Time) -> Result<bool, StoreError> {
    Ok(tx.recent.key(tx.sql, key)?.is_some_and(|row| now.ms() < row.until))
}
