//! Signals: TERM and INT stop, HUP reloads.
//!
//! Refuses: anything slow; the work is done by whoever is told.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::reload::Reloader;

/// What the daemon does at a signal. Any other has its usual effect; one that ends the process loses nothing either.
pub const SIGNALS: &[(&str, &str)] = &[
    ("SIGHUP", "reads the configuration anew; what is broken is refused whole and the old one stays"),
    (
        "SIGTERM",
        "takes no more events, finishes the attempts in flight within `shutdown.grace`, records them, ends with 0",
    ),
    ("SIGINT", "the same"),
];

/// The signals a daemon listens to. Made before anything else, so that none ends the process in the middle of its start.
pub struct Signals {
    hup: Signal,
    term: Signal,
    int: Signal,
}

impl Signals {
    /// Listens from now on. Needs a tokio runtime.
    pub fn listen() -> Self {
        let listen = |kind| signal(kind).expect("a process may listen to its own signals");
        Self {
            hup: listen(SignalKind::hangup()),
            term: listen(SignalKind::terminate()),
            int: listen(SignalKind::interrupt()),
        }
    }

    /// Reloads at each SIGHUP and change of a file, until told to stop; the name of the signal that did.
    pub(super) async fn handle(&mut self, reloader: &Reloader) -> &'static str {
        loop {
            tokio::select! {
                _ = self.hup.recv() => reloader.reload().await,
                () = reloader.changed() => reloader.reload().await,
                _ = self.term.recv() => return "SIGTERM",
                _ = self.int.recv() => return "SIGINT",
            }
        }
    }
}
