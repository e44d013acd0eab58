//! Reload: read everything anew, and only if all of it is right let it take effect at once.
//!
//! Refuses: half a change. A broken configuration leaves the old one in place and says so.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;

use super::now;
use crate::config::{Config, LoadOptions};
use crate::dispatch::Lanes;
use crate::pipeline::Rules;
use crate::telemetry::events;
use crate::telemetry::metrics::Metrics;

/// A change of several files is over when nothing has changed for so long.
const QUIET_FOR: Duration = Duration::from_millis(300);

/// Changes are looked for at least so often, for file systems that tell nothing.
const LOOKED_EVERY: Duration = Duration::from_secs(30);

/// Ends of the names of files that configure something.
const CONFIGURING: &[&str] = &["yaml", "yml", "hbs"];

/// Size and time of every file that configures something: what tells a change from a log file beside it.
type Fingerprint = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

pub(super) struct Reloader {
    config: Arc<ArcSwap<Config>>,
    rules: Arc<ArcSwap<Rules>>,
    lanes: Arc<Lanes>,
    metrics: Arc<Metrics>,
    /// Folders are watched, not files: editors replace files, and Kubernetes swaps a symlink.
    watcher: Mutex<Option<notify::RecommendedWatcher>>,
    stirred: tokio::sync::Mutex<mpsc::Receiver<()>>,
    stir: mpsc::Sender<()>,
    seen: Mutex<Fingerprint>,
}

impl Reloader {
    pub(super) fn new(
        config: Arc<ArcSwap<Config>>,
        rules: Arc<ArcSwap<Rules>>,
        lanes: Arc<Lanes>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (stir, stirred) = mpsc::channel(1);
        let folders = config.load().watched.clone();
        let reloader = Self {
            config,
            rules,
            lanes,
            metrics,
            watcher: Mutex::new(None),
            stirred: tokio::sync::Mutex::new(stirred),
            stir,
            seen: Mutex::new(fingerprint(&folders)),
        };
        reloader.watch(&folders);
        reloader
    }

    /// Completes when a file that configures something has changed, and the change is over.
    pub(super) async fn changed(&self) {
        let mut stirred = self.stirred.lock().await;
        loop {
            // Whether something stirred or the time is up: look.
            drop(tokio::time::timeout(LOOKED_EVERY, stirred.recv()).await);
            while let Ok(Some(())) = tokio::time::timeout(QUIET_FOR, stirred.recv()).await {}
            let found = fingerprint(&self.config.load().watched);
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen != found {
                *seen = found;
                return;
            }
        }
    }

    /// Reads everything anew and lets it take effect, or says what is wrong with it.
    pub(super) async fn reload(&self) {
        let Some(file) = self.config.load().file.clone() else { return };
        let watched = self.config.load().watched.clone();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = fingerprint(&watched);
        let read = tokio::task::spawn_blocking(move || {
            let environment = |name: &str| std::env::var(name).ok();
            crate::config::load(&file, &environment, LoadOptions { no_env: false })
        });
        match read.await {
            Ok(Ok(loaded)) => {
                for warning in &loaded.warnings {
                    events::config_warned(&warning.to_string());
                }
                self.take_effect(loaded.config, loaded.warnings.len());
            }
            Ok(Err(problems)) => {
                let first = problems.first().map(ToString::to_string).unwrap_or_default();
                events::config_refused(problems.len(), &first);
                self.metrics.reload_refused();
            }
            Err(panic) => {
                events::config_refused(1, &panic.to_string());
                self.metrics.reload_refused();
            }
        }
    }

    fn take_effect(&self, mut config: Config, warnings: usize) {
        keep_what_needs_a_restart(&mut config, &self.config.load());
        let config = Arc::new(config);
        if let Err(error) = self.lanes.apply(&config) {
            events::config_refused(1, &error.to_string());
            self.metrics.reload_refused();
            return;
        }
        self.metrics.set_connectors(&config.connectors);
        self.rules.store(Arc::new(Rules::new(config.clone())));
        self.watch(&config.watched);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = fingerprint(&config.watched);
        events::config_reloaded(config.connectors.len(), warnings);
        self.config.store(config);
        self.metrics.reloaded(now());
    }

    fn watch(&self, folders: &[PathBuf]) {
        let stir = self.stir.clone();
        // A full channel says already that something has stirred.
        let watcher = notify::recommended_watcher(move |_| {
            let _ = stir.try_send(());
        });
        let mut watcher = match watcher {
            Ok(watcher) => watcher,
            Err(error) => return events::config_unwatched(&error.to_string()),
        };
        for folder in folders.iter().filter(|folder| folder.is_dir()) {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                events::config_unwatched(&error.to_string());
            }
        }
        *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
    }
}

fn fingerprint(folders: &[PathBuf]) -> Fingerprint {
    let configures = |path: &Path| path.extension().is_some_and(|end| CONFIGURING.iter().any(|known| *end == **known));
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let paths = files.map(|entry| entry.path()).filter(|path| configures(path));
    let told = paths.filter_map(|path| {
        let metadata = std::fs::metadata(&path).ok()?;
        Some((path, (metadata.len(), metadata.modified().ok())))
    });
    told.collect()
}

/// What is bound at the start stays as it is; whoever changes it is told.
fn keep_what_needs_a_restart(config: &mut Config, old: &Config) {
    let keep = |differs: bool, setting: &str| {
        if differs {
            events::config_needs_restart(setting);
        }
    };
    keep(format!("{:?}", config.store) != format!("{:?}", old.store), "store");
    keep(config.ingest.listen != old.ingest.listen, "ingest.listen");
    keep(config.admin.listen != old.admin.listen, "admin.listen");
    keep(!same_source(config, old), "source.amqp");
    keep(config.log.format != old.log.format || config.log.level != old.log.level, "log");
    config.store = old.store.clone();
    config.ingest.listen = old.ingest.listen;
    config.admin.listen = old.admin.listen;
    config.amqp.clone_from(&old.amqp);
    config.log = old.log.clone();
}

fn same_source(config: &Config, old: &Config) -> bool {
    use secrecy::ExposeSecret;
    match (&config.amqp, &old.amqp) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            a.url.expose_secret() == b.url.expose_secret()
                && (&a.queue, &a.exchange, &a.rejected, a.queue_type)
                    == (&b.queue, &b.exchange, &b.rejected, b.queue_type)
                && (a.prefetch, a.declare, &a.container) == (b.prefetch, b.declare, &b.container)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}
