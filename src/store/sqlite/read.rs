//! The delivery log read back: pages, one delivery whole, one event whole.
//!
//! Refuses: writing, and holding a read transaction open between pages. What a delivery is now is told by its row if it
//! has one, else by its last log entry, else by its decision.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

use rusqlite::Connection;

use super::writer::{EVENTS_PER_BLOCK, Tx};
use crate::model::delivery::{Reason, State};
use crate::model::facts::Facts;
use crate::model::ids::{DeliveryId, Seq, StoreTag};
use crate::model::time::Time;
use crate::store::entries::{self, Told};
use crate::store::rows::{self, StoredDelivery};
use crate::store::{
    ContainerSeen, DeliveryDetail, DeliveryFilter, DeliveryLine, DeliveryPage, EventDetail, StoreError,
};

/// Events looked at for one page. A filter that matches nothing answers with an empty page and a cursor after so many,
/// so that no question keeps a reader for long.
const EVENTS_SCANNED_MAX: usize = 20_000;

/// Events read at once.
const EVENTS_PER_READ: i64 = 256;

/// One event's row.
pub(super) struct EventRead {
    pub seq: Seq,
    pub received: Time,
    pub deliveries: Vec<StoredDelivery>,
    pub facts: String,
}

/// A delivery's own row.
#[derive(Clone, Copy)]
pub(super) struct RowRead {
    pub state: State,
    pub reason: Option<Reason>,
    pub due: Time,
}

/// What stands about the deliveries of some neighbouring events.
pub(super) struct Neighbours {
    pub rows: HashMap<(Seq, u32), RowRead>,
    pub told: HashMap<(Seq, u32), Vec<Told>>,
}

pub(super) fn events(
    sql: &Connection,
    tag: StoreTag,
    range: RangeInclusive<i64>,
) -> Result<Vec<EventRead>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT seq, received, deliveries, facts FROM event WHERE seq BETWEEN ?1 AND ?2 ORDER BY seq",
    )?;
    let mut found = Vec::new();
    let mut rows = select.query((range.start(), range.end()))?;
    while let Some(row) = rows.next()? {
        let seq = Seq(row.get(0)?);
        found.push(EventRead {
            seq,
            received: Time::from_ms(row.get(1)?),
            deliveries: rows::read_deliveries(tag, seq, row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)?,
            facts: row.get(3)?,
        });
    }
    Ok(found)
}

impl Neighbours {
    pub(super) fn load(sql: &Connection, range: RangeInclusive<i64>) -> Result<Self, StoreError> {
        let mut select =
            sql.prepare_cached("SELECT seq, place, state, reason, due FROM delivery WHERE seq BETWEEN ?1 AND ?2")?;
        let mut rows_found = HashMap::new();
        let mut rows = select.query((range.start(), range.end()))?;
        while let Some(row) = rows.next()? {
            let state: String = row.get(2)?;
            let reason: Option<String> = row.get(3)?;
            let read = RowRead {
                state: State::from_word(&state).ok_or_else(|| StoreError::Failed(format!("unknown state {state}")))?,
                reason: reason.as_deref().and_then(Reason::from_word),
                due: Time::from_ms(row.get(4)?),
            };
            rows_found.insert((Seq(row.get(0)?), row.get(1)?), read);
        }
        let mut told: HashMap<(Seq, u32), Vec<Told>> = HashMap::new();
        each_line(sql, &range, |line| {
            if range.contains(&line.seq.0) {
                told.entry((line.seq, line.place)).or_default().push(line.read()?);
            }
            Ok(())
        })?;
        Ok(Self { rows: rows_found, told })
    }

    /// State and reason of a delivery now.
    pub(super) fn now(&self, seq: Seq, place: u32, stored: &StoredDelivery) -> (State, Option<Reason>) {
        if let Some(row) = self.rows.get(&(seq, place)) {
            return (row.state, row.reason);
        }
        let ended = self.told.get(&(seq, place)).and_then(|told| told.last());
        ended.map_or((stored.delivery.state, stored.delivery.reason), |told| (told.state, told.reason))
    }

    fn line(&self, event: &EventRead, facts: &Facts, place: u32, stored: &StoredDelivery) -> DeliveryLine {
        let (state, reason) = self.now(event.seq, place, stored);
        let told = self.told.get(&(event.seq, place));
        let next = match (state, self.rows.get(&(event.seq, place))) {
            (State::Pending, Some(row)) => Some(row.due),
            (State::Pending, None) => Some(stored.delivery.due),
            _ => None,
        };
        DeliveryLine {
            id: stored.delivery.id,
            event_id: facts.event.id.as_str().to_owned(),
            event: facts.event.name.as_deref().unwrap_or_default().to_owned(),
            container: facts.event.container.to_string(),
            connector: stored.delivery.connector.clone(),
            revision: stored.delivery.revision.clone(),
            state,
            reason,
            attempts: told.and_then(|told| told.iter().filter_map(|t| t.attempt).max()).unwrap_or(0),
            created_at: event.received,
            updated_at: told.and_then(|told| told.last()).map_or(event.received, |told| told.entry.at),
            next_attempt_at: next,
        }
    }
}

/// Calls `each` with every log line of the blocks that `range` touches, in the order in which they were written.
pub(super) fn each_line(
    sql: &Connection,
    range: &RangeInclusive<i64>,
    mut each: impl FnMut(entries::Line<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let blocks = (range.start() / EVENTS_PER_BLOCK, range.end() / EVENTS_PER_BLOCK);
    let mut select = sql.prepare_cached("SELECT lines FROM entry WHERE block BETWEEN ?1 AND ?2 ORDER BY id")?;
    let mut rows = select.query(blocks)?;
    while let Some(row) = rows.next()? {
        for line in entries::lines(row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?) {
            each(line)?;
        }
    }
    Ok(())
}

/// Where the next page starts: everything before this delivery, newest first.
#[derive(Clone, Copy)]
struct Cursor {
    seq: i64,
    place: u32,
}

impl Cursor {
    fn parse(text: &str) -> Result<Self, StoreError> {
        let parsed = text.split_once('.').and_then(|(seq, place)| Some((seq.parse().ok()?, place.parse().ok()?)));
        let (seq, place) = parsed.ok_or_else(|| StoreError::Failed(format!("{text:?} is no cursor of this log")))?;
        Ok(Self { seq, place })
    }
}

/// A page of the log; `seqs` where the filter names an event id, as [`numbered`] gives them.
pub(super) fn page(
    sql: &Connection,
    tag: StoreTag,
    filter: &DeliveryFilter,
    seqs: Option<&[i64]>,
    limit: usize,
    cursor: Option<&str>,
) -> Result<DeliveryPage, StoreError> {
    let cursor = match cursor {
        Some(text) => Cursor::parse(text)?,
        None => Cursor { seq: newest(sql)? + 1, place: 0 },
    };
    if let (Some(id), Some(seqs)) = (&filter.event_id, seqs) {
        let seqs = with_id(sql, tag, seqs, id)?;
        return among(sql, tag, filter, limit, cursor, &seqs);
    }
    match filter.state {
        Some(state @ (State::Waiting | State::Held | State::Rejected | State::Dead)) => {
            let seqs = seqs_in_state(sql, state, filter.connector.as_deref(), cursor, limit)?;
            among(sql, tag, filter, limit, cursor, &seqs)
        }
        _ => scan(sql, tag, filter, limit, cursor),
    }
}

fn newest(sql: &Connection) -> Result<i64, StoreError> {
    Ok(sql.prepare_cached("SELECT coalesce(max(seq), 0) FROM event")?.query_row([], |row| row.get(0))?)
}

/// Looks at the events of `seqs`, newest first.
fn among(
    sql: &Connection,
    tag: StoreTag,
    filter: &DeliveryFilter,
    limit: usize,
    cursor: Cursor,
    seqs: &[i64],
) -> Result<DeliveryPage, StoreError> {
    let mut page = DeliveryPage::default();
    for seq in seqs.iter().copied().filter(|seq| *seq <= cursor.seq) {
        let events = events(sql, tag, seq..=seq)?;
        let neighbours = Neighbours::load(sql, seq..=seq)?;
        for event in &events {
            if !collect(filter, limit, cursor, event, &neighbours, &mut page)? {
                return Ok(page);
            }
        }
    }
    Ok(page)
}

/// Looks at all events, newest first.
fn scan(
    sql: &Connection,
    tag: StoreTag,
    filter: &DeliveryFilter,
    limit: usize,
    cursor: Cursor,
) -> Result<DeliveryPage, StoreError> {
    let mut page = DeliveryPage::default();
    let mut upper = cursor.seq;
    let mut scanned = 0;
    while 0 < upper {
        let lower = (upper - EVENTS_PER_READ + 1).max(1);
        let events = events(sql, tag, lower..=upper)?;
        let neighbours = Neighbours::load(sql, lower..=upper)?;
        for event in events.iter().rev() {
            if filter.since.is_some_and(|since| event.received < since) {
                return Ok(page);
            }
            if !collect(filter, limit, cursor, event, &neighbours, &mut page)? {
                return Ok(page);
            }
        }
        scanned += events.len();
        upper = match events.first() {
            Some(_) => lower - 1,
            // Retention leaves holes; the next event below may be far away.
            None => below(sql, lower)?,
        };
        if EVENTS_SCANNED_MAX <= scanned && 0 < upper {
            page.next_cursor = Some(format!("{}.0", upper + 1));
            return Ok(page);
        }
    }
    Ok(page)
}

fn below(sql: &Connection, seq: i64) -> Result<i64, StoreError> {
    let mut select = sql.prepare_cached("SELECT coalesce(max(seq), 0) FROM event WHERE seq < ?1")?;
    Ok(select.query_row([seq], |row| row.get(0))?)
}

/// Adds the deliveries of `event` that match; false once the page is full.
fn collect(
    filter: &DeliveryFilter,
    limit: usize,
    cursor: Cursor,
    event: &EventRead,
    neighbours: &Neighbours,
    page: &mut DeliveryPage,
) -> Result<bool, StoreError> {
    if filter.since.is_some_and(|since| event.received < since)
        || filter.until.is_some_and(|until| until <= event.received)
    {
        return Ok(true);
    }
    let mut facts: Option<Facts> = None;
    for (place, stored) in event.deliveries.iter().enumerate().rev() {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        if event.seq.0 == cursor.seq && cursor.place <= place {
            continue;
        }
        let (state, reason) = neighbours.now(event.seq, place, stored);
        let matches = filter.connector.as_deref().is_none_or(|name| *name == *stored.delivery.connector)
            && filter.state.is_none_or(|wanted| wanted == state)
            && filter.reason.is_none_or(|wanted| Some(wanted) == reason);
        if !matches {
            continue;
        }
        if limit <= page.items.len() {
            page.next_cursor = page.items.last().map(|last| format!("{}.{}", last.id.seq().0, last.id.place()));
            return Ok(false);
        }
        let facts = match &mut facts {
            Some(facts) => facts,
            empty => empty.insert(rows::read_facts(event.seq, &event.facts)?),
        };
        page.items.push(neighbours.line(event, facts, place, stored));
    }
    Ok(true)
}

/// Events with deliveries in a state that has rows of its own, newest first. One more than a page needs.
fn seqs_in_state(
    sql: &Connection,
    state: State,
    connector: Option<&str>,
    cursor: Cursor,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let mut select = sql.prepare_cached(
        "SELECT DISTINCT seq FROM delivery WHERE state = ?1 AND (?2 IS NULL OR connector = ?2) AND seq <= ?3
         ORDER BY seq DESC LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(2);
    let found = select.query_map((state.word(), connector, cursor.seq, limit), |row| row.get(0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// Numbers that may be those of stored events with this id, newest first, whatever their container and name.
pub(super) fn numbered(tx: &Tx<'_>, id: &str) -> Result<Vec<i64>, StoreError> {
    let mut seqs = Vec::new();
    for (container, name, _) in tx.seen.all().filter(|(_, name, _)| !name.is_empty()) {
        let key = tx.keys.event(container, name, id);
        seqs.extend(tx.held.of(key).map(|seq| seq.0));
        for hash in [key, tx.keys.tried(container, name, id)] {
            seqs.extend(tx.recent.key(tx.sql, hash)?.map(|row| row.value));
        }
    }
    seqs.sort_unstable_by(|a, b| b.cmp(a));
    seqs.dedup();
    Ok(seqs)
}

/// Those of `seqs` whose events have this id. A number was taken when the key was; if nothing was decided, a later event
/// may have it.
fn with_id(sql: &Connection, tag: StoreTag, seqs: &[i64], id: &str) -> Result<Vec<i64>, StoreError> {
    let mut found = Vec::new();
    for seq in seqs {
        for event in events(sql, tag, *seq..=*seq)? {
            if rows::read_facts(event.seq, &event.facts)?.event.id.as_str() == id {
                found.push(*seq);
            }
        }
    }
    Ok(found)
}

/// One delivery whole.
pub(super) fn delivery(sql: &Connection, tag: StoreTag, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
    if id.tag() != tag {
        return Ok(None);
    }
    let (seq, place) = (id.seq(), id.place());
    let Some(event) = events(sql, tag, seq.0..=seq.0)?.pop() else { return Ok(None) };
    let Some(stored) = usize::try_from(place).ok().and_then(|place| event.deliveries.get(place)) else {
        return Ok(None);
    };
    let mut neighbours = Neighbours::load(sql, seq.0..=seq.0)?;
    let facts = facts_of(&event, stored)?;
    let line = neighbours.line(&event, &facts, place, stored);
    let log = neighbours.told.remove(&(seq, place)).unwrap_or_default();
    Ok(Some(DeliveryDetail {
        line,
        delivery: stored.delivery.clone(),
        facts: Arc::new(facts),
        log: log.into_iter().map(|told| told.entry).collect(),
    }))
}

/// The facts a delivery was decided with.
pub(super) fn facts_of(event: &EventRead, stored: &StoredDelivery) -> Result<Facts, StoreError> {
    let mut facts = rows::read_facts(event.seq, &event.facts)?;
    if let Some(later) = &stored.later {
        facts.known = later.known.clone();
        facts.clicks.clone_from(&later.clicks);
    }
    Ok(facts)
}

/// Attempts made for a delivery so far.
pub(super) fn attempts(sql: &Connection, id: DeliveryId) -> Result<u32, StoreError> {
    let neighbours = Neighbours::load(sql, id.seq().0..=id.seq().0)?;
    let told = neighbours.told.get(&(id.seq(), id.place()));
    Ok(told.and_then(|told| told.iter().filter_map(|t| t.attempt).max()).unwrap_or(0))
}

/// The stored events with this id, among those that [`numbered`] gives.
pub(super) fn events_with_id(
    sql: &Connection,
    tag: StoreTag,
    seqs: &[i64],
    id: &str,
) -> Result<Vec<EventDetail>, StoreError> {
    let mut found = Vec::new();
    for seq in with_id(sql, tag, seqs, id)? {
        let neighbours = Neighbours::load(sql, seq..=seq)?;
        for event in events(sql, tag, seq..=seq)? {
            let facts = rows::read_facts(event.seq, &event.facts)?;
            let lines = event.deliveries.iter().enumerate().map(|(place, stored)| {
                neighbours.line(&event, &facts, u32::try_from(place).unwrap_or(u32::MAX), stored)
            });
            let deliveries = lines.collect();
            found.push(EventDetail { facts: Arc::new(facts), deliveries });
        }
    }
    Ok(found)
}

/// What each container was seen to send.
pub(super) fn containers_seen(sql: &Connection) -> Result<Vec<ContainerSeen>, StoreError> {
    let mut select = sql.prepare_cached("SELECT container, name, last FROM seen ORDER BY container, name")?;
    let mut seen: BTreeMap<String, ContainerSeen> = BTreeMap::new();
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let (container, name, last): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let entry = seen.entry(container.clone()).or_insert_with(|| ContainerSeen {
            container,
            last_event_at: Time::from_ms(last),
            event_names: Vec::new(),
        });
        entry.last_event_at = entry.last_event_at.max(Time::from_ms(last));
        if !name.is_empty() {
            entry.event_names.push(name);
        }
    }
    Ok(seen.into_values().collect())
}
