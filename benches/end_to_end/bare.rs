//! The bare loop, a process of its own: delivery → JSON → URL → GET on a kept connection → acknowledgement. What any consumer
//! of this queue must do at the least, written with care and nothing else.
//!
//! Refuses: everything a dispatcher is for: no attribution, no log, no retry, no store.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Read as _;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use serde::Deserialize;
use serde_json::value::RawValue;

/// What it prints once the last message is acknowledged.
pub const DONE: &str = "done";

type Http = Client<HttpConnector, Empty<Bytes>>;

/// The six values that the request carries.
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
    #[serde(rename = "ts")]
    ts: u64,
}

/// `bare AMQP QUEUE SINK EVENTS PREFETCH CONCURRENCY`: consumes so many events, says so, and lives until its stdin ends.
pub fn run(args: &[String]) -> anyhow::Result<()> {
    let [amqp, queue, sink, events, prefetch, concurrency] = args else { anyhow::bail!("bare: six arguments") };
    let (events, prefetch, concurrency) = (events.parse()?, prefetch.parse()?, concurrency.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(consume(amqp, queue, sink, events, prefetch, concurrency))?;
    println!("{DONE}");
    // Its books are read from /proc while it still lives.
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

async fn consume(
    amqp: &str,
    queue: &str,
    sink: &str,
    events: u64,
    prefetch: u16,
    concurrency: usize,
) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let http: Http = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(concurrency).build(connector);
    let connection = Connection::connect(amqp, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let consumer = channel
        .basic_consume(queue.into(), "bare".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;
    let mut sent = consumer
        .map(async |delivery| -> anyhow::Result<_> {
            let delivery = delivery?;
            send(&http, sink, &delivery.data).await?;
            Ok(delivery.delivery_tag)
        })
        .buffer_unordered(concurrency)
        .ready_chunks(concurrency);
    let mut run = Run::default();
    while run.acknowledged() < events {
        let Some(chunk) = sent.next().await else { anyhow::bail!("the broker ended the consumer") };
        let before = run.acknowledged();
        for tag in chunk {
            run.finish(tag?);
        }
        // One frame for all that is finished without a gap.
        if before < run.acknowledged() {
            channel.basic_ack(run.acknowledged(), BasicAckOptions { multiple: true }).await?;
        }
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

async fn send(http: &Http, sink: &str, body: &[u8]) -> anyhow::Result<()> {
    let purchase: Purchase<'_> = serde_json::from_slice(body)?;
    let mut url = String::with_capacity(192);
    write!(url, "http://{sink}/p?transaction_id={}&click_id={}", purchase.transaction_id, purchase.gclid)?;
    write!(url, "&value={}&currency={}", purchase.value.get(), purchase.currency)?;
    write!(url, "&event={}&ts={}", purchase.track, purchase.ts)?;
    let reply = http.get(url.parse()?).await?;
    anyhow::ensure!(reply.status() == 200, "the sink said {}", reply.status());
    reply.into_body().collect().await?;
    Ok(())
}

/// Which delivery tags are finished without a gap.
#[derive(Default)]
struct Run {
    /// Every tag up to here.
    done: u64,
    /// Whether the tags after `done` are finished.
    ahead: VecDeque<bool>,
}

impl Run {
    fn acknowledged(&self) -> u64 {
        self.done
    }

    fn finish(&mut self, tag: u64) {
        let at = usize::try_from(tag - self.done - 1).expect("within the prefetch");
        if self.ahead.len() <= at {
            self.ahead.resize(at + 1, false);
        }
        self.ahead[at] = true;
        while self.ahead.front() == Some(&true) {
            self.ahead.pop_front();
            self.done += 1;
        }
    }
}
