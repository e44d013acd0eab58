//! The exchange and the queues the source stands on (SPEC section 12).
//!
//! Refuses: changing or deleting what exists. What was declared with other arguments is used as it is, with a warning.

use std::collections::HashSet;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

use super::link::{AmqpError, name, name_of};
use crate::config::{AmqpSource, QueueType};

/// The key that binds the queue to everything on the topic exchange.
const EVERYTHING: &str = "#";

/// What has been warned about, so that a reconnect does not say it again. At most one entry per declared name.
pub(super) type Warned = HashSet<Box<str>>;

/// Declares everything, or with `declare: false` makes sure that it exists. Gives a channel fit for use.
pub(super) async fn declare(
    connection: &Connection,
    source: &AmqpSource,
    warned: &mut Warned,
) -> Result<Channel, AmqpError> {
    let mut declarer = Declarer { connection, source, warned, channel: open(connection).await? };
    if source.declare {
        let dead = format!("{}.dead", source.queue);
        let exchange = declarer.exchange().await?;
        declarer.queue(&dead, plain(source.queue_type)).await?;
        declarer.queue(&source.queue, dead_lettering(source.queue_type, &dead)).await?;
        declarer.queue(&source.rejected, plain(source.queue_type)).await?;
        declarer.bind(exchange).await?;
    } else {
        declarer.expect_queue(&source.queue).await?;
        declarer.look_for_rejected().await?;
    }
    Ok(declarer.channel)
}

/// Declares the rejected queue alone, or makes sure that it exists. Gives a channel fit for use.
pub(super) async fn declare_rejected(
    connection: &Connection,
    source: &AmqpSource,
    warned: &mut Warned,
) -> Result<Channel, AmqpError> {
    let mut declarer = Declarer { connection, source, warned, channel: open(connection).await? };
    if source.declare {
        declarer.queue(&source.rejected, plain(source.queue_type)).await?;
    } else {
        declarer.expect_queue(&source.rejected).await?;
    }
    Ok(declarer.channel)
}

struct Declarer<'a> {
    connection: &'a Connection,
    source: &'a AmqpSource,
    warned: &'a mut Warned,
    channel: Channel,
}

impl Declarer<'_> {
    async fn exchange(&mut self) -> Result<lapin::types::ShortString, AmqpError> {
        let exchange = name(&self.source.exchange)?;
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let declared = self.channel.exchange_declare(exchange.clone(), ExchangeKind::Topic, options, no_arguments());
        match declared.await {
            Ok(()) => Ok(exchange),
            Err(error) if differs(&error) => {
                self.warn_of_difference("exchange", &self.source.exchange, &error);
                self.channel = open(self.connection).await?;
                Ok(exchange)
            }
            Err(error) => Err(AmqpError::at(format!("cannot declare exchange {:?}", self.source.exchange))(error)),
        }
    }

    async fn queue(&mut self, queue: &str, arguments: FieldTable) -> Result<(), AmqpError> {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        match self.channel.queue_declare(name(queue)?, options, arguments).await {
            Ok(_) => Ok(()),
            Err(error) if differs(&error) => {
                self.warn_of_difference("queue", queue, &error);
                // The broker closes the channel over a difference.
                self.channel = open(self.connection).await?;
                self.expect_queue(queue).await
            }
            Err(error) => Err(AmqpError::at(format!("cannot declare queue {queue:?}"))(error)),
        }
    }

    async fn expect_queue(&self, queue: &str) -> Result<(), AmqpError> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let expected = self.channel.queue_declare(name(queue)?, options, no_arguments()).await;
        expected.map(drop).map_err(AmqpError::at(format!("cannot use queue {queue:?}")))
    }

    /// Without a rejected queue events can flow all the same; a message that is refused then waits, unacknowledged, until
    /// somebody has made it.
    async fn look_for_rejected(&mut self) -> Result<(), AmqpError> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = &self.source.rejected;
        match self.channel.queue_declare(name(queue)?, options, no_arguments()).await {
            Ok(_) => Ok(()),
            Err(error) if is_soft(&error, AMQPSoftError::NOTFOUND) => {
                if self.warned.insert(format!("missing {queue}").into()) {
                    tracing::warn!(%queue, "amqp.rejected_queue_missing: what is refused is kept back until it exists");
                }
                self.channel = open(self.connection).await?;
                Ok(())
            }
            Err(error) => Err(AmqpError::at(format!("cannot use queue {queue:?}"))(error)),
        }
    }

    async fn bind(&self, exchange: lapin::types::ShortString) -> Result<(), AmqpError> {
        let queue = name(&self.source.queue)?;
        let bound =
            self.channel.queue_bind(queue, exchange, name_of(EVERYTHING), QueueBindOptions::default(), no_arguments());
        let what = || format!("cannot bind queue {:?} to exchange {:?}", self.source.queue, self.source.exchange);
        bound.await.map_err(|error| AmqpError::at(what())(error))
    }

    fn warn_of_difference(&mut self, kind: &'static str, name: &str, error: &lapin::Error) {
        if self.warned.insert(format!("{kind} {name}").into()) {
            tracing::warn!(
                kind,
                name,
                %error,
                "amqp.declared_otherwise: it exists with other arguments and is used as it is"
            );
        }
    }
}

async fn open(connection: &Connection) -> Result<Channel, AmqpError> {
    connection.create_channel().await.map_err(AmqpError::at("cannot open a channel"))
}

fn differs(error: &lapin::Error) -> bool {
    is_soft(error, AMQPSoftError::PRECONDITIONFAILED)
}

fn is_soft(error: &lapin::Error, soft: AMQPSoftError) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(e) if *e.kind() == AMQPErrorKind::Soft(soft))
}

fn no_arguments() -> FieldTable {
    FieldTable::default()
}

fn plain(queue_type: QueueType) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert(name_of("x-queue-type"), text(type_word(queue_type)));
    arguments
}

/// A message that kills its consumers again and again ends in the dead-letter queue. A quorum queue's own default would
/// delete it; at-least-once keeps it, and asks for `reject-publish`.
fn dead_lettering(queue_type: QueueType, dead: &str) -> FieldTable {
    let mut arguments = plain(queue_type);
    arguments.insert(name_of("x-dead-letter-exchange"), text(""));
    arguments.insert(name_of("x-dead-letter-routing-key"), text(dead));
    if queue_type == QueueType::Quorum {
        arguments.insert(name_of("x-dead-letter-strategy"), text("at-least-once"));
        arguments.insert(name_of("x-overflow"), text("reject-publish"));
    }
    arguments
}

fn type_word(queue_type: QueueType) -> &'static str {
    match queue_type {
        QueueType::Quorum => "quorum",
        QueueType::Classic => "classic",
    }
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value.as_bytes()))
}
