//! A queue of the benchmark's own: filled before a run, or fed at a steady rate.
//!
//! Refuses: leaving queues behind. They are deleted after the run, and by the broker if the run was cut off.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, PublisherConfirm};

use crate::options::QueueType;

/// Publishes awaiting their confirm at once.
const WINDOW: usize = 1000;

/// After this time without a consumer the broker deletes it.
const EXPIRES_MS: i32 = 900_000;

/// The longest that one run may take: a broker short of memory or disk takes nothing more, and says nothing.
const RUN_MAX: Duration = Duration::from_secs(300);

/// A quorum queue counts its last acknowledgements some time after it took them.
const COUNTED_WITHIN: Duration = Duration::from_secs(10);
const COUNTED_EVERY: Duration = Duration::from_millis(50);

/// A queue, and one for what the daemon would reject: it is to find both and declare neither.
pub struct Queue {
    pub name: String,
    pub rejected: String,
    connection: Connection,
    channel: Channel,
}

/// Makes a queue, lets `work` use it, and deletes it, whatever came of that.
pub async fn with_queue<T>(
    amqp: &str,
    queue_type: QueueType,
    work: impl AsyncFnOnce(&Queue) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let queue = Queue::declare(amqp, queue_type).await?;
    let done = tokio::time::timeout(RUN_MAX, work(&queue)).await.context("the run took too long").flatten();
    queue.delete().await?;
    done
}

impl Queue {
    async fn declare(amqp: &str, queue_type: QueueType) -> anyhow::Result<Self> {
        let connection = Connection::connect(amqp, ConnectionProperties::default())
            .await
            .context("no RabbitMQ at AMQP_URL or 127.0.0.1:5672")?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let name = format!("postbackd-bench-{}-{}", std::process::id(), queue_type.word());
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(queue_type.word().into()));
        arguments.insert("x-expires".into(), AMQPValue::LongInt(EXPIRES_MS));
        let rejected = format!("{name}-rejected");
        for name in [&name, &rejected] {
            channel.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), arguments.clone()).await?;
        }
        Ok(Self { name, rejected, connection, channel })
    }

    /// Publishes persistent messages and returns once the broker has confirmed each.
    pub async fn fill(&self, messages: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
        let mut confirms = VecDeque::with_capacity(WINDOW);
        for message in messages {
            confirms.push_back(self.publish(&message).await?);
            if confirms.len() == WINDOW
                && let Some(oldest) = confirms.pop_front()
            {
                confirmed(oldest).await?;
            }
        }
        for confirm in confirms {
            confirmed(confirm).await?;
        }
        Ok(())
    }

    /// Publishes `count` messages at a steady rate; each is made with the time of its publishing, in microseconds. What the
    /// publisher itself is late by is not held against the consumer.
    pub async fn feed(&self, per_s: u32, count: usize, message: impl Fn(usize, u64) -> String) -> anyhow::Result<()> {
        let mut due = tokio::time::interval(Duration::from_secs(1) / per_s);
        let mut confirms = Vec::with_capacity(count);
        for n in 0..count {
            due.tick().await;
            let message = message(n, now_us());
            confirms.push(self.publish(&message).await?);
        }
        for confirm in confirms {
            confirmed(confirm).await?;
        }
        Ok(())
    }

    async fn publish(&self, message: &str) -> anyhow::Result<PublisherConfirm> {
        let properties = BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
        let name = self.name.as_str().into();
        Ok(self
            .channel
            .basic_publish("".into(), name, BasicPublishOptions::default(), message.as_bytes(), properties)
            .await?)
    }

    /// An error where something is left in it. To be asked when nobody consumes any more: then what was not acknowledged is
    /// back in it.
    pub async fn used_up(&self) -> anyhow::Result<()> {
        for name in [&self.name, &self.rejected] {
            let until = Instant::now() + COUNTED_WITHIN;
            while let left @ 1.. = self.count(name).await? {
                anyhow::ensure!(Instant::now() < until, "{left} messages are left in {name}");
                tokio::time::sleep(COUNTED_EVERY).await;
            }
        }
        Ok(())
    }

    async fn count(&self, name: &str) -> anyhow::Result<u32> {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        Ok(self.channel.queue_declare(name.into(), passive, FieldTable::default()).await?.message_count())
    }

    async fn delete(self) -> anyhow::Result<()> {
        for name in [&self.name, &self.rejected] {
            self.channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
        }
        self.connection.close(200, "done".into()).await?;
        Ok(())
    }
}

async fn confirmed(confirm: PublisherConfirm) -> anyhow::Result<()> {
    anyhow::ensure!(confirm.await?.is_ack(), "the broker refused a message");
    Ok(())
}

/// Microseconds since the epoch, as the sink will read them from the same clock.
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
