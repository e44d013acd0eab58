//! Who consumes, and how each is started, watched and ended.
//!
//! Refuses: favours. All get the same queue, sink, prefetch (the bare loops and the daemon) and concurrency; what a peer
//! takes ahead is its own affair.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::ValueEnum;

use crate::ask::PATIENCE;
use crate::daemon::{Daemon, Plan, trust};
use crate::folder::Folder;
use crate::options::Options;
use crate::process::{Books, Process};
use crate::queue::Queue;
use crate::sink::Sink;
use crate::{bare, daemon};

/// Peers acknowledge a moment after the sink has answered, and tell nobody.
const LAST_ACKS: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Consumer {
    /// The bare loop with hyper-util's pool
    Hyper,
    /// The bare loop with reqwest
    Reqwest,
    /// The same with two rows of SQLite for each event
    Durable,
    /// postbackd
    Daemon,
    /// benches/peers/worker.mjs
    Node,
    /// benches/peers/worker.py
    Python,
}

impl Consumer {
    pub fn name(self) -> &'static str {
        match self {
            Self::Hyper => "bare, hyper",
            Self::Reqwest => "bare, reqwest",
            Self::Durable => "bare, durable",
            Self::Daemon => "postbackd",
            Self::Node => "Node, amqplib + undici",
            Self::Python => "Python, aio-pika + httpx",
        }
    }

    /// Whether it can run on this machine.
    pub fn is_there(self, options: &Options) -> bool {
        let of_peers = |file: &str| options.peers.as_ref().is_some_and(|folder| folder.join(file).exists());
        match self {
            Self::Hyper | Self::Reqwest | Self::Durable | Self::Daemon => true,
            Self::Node => of_peers("worker.mjs") && of_peers("node_modules"),
            Self::Python => of_peers("worker.py") && of_peers("venv"),
        }
    }
}

/// What is to be consumed and where it goes.
pub struct Job<'a> {
    pub queue: &'a Queue,
    pub sink: &'a Sink,
    /// How many events the bare loop takes; the others are ended.
    pub events: usize,
    pub plan: &'a Plan,
    /// Whether a peer sends the ids that end in 0 to a network that hangs. For the others the messages say so.
    pub mixed: bool,
}

/// A consumer at work.
pub enum Running {
    Bare(Process, Folder),
    Daemon(Daemon),
    Peer(Process, Folder),
}

impl Running {
    pub fn start(options: &Options, consumer: Consumer, job: &Job<'_>) -> anyhow::Result<Self> {
        match consumer {
            Consumer::Hyper => Self::bare(options, bare::Work::Hyper, job),
            Consumer::Reqwest => Self::bare(options, bare::Work::Reqwest, job),
            Consumer::Durable => Self::bare(options, bare::Work::Durable, job),
            Consumer::Daemon => Ok(Self::Daemon(Daemon::start(options, job.queue, job.plan)?)),
            Consumer::Node => Self::peer(options, Path::new("node"), "worker.mjs", job),
            Consumer::Python => Self::peer(options, Path::new("venv/bin/python"), "worker.py", job),
        }
    }

    pub fn bare(options: &Options, work: bare::Work, job: &Job<'_>) -> anyhow::Result<Self> {
        let folder = Folder::new(&options.store())?;
        let settings = bare::Settings {
            amqp: options.amqp(),
            queue: job.queue.name.clone(),
            base: job.sink.base(),
            events: job.events as u64,
            prefetch: options.prefetch,
            concurrency: options.concurrency,
            work,
            folder: folder.path().to_owned(),
        };
        let process = Process::own(bare::MODE, &settings, |command| match job.sink.ca_file() {
            Some(ca) => trust(command, ca),
            None => command,
        })?;
        anyhow::ensure!(process.line(PATIENCE)? == bare::READY, "the bare loop did not say that it is ready");
        Ok(Self::Bare(process, folder))
    }

    fn peer(options: &Options, program: &Path, script: &str, job: &Job<'_>) -> anyhow::Result<Self> {
        let home = options.peers.as_deref().unwrap_or(Path::new("."));
        let program = if program.components().count() == 1 { program.to_owned() } else { home.join(program) };
        let folder = Folder::new(&options.store())?;
        let log = std::fs::File::create(folder.path().join("log.txt"))?;
        let mut command = Command::new(program);
        command.arg(home.join(script)).args([&options.amqp(), &job.queue.name]);
        command.arg(format!("127.0.0.1:{}", job.sink.port)).arg(options.concurrency.to_string());
        command.args(job.mixed.then_some("mixed")).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(Self::Peer(Process::start(&mut command)?, folder))
    }

    /// What it said, for the report of a failure.
    pub fn log(&self) -> String {
        match self {
            Self::Bare(..) => String::new(),
            Self::Daemon(daemon) => daemon.log(),
            Self::Peer(_, folder) => std::fs::read_to_string(folder.path().join("log.txt")).unwrap_or_default(),
        }
    }

    /// Waits until all it was to do is done and on record, reads its books, and ends it.
    pub async fn finish(self, events: usize) -> anyhow::Result<Books> {
        match self {
            Self::Bare(process, _folder) => {
                anyhow::ensure!(process.line(PATIENCE)?.starts_with(bare::DONE), "the bare loop did not end well");
                Books::of(process.pid())
            }
            Self::Daemon(daemon) => {
                daemon.delivered(events).await?;
                let books = daemon.books()?;
                daemon.end()?;
                Ok(books)
            }
            Self::Peer(process, _folder) => {
                tokio::time::sleep(LAST_ACKS).await;
                let books = Books::of(process.pid())?;
                process.terminate()?;
                Ok(books)
            }
        }
    }
}

/// The plan of a consumer that has none of its own.
pub fn usual_plan(options: &Options, sink: &Sink) -> Plan {
    let plan = daemon::Plan::one_network(options, &sink.base());
    Plan { ca_file: sink.ca_file().map(Path::to_owned), ..plan }
}
