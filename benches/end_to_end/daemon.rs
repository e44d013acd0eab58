//! The daemon under test: its configuration, its start, its metrics, its end.
//!
//! Refuses: any setting that a shop would not use: everything is on, the store is on disk, and every outcome is logged.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::ask::{self, PATIENCE, PAUSE};
use crate::folder::{Folder, free_address};
use crate::messages::CONTAINER;
use crate::options::Options;
use crate::process::{Books, Process};
use crate::queue::Queue;

/// The click parameter of the connectors.
pub const CLICK_PARAM: &str = "aff_click_id";

/// What a run wants of its daemon.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// YAML, as [`connector`] writes it.
    pub connectors: String,
    pub click_params: Vec<String>,
    /// A store that exists already; else one is made.
    pub data: Option<PathBuf>,
    /// An authority to trust.
    pub ca_file: Option<PathBuf>,
}

impl Plan {
    /// The usual one: one network, which wants every purchase.
    pub fn one_network(options: &Options, base: &str) -> Self {
        let url = format!("{base}/p");
        Self { connectors: connector("network", "Purchase", &url, options.concurrency), ..Self::default() }
    }
}

/// Six parameters, and a click of the visitor's that the event must have been earned by.
pub fn connector(name: &str, trigger: &str, url: &str, concurrency: usize) -> String {
    format!(
        "- name: {name}
  mode: enabled
  triggers: [{trigger}]
  click_matching: {{param: {CLICK_PARAM}, model: last_click, window: 30d}}
  postback:
    method: GET
    url: {url}
    params:
      transaction_id: <<TRANSACTION_ID>>
      click_id: <<CLICK_ID>>
      value: <<VALUE>>
      currency: <<CURRENCY>>
      event: <<EVENT_NAME>>
      ts: <<EVENT.ts>>
    limits: {{concurrency: {concurrency}}}
"
    )
}

/// Writes postbackd.yaml and connectors.yaml into `folder`.
pub fn configure(
    folder: &Path,
    options: &Options,
    plan: &Plan,
    source: Option<&Queue>,
    (admin, ingest): (&str, &str),
) -> anyhow::Result<PathBuf> {
    let data = plan.data.clone().unwrap_or_else(|| "data".into());
    let mut config = serde_json::json!({
        "connectors": "connectors.yaml",
        "containers": [{"key": CONTAINER, "name": "bench", "country": "DE"}],
        "store": {"path": data},
        "ingest": {"listen": ingest},
        "admin": {"listen": admin},
        "egress": {"allow": ["127.0.0.0/8"]},
        "attribution": {"click_params": plan.click_params},
        // What hangs is not waited for.
        "shutdown": {"grace": "2s"},
        "log": {"format": "json", "level": "info"},
    });
    if let Some(queue) = source {
        config["source"] = serde_json::json!({"amqp": {
            "url": options.amqp(), "queue": queue.name, "rejected": queue.rejected, "declare": false,
            "prefetch": options.prefetch,
        }});
    }
    let file = folder.join("postbackd.yaml");
    std::fs::write(&file, config.to_string())?;
    std::fs::write(folder.join("connectors.yaml"), format!("connectors:\n{}", plan.connectors))?;
    Ok(file)
}

pub struct Daemon {
    process: Process,
    admin: String,
    /// Where events may be sent to over HTTP.
    pub ingest: String,
    folder: Folder,
}

impl Daemon {
    pub fn start(options: &Options, queue: &Queue, plan: &Plan) -> anyhow::Result<Self> {
        let folder = Folder::new(&options.store())?;
        let (admin, ingest) = (free_address()?, free_address()?);
        let file = configure(folder.path(), options, plan, Some(queue), (&admin, &ingest))?;
        let log = std::fs::File::create(folder.path().join("log.txt"))?;
        let mut command = Command::new(&options.binary);
        command.arg("run").arg("--config").arg(file).current_dir(folder.path()).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        if let Some(ca) = &plan.ca_file {
            trust(&mut command, ca);
        }
        Ok(Self { process: Process::start(&mut command)?, admin, ingest, folder })
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it said, for the report of a failure.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log.txt")).unwrap_or_default()
    }

    /// Waits until it consumes.
    pub async fn ready(&self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        while ask::get(&format!("http://{}/readyz", self.admin)).await.is_err() {
            anyhow::ensure!(Instant::now() < end, "the daemon does not become ready\n{}", self.log());
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    pub async fn metrics(&self) -> anyhow::Result<Metrics> {
        Ok(Metrics(ask::get(&format!("http://{}/metrics", self.admin)).await?))
    }

    /// Waits until the metric, summed over the series that have `label`, is at least `value`.
    pub async fn counts(&self, name: &str, label: &str, value: usize) -> anyhow::Result<()> {
        let (mut moved, mut seen) = (Instant::now(), 0.0);
        loop {
            // While it starts nobody answers.
            let counted = self.metrics().await.map_or(0.0, |metrics| metrics.sum(name, label));
            if value as f64 <= counted {
                return Ok(());
            }
            if seen < counted {
                (moved, seen) = (Instant::now(), counted);
            }
            anyhow::ensure!(moved.elapsed() < PATIENCE, "{name} stays at {seen} of {value}\n{}", self.log());
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until so many deliveries are on record as delivered; the last are, a moment after the sink has seen them.
    pub async fn delivered(&self, deliveries: usize) -> anyhow::Result<()> {
        self.counts("postbackd_deliveries_total", r#"state="delivered""#, deliveries).await
    }

    pub fn books(&self) -> anyhow::Result<Books> {
        Books::of(self.pid())
    }

    /// SIGTERM, and the exit code must be 0.
    pub fn end(self) -> anyhow::Result<()> {
        let status = self.process.terminate()?;
        let log = || std::fs::read_to_string(self.folder.path().join("log.txt")).unwrap_or_default();
        anyhow::ensure!(status.success(), "the daemon ended with {status}\n{}", log());
        Ok(())
    }
}

/// The authority in `ca` is the only one that this command trusts.
pub fn trust<'a>(command: &'a mut Command, ca: &Path) -> &'a mut Command {
    command.env("SSL_CERT_FILE", ca).env_remove("SSL_CERT_DIR")
}

/// An answer of /metrics.
pub struct Metrics(String);

impl Metrics {
    /// Over all series of this name that have `label`, which may be empty.
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        let series = self.0.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let labels = series.strip_prefix(name)?;
            let is_it = labels.is_empty() || labels.starts_with('{');
            (is_it && labels.contains(label)).then(|| value.parse::<f64>().ok())?
        });
        series.sum()
    }

    /// Events admitted so far.
    pub fn events(&self) -> usize {
        self.sum("postbackd_events_total", "") as usize
    }

    /// Seconds and number of the store's commits so far.
    pub fn commits(&self) -> (f64, f64) {
        (self.sum("postbackd_store_commit_seconds_sum", ""), self.sum("postbackd_store_commit_seconds_count", ""))
    }
}
