//! A connection to the broker, and what can go wrong with it.
//!
//! Refuses: trying twice; that is the supervisor's.

use std::time::Duration;

use lapin::types::ShortString;
use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

/// Seconds between heartbeats. A frozen broker is noticed after twice that; the broker's own default takes two minutes.
const HEARTBEAT_S: u16 = 10;

/// For the TCP connection, TLS and the AMQP handshake together. lapin's asynchronous connect ignores the URI's
/// `connection_timeout`, so the bound is set around it.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// A polite farewell is worth this much; a dropped connection ends as well.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Why the broker can't be used now.
#[derive(Debug, thiserror::Error)]
pub(super) enum AmqpError {
    /// Without the URL: it may hold a password.
    #[error("source.amqp.url is no AMQP URL; write it like amqp://user:password@host:5672/%2f")]
    Url,
    #[error("the name {0:?} is longer than the 255 bytes that AMQP allows")]
    Name(Box<str>),
    #[error("no connection within {} s", CONNECT_WITHIN.as_secs())]
    Timeout,
    #[error("{what}: {error}")]
    Broker { what: Box<str>, error: lapin::Error },
}

impl AmqpError {
    /// Says what was being done when the broker or the connection failed.
    pub fn at(what: impl Into<Box<str>>) -> impl FnOnce(lapin::Error) -> Self {
        let what = what.into();
        move |error| Self::Broker { what, error }
    }
}

/// Connects once. `purpose` is shown in the broker's list of connections.
pub(super) async fn connect(url: &SecretString, purpose: &str) -> Result<Connection, AmqpError> {
    let uri = uri(url.expose_secret())?;
    let name = format!("postbackd ({purpose})");
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    match tokio::time::timeout(CONNECT_WITHIN, Connection::connect_uri(uri, properties)).await {
        Ok(connected) => connected.map_err(AmqpError::at("cannot connect")),
        Err(_) => Err(AmqpError::Timeout),
    }
}

/// Closes politely, as far as that goes.
pub(super) async fn close(connection: &Connection) {
    // An error says that it is closed already.
    drop(tokio::time::timeout(CLOSE_WITHIN, connection.close(200, name_of("OK"))).await);
}

/// A name as AMQP carries it.
pub(super) fn name(text: &str) -> Result<ShortString, AmqpError> {
    ShortString::try_new(text).map_err(|_| AmqpError::Name(text.into()))
}

/// A name of ours, short by sight.
pub(super) fn name_of(text: &'static str) -> ShortString {
    text.into()
}

fn uri(text: &str) -> Result<AMQPUri, AmqpError> {
    let mut uri: AMQPUri = text.parse().map_err(|_| AmqpError::Url)?;
    // The parser takes names only and would silently put `localhost` in the place of an IPv6 address.
    if let Ok(url) = Url::parse(text)
        && let Some(Host::Ipv6(address)) = url.host()
    {
        uri.authority.host = address.to_string();
    }
    uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_the_one_written() {
        for (text, host, port, vhost, heartbeat) in [
            ("amqp://u:p@broker:5673/%2f", "broker", 5673, "/", 10),
            ("amqp://127.0.0.1", "127.0.0.1", 5672, "/", 10),
            ("amqps://[::1]/shop?heartbeat=30", "::1", 5671, "shop", 30),
        ] {
            let uri = uri(text).unwrap();
            assert_eq!((&*uri.authority.host, uri.authority.port), (host, port), "{text}");
            assert_eq!((&*uri.vhost, uri.query.heartbeat), (vhost, Some(heartbeat)), "{text}");
        }
        for text in ["http://secret@x", "secret", ""] {
            assert!(!uri(text).unwrap_err().to_string().contains("secret"));
        }
    }
}
