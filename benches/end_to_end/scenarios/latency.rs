//! How long an event takes from its publishing to the network, at a rate that nobody is busy with: what admission in
//! batches and commits before sending cost where throughput is not the question.
//!
//! Refuses: a full queue, in which every event waits for those before it.

use crate::consumer::Consumer::{self, Daemon, Hyper};
use crate::consumer::{Job, Running, usual_plan};
use crate::figures::Table;
use crate::messages::Purchase;
use crate::options::Options;
use crate::queue::{Queue, with_queue};
use crate::sink::{self, Latency, Sink};
use crate::targets;

const EVENTS: usize = 4_000;
const PER_S: u32 = 500;

/// Events that open the connections and fill the caches, and are in no figure.
const WARM_UP: usize = 500;

#[derive(Clone, Copy, Debug)]
struct Figures {
    latency: Latency,
    /// One commit of the daemon's store, on average, in milliseconds.
    commit_ms: f64,
}

pub async fn run(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    let parties = options.of(&[Hyper, Daemon]);
    let rounds = table
        .in_turn(options.rounds, &parties, async |round, consumer| {
            let figures = one(options, consumer, round).await?;
            let Figures { latency: Latency { count, p50_ms, p95_ms, p99_ms }, commit_ms } = figures;
            let commit = if commit_ms.is_finite() { format!("; a commit {commit_ms:.2} ms") } else { String::new() };
            let name = consumer.name();
            println!(
                "round {} {name:14} p50 {p50_ms:6.2}  p95 {p95_ms:6.2}  p99 {p99_ms:6.2} ms of {count}{commit}",
                round + 1
            );
            Ok(figures)
        })
        .await;
    for consumer in parties {
        let name = consumer.name();
        table.row(format!("{name}: p50, ms"), 2, rounds.of(consumer, |f| f.latency.p50_ms), None);
        table.row(format!("{name}: p95, ms"), 2, rounds.of(consumer, |f| f.latency.p95_ms), None);
        table.row(format!("{name}: p99, ms"), 2, rounds.of(consumer, |f| f.latency.p99_ms), None);
    }
    table.row("postbackd: one commit of its store, ms", 2, rounds.of(Daemon, |f| f.commit_ms), None);
    let both = (Daemon, Hyper);
    let above = rounds.pairs(both, |a, b| (a.latency.p50_ms - b.latency.p50_ms) / a.commit_ms);
    table.row("p50 above that of bare, hyper, in commits", 2, above, Some(targets::LATENCY_COMMITS));
    let p99 = rounds.pairs(both, |a, b| a.latency.p99_ms / b.latency.p99_ms);
    table.row("p99, postbackd : bare, hyper", 2, p99, Some(targets::LATENCY_P99));
    Ok(())
}

async fn one(options: &Options, consumer: Consumer, round: usize) -> anyhow::Result<Figures> {
    let events = WARM_UP + options.events_or(EVENTS);
    with_queue(&options.amqp(), options.first_queue(), async |queue: &Queue| {
        let sink = Sink::start(&sink::Settings { latency_after: Some(WARM_UP), ..sink::Settings::default() })?;
        let plan = usual_plan(options, &sink);
        let running =
            Running::start(options, consumer, &Job { queue, sink: &sink, events, plan: &plan, mixed: false })?;
        let before = commits(&running).await?;
        let run = round.to_string();
        queue.feed(PER_S, events, |n, ts| Purchase { ts, ..Purchase::new(n, &run) }.json()).await?;
        sink.all_came(events, || running.log()).await?;
        let after = commits(&running).await?;
        running.finish(events).await?;
        queue.used_up().await?;
        let commit_ms = 1000.0 * (after.0 - before.0) / (after.1 - before.1);
        Ok(Figures { latency: sink.latency().await?, commit_ms })
    })
    .await
}

/// Seconds and number of commits so far, once it consumes; none of a consumer that has no store.
async fn commits(running: &Running) -> anyhow::Result<(f64, f64)> {
    match running {
        Running::Daemon(daemon) => {
            daemon.ready().await?;
            Ok(daemon.metrics().await?.commits())
        }
        Running::Bare(..) | Running::Peer(..) => Ok((0.0, 0.0)),
    }
}
