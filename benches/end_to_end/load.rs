//! The messages of the benchmark, and a queue full of them.
//!
//! Refuses: publishing while anything is measured; every run starts with a full queue.

use anyhow::Context as _;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

/// Publishes awaiting their confirm at once.
const WINDOW: usize = 1000;

/// One purchase of about 520 bytes: another visitor, session, order and click each time.
pub fn purchase(n: usize, run: &str) -> String {
    let hash = format!("{:016x}", (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let (euros, ts) = (5 + n % 995, 1_700_000_000_000_000_u64 + n as u64);
    format!(
        concat!(
            r#"{{"k":"bench-key","track":"Purchase","eventId":"ev-{run}-{n:08}","sessionId":"s-{hash}","#,
            r#""gclid":"Cj0KCQiA{hash}EALw_wcB","email":"buyer{n}@example.com","country":"DE","#,
            r#""transactionId":"tx-{n:08}","value":{euros}.49,"currency":"EUR","#,
            r#""items":[{{"id":"SKU-{n}","name":"Example article","quantity":1,"price":{euros}.49}}],"#,
            r#""url":"https://shop.example.com/checkout/thanks?order={n:08}&aff_click_id=c{hash}","#,
            r#""userAgent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","ip":"203.0.113.7","ts":{ts}}}"#,
        ),
        run = run,
        n = n,
        hash = hash,
        euros = euros,
        ts = ts,
    )
}

/// A queue of the benchmark's own, and one for what the daemon would reject: it is to find both and declare neither.
pub struct Queue {
    pub name: String,
    pub rejected: String,
    connection: Connection,
    channel: Channel,
}

impl Queue {
    /// Declares it, durable, of the given type.
    pub async fn declare(amqp: &str, queue_type: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(amqp, ConnectionProperties::default())
            .await
            .context("no RabbitMQ at AMQP_URL or 127.0.0.1:5672")?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let name = format!("postbackd-bench-{}-{queue_type}", std::process::id());
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(queue_type.into()));
        let rejected = format!("{name}-rejected");
        for name in [&name, &rejected] {
            channel.queue_declare(name.as_str().into(), QueueDeclareOptions::durable(), arguments.clone()).await?;
        }
        Ok(Self { name, rejected, connection, channel })
    }

    /// Publishes `events` persistent messages and returns once the broker has confirmed each.
    pub async fn fill(&self, events: usize, run: &str) -> anyhow::Result<()> {
        let properties = BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
        let mut confirms = std::collections::VecDeque::with_capacity(WINDOW);
        for n in 0..events {
            let body = purchase(n, run);
            let options = BasicPublishOptions::default();
            let name = self.name.as_str().into();
            let sent =
                self.channel.basic_publish("".into(), name, options, body.as_bytes(), properties.clone()).await?;
            confirms.push_back(sent);
            if confirms.len() == WINDOW
                && let Some(oldest) = confirms.pop_front()
            {
                anyhow::ensure!(oldest.await?.is_ack(), "the broker refused a message");
            }
        }
        for confirm in confirms {
            anyhow::ensure!(confirm.await?.is_ack(), "the broker refused a message");
        }
        Ok(())
    }

    /// Messages ready in it. Asked when nobody consumes, it is all there are.
    pub async fn depth(&self) -> anyhow::Result<u32> {
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let queue = self.channel.queue_declare(self.name.as_str().into(), passive, FieldTable::default()).await?;
        Ok(queue.message_count())
    }

    pub async fn delete(self) -> anyhow::Result<()> {
        for name in [&self.name, &self.rejected] {
            self.channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
        }
        self.connection.close(200, "done".into()).await?;
        Ok(())
    }
}
