//! The embedded store: SQLite in one folder, one writer thread, several readers.
//!
//! Refuses: more than one process (an exclusive lock), and network file systems (SQLite's log needs shared memory). Its
//! methods answer when what they did is on the disk.

mod admit;
mod checkpoint;
mod erase;
mod keys;
mod lately;
mod open;
mod partial;
mod read;
mod recent;
mod record;
mod resume;
mod schema;
mod sweep;
mod syncer;
#[cfg(test)]
mod tests;
mod visitors;
mod wake;
mod writer;

use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};
use tokio::sync::{Semaphore, oneshot};

use self::record::Lined;
use self::writer::{Ask, Book, Counters, Pulse, Tasks, Tx};
use super::{
    Admission, Admitting, Backlog, Candidate, ContainerSeen, DeliveryDetail, DeliveryFilter, DeliveryPage, EventDetail,
    Planner, ReplaySelection, StoreError, Woken,
};
use crate::model::delivery::State;
use crate::model::ids::{ConnectorName, DeliveryId, Seq, StoreTag};
use crate::model::record::{Haste, Job, Record};
use crate::model::time::Time;

/// A handle, cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    tag: StoreTag,
    keys: keys::Keys,
    tasks: Tasks,
    outbox: Arc<record::Outbox>,
    /// Empty for a store in memory, whose writer answers questions too.
    readers: Mutex<Vec<Connection>>,
    turns: Semaphore,
    pulse: Arc<Pulse>,
    found: Found,
    /// Below it every first attempt has been made, as last saved.
    frontier: AtomicI64,
    cursors: Mutex<sweep::Cursors>,
    withdrawn: Arc<erase::Withdrawn>,
    /// Held while a person is being erased.
    erasing: tokio::sync::Mutex<()>,
    /// Held as long as the store is.
    _lock: Option<File>,
}

/// What a store held when it was opened.
#[derive(Clone, Debug)]
pub struct Found {
    /// False where the last process did not come to a proper end: attempts may have been under way.
    pub clean: bool,
    /// First attempts of events below this number have all been made.
    pub frontier: Seq,
    /// What was not final, by connector.
    pub backlog: HashMap<String, Backlog>,
}

/// What a replay did.
#[derive(Debug)]
pub struct Replayed {
    pub count: u64,
    /// Whose lanes should look.
    pub connectors: Vec<ConnectorName>,
}

/// What became of a replay of one delivery.
#[derive(Debug, PartialEq, Eq)]
pub enum ReplayedOne {
    Replayed(ConnectorName),
    NotFound,
    /// Delivered already, and not forced.
    Delivered,
    /// It is pending or waiting, or there was never anything to send (skipped, cancelled, test).
    NotReplayable(State),
}

/// What a sweep may delete.
#[derive(Clone, Copy, Debug)]
pub struct SweepLimits {
    pub now: Time,
    pub log_before: Time,
    pub clicks_before: Time,
}

/// An attempt that was begun before a crash and has no outcome.
#[derive(Clone, Debug)]
pub struct CutOff {
    pub connector: ConnectorName,
    pub delivery: DeliveryId,
    pub first_due: Time,
    pub attempt: u32,
}

impl Store {
    /// Distinguishes this store's deliveries from any other's.
    pub fn tag(&self) -> StoreTag {
        self.inner.tag
    }

    /// What it held when it was opened.
    pub fn found(&self) -> &Found {
        &self.inner.found
    }

    /// When the writer last showed a sign of life, in milliseconds since the epoch.
    pub fn writer_beat_ms(&self) -> i64 {
        self.inner.pulse.last_ms.load(Ordering::Relaxed)
    }

    /// Asks for a batch to be admitted in one commit, `now` being the time of admission, and answers when that is on the
    /// disk. Batches are admitted in the order in which they were asked for. On failure nothing was written and the batch
    /// comes back.
    ///
    /// # Errors
    /// As [`StoreError`] says; [`StoreError::Panicked`] where the rules could not decide one of the events.
    pub fn admit(
        &self,
        batch: Vec<Candidate>,
        planner: Arc<dyn Planner>,
        now: Time,
        keep_keys_for: Duration,
    ) -> Admitting {
        let (reply, answer) = oneshot::channel();
        let keys_until = now.plus(keep_keys_for);
        let task = admit::Admit { batch, planner, now, keys_until, answer: Admission::default(), reply };
        if let Err(unsent) = self.inner.tasks.send(Box::new(task)) {
            unsent.0.finish(Err(writer_gone()));
        }
        Box::pin(async { answer.await.unwrap_or_else(|_| Err((writer_gone(), Vec::new()))) })
    }

    /// Answers when the record is durable. It shares the fate of those that are committed with it: one that was refused is
    /// worth being offered [alone](Self::record_alone).
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn record(&self, record: impl Into<Arc<Record>>) -> Result<(), StoreError> {
        self.record_with(record, Haste::Now).await
    }

    /// As [`Self::record`], where it may be in less of a hurry.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn record_with(&self, record: impl Into<Arc<Record>>, haste: Haste) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        if self.inner.outbox.add(Lined::new(record.into()), haste, reply) {
            let task = record::RecordAll::of(self.inner.outbox.clone());
            if let Err(unsent) = self.inner.tasks.send(Box::new(task)) {
                unsent.0.finish(Err(writer_gone()));
            }
        }
        answer.await.unwrap_or_else(|_| Err(writer_gone()))
    }

    /// As [`Self::record`], whatever becomes of other records.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn record_alone(&self, record: Arc<Record>) -> Result<(), StoreError> {
        let record = Lined::new(record);
        self.write(move |tx| record::record(tx, &record)).await
    }

    /// Decides for good what has waited until `now`, at most `limit`; the number tells whether there may be more. The ids of
    /// events of which no more came are remembered from now on.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn wake_due(
        &self,
        planner: Arc<dyn Planner>,
        now: Time,
        keep_keys_for: Duration,
        limit: usize,
    ) -> Result<(Woken, usize), StoreError> {
        let keys_until = now.plus(keep_keys_for);
        self.write(move |tx| {
            let mut woken = Woken::default();
            let count = wake::due(tx, &*planner, now, keys_until, limit, &mut woken)?;
            Ok((woken, count))
        })
        .await
    }

    /// First attempts of `connector` never made, of events from `from` on; and where to go on.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn untried(
        &self,
        connector: ConnectorName,
        from: Seq,
        limit: usize,
    ) -> Result<(Vec<Job>, Seq), StoreError> {
        let tag = self.inner.tag;
        let found = self.read(move |sql| resume::untried(sql, tag, &connector, from, limit)).await?;
        if found.0.is_empty() { Ok(found) } else { self.on_disk(found).await }
    }

    /// Puts first attempts of `connector` that were never made on record as pending, of events from `from` on: all but
    /// those of `but`, or only what was decided live. Where to go on: a bounded number at a time.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn set_aside(
        &self,
        connector: ConnectorName,
        from: Seq,
        only_live: bool,
        but: Vec<DeliveryId>,
    ) -> Result<Seq, StoreError> {
        self.write(move |tx| resume::set_aside(tx, &connector, from, only_live, &but)).await
    }

    /// Deliveries of `connector` on record as pending, by due time, strictly after `after`.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn due(
        &self,
        connector: ConnectorName,
        after: Option<(Time, DeliveryId)>,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let tag = self.inner.tag;
        let found = self.read(move |sql| resume::due(sql, tag, &connector, after, limit)).await?;
        if found.is_empty() { Ok(found) } else { self.on_disk(found).await }
    }

    /// Attempts that a crash cut off; only known where their start was recorded.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn cut_off(&self) -> Result<Vec<CutOff>, StoreError> {
        let tag = self.inner.tag;
        self.read(move |sql| {
            let found = resume::cut_off(sql, tag)?.into_iter();
            Ok(found
                .map(|(connector, delivery, first_due, attempt)| CutOff { connector, delivery, first_due, attempt })
                .collect())
        })
        .await
    }

    /// An attempt that was cut off is to be made again, as a repeat.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn resend_cut_off(&self, delivery: DeliveryId) -> Result<(), StoreError> {
        self.write(move |tx| {
            tx.sql
                .prepare_cached("UPDATE delivery SET started = NULL, is_repeat = 1 WHERE seq = ?1 AND place = ?2")?
                .execute((delivery.seq().0, delivery.place()))?;
            Ok(())
        })
        .await
    }

    /// From now on attempts may be under way, until [`Self::keep_lanes`] says that they have come to a proper end. Whoever
    /// only looks at the log begins no run.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn begin_run(&self) -> Result<(), StoreError> {
        self.write(|tx| Ok(set_meta(tx.sql, "clean", 0)?)).await
    }

    /// Remembers that first attempts of events below `frontier` have all been made, a short note of the daemon's own on
    /// its lanes under `name`, and whether this is the proper end of a run.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn keep_lanes(
        &self,
        name: &'static str,
        note: String,
        frontier: Seq,
        clean: bool,
    ) -> Result<(), StoreError> {
        self.write(move |tx| {
            set_meta(tx.sql, "frontier", frontier.0)?;
            set_meta(tx.sql, "clean", i64::from(clean))?;
            let mut keep =
                tx.sql.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('note ' || ?1, ?2)")?;
            keep.execute((name, &note))?;
            Ok(())
        })
        .await?;
        self.inner.frontier.store(frontier.0, Ordering::Relaxed);
        Ok(())
    }

    /// One bounded step of retention; true where there is more to do at once.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn sweep(&self, limits: SweepLimits) -> Result<bool, StoreError> {
        let mut cursors = *self.inner.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = sweep::Limits {
            now: limits.now,
            log_before: limits.log_before,
            clicks_before: limits.clicks_before,
            tried_below: self.frontier(),
        };
        let (more, cursors) = self.write(move |tx| Ok((sweep::step(tx, limits, &mut cursors)?, cursors))).await?;
        *self.inner.cursors.lock().unwrap_or_else(PoisonError::into_inner) = cursors;
        Ok(more)
    }

    /// Cancels what is parked for connectors that are gone and was first due before `due_before`; their names, one for
    /// each delivery.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn cancel_removed(
        &self,
        known: Vec<ConnectorName>,
        due_before: Time,
        now: Time,
    ) -> Result<Vec<String>, StoreError> {
        self.write(move |tx| {
            let removed = |name: &str| !known.iter().any(|k| **k == *name);
            sweep::cancel_removed(tx, &removed, due_before, now, 1000)
        })
        .await
    }

    /// What was kept under this name.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn note(&self, name: &'static str) -> Result<Option<String>, StoreError> {
        self.read(move |sql| {
            let mut select = sql.prepare_cached("SELECT value FROM meta WHERE key = 'note ' || ?1")?;
            Ok(select.query_row([name], |row| row.get(0)).optional()?)
        })
        .await
    }

    /// A commit that changes nothing of meaning: whether the store can write.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn write_nothing(&self) -> Result<(), StoreError> {
        self.write(|tx| Ok(set_meta(tx.sql, "probe", tx.counters.next_seq)?)).await
    }

    /// A page of the delivery log, newest first, of at most `limit` lines. `cursor` is a page's `next_cursor`.
    ///
    /// # Errors
    /// As [`StoreError`] says; a malformed cursor is [`StoreError::Failed`].
    pub async fn deliveries(
        &self,
        filter: DeliveryFilter,
        limit: usize,
        cursor: Option<String>,
    ) -> Result<DeliveryPage, StoreError> {
        let tag = self.inner.tag;
        let seqs = match &filter.event_id {
            Some(id) => Some(self.numbered(id.clone()).await?),
            None => None,
        };
        self.read(move |sql| read::page(sql, tag, &filter, seqs.as_deref(), limit, cursor.as_deref())).await
    }

    /// One delivery whole; `None` where this store has no such delivery.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryDetail>, StoreError> {
        let tag = self.inner.tag;
        self.read(move |sql| read::delivery(sql, tag, id)).await
    }

    /// The stored events with this id, in any container and of any name.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn events(&self, event_id: String) -> Result<Vec<EventDetail>, StoreError> {
        let tag = self.inner.tag;
        let seqs = self.numbered(event_id.clone()).await?;
        self.read(move |sql| read::events_with_id(sql, tag, &seqs, &event_id)).await
    }

    /// Numbers that may be those of events with this id, newest first. The writer alone knows all keys.
    async fn numbered(&self, event_id: String) -> Result<Vec<i64>, StoreError> {
        self.write(move |tx| read::numbered(tx, &event_id)).await
    }

    /// Makes every delivery of the selection pending again, `spacing` apart.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn replay(
        &self,
        selection: ReplaySelection,
        now: Time,
        spacing: Duration,
    ) -> Result<Replayed, StoreError> {
        let spacing = i64::try_from(spacing.as_millis()).unwrap_or(i64::MAX);
        self.write(move |tx| record::replay(tx, &selection, now, spacing)).await
    }

    /// Makes one delivery pending again; `force` for a delivered one.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn replay_one(&self, id: DeliveryId, force: bool, now: Time) -> Result<ReplayedOne, StoreError> {
        self.write(move |tx| record::replay_one(tx, id, force, now)).await
    }

    /// What each container was seen to send.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn containers_seen(&self) -> Result<Vec<ContainerSeen>, StoreError> {
        self.write(|tx| {
            let mut seen: HashMap<&str, ContainerSeen> = HashMap::new();
            for (container, name, last) in tx.seen.all() {
                let entry = seen.entry(container).or_insert_with(|| ContainerSeen {
                    container: container.to_owned(),
                    last_event_at: last,
                    event_names: Vec::new(),
                });
                entry.last_event_at = entry.last_event_at.max(last);
                if !name.is_empty() {
                    entry.event_names.push(name.to_owned());
                }
            }
            let mut seen: Vec<_> = seen.into_values().collect();
            seen.iter_mut().for_each(|container| container.event_names.sort());
            Ok(seen)
        })
        .await
    }

    /// What is not final, per connector that has any.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn backlog(&self) -> Result<HashMap<String, Backlog>, StoreError> {
        let tag = self.inner.tag;
        let from = self.frontier();
        self.read(move |sql| resume::backlog(sql, tag, from)).await
    }

    /// Found at start + decided − final − waiting − pending − held: the run's own account against what the store holds.
    /// Both are read as one commit left them. Anything but 0 is a fault of ours.
    ///
    /// # Errors
    /// As [`StoreError`] says.
    pub async fn unaccounted(&self) -> Result<i64, StoreError> {
        let from = self.frontier();
        let tag = self.inner.tag;
        self.read(move |sql| {
            let snapshot = sql.is_autocommit().then(|| sql.unchecked_transaction()).transpose()?;
            let Book { found, decided, ended } = Counters::read(sql)?.book;
            let standing = standing(&resume::backlog(sql, tag, from)?);
            drop(snapshot);
            Ok(found + decided - ended - standing)
        })
        .await
    }

    fn frontier(&self) -> Seq {
        Seq(self.inner.frontier.load(Ordering::Relaxed))
    }

    async fn write<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Ask { work, answer: None, reply };
        if let Err(unsent) = self.inner.tasks.send(Box::new(task)) {
            unsent.0.finish(Err(writer_gone()));
        }
        answer.await.unwrap_or_else(|_| Err(writer_gone()))
    }

    /// A reader sees a commit before the disk has it. What is acted on must wait for the disk.
    async fn on_disk<T>(&self, found: T) -> Result<T, StoreError> {
        self.write(|_| Ok(())).await?;
        Ok(found)
    }

    async fn read<T, R>(&self, question: R) -> Result<T, StoreError>
    where
        T: Send + 'static,
        R: Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = self.inner.turns.acquire().await.map_err(|_| writer_gone())?;
        let reader = self.inner.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(reader) = reader else {
            drop(permit);
            return self.write(move |tx| question(tx.sql)).await;
        };
        let (reader, answer) = tokio::task::spawn_blocking(move || {
            let answer = question(&reader);
            (reader, answer)
        })
        .await
        .map_err(|panic| StoreError::Failed(panic.to_string()))?;
        self.inner.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        drop(permit);
        answer
    }
}

fn writer_gone() -> StoreError {
    StoreError::Fatal("its writer has ended".to_owned())
}

fn standing(backlog: &HashMap<String, Backlog>) -> i64 {
    let count: u64 = backlog.values().map(|b| b.pending + b.waiting + b.held).sum();
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn set_meta(sql: &Connection, key: &str, value: i64) -> rusqlite::Result<()> {
    sql.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?.execute((key, value))?;
    Ok(())
}
