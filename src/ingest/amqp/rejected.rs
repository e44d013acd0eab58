//! The rejected queue: messages that cannot be admitted, unchanged, with the reason in their headers. On a connection of its
//! own, since a broker short of memory blocks whoever publishes, and acknowledgements must go on.
//!
//! Refuses: saying that a message is there before the broker has confirmed it.
//!
//! A batch is published at once and counts as a whole. lapin hands a returned message to whichever confirmation comes first,
//! so that one of them is back says that any of them may be: all are published again. Twice there is better than lost.

use std::sync::Arc;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};

use super::link::{self, AmqpError, name, name_of};
use super::message::Message;
use super::supervisor::Backoff;
use super::topology::{self, Warned};
use crate::config::AmqpSource;

/// Messages published before their confirmations are awaited.
pub(super) const BATCH_MAX: usize = 128;

/// After so many failures, a batch goes out without its original properties: should the broker refuse one of them, the
/// message itself must not hold up the queue for ever.
const ATTEMPTS_WITH_PROPERTIES: u32 = 5;

/// Delivery mode of a message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// A message to be set aside.
#[derive(Debug)]
pub(super) struct Rejected {
    pub tag: u64,
    pub message: Message,
    /// One short word.
    pub reason: &'static str,
    /// May be empty.
    pub field: String,
}

/// Publishes to the rejected queue, reconnecting as often as it takes.
pub(super) struct Rejecter {
    source: Arc<AmqpSource>,
    open: Option<Open>,
    warned: Warned,
    /// A batch was begun and not seen to its end: what comes back on this connection may belong to it.
    is_mid_batch: bool,
}

struct Open {
    connection: Connection,
    channel: Channel,
}

#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error(transparent)]
    Amqp(#[from] AmqpError),
    #[error("the rejected queue {0:?} took no message; is it there, and is it full?")]
    NotTaken(Box<str>),
}

impl Rejecter {
    pub fn new(source: Arc<AmqpSource>) -> Self {
        Self { source, open: None, warned: Warned::new(), is_mid_batch: false }
    }

    /// Returns once the broker has confirmed all of them.
    pub async fn publish(&mut self, batch: &[Rejected]) {
        let mut backoff = Backoff::default();
        for attempt in 0_u32.. {
            match self.try_publish(batch, attempt < ATTEMPTS_WITH_PROPERTIES).await {
                Ok(()) => return,
                Err(error) => tracing::error!(
                    %error,
                    messages = batch.len(),
                    "amqp.reject_failed: rejected messages stay unacknowledged until they are stored"
                ),
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// Closes the connection.
    pub async fn close(&mut self) {
        if let Some(open) = self.open.take() {
            link::close(&open.connection).await;
        }
    }

    async fn try_publish(&mut self, batch: &[Rejected], with_properties: bool) -> Result<(), PublishError> {
        if self.is_mid_batch {
            self.close().await;
        }
        self.is_mid_batch = true;
        let published = self.publish_once(batch, with_properties).await;
        // A failed batch leaves the mark, so that the next one starts on a fresh connection, declaring the queue again.
        self.is_mid_batch = published.is_err();
        published
    }

    async fn publish_once(&mut self, batch: &[Rejected], with_properties: bool) -> Result<(), PublishError> {
        let queue = name(&self.source.rejected)?;
        let channel = self.channel().await?;
        let mut confirmations = Vec::with_capacity(batch.len());
        for rejected in batch {
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let properties = properties(rejected, with_properties);
            let published =
                channel.basic_publish(name_of(""), queue.clone(), options, &rejected.message.body, properties);
            confirmations.push(published.await.map_err(AmqpError::at("cannot publish to the rejected queue"))?);
        }
        let mut all_taken = true;
        for confirmation in confirmations {
            match confirmation.await.map_err(AmqpError::at("no confirmation of a rejected message"))? {
                Confirmation::Ack(None) => {}
                Confirmation::Ack(Some(_)) | Confirmation::Nack(_) | Confirmation::NotRequested => all_taken = false,
            }
        }
        if all_taken { Ok(()) } else { Err(PublishError::NotTaken(self.source.rejected.clone())) }
    }

    async fn channel(&mut self) -> Result<&Channel, AmqpError> {
        if self.open.as_ref().is_some_and(|open| !open.channel.status().connected()) {
            self.close().await;
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => {
                let connection = link::connect(&self.source.url, "publishing").await?;
                let channel = topology::declare_rejected(&connection, &self.source, &mut self.warned).await?;
                let confirms = channel.confirm_select(ConfirmSelectOptions::default()).await;
                confirms.map_err(AmqpError::at("cannot ask for confirmations"))?;
                Open { connection, channel }
            }
        };
        Ok(&self.open.insert(open).channel)
    }
}

/// The original's properties but those that would make the broker refuse, expire or copy the message, which become
/// headers; and why it was rejected.
fn properties(rejected: &Rejected, with_original: bool) -> BasicProperties {
    let original = &rejected.message.properties;
    let mut headers = FieldTable::default();
    let mut properties = BasicProperties::default();
    if with_original {
        for (key, value) in original.headers().iter().flatten() {
            // `CC` and `BCC` would send copies wherever they say.
            let key = if matches!(key.as_str(), "CC" | "BCC") { moved(key.as_str()) } else { key.clone() };
            headers.insert(key, value.clone());
        }
        for (key, value) in [("expiration", original.expiration()), ("user_id", original.user_id())] {
            if let Some(value) = value {
                headers.insert(moved(key), text(value.as_str()));
            }
        }
        properties = kept(original);
    }
    headers.insert(name_of("x-postbackd-reason"), text(rejected.reason));
    headers.insert(name_of("x-postbackd-field"), text(&rejected.field));
    properties.with_headers(headers).with_delivery_mode(PERSISTENT)
}

fn kept(original: &BasicProperties) -> BasicProperties {
    type Set = fn(BasicProperties, ShortString) -> BasicProperties;
    let texts: [(&Option<ShortString>, Set); 7] = [
        (original.content_type(), BasicProperties::with_content_type),
        (original.content_encoding(), BasicProperties::with_content_encoding),
        (original.correlation_id(), BasicProperties::with_correlation_id),
        (original.reply_to(), BasicProperties::with_reply_to),
        (original.message_id(), BasicProperties::with_message_id),
        (original.kind(), BasicProperties::with_type),
        (original.app_id(), BasicProperties::with_app_id),
    ];
    let mut properties = BasicProperties::default();
    for (value, set) in texts {
        if let Some(value) = value {
            properties = set(properties, value.clone());
        }
    }
    if let Some(timestamp) = original.timestamp() {
        properties = properties.with_timestamp(*timestamp);
    }
    if let Some(priority) = original.priority() {
        properties = properties.with_priority(*priority);
    }
    properties
}

fn moved(key: &str) -> ShortString {
    ShortString::try_new(format!("x-postbackd-{}", key.to_ascii_lowercase())).unwrap_or_default()
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value.as_bytes()))
}
