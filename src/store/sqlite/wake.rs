//! Conversions that wait: for a click that may still arrive, or for a rival that may. Decided again when their visitor
//! gains something and when their time is up.
//!
//! Refuses: touching what was sent. Only a delivery in `waiting` is ever decided again.

use super::admit::asking_claims;
use super::writer::Tx;
use super::{partial, visitors};
use crate::model::delivery::{Delivery, Reason, State};
use crate::model::facts::Facts;
use crate::model::ids::{ConnectorName, Seq, VisitorId};
use crate::model::record::Entry;
use crate::model::time::Time;
use crate::model::visitor::Visitor;
use crate::store::entries;
use crate::store::rows::{self, Later, StoredDelivery};
use crate::store::{Case, Planned, PlannedVerdict, Planner, StoreError, Woken};

/// Puts a delivery among those that wait for `facts.visitor`.
pub(super) fn insert_waiting(tx: &Tx<'_>, facts: &Facts, place: usize, delivery: &Delivery) -> Result<(), StoreError> {
    let mut insert = tx.sql.prepare_cached(
        "INSERT INTO delivery (seq, place, connector, state, reason, due, first_due, attempts, is_repeat, visitor)
         VALUES (?1, ?2, ?3, 'waiting', ?4, ?5, ?5, 0, 0, ?6)",
    )?;
    insert.execute((
        facts.seq.0,
        i64::try_from(place).unwrap_or(i64::MAX),
        &*delivery.connector,
        delivery.reason.map(Reason::word),
        delivery.due.ms(),
        facts.visitor.0,
    ))?;
    Ok(())
}

/// One row that waits.
struct Waiting {
    seq: Seq,
    place: usize,
    connector: ConnectorName,
    due: Time,
    visitor: VisitorId,
}

const COLUMNS: &str = "seq, place, connector, due, visitor";

fn waiting(row: &rusqlite::Row<'_>) -> rusqlite::Result<Waiting> {
    Ok(Waiting {
        seq: Seq(row.get(0)?),
        place: row.get::<_, i64>(1).map(|place| usize::try_from(place).unwrap_or(usize::MAX))?,
        connector: row.get::<_, String>(2)?.into(),
        due: Time::from_ms(row.get(3)?),
        visitor: VisitorId(row.get(4)?),
    })
}

/// What waits, of one visitor or of one event.
fn found(tx: &Tx<'_>, whose: &'static str, number: i64) -> Result<Vec<Waiting>, StoreError> {
    // The plus keeps SQLite from going by the state, which so many have.
    let mut select =
        tx.sql.prepare_cached(&format!("SELECT {COLUMNS} FROM delivery WHERE {whose} AND +state = 'waiting'"))?;
    Ok(select.query_map([number], waiting)?.collect::<Result<_, _>>()?)
}

/// Decides again what waits for `visitor`, who has gained a click or taken another over.
pub(super) fn visitor(
    tx: &mut Tx<'_>,
    planner: &dyn Planner,
    visitor: &Visitor,
    now: Time,
    woken: &mut Woken,
) -> Result<(), StoreError> {
    let rows = found(tx, "visitor = ?1", visitor.id.0)?;
    rows.iter().try_for_each(|row| again(tx, planner, row, visitor, now, woken))
}

/// Decides what waits of the event at `seq`, which is held no more, for its `visitor`.
pub(super) fn event(
    tx: &mut Tx<'_>,
    planner: &dyn Planner,
    seq: Seq,
    visitor: &Visitor,
    now: Time,
    woken: &mut Woken,
) -> Result<(), StoreError> {
    let rows = found(tx, "seq = ?1", seq.0)?;
    rows.iter().try_for_each(|row| again(tx, planner, row, visitor, now, woken))
}

/// Decides for good what has waited until `now`, at most `limit`; the number decided. Until `keys_until` the ids of events that
/// were held are remembered.
pub(super) fn due(
    tx: &mut Tx<'_>,
    planner: &dyn Planner,
    now: Time,
    keys_until: Time,
    limit: usize,
    woken: &mut Woken,
) -> Result<usize, StoreError> {
    let rows: Vec<Waiting> = tx
        .sql
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM delivery INDEXED BY delivery_waiting
             WHERE state = 'waiting' AND due <= ?1 ORDER BY due LIMIT ?2"
        ))?
        .query_map((now.ms(), i64::try_from(limit).unwrap_or(i64::MAX)), waiting)?
        .collect::<Result<_, _>>()?;
    for row in &rows {
        partial::time_is_up(tx, planner, row.seq, now, keys_until, woken)?;
        let visitor = visitors::load(tx, row.visitor)?;
        again(tx, planner, row, &visitor, now, woken)?;
    }
    Ok(rows.len())
}

fn again(
    tx: &mut Tx<'_>,
    planner: &dyn Planner,
    row: &Waiting,
    visitor: &Visitor,
    now: Time,
    woken: &mut Woken,
) -> Result<(), StoreError> {
    let (mut deliveries, mut facts) = load_event(tx, row.seq)?;
    if facts.event.is_partial {
        // It waits for the rest of it, whatever its visitor has gained.
        return Ok(());
    }
    facts.clicks.clear();
    let planned = asking_claims(tx, now, |claimed| {
        planner.decide_again(&row.connector, &Case { visitor, now, claimed }, &mut facts)
    })?;
    match planned {
        None if now < row.due => return Ok(()),
        None => {
            end(tx, row, &mut deliveries, now, State::Cancelled, None)?;
            woken.cancelled.push(row.connector.clone());
        }
        Some(plan @ Planned { verdict: PlannedVerdict::Wait { until, reason }, .. }) => {
            return wait_on(tx, row, &mut deliveries, plan, until, reason);
        }
        Some(plan @ Planned { verdict: PlannedVerdict::Skip(reason), .. }) => {
            told_by(&mut deliveries, row, plan);
            end(tx, row, &mut deliveries, now, State::Skipped, Some(reason))?;
            woken.skipped.push((row.connector.clone(), reason));
        }
        Some(plan) => {
            send(tx, row, &mut deliveries, plan, facts, now)?;
            woken.sent.push(row.connector.clone());
        }
    }
    write_back(tx, row.seq, &deliveries)
}

pub(super) fn load_event(tx: &Tx<'_>, seq: Seq) -> Result<(Vec<StoredDelivery>, Facts), StoreError> {
    let mut select = tx.sql.prepare_cached("SELECT deliveries, facts FROM event WHERE seq = ?1")?;
    let (deliveries, facts) =
        select.query_row([seq.0], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
    Ok((rows::read_deliveries(tx.tag, seq, &deliveries)?, rows::read_facts(seq, &facts)?))
}

pub(super) fn write_back(tx: &Tx<'_>, seq: Seq, deliveries: &[StoredDelivery]) -> Result<(), StoreError> {
    tx.sql
        .prepare_cached("UPDATE event SET deliveries = ?2 WHERE seq = ?1")?
        .execute((seq.0, rows::write_deliveries(deliveries)))?;
    Ok(())
}

/// The latest decision's words take the place of those of the one before.
fn told_by(deliveries: &mut [StoredDelivery], row: &Waiting, plan: Planned) {
    let Some(stored) = deliveries.get_mut(row.place) else { return };
    stored.delivery.revision = plan.revision;
    stored.delivery.attribution = plan.attribution;
    stored.delivery.detail = plan.detail;
}

fn wait_on(
    tx: &Tx<'_>,
    row: &Waiting,
    deliveries: &mut [StoredDelivery],
    plan: Planned,
    until: Time,
    reason: Option<Reason>,
) -> Result<(), StoreError> {
    let Some(stored) = deliveries.get(row.place) else { return Ok(()) };
    let known = &stored.delivery;
    if known.reason == reason && known.due == until && known.attribution == plan.attribution {
        return Ok(());
    }
    told_by(deliveries, row, plan);
    let Some(stored) = deliveries.get_mut(row.place) else { return Ok(()) };
    stored.delivery.reason = reason;
    stored.delivery.due = until;
    tx.sql.prepare_cached("UPDATE delivery SET due = ?3, reason = ?4 WHERE seq = ?1 AND place = ?2")?.execute((
        row.seq.0,
        place(row),
        until.ms(),
        reason.map(Reason::word),
    ))?;
    write_back(tx, row.seq, deliveries)
}

fn place(row: &Waiting) -> i64 {
    i64::try_from(row.place).unwrap_or(i64::MAX)
}

/// The delivery ends without ever having been sent.
fn end(
    tx: &mut Tx<'_>,
    row: &Waiting,
    deliveries: &mut [StoredDelivery],
    now: Time,
    state: State,
    reason: Option<Reason>,
) -> Result<(), StoreError> {
    let Some(stored) = deliveries.get_mut(row.place) else { return Ok(()) };
    tx.sql.prepare_cached("DELETE FROM delivery WHERE seq = ?1 AND place = ?2")?.execute((row.seq.0, place(row)))?;
    stored.delivery.state = state;
    stored.delivery.reason = reason;
    tx.counters.book.ended += 1;
    let entry = Entry::Ended { state, reason, detail: None };
    let at_place = u32::try_from(row.place).unwrap_or(u32::MAX);
    entries::write_entry(tx.lines_of(row.seq), row.seq, at_place, now, &entry);
    Ok(())
}

/// The delivery is to be sent: with the click and the knowledge of this moment, one for each item.
fn send(
    tx: &mut Tx<'_>,
    row: &Waiting,
    deliveries: &mut Vec<StoredDelivery>,
    plan: Planned,
    facts: Facts,
    now: Time,
) -> Result<(), StoreError> {
    let later = Later { known: facts.known, clicks: facts.clicks };
    let mut placed = Vec::new();
    super::admit::place(tx, row.seq, plan, now, &mut placed);
    let first_place = row.place;
    for (n, mut stored) in placed.into_iter().enumerate() {
        stored.later = Some(later.clone());
        let place = if n == 0 { first_place } else { deliveries.len() };
        let id = crate::model::ids::DeliveryId::new(tx.tag, row.seq, u32::try_from(place).unwrap_or(u32::MAX));
        stored.delivery.id = id;
        let mut upsert = tx.sql.prepare_cached(
            "INSERT OR REPLACE INTO delivery (seq, place, connector, state, due, first_due, attempts, is_repeat)
             VALUES (?1, ?2, ?3, 'pending', ?4, ?4, 0, 0)",
        )?;
        upsert.execute((row.seq.0, i64::try_from(place).unwrap_or(i64::MAX), &*row.connector, now.ms()))?;
        if n == 0 {
            deliveries[first_place] = stored;
        } else {
            tx.counters.book.decided += 1;
            deliveries.push(stored);
        }
    }
    Ok(())
}
