//! How fast the daemon is, as a ratio: against the bare loop that any consumer must run, on the same broker, messages and sink.
//!
//! Refuses: absolute promises. Broker, consumer and sink share one machine, so only figures of one run may be compared; the
//! two are therefore measured in turn, and the ratio is taken round by round. `benches/README.md` says how to run it.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark's product is what it prints")]

mod bare;
mod load;
mod measure;
mod process;
mod report;
mod sink;

use std::path::PathBuf;

use measure::Consumer;

/// What is measured against what.
#[derive(Clone, Debug)]
pub struct Options {
    pub events: usize,
    pub rounds: usize,
    pub queue_types: Vec<&'static str>,
    /// In turn; with one of them there is no ratio.
    pub consumers: Vec<Consumer>,
    /// Requests in flight of either consumer.
    pub concurrency: usize,
    pub prefetch: u16,
    pub amqp: String,
    pub binary: PathBuf,
    /// Where the daemon's store is made, a folder per run.
    pub store: PathBuf,
}

const USAGE: &str = "cargo bench --bench end_to_end -- [--events 20000] [--rounds 3] [--queue classic|quorum|both]
    [--only bare|daemon] [--concurrency 64] [--binary target/release/postbackd] [--store FOLDER]; AMQP_URL names the broker";

fn main() -> anyhow::Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    // Cargo's own flag.
    args.retain(|a| a != "--bench");
    match args.first().map(String::as_str) {
        Some("sink") => sink::serve(&args[1..]),
        Some("bare") => bare::run(&args[1..]),
        _ => measure::all(&options(&args)?),
    }
}

fn options(args: &[String]) -> anyhow::Result<Options> {
    let mut options = Options {
        events: 20_000,
        rounds: 3,
        queue_types: vec!["classic"],
        consumers: vec![Consumer::Bare, Consumer::Daemon],
        concurrency: 64,
        prefetch: 1000,
        amqp: std::env::var("AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2f".into()),
        binary: env!("CARGO_BIN_EXE_postbackd").into(),
        store: std::env::temp_dir(),
    };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| anyhow::anyhow!("{flag} needs a value\n{USAGE}"))?;
        match flag.as_str() {
            "--events" => options.events = value.parse()?,
            "--rounds" => options.rounds = value.parse()?,
            "--concurrency" => options.concurrency = value.parse()?,
            "--binary" => options.binary = std::path::absolute(value)?,
            "--store" => options.store = std::path::absolute(value)?,
            "--queue" => {
                options.queue_types = match value.as_str() {
                    "classic" => vec!["classic"],
                    "quorum" => vec!["quorum"],
                    "both" => vec!["classic", "quorum"],
                    other => anyhow::bail!("--queue {other}: classic, quorum or both\n{USAGE}"),
                }
            }
            "--only" => {
                options.consumers = match value.as_str() {
                    "bare" => vec![Consumer::Bare],
                    "daemon" => vec![Consumer::Daemon],
                    other => anyhow::bail!("--only {other}: bare or daemon\n{USAGE}"),
                }
            }
            _ => anyhow::bail!("unknown option {flag}\n{USAGE}"),
        }
    }
    anyhow::ensure!(0 < options.events && 0 < options.rounds && 0 < options.concurrency, "nothing to do\n{USAGE}");
    Ok(options)
}
