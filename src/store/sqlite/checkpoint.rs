//! Copies SQLite's log into the database beside the writer, on a thread and a connection of its own: a copy takes as long as
//! fifty commits.
//!
//! SQLite begins its log anew where all of it has been copied. Commits go on meanwhile, so the thread copies what came during its
//! last copy, and so on; each takes less time than the one before. If it never finds itself at the end, the writer, which commits
//! nothing while it does so, copies the little that is left.
//!
//! Refuses: making commits durable, which is the syncer's. A copy syncs the log before and the database after; where the disk
//! does not take that, nothing is written any more.

use std::ffi::c_int;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use super::syncer::Broken;
use super::writer::of_sqlite;
use crate::store::StoreError;

/// Pages of the log from which on it is copied: 24 MB. Rare enough that pages written again and again are copied once, and
/// small enough to reopen at once.
const COPIED_FROM: c_int = 6_000;

/// Pages at which the writer waits for the thread: a disk that can't keep up slows admission, not grows the log.
const LOG_MAX: c_int = 16_000;

/// Copies in succession: the first few leave nothing but a commit or two, and the others are attempts to come between two.
const COPIES_MAX: usize = 8;

/// Settings of the thread's connection; it syncs as the writer's would.
const SETTINGS: &str = "PRAGMA synchronous = NORMAL; PRAGMA cache_size = -64; PRAGMA busy_timeout = 0;";

/// The writer's side: looks at the log's length after each commit.
struct Helper {
    copied_from: c_int,
    log_max: c_int,
    ask: SyncSender<()>,
    done: Receiver<()>,
    is_asked: bool,
    broken: Broken,
}

/// Has `writer`'s log copied through `beside`, another connection to the same database.
///
/// # Errors
/// The thread could not be started, or SQLite's.
pub(super) fn start(writer: &mut Connection, beside: Connection, broken: Broken) -> Result<(), StoreError> {
    start_with(writer, beside, broken, (COPIED_FROM, LOG_MAX))
}

fn start_with(
    writer: &mut Connection,
    beside: Connection,
    broken: Broken,
    (copied_from, log_max): (c_int, c_int),
) -> Result<(), StoreError> {
    beside.execute_batch(SETTINGS)?;
    let (ask, asked) = sync_channel::<()>(1);
    let (tell, done) = sync_channel::<()>(1);
    let mut helper = Helper { copied_from, log_max, ask, done, is_asked: false, broken: broken.clone() };
    let work = move || {
        while let Ok(()) = asked.recv() {
            note(copy(&beside), &broken);
            if tell.send(()).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("store-checkpointer".to_owned())
        .spawn(work)
        .map_err(|e| StoreError::Failed(format!("can't start the checkpointer: {e}")))?;
    // In place of SQLite's own, which copies all of the log within the commit that made it long.
    writer.wal_hook(Some(move |log: &mut Wal, pages| {
        helper.committed(log, pages);
        Ok(())
    }))?;
    Ok(())
}

/// Takes no lock that a commit or a reader would wait for.
fn copy(connection: &Connection) -> rusqlite::Result<()> {
    let mut copied: i64 = 0;
    for _ in 0..COPIES_MAX {
        // The third number is how many pages of the log are in the database now.
        let before = copied;
        copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(2))?;
        if copied == before {
            break;
        }
    }
    Ok(())
}

impl Helper {
    fn committed(&mut self, log: &mut Wal, pages: c_int) {
        let is_writers_turn = if self.is_asked {
            let done = if self.log_max <= pages {
                self.done.recv().map_err(|_| TryRecvError::Disconnected)
            } else {
                self.done.try_recv()
            };
            self.is_asked = done == Err(TryRecvError::Empty);
            // One that is short has begun anew.
            !self.is_asked && self.copied_from <= pages
        } else {
            self.is_asked = self.copied_from <= pages && self.ask.send(()).is_ok();
            // Were the thread gone, nobody else would do it.
            self.copied_from <= pages && !self.is_asked
        };
        if is_writers_turn {
            note(log.checkpoint(), &self.broken);
        }
    }
}

/// A copy that could not be made is made next time: somebody reads what was, or the disk is full. One that the disk refused to
/// make durable can't be trusted, nor anything after it.
fn note(copied: rusqlite::Result<()>, broken: &Broken) {
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

    const FROM: c_int = 50;
    const MAX: c_int = 400;

    fn opened(folder: &Path, broken: &Broken) -> Connection {
        std::fs::create_dir_all(folder).unwrap();
        let file = folder.join("t.db");
        let mut writer = Connection::open(&file).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; CREATE TABLE t (a BLOB)")
            .unwrap();
        let beside = Connection::open(&file).unwrap();
        start_with(&mut writer, beside, broken.clone(), (FROM, MAX)).unwrap();
        writer
    }

    /// A commit of three pages.
    fn commit(writer: &Connection) {
        writer.execute("INSERT INTO t VALUES (zeroblob(9000))", []).unwrap();
    }

    fn pages_of_log(folder: &Path) -> u64 {
        std::fs::metadata(folder.join("t.db-wal")).unwrap().len() / 4096
    }

    #[test]
    fn the_log_begins_anew_although_commits_go_on() {
        let (folder, broken) = (Folder::new(), Broken::default());
        let writer = opened(&folder.0, &broken);
        (0..2_000).for_each(|_| commit(&writer));
        // As long as it may get, and what one commit adds.
        assert!(pages_of_log(&folder.0) < u64::from(MAX.unsigned_abs()) + 10, "{}", pages_of_log(&folder.0));
        let count: i64 = writer.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(count, 2_000);
        assert_eq!(broken.get(), None);
    }

    #[test]
    fn a_reader_keeps_the_log_and_stops_nobody() {
        let (folder, broken) = (Folder::new(), Broken::default());
        let writer = opened(&folder.0, &broken);
        commit(&writer);
        let reader = Connection::open(folder.0.join("t.db")).unwrap();
        let seen = |sql: &str| reader.query_row(sql, [], |row| row.get::<_, i64>(0));
        reader.execute_batch("BEGIN").unwrap();
        assert_eq!(seen("SELECT count(*) FROM t").unwrap(), 1);
        (0..400).for_each(|_| commit(&writer));
        let grown = pages_of_log(&folder.0);
        assert!(1_000 < grown, "{grown}");
        assert_eq!(seen("SELECT count(*) FROM t").unwrap(), 1);
        reader.execute_batch("COMMIT").unwrap();
        (0..400).for_each(|_| commit(&writer));
        assert!(pages_of_log(&folder.0) < grown + 500, "{grown} and now {}", pages_of_log(&folder.0));
        assert_eq!(broken.get(), None);
    }
}
