//! A queue of one test's own on the real RabbitMQ.
//!
//! Refuses: starting a broker; `tests/run` does that. Nor does it declare the event queue: the daemon does.

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use serde_json::{Value, json};

use crate::ports;

/// Where the broker is.
pub fn url() -> String {
    std::env::var("AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2f".into())
}

/// A message as it lies in a queue.
#[derive(Debug)]
pub struct Taken {
    pub body: String,
    pub headers: FieldTable,
}

impl Taken {
    /// A text header.
    pub fn header(&self, name: &str) -> Option<String> {
        match self.headers.inner().get(name)? {
            AMQPValue::LongString(text) => Some(text.to_string()),
            AMQPValue::ShortString(text) => Some(text.to_string()),
            other => Some(format!("{other:?}")),
        }
    }
}

#[derive(Debug)]
pub struct Broker {
    pub queue: String,
    connection: Connection,
    channel: Channel,
}

impl Broker {
    /// Connects and makes up names that no other test uses.
    ///
    /// # Panics
    /// Where no broker answers: these tests need one.
    pub async fn connect(name: &str) -> Self {
        let (connection, channel) = open().await.unwrap_or_else(|e| {
            panic!("no RabbitMQ at AMQP_URL or 127.0.0.1:5672 ({e}); tests/run installs and starts one")
        });
        Self { queue: ports::unique(name), connection, channel }
    }

    /// Connects again after the broker was away.
    pub async fn reconnect(&mut self) -> Result<(), String> {
        (self.connection, self.channel) = open().await?;
        Ok(())
    }

    /// The daemon's `source` for these names; a classic queue costs a test less than a quorum queue.
    pub fn source(&self) -> Value {
        json!({"amqp": {
            "url": url(), "queue": self.queue, "exchange": self.exchange(), "rejected": self.rejected(),
            "queue_type": "classic", "container": crate::daemon::KEY,
        }})
    }

    pub fn exchange(&self) -> String {
        format!("{}-exchange", self.queue)
    }

    pub fn rejected(&self) -> String {
        format!("{}-rejected", self.queue)
    }

    /// Publishes to the exchange the daemon has bound, and returns once the broker has every message for good.
    pub async fn publish(&self, messages: impl IntoIterator<Item = (Vec<u8>, BasicProperties)>) -> Result<(), String> {
        let options = BasicPublishOptions { mandatory: true, ..Default::default() };
        let mut confirms = Vec::new();
        for (body, properties) in messages {
            let properties = properties.with_delivery_mode(2);
            let sent =
                self.channel.basic_publish(self.exchange().as_str().into(), "event".into(), options, &body, properties);
            confirms.push(sent.await.map_err(|e| format!("publish: {e}"))?);
        }
        for confirm in confirms {
            let confirmed = confirm.await.map_err(|e| format!("publish: {e}"))?;
            if !confirmed.is_ack() || confirmed.take_message().is_some() {
                return Err("the broker did not take a message; has the daemon declared its queue?".into());
            }
        }
        Ok(())
    }

    /// Publishes events as JSON.
    pub async fn publish_json(&self, events: impl IntoIterator<Item = Value>) -> Result<(), String> {
        let properties = BasicProperties::default().with_content_type("application/json".into());
        self.publish(events.into_iter().map(|e| (e.to_string().into_bytes(), properties.clone()))).await
    }

    /// Messages ready in a queue; those a consumer holds do not count.
    pub async fn depth(&self, queue: &str) -> Result<u32, String> {
        // A channel of its own: asking for a queue that is not there closes it.
        let channel = self.connection.create_channel().await.map_err(|e| e.to_string())?;
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let queue = channel
            .queue_declare(queue.into(), passive, FieldTable::default())
            .await
            .map_err(|e| format!("queue {queue}: {e}"))?;
        let depth = queue.message_count();
        let _ = channel.close(200, "done".into()).await;
        Ok(depth)
    }

    /// Takes everything out of a queue.
    pub async fn take(&self, queue: &str) -> Result<Vec<Taken>, String> {
        let mut taken = Vec::new();
        loop {
            let got = self.channel.basic_get(queue.into(), BasicGetOptions::default()).await;
            let Some(message) = got.map_err(|e| format!("queue {queue}: {e}"))? else { return Ok(taken) };
            let delivery = message.delivery;
            delivery.ack(BasicAckOptions::default()).await.map_err(|e| e.to_string())?;
            let headers = delivery.properties.headers().clone().unwrap_or_default();
            taken.push(Taken { body: String::from_utf8_lossy(&delivery.data).into_owned(), headers });
        }
    }

    /// Takes all its names away again.
    pub async fn clean(&self) {
        for queue in [self.queue.clone(), format!("{}.dead", self.queue), self.rejected()] {
            let _ = self.channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await;
        }
        let _ = self.channel.exchange_delete(self.exchange().as_str().into(), ExchangeDeleteOptions::default()).await;
    }
}

async fn open() -> Result<(Connection, Channel), String> {
    let connection = Connection::connect(&url(), ConnectionProperties::default()).await.map_err(|e| e.to_string())?;
    let channel = connection.create_channel().await.map_err(|e| e.to_string())?;
    channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(|e| e.to_string())?;
    Ok((connection, channel))
}

#[tokio::test]
async fn what_is_published_is_counted_taken_and_its_headers_read() {
    use lapin::ExchangeKind;
    use lapin::options::{ExchangeDeclareOptions, QueueBindOptions};
    let broker = Broker::connect("broker").await;
    assert!(broker.depth(&broker.queue).await.is_err(), "nobody declared it yet");
    let (exchange, none) = (broker.exchange(), FieldTable::default());
    let options = ExchangeDeclareOptions::default();
    broker
        .channel
        .exchange_declare(exchange.as_str().into(), ExchangeKind::Topic, options, none.clone())
        .await
        .unwrap();
    assert!(broker.publish_json([json!({})]).await.is_err(), "nothing is bound yet");
    let queue = broker.queue.as_str();
    broker.channel.queue_declare(queue.into(), QueueDeclareOptions::default(), none.clone()).await.unwrap();
    let bound = broker.channel.queue_bind(
        queue.into(),
        exchange.as_str().into(),
        "#".into(),
        QueueBindOptions::default(),
        none.clone(),
    );
    bound.await.unwrap();
    let mut headers = FieldTable::default();
    headers.insert("container".into(), AMQPValue::LongString("a".into()));
    broker.publish([(b"{}".to_vec(), BasicProperties::default().with_headers(headers))]).await.unwrap();
    assert_eq!(broker.depth(queue).await.unwrap(), 1);
    let taken = broker.take(queue).await.unwrap();
    assert_eq!((taken.len(), taken[0].body.as_str(), taken[0].header("container").as_deref()), (1, "{}", Some("a")));
    broker.clean().await;
    assert!(broker.depth(queue).await.is_err());
}
