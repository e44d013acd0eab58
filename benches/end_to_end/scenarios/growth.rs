//! What more of everything costs: connectors, bytes of an event, clicks of a visitor, and a store that is full already. Each
//! row is one daemon, first with a full queue, then at a rate that it is not busy with.
//!
//! Refuses: peers, which keep nothing that could grow.

use std::process::Command;
use std::time::Duration;

use crate::daemon::{CLICK_PARAM, Daemon, Plan, configure, connector};
use crate::figures::Table;
use crate::fill::{self, Content};
use crate::folder::{Folder, free_address};
use crate::messages::Purchase;
use crate::options::Options;
use crate::process::Process;
use crate::queue::{Queue, with_queue};
use crate::run::SETTLING;
use crate::sink::{self, Sink};

/// At the steady rate.
const EVENTS: usize = 1_000;
const PER_S: u32 = 200;

/// Bounds the filling of the fullest store.
const FILLING: Duration = Duration::from_secs(240);

/// One row. What it does not name is as in `throughput`.
#[derive(Clone, Copy, Debug)]
struct Case {
    figure: &'static str,
    /// Events of the full queue.
    events: usize,
    /// Of which one wants the events.
    connectors: usize,
    /// Articles of a purchase, and bytes of each one's description.
    items: (usize, usize),
    /// What the store holds beforehand; the purchases come from visitors that it knows, if any.
    store: Content,
    /// Whether a purchase brings its own click or is earned by one in the store.
    lands: bool,
}

const USUAL: Case =
    Case { figure: "", events: 10_000, connectors: 1, items: (1, 0), store: Content::Nothing, lands: true };

const fn clicks(figure: &'static str, visitors: usize, each: usize, events: usize) -> Case {
    Case { figure, events, store: Content::Clicks { visitors, each }, lands: false, ..USUAL }
}

const fn full(figure: &'static str, store: Content) -> Case {
    Case { figure, store, events: 5_000, ..USUAL }
}

const CASES: &[Case] = &[
    Case { figure: "1 connector, nothing in the store", ..USUAL },
    Case { figure: "10 connectors, one matches", connectors: 10, ..USUAL },
    Case { figure: "100 connectors, one matches", connectors: 100, ..USUAL },
    Case { figure: "1,000 connectors, one matches", connectors: 1_000, ..USUAL },
    Case { figure: "events of 1 kB", items: (1, 500), ..USUAL },
    Case { figure: "events of 100 kB", items: (190, 460), events: 2_000, ..USUAL },
    clicks("1 click a visitor", 1_000, 1, 10_000),
    clicks("100 clicks a visitor", 1_000, 100, 10_000),
    clicks("1,000 clicks a visitor", 1_000, 1_000, 10_000),
    full("1M clicks in the store", Content::Clicks { visitors: 100_000, each: 10 }),
    full("10M clicks in the store", Content::Clicks { visitors: 1_000_000, each: 10 }),
    full("1M finished deliveries in the log", Content::Delivered { events: 1_000_000 }),
];

struct Figures {
    events_per_s: f64,
    p99_ms: f64,
    peak_mib: f64,
}

pub async fn run(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    // Each row is long, and there are many: one round of them for every five of the others.
    for case in CASES.iter().filter(|case| case.figure.contains(&options.row)) {
        let rounds = table
            .in_turn(options.rounds.div_ceil(5), &[case.figure], async |_, _| {
                let figures = one(options, case).await?;
                let Figures { events_per_s, p99_ms, peak_mib } = figures;
                println!(
                    "{:36} {events_per_s:8.0} events/s  p99 {p99_ms:6.2} ms  peak {peak_mib:6.1} MiB",
                    case.figure
                );
                Ok(figures)
            })
            .await;
        table.row(format!("{}: events/s", case.figure), 0, rounds.of(case.figure, |f| f.events_per_s), None);
        table.row(format!("{}: p99 at {PER_S}/s, ms", case.figure), 2, rounds.of(case.figure, |f| f.p99_ms), None);
        table.row(format!("{}: peak MiB", case.figure), 1, rounds.of(case.figure, |f| f.peak_mib), None);
    }
    Ok(())
}

async fn one(options: &Options, case: &Case) -> anyhow::Result<Figures> {
    let home = Folder::new(&options.store())?;
    let store = if options.small { case.store.thousandth() } else { case.store };
    let data = home.path().join("data");
    let sink_settings = sink::Settings { latency_after: Some(case.events), ..sink::Settings::default() };
    let sink = Sink::start(&sink_settings)?;
    let plan = Plan { data: Some(data.clone()), ..plan(options, case, &sink) };
    if store != Content::Nothing {
        let config = configure(home.path(), options, &plan, None, (&free_address()?, &free_address()?))?;
        let filler = Process::own(fill::MODE, &fill::Settings { config, data, content: store }, |command| command)?;
        println!("{}", filler.line(FILLING)?);
        // What the system still has to write is no part of what follows.
        Command::new("sync").status()?;
    }
    let message = |n: usize, ts: u64| {
        let session = store.session(n);
        let (items, description) = case.items;
        Purchase { ts, session, lands: case.lands, items, description, ..Purchase::new(n, "0") }.json()
    };
    with_queue(&options.amqp(), options.first_queue(), async |queue: &Queue| {
        queue.fill((0..case.events).map(|n| message(n, 0))).await?;
        tokio::time::sleep(SETTLING).await;
        let daemon = Daemon::start(options, queue, &plan)?;
        let counted = sink.all_came(case.events, || daemon.log()).await?;
        let all = case.events + EVENTS;
        queue.feed(PER_S, EVENTS, |n, ts| message(case.events + n, ts)).await?;
        sink.all_came(all, || daemon.log()).await?;
        daemon.delivered(all).await?;
        let peak_mib = daemon.books()?.peak_mib;
        daemon.end()?;
        queue.used_up().await?;
        Ok(Figures { events_per_s: counted.per_s(), p99_ms: sink.latency().await?.p99_ms, peak_mib })
    })
    .await
}

fn plan(options: &Options, case: &Case, sink: &Sink) -> Plan {
    let url = format!("{}/p", sink.base());
    let mut connectors = connector("network", "Purchase", &url, options.concurrency);
    for other in 1..case.connectors {
        connectors += &connector(&format!("other-{other}"), &format!("Other{other}"), &url, options.concurrency);
    }
    let click_params = fill::params().filter(|param| param != CLICK_PARAM).collect();
    Plan { connectors, click_params, ..Plan::default() }
}
