//! The daemon: build everything from a configuration, run it, reload it, drain it.
//!
//! Refuses: work of its own. It connects the rooms and carries their words: the store's trouble to the sources, the
//! signals to everyone.

mod health;
mod jobs;
mod reload;
mod signals;
mod start;
mod tester;
mod watch;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch as channel;
use tokio::task::JoinHandle;

use crate::config::{Config, LoadOptions, LogFormat};
use crate::console::Tester;
use crate::dispatch::Lanes;
use crate::ingest::amqp::AmqpHandle;
use crate::model::time::Time;
use crate::pipeline::{House, Word};
use crate::store::Store;
use crate::telemetry::events;
use crate::telemetry::metrics::Metrics;

pub use self::signals::{SIGNALS, Signals};
pub use self::start::start;

/// Why the daemon did not start, or had to stop.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// The clock, read where the daemon begins.
pub(crate) fn now() -> Time {
    Time::from_ms(jiff::Timestamp::now().as_millisecond())
}

/// A running daemon.
pub struct Daemon {
    pub admin: SocketAddr,
    pub ingest: SocketAddr,
    pub store: Store,
    pub metrics: Arc<Metrics>,
    config: Arc<ArcSwap<Config>>,
    house: Arc<House>,
    lanes: Arc<Lanes>,
    reloader: Arc<reload::Reloader>,
    amqp: Option<AmqpHandle>,
    stopping: channel::Sender<bool>,
    listener: JoinHandle<()>,
    admission: JoinHandle<()>,
    jobs: Vec<JoinHandle<()>>,
}

/// Runs the daemon of this configuration until a signal stops it.
///
/// # Errors
/// It could not start, or lost its store; the text says why and what to do.
pub fn run(file: &Path) -> Result<(), StartError> {
    let environment = |name: &str| std::env::var(name).ok();
    let loaded = crate::config::load(file, &environment, LoadOptions { no_env: false }).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        StartError(format!("the configuration has mistakes\n{}", lines.join("\n")))
    })?;
    let format = match loaded.config.log.format {
        LogFormat::Text => crate::telemetry::log::Format::Text,
        LogFormat::Json => crate::telemetry::log::Format::Json,
    };
    crate::telemetry::log::start(format, loaded.config.log.level).map_err(|e| StartError(e.to_string()))?;
    for warning in &loaded.warnings {
        events::config_warned(&warning.to_string());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| StartError(format!("can't start the runtime: {e}")))?;
    runtime.block_on(async {
        let signals = Signals::listen();
        let daemon = start(loaded.config).await?;
        daemon.run_until_told(signals).await
    })
}

/// Makes postbacks on demand where no daemon runs: what it sends has been sent when it answers.
pub fn tester(config: Arc<Config>, store: Store) -> Arc<dyn Tester> {
    Arc::new(tester::Alone::new(config, store))
}

impl Daemon {
    /// Runs until SIGTERM or SIGINT, reloading at SIGHUP and when a file changes; then drains.
    ///
    /// # Errors
    /// The store was lost: nothing more can be promised, and the next start reads what is on the disk.
    pub async fn run_until_told(self, mut signals: Signals) -> Result<(), StartError> {
        let mut trouble = self.house.trouble.watch();
        let lost = async {
            loop {
                if let Word::Lost(why) = &*trouble.borrow_and_update() {
                    return why.clone();
                }
                if trouble.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let signal = tokio::select! {
            why = lost => {
                events::daemon_failed(&why);
                return Err(StartError(format!("the store was lost: {why}")));
            }
            signal = signals.handle(&self.reloader) => signal,
        };
        self.drain(signal).await;
        Ok(())
    }

    /// Stops taking events, finishes the attempts in flight, records them; within `shutdown.grace`.
    pub async fn drain(mut self, why: &str) {
        let grace = self.config.load().shutdown_grace;
        events::daemon_stopping(why, grace);
        let started = tokio::time::Instant::now();
        let left = |share: u32| (grace / share).saturating_sub(started.elapsed()).max(Duration::from_millis(100));
        self.stopping.send_replace(true);
        // Half of the time at most for what has arrived; the rest for what is on its way to a network.
        if let Some(amqp) = self.amqp.take() {
            drop(tokio::time::timeout(left(2), amqp.stop()).await);
        }
        drop(tokio::time::timeout(left(2), &mut self.listener).await);
        self.listener.abort();
        drop(tokio::time::timeout(left(2), &mut self.admission).await);
        self.lanes.drain(left(1)).await;
        for job in self.jobs.drain(..) {
            job.abort();
        }
        let abandoned: usize = self.lanes.states().iter().map(|lane| lane.in_flight).sum();
        jobs::remember_lanes(&self.house, abandoned == 0).await;
        events::daemon_stopped(abandoned);
    }
}
