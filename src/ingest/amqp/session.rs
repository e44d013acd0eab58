//! One connection at work: messages in, arrivals out, acknowledgements back.
//!
//! Refuses: mending itself. Any fault ends it, and the broker delivers again what it left open.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::time::Instant;

use super::link::{AmqpError, name, name_of};
use super::message::{self, Message};
use super::rejected::{BATCH_MAX, Rejected, Rejecter};
use super::unsettled::Unsettled;
use super::{AmqpState, SOURCE, Wish};
use crate::config::AmqpSource;
use crate::ingest::{Arrival, Receipt, Settled};

/// Messages taken in one go before looking at anything else.
const TAKEN_AT_ONCE: usize = 64;

/// What is settled is acknowledged together: an eighth of the prefetch at once, fewer when nothing else is open or after this
/// time. The broker works for each acknowledgement, however many messages it is about.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_millis(10);
const PARTS_OF_PREFETCH: u64 = 8;

/// The broker answers a cancellation at once or is gone.
const CANCEL_WITHIN: Duration = Duration::from_secs(5);

/// How a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// As wished, with everything settled.
    Stopped,
    /// As wished, letting go of what is open.
    Paused,
    /// The store could not take an arrival.
    Unavailable,
    /// The connection, the channel or the consumer is gone.
    Fault(String),
}

/// Starts consuming, with the prefetch as the bound of what is open.
pub(super) async fn consume(channel: &Channel, source: &AmqpSource) -> Result<Consumer, AmqpError> {
    let qos = channel.basic_qos(source.prefetch, BasicQosOptions::default()).await;
    qos.map_err(AmqpError::at("cannot set the prefetch"))?;
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(name(&source.queue)?, name_of(""), options, FieldTable::default()).await;
    consumer.map_err(AmqpError::at(format!("cannot consume from queue {:?}", source.queue)))
}

type Told = (u64, u64, Settled);
type Publishing = Pin<Box<dyn Future<Output = Vec<u64>> + Send>>;

/// See the module.
pub(super) struct Session {
    generation: u64,
    channel: Channel,
    consumer: Consumer,
    source: Arc<AmqpSource>,
    state: AmqpState,
    tell: mpsc::UnboundedSender<Told>,
    told: mpsc::UnboundedReceiver<Told>,
    unsettled: Unsettled<Message>,
    /// Acknowledged up to this tag.
    acknowledged: u64,
    owed: Option<Owed>,
    /// Read, and waiting for room in the channel; nothing more is read meanwhile.
    waiting: Option<Arrival>,
    /// Arrivals that are passed on and not settled.
    in_flight: usize,
    rejecter: Arc<Mutex<Rejecter>>,
    /// To be published once the batch under way is confirmed.
    rejected: Vec<Rejected>,
    publishing: Option<Publishing>,
    is_stopping: bool,
}

/// Settled up to this tag, and when it is to be acknowledged.
#[derive(Clone, Copy)]
struct Owed {
    up_to: u64,
    by: Instant,
}

/// What happens next.
#[expect(clippy::large_enum_variant, reason = "one at a time, taken apart at once; a box would cost every message")]
enum Turn {
    Wished(Wish),
    Told(Told),
    Published(Vec<u64>),
    Owed,
    Room(Option<mpsc::OwnedPermit<Arrival>>),
    Delivered(Option<lapin::Result<Delivery>>),
}

impl Session {
    pub fn new(
        generation: u64,
        channel: Channel,
        consumer: Consumer,
        source: Arc<AmqpSource>,
        state: AmqpState,
        rejecter: Arc<Mutex<Rejecter>>,
    ) -> Self {
        let (tell, told) = mpsc::unbounded_channel();
        Self {
            generation,
            channel,
            consumer,
            source,
            state,
            tell,
            told,
            unsettled: Unsettled::new(),
            acknowledged: 0,
            owed: None,
            waiting: None,
            in_flight: 0,
            rejecter,
            rejected: Vec::new(),
            publishing: None,
            is_stopping: false,
        }
    }

    /// Works until something ends it.
    pub async fn run(mut self, wish: &mut watch::Receiver<Wish>) -> End {
        // A wish that was made while connecting counts too.
        wish.mark_changed();
        loop {
            if self.is_stopping && self.in_flight == 0 && self.publishing.is_none() {
                return self.leave().await;
            }
            let turn = self.turn(wish).await;
            let done = match turn {
                Turn::Wished(Wish::Run) => Ok(()),
                Turn::Wished(Wish::Pause) => Err(self.acknowledge().await.err().unwrap_or(End::Paused)),
                Turn::Wished(Wish::Stop) => self.stop().await,
                Turn::Told(told) => self.settled(told).await,
                Turn::Published(tags) => self.published(&tags).await,
                Turn::Owed => self.acknowledge().await,
                Turn::Room(Some(permit)) => {
                    self.pass_on(permit);
                    Ok(())
                }
                Turn::Room(None) => Err(End::Fault("nobody takes events any more".to_owned())),
                Turn::Delivered(first) => self.deliveries(first),
            };
            if let Err(end) = done {
                return end;
            }
            self.publish_rejected();
        }
    }

    async fn turn(&mut self, wish: &mut watch::Receiver<Wish>) -> Turn {
        let arrivals = &self.state.arrivals;
        let published = async {
            match &mut self.publishing {
                Some(publishing) => publishing.await,
                None => std::future::pending().await,
            }
        };
        let owed = async {
            match self.owed {
                Some(Owed { by, .. }) => tokio::time::sleep_until(by).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = wish.changed() => Turn::Wished(changed.map_or(Wish::Stop, |()| *wish.borrow_and_update())),
            // This session holds a sender of its own, so there is always another one to come.
            Some(told) = self.told.recv() => Turn::Told(told),
            tags = published => Turn::Published(tags),
            () = owed => Turn::Owed,
            room = async { arrivals.clone().reserve_owned().await }, if self.waiting.is_some() => Turn::Room(room.ok()),
            next = self.consumer.next(), if self.waiting.is_none() && !self.is_stopping => Turn::Delivered(next),
        }
    }

    /// Takes what has come, as far as there is room for it.
    fn deliveries(&mut self, first: Option<lapin::Result<Delivery>>) -> Result<(), End> {
        self.delivery(first)?;
        for _ in 1..TAKEN_AT_ONCE {
            if self.waiting.is_some() {
                break;
            }
            match self.consumer.next().now_or_never() {
                Some(next) => self.delivery(next)?,
                None => break,
            }
        }
        Ok(())
    }

    fn delivery(&mut self, next: Option<lapin::Result<Delivery>>) -> Result<(), End> {
        let delivery = match next {
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => return Err(End::Fault(error.to_string())),
            // The connection may still be well: so a queue looks that was deleted.
            None => return Err(End::Fault(format!("the broker ended the consumer of queue {:?}", self.source.queue))),
        };
        let tag = delivery.delivery_tag;
        let message = Message { body: delivery.data, properties: delivery.properties };
        let read = message::read(&message, delivery.redelivered, &self.source, &self.state.config.load());
        if !self.unsettled.arrived(tag, message) {
            return Err(End::Fault("the broker skipped a delivery tag".to_owned()));
        }
        match read {
            Ok(events) => {
                let receipt = Receipt::Message { generation: self.generation, tag, settled: self.tell.clone() };
                match self.state.arrivals.try_send(Arrival { source: SOURCE, events, receipt }) {
                    Ok(()) => self.in_flight += 1,
                    Err(TrySendError::Full(arrival)) => self.waiting = Some(arrival),
                    Err(TrySendError::Closed(_)) => return Err(End::Fault("nobody takes events any more".to_owned())),
                }
            }
            Err(refused) => self.reject(tag, refused.reason.word(), refused.field().to_owned()),
        }
        Ok(())
    }

    fn pass_on(&mut self, permit: mpsc::OwnedPermit<Arrival>) {
        if let Some(arrival) = self.waiting.take() {
            permit.send(arrival);
            self.in_flight += 1;
        }
    }

    fn reject(&mut self, tag: u64, reason: &'static str, field: String) {
        (self.state.counts.rejected)(SOURCE, reason);
        if let Some(message) = self.unsettled.take(tag) {
            self.rejected.push(Rejected { tag, message, reason, field });
        }
    }

    /// Starts the next batch if none is under way.
    fn publish_rejected(&mut self) {
        if self.publishing.is_some() || self.rejected.is_empty() {
            return;
        }
        let batch: Vec<Rejected> = self.rejected.drain(..self.rejected.len().min(BATCH_MAX)).collect();
        let rejecter = self.rejecter.clone();
        self.publishing = Some(Box::pin(async move {
            rejecter.lock().await.publish(&batch).await;
            batch.iter().map(|rejected| rejected.tag).collect()
        }));
    }

    async fn published(&mut self, tags: &[u64]) -> Result<(), End> {
        self.publishing = None;
        for tag in tags {
            self.unsettled.settle(*tag);
        }
        self.owe().await
    }

    /// Hears everything that was settled meanwhile.
    async fn settled(&mut self, first: Told) -> Result<(), End> {
        self.hear(first)?;
        while let Ok(told) = self.told.try_recv() {
            self.hear(told)?;
        }
        self.owe().await
    }

    fn hear(&mut self, (generation, tag, outcome): Told) -> Result<(), End> {
        if generation != self.generation {
            return Ok(());
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        match outcome {
            Settled::Stored { .. } => self.unsettled.settle(tag),
            Settled::Rejected { reason, field } => self.reject(tag, reason, field),
            Settled::Unavailable => return Err(End::Unavailable),
        }
        Ok(())
    }

    /// Notes what is settled, and acknowledges it if it is worth it by now.
    async fn owe(&mut self) -> Result<(), End> {
        if let Some(up_to) = self.unsettled.ackable() {
            let by = self.owed.map_or_else(|| Instant::now() + ACKNOWLEDGED_WITHIN, |owed| owed.by);
            self.owed = Some(Owed { up_to, by });
        }
        let enough = u64::from(self.source.prefetch) / PARTS_OF_PREFETCH;
        match self.owed {
            Some(Owed { up_to, .. }) if self.in_flight == 0 || enough <= up_to - self.acknowledged => {
                self.acknowledge().await
            }
            _ => Ok(()),
        }
    }

    async fn acknowledge(&mut self) -> Result<(), End> {
        let Some(Owed { up_to, .. }) = self.owed.take() else { return Ok(()) };
        self.acknowledged = up_to;
        // A failure says that the channel is gone; the broker delivers again, and deduplication absorbs it.
        let acknowledged = self.channel.basic_ack(up_to, BasicAckOptions { multiple: true }).await;
        acknowledged.map_err(|error| End::Fault(format!("cannot acknowledge: {error}")))
    }

    /// Takes no more; what is passed on already is waited for.
    async fn stop(&mut self) -> Result<(), End> {
        self.is_stopping = true;
        self.waiting = None;
        let cancelled = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
        match tokio::time::timeout(CANCEL_WITHIN, cancelled).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(End::Fault(format!("cannot cancel the consumer: {error}"))),
            Err(_) => Err(End::Fault("the broker did not answer the cancellation".to_owned())),
        }
    }

    /// Closing the channel waits for the broker's word, so the last acknowledgement is with it.
    async fn leave(mut self) -> End {
        if let Err(end) = self.acknowledge().await {
            return end;
        }
        drop(tokio::time::timeout(CANCEL_WITHIN, self.channel.close(200, name_of("OK"))).await);
        End::Stopped
    }
}
