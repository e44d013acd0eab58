//! A network that never answers beside one that does: every tenth event goes to it, and the others should not notice.
//!
//! Refuses: waiting for a peer that has come to a stand. It has its time, and what came by then is the figure.

use std::time::Duration;

use crate::consumer::Consumer::{self, Node, Python};
use crate::consumer::{Job, Running};
use crate::daemon::{Daemon, Plan, connector};
use crate::figures::Table;
use crate::messages::Purchase;
use crate::options::Options;
use crate::queue::{Queue, with_queue};
use crate::run::SETTLING;
use crate::sink::{self, Sink};
use crate::targets;

const EVENTS: usize = 15_000;

/// Peers come to a stand within some hundreds. When nothing hangs, each takes half of its time or less for so many. Their
/// time-outs, of 10 s, would let a few more through later on, and then they stand again.
const EVENTS_NODE: usize = 6_000;
const EVENTS_PYTHON: usize = 1_500;
const PEERS_TIME: Duration = Duration::from_secs(6);

/// Of the events, one in so many goes to the network that hangs: those whose number, and transaction id, ends in 0.
const HANGS_EVERY: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Party {
    /// postbackd with the good events only.
    Alone,
    /// postbackd with all.
    Beside,
    Peer(Consumer),
}

impl Party {
    fn name(self) -> &'static str {
        match self {
            Self::Alone => "postbackd alone",
            Self::Beside => "postbackd beside it",
            Self::Peer(peer) => peer.name(),
        }
    }
}

/// Of the events that do not hang.
struct Figures {
    came: usize,
    events_per_s: f64,
}

pub async fn run(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    let mut parties = Vec::new();
    if !options.of(&[Consumer::Daemon]).is_empty() {
        parties.extend([Party::Alone, Party::Beside]);
    }
    parties.extend(options.of(&[Node, Python]).into_iter().map(Party::Peer));
    let rounds = table
        .in_turn(options.rounds, &parties, async |round, party| {
            let figures = one(options, party, round).await?;
            println!(
                "round {} {:24} {:6} good events came, {:.0}/s",
                round + 1,
                party.name(),
                figures.came,
                figures.events_per_s
            );
            Ok(figures)
        })
        .await;
    let rate = |f: &Figures| f.events_per_s;
    table.row("postbackd alone: good events/s", 0, rounds.of(Party::Alone, rate), None);
    table.row("postbackd beside a network that hangs: good events/s", 0, rounds.of(Party::Beside, rate), None);
    let ratio = rounds.pairs((Party::Beside, Party::Alone), |a, b| a.events_per_s / b.events_per_s);
    table.row("good events/s, beside : alone", 3, ratio, Some(targets::ISOLATION));
    for peer in [Node, Python] {
        let good = good(events(options, Party::Peer(peer)));
        let figure = format!("{}: of {good} good events came in {} s", peer.name(), PEERS_TIME.as_secs());
        table.row(figure, 0, rounds.of(Party::Peer(peer), |f| f.came as f64), None);
    }
    Ok(())
}

fn events(options: &Options, party: Party) -> usize {
    match party {
        Party::Alone | Party::Beside => options.events_or(EVENTS),
        Party::Peer(Python) => EVENTS_PYTHON,
        Party::Peer(_) => EVENTS_NODE,
    }
}

fn good(events: usize) -> usize {
    events - events.div_ceil(HANGS_EVERY)
}

async fn one(options: &Options, party: Party, round: usize) -> anyhow::Result<Figures> {
    let events = events(options, party);
    with_queue(&options.amqp(), options.first_queue(), async |queue: &Queue| {
        let run = round.to_string();
        let hangs = |n: &usize| n.is_multiple_of(HANGS_EVERY);
        let event = |n: &usize| if hangs(n) { "PurchaseHang" } else { "Purchase" };
        let message = |n: usize| Purchase { event: event(&n), ..Purchase::new(n, &run) }.json();
        let wanted = (0..events).filter(|n| party != Party::Alone || !hangs(n));
        queue.fill(wanted.map(message)).await?;
        tokio::time::sleep(SETTLING).await;
        let sink = Sink::start(&sink::Settings::default())?;
        let plan = plan(options, &sink);
        match party {
            Party::Alone => dispatch(options, queue, &sink, &plan, (good(events), 0)).await,
            Party::Beside => dispatch(options, queue, &sink, &plan, (good(events), events - good(events))).await,
            Party::Peer(peer) => {
                let job = Job { queue, sink: &sink, events, plan: &plan, mixed: true };
                let running = Running::start(options, peer, &job)?;
                let counted = sink.came_within(good(events), PEERS_TIME, || running.log()).await?;
                Ok(Figures { came: counted.ids, events_per_s: counted.per_s() })
            }
        }
    })
    .await
}

/// Nothing is lost: all good ones came and are on record, and so is every one that hangs, as pending.
async fn dispatch(
    options: &Options,
    queue: &Queue,
    sink: &Sink,
    plan: &Plan,
    (good, hanging): (usize, usize),
) -> anyhow::Result<Figures> {
    let daemon = Daemon::start(options, queue, plan)?;
    let counted = sink.all_came(good, || daemon.log()).await?;
    daemon.delivered(good).await?;
    daemon.counts("postbackd_deliveries_pending", r#"connector="hanging""#, hanging).await?;
    daemon.end()?;
    queue.used_up().await?;
    Ok(Figures { came: counted.ids, events_per_s: counted.per_s() })
}

fn plan(options: &Options, sink: &Sink) -> Plan {
    let base = sink.base();
    let good = connector("network", "Purchase", &format!("{base}/p"), options.concurrency);
    let hanging = connector("hanging", "PurchaseHang", &format!("{base}/hang/p"), options.concurrency);
    Plan { connectors: good + &hanging, ..Plan::default() }
}
