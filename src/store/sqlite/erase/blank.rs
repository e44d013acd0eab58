//! One event without what belongs to a person: its contents, its requests and replies, and whatever of it was still to happen.
//!
//! Refuses: taking away that it happened. Its name, id, time and what became of its deliveries stay.

use std::sync::Arc;

use crate::model::delivery::{Reason, State};
use crate::model::event::{Event, EventId};
use crate::model::facts::{Facts, Known};
use crate::model::ids::{Seq, VisitorId};
use crate::model::record::Entry;
use crate::model::time::Time;
use crate::store::rows::{self, StoredDelivery};
use crate::store::sqlite::read::Neighbours;
use crate::store::sqlite::writer::{EVENTS_PER_BLOCK, Tx};
use crate::store::sqlite::{partial, record, wake};
use crate::store::{Erased, StoreError, entries};

pub(super) fn blank_all(tx: &mut Tx<'_>, seqs: &[i64], now: Time, keys_until: Time) -> Result<Erased, StoreError> {
    let mut erased = Erased::default();
    for seq in seqs {
        blank(tx, Seq(*seq), now, keys_until, &mut erased)?;
    }
    Ok(erased)
}

/// Takes out of one event and its deliveries what belongs to a person, and cancels what is not final.
fn blank(tx: &mut Tx<'_>, seq: Seq, now: Time, keys_until: Time, erased: &mut Erased) -> Result<(), StoreError> {
    // What tasks before this one have told of it is to be found with the rest.
    tx.write_lines()?;
    let neighbours = Neighbours::load(tx.sql, seq.0..=seq.0)?;
    let (mut deliveries, mut facts) = wake::load_event(tx, seq)?;
    if facts.event.is_partial {
        partial::end(tx, &mut facts, keys_until)?;
    }
    blank_lines(tx, seq)?;
    let mut released = Vec::new();
    for (place, stored) in deliveries.iter_mut().enumerate() {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let (state, _) = neighbours.now(seq, place, stored);
        stored.later = None;
        stored.delivery.detail = None;
        if let Some(attribution) = &mut stored.delivery.attribution {
            attribution.click = None;
            attribution.why = "erased".into();
        }
        if !state.is_final() {
            cancel(tx, stored, now)?;
            released.extend(stored.claim.take());
            erased.cancelled.push(stored.delivery.connector.clone());
        }
    }
    // What was cancelled stands in no later order's way; what was delivered does.
    for key in released {
        if !deliveries.iter().any(|other| other.claim == Some(key)) {
            record::let_go(tx, key, seq)?;
        }
    }
    erased.events += 1;
    erased.deliveries += deliveries.len() as u64;
    wake::write_back(tx, seq, &deliveries)?;
    tx.sql
        .prepare_cached("UPDATE event SET facts = ?2 WHERE seq = ?1")?
        .execute((seq.0, rows::write_facts(&nobodys(facts))))?;
    Ok(())
}

/// It ends here, also where a lane still holds it.
fn cancel(tx: &mut Tx<'_>, stored: &mut StoredDelivery, now: Time) -> Result<(), StoreError> {
    let id = stored.delivery.id;
    let (seq, place) = (id.seq(), id.place());
    stored.delivery.state = State::Cancelled;
    stored.delivery.reason = None::<Reason>;
    tx.sql.prepare_cached("DELETE FROM delivery WHERE seq = ?1 AND place = ?2")?.execute((seq.0, place))?;
    let entry = Entry::Ended { state: State::Cancelled, reason: None, detail: None };
    entries::write_entry(tx.lines_of(seq), seq, place, now, &entry);
    tx.counters.book.ended += 1;
    tx.withdrawn.push(id);
    Ok(())
}

/// The log keeps what happened when, and neither what was sent nor what came back.
fn blank_lines(tx: &Tx<'_>, seq: Seq) -> Result<(), StoreError> {
    let rows: Vec<(i64, String)> = tx
        .sql
        .prepare_cached("SELECT id, lines FROM entry WHERE block = ?1")?
        .query_map([seq.0 / EVENTS_PER_BLOCK], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (id, lines) in rows {
        if let Some(blanked) = entries::without_requests(&lines, seq)? {
            tx.sql.prepare_cached("UPDATE entry SET lines = ?2 WHERE id = ?1")?.execute((id, blanked))?;
        }
    }
    Ok(())
}

/// What stays of an event: what it was called, and when.
fn nobodys(facts: Facts) -> Facts {
    let event = &facts.event;
    let bare = Event {
        container: event.container.clone(),
        id: EventId::Given(event.id.as_str().into()),
        name: event.name.clone(),
        is_test: event.is_test,
        ..Event::bare(event.time, event.received)
    };
    let event = Arc::new(bare);
    Facts { event, visitor: VisitorId::NOBODY, matched_by: None, known: Known::default(), clicks: Vec::new(), ..facts }
}
