//! The bare loop, a process of its own: what any consumer of this queue must do at the least, written with care and nothing
//! else. A delivery becomes JSON, a URL, a GET on a kept connection and an acknowledgement; or, for page views, JSON alone;
//! or, where a crash may lose nothing, two rows as well.
//!
//! Refuses: everything a dispatcher is for: no attribution, no retry, and no store that anything could be found in.

mod durable;
mod finished;
mod http;
mod store;

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Instant;

use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ConnectionProperties, Consumer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use self::finished::Finished;
use self::http::Http;

/// The word that makes this program a bare loop.
pub const MODE: &str = "bare";

/// What it prints once it consumes.
pub const READY: &str = "ready";

/// What it prints once the last message is acknowledged, followed by the seconds since the first one came.
pub const DONE: &str = "done ";

/// What becomes of each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Sent with hyper-util's pool, the leanest there is short of one's own HTTP.
    Hyper,
    /// Sent with reqwest, set up as the daemon's own.
    Reqwest,
    /// Sent with reqwest, and kept before and after, each durable at once.
    Durable,
    /// Parsed and no more, as a page view that triggers nothing.
    Parse,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    pub amqp: String,
    pub queue: String,
    /// Scheme, host and port of the sink.
    pub base: String,
    pub events: u64,
    pub prefetch: u16,
    pub concurrency: usize,
    pub work: Work,
    /// Where it may leave something while it works.
    pub folder: PathBuf,
}

/// The six values that a request carries.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Purchase<'a> {
    track: &'a str,
    transaction_id: &'a str,
    gclid: &'a str,
    /// Its own digits: 99.00 stays 99.00.
    #[serde(borrow)]
    value: &'a RawValue,
    currency: &'a str,
    ts: u64,
}

/// What is known of a page view.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "parsing them is the work")]
struct View<'a> {
    track: &'a str,
    event_id: &'a str,
    session_id: &'a str,
    client_id: &'a str,
    url: &'a str,
    user_agent: &'a str,
    ip: &'a str,
}

/// Consumes so many events, says so, and lives until its stdin ends: its books are read while it still lives.
pub fn run(settings: &Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let connection = Connection::connect(&settings.amqp, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.basic_qos(settings.prefetch, BasicQosOptions::default()).await?;
        let name = settings.queue.as_str().into();
        let consumer =
            channel.basic_consume(name, MODE.into(), BasicConsumeOptions::default(), FieldTable::default()).await?;
        println!("{READY}");
        let first = match settings.work {
            Work::Parse => parse_all(settings, &channel, consumer).await?,
            Work::Durable => durable::keep_and_send_all(settings, &channel, consumer).await?,
            Work::Hyper | Work::Reqwest => send_all(settings, &channel, consumer).await?,
        };
        let span = first.elapsed();
        // Answered when the broker has the last acknowledgement. Once it is said that all is done, this process may be killed.
        channel.close(200, "done".into()).await?;
        connection.close(200, "done".into()).await?;
        println!("{DONE}{}", span.as_secs_f64());
        anyhow::Ok(())
    })?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// When the first message came.
async fn parse_all(settings: &Settings, channel: &Channel, consumer: Consumer) -> anyhow::Result<Instant> {
    let mut first = None;
    let mut parsed = 0;
    let mut deliveries = consumer.ready_chunks(usize::from(settings.prefetch).div_ceil(8));
    while parsed < settings.events {
        let Some(chunk) = deliveries.next().await else { anyhow::bail!("the broker ended the consumer") };
        first.get_or_insert_with(Instant::now);
        let mut last = 0;
        for delivery in chunk {
            let delivery = delivery?;
            std::hint::black_box(serde_json::from_slice::<View<'_>>(&delivery.data)?);
            last = delivery.delivery_tag;
            parsed += 1;
        }
        channel.basic_ack(last, BasicAckOptions { multiple: true }).await?;
    }
    Ok(first.unwrap_or_else(Instant::now))
}

/// When the first request was answered.
async fn send_all(settings: &Settings, channel: &Channel, consumer: Consumer) -> anyhow::Result<Instant> {
    let http = Http::new(settings.work, settings.concurrency)?;
    let mut sent = consumer
        .map(async |delivery| -> anyhow::Result<_> {
            let delivery = delivery?;
            http.get(&url(&settings.base, &delivery.data)?).await?;
            Ok(delivery.delivery_tag)
        })
        .buffer_unordered(settings.concurrency)
        .ready_chunks(settings.concurrency);
    let mut first = None;
    let mut finished = Finished::default();
    while finished.up_to() < settings.events {
        let Some(chunk) = sent.next().await else { anyhow::bail!("the broker ended the consumer") };
        first.get_or_insert_with(Instant::now);
        let before = finished.up_to();
        for tag in chunk {
            finished.add(tag?);
        }
        // One frame for all that is finished without a gap.
        if before < finished.up_to() {
            channel.basic_ack(finished.up_to(), BasicAckOptions { multiple: true }).await?;
        }
    }
    Ok(first.unwrap_or_else(Instant::now))
}

fn url(base: &str, body: &[u8]) -> anyhow::Result<String> {
    let purchase: Purchase<'_> = serde_json::from_slice(body)?;
    let mut url = String::with_capacity(192);
    write!(url, "{base}/p?transaction_id={}&click_id={}", purchase.transaction_id, purchase.gclid)?;
    write!(url, "&value={}&currency={}", purchase.value.get(), purchase.currency)?;
    write!(url, "&event={}&ts={}", purchase.track, purchase.ts)?;
    Ok(url)
}
