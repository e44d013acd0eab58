//! The demo: the daemon as it is, on a temporary store, with a sample shop and sample networks on this machine, and an
//! account of everything that happens.
//!
//! Refuses: pretence. Events go over HTTP into the daemon's own listener, postbacks over HTTP to listeners of their own,
//! and what is told is read from the delivery log. Nothing leaves the machine, and nothing stays on it.

mod account;
mod client;
mod config;
mod folder;
mod networks;
mod notes;
mod page;
mod shop;
mod story;
mod summary;
mod words;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

pub use self::config::CONNECTORS;
pub use self::page::Page;

use self::account::Account;
use self::client::Client;
use self::folder::Folder;
use self::networks::Networks;
use self::page::Mark;
use self::shop::{SCRIPT, Step};
use self::story::Story;
use crate::daemon::{self, StartError};
use crate::store::StoreError;

/// Where the admin listener goes if nothing is there: the address of the documents.
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("there is no temporary folder to be had: {0}")]
    Folder(std::io::Error),
    #[error("no port can be had on 127.0.0.1: {0}")]
    Port(std::io::Error),
    #[error("the runtime can't start: {0}")]
    Runtime(std::io::Error),
    #[error("the sample configuration has mistakes\n{0}")]
    Config(String),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the daemon does not answer: {0}")]
    Silent(#[from] reqwest::Error),
    #[error("the daemon did not take a sample event: {0}")]
    Refused(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the story stops before its end.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error("nobody reads")]
    NobodyReads,
    #[error(transparent)]
    Failed(#[from] DemoError),
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Shows everything; until Ctrl-C, or for so long (and to the story's end in any case). True where the account adds up.
///
/// # Errors
/// The daemon could not start or stopped answering.
pub fn run(stop_after: Option<Duration>, page: &mut Page<'_>) -> Result<bool, DemoError> {
    // Outlives the runtime, and with it the store.
    let folder = Folder::new().map_err(DemoError::Folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(DemoError::Runtime)?;
    let shown = runtime.block_on(show(&folder, stop_after, page));
    drop(runtime);
    drop(folder);
    if shown.is_ok() {
        page.put("Stopped. The temporary store is gone.");
    }
    shown
}

async fn show(folder: &Folder, stop_after: Option<Duration>, page: &mut Page<'_>) -> Result<bool, DemoError> {
    let mut signals = Signals::new().map_err(DemoError::Runtime)?;
    let networks = Networks::start().await?;
    let config = config::load(folder.path().join("store"), free_admin(), &networks)?;
    let connectors: Vec<String> = config.connectors.iter().map(|c| c.name.to_string()).collect();
    let daemon = daemon::start(config).await?;
    let client = Client::new(daemon.ingest, daemon.admin)?;
    notes::introduce(page, &daemon, &networks);
    page.restart_clock();
    let stop_at = stop_after.map(|span| Instant::now() + span);
    let width = connectors.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let mut story = Story::new(page, daemon.store.clone(), width);
    let mut account = Account::new(connectors, &networks, &client, &daemon);
    let told = tokio::select! {
        told = tell(&mut story, &mut account, stop_at) => told,
        () = signals.stop() => {
            story.page.heading("Stopping: what is on its way is finished and recorded first.");
            Ok(())
        }
    };
    let agrees = match told {
        Ok(()) => account.close(&mut story).await,
        Err(halt) => Err(halt),
    };
    daemon.drain("the demo is over").await;
    match agrees {
        Ok(agrees) => Ok(agrees),
        Err(Halt::NobodyReads) => Ok(true),
        Err(Halt::Failed(error)) => Err(error),
    }
}

/// The whole evening: the script, the account, then whatever the reader sends. Ends at `stop_at`.
async fn tell(story: &mut Story<'_, '_>, account: &mut Account<'_>, stop_at: Option<Instant>) -> Result<(), Halt> {
    for step in SCRIPT {
        play(story, account.client, step).await?;
    }
    account.draw_up(story).await?;
    notes::suggest(story.page, account.daemon, stop_at);
    loop {
        let rest = stop_at.map(|at| at.saturating_duration_since(Instant::now()));
        if rest.is_some_and(|rest| rest.is_zero()) {
            return Ok(());
        }
        story.watch(rest.unwrap_or(Duration::MAX).min(Duration::from_secs(1))).await?;
    }
}

async fn play(story: &mut Story<'_, '_>, client: &Client, step: &Step) -> Result<(), Halt> {
    if let Some(event) = step.event(daemon::now()) {
        let before = match step {
            Step::BuysAgain { .. } => Some(client.metrics().await?),
            _ => None,
        };
        match step.event_id() {
            Some(id) => story.event(id, &step.told()),
            None => story.page.happened(Mark::Click, &step.told()),
        }
        client.send(&event).await?;
        if let Some(before) = before {
            let duplicates = |counted: &client::Counted| counted.sum("postbackd_events_duplicate_total", &[]);
            let known = duplicates(&before) < duplicates(&client.metrics().await?);
            let text = if known {
                "its event id was here before: nothing is triggered, nothing is sent twice"
            } else {
                "it was not recognised as a repeat"
            };
            story.page.happened(Mark::Known, text);
        }
    }
    match step {
        Step::Chapter(text) => story.page.heading(text),
        Step::Rest(span) => story.watch(*span).await?,
        _ => story.look().await?,
    }
    Ok(())
}

/// The admin listener's usual address if it is free, else any.
fn free_admin() -> SocketAddr {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    TcpListener::bind(ADMIN).map_or(any, |_| ADMIN)
}

/// What ends the demo: Ctrl-C, a service manager, a terminal that is closed.
struct Signals([tokio::signal::unix::Signal; 3]);

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self([signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?]))
    }

    async fn stop(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
