//! Events of which more is to come (`isPartial`): held as conversions that wait, their parts in the table `part`, until a
//! complete one comes under the same id or the time is up.
//!
//! Refuses: merging, and claiming an event's key for a part.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;

use super::admit::{self, Admit, Owner};
use super::keys::Keys;
use super::recent::KeyRow;
use super::writer::Tx;
use super::{visitors, wake};
use crate::model::event::{Event, EventId};
use crate::model::facts::Facts;
use crate::model::ids::Seq;
use crate::model::time::Time;
use crate::store::rows;
use crate::store::{Admitted, Candidate, Planned, PlannedVerdict, Planner, StoreError, Woken};

/// Parts kept of one event. Beyond them what is there is made one part, so that a sender at fault can't fill the disk;
/// whose value is the newest is then told by the time of the whole.
const PARTS_MAX: usize = 64;

/// Which events are held, by the hash of their container, name and id. In memory, so that an event which is whole costs
/// nothing while none are held; read back at the start.
#[derive(Debug, Default)]
pub(super) struct Held {
    by_key: HashMap<i64, Seq>,
    by_seq: HashMap<Seq, i64>,
    /// What the transaction under way changes.
    fresh: HashMap<i64, Option<Seq>>,
}

impl Held {
    /// Those that a run before left.
    pub(super) fn read(sql: &Connection, keys: Keys) -> Result<Self, StoreError> {
        let mut held = Self::default();
        let mut select =
            sql.prepare("SELECT seq, facts FROM event WHERE seq IN (SELECT DISTINCT seq FROM part) ORDER BY seq")?;
        let mut found = select.query([])?;
        while let Some(row) = found.next()? {
            let seq = Seq(row.get(0)?);
            let facts = rows::read_facts(seq, row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?;
            if let Some(key) = key_of(keys, &facts.event) {
                held.fresh.insert(key, Some(seq));
            }
        }
        held.committed();
        Ok(held)
    }

    fn is_empty(&self) -> bool {
        self.by_key.is_empty() && self.fresh.is_empty()
    }

    /// The event that is held under the key of its id.
    pub(super) fn of(&self, key: i64) -> Option<Seq> {
        self.fresh.get(&key).copied().unwrap_or_else(|| self.by_key.get(&key).copied())
    }

    /// Whether the event at `seq` may be held, going by the commits so far.
    pub(super) fn may_hold(&self, seq: Seq) -> bool {
        self.by_seq.contains_key(&seq)
    }

    /// The transaction is on record.
    pub(super) fn committed(&mut self) {
        for (key, seq) in self.fresh.drain() {
            let before = match seq {
                Some(seq) => {
                    self.by_seq.insert(seq, key);
                    self.by_key.insert(key, seq)
                }
                None => self.by_key.remove(&key),
            };
            if let Some(before) = before.filter(|before| Some(*before) != seq) {
                self.by_seq.remove(&before);
            }
        }
    }

    /// The transaction was undone.
    pub(super) fn rolled_back(&mut self) {
        self.fresh.clear();
    }
}

/// Under which key an event is held: one with a name and an id that was given, since only under such more can come.
fn key_of(keys: Keys, event: &Event) -> Option<i64> {
    let (Some(name), EventId::Given(id)) = (&event.name, &event.id) else { return None };
    Some(keys.event(&event.container, name, id))
}

/// The held event that `event` is a part of, or completes.
pub(super) fn held(tx: &Tx<'_>, event: &Event) -> Option<Seq> {
    if tx.held.is_empty() {
        return None;
    }
    tx.held.of(key_of(tx.keys, event)?)
}

/// Begins to hold the event at `seq`, which is written already.
pub(super) fn hold(tx: &mut Tx<'_>, seq: Seq, event: &Event) -> Result<(), StoreError> {
    if let Some(key) = key_of(tx.keys, event) {
        tx.held.fresh.insert(key, Some(seq));
    }
    keep_part(tx, seq, event)
}

impl Admit {
    /// Takes up one more part of a held event, or what completes it.
    pub(super) fn go_on(
        &self,
        tx: &mut Tx<'_>,
        seq: Seq,
        candidate: &Candidate,
        woken: &mut Woken,
    ) -> Result<Admitted, StoreError> {
        let mut admitted = Admitted { is_track: true, ..Admitted::default() };
        let event = &candidate.event;
        let earlier = parts(tx.sql, seq)?;
        let is_full = PARTS_MAX <= earlier.len();
        let all = earlier.iter().chain([&**event]).cloned().collect();
        let Some(merged) = self.planner.merged(all) else {
            return Err(StoreError::Failed("an event was held without parts".to_owned()));
        };
        let (_, mut facts) = wake::load_event(tx, seq)?;
        let mut owner = self.owner_of_all(tx, &mut facts, &merged, earlier, &mut admitted)?;
        self.teach(&mut owner, candidate, &mut admitted);
        self.keep(tx, &owner, event);
        facts.known = self.planner.known(&owner.visitor, &merged.event);
        facts.event = merged.event;
        if event.is_partial {
            if is_full {
                forget_parts(tx, seq)?;
                keep_part(tx, seq, &facts.event)?;
            } else {
                keep_part(tx, seq, event)?;
            }
            write_facts(tx, &facts)?;
        } else {
            end(tx, &mut facts, self.keys_until)?;
            join_in(tx, &*self.planner, &facts, self.now, woken)?;
            wake::event(tx, &*self.planner, seq, &owner.visitor, self.now, woken)?;
        }
        if owner.gained {
            wake::visitor(tx, &*self.planner, &owner.visitor, self.now, woken)?;
        }
        Ok(admitted)
    }

    /// Whose a held event is, going by what all its parts say. Where they lead to nobody, it stays whose it was; where they
    /// lead to another than before, that one learns of the parts it has missed, as of one event that came whole.
    fn owner_of_all(
        &self,
        tx: &mut Tx<'_>,
        facts: &mut Facts,
        merged: &Candidate,
        earlier: Vec<Event>,
        admitted: &mut Admitted,
    ) -> Result<Owner, StoreError> {
        let mut owner = self.owner(tx, merged)?;
        let before = visitors::survivor(tx, facts.visitor)?;
        // Known by no more than its own parts, it was joined to nobody.
        let mut is_by_itself = facts.matched_by.is_none() && !owner.merged;
        match before {
            Some(before) if owner.is_new => {
                owner = Owner::found(visitors::load(tx, before)?, facts.matched_by, owner.unknown);
            }
            Some(before) if before == owner.visitor.id => {}
            _ => {
                let candidates = earlier.into_iter().filter_map(|part| self.planner.merged(vec![part]));
                candidates.for_each(|part| self.teach(&mut owner, &part, admitted));
                is_by_itself = false;
            }
        }
        if !is_by_itself {
            facts.matched_by = owner.matched_by;
        }
        if facts.visitor != owner.visitor.id {
            facts.visitor = owner.visitor.id;
            tx.sql
                .prepare_cached("UPDATE delivery SET visitor = ?2 WHERE seq = ?1 AND +state = 'waiting'")?
                .execute((facts.seq.0, owner.visitor.id.0))?;
        }
        Ok(owner)
    }
}

/// Ends the hold on an event whose time is up; what it is, is what its parts have said.
pub(super) fn time_is_up(
    tx: &mut Tx<'_>,
    planner: &dyn Planner,
    seq: Seq,
    now: Time,
    keys_until: Time,
    woken: &mut Woken,
) -> Result<(), StoreError> {
    if !tx.held.may_hold(seq) {
        return Ok(());
    }
    let (_, mut facts) = wake::load_event(tx, seq)?;
    // Its other deliveries may have been here before.
    if !facts.event.is_partial {
        return Ok(());
    }
    facts.visitor = visitors::survivor(tx, facts.visitor)?.unwrap_or(facts.visitor);
    end(tx, &mut facts, keys_until)?;
    join_in(tx, planner, &facts, now, woken)
}

/// Connectors that were not there, or switched off, when the first part came decide with the others.
fn join_in(
    tx: &mut Tx<'_>,
    planner: &dyn Planner,
    facts: &Facts,
    now: Time,
    woken: &mut Woken,
) -> Result<(), StoreError> {
    let (mut deliveries, _) = wake::load_event(tx, facts.seq)?;
    for plan in planner.hold(&facts.event, now) {
        if deliveries.iter().any(|stored| stored.delivery.connector == plan.connector) {
            continue;
        }
        if !plan.is_to_wait() {
            woken.disabled.push(plan.connector);
            continue;
        }
        let verdict = PlannedVerdict::Wait { until: now, reason: None };
        admit::place(tx, facts.seq, Planned { verdict, ..plan }, now, &mut deliveries);
        let place = deliveries.len() - 1;
        wake::insert_waiting(tx, facts, place, &deliveries[place].delivery)?;
        tx.counters.book.decided += 1;
    }
    wake::write_back(tx, facts.seq, &deliveries)
}

/// From here on it is an event like others: its id is claimed, and it waits for nothing but clicks.
pub(super) fn end(tx: &mut Tx<'_>, facts: &mut Facts, keys_until: Time) -> Result<(), StoreError> {
    Arc::make_mut(&mut facts.event).is_partial = false;
    // One that did not happen holds no key.
    if let Some(key) = key_of(tx.keys, &facts.event).filter(|key| tx.held.of(*key) == Some(facts.seq)) {
        tx.held.fresh.insert(key, None);
        tx.recent.set_key(key, KeyRow { value: facts.seq.0, until: keys_until.ms() });
    }
    forget_parts(tx, facts.seq)?;
    write_facts(tx, facts)
}

/// What came of the event at `seq` so far.
pub(super) fn parts(sql: &Connection, seq: Seq) -> Result<Vec<Event>, StoreError> {
    let mut select = sql.prepare_cached("SELECT body FROM part WHERE seq = ?1")?;
    let mut found = select.query([seq.0])?;
    let mut parts = Vec::new();
    while let Some(row) = found.next()? {
        parts.push(rows::read_event(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?)?);
    }
    Ok(parts)
}

fn keep_part(tx: &Tx<'_>, seq: Seq, event: &Event) -> Result<(), StoreError> {
    let mut insert = tx.sql.prepare_cached("INSERT INTO part (seq, body) VALUES (?1, ?2)")?;
    insert.execute((seq.0, rows::write_event(event)))?;
    Ok(())
}

fn forget_parts(tx: &Tx<'_>, seq: Seq) -> Result<(), StoreError> {
    tx.sql.prepare_cached("DELETE FROM part WHERE seq = ?1")?.execute([seq.0])?;
    Ok(())
}

fn write_facts(tx: &Tx<'_>, facts: &Facts) -> Result<(), StoreError> {
    tx.sql
        .prepare_cached("UPDATE event SET facts = ?2 WHERE seq = ?1")?
        .execute((facts.seq.0, rows::write_facts(facts)))?;
    Ok(())
}
