//! The bare loop that a crash costs no event: what comes is on the disk before it is acknowledged, and what became of it before its
//! slot is free. So postbackd works too, and this is what durability alone costs.
//!
//! Refuses: starting again from what it has kept; that it could is what counts.

use std::pin::pin;
use std::time::Instant;

use futures_util::StreamExt as _;
use futures_util::stream::poll_fn;
use lapin::options::BasicAckOptions;
use lapin::{Channel, Consumer};
use tokio::sync::mpsc;

use super::http::Http;
use super::store::Store;
use super::{Settings, url};

/// Events on the disk, or on their way there, that no slot has taken yet.
const AHEAD: usize = 256;

/// An event on the disk: its delivery tag, and the URL to be asked for.
type Kept = (u64, String);

/// When the first event was on the disk.
pub async fn keep_and_send_all(settings: &Settings, channel: &Channel, consumer: Consumer) -> anyhow::Result<Instant> {
    let store = Store::create(&settings.folder)?;
    let (keep, kept) = mpsc::channel(AHEAD);
    let (first, ()) =
        tokio::try_join!(keep_all(settings, channel, consumer, &store, keep), send_all(settings, &store, kept))?;
    Ok(first)
}

async fn keep_all(
    settings: &Settings,
    channel: &Channel,
    consumer: Consumer,
    store: &Store,
    keep: mpsc::Sender<Kept>,
) -> anyhow::Result<Instant> {
    let on_disk = consumer
        .map(async |delivery| -> anyhow::Result<Kept> {
            let delivery = delivery?;
            let url = url(&settings.base, &delivery.data)?;
            store.event(delivery.delivery_tag.cast_signed(), delivery.data).await?;
            Ok((delivery.delivery_tag, url))
        })
        // In the order in which they came, so that the last one of many is acknowledged for all.
        .buffered(AHEAD)
        .ready_chunks(AHEAD);
    let mut on_disk = pin!(on_disk);
    let mut first = None;
    let mut last = 0;
    while last < settings.events {
        let Some(chunk) = on_disk.next().await else { anyhow::bail!("the broker ended the consumer") };
        first.get_or_insert_with(Instant::now);
        let chunk = chunk.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        last = chunk.last().map_or(last, |(tag, _)| *tag);
        channel.basic_ack(last, BasicAckOptions { multiple: true }).await?;
        for event in chunk {
            keep.send(event).await?;
        }
    }
    Ok(first.unwrap_or_else(Instant::now))
}

async fn send_all(settings: &Settings, store: &Store, mut kept: mpsc::Receiver<Kept>) -> anyhow::Result<()> {
    let http = Http::new(settings.work, settings.concurrency)?;
    let recorded = poll_fn(|cx| kept.poll_recv(cx))
        .map(async |(tag, url): Kept| -> anyhow::Result<()> {
            let status = http.get(&url).await?;
            store.outcome(tag.cast_signed(), url, status).await
        })
        .buffer_unordered(settings.concurrency);
    let mut recorded = pin!(recorded);
    while let Some(one) = recorded.next().await {
        one?;
    }
    Ok(())
}
