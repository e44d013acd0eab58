//! A full queue of purchases: the bare loops, postbackd and the peers, on a classic and on a quorum queue.
//!
//! Refuses: a ratio across queues, which bound different parties.

use crate::consumer::Consumer::{self, Daemon, Durable, Hyper, Node, Python, Reqwest};
use crate::figures::{Rounds, Table, Target};
use crate::messages::Purchase;
use crate::options::{Options, QueueType};
use crate::run::{self, Figures};
use crate::sink::{self, Sink};
use crate::targets;

/// In the order of the rows.
const ALL: [Consumer; 6] = [Hyper, Reqwest, Durable, Daemon, Node, Python];

const EVENTS: usize = 20_000;

/// The Python peer is slower by so much that its rate is known from fewer.
const PYTHON_SHARE: usize = 16;

pub async fn run(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    for queue_type in &options.queue {
        // The Python peer is so far from what either kind of queue gives that one of them tells all.
        let without_python = &ALL[..ALL.len() - 1];
        let parties = options.of(if *queue_type == options.first_queue() { &ALL } else { without_python });
        let rounds = table
            .in_turn(options.rounds, &parties, async |round, consumer| {
                let figures = one(options, *queue_type, consumer, round).await?;
                println!("{:8} {}", queue_type.word(), figures.told(round, consumer.name()));
                Ok(figures)
            })
            .await;
        let (name, own) = match queue_type {
            QueueType::Classic => ("classic", targets::RATE_CLASSIC),
            QueueType::Quorum => ("quorum", targets::RATE_QUORUM),
        };
        rows(table, name, own, &rounds);
    }
    Ok(())
}

async fn one(options: &Options, queue_type: QueueType, consumer: Consumer, round: usize) -> anyhow::Result<Figures> {
    let events = options.events_or(EVENTS);
    let events = if consumer == Python { events.div_ceil(PYTHON_SHARE) } else { events };
    let message = |n| Purchase::new(n, &round.to_string()).json();
    run::full_queue(options, queue_type, consumer, events, message, || Sink::start(&sink::Settings::default())).await
}

fn rows(table: &mut Table, queue: &str, own: Target, rounds: &Rounds<Consumer, Figures>) {
    for consumer in ALL {
        table.row(format!("{queue}, {}: events/s", consumer.name()), 0, rounds.of(consumer, |f| f.events_per_s), None);
    }
    for consumer in ALL {
        table.row(format!("{queue}, {}: CPU s per 10k", consumer.name()), 3, rounds.of(consumer, |f| f.cpu), None);
    }
    let name = |figure: &str| format!("{queue}, {figure}");
    let to_bare = (Daemon, Hyper);
    let rate = |a: &Figures, b: &Figures| a.events_per_s / b.events_per_s;
    table.row(name("events/s, postbackd : bare, hyper"), 3, rounds.pairs(to_bare, rate), Some(own));
    table.row(name("events/s, bare, reqwest : bare, hyper"), 3, rounds.pairs((Reqwest, Hyper), rate), None);
    table.row(name("events/s, bare, durable : bare, hyper"), 3, rounds.pairs((Durable, Hyper), rate), None);
    table.row(name("events/s, postbackd : bare, durable"), 3, rounds.pairs((Daemon, Durable), rate), None);
    let cpu = |a: &Figures, b: &Figures| a.cpu / b.cpu;
    table.row(name("CPU, postbackd : bare, hyper"), 2, rounds.pairs(to_bare, cpu), Some(targets::CPU));
    table.row(name("CPU, bare, reqwest : bare, hyper"), 2, rounds.pairs((Reqwest, Hyper), cpu), None);
    table.row(name("CPU, bare, durable : bare, hyper"), 2, rounds.pairs((Durable, Hyper), cpu), None);
    table.row(name("CPU, postbackd : bare, durable"), 2, rounds.pairs((Daemon, Durable), cpu), None);
    let broker = rounds.pairs(to_bare, |a, b| a.broker_cpu() / b.broker_cpu());
    table.row(name("broker's CPU, postbackd : bare, hyper"), 2, broker, Some(targets::BROKER_CPU));
    table.row(name("postbackd: peak MiB"), 1, rounds.of(Daemon, |f| f.peak_mib), Some(targets::PEAK_MIB));
    for peer in [Node, Python] {
        let word = if peer == Node { "Node" } else { "Python" };
        let rates = rounds.pairs((Daemon, peer), rate);
        table.row(name(&format!("events/s, postbackd : {word}")), 2, rates, Some(targets::RATE_TO_PEER));
        let costs = rounds.pairs((peer, Daemon), |a, b| a.cpu_with_broker() / b.cpu_with_broker());
        table.row(name(&format!("CPU with broker's, {word} : postbackd")), 2, costs, Some(targets::CPU_OF_PEER));
    }
}
