//! Copies SQLite's log into the database beside the writer, on a thread and a connection of its own: a copy takes as long as
//! fifty commits.
//!
//! SQLite begins its log anew where all of it has been copied. Commits go on meanwhile, so the thread copies what came during its
//! last copy, and so on; each takes less time than the one before. If it never finds itself at the end, the writer, which commits
//! nothing while it does so, copies the little that is left.
//!
//! Refuses: making commits durable, which is the syncer's. A copy syncs the log before, and the database where it reached the
//! log's end, without which no page of the log is given up; where the disk does not take that, nothing is written any more.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::hooks::Wal;

use super::syncer::Broken;
use super::writer::of_sqlite;
use crate::store::StoreError;

/// Bytes of the log from which on it is copied. Rare enough that pages written again and again are copied once, and small
/// enough to reopen at once.
const COPIED_FROM: i64 = 24_000_000;

/// Bytes at which the writer waits for the thread: a disk that can't keep up slows admission, not grows the log. A reader of
/// what was can keep it all the same.
const LOG_MAX: i64 = 64_000_000;

/// Copies in succession: the first few leave nothing but a commit or two, and the others are attempts to come between two.
const COPIES_MAX: usize = 8;

/// Settings of the thread's connection; it syncs as the writer's would.
const SETTINGS: &str = "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -64; PRAGMA busy_timeout = 0;";

/// The writer's side: looks at the log's length after each commit.
pub(super) struct Checkpoints {
    /// In pages, as the log's length is told.
    copied_from: i64,
    log_max: i64,
    /// Pages of the log after the last commit.
    pages: Arc<AtomicI64>,
    ask: SyncSender<()>,
    done: Receiver<()>,
    is_asked: bool,
    /// Held while the thread copies.
    copying: Arc<Mutex<()>>,
    broken: Broken,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Checkpoints {
    /// Afterwards the writer's connection is the last that writes, and closing it empties the log.
    fn drop(&mut self) {
        (self.ask, _) = sync_channel(0);
        if let Some(thread) = self.thread.take() {
            // A panic in it has been told, and has harmed nothing here.
            drop(thread.join());
        }
    }
}

/// Has `writer`'s log copied through `beside`, another connection to the same database.
///
/// # Errors
/// The thread could not be started, or SQLite's.
pub(super) fn start(writer: &mut Connection, beside: Connection, broken: Broken) -> Result<Checkpoints, StoreError> {
    let page: i64 = writer.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    start_with(writer, beside, broken, (COPIED_FROM / page, LOG_MAX / page))
}

fn start_with(
    writer: &mut Connection,
    beside: Connection,
    broken: Broken,
    (copied_from, log_max): (i64, i64),
) -> Result<Checkpoints, StoreError> {
    beside.execute_batch(SETTINGS)?;
    // Whoever closes last would copy the log and delete it, which is not to be done after a sync that failed.
    beside.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let (ask, asked) = sync_channel::<()>(1);
    let (tell, done) = sync_channel::<()>(1);
    let (copying, pages) = (Arc::<Mutex<()>>::default(), Arc::<AtomicI64>::default());
    let mut checkpoints = Checkpoints {
        copied_from,
        log_max,
        pages: pages.clone(),
        ask,
        done,
        is_asked: false,
        copying: copying.clone(),
        broken: broken.clone(),
        thread: None,
    };
    let work = move || {
        while let Ok(()) = asked.recv() {
            {
                let _one_at_a_time = copying.lock().unwrap_or_else(PoisonError::into_inner);
                if broken.get().is_none() {
                    note(copy(&beside), &broken);
                }
            }
            if tell.send(()).is_err() {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new()
        .name("store-checkpointer".to_owned())
        .spawn(work)
        .map_err(|e| StoreError::Failed(format!("can't start the checkpointer: {e}")))?;
    checkpoints.thread = Some(thread);
    // In place of SQLite's own, which copies all of the log within the commit that made it long.
    writer.wal_hook(Some(move |_: &mut Wal, count| {
        pages.store(i64::from(count), Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(checkpoints)
}

/// Takes no lock that a commit or a reader would wait for.
fn copy(connection: &Connection) -> rusqlite::Result<()> {
    let mut copied = 0;
    for _ in 0..COPIES_MAX {
        let before = copied;
        copied = copy_once(connection)?;
        if copied == before {
            break;
        }
    }
    Ok(())
}

/// How many pages of the log are in the database now.
fn copy_once(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(2))
}

impl Checkpoints {
    /// After a commit, once it is handed on, so that nobody waits for a copy who need not.
    pub(super) fn committed(&mut self, writer: &Connection) {
        if self.broken.get().is_some() {
            return;
        }
        let pages = self.pages.load(Ordering::Relaxed);
        let is_long = self.copied_from <= pages;
        self.is_asked = match self.is_asked {
            true if self.log_max <= pages => {
                // An error says that the thread is gone, as does one below: nobody else copies then.
                let _ = self.done.recv();
                false
            }
            true => self.done.try_recv() == Err(TryRecvError::Empty),
            false => is_long && self.ask.send(()).is_ok(),
        };
        if is_long && !self.is_asked {
            note(copy_once(writer).map(drop), &self.broken);
            // There is nothing more to copy before the next commit.
            self.pages.store(0, Ordering::Relaxed);
        }
    }

    /// Copies all of the log and empties its file; false where a reader keeps it.
    pub(super) fn empty(&self, writer: &Connection) -> bool {
        let _one_at_a_time = self.copying.lock().unwrap_or_else(PoisonError::into_inner);
        if self.broken.get().is_some() {
            return false;
        }
        let is_busy = writer.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        let is_empty = is_busy.as_ref().is_ok_and(|busy| *busy == 0);
        note(is_busy.map(drop), &self.broken);
        is_empty
    }
}

/// A copy that could not be made is made next time: somebody reads what was, or the disk is full. One that the disk refused to
/// make durable can't be trusted, nor anything after it: asked again, the disk may say yes to pages that it has let go.
pub(super) fn note(copied: rusqlite::Result<()>, broken: &Broken) {
    if let Err(error) = copied
        && let StoreError::Fatal(why) = of_sqlite(&error)
    {
        broken.get_or_init(|| format!("the disk did not take what was copied from the log: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::sqlite::tests::Folder;

    const FROM: i64 = 50;
    const MAX: i64 = 400;

    fn opened(folder: &Path, broken: &Broken) -> (Connection, Checkpoints) {
        std::fs::create_dir_all(folder).unwrap();
        let file = folder.join("t.db");
        let mut writer = Connection::open(&file).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE t (a BLOB)")
            .unwrap();
        let beside = Connection::open(&file).unwrap();
        let checkpoints = start_with(&mut writer, beside, broken.clone(), (FROM, MAX)).unwrap();
        (writer, checkpoints)
    }

    /// Commits of three or four pages.
    fn commit(writer: &Connection, checkpoints: &mut Checkpoints, count: usize) {
        for _ in 0..count {
            writer.execute("INSERT INTO t VALUES (zeroblob(9000))", []).unwrap();
            checkpoints.committed(writer);
        }
    }

    fn pages_of_log(folder: &Folder) -> i64 {
        i64::try_from(std::fs::metadata(folder.0.join("t.db-wal")).unwrap().len() / 4096).unwrap()
    }

    #[test]
    fn the_log_stays_bounded_under_commits_without_a_pause() {
        let (folder, broken) = (Folder::new(), Broken::default());
        let (writer, mut checkpoints) = opened(&folder.0, &broken);
        commit(&writer, &mut checkpoints, 2_000);
        assert!(pages_of_log(&folder) < MAX + 50, "{}", pages_of_log(&folder));
        let count: i64 = writer.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 2_000);
        assert_eq!(broken.get(), None);
    }

    #[test]
    fn without_the_thread_the_writer_copies() {
        let (folder, broken) = (Folder::new(), Broken::default());
        let (writer, mut checkpoints) = opened(&folder.0, &broken);
        (checkpoints.ask, _) = sync_channel(0);
        commit(&writer, &mut checkpoints, 500);
        assert!(pages_of_log(&folder) < FROM + 50, "{}", pages_of_log(&folder));
    }

    #[test]
    fn a_reader_keeps_the_log_and_stops_nobody() {
        let (folder, broken) = (Folder::new(), Broken::default());
        let (writer, mut checkpoints) = opened(&folder.0, &broken);
        commit(&writer, &mut checkpoints, 1);
        let reader = Connection::open(folder.0.join("t.db")).unwrap();
        let seen = || reader.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        assert_eq!(seen(), 1);
        commit(&writer, &mut checkpoints, 400);
        let grown = pages_of_log(&folder);
        assert!(1_000 < grown, "{grown}");
        assert!(!checkpoints.empty(&writer));
        assert_eq!(seen(), 1);
        reader.execute_batch("COMMIT").unwrap();
        commit(&writer, &mut checkpoints, 400);
        assert!(pages_of_log(&folder) < grown + MAX, "{grown} and now {}", pages_of_log(&folder));
        assert!(checkpoints.empty(&writer));
        assert_eq!(pages_of_log(&folder), 0);
        assert_eq!(broken.get(), None);
    }

    #[test]
    fn closing_copies_all_of_the_log_and_takes_it_away() {
        let (folder, broken) = (Folder::new(), Broken::default());
        let (writer, mut checkpoints) = opened(&folder.0, &broken);
        commit(&writer, &mut checkpoints, 20);
        drop(checkpoints);
        drop(writer);
        assert!(!folder.0.join("t.db-wal").exists());
    }

    #[test]
    fn a_copy_that_was_not_made_durable_ends_the_store_and_a_busy_one_does_not() {
        let failed = |code| Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None));
        let broken = Broken::default();
        note(failed(rusqlite::ffi::SQLITE_BUSY), &broken);
        note(failed(rusqlite::ffi::SQLITE_FULL), &broken);
        assert_eq!(broken.get(), None);
        note(failed(rusqlite::ffi::SQLITE_IOERR_FSYNC), &broken);
        assert!(broken.get().is_some());
    }
}
