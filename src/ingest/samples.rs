//! A configuration for the tests of this room.
//!
//! Refuses: being used outside tests.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::http::{Body, Content, Refusal, Request, Signatures};
use super::reading::Context;
use crate::config::{Admin, Config, Container, Egress, Ingest, Log, LogFormat, Matching, Retention, StoreChoice};
use crate::model::event::Event;
use crate::model::time::Time;

/// `shop` has no default currency, `fi` has EUR.
pub(super) fn containers() -> Vec<Container> {
    [("shop", None), ("fi", Some("EUR"))]
        .into_iter()
        .map(|(key, currency)| Container {
            key: key.into(),
            name: key.into(),
            country: None,
            currency: currency.map(Into::into),
            rate: None,
            secret: None,
            stripe_secret: None,
            batch_event: None,
            conversion_event: "Conversion".into(),
        })
        .collect()
}

/// Everything at its default.
pub(super) fn config() -> Config {
    let loopback = "127.0.0.1:0".parse().unwrap();
    let day = Duration::from_secs(86_400);
    Config {
        file: None,
        watched: Vec::new(),
        containers: containers(),
        amqp: None,
        store: StoreChoice::Embedded { path: "data".into() },
        ingest: Ingest { listen: loopback, rate: None, trusted_proxies: Vec::new() },
        admin: Admin { listen: loopback, token: None, open_metrics: false },
        egress: Egress { allow: Vec::new(), proxy: None },
        retention: Retention { clicks: 400 * day, log: 30 * day },
        session_timeout: day,
        partial_timeout: day,
        deduplicate_events_for: day,
        matching: Matching { by_time: None, ignore: Vec::new(), sessions_max: 100 },
        click_params: Vec::new(),
        shutdown_grace: day,
        log: Log { format: LogFormat::Text, level: tracing::Level::INFO },
        connectors: Vec::new(),
    }
}

/// [`config`] as the sources take it.
pub(super) fn shared(config: Config) -> Arc<ArcSwap<Config>> {
    Arc::new(ArcSwap::from_pointee(config))
}

/// A request without headers, as a dialect sees it.
pub(super) fn request(path: &[&str], query: &str, kind: Body, body: &str) -> Request {
    Request {
        target: format!("/?{query}"),
        path: path.iter().map(|part| (*part).into()).collect(),
        query: query.to_owned(),
        body: Content { kind, bytes: Bytes::copy_from_slice(body.as_bytes()) },
        idempotency_key: None,
        signatures: Signatures::default(),
    }
}

/// What a dialect makes of a request that comes at [`NOON`].
pub(super) fn read_over_http(
    read: fn(&Request, &Context<'_>) -> Result<Vec<Event>, Refusal>,
    containers: &[Container],
    path: &[&str],
    query: &str,
    kind: Body,
    body: &str,
) -> Result<Vec<Event>, Refusal> {
    read(&request(path, query, kind, body), &context(containers))
}

/// Of a message that comes at [`NOON`] with nothing beside it.
pub(super) fn context(containers: &[Container]) -> Context<'_> {
    Context {
        containers,
        container_header: None,
        container_default: None,
        message_id: None,
        sent: None,
        received: Time::from_ms(NOON),
        redelivered: false,
    }
}

/// 2026-01-10T12:00:00Z.
pub(super) const NOON: i64 = 1_768_046_400_000;
