//! Forgetting a person. In one commit the visitor is gone, so that nothing more can be added to it, and what still waits for it is
//! cancelled; then everything that was ever written about it is looked for and blanked, a bounded number of events at a
//! time: its own, and whatever else bears the identifier that it was erased by. What is under way is on record, and a start
//! goes on with it.
//!
//! Refuses: touching what is said after it was begun. That is somebody's new beginning.

mod blank;
mod traces;
mod withdrawn;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use self::blank::blank_all;
use self::traces::{Begun, Traces};
pub(super) use self::withdrawn::Withdrawn;
use super::checkpoint::Checkpoints;
use super::recent::{FOR_VISITOR, Person, Presence};
use super::syncer::Broken;
use super::writer::Tx;
use super::{Store, checkpoint, visitors};
use crate::model::identifier::Identifier;
use crate::model::ids::{ContainerKey, DeliveryId, VisitorId};
use crate::model::time::Time;
use crate::store::{Erased, Planner, StoreError};

/// Events blanked in one commit, and visitors made to forget.
const ROWS_PER_COMMIT: usize = 64;

/// Bytes of a database that is written afresh after an erasure: a second or two, in which nothing is admitted. SQLite leaves old
/// bytes in parts of pages that it does not use; in a larger one they stay there until the part is used again.
const REWRITTEN_MAX: i64 = 256 * 1024 * 1024;

/// How often SQLite's log is asked to be emptied; a reader that looks at an older moment may keep it for as long as it
/// looks.
const EMPTIED_WITHIN: usize = 40;
const EMPTIED_EVERY: Duration = Duration::from_millis(50);

/// What the writer is to do after the commit, outside of any transaction.
pub(super) struct CleanUp {
    /// Write the database afresh, unless it is large.
    rewrite: bool,
    /// Whether SQLite's log is empty now.
    is_empty: Arc<AtomicBool>,
}

impl CleanUp {
    /// What fails here fails for want of room, or because a reader looks at what was; it is tried again by who waits for it.
    pub(super) fn run(self, sql: &Connection, checkpoints: Option<&Checkpoints>, broken: &Broken) {
        let number = |pragma: &str| sql.query_row(pragma, [], |row| row.get::<_, i64>(0));
        let size = number("PRAGMA page_count").and_then(|pages| Ok(pages * number("PRAGMA page_size")?));
        if self.rewrite && size.is_ok_and(|size| size <= REWRITTEN_MAX) {
            checkpoint::note(sql.execute_batch("VACUUM"), broken);
        }
        let is_empty = checkpoints.is_none_or(|checkpoints| checkpoints.empty(sql));
        self.is_empty.store(is_empty, Ordering::Release);
    }
}

impl Store {
    /// Erases the visitors of `container` that these identifiers lead to: what is known of them, their identifiers and clicks, and
    /// whatever is personal in their events and deliveries. Events of others in which one of the identifiers stands are
    /// blanked too, and others no longer know it. What is not final becomes `cancelled`. `None` where there is nothing of the
    /// kind. Answers when that is on the disk, also where a call before this one has begun it; event ids stay remembered for
    /// `keep_keys_for`.
    ///
    /// # Errors
    /// As [`StoreError`] says. What was begun is finished by the next call, or the next start.
    pub async fn erase(
        &self,
        container: ContainerKey,
        identifiers: Vec<Identifier>,
        planner: Arc<dyn Planner>,
        now: Time,
        keep_keys_for: Duration,
    ) -> Result<Option<Erased>, StoreError> {
        let keys_until = now.plus(keep_keys_for);
        let hashes: Vec<i64> = identifiers.iter().map(|it| self.inner.keys.identifier(&container, it)).collect();
        // Looked at before it waits for its turn: afterwards what was under way is over.
        let is_under_way = self.read(move |sql| Begun::is_under_way(sql, &hashes)).await?;
        let _one_at_a_time = self.inner.erasing.lock().await;
        let mut erased = self.write(move |tx| begin(tx, &container, &identifiers, now, keys_until)).await?;
        erased.add(self.finish(planner, now, keys_until).await?);
        Ok((is_under_way || erased != Erased::default()).then_some(erased))
    }

    /// Goes on with what was begun, be it by a run that came to a sudden end.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn finish_erasures(
        &self,
        planner: Arc<dyn Planner>,
        now: Time,
        keep_keys_for: Duration,
    ) -> Result<Erased, StoreError> {
        let _one_at_a_time = self.inner.erasing.lock().await;
        self.finish(planner, now, now.plus(keep_keys_for)).await
    }

    /// By whoever holds the lock.
    async fn finish(&self, planner: Arc<dyn Planner>, now: Time, keys_until: Time) -> Result<Erased, StoreError> {
        let mut erased = Erased::default();
        let begun = self.read(Begun::read).await?;
        if begun.is_empty() {
            return Ok(erased);
        }
        // What is deleted from here on is overwritten, not only let go.
        self.write(|tx| Ok(tx.sql.execute_batch("PRAGMA secure_delete = ON")?)).await?;
        // Readers ask tables, so what is in memory alone must be there.
        self.settle_recent().await?;
        let (keys, tag, asked) = (self.inner.keys, self.inner.tag, begun.clone());
        let traces = self.read(move |sql| Traces::of(sql, &asked, keys, tag, planner.clone())).await?;
        self.blank_events(&traces, now, keys_until, &mut erased).await?;
        let forgot = self.make_others_forget(&traces).await?;
        erased.identifiers = self.let_go(&traces).await?;
        if !traces.persons.is_empty() || forgot || erased != Erased::default() {
            self.settle_recent().await?;
            self.empty_log().await?;
        }
        self.write(move |tx| {
            // What was begun again meanwhile stays begun.
            for row in &begun.rows {
                tx.sql.execute("DELETE FROM meta WHERE key = ?1 AND value = ?2", (&row.0, &row.1))?;
            }
            Ok(tx.sql.execute_batch("PRAGMA secure_delete = OFF")?)
        })
        .await?;
        Ok(erased)
    }

    async fn blank_events(
        &self,
        traces: &Traces,
        now: Time,
        keys_until: Time,
        erased: &mut Erased,
    ) -> Result<(), StoreError> {
        let mut from = Some(0);
        while let Some(at) = from {
            let asked = traces.clone();
            let page = self.read(move |sql| asked.events(sql, at)).await?;
            for chunk in page.found.chunks(ROWS_PER_COMMIT) {
                let chunk = chunk.to_vec();
                erased.add(self.write(move |tx| blank_all(tx, &chunk, now, keys_until)).await?);
            }
            from = page.next;
        }
        Ok(())
    }

    /// Others keep no value that is erased. Whether any had one.
    async fn make_others_forget(&self, traces: &Traces) -> Result<bool, StoreError> {
        let (mut after, mut forgot) = (Some(0), false);
        while let Some(at) = after {
            let asked = traces.clone();
            let page = self.read(move |sql| asked.others(sql, at)).await?;
            for chunk in page.found.chunks(ROWS_PER_COMMIT) {
                let (chunk, traces) = (chunk.to_vec(), traces.clone());
                self.write(move |tx| chunk.iter().try_for_each(|(id, seen)| forget(tx, &traces, *id, *seen))).await?;
            }
            (after, forgot) = (page.next, forgot || !page.found.is_empty());
        }
        Ok(forgot)
    }

    /// Takes away what leads to the erased, and says how much there was. An identifier that leads to somebody else by now is
    /// somebody else's.
    async fn let_go(&self, traces: &Traces) -> Result<u64, StoreError> {
        let asked = traces.clone();
        let hashes = self.read(move |sql| asked.identifiers(sql)).await?;
        let persons = traces.persons.clone();
        self.write(move |tx| {
            let mut count = 0;
            for hash in &hashes {
                let row = tx.recent.key(tx.sql, *hash)?;
                if row.is_some_and(|row| row.until == FOR_VISITOR && persons.contains(&row.value)) {
                    tx.recent.remove_key(*hash);
                    count += 1;
                }
            }
            persons.iter().for_each(|id| tx.recent.set_person(VisitorId(*id), Person::Gone));
            Ok(count)
        })
        .await
    }

    /// Whether a delivery was cancelled since this run began, whatever a lane still holds of it.
    pub fn is_withdrawn(&self, delivery: DeliveryId) -> bool {
        self.inner.withdrawn.contains(delivery)
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
) -> Result<Erased, StoreError> {
    let mut found: Vec<VisitorId> = Vec::new();
    let next = VisitorId(tx.counters.next_visitor);
    for identifier in identifiers {
        let (hash, visitor) = visitors::lookup(tx, container, identifier)?;
        found.extend(visitor.filter(|id| !found.contains(id)));
        Begun::note_value(tx.sql, hash, now, next)?;
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
        erased.add(blank_all(tx, &waiting, now, keys_until)?);
        tx.recent.set_person(id, Person::Gone);
        Begun::note_visitor(tx.sql, id)?;
    }
    Ok(erased)
}

/// Takes erased values out of what is known of another visitor, unless it has become part of somebody else meanwhile.
fn forget(tx: &mut Tx<'_>, traces: &Traces, id: VisitorId, seen: i64) -> Result<(), StoreError> {
    if visitors::survivor(tx, id)? != Some(id) {
        return Ok(());
    }
    let mut visitor = visitors::load(tx, id)?;
    let loaded = visitor.clicks.clone();
    if traces.take_from(Arc::make_mut(&mut visitor)) {
        visitors::save(tx, visitor, &loaded, seen, Presence::Away);
    }
    Ok(())
}
