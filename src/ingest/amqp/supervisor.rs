//! The life of the source: one session after the other, with a growing pause between them.
//!
//! Refuses: giving up, and looking inside a session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};

use super::rejected::Rejecter;
use super::session::{self, End, Session};
use super::topology::{self, Warned};
use super::{AmqpState, Wish, link};
use crate::config::AmqpSource;
use crate::ingest::SourceStatus;

/// The pause after a first fault, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// A session that held this long was sound: the next fault starts the pauses anew.
const SOUND_AFTER: Duration = Duration::from_secs(30);

/// Runs until the stop is wished.
pub(super) async fn supervise(
    source: Arc<AmqpSource>,
    state: AmqpState,
    mut wish: watch::Receiver<Wish>,
    status: watch::Sender<SourceStatus>,
) {
    let rejecter = Arc::new(Mutex::new(Rejecter::new(source.clone())));
    let mut supervisor =
        Supervisor { source, state, status, rejecter: rejecter.clone(), warned: Warned::new(), generation: 0 };
    let mut backoff = Backoff::default();
    loop {
        // An error says that the handle is gone, which asks for nothing more.
        let Ok(Wish::Run) = wish.wait_for(|w| *w != Wish::Pause).await.map(|w| *w) else {
            break;
        };
        let begun = Instant::now();
        let end = supervisor.session(&mut wish).await;
        if SOUND_AFTER <= begun.elapsed() {
            backoff = Backoff::default();
        }
        supervisor.report(&end);
        match end {
            End::Stopped => break,
            End::Paused => backoff = Backoff::default(),
            End::Unavailable | End::Fault(_) => {
                tokio::select! {
                    () = tokio::time::sleep(backoff.next()) => {}
                    _ = wish.wait_for(|w| *w != Wish::Run) => {}
                }
            }
        }
    }
    rejecter.lock().await.close().await;
    supervisor.say(false, "stopped");
}

struct Supervisor {
    source: Arc<AmqpSource>,
    state: AmqpState,
    status: watch::Sender<SourceStatus>,
    rejecter: Arc<Mutex<Rejecter>>,
    warned: Warned,
    generation: u64,
}

impl Supervisor {
    /// One connection, from its first byte to its last.
    async fn session(&mut self, wish: &mut watch::Receiver<Wish>) -> End {
        self.generation += 1;
        self.say(false, "connecting");
        let mut asked = wish.clone();
        let opened = tokio::select! {
            opened = self.open() => opened,
            wished = asked.wait_for(|w| *w != Wish::Run) => {
                let is_pause = wished.is_ok_and(|w| *w == Wish::Pause);
                return if is_pause { End::Paused } else { End::Stopped };
            }
        };
        let (connection, session) = match opened {
            Ok(opened) => opened,
            Err(error) => return End::Fault(error.to_string()),
        };
        self.say(true, "consuming");
        tracing::info!(queue = %self.source.queue, generation = self.generation, "amqp.connected");
        let end = session.run(wish).await;
        link::close(&connection).await;
        end
    }

    async fn open(&mut self) -> Result<(lapin::Connection, Session), link::AmqpError> {
        let connection = link::connect(&self.source.url, "consuming").await?;
        let channel = topology::declare(&connection, &self.source, &mut self.warned).await?;
        let consumer = session::consume(&channel, &self.source).await?;
        let session = Session::new(
            self.generation,
            channel,
            consumer,
            self.source.clone(),
            self.state.clone(),
            self.rejecter.clone(),
        );
        Ok((connection, session))
    }

    fn report(&self, end: &End) {
        match end {
            End::Stopped => self.say(false, "stopped"),
            End::Paused => self.say(false, "paused while the store cannot write"),
            End::Unavailable => {
                tracing::warn!(queue = %self.source.queue, "amqp.let_go: the store took no events");
                self.say(false, "the store took no events");
            }
            End::Fault(detail) => {
                tracing::warn!(queue = %self.source.queue, detail, "amqp.disconnected");
                self.say(false, detail);
            }
        }
    }

    fn say(&self, connected: bool, detail: &str) {
        self.status.send_if_modified(|status| {
            let said = SourceStatus {
                connected,
                ever_connected: status.ever_connected || connected,
                detail: detail.to_owned(),
            };
            let changes = *status != said;
            *status = said;
            changes
        });
    }
}

/// Pauses that double, each between half and the whole of its length, so that many daemons do not come back at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause before the next attempt.
    pub fn next(&mut self) -> Duration {
        let whole = PAUSE_MIN.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        whole.mul_f64(fastrand::f64().mul_add(0.5, 0.5)).max(PAUSE_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_within_their_bounds() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..100).map(|_| backoff.next()).collect();
        assert!(pauses.iter().all(|p| (PAUSE_MIN..=PAUSE_MAX).contains(p)));
        assert_eq!(pauses[0], PAUSE_MIN);
        assert!(pauses[10..].iter().all(|p| PAUSE_MAX / 2 <= *p));
    }
}
