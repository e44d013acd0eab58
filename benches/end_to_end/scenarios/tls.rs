//! The run of `throughput` with HTTPS, as every real network has it: connections are kept, so records and not handshakes
//! are what it costs.
//!
//! Refuses: HTTP/2, which the sink does not offer: what a shared connection saves is another question.

use crate::consumer::Consumer::{Daemon, Reqwest};
use crate::figures::Table;
use crate::messages::Purchase;
use crate::options::Options;
use crate::run;
use crate::sink::Sink;

const EVENTS: usize = 15_000;
const ROUNDS_MAX: usize = 3;

pub async fn run(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    let parties = options.of(&[Reqwest, Daemon]);
    let events = options.events_or(EVENTS);
    let rounds = table
        .in_turn(options.rounds.min(ROUNDS_MAX), &parties, async |round, consumer| {
            let message = |n| Purchase::new(n, &round.to_string()).json();
            let sink = || Sink::start_https(options);
            let figures = run::full_queue(options, options.first_queue(), consumer, events, message, sink).await?;
            println!("https    {}", figures.told(round, consumer.name()));
            Ok(figures)
        })
        .await;
    for consumer in parties {
        table.row(format!("{}: events/s", consumer.name()), 0, rounds.of(consumer, |f| f.events_per_s), None);
        table.row(format!("{}: CPU s per 10k", consumer.name()), 3, rounds.of(consumer, |f| f.cpu), None);
    }
    let both = (Daemon, Reqwest);
    let rate = rounds.pairs(both, |a, b| a.events_per_s / b.events_per_s);
    table.row("events/s, postbackd : bare, reqwest", 3, rate, None);
    table.row("CPU, postbackd : bare, reqwest", 2, rounds.pairs(both, |a, b| a.cpu / b.cpu), None);
    Ok(())
}
