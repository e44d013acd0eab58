//! Retention: old log entries, clicks, event keys and claims go, a little at a time.
//!
//! Refuses: deleting anything that is not final, and long transactions: each step deletes a bounded number of rows, so
//! that admission never waits long for it.

use std::sync::Arc;

use super::recent::{FOR_VISITOR, Person, Presence};
use super::visitors;
use super::writer::{EVENTS_PER_BLOCK, Tx};
use crate::model::delivery::State;
use crate::model::ids::{DeliveryId, Seq, VisitorId};
use crate::model::record::{Entry, Record};
use crate::model::time::Time;
use crate::store::StoreError;

/// Rows looked at by one step.
const ROWS_PER_STEP: i64 = 1000;

/// Young events in succession after which no older ones are looked for. One alone may be of a clock that was wrong.
const YOUNG_IN_A_ROW: usize = 64;

/// Where the sweep of each table stands; it walks each from its beginning to its end and starts anew.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Cursors {
    event: i64,
    key: Option<i64>,
    visitor: i64,
    /// Which of them have come to their end in this round.
    done: [bool; 3],
}

/// What may go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub now: Time,
    /// Events received before this, whose deliveries are all final.
    pub log_before: Time,
    /// Clicks seen before this, and visitors without any since.
    pub clicks_before: Time,
    /// Below this number every first attempt has been made.
    pub tried_below: Seq,
}

/// One bounded step. True where there is more to do at once.
pub(super) fn step(tx: &mut Tx<'_>, limits: Limits, cursors: &mut Cursors) -> Result<bool, StoreError> {
    let [events_done, keys_done, visitors_done] = cursors.done;
    // A round is over when each walk has come to its end once, however long the others are.
    cursors.done = [
        events_done || !events(tx, limits, cursors)?,
        keys_done || !keys(tx, limits, cursors)?,
        visitors_done || !forget_clicks(tx, limits, cursors)?,
    ];
    let is_over = cursors.done == [true; 3];
    if is_over {
        cursors.done = [false; 3];
    }
    Ok(!is_over)
}

/// Deletes the oldest events with their log, as far as all their deliveries are final.
fn events(tx: &Tx<'_>, limits: Limits, cursors: &mut Cursors) -> Result<bool, StoreError> {
    // Those that came next are younger still, so that a long log is not read to its end each time.
    let mut oldest = tx.sql.prepare_cached(
        "SELECT seq, received, EXISTS (SELECT 1 FROM delivery d WHERE d.seq = event.seq
                                       AND d.state IN ('waiting', 'pending', 'held'))
         FROM event WHERE ?1 < seq AND seq < ?2 ORDER BY seq LIMIT ?3",
    )?;
    let mut rows = oldest.query((cursors.event, limits.tried_below.0, ROWS_PER_STEP))?;
    let mut seqs: Vec<i64> = Vec::new();
    let (mut looked_at, mut young) = (0, 0);
    while let Some(row) = rows.next()?
        && young < YOUNG_IN_A_ROW
    {
        looked_at += 1;
        cursors.event = row.get(0)?;
        if limits.log_before.ms() <= row.get(1)? {
            young += 1;
            continue;
        }
        young = 0;
        if !row.get::<_, bool>(2)? {
            seqs.push(cursors.event);
        }
    }
    let more = young < YOUNG_IN_A_ROW && looked_at == ROWS_PER_STEP;
    if !more {
        cursors.event = 0;
    }
    for seq in &seqs {
        tx.sql.prepare_cached("DELETE FROM delivery WHERE seq = ?1")?.execute([seq])?;
        tx.sql.prepare_cached("DELETE FROM event WHERE seq = ?1")?.execute([seq])?;
    }
    // A block's lines go when the last of its events has gone.
    let mut blocks: Vec<i64> = seqs.iter().map(|seq| seq / EVENTS_PER_BLOCK).collect();
    blocks.dedup();
    for block in blocks {
        let (first, last) = (block * EVENTS_PER_BLOCK, (block + 1) * EVENTS_PER_BLOCK - 1);
        if last < limits.tried_below.0 {
            tx.sql
                .prepare_cached(
                    "DELETE FROM entry WHERE block = ?1
                     AND NOT EXISTS (SELECT 1 FROM event WHERE seq BETWEEN ?2 AND ?3)",
                )?
                .execute((block, first, last))?;
        }
    }
    Ok(more)
}

/// Keys whose time is over, and identifiers that lead to nobody any more.
fn keys(tx: &mut Tx<'_>, limits: Limits, cursors: &mut Cursors) -> Result<bool, StoreError> {
    let from = cursors.key.unwrap_or(i64::MIN);
    let mut select = tx.sql.prepare_cached("SELECT hash FROM key WHERE ?1 <= hash ORDER BY hash LIMIT ?2")?;
    let found: Vec<i64> = select.query_map((from, ROWS_PER_STEP), |row| row.get(0))?.collect::<Result<_, _>>()?;
    drop(select);
    for hash in &found {
        // As it is now: the table may be behind.
        let Some(row) = tx.recent.key(tx.sql, *hash)? else { continue };
        let is_over = match row.until {
            FOR_VISITOR => visitors::survivor(tx, VisitorId(row.value))?.is_none(),
            until => until <= limits.now.ms(),
        };
        if is_over {
            tx.recent.remove_key(*hash);
        }
    }
    let full = i64::try_from(found.len()).unwrap_or(0) == ROWS_PER_STEP;
    cursors.key = found.last().filter(|_| full).and_then(|hash| hash.checked_add(1));
    Ok(full)
}

/// Visitors not seen within the retention go whole; the others lose the clicks that are too old. Whoever changed lately is
/// left for the next time.
fn forget_clicks(tx: &mut Tx<'_>, limits: Limits, cursors: &mut Cursors) -> Result<bool, StoreError> {
    let before = limits.clicks_before;
    let mut select = tx
        .sql
        .prepare_cached("SELECT id, merged_into, seen, oldest FROM visitor WHERE ?1 < id ORDER BY id LIMIT ?2")?;
    let found: Vec<(VisitorId, Option<i64>, i64, Option<i64>)> = select
        .query_map((cursors.visitor, ROWS_PER_STEP), |row| {
            Ok((VisitorId(row.get(0)?), row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    drop(select);
    for (id, merged_into, seen, oldest) in &found {
        if tx.recent.person(*id).is_some() {
            continue;
        }
        let may_go = match merged_into {
            // One that was taken over stands for as long as who took it over: identifiers may still lead there by way of it.
            Some(into) => visitors::survivor(tx, VisitorId(*into))?.is_none(),
            None => *seen < before.ms(),
        };
        if may_go {
            if !waits(tx, id.0)? {
                tx.recent.set_person(*id, Person::Gone);
            }
        } else if merged_into.is_none() && oldest.is_some_and(|oldest| oldest < before.ms()) {
            let mut visitor = visitors::load(tx, *id)?;
            let loaded = visitor.clicks.clone();
            let clicks = &mut Arc::make_mut(&mut visitor).clicks;
            Arc::make_mut(clicks).retain(|click| before <= click.time.unwrap_or(click.seen));
            visitors::save(tx, visitor, &loaded, *seen, Presence::Away);
        }
    }
    let full = i64::try_from(found.len()).unwrap_or(0) == ROWS_PER_STEP;
    cursors.visitor = found.last().filter(|_| full).map_or(0, |(id, ..)| id.0);
    Ok(full)
}

fn waits(tx: &Tx<'_>, visitor: i64) -> Result<bool, StoreError> {
    let mut select = tx.sql.prepare_cached("SELECT EXISTS (SELECT 1 FROM delivery WHERE visitor = ?1)")?;
    Ok(select.query_row([visitor], |row| row.get(0))?)
}

/// Ends what is parked for a connector that is gone and has passed `before`: cancelled, at most `limit`.
pub(super) fn cancel_removed(
    tx: &mut Tx<'_>,
    removed: &dyn Fn(&str) -> bool,
    due_before: Time,
    now: Time,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    // The names first: what is parked for others must not use up the limit.
    let names: Vec<String> = tx
        .sql
        .prepare_cached("SELECT DISTINCT connector FROM delivery WHERE state = 'pending'")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut found: Vec<(String, i64, u32, i64)> = Vec::new();
    let mut select = tx.sql.prepare_cached(
        "SELECT seq, place, first_due FROM delivery WHERE state = 'pending' AND connector = ?1 AND first_due < ?2 LIMIT ?3",
    )?;
    for connector in names.into_iter().filter(|name| removed(name)) {
        let room = i64::try_from(limit.saturating_sub(found.len())).unwrap_or(i64::MAX);
        let mut rows = select.query((&connector, due_before.ms(), room))?;
        while let Some(row) = rows.next()? {
            found.push((connector.clone(), row.get(0)?, row.get(1)?, row.get(2)?));
        }
    }
    drop(select);
    let mut cancelled = Vec::new();
    for (connector, seq, place, first_due) in found {
        let record = Record {
            delivery: DeliveryId::new(tx.tag, Seq(seq), place),
            connector: connector.as_str().into(),
            at: now,
            on_record: true,
            first_due: Time::from_ms(first_due),
            entry: Entry::Ended { state: State::Cancelled, reason: None, detail: None },
        };
        super::record::record(tx, &super::record::Lined::new(record.into()))?;
        cancelled.push(connector);
    }
    Ok(cancelled)
}
