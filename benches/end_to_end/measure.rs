//! One run after the other: a full queue, a fresh sink, one consumer, until every id has come.
//!
//! Refuses: a figure for a run that lost an event.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::load::Queue;
use crate::process::{self, Process};
use crate::sink::{COUNT_PATH, Counted};
use crate::{Options, bare, report};

/// How long nothing at all may happen before a run is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks: rarely enough to cost nothing.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumer {
    Bare,
    Daemon,
}

/// The figures of one run.
#[derive(Clone, Debug)]
pub struct Figures {
    pub events_per_s: f64,
    /// User and system seconds per 10,000 events.
    pub cpu: f64,
    /// `None` where the broker runs on another machine.
    pub broker_cpu: Option<f64>,
    pub sink_cpu: f64,
    pub peak_mib: f64,
    /// Requests beyond one per event.
    pub repeats: u64,
}

/// Measures everything that the options ask for and prints it.
pub fn all(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!(
        "{} events of {} bytes, {} rounds, prefetch {}, concurrency {}; {} cores; store in {}",
        options.events,
        crate::load::purchase(0, "0").len(),
        options.rounds,
        options.prefetch,
        options.concurrency,
        std::thread::available_parallelism().map_or(0, usize::from),
        options.store.display(),
    );
    for queue_type in &options.queue_types {
        let mut rounds = Vec::new();
        for round in 0..options.rounds {
            // Which of the two goes first changes too, so that neither always finds the warmer machine.
            let mut order = options.consumers.clone();
            order.rotate_left(round % options.consumers.len());
            let mut pair = [None, None];
            for consumer in order {
                let figures = runtime.block_on(one(options, queue_type, consumer, round))?;
                println!("{}", report::line(queue_type, round, consumer, &figures));
                pair[usize::from(consumer == Consumer::Daemon)] = Some(figures);
            }
            if let [Some(bare), Some(daemon)] = pair {
                rounds.push((bare, daemon));
            }
        }
        if !rounds.is_empty() {
            println!("{}", report::summary(queue_type, &rounds));
        }
    }
    Ok(())
}

async fn one(options: &Options, queue_type: &str, consumer: Consumer, round: usize) -> anyhow::Result<Figures> {
    let queue = Queue::declare(&options.amqp, queue_type).await?;
    queue.fill(options.events, &round.to_string()).await?;
    let measured = watch(options, &queue, consumer).await;
    let left = queue.depth().await;
    queue.delete().await?;
    let figures = measured?;
    anyhow::ensure!(left? == 0, "messages were left in the queue");
    Ok(figures)
}

async fn watch(options: &Options, queue: &Queue, consumer: Consumer) -> anyhow::Result<Figures> {
    let mut sink = Process::own(&["sink".into()])?;
    let address = sink.line()?;
    let broker_before = process::broker_cpu_s()?;
    let running = match consumer {
        Consumer::Bare => Running::bare(options, queue, &address)?,
        Consumer::Daemon => Running::daemon(options, queue, &address)?,
    };
    let counted = all_came(&address, options.events as u64, &running).await?;
    let (cpu_s, peak_mib) = running.finish().await?;
    let broker_after = process::broker_cpu_s()?;
    let sink_cpu_s = process::cpu_s(sink.pid())?;
    let after: Counted = ask(&address).await?;
    anyhow::ensure!(after.nameless == 0, "{} requests without an id", after.nameless);
    anyhow::ensure!(after.ids == options.events as u64, "{} ids of {} events", after.ids, options.events);
    let per_10k = 10_000.0 / options.events as f64;
    Ok(Figures {
        events_per_s: counted.ids as f64 / counted.span_s,
        cpu: cpu_s * per_10k,
        broker_cpu: broker_after.zip(broker_before).map(|(after, before)| (after - before) * per_10k),
        sink_cpu: sink_cpu_s * per_10k,
        peak_mib,
        repeats: after.requests - after.ids,
    })
}

async fn all_came(sink: &str, events: u64, running: &Running) -> anyhow::Result<Counted> {
    let (mut moved, mut ids) = (Instant::now(), 0);
    loop {
        let counted = ask(sink).await?;
        if events <= counted.ids {
            return Ok(counted);
        }
        if ids < counted.ids {
            (moved, ids) = (Instant::now(), counted.ids);
        }
        anyhow::ensure!(moved.elapsed() < PATIENCE, "only {ids} of {events} ids came\n{}", running.log());
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(sink: &str) -> anyhow::Result<Counted> {
    Ok(serde_json::from_str(&get(&format!("http://{sink}{COUNT_PATH}")).await?)?)
}

async fn get(url: &str) -> anyhow::Result<String> {
    use http_body_util::BodyExt as _;
    let http = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build_http::<http_body_util::Empty<bytes::Bytes>>();
    let body = http.get(url.parse()?).await?.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(body.to_vec())?)
}

/// A consumer at work.
enum Running {
    Bare(Process),
    Daemon { process: Process, folder: std::path::PathBuf, admin: String },
}

impl Running {
    fn bare(options: &Options, queue: &Queue, sink: &str) -> anyhow::Result<Self> {
        let numbers = [options.events, usize::from(options.prefetch), options.concurrency].map(|n| n.to_string());
        let mut args: Vec<String> = ["bare", &options.amqp, &queue.name, sink].map(str::to_owned).into();
        args.extend(numbers);
        Ok(Self::Bare(Process::own(&args)?))
    }

    fn daemon(options: &Options, queue: &Queue, sink: &str) -> anyhow::Result<Self> {
        let folder = options.store.join(format!("postbackd-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let admin = format!("127.0.0.1:{}", free_port()?);
        std::fs::write(folder.join("postbackd.yaml"), configuration(options, queue, &admin)?)?;
        std::fs::write(folder.join("network.yaml"), connector(options, sink))?;
        let log = std::fs::File::create(folder.join("log.txt"))?;
        let mut command = Command::new(&options.binary);
        command.arg("run").current_dir(&folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Self::Daemon { process: Process::start(&mut command)?, folder, admin })
    }

    fn log(&self) -> String {
        match self {
            Self::Bare(_) => String::new(),
            Self::Daemon { folder, .. } => std::fs::read_to_string(folder.join("log.txt")).unwrap_or_default(),
        }
    }

    /// Waits until its work is on record, reads its books and ends it: CPU in seconds, memory in MiB.
    async fn finish(self) -> anyhow::Result<(f64, f64)> {
        match self {
            Self::Bare(mut process) => {
                anyhow::ensure!(process.line()? == bare::DONE, "the bare loop did not say that it is done");
                Ok((process::cpu_s(process.pid())?, process::peak_mib(process.pid())?))
            }
            Self::Daemon { process, folder, admin } => {
                recorded(&admin).await?;
                let books = (process::cpu_s(process.pid())?, process::peak_mib(process.pid())?);
                process.terminate()?;
                std::fs::remove_dir_all(&folder)?;
                Ok(books)
            }
        }
    }
}

/// Waits until no delivery is pending: the last outcomes are written a moment after the sink has seen them.
async fn recorded(admin: &str) -> anyhow::Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let metrics = get(&format!("http://{admin}/metrics")).await?;
        let pending =
            metrics.lines().find_map(|l| l.strip_prefix("postbackd_deliveries_pending{connector=\"network\"} "));
        if pending.is_some_and(|p| p.parse() == Ok(0.0)) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < end, "deliveries stay pending: {pending:?}");
        tokio::time::sleep(PAUSE).await;
    }
}

fn free_port() -> anyhow::Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?.port())
}

fn configuration(options: &Options, queue: &Queue, admin: &str) -> anyhow::Result<String> {
    let ingest = format!("127.0.0.1:{}", free_port()?);
    let config = serde_json::json!({
        "connectors": "network.yaml",
        "containers": [{"key": "bench-key", "name": "bench", "country": "DE"}],
        "source": {"amqp": {
            "url": options.amqp, "queue": queue.name, "rejected": queue.rejected, "declare": false, "prefetch": options.prefetch,
        }},
        "store": {"path": Path::new("data")},
        "ingest": {"listen": ingest},
        "admin": {"listen": admin},
        "egress": {"allow": ["127.0.0.0/8"]},
        "log": {"format": "json", "level": "info"},
    });
    Ok(config.to_string())
}

/// Six parameters, and a click that every event brings along.
fn connector(options: &Options, sink: &str) -> String {
    format!(
        "name: network
mode: enabled
triggers: [Purchase]
click_matching: {{param: aff_click_id, model: last_click, window: 30d}}
postback:
  method: GET
  url: http://{sink}/p
  params:
    transaction_id: <<TRANSACTION_ID>>
    click_id: <<CLICK_ID>>
    value: <<VALUE>>
    currency: <<CURRENCY>>
    event: <<EVENT_NAME>>
    ts: <<EVENT.ts>>
  limits: {{concurrency: {}}}
",
        options.concurrency
    )
}
