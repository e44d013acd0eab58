//! Events from RabbitMQ. One supervisor per source keeps a connection up: connect, declare, consume; on any fault it drops
//! everything and builds it anew, for ever.
//!
//! Refuses: losing a message. Each is acknowledged only once it is durable, or once the broker has confirmed it in the
//! rejected queue; whatever a broken connection leaves open, the broker delivers again.
//!
//! Why not lapin's own recovery: it gives up after some attempts, hides the gap from readiness, and what it replays
//! (prefetch, consumers) differed from version to version. A generation that is dropped whole has no such edges.

mod link;
mod message;
mod rejected;
mod session;
mod supervisor;
#[cfg(test)]
mod tests;
mod topology;
mod unsettled;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::{Arrival, Counts, SourceStatus};
use crate::config::{AmqpSource, Config};

/// The `source` label of everything that comes from here.
pub const SOURCE: &str = "amqp";

/// What the source needs of the daemon.
#[derive(Clone, Debug)]
pub struct AmqpState {
    /// Full, it stops the reading: that is the back-pressure.
    pub arrivals: mpsc::Sender<Arrival>,
    /// Read anew for each message, so that a reload applies at once. The broker's address and the queues do not reload.
    pub config: Arc<ArcSwap<Config>>,
    pub counts: Arc<Counts>,
}

/// What the daemon wants of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Run,
    Pause,
    Stop,
}

/// A running source. Dropped, it ends at once, and the broker delivers again what was open.
#[derive(Debug)]
pub struct AmqpHandle {
    wish: watch::Sender<Wish>,
    status: watch::Receiver<SourceStatus>,
    task: JoinHandle<()>,
}

/// Starts the source on the current runtime. It connects in the background; [`AmqpHandle::status`] tells how it stands.
pub fn start(source: AmqpSource, state: AmqpState) -> AmqpHandle {
    let (wish, wished) = watch::channel(Wish::Run);
    let (tell, status) = watch::channel(SourceStatus::default());
    let task = tokio::spawn(supervisor::supervise(Arc::new(source), state, wished, tell));
    AmqpHandle { wish, status, task }
}

impl AmqpHandle {
    /// How the source stands, now and from now on.
    pub fn status(&self) -> watch::Receiver<SourceStatus> {
        self.status.clone()
    }

    /// Pauses it and lets it run, from elsewhere.
    pub fn switch(&self) -> AmqpSwitch {
        AmqpSwitch(self.wish.clone())
    }

    /// Stops consuming, waits until every message that was passed on is settled and acknowledged, and disconnects. The
    /// caller bounds the time; dropping the future ends it at once.
    pub async fn stop(mut self) {
        change(&self.wish, Wish::Stop);
        // The task ends by itself or by a panic, which the daemon's hook has reported.
        drop((&mut self.task).await);
    }
}

/// Pauses a source while the store can't write.
#[derive(Clone, Debug)]
pub struct AmqpSwitch(watch::Sender<Wish>);

impl AmqpSwitch {
    /// Stops consuming and lets go of every open message, so that another daemon may have it.
    pub fn pause(&self) {
        change(&self.0, Wish::Pause);
    }

    /// Consumes again.
    pub fn resume(&self) {
        change(&self.0, Wish::Run);
    }
}

/// A stop is final.
fn change(wish: &watch::Sender<Wish>, to: Wish) {
    wish.send_if_modified(|current| {
        let changes = *current != Wish::Stop && *current != to;
        if changes {
            *current = to;
        }
        changes
    });
}

impl Drop for AmqpHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}
