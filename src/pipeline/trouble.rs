//! How the store fares, for everyone who must stop or wait.
//!
//! Refuses: acting on it. The daemon pauses the sources, answers readiness, and ends the process.

use tokio::sync::watch;

use crate::store::StoreError;

/// The store's last word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    Fine,
    /// It can't write for now; it is asked again until it can.
    Paused(String),
    /// It can't be trusted any more: the process must end, and read afresh at its next start.
    Lost(String),
}

/// Where trouble is told, by whoever meets it.
#[derive(Debug)]
pub struct Trouble(watch::Sender<Word>);

impl Default for Trouble {
    fn default() -> Self {
        Self(watch::Sender::new(Word::Fine))
    }
}

impl Trouble {
    /// The store failed.
    pub fn tell(&self, error: &StoreError) {
        let word = match error {
            StoreError::Fatal(why) => Word::Lost(why.clone()),
            other => Word::Paused(other.to_string()),
        };
        self.0.send_if_modified(|current| {
            let graver = matches!((&*current, &word), (Word::Fine, _) | (Word::Paused(_), Word::Lost(_)));
            if graver {
                *current = word;
            }
            graver
        });
    }

    /// The store writes again.
    pub fn over(&self) {
        self.0.send_if_modified(|current| {
            let paused = matches!(current, Word::Paused(_));
            if paused {
                *current = Word::Fine;
            }
            paused
        });
    }

    /// Now, and from now on.
    pub fn watch(&self) -> watch::Receiver<Word> {
        self.0.subscribe()
    }
}
