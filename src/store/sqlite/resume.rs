//! What is still to be sent: first attempts that were never made, retries by due time, attempts that a crash cut off.
//!
//! Refuses: keeping a list of first attempts. The events themselves are the list: a delivery that was decided to be sent
//! and has neither a row nor a log entry has not been tried.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::Connection;

use super::read::{self, events};
use super::writer::Tx;
use crate::model::delivery::{Delivery, Sending, State};
use crate::model::ids::{ConnectorName, DeliveryId, Seq, StoreTag};
use crate::model::record::Job;
use crate::model::time::Time;
use crate::store::rows::{self, StoredDelivery};
use crate::store::{Backlog, StoreError};

/// Events read at once while looking for first attempts.
const EVENTS_PER_READ: i64 = 256;

/// Events looked at before a scan answers with what it has.
const EVENTS_SCANNED_MAX: i64 = 4096;

/// Calls `each` with every delivery that was never tried, of events from `from` on, in order of admission, until it
/// answers false or `events_max` events were looked at. The number of the first event not looked at.
fn each_untried(
    sql: &Connection,
    tag: StoreTag,
    from: Seq,
    events_max: i64,
    mut each: impl FnMut(Seq, &StoredDelivery) -> Result<bool, StoreError>,
) -> Result<Seq, StoreError> {
    let newest: i64 = sql.prepare_cached("SELECT coalesce(max(seq), 0) FROM event")?.query_row([], |row| row.get(0))?;
    let mut next = from.0.max(1);
    let end = newest.min(next.saturating_add(events_max - 1));
    while next <= end {
        let range = next..=end.min(next + EVENTS_PER_READ - 1);
        let touched = touched(sql, range.clone())?;
        // Without the facts, which most of these events need no more.
        let mut select =
            sql.prepare_cached("SELECT seq, deliveries FROM event WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq")?;
        let mut rows = select.query((range.start(), range.end()))?;
        while let Some(row) = rows.next()? {
            let seq = Seq(row.get(0)?);
            let text = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
            for (place, stored) in rows::read_deliveries(tag, seq, text)?.iter().enumerate() {
                let place = u32::try_from(place).unwrap_or(u32::MAX);
                let untried = stored.delivery.state == State::Pending && !touched.contains(&(seq, place));
                if untried && !each(seq, stored)? {
                    return Ok(seq);
                }
            }
        }
        next = range.end() + 1;
    }
    Ok(Seq(next))
}

/// Deliveries that have a row or a log entry.
fn touched(sql: &Connection, range: std::ops::RangeInclusive<i64>) -> Result<HashSet<(Seq, u32)>, StoreError> {
    let mut select = sql.prepare_cached("SELECT seq, place FROM delivery WHERE seq BETWEEN ?1 AND ?2")?;
    let mut touched = HashSet::new();
    let mut rows = select.query((range.start(), range.end()))?;
    while let Some(row) = rows.next()? {
        touched.insert((Seq(row.get(0)?), row.get(1)?));
    }
    read::each_line(sql, &range, |line| {
        touched.insert((line.seq, line.place));
        Ok(())
    })?;
    Ok(touched)
}

/// First attempts of `connector` never made, of events from `from` on, at most `limit`; and where to go on.
pub(super) fn untried(
    sql: &Connection,
    tag: StoreTag,
    connector: &str,
    from: Seq,
    limit: usize,
) -> Result<(Vec<Job>, Seq), StoreError> {
    let mut jobs: Vec<Job> = Vec::new();
    let mut last: Option<(Seq, Arc<crate::model::facts::Facts>)> = None;
    let next = each_untried(sql, tag, from, EVENTS_SCANNED_MAX, |at, stored| {
        if *stored.delivery.connector != *connector {
            return Ok(true);
        }
        // An event's deliveries are given whole, so that going on at an event repeats none of them.
        let begun = last.as_ref().is_some_and(|(seq, _)| *seq == at);
        if limit <= jobs.len() && !begun {
            return Ok(false);
        }
        let facts = match &last {
            Some((seq, facts)) if *seq == at => facts.clone(),
            _ => {
                let event = events(sql, tag, at.0..=at.0)?.pop();
                let event = event.ok_or_else(|| StoreError::Failed(format!("event {} has gone", at.0)))?;
                Arc::new(rows::read_facts(at, &event.facts)?)
            }
        };
        last = Some((at, facts.clone()));
        jobs.push(Job {
            facts,
            attempts: 0,
            is_repeat: false,
            first_due: stored.delivery.due,
            due: stored.delivery.due,
            on_record: false,
            delivery: stored.delivery.clone(),
        });
        Ok(true)
    })?;
    Ok((jobs, next))
}

/// First attempts put on record by one [`set_aside`].
const SET_ASIDE_MAX: usize = 1000;

/// Gives first attempts of `connector` that were never made, of events from `from` on, a row each; and says where to go
/// on. Events are taken whole. Without those of `but`, which are being made; with `only_live` only what was decided live.
pub(super) fn set_aside(
    tx: &mut Tx<'_>,
    connector: &str,
    from: Seq,
    only_live: bool,
    but: &[DeliveryId],
) -> Result<Seq, StoreError> {
    // What was recorded in this very commit is no first attempt any more.
    tx.write_lines()?;
    let mut found: Vec<(Seq, u32, Time)> = Vec::new();
    let next = each_untried(tx.sql, tx.tag, from, EVENTS_SCANNED_MAX, |at, stored| {
        let Delivery { id, due, sending, .. } = stored.delivery;
        let is_meant = !only_live || sending == Sending::Live;
        if *stored.delivery.connector != *connector || !is_meant || but.contains(&id) {
            return Ok(true);
        }
        if SET_ASIDE_MAX <= found.len() && found.last().is_some_and(|(seq, ..)| *seq != at) {
            return Ok(false);
        }
        found.push((at, id.place(), due));
        Ok(true)
    })?;
    let mut insert = tx.sql.prepare_cached(
        "INSERT INTO delivery (seq, place, connector, state, due, first_due, attempts, is_repeat)
         VALUES (?1, ?2, ?3, 'pending', ?4, ?4, 0, 0)",
    )?;
    for (seq, place, due) in found {
        insert.execute((seq.0, place, connector, due.ms()))?;
    }
    Ok(next)
}

/// Deliveries of `connector` on record as pending, by due time, strictly after `after`.
pub(super) fn due(
    sql: &Connection,
    tag: StoreTag,
    connector: &str,
    after: Option<(Time, DeliveryId)>,
    limit: usize,
) -> Result<Vec<Job>, StoreError> {
    let (time, seq, place) = after.map_or((i64::MIN, 0, 0), |(time, id)| (time.ms(), id.seq().0, id.place()));
    let mut select = sql.prepare_cached(
        "SELECT seq, place, due, first_due, attempts, is_repeat FROM delivery
         WHERE state = 'pending' AND connector = ?1 AND (due, seq, place) > (?2, ?3, ?4)
         ORDER BY due, seq, place LIMIT ?5",
    )?;
    let found: Vec<(i64, u32, i64, i64, u32, bool)> = select
        .query_map((connector, time, seq, place, i64::try_from(limit).unwrap_or(i64::MAX)), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
        })?
        .collect::<Result<_, _>>()?;
    let mut jobs = Vec::with_capacity(found.len());
    for (seq, place, due, first_due, attempts, is_repeat) in found {
        let Some(event) = events(sql, tag, seq..=seq)?.pop() else { continue };
        let Some(stored) = usize::try_from(place).ok().and_then(|place| event.deliveries.get(place)) else { continue };
        jobs.push(Job {
            facts: Arc::new(read::facts_of(&event, stored)?),
            delivery: stored.delivery.clone(),
            attempts,
            is_repeat,
            first_due: Time::from_ms(first_due),
            due: Time::from_ms(due),
            on_record: true,
        });
    }
    Ok(jobs)
}

/// Deliveries whose last attempt was begun and has no outcome: connector, delivery, when its first attempt was due, and
/// the number of the attempt.
pub(super) fn cut_off(
    sql: &Connection,
    tag: StoreTag,
) -> Result<Vec<(ConnectorName, DeliveryId, Time, u32)>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT connector, seq, place, first_due, started FROM delivery WHERE started IS NOT NULL AND state = 'pending'",
    )?;
    let found = select.query_map([], |row| {
        let id = DeliveryId::new(tag, Seq(row.get(1)?), row.get(2)?);
        Ok((row.get::<_, String>(0)?.into(), id, Time::from_ms(row.get(3)?), row.get(4)?))
    })?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// What is not final, per connector. `from` is a number below which every first attempt is accounted for.
pub(super) fn backlog(sql: &Connection, tag: StoreTag, from: Seq) -> Result<HashMap<String, Backlog>, StoreError> {
    let mut backlog: HashMap<String, Backlog> = HashMap::new();
    let mut select = sql.prepare_cached(
        "SELECT connector, state, count(*), min(first_due), min(due) FROM delivery
         WHERE state IN ('pending', 'waiting', 'held') GROUP BY state, connector",
    )?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let entry = backlog.entry(row.get(0)?).or_default();
        let count: u64 = row.get::<_, i64>(2)?.unsigned_abs();
        match row.get::<_, String>(1)?.as_str() {
            "waiting" => entry.waiting += count,
            "held" => entry.held += count,
            _ => {
                entry.pending += count;
                earliest(&mut entry.oldest_pending, Time::from_ms(row.get(3)?));
                earliest(&mut entry.oldest_due, Time::from_ms(row.get(4)?));
            }
        }
    }
    each_untried(sql, tag, from, i64::MAX / 2, |_, stored| {
        let entry = match backlog.get_mut(&*stored.delivery.connector) {
            Some(entry) => entry,
            None => backlog.entry(stored.delivery.connector.to_string()).or_default(),
        };
        entry.pending += 1;
        earliest(&mut entry.oldest_pending, stored.delivery.due);
        earliest(&mut entry.oldest_due, stored.delivery.due);
        Ok(true)
    })?;
    Ok(backlog)
}

fn earliest(known: &mut Option<Time>, time: Time) {
    *known = Some(known.map_or(time, |known| known.min(time)));
}
