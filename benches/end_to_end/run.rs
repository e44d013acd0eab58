//! One run from a full queue: a fresh sink, one consumer, until every id has come and is on record.
//!
//! Refuses: a figure for a run that lost an event.

use std::time::Duration;

use crate::consumer::{Consumer, Job, Running, usual_plan};
use crate::options::{Options, QueueType};
use crate::process::{self, Books};
use crate::queue::{Queue, with_queue};
use crate::sink::{Counted, Sink};

/// After the last confirm the broker still writes; it is not part of what follows.
pub const SETTLING: Duration = Duration::from_millis(500);

/// The figures of one run; processor times are user and system seconds per 10,000 events.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub events_per_s: f64,
    pub cpu: f64,
    /// `None` where the broker runs on another machine.
    pub broker_cpu: Option<f64>,
    pub sink_cpu: f64,
    pub peak_mib: f64,
    /// Requests beyond one per event.
    pub repeats: u64,
}

impl Figures {
    pub fn broker_cpu(&self) -> f64 {
        self.broker_cpu.unwrap_or(f64::NAN)
    }

    pub fn cpu_with_broker(&self) -> f64 {
        self.cpu + self.broker_cpu.unwrap_or(0.0)
    }

    /// One line while it goes on.
    pub fn told(&self, round: usize, who: &str) -> String {
        let broker = self.broker_cpu.map_or_else(|| "    -".to_owned(), |cpu| format!("{cpu:5.3}"));
        format!(
            "round {} {who:26} {:8.0} events/s  CPU s per 10k: {:6.3} (broker {broker}, sink {:5.3})  peak {:6.1} MiB  lost 0  \
             repeated {}",
            round + 1,
            self.events_per_s,
            self.cpu,
            self.sink_cpu,
            self.peak_mib,
            self.repeats,
        )
    }
}

/// What the broker and the sink have used up before a run, to be taken off afterwards.
pub struct Before {
    broker_cpu_s: Option<f64>,
}

impl Before {
    pub fn now() -> anyhow::Result<Self> {
        Ok(Self { broker_cpu_s: process::broker_cpu_s()? })
    }

    /// What the broker has used since, per 10,000 events.
    pub fn broker_cpu(&self, events: usize) -> anyhow::Result<Option<f64>> {
        let after = process::broker_cpu_s()?;
        Ok(after.zip(self.broker_cpu_s).map(|(after, before)| (after - before) * per_10k(events)))
    }
}

/// The usual run: `events` messages, each of which is to come to the sink.
pub async fn full_queue(
    options: &Options,
    queue_type: QueueType,
    consumer: Consumer,
    events: usize,
    message: impl Fn(usize) -> String,
    start_sink: impl FnOnce() -> anyhow::Result<Sink>,
) -> anyhow::Result<Figures> {
    with_queue(&options.amqp(), queue_type, async |queue: &Queue| {
        queue.fill((0..events).map(message)).await?;
        tokio::time::sleep(SETTLING).await;
        let sink = start_sink()?;
        let before = Before::now()?;
        let plan = usual_plan(options, &sink);
        let job = Job { queue, sink: &sink, events, plan: &plan, mixed: false };
        let running = Running::start(options, consumer, &job)?;
        let counted = sink.all_came(events, || running.log()).await?;
        let books = running.finish(events).await?;
        queue.used_up().await?;
        figures(&sink, &counted, events, books, &before).await
    })
    .await
}

/// The figures, once it is sure that nothing was lost: `counted` when the last id had come, and what the sink says now.
pub async fn figures(
    sink: &Sink,
    counted: &Counted,
    events: usize,
    books: Books,
    before: &Before,
) -> anyhow::Result<Figures> {
    let broker_cpu = before.broker_cpu(events)?;
    let sink_cpu = process::cpu_s(sink.pid())? * per_10k(events);
    let after = sink.counted().await?;
    anyhow::ensure!(after.nameless == 0, "{} requests without an id", after.nameless);
    anyhow::ensure!(after.ids == events, "{} ids of {events} events", after.ids);
    Ok(Figures {
        events_per_s: counted.per_s(),
        cpu: books.cpu_s * per_10k(events),
        broker_cpu,
        sink_cpu,
        peak_mib: books.peak_mib,
        repeats: after.requests - after.ids as u64,
    })
}

pub fn per_10k(events: usize) -> f64 {
    10_000.0 / events as f64
}
