//! Whether the daemon lives and can work.
//!
//! Refuses: guessing. Each word rests on what a source or the store last said.

use tokio::sync::watch;

use crate::console::{Health, Readiness};
use crate::ingest::SourceStatus;
use crate::pipeline::Word;
use crate::store::Store;

/// The store's writer shows a sign of life every second; so long without one is a fault (a disk may stall for seconds).
const WRITER_SILENT_MAX_MS: i64 = 60_000;

pub(super) struct DaemonHealth {
    pub store: Store,
    pub trouble: watch::Receiver<Word>,
    pub amqp: Option<watch::Receiver<SourceStatus>>,
    pub stopping: watch::Receiver<bool>,
}

impl Health for DaemonHealth {
    fn alive(&self) -> bool {
        super::now().ms() - self.store.writer_beat_ms() < WRITER_SILENT_MAX_MS
    }

    fn ready(&self) -> Readiness {
        let mut degraded = Vec::new();
        let mut ready = true;
        if *self.stopping.borrow() {
            return Readiness { ready: false, degraded, detail: "stopping".to_owned() };
        }
        let mut detail = "ready".to_owned();
        match &*self.trouble.borrow() {
            Word::Fine => {}
            Word::Paused(why) | Word::Lost(why) => {
                degraded.push("store".to_owned());
                detail = format!("the store can't write: {why}");
                ready = false;
            }
        }
        if let Some(amqp) = &self.amqp {
            let status = amqp.borrow();
            if !status.connected {
                degraded.push("source amqp".to_owned());
                if ready {
                    detail.clone_from(&status.detail);
                }
            }
            // Once it has been there, HTTP can deliver while the broker is away.
            ready &= status.ever_connected;
        }
        Readiness { ready, degraded, detail }
    }
}
