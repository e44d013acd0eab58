//! The one thread that writes: takes whatever has been asked for, does it in one transaction, commits, and hands it on to be
//! made durable.
//!
//! Refuses: retrying a commit whose fate is unknown, and calling one done; the syncer does, once it is on the disk.

use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OptionalExtension, ffi};
use tokio::sync::oneshot;

use super::checkpoint::Checkpoints;
use super::erase::{CleanUp, Withdrawn};
use super::keys::Keys;
use super::lately::Lately;
use super::partial::Held;
use super::recent::Recent;
use super::record::{Outbox, RecordAll};
use super::syncer::{Broken, Committed};
use crate::model::ids::{DeliveryId, Seq, StoreTag};
use crate::model::time::Time;
use crate::store::{ContainerSeen, EVENT_NAMES_MAX, StoreError};

/// Tasks that share a commit at most. Their callers bound how many can wait; this bounds how long one commit grows.
const TASKS_PER_COMMIT_MAX: usize = 1024;

/// A writer with nothing to do shows a sign of life this often.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// When nothing has been asked for so long, the moment is used to move recent changes to their tables.
const IDLE_AFTER: Duration = Duration::from_millis(100);

/// How long outcomes alone, and starts of attempts, wait for company: a commit costs about as much as ten events, however few
/// are in it, and nobody but a slot waits for them. Where there is an event, nobody waits.
const COMPANY_WITHIN: Duration = Duration::from_micros(300);

/// The same, where no slot is needed: a few events a millisecond take the outcomes of those before along, and an event that comes
/// does not find the disk busy with them.
const COMPANY_WITHIN_UNHURRIED: Duration = Duration::from_millis(3);

/// So many urgent outcomes are worth a commit of their own: as many events cost as much, and to decide a batch of those takes longer.
const OUTCOMES_ALONE_FROM: usize = 8;

/// What the writer keeps between transactions. Restored when one is rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counters {
    pub next_seq: i64,
    pub next_visitor: i64,
    pub book: Book,
}

/// The daemon's own account since it started, in deliveries: what was there, what was decided, what became final.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(super) struct Book {
    pub found: i64,
    pub decided: i64,
    pub ended: i64,
}

impl Counters {
    /// Part of every commit that moves them, so that whoever reads the store sees the account of just that moment.
    fn write(self, sql: &Connection) -> rusqlite::Result<()> {
        let Self { next_seq, next_visitor, book: Book { found, decided, ended } } = self;
        sql.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES ('book', ?1)")?
            .execute([format!("{found} {decided} {ended} {next_seq} {next_visitor}")])?;
        Ok(())
    }

    /// As the last commit left them.
    pub(super) fn read(sql: &Connection) -> rusqlite::Result<Self> {
        let mut select = sql.prepare_cached("SELECT value FROM meta WHERE key = 'book'")?;
        let text: Option<String> = select.query_row([], |row| row.get(0)).optional()?;
        let text = text.unwrap_or_default();
        let mut numbers = text.split(' ').map(|number| number.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        let book = Book { found: next(), decided: next(), ended: next() };
        Ok(Self { next_seq: next().max(1), next_visitor: next().max(1), book })
    }
}

/// One transaction under way.
pub(super) struct Tx<'a> {
    pub sql: &'a Connection,
    pub tag: StoreTag,
    pub keys: Keys,
    pub counters: &'a mut Counters,
    /// Log lines by block, written just before the commit or by [`Tx::write_lines`].
    pub lines: BTreeMap<i64, String>,
    pub seen: &'a mut Seen,
    pub recent: &'a mut Recent,
    pub lately: &'a mut Lately,
    pub held: &'a mut Held,
    /// Unfinished deliveries that this transaction cancels.
    pub withdrawn: &'a mut Vec<DeliveryId>,
    /// Those of transactions before.
    pub withdrawn_before: &'a Withdrawn,
    pub clean_up: &'a mut Option<CleanUp>,
}

/// Events of neighbouring numbers that share rows of log entries.
pub(super) const EVENTS_PER_BLOCK: i64 = 64;

impl Tx<'_> {
    /// Where the log lines of the event at `seq` go.
    pub(super) fn lines_of(&mut self, seq: Seq) -> &mut String {
        self.lines.entry(seq.0 / EVENTS_PER_BLOCK).or_default()
    }

    /// Writes the log lines gathered so far, for a question that must see what the tasks before it have recorded.
    pub(super) fn write_lines(&mut self) -> rusqlite::Result<()> {
        let mut insert = self.sql.prepare_cached("INSERT INTO entry (block, lines) VALUES (?1, ?2)")?;
        for (block, text) in std::mem::take(&mut self.lines) {
            insert.execute((block, text))?;
        }
        Ok(())
    }
}

/// When each event name of each container was last seen; written behind. A set event has none: its name is empty.
#[derive(Default)]
pub(super) struct Seen {
    by_container: HashMap<Box<str>, HashMap<Box<str>, Time>>,
    /// A name is not in the store yet; times have moved since they were written.
    is_new: bool,
    has_moved: bool,
}

impl Seen {
    /// As the store has it.
    pub(super) fn known(containers: &[ContainerSeen]) -> Self {
        let names = |container: &ContainerSeen| {
            let names = container.event_names.iter().map(|name| name.as_str().into()).chain([Box::from("")]);
            names.map(|name| (name, container.last_event_at)).collect()
        };
        let by_container = containers.iter().map(|c| (c.container.as_str().into(), names(c))).collect();
        Self { by_container, is_new: false, has_moved: false }
    }

    /// Notes an event; of the names of one container, the first [`EVENT_NAMES_MAX`].
    pub(super) fn note(&mut self, container: &str, name: &str, now: Time) {
        let names = match self.by_container.get_mut(container) {
            Some(names) => names,
            None => self.by_container.entry(container.into()).or_default(),
        };
        if let Some(last) = names.get_mut(name) {
            *last = now;
            self.has_moved = true;
        } else if names.len() < EVENT_NAMES_MAX {
            names.insert(name.into(), now);
            self.is_new = true;
        }
    }

    /// Every container with each of its names and when it was last seen.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str, Time)> {
        self.by_container.iter().flat_map(|(c, names)| names.iter().map(move |(name, last)| (&**c, &**name, *last)))
    }
}

/// How far `seen` times may lag behind on the disk.
const SEEN_WRITTEN_EVERY: Duration = Duration::from_secs(10);

/// Something to do inside a transaction, and somebody to tell.
pub(super) trait Task: Send {
    /// Whether it is all outcomes that wait in the outbox, which gain from waiting a moment for others.
    fn is_outcomes(&self) -> bool {
        false
    }
    /// May run twice: once with others in one transaction, and again alone if that failed.
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError>;
    /// Called after the commit, or with what went wrong.
    fn finish(self: Box<Self>, result: Result<(), StoreError>);
}

/// A closure as a task.
pub(super) struct Ask<T, W> {
    pub work: W,
    pub answer: Option<T>,
    pub reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, W: FnMut(&mut Tx<'_>) -> Result<T, StoreError> + Send> Task for Ask<T, W> {
    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.answer = Some((self.work)(tx)?);
        Ok(())
    }

    fn finish(self: Box<Self>, result: Result<(), StoreError>) {
        let answer = self.answer;
        // A caller who has gone away needs no answer.
        drop(self.reply.send(result.and_then(|()| {
            answer.ok_or_else(|| StoreError::Failed("a task was committed without having run".to_owned()))
        })));
    }
}

pub(super) type Tasks = Sender<Box<dyn Task>>;

/// Milliseconds since the epoch at which the writer last finished something or found nothing to do; and what commits cost.
pub(super) struct Pulse {
    pub last_ms: AtomicI64,
    pub committed: Box<dyn Fn(Duration) + Send + Sync>,
}

/// The writer's own state.
pub(super) struct Writer {
    pub sql: Connection,
    pub tag: StoreTag,
    pub keys: Keys,
    pub counters: Counters,
    /// As the store has them; nothing of this run before the first commit.
    pub counters_written: Option<Counters>,
    pub seen: Seen,
    pub recent: Recent,
    pub lately: Lately,
    pub held: Held,
    pub withdrawn: Arc<Withdrawn>,
    pub withdrawn_fresh: Vec<DeliveryId>,
    pub clean_up: Option<CleanUp>,
    pub outbox: Arc<Outbox>,
    pub seen_written: Instant,
    /// The transaction under way writes them.
    pub seen_under_way: bool,
    pub pulse: Arc<Pulse>,
    pub broken: Broken,
    /// Who makes commits durable; a store in memory needs nobody.
    pub syncer: Option<SyncSender<Committed>>,
    /// Who copies the log; a store in memory has none.
    pub checkpoints: Option<Checkpoints>,
}

impl Drop for Writer {
    /// However the writer ends, nobody waits for it in vain.
    fn drop(&mut self) {
        let gone = StoreError::Fatal("the store's writer has ended".to_owned());
        Box::new(RecordAll::of(self.outbox.clone())).finish(Err(gone));
        self.checkpoints = None;
        if self.broken.get().is_some() {
            // Closing would copy the log and delete it: the only thing that can still be trusted.
            drop(self.sql.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true));
        }
    }
}

impl Writer {
    /// Works until every sender is gone.
    pub(super) fn work(mut self, tasks: &Receiver<Box<dyn Task>>) {
        loop {
            let idle_after = if self.recent.is_behind() { IDLE_AFTER } else { BEAT_EVERY };
            let first = match tasks.recv_timeout(idle_after) {
                Ok(task) => task,
                Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                    self.use_moment();
                    self.copy_log();
                    self.beat();
                    continue;
                }
                Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return,
            };
            let mut group = self.gather(first, tasks);
            // Outcomes first, as they came, and last, so that those which come while an event is decided are committed with it.
            group.retain(|task| !task.is_outcomes());
            let (waiting, urgent) = self.outbox.waiting();
            if waiting != 0 {
                group.insert(0, self.outcomes());
            }
            if OUTCOMES_ALONE_FROM <= urgent {
                let others = group.split_off(1);
                self.commit_all(std::mem::replace(&mut group, others));
            }
            if !group.is_empty() {
                group.push(self.outcomes());
            }
            self.commit_all(group);
            self.copy_log();
            self.beat();
        }
    }

    /// The outcomes that will wait when it is their turn.
    fn outcomes(&self) -> Box<dyn Task> {
        Box::new(RecordAll::of(self.outbox.clone()))
    }

    /// What shares a commit with `first`.
    fn gather(&self, first: Box<dyn Task>, tasks: &Receiver<Box<dyn Task>>) -> Vec<Box<dyn Task>> {
        let began = Instant::now();
        let mut group = vec![first];
        while group.len() < TASKS_PER_COMMIT_MAX {
            let next = match tasks.try_recv() {
                Err(_) if group.iter().all(|task| task.is_outcomes()) => {
                    tasks.recv_timeout(self.company_within().saturating_sub(began.elapsed())).ok()
                }
                next => next.ok(),
            };
            let Some(task) = next else { break };
            group.push(task);
        }
        group
    }

    /// How long what waits in the outbox may wait for company.
    fn company_within(&self) -> Duration {
        match self.outbox.waiting() {
            (0, _) => Duration::ZERO,
            (_, 0) => COMPANY_WITHIN_UNHURRIED,
            _ => COMPANY_WITHIN,
        }
    }

    fn beat(&self) {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        self.pulse.last_ms.store(i64::try_from(now.as_millis()).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// All in one commit; if that fails, each alone, so that one at fault takes no other down.
    fn commit_all(&mut self, mut group: Vec<Box<dyn Task>>) {
        if group.is_empty() {
            return;
        }
        let started = Instant::now();
        match self.commit(&mut group) {
            Ok(()) => self.hand_on(group, started),
            Err(error) if group.len() == 1 || matches!(error, StoreError::Fatal(_)) => {
                group.into_iter().for_each(|task| task.finish(Err(error.clone())));
            }
            Err(_) => {
                for task in group {
                    let mut alone = vec![task];
                    let started = Instant::now();
                    match self.commit(&mut alone) {
                        Ok(()) => self.hand_on(alone, started),
                        Err(error) => alone.into_iter().for_each(|task| task.finish(Err(error.clone()))),
                    }
                }
            }
        }
    }

    /// They are told once what they did is on the disk.
    fn hand_on(&self, tasks: Vec<Box<dyn Task>>, started: Instant) {
        let Some(syncer) = &self.syncer else { return tasks.into_iter().for_each(|task| task.finish(Ok(()))) };
        if let Err(unsent) = syncer.send(Committed { tasks, started }) {
            let gone = StoreError::Fatal("nobody makes commits durable".to_owned());
            unsent.0.tasks.into_iter().for_each(|task| task.finish(Err(gone.clone())));
        }
    }

    /// Uses an idle moment, a bounded one. What fails here fails again where somebody waits for the answer.
    fn use_moment(&mut self) {
        if self.broken.get().is_some() {
            return;
        }
        if self.recent.is_unmoved() {
            drop(self.commit(&mut []));
        } else {
            drop(self.recent.read_on(&self.sql));
        }
    }

    fn copy_log(&mut self) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.committed(&self.sql);
        }
    }

    fn commit(&mut self, group: &mut [Box<dyn Task>]) -> Result<(), StoreError> {
        if let Some(why) = self.broken.get() {
            return Err(StoreError::Fatal(why.clone()));
        }
        let counters = self.counters;
        let result = catch_unwind(AssertUnwindSafe(|| self.attempt(group)))
            .unwrap_or_else(|panic| Err(StoreError::Panicked(panic_text(&*panic))));
        match &result {
            Ok(()) => {
                self.counters_written = Some(self.counters);
                self.recent.committed(group.is_empty());
                if std::mem::take(&mut self.seen_under_way) {
                    (self.seen.is_new, self.seen.has_moved) = (false, false);
                    self.seen_written = Instant::now();
                }
                self.lately.committed();
                self.held.committed();
                self.withdrawn.add(self.withdrawn_fresh.drain(..));
                if let Some(clean_up) = self.clean_up.take() {
                    clean_up.run(&self.sql, self.checkpoints.as_ref(), &self.broken);
                }
            }
            Err(error) => {
                self.counters = counters;
                self.recent.rolled_back();
                self.seen_under_way = false;
                self.lately.rolled_back();
                self.held.rolled_back();
                self.withdrawn_fresh.clear();
                self.clean_up = None;
                if let StoreError::Fatal(why) = error {
                    self.broken.get_or_init(|| why.clone());
                } else if let Err(rollback) = self.roll_back() {
                    self.broken.get_or_init(|| rollback.to_string());
                    return Err(StoreError::Fatal(rollback.to_string()));
                }
            }
        }
        result
    }

    fn attempt(&mut self, group: &mut [Box<dyn Task>]) -> Result<(), StoreError> {
        let is_idle = group.is_empty();
        self.run("BEGIN IMMEDIATE").map_err(|e| of_sqlite(&e))?;
        let mut tx = Tx {
            sql: &self.sql,
            tag: self.tag,
            keys: self.keys,
            counters: &mut self.counters,
            lines: BTreeMap::new(),
            seen: &mut self.seen,
            recent: &mut self.recent,
            lately: &mut self.lately,
            held: &mut self.held,
            withdrawn: &mut self.withdrawn_fresh,
            withdrawn_before: &self.withdrawn,
            clean_up: &mut self.clean_up,
        };
        for task in group {
            task.run(&mut tx)?;
        }
        tx.write_lines().map_err(|e| of_sqlite(&e))?;
        self.recent.write(&self.sql, is_idle)?;
        self.write_seen().map_err(|e| of_sqlite(&e))?;
        if self.counters_written != Some(self.counters) {
            self.counters.write(&self.sql).map_err(|e| of_sqlite(&e))?;
        }
        self.run("COMMIT").map_err(|e| of_commit(&e))
    }

    fn run(&self, statement: &str) -> rusqlite::Result<()> {
        self.sql.prepare_cached(statement)?.execute([]).map(drop)
    }

    /// New names at once, times every ten seconds: they only tell a person that a container is alive.
    fn write_seen(&mut self) -> rusqlite::Result<()> {
        let due = self.seen.has_moved && SEEN_WRITTEN_EVERY <= self.seen_written.elapsed();
        if !self.seen.is_new && !due {
            return Ok(());
        }
        let mut upsert =
            self.sql.prepare_cached("INSERT OR REPLACE INTO seen (container, name, last) VALUES (?1, ?2, ?3)")?;
        for (container, name, last) in self.seen.all() {
            upsert.execute((container, name, last.ms()))?;
        }
        self.seen_under_way = true;
        Ok(())
    }

    fn roll_back(&self) -> rusqlite::Result<()> {
        if self.sql.is_autocommit() {
            return Ok(());
        }
        self.sql.execute_batch("ROLLBACK")
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}

/// What SQLite says, sorted by what is to be done about it.
pub(super) fn of_sqlite(error: &rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return StoreError::Failed(error.to_string());
    };
    match failure.code {
        ErrorCode::DiskFull => StoreError::Full,
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Fatal(error.to_string()),
        ErrorCode::SystemIoFailure if is_sync(failure.extended_code) => StoreError::Fatal(error.to_string()),
        _ => StoreError::Failed(error.to_string()),
    }
}

/// A commit that fails for lack of space is undone; one that fails in any other way of input or output may have reached
/// the disk or not.
fn of_commit(error: &rusqlite::Error) -> StoreError {
    match of_sqlite(error) {
        StoreError::Failed(why) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
            StoreError::Fatal(why)
        }
        other => other,
    }
}

fn is_sync(extended: i32) -> bool {
    [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_DIR_FSYNC].contains(&extended)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        of_sqlite(&error)
    }
}

impl From<crate::store::rows::RowError> for StoreError {
    fn from(error: crate::store::rows::RowError) -> Self {
        Self::Failed(error.to_string())
    }
}
