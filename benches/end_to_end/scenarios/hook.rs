//! Page views over HTTP, one a request: against the same from a queue, and beside thousands of connections that say half of
//! what they have to say.
//!
//! Refuses: a rate of requests that were not all answered 200, each after its event was durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::views::admit;
use crate::ask::{PATIENCE, PAUSE};
use crate::consumer::usual_plan;
use crate::daemon::Daemon;
use crate::figures::Table;
use crate::messages::view;
use crate::options::Options;
use crate::queue::{Queue, with_queue};
use crate::sink::{self, Sink};

/// So many that a p99 of some milliseconds is that of a thousand answers, spread over seconds.
const EVENTS: usize = 100_000;

/// Requests that open the connections and fill the caches, and are in no figure.
const WARM_UP: usize = 1_000;

/// Connections that send half a head, or a head and half a body, and again when they have been closed.
const STALLED: usize = 5_000;

/// As many as are opened at a time: the kernel holds no more that wait to be accepted.
const OPENED_AT_ONCE: usize = 250;

/// How the events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Queue,
    Hook,
    BesideStalled,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Self::Queue => "from the queue",
            Self::Hook => "POST /collect/hook",
            Self::BesideStalled => "the same beside 5,000 stalled connections",
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Figures {
    events_per_s: f64,
    /// Of the answers, in milliseconds; of a queue there are none.
    p50_ms: f64,
    p99_ms: f64,
}

pub async fn run(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    let ways = [Way::Queue, Way::Hook, Way::BesideStalled];
    let rounds = table
        .in_turn(options.rounds, &ways, async |round, way| {
            let figures = one(options, way, round).await?;
            let Figures { events_per_s, p50_ms, p99_ms } = figures;
            println!(
                "round {} {:42} {events_per_s:8.0} events/s  p50 {p50_ms:6.2}  p99 {p99_ms:6.2} ms",
                round + 1,
                way.name()
            );
            Ok(figures)
        })
        .await;
    for way in ways {
        table.row(format!("{}: events/s", way.name()), 0, rounds.of(way, |f| f.events_per_s), None);
        table.row(format!("{}: p50, ms", way.name()), 2, rounds.of(way, |f| f.p50_ms), None);
        table.row(format!("{}: p99, ms", way.name()), 2, rounds.of(way, |f| f.p99_ms), None);
    }
    let to_queue = rounds.pairs((Way::Hook, Way::Queue), |a, b| a.events_per_s / b.events_per_s);
    table.row("events/s, over HTTP : from the queue", 3, to_queue, None);
    let beside = (Way::BesideStalled, Way::Hook);
    table.row(
        "events/s, beside stalled : without",
        3,
        rounds.pairs(beside, |a, b| a.events_per_s / b.events_per_s),
        None,
    );
    table.row("p99, beside stalled : without", 2, rounds.pairs(beside, |a, b| a.p99_ms / b.p99_ms), None);
    Ok(())
}

async fn one(options: &Options, way: Way, round: usize) -> anyhow::Result<Figures> {
    let events = options.events_or(EVENTS);
    with_queue(&options.amqp(), options.first_queue(), async |queue: &Queue| {
        let run = round.to_string();
        if way == Way::Queue {
            queue.fill((0..events).map(|n| view(n, &run))).await?;
        }
        let sink = Sink::start(&sink::Settings::default())?;
        let daemon = Daemon::start(options, queue, &usual_plan(options, &sink))?;
        if way == Way::Queue {
            let (events_per_s, _) = admit(daemon, events).await?;
            return Ok(Figures { events_per_s, p50_ms: f64::NAN, p99_ms: f64::NAN });
        }
        daemon.ready().await?;
        let stalled = if way == Way::BesideStalled { Some(Stalled::open(&daemon.ingest).await?) } else { None };
        post(options, &daemon, WARM_UP, &format!("w{run}")).await?;
        let figures = post(options, &daemon, events, &run).await?;
        drop(stalled);
        daemon.counts("postbackd_events_total", "hook", WARM_UP + events).await?;
        daemon.end()?;
        Ok(figures)
    })
    .await
}

/// Sends so many events over as many kept connections as there is concurrency, each one answered before the next.
async fn post(options: &Options, daemon: &Daemon, events: usize, run: &str) -> anyhow::Result<Figures> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders = JoinSet::new();
    let began = Instant::now();
    for _ in 0..options.concurrency {
        let (next, address, run) = (next.clone(), daemon.ingest.clone(), run.to_owned());
        senders.spawn(async move {
            let mut connection = TcpStream::connect(address).await?;
            connection.set_nodelay(true)?;
            let mut took = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if events <= n {
                    return anyhow::Ok(took);
                }
                let request = request(&view(n, &run));
                let sent = Instant::now();
                connection.write_all(request.as_bytes()).await?;
                answered(&mut connection).await?;
                took.push(sent.elapsed().as_secs_f64() * 1000.0);
            }
        });
    }
    let mut took: Vec<f64> = Vec::with_capacity(events);
    while let Some(sender) = tokio::time::timeout(2 * PATIENCE, senders.join_next()).await.context("no answer")? {
        took.extend(sender??);
    }
    let span = began.elapsed().as_secs_f64();
    took.sort_by(f64::total_cmp);
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize];
    Ok(Figures { events_per_s: events as f64 / span, p50_ms: at(0.5), p99_ms: at(0.99) })
}

fn request(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /collect/hook HTTP/1.1\r\nHost: postbackd.example\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// Reads one answer, which must be 200. The listener's are small, and are sent at once.
async fn answered(connection: &mut TcpStream) -> anyhow::Result<()> {
    let mut answer = Vec::with_capacity(512);
    loop {
        anyhow::ensure!(connection.read_buf(&mut answer).await? != 0, "the connection was closed");
        let text = std::str::from_utf8(&answer)?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        if length.is_some_and(|length: usize| length <= body.len()) {
            anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "it says {text}");
            return Ok(());
        }
    }
}

/// [`STALLED`] connections, open for as long as it lives. On a thread of their own: what they cost the sender's thread would
/// count as the listener's.
struct Stalled {
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Stalled {
    async fn open(address: &str) -> anyhow::Result<Self> {
        let open = Arc::new(AtomicUsize::new(0));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (held, address) = (open.clone(), address.to_owned());
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let connections = hold(&address, &held).await;
                let _ = stopped.await;
                drop(connections);
            });
        });
        let stalled = Self { stop: Some(stop), thread: Some(thread) };
        let end = Instant::now() + PATIENCE;
        while open.load(Ordering::Relaxed) < STALLED * 9 / 10 {
            let is_open = open.load(Ordering::Relaxed);
            anyhow::ensure!(Instant::now() < end, "only {is_open} connections are open: `ulimit -n`?");
            tokio::time::sleep(PAUSE).await;
        }
        Ok(stalled)
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Opens them, and opens again what the listener closes.
async fn hold(address: &str, open: &Arc<AtomicUsize>) -> JoinSet<()> {
    let mut stalled = JoinSet::new();
    let whole = request(&"x".repeat(1000));
    for n in 0..STALLED {
        let half = if n % 2 == 0 { "POST /collect/hook HTTP/1.1\r\nHost: postb" } else { &whole[..whole.len() - 500] };
        let (half, address, opened) = (half.to_owned(), address.to_owned(), open.clone());
        stalled.spawn(async move {
            loop {
                let Ok(mut connection) = TcpStream::connect(&address).await else {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                if connection.write_all(half.as_bytes()).await.is_ok() {
                    opened.fetch_add(1, Ordering::Relaxed);
                    // Until the listener has had enough of it.
                    let _ = connection.read_to_end(&mut Vec::new()).await;
                    opened.fetch_sub(1, Ordering::Relaxed);
                }
            }
        });
        while open.load(Ordering::Relaxed) + OPENED_AT_ONCE < n {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    stalled
}
