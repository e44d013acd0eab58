//! Forgetting a person. In one commit the visitor is gone, so that nothing more can be added to it, and what still waits for it is
//! cancelled; then everything that was ever written about it is looked for and blanked, a bounded number of events at a
//! time. What is under way is on record, and a start goes on with it.
//!
//! Refuses: an index by visitor. Each event would pay for it, and nobody is erased often.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rusqlite::Connection;

use super::read::Neighbours;
use super::recent::Person;
use super::writer::{EVENTS_PER_BLOCK, Tx};
use super::{Store, partial, visitors, wake};
use crate::model::delivery::{Reason, State};
use crate::model::event::{Event, EventId};
use crate::model::facts::{Facts, Known};
use crate::model::identifier::Identifier;
use crate::model::ids::{ContainerKey, DeliveryId, Seq, VisitorId};
use crate::model::record::Entry;
use crate::model::time::Time;
use crate::store::rows;
use crate::store::{Erased, StoreError, entries};

/// Events looked at by one question, and blanked in one commit.
const EVENTS_PER_LOOK: i64 = 5_000;
const EVENTS_PER_COMMIT: usize = 64;

/// Bytes of a database that is written afresh after an erasure: a second or two, in which nothing is admitted. SQLite leaves old
/// bytes in parts of pages that it does not use; in a larger one they stay there until the part is used again.
const REWRITTEN_MAX: i64 = 256 * 1024 * 1024;

/// How often SQLite's log is asked to be emptied; a reader that looks at an older moment may keep it for as long as it
/// looks.
const EMPTIED_WITHIN: usize = 40;
const EMPTIED_EVERY: Duration = Duration::from_millis(50);

/// Events of this run whose unfinished deliveries were cancelled: what lanes still hold of them must not be sent, and what
/// was in flight must not be written back. Forgotten at the next start, which finds them cancelled.
#[derive(Debug, Default)]
pub(super) struct Withdrawn {
    /// Asked for every attempt; nearly always nobody was ever erased.
    any: AtomicBool,
    events: RwLock<HashSet<Seq>>,
}

impl Withdrawn {
    pub(super) fn contains(&self, seq: Seq) -> bool {
        self.any.load(Ordering::Acquire) && self.events.read().unwrap_or_else(PoisonError::into_inner).contains(&seq)
    }

    /// They are on record as cancelled.
    pub(super) fn add(&self, events: impl IntoIterator<Item = Seq>) {
        let mut events = events.into_iter().peekable();
        if events.peek().is_some() {
            self.events.write().unwrap_or_else(PoisonError::into_inner).extend(events);
            self.any.store(true, Ordering::Release);
        }
    }
}

/// What the writer is to do after the commit, outside of any transaction.
pub(super) struct CleanUp {
    /// Write the database afresh, unless it is large.
    rewrite: bool,
    /// Whether SQLite's log is empty now.
    is_empty: Arc<AtomicBool>,
}

impl CleanUp {
    /// What fails here fails for want of room, or because a reader looks at what was; it is tried again by who waits for it.
    pub(super) fn run(self, sql: &Connection) {
        let number = |pragma: &str| sql.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let size = number("PRAGMA page_count").and_then(|pages| Ok(pages * number("PRAGMA page_size")?));
        if self.rewrite && size.is_ok_and(|size| size <= REWRITTEN_MAX) {
            drop(sql.execute_batch("VACUUM"));
        }
        let is_busy = number("PRAGMA wal_checkpoint(TRUNCATE)");
        self.is_empty.store(is_busy.is_ok_and(|busy| busy == 0), Ordering::Release);
    }
}

impl Store {
    /// Erases the visitors of `container` that these identifiers lead to: what is known of them, their identifiers and clicks, and
    /// whatever is personal in their events and deliveries. What is not final becomes `cancelled`. `None` where they lead to
    /// nobody. Answers when that is on the disk; event ids stay remembered for `keep_keys_for`.
    ///
    /// # Errors
    /// As [`StoreError`] says. What was begun is finished by the next call, or the next start.
    pub async fn erase(
        &self,
        container: ContainerKey,
        identifiers: Vec<Identifier>,
        now: Time,
        keep_keys_for: Duration,
    ) -> Result<Option<Erased>, StoreError> {
        let keys_until = now.plus(keep_keys_for);
        let begun = self.write(move |tx| begin(tx, &container, &identifiers, now, keys_until)).await?;
        let Some(mut erased) = begun else { return Ok(None) };
        let rest = self.finish_erasures(now, keep_keys_for).await?;
        erased.identifiers = rest.identifiers;
        erased.events += rest.events;
        erased.deliveries += rest.deliveries;
        erased.cancelled.extend(rest.cancelled);
        Ok(Some(erased))
    }

    /// Goes on with what was begun, be it by a run that came to a sudden end.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn finish_erasures(&self, now: Time, keep_keys_for: Duration) -> Result<Erased, StoreError> {
        let _one_at_a_time = self.inner.erasing.lock().await;
        let keys_until = now.plus(keep_keys_for);
        let mut erased = Erased::default();
        let begun = self.read(begun).await?;
        if begun.is_empty() {
            return Ok(erased);
        }
        // What is deleted from here on is overwritten, not only let go.
        self.write(|tx| Ok(tx.sql.execute_batch("PRAGMA secure_delete = ON")?)).await?;
        // Readers ask tables, so what is in memory alone must be there.
        self.settle_recent().await?;
        let asked = begun.clone();
        let (persons, identifiers) = self.read(move |sql| traces(sql, &asked)).await?;
        let (persons, identifiers) = (Arc::new(persons), Arc::new(identifiers));
        erased.identifiers = identifiers.len() as u64;
        let mut from = 0;
        loop {
            let whose = persons.clone();
            let (seqs, next) = self.read(move |sql| events_of(sql, &whose, from)).await?;
            for chunk in seqs.chunks(EVENTS_PER_COMMIT) {
                let chunk = chunk.to_vec();
                let part = self.write(move |tx| blank_all(tx, &chunk, now, keys_until)).await?;
                erased.events += part.events;
                erased.deliveries += part.deliveries;
                erased.cancelled.extend(part.cancelled);
            }
            let Some(next) = next else { break };
            from = next;
        }
        self.write(move |tx| {
            identifiers.iter().for_each(|hash| tx.recent.remove_key(*hash));
            persons.iter().for_each(|id| tx.recent.set_person(VisitorId(*id), Person::Gone));
            Ok(())
        })
        .await?;
        self.settle_recent().await?;
        self.empty_log().await?;
        self.write(move |tx| {
            for id in &begun {
                tx.sql.execute("DELETE FROM meta WHERE key = 'erasing ' || ?1", [id])?;
            }
            Ok(tx.sql.execute_batch("PRAGMA secure_delete = OFF")?)
        })
        .await?;
        Ok(erased)
    }

    /// Whether a delivery was cancelled since this run began, whatever a lane still holds of it.
    pub fn is_withdrawn(&self, delivery: DeliveryId) -> bool {
        self.inner.withdrawn.contains(delivery.seq())
    }

    /// Answers when all changes made so far are in their tables and their record is gone.
    async fn settle_recent(&self) -> Result<(), StoreError> {
        let upto = self.write(|tx| Ok(tx.recent.last_change())).await?;
        while !self.write(move |tx| Ok(tx.recent.hasten(upto))).await? {}
        Ok(())
    }

    /// Copies SQLite's log into the database and empties it: what was blanked stands in it as it was. A reader that keeps it for
    /// longer leaves it to the next time it is copied.
    async fn empty_log(&self) -> Result<(), StoreError> {
        for n in 0..EMPTIED_WITHIN {
            let is_empty: Arc<AtomicBool> = Arc::default();
            let told = is_empty.clone();
            self.write(move |tx| {
                *tx.clean_up = Some(CleanUp { rewrite: n == 0, is_empty: told.clone() });
                Ok(())
            })
            .await?;
            if is_empty.load(Ordering::Acquire) {
                break;
            }
            tokio::time::sleep(EMPTIED_EVERY).await;
        }
        Ok(())
    }
}

/// The visitors are gone from here on, and whatever waits for them is cancelled.
pub(super) fn begin(
    tx: &mut Tx<'_>,
    container: &str,
    identifiers: &[Identifier],
    now: Time,
    keys_until: Time,
) -> Result<Option<Erased>, StoreError> {
    let mut found: Vec<VisitorId> = Vec::new();
    for identifier in identifiers {
        found.extend(visitors::lookup(tx, container, identifier)?.1.filter(|id| !found.contains(id)));
    }
    if found.is_empty() {
        return Ok(None);
    }
    tx.sql.execute_batch("PRAGMA secure_delete = ON")?;
    let mut erased = Erased { visitors: found.len() as u64, ..Erased::default() };
    for id in found {
        erased.clicks += visitors::load(tx, id)?.clicks.len() as u64;
        let waiting: Vec<i64> = tx
            .sql
            .prepare_cached("SELECT DISTINCT seq FROM delivery WHERE visitor = ?1")?
            .query_map([id.0], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let part = blank_all(tx, &waiting, now, keys_until)?;
        erased.events += part.events;
        erased.deliveries += part.deliveries;
        erased.cancelled.extend(part.cancelled);
        tx.recent.set_person(id, Person::Gone);
        tx.sql.execute("INSERT OR REPLACE INTO meta (key, value) VALUES ('erasing ' || ?1, ?1)", [id.0])?;
    }
    Ok(Some(erased))
}

/// Visitors whose erasure was begun and is not finished.
fn begun(sql: &Connection) -> Result<Vec<i64>, StoreError> {
    let mut select = sql.prepare("SELECT value FROM meta WHERE key LIKE 'erasing %'")?;
    Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// All whom these visitors have taken over, themselves included, and the hashes of all identifiers that lead to any of them.
fn traces(sql: &Connection, begun: &[i64]) -> Result<(Vec<i64>, Vec<i64>), StoreError> {
    let mut taken: HashMap<i64, Vec<i64>> = HashMap::new();
    let mut merged = sql.prepare("SELECT id, merged_into FROM visitor WHERE merged_into IS NOT NULL")?;
    let mut found = merged.query([])?;
    while let Some(row) = found.next()? {
        taken.entry(row.get(1)?).or_default().push(row.get(0)?);
    }
    let mut persons = begun.to_vec();
    let mut at = 0;
    while let Some(id) = persons.get(at) {
        persons.extend(taken.remove(id).unwrap_or_default());
        at += 1;
    }
    let mut leading =
        sql.prepare("SELECT hash FROM key WHERE until = 0 AND value IN (SELECT value FROM json_each(?1))")?;
    let hashes = leading.query_map([list(&persons)], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok((persons, hashes))
}

/// Events of these visitors among the next [`EVENTS_PER_LOOK`] from `from` on, and where to go on.
fn events_of(sql: &Connection, persons: &[i64], from: i64) -> Result<(Vec<i64>, Option<i64>), StoreError> {
    let newest: i64 = sql.query_row("SELECT coalesce(max(seq), 0) FROM event", [], |row| row.get(0))?;
    let next = from + EVENTS_PER_LOOK;
    let mut select = sql.prepare_cached(
        "SELECT seq FROM event WHERE ?1 <= seq AND seq < ?2
         AND json_extract(facts, '$.v') IN (SELECT value FROM json_each(?3)) ORDER BY seq",
    )?;
    let seqs = select.query_map((from, next, list(persons)), |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok((seqs, (next <= newest).then_some(next)))
}

fn list(numbers: &[i64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("[{}]", numbers.join(","))
}

fn blank_all(tx: &mut Tx<'_>, seqs: &[i64], now: Time, keys_until: Time) -> Result<Erased, StoreError> {
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
    let mut withdrawn = false;
    for (place, stored) in deliveries.iter_mut().enumerate() {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let (state, _) = neighbours.now(seq, place, stored);
        stored.later = None;
        stored.delivery.detail = None;
        if let Some(attribution) = &mut stored.delivery.attribution {
            attribution.click = None;
            attribution.why = "erased".into();
        }
        if state.is_final() {
            continue;
        }
        stored.delivery.state = State::Cancelled;
        stored.delivery.reason = None::<Reason>;
        tx.sql.prepare_cached("DELETE FROM delivery WHERE seq = ?1 AND place = ?2")?.execute((seq.0, place))?;
        let entry = Entry::Ended { state: State::Cancelled, reason: None, detail: None };
        entries::write_entry(tx.lines_of(seq), seq, place, now, &entry);
        tx.counters.book.ended += 1;
        erased.cancelled.push(stored.delivery.connector.clone());
        withdrawn = true;
    }
    if withdrawn {
        tx.withdrawn.push(seq);
    }
    erased.events += 1;
    erased.deliveries += deliveries.len() as u64;
    wake::write_back(tx, seq, &deliveries)?;
    tx.sql
        .prepare_cached("UPDATE event SET facts = ?2 WHERE seq = ?1")?
        .execute((seq.0, rows::write_facts(&nobodys(facts))))?;
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
