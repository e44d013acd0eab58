//! Many networks that take their time: 200 connectors, 200 hosts, one queue. How many requests are under way at once, and
//! what threads and memory that takes.
//!
//! Refuses: other machines. The hosts are addresses of the loopback network.

use crate::daemon::{Daemon, Plan, connector};
use crate::figures::Table;
use crate::messages::Purchase;
use crate::options::Options;
use crate::process::status_of;
use crate::queue::{Queue, with_queue};
use crate::run::SETTLING;
use crate::sink::{self, Sink};

const EVENTS: usize = 15_000;
const ROUNDS_MAX: usize = 2;
const PARTNERS: u8 = 200;
/// Requests in flight to each: 3,200 in all.
const CONCURRENCY: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    /// The same events to one of the 200 alone, which answers at once: what the memory is without the connections.
    One,
    /// All answer after 50 ms: the rate decides how many are in flight.
    Quick,
    /// All answer after 500 ms: the connectors' concurrency decides it.
    Slow,
}

impl Party {
    fn delay_ms(self) -> u64 {
        match self {
            Self::One => 0,
            Self::Quick => 50,
            Self::Slow => 500,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Figures {
    events_per_s: f64,
    in_flight_max: f64,
    threads: f64,
    /// Once all was sent: memory held, and connections open.
    held_kib: f64,
    open: f64,
    peak_mib: f64,
}

pub async fn run(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    let rounds = table
        .in_turn(options.rounds.min(ROUNDS_MAX), &[Party::One, Party::Quick, Party::Slow], async |round, party| {
            let figures = one(options, party, round).await?;
            let Figures { events_per_s, in_flight_max, threads, open, peak_mib, .. } = figures;
            println!(
                "round {} {:5} {events_per_s:6.0} events/s  {in_flight_max:4} in flight  {threads} threads  {open:4} \
                 connections kept  peak {peak_mib:.1} MiB",
                round + 1,
                format!("{party:?}"),
            );
            Ok(figures)
        })
        .await;
    for party in [Party::Quick, Party::Slow] {
        let name = |figure: &str| format!("answers after {} ms: {figure}", party.delay_ms());
        table.row(name("events/s"), 0, rounds.of(party, |f| f.events_per_s), None);
        table.row(name("requests in flight, at most"), 0, rounds.of(party, |f| f.in_flight_max), None);
        table.row(name("threads"), 0, rounds.of(party, |f| f.threads), None);
        table.row(name("peak MiB"), 1, rounds.of(party, |f| f.peak_mib), None);
        table.row(name("connections kept"), 0, rounds.of(party, |f| f.open), None);
    }
    // Hundreds of connections are lost in what the memory differs by from run to run; thousands are not.
    let each = rounds.pairs((Party::Slow, Party::One), |a, b| (a.held_kib - b.held_kib) / (a.open - b.open));
    table.row("KiB a connection kept, by the slower", 1, each, None);
    Ok(())
}

async fn one(options: &Options, party: Party, round: usize) -> anyhow::Result<Figures> {
    let events = options.events_or(EVENTS);
    with_queue(&options.amqp(), options.first_queue(), async |queue: &Queue| {
        let run = round.to_string();
        let names: Vec<String> = (1..=PARTNERS).map(|partner| format!("Purchase{partner}")).collect();
        let name = |n: usize| if party == Party::One { &*names[0] } else { &*names[n % names.len()] };
        queue.fill((0..events).map(|n| Purchase { event: name(n), ..Purchase::new(n, &run) }.json())).await?;
        tokio::time::sleep(SETTLING).await;
        let settings = sink::Settings { hosts: PARTNERS, delay_ms: party.delay_ms(), ..sink::Settings::default() };
        let sink = Sink::start(&settings)?;
        let daemon = Daemon::start(options, queue, &plan(&sink))?;
        let counted = sink.all_came(events, || daemon.log()).await?;
        daemon.delivered(events).await?;
        let open = sink.counted().await?.open;
        let (held_kib, threads) = (status_of(daemon.pid(), "VmRSS")?, status_of(daemon.pid(), "Threads")?);
        let peak_mib = daemon.books()?.peak_mib;
        daemon.end()?;
        queue.used_up().await?;
        Ok(Figures {
            events_per_s: counted.per_s(),
            in_flight_max: counted.in_flight_max as f64,
            threads,
            held_kib,
            open: open as f64,
            peak_mib,
        })
    })
    .await
}

fn plan(sink: &Sink) -> Plan {
    let one = |partner: u8| {
        let url = format!("http://127.0.1.{partner}:{}/p", sink.port);
        connector(&format!("partner-{partner}"), &format!("Purchase{partner}"), &url, CONCURRENCY)
    };
    Plan { connectors: (1..=PARTNERS).map(one).collect(), ..Plan::default() }
}
