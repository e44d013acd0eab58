//! What is asked for on the command line.
//!
//! Refuses: options that would make a figure mean something else: what a scenario compares is fixed in its file.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::consumer::Consumer;
use crate::scenarios::Scenario;

/// Measures postbackd. AMQP_URL names the broker, by default the one on 127.0.0.1:5672.
#[derive(clap::Parser, Clone, Debug)]
#[command(name = "end_to_end")]
pub struct Options {
    /// Only these scenarios
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Scenario>,
    /// Only these consumers, where a scenario has a choice; ratios need both of their sides
    #[arg(long, value_enum, value_delimiter = ',')]
    pub consumers: Vec<Consumer>,
    /// Alternating rounds; growth takes fewer
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Messages of a full queue [default: each scenario's own]
    #[arg(long)]
    events: Option<usize>,
    /// Kinds of queue that `throughput` is measured on; the others take the first
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["classic", "quorum"])]
    pub queue: Vec<QueueType>,
    /// Requests in flight of each consumer
    #[arg(long, default_value_t = 64)]
    pub concurrency: usize,
    #[arg(long, default_value_t = 1000)]
    pub prefetch: u16,
    /// A folder with worker.mjs, node_modules, worker.py and venv; `benches/run` makes it
    #[arg(long)]
    pub peers: Option<PathBuf>,
    /// Another postbackd, to compare two builds
    #[arg(long, default_value = env!("CARGO_BIN_EXE_postbackd"))]
    pub binary: PathBuf,
    /// Where stores are made: its disk is part of the figures [default: the system's temporary folder]
    #[arg(long)]
    store: Option<PathBuf>,
    /// Only rows of `growth` with this in their name
    #[arg(long, default_value = "")]
    pub row: String,
    /// A thousandth of the stores that `growth` fills, to try it
    #[arg(long)]
    pub small: bool,
    /// Cargo's own.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QueueType {
    Classic,
    Quorum,
}

impl QueueType {
    pub fn word(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
        }
    }
}

impl Options {
    /// Finds what could only fail later.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(0 < self.rounds && 0 < self.concurrency && 0 < self.prefetch, "nothing to do");
        anyhow::ensure!(self.events.is_none_or(|events| 0 < events), "nothing to do");
        anyhow::ensure!(self.binary.is_file(), "there is no {}", self.binary.display());
        if let Some(peers) = &self.peers {
            anyhow::ensure!(peers.is_dir(), "--peers: there is no folder {}", peers.display());
        }
        Ok(())
    }

    pub fn scenarios(&self) -> Vec<Scenario> {
        if self.only.is_empty() { Scenario::value_variants().to_vec() } else { self.only.clone() }
    }

    /// Those of `all` that are wanted and are there.
    pub fn of(&self, all: &[Consumer]) -> Vec<Consumer> {
        let wanted = |consumer: &Consumer| self.consumers.is_empty() || self.consumers.contains(consumer);
        all.iter().copied().filter(wanted).filter(|consumer| consumer.is_there(self)).collect()
    }

    pub fn events_or(&self, default: usize) -> usize {
        self.events.unwrap_or(default)
    }

    /// The kind of queue of the scenarios that take one.
    pub fn first_queue(&self) -> QueueType {
        self.queue.first().copied().unwrap_or(QueueType::Classic)
    }

    pub fn amqp(&self) -> String {
        std::env::var("AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2f".into())
    }

    pub fn store(&self) -> PathBuf {
        self.store.clone().unwrap_or_else(std::env::temp_dir)
    }

    /// The setting, in one line.
    pub fn told(&self) -> String {
        format!(
            "{} rounds, prefetch {}, concurrency {}; {} cores; stores in {}",
            self.rounds,
            self.prefetch,
            self.concurrency,
            std::thread::available_parallelism().map_or(0, usize::from),
            self.store().display(),
        )
    }
}
