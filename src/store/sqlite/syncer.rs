//! Makes commits durable, on a thread of its own: one sync of SQLite's log for all that were made meanwhile, and then those
//! who wait for them are told. So the writer decides the next events while the disk is busy with the last.
//!
//! SQLite itself does not sync its log at a commit (`synchronous = NORMAL`). It does so before each checkpoint, and syncs the
//! database after, which is all that keeps both in one piece.
//!
//! Refuses: telling anyone before the sync, and going on after one that failed. The pages in memory may differ then from
//! those on the disk; only a fresh start, reading what is there, can be trusted (PostgreSQL's lesson of 2018).

use std::fs::File;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::writer::{Pulse, Task};
use crate::store::StoreError;

/// Commits that wait for the disk beside those being synced. A disk that hangs stops the writer soon, and so is noticed.
const WAITING_MAX: usize = 2;

/// Why the store can't be trusted any more; every task is refused from then on.
pub(super) type Broken = Arc<OnceLock<String>>;

/// A transaction that SQLite has committed.
pub(super) struct Committed {
    pub tasks: Vec<Box<dyn Task>>,
    pub started: Instant,
}

/// The thread's own state.
struct Syncer {
    log: PathBuf,
    committed: Receiver<Committed>,
    pulse: Arc<Pulse>,
    broken: Broken,
}

/// Starts the thread that syncs the file `log`; it ends when nobody can commit any more.
pub(super) fn start(log: PathBuf, pulse: Arc<Pulse>, broken: Broken) -> std::io::Result<SyncSender<Committed>> {
    let (send, committed) = sync_channel(WAITING_MAX);
    let syncer = Syncer { log, committed, pulse, broken };
    std::thread::Builder::new().name("store-syncer".to_owned()).spawn(move || syncer.work())?;
    Ok(send)
}

impl Syncer {
    fn work(self) {
        let mut log: Option<File> = None;
        while let Ok(first) = self.committed.recv() {
            let mut all = vec![first];
            all.extend(self.committed.try_iter());
            let result = self.sync(&mut log);
            for Committed { tasks, started } in all {
                if result.is_ok() {
                    (self.pulse.committed)(started.elapsed());
                }
                tasks.into_iter().for_each(|task| task.finish(result.clone()));
            }
        }
    }

    fn sync(&self, log: &mut Option<File>) -> Result<(), StoreError> {
        let mut synced = || -> std::io::Result<()> {
            let log = match log {
                Some(log) => log,
                // There is one since there was a commit, and it stays while the database is open.
                None => log.insert(File::open(&self.log)?),
            };
            log.sync_data()
        };
        if let Some(why) = self.broken.get() {
            return Err(StoreError::Fatal(why.clone()));
        }
        synced().map_err(|error| {
            let why = self.broken.get_or_init(|| format!("the disk did not take a commit: {error}"));
            StoreError::Fatal(why.clone())
        })
    }
}
