//! Page views, the bulk of real traffic, which trigger nothing: what the daemon keeps of them (keys, identifiers, clicks)
//! against a loop that consumes, parses and acknowledges.
//!
//! Refuses: an estimate of when the daemon was done: its own count of admitted events is asked, and the queue must be empty.

use std::time::{Duration, Instant};

use crate::ask::{PATIENCE, PAUSE};
use crate::bare;
use crate::consumer::Consumer::{self, Daemon as Postbackd, Hyper};
use crate::consumer::{Job, Running, usual_plan};
use crate::daemon::Daemon;
use crate::figures::Table;
use crate::messages::view;
use crate::options::Options;
use crate::process::Books;
use crate::queue::{Queue, with_queue};
use crate::run::{Before, Figures, SETTLING, per_10k};
use crate::sink::{self, Sink};
use crate::targets;

const EVENTS: usize = 20_000;

/// Between two looks while nothing is admitted yet: from the first one on the rate is counted.
const START_PAUSE: Duration = Duration::from_millis(10);

pub async fn run(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    let parties = options.of(&[Hyper, Postbackd]);
    let rounds = table
        .in_turn(options.rounds, &parties, async |round, consumer| {
            let figures = one(options, consumer, round).await?;
            println!("{}", figures.told(round, name(consumer)));
            Ok(figures)
        })
        .await;
    for consumer in parties {
        table.row(format!("{}: events/s", name(consumer)), 0, rounds.of(consumer, |f| f.events_per_s), None);
        table.row(format!("{}: CPU s per 10k", name(consumer)), 3, rounds.of(consumer, |f| f.cpu), None);
    }
    let both = (Postbackd, Hyper);
    let rates = rounds.pairs(both, |a, b| a.events_per_s / b.events_per_s);
    table.row("events/s, postbackd : consume and parse", 3, rates, Some(targets::VIEWS));
    table.row("CPU, postbackd : consume and parse", 2, rounds.pairs(both, |a, b| a.cpu / b.cpu), None);
    let brokers = rounds.pairs(both, |a, b| a.broker_cpu() / b.broker_cpu());
    table.row("broker's CPU, postbackd : consume and parse", 2, brokers, Some(targets::BROKER_CPU));
    table.row("postbackd: peak MiB", 1, rounds.of(Postbackd, |f| f.peak_mib), Some(targets::PEAK_MIB));
    Ok(())
}

fn name(consumer: Consumer) -> &'static str {
    if consumer == Postbackd { consumer.name() } else { "consume and parse" }
}

async fn one(options: &Options, consumer: Consumer, round: usize) -> anyhow::Result<Figures> {
    let events = options.events_or(EVENTS);
    with_queue(&options.amqp(), options.first_queue(), async |queue: &Queue| {
        let run = round.to_string();
        queue.fill((0..events).map(|n| view(n, &run))).await?;
        tokio::time::sleep(SETTLING).await;
        let before = Before::now()?;
        let sink = Sink::start(&sink::Settings::default())?;
        let plan = usual_plan(options, &sink);
        let job = Job { queue, sink: &sink, events, plan: &plan, mixed: false };
        let (events_per_s, books) = match consumer {
            Postbackd => admit(Daemon::start(options, queue, &plan)?, events).await?,
            _ => parse(options, &job)?,
        };
        queue.used_up().await?;
        anyhow::ensure!(sink.counted().await?.requests == 0, "a page view was sent to the network");
        Ok(Figures {
            events_per_s,
            cpu: books.cpu_s * per_10k(events),
            broker_cpu: before.broker_cpu(events)?,
            peak_mib: books.peak_mib,
            ..Figures::default()
        })
    })
    .await
}

fn parse(options: &Options, job: &Job<'_>) -> anyhow::Result<(f64, Books)> {
    let Running::Bare(process, _folder) = Running::bare(options, bare::Work::Parse, job)? else {
        anyhow::bail!("a bare loop is one");
    };
    let said = process.line(2 * PATIENCE)?;
    let span = said.strip_prefix(bare::DONE).and_then(|span| span.parse::<f64>().ok());
    let span = span.ok_or_else(|| anyhow::anyhow!("the bare loop said {said:?}"))?;
    Ok((job.events as f64 / span, Books::of(process.pid())?))
}

/// The rate between the first look that saw any and the first that saw all. So it ends up to one pause too late, and the
/// daemon seems slower by that.
pub(super) async fn admit(daemon: Daemon, events: usize) -> anyhow::Result<(f64, Books)> {
    let mut first: Option<(Instant, usize)> = None;
    let (mut moved, mut seen) = (Instant::now(), 0);
    let (span, counted) = loop {
        // While it starts nobody answers.
        let admitted = daemon.metrics().await.map_or(0, |metrics| metrics.events());
        let now = Instant::now();
        match first {
            None if 0 < admitted => first = Some((now, admitted)),
            Some((since, already)) if events <= admitted => break (now - since, admitted - already),
            _ => {}
        }
        if seen < admitted {
            (moved, seen) = (now, admitted);
        }
        anyhow::ensure!(moved.elapsed() < PATIENCE, "only {seen} of {events} are admitted\n{}", daemon.log());
        tokio::time::sleep(if first.is_none() { START_PAUSE } else { PAUSE }).await;
    };
    let books = daemon.books()?;
    daemon.end()?;
    Ok((counted as f64 / span.as_secs_f64(), books))
}
