//! One message of the broker: its bytes, what stands beside them, and the events in it.
//!
//! Refuses: judging fields; that is `reading`.

use lapin::BasicProperties;
use lapin::types::AMQPValue;

use crate::config::{AmqpSource, Config};
use crate::ingest::dialects::flat;
use crate::ingest::now;
use crate::ingest::reading::{Context, Refused};
use crate::model::event::Event;
use crate::model::time::Time;

/// A message as it came, kept until it is settled.
#[derive(Debug)]
pub(super) struct Message {
    pub body: Vec<u8>,
    pub properties: BasicProperties,
}

/// AMQP says seconds, some clients write milliseconds: what is beyond this (the year 5138) is meant so.
const SECONDS_MAX: u64 = 99_999_999_999;

/// The events in it, at least one.
pub(super) fn read(
    message: &Message,
    redelivered: bool,
    source: &AmqpSource,
    config: &Config,
) -> Result<Vec<Event>, Refused> {
    let properties = &message.properties;
    let context = Context {
        containers: &config.containers,
        container_header: container_header(properties),
        container_default: source.container.as_deref(),
        message_id: properties.message_id().as_ref().map(|id| id.as_str()),
        sent: properties.timestamp().and_then(sent),
        received: now(),
        redelivered,
    };
    flat::read_message(&message.body, &context)
}

fn container_header(properties: &BasicProperties) -> Option<&str> {
    match properties.headers().as_ref()?.inner().get("container")? {
        AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok(),
        AMQPValue::ShortString(text) => Some(text.as_str()),
        _ => None,
    }
}

/// Zero is what clients write that know no time.
fn sent(timestamp: u64) -> Option<Time> {
    let ms = if timestamp <= SECONDS_MAX { timestamp.saturating_mul(1000) } else { timestamp };
    i64::try_from(ms).ok().filter(|ms| *ms != 0).map(Time::from_ms)
}
