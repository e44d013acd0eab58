//! What goes on beside the story: the sources follow the store's health, gauges, retention, and where a restart begins.
//!
//! Refuses: anything an event waits for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::now;
use crate::config::Config;
use crate::dispatch::{Parking, Span};
use crate::ingest::SourceStatus;
use crate::ingest::amqp::{self, AmqpHandle, AmqpSwitch};
use crate::model::delivery::State;
use crate::model::ids::{ConnectorName, Seq};
use crate::model::time::Time;
use crate::pipeline::{House, Word};
use crate::store::sqlite::SweepLimits;
use crate::store::{Backlog, Store, StoreError};
use crate::telemetry::events;

/// How often a store that could not write is asked again.
const STORE_ASKED_EVERY: Duration = Duration::from_secs(1);

/// How often it is kept where a restart would begin. What lies between is scanned again, which costs microseconds an event.
const LANES_REMEMBERED_EVERY: Duration = Duration::from_secs(1);

/// How often the gauges of the backlog are set, at least; a count that takes long is made more rarely.
const BACKLOG_COUNTED_EVERY: Duration = Duration::from_secs(2);

/// A count may take this part of the time.
const BACKLOG_SHARE: u32 = 50;

/// How often the run's account is compared with the store.
const BOOK_COMPARED_EVERY: Duration = Duration::from_secs(10);

/// How often retention looks for something to delete, and how long it rests between two steps that did.
const SWEPT_EVERY: Duration = Duration::from_secs(60);
const SWEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What is parked for a connector that was removed is cancelled after the time its retries would have ended by default.
const REMOVED_KEPT_FOR: Duration = Duration::from_secs(72 * 3600);

/// Starts them all.
pub(super) fn start(
    house: &Arc<House>,
    config: &Arc<ArcSwap<Config>>,
    amqp: Option<&AmqpHandle>,
) -> Vec<JoinHandle<()>> {
    let mut jobs = vec![
        tokio::spawn(follow_store(house.clone(), amqp.map(AmqpHandle::switch))),
        tokio::spawn(remember(house.clone())),
        tokio::spawn(count_backlog(house.clone(), config.clone())),
        tokio::spawn(compare_book(house.clone())),
        tokio::spawn(sweep(house.clone(), config.clone())),
    ];
    if let Some(amqp) = amqp {
        jobs.push(tokio::spawn(follow_source(house.clone(), amqp.status())));
    }
    jobs
}

/// While the store can't write, no source takes anything; when it can again, they go on by themselves.
async fn follow_store(house: Arc<House>, amqp: Option<AmqpSwitch>) {
    let mut trouble = house.trouble.watch();
    loop {
        let word = trouble.borrow_and_update().clone();
        if let Word::Paused(why) = word {
            events::store_paused(&why);
            let since = Instant::now();
            if let Some(amqp) = &amqp {
                amqp.pause();
            }
            while house.store.write_nothing().await.is_err() {
                tokio::time::sleep(STORE_ASKED_EVERY).await;
            }
            house.trouble.over();
            trouble.mark_unchanged();
            if let Some(amqp) = &amqp {
                amqp.resume();
            }
            events::store_resumed(since.elapsed());
            continue;
        }
        if trouble.changed().await.is_err() {
            return;
        }
    }
}

async fn follow_source(house: Arc<House>, mut status: watch::Receiver<SourceStatus>) {
    let mut was = false;
    loop {
        let now = status.borrow_and_update().clone();
        house.metrics.set_source_connected(amqp::SOURCE, now.connected);
        match (was, now.connected) {
            (false, true) => events::source_connected(amqp::SOURCE),
            (true, false) => events::source_lost(amqp::SOURCE, &now.detail),
            _ => {}
        }
        was = now.connected;
        if status.changed().await.is_err() {
            return;
        }
    }
}

async fn count_backlog(house: Arc<House>, config: Arc<ArcSwap<Config>>) {
    loop {
        let started = Instant::now();
        if let Ok(backlog) = house.store.backlog().await {
            let now = now();
            let age = |time: Option<Time>| time.map_or(Duration::ZERO, |time| now.since(time));
            let lanes = house.lanes.states();
            let nothing = Backlog::default();
            for connector in &config.load().connectors {
                let own = backlog.get(&*connector.name).unwrap_or(&nothing);
                let lane = lanes.iter().find(|lane| lane.connector == connector.name);
                // What backs off, or waits behind a breaker or a parked lane, is nothing that more machines would cure.
                let held_up = lane.is_some_and(|lane| lane.breaker_open || lane.parked_since.is_some());
                let due = own.oldest_due.filter(|due| !held_up && *due <= now);
                house.metrics.connector(&connector.name).set_backlog(
                    own.pending,
                    own.waiting,
                    age(own.oldest_pending),
                    age(due),
                );
            }
        }
        tokio::time::sleep(BACKLOG_COUNTED_EVERY.max(started.elapsed() * BACKLOG_SHARE)).await;
    }
}

async fn compare_book(house: Arc<House>) {
    loop {
        let started = Instant::now();
        if let Ok(unaccounted) = house.store.unaccounted().await {
            house.metrics.set_unaccounted(unaccounted);
            if unaccounted != 0 {
                events::book_unbalanced(unaccounted);
            }
        }
        tokio::time::sleep(BOOK_COMPARED_EVERY.max(started.elapsed() * BACKLOG_SHARE)).await;
    }
}

async fn sweep(house: Arc<House>, config: Arc<ArcSwap<Config>>) {
    loop {
        let now = now();
        let settings = config.load_full();
        let known = settings.connectors.iter().map(|c| c.name.clone()).collect();
        if let Ok(cancelled) = house.store.cancel_removed(known, now.minus(REMOVED_KEPT_FOR), now).await {
            for connector in cancelled {
                house.metrics.final_state(&connector, State::Cancelled);
            }
        }
        // A round of a large store takes many minutes.
        let limits = || {
            let now = super::now();
            let (log_before, clicks_before) = (now.minus(settings.retention.log), now.minus(settings.retention.clicks));
            SweepLimits { now, log_before, clicks_before }
        };
        while house.store.sweep(limits()).await.unwrap_or(false) {
            tokio::time::sleep(SWEPT_AGAIN_AFTER).await;
        }
        tokio::time::sleep(SWEPT_EVERY).await;
    }
}

async fn remember(house: Arc<House>) {
    loop {
        tokio::time::sleep(LANES_REMEMBERED_EVERY).await;
        remember_lanes(&house, false).await;
    }
}

// === where a restart begins ===

/// Kept under this name.
const LANES: &str = "lanes";

/// What the lanes would need to know after a restart.
#[derive(Default, Serialize, Deserialize)]
struct LanesNote {
    /// First attempts of earlier events have all been made, but for the connectors below.
    all: i64,
    behind: Vec<(String, i64)>,
    /// Connector; pauses: from, to, whether all was parked; the pause that goes on: since, whether all is parked.
    parked: Vec<ParkedNote>,
}

type ParkedNote = (String, Vec<(i64, i64, bool)>, Option<(i64, bool)>);

/// Keeps where a restart would begin; `clean` at the proper end of a run.
pub(super) async fn remember_lanes(house: &House, clean: bool) {
    let frontiers = house.lanes.frontiers();
    let lowest = frontiers.behind.iter().map(|(_, from)| *from).chain([frontiers.all]).min().unwrap_or(frontiers.all);
    let parked = house.lanes.parkings().into_iter().map(|(connector, parking)| {
        let spans = parking.spans.iter().map(|span| (span.from.ms(), span.to.ms(), span.all)).collect();
        (connector.to_string(), spans, parking.since.map(|(since, all)| (since.ms(), all)))
    });
    let note = LanesNote {
        all: frontiers.all.0,
        behind: frontiers.behind.iter().map(|(connector, from)| (connector.to_string(), from.0)).collect(),
        parked: parked.collect(),
    };
    let text = serde_json::to_string(&note).expect("a note is names and numbers");
    let kept = house.store.keep_lanes(LANES, text, lowest, clean).await;
    if let Err(error) = kept {
        house.trouble.tell(&error);
    }
}

/// What an earlier run left.
pub(super) struct LeftBehind {
    pub all: Seq,
    pub frontiers: HashMap<ConnectorName, Seq>,
    pub parkings: Vec<(ConnectorName, Parking)>,
}

/// Reads what [`remember_lanes`] kept.
pub(super) async fn left_behind(store: &Store) -> Result<LeftBehind, StoreError> {
    let text = store.note(LANES).await?;
    let note: LanesNote = text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let parking = |(connector, spans, since): ParkedNote| {
        let span = |(from, to, all)| Span { from: Time::from_ms(from), to: Time::from_ms(to), all };
        let spans = spans.into_iter().map(span).collect();
        (connector.into(), Parking { spans, since: since.map(|(since, all)| (Time::from_ms(since), all)) })
    };
    Ok(LeftBehind {
        all: Seq(note.all.max(1)),
        frontiers: note.behind.into_iter().map(|(connector, from)| (connector.into(), Seq(from))).collect(),
        parkings: note.parked.into_iter().map(parking).collect(),
    })
}
