//! The networks of the benchmark, one process: started, asked what came, and killed.
//!
//! Refuses: knowing who sends.

mod count;
mod serve;
mod tls;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

pub use self::count::{Counted, Latency};
pub use self::serve::serve;
use crate::ask::{self, PATIENCE, PAUSE};
use crate::folder::Folder;
use crate::options::Options;
use crate::process::Process;

/// The word that makes this program a sink.
pub const MODE: &str = "sink";

/// How the networks behave. What comes to `/hang/…` is never answered.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Settings {
    /// So many hosts, 127.0.1.1 and up, on one port; 0: 127.0.0.1 alone.
    pub hosts: u8,
    pub delay_ms: u64,
    /// Keeps how long each request took since its `ts`, but for so many that come first.
    pub latency_after: Option<usize>,
    /// Speaks HTTPS, and writes the certificate of its authority here.
    pub ca_file: Option<PathBuf>,
}

/// A running sink.
pub struct Sink {
    process: Process,
    control: String,
    /// Of 127.0.0.1, or of every host.
    pub port: u16,
    ca: Option<(PathBuf, Folder)>,
}

impl Sink {
    pub fn start(settings: &Settings) -> anyhow::Result<Self> {
        let process = Process::own(MODE, settings, |command| command)?;
        let said = process.line(PATIENCE)?;
        let (control, port) = said.split_once(' ').context("the sink did not name its addresses")?;
        Ok(Self { control: control.to_owned(), port: port.parse()?, process, ca: None })
    }

    /// One that speaks HTTPS under an authority made for it.
    pub fn start_https(options: &Options) -> anyhow::Result<Self> {
        let folder = Folder::new(&options.store())?;
        let ca_file = folder.path().join("ca.pem");
        let sink = Self::start(&Settings { ca_file: Some(ca_file.clone()), ..Settings::default() })?;
        Ok(Self { ca: Some((ca_file, folder)), ..sink })
    }

    /// Where it is found: scheme, host and port.
    pub fn base(&self) -> String {
        format!("http{}://127.0.0.1:{}", if self.ca.is_some() { "s" } else { "" }, self.port)
    }

    /// The authority that its senders have to trust.
    pub fn ca_file(&self) -> Option<&std::path::Path> {
        self.ca.as_ref().map(|(file, _)| file.as_path())
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub async fn counted(&self) -> anyhow::Result<Counted> {
        Ok(serde_json::from_str(&ask::get(&format!("http://{}/counted", self.control)).await?)?)
    }

    pub async fn latency(&self) -> anyhow::Result<Latency> {
        Ok(serde_json::from_str(&ask::get(&format!("http://{}/latency", self.control)).await?)?)
    }

    /// Waits until `ids` have come; an error with the sender's `log` when nothing comes any more.
    pub async fn all_came(&self, ids: usize, log: impl Fn() -> String) -> anyhow::Result<Counted> {
        let (mut moved, mut seen) = (Instant::now(), 0);
        loop {
            let counted = self.counted().await?;
            if ids <= counted.ids {
                return Ok(counted);
            }
            if seen < counted.ids {
                (moved, seen) = (Instant::now(), counted.ids);
            }
            anyhow::ensure!(moved.elapsed() < PATIENCE, "only {seen} of {ids} ids came\n{}", log());
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until `ids` have come or the time is up, whichever is first, from the first request on.
    pub async fn came_within(&self, ids: usize, time: Duration, log: impl Fn() -> String) -> anyhow::Result<Counted> {
        self.all_came(1, log).await?;
        let end = Instant::now() + time;
        loop {
            let counted = self.counted().await?;
            if ids <= counted.ids || end <= Instant::now() {
                return Ok(counted);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
