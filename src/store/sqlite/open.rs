//! Opening the embedded store: the lock, the tables, the writer and the readers, and what the last run left.
//!
//! Refuses: beginning a run; whoever opens the store to look at it changes nothing of what it says.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::atomic::AtomicI64;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use tokio::sync::Semaphore;

use super::erase::Withdrawn;
use super::keys::Keys;
use super::lately::Lately;
use super::partial::Held;
use super::recent::Recent;
use super::record::Outbox;
use super::writer::{Book, Counters, Pulse, Seen, Task, Writer};
use super::{Found, Inner, Store, StoreError, checkpoint, read, resume, schema, standing, sweep, syncer};
use crate::model::ids::{Seq, StoreTag};

/// Questions answered at the same time; a further one waits for its turn.
const READERS: usize = 4;

/// A writer and what it will be asked to do.
type Unstarted = (Writer, Receiver<Box<dyn Task>>);

impl Store {
    /// Opens or creates the store in the folder `path`, exclusively. `committed` is told how long each commit took.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where another process has it; otherwise what the file system or SQLite says.
    pub fn open(path: &Path, committed: impl Fn(Duration) + Send + Sync + 'static) -> Result<Self, StoreError> {
        let failed =
            |what: &str, e: &dyn std::fmt::Display| StoreError::Failed(format!("{what} {}: {e}", path.display()));
        std::fs::create_dir_all(path).map_err(|e| failed("can't create the folder", &e))?;
        let lock = File::create(path.join("lock")).map_err(|e| failed("can't write into the folder", &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked(path.display().to_string())),
            Err(TryLockError::Error(e)) => return Err(failed("can't lock the folder", &e)),
        }
        let file = path.join("postbackd.db");
        let writer = Connection::open(&file).map_err(|e| failed("can't open the store in", &e))?;
        let mut readers = Vec::with_capacity(READERS);
        let open = Self::prepare(writer, committed, |_| {
            for _ in 0..READERS {
                let reader = Connection::open_with_flags(
                    &file,
                    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
                )?;
                reader.execute_batch(schema::READER)?;
                reader.set_prepared_statement_cache_capacity(64);
                readers.push(reader);
            }
            Ok(())
        });
        let (inner, writer) = open.map_err(|e| match e {
            StoreError::Failed(why) => failed("the store in", &why),
            other => other,
        })?;
        let (mut writer, tasks) = writer;
        let log = path.join("postbackd.db-wal");
        let syncer = syncer::start(log, writer.pulse.clone(), writer.broken.clone());
        writer.syncer = Some(syncer.map_err(|e| failed("can't start the syncer of", &e))?);
        let beside = Connection::open(&file).map_err(|e| failed("can't open the store in", &e))?;
        writer.checkpoints = Some(checkpoint::start(&mut writer.sql, beside, writer.broken.clone())?);
        Self::start(Inner { readers: Mutex::new(readers), _lock: Some(lock), ..inner }, (writer, tasks))
    }

    /// A store that lives in memory, for `explain` and for fixtures.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn in_memory() -> Result<Self, StoreError> {
        let (inner, writer) = Self::prepare(Connection::open_in_memory()?, |_| {}, |_| Ok(()))?;
        Self::start(inner, writer)
    }

    fn prepare(
        sql: Connection,
        committed: impl Fn(Duration) + Send + Sync + 'static,
        migrated: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(Inner, Unstarted), StoreError> {
        sql.execute_batch(schema::WRITER)?;
        sql.set_prepared_statement_cache_capacity(128);
        schema::migrate(&sql).map_err(StoreError::Failed)?;
        migrated(&sql)?;
        let (tag, keys) = identity(&sql)?;
        let found = found(&sql, tag)?;
        let book = Book { found: standing(&found.backlog), ..Book::default() };
        let counters = Counters { book, ..Counters::read(&sql)? };
        let seen = Seen::known(&read::containers_seen(&sql)?);
        let pulse = Arc::new(Pulse { last_ms: AtomicI64::new(0), committed: Box::new(committed) });
        let (tasks, waiting) = std::sync::mpsc::channel();
        let outbox: Arc<Outbox> = Arc::default();
        let withdrawn: Arc<Withdrawn> = Arc::default();
        let inner = Inner {
            tag,
            keys,
            tasks,
            outbox: outbox.clone(),
            readers: Mutex::new(Vec::new()),
            turns: Semaphore::new(READERS),
            pulse: pulse.clone(),
            frontier: AtomicI64::new(found.frontier.0),
            found,
            cursors: Mutex::new(sweep::Cursors::default()),
            withdrawn: withdrawn.clone(),
            erasing: tokio::sync::Mutex::new(()),
            _lock: None,
        };
        let writer = Writer {
            recent: Recent::read(&sql)?,
            lately: Lately::default(),
            held: Held::read(&sql, keys)?,
            withdrawn,
            withdrawn_fresh: Vec::new(),
            clean_up: None,
            outbox,
            sql,
            tag,
            keys,
            counters,
            counters_written: None,
            seen,
            seen_written: Instant::now(),
            seen_under_way: false,
            pulse,
            broken: Arc::default(),
            syncer: None,
            checkpoints: None,
        };
        Ok((inner, (writer, waiting)))
    }

    fn start(inner: Inner, (writer, tasks): Unstarted) -> Result<Self, StoreError> {
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.work(&tasks))
            .map_err(|e| StoreError::Failed(format!("can't start the writer: {e}")))?;
        Ok(Self { inner: Arc::new(inner) })
    }
}

/// The store's tag and hashing secret, drawn when it is made.
fn identity(sql: &Connection) -> Result<(StoreTag, Keys), StoreError> {
    sql.execute(
        "INSERT OR IGNORE INTO meta (key, value) VALUES ('tag', abs(random() >> 15)), ('secret', randomblob(16))",
        [],
    )?;
    let tag: i64 = sql.query_row("SELECT value FROM meta WHERE key = 'tag'", [], |row| row.get(0))?;
    let secret: [u8; 16] = sql.query_row("SELECT value FROM meta WHERE key = 'secret'", [], |row| row.get(0))?;
    Ok((StoreTag::new(tag.unsigned_abs()), Keys::new(secret)))
}

fn found(sql: &Connection, tag: StoreTag) -> Result<Found, StoreError> {
    let number = |key: &str| -> Result<Option<i64>, StoreError> {
        Ok(sql.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()?)
    };
    let frontier = Seq(number("frontier")?.unwrap_or(1));
    // A store that was never used ended properly.
    let clean = number("clean")?.is_none_or(|clean| clean == 1);
    Ok(Found { clean, frontier, backlog: resume::backlog(sql, tag, frontier)? })
}
