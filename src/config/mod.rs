//! The configuration as meant: every value checked, every default filled in. `load` reads it.
//!
//! Refuses: network and store. What stands here cannot be wrong by itself; whether a port is free is the daemon's to find.

mod across;
mod connector;
mod context;
mod daemon;
mod fields;
pub mod files;
pub mod fixtures;
pub mod gallery;
mod json_value;
mod keys;
mod load;
mod node;
mod places;
mod problem;
pub mod schema;
mod shape;
mod substitute;
mod templates;
#[cfg(test)]
mod tests;
mod values;
mod yaml;

pub use self::fixtures::{ConnectorFixtures, Expect, ExpectBody, Fixture};
pub use self::load::{DEFAULT_FILE, LoadOptions, Loaded, load, load_from};
pub use self::places::connectors_folder;
pub use self::problem::{Problem, Severity};
pub use self::schema::{connector_table, settings_table};

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;

use crate::model::connector::Connector;
use crate::model::ids::ContainerKey;

/// Everything one `postbackd.yaml` and its connectors say.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from; `None` for the built-in demo.
    pub file: Option<PathBuf>,
    /// The folders whose changes call for a reload.
    pub watched: Vec<PathBuf>,
    pub containers: Vec<Container>,
    pub amqp: Option<AmqpSource>,
    pub store: StoreChoice,
    pub ingest: Ingest,
    pub admin: Admin,
    pub egress: Egress,
    pub retention: Retention,
    /// A longer gap of event time starts a new session.
    pub session_timeout: Duration,
    pub partial_timeout: Duration,
    /// How long an event id is remembered.
    pub deduplicate_events_for: Duration,
    pub matching: Matching,
    /// Further query parameters captured as clicks.
    pub click_params: Vec<Box<str>>,
    pub shutdown_grace: Duration,
    pub log: Log,
    /// In the order of their files and of the lists in them.
    pub connectors: Vec<Arc<Connector>>,
}

/// A site or account that sends events.
#[derive(Clone, Debug)]
pub struct Container {
    pub key: ContainerKey,
    pub name: Box<str>,
    /// ISO 3166-1 alpha-2, for national phone numbers.
    pub country: Option<Box<str>>,
    /// ISO 4217, for values sent without one.
    pub currency: Option<Box<str>>,
    /// Events per second over HTTP; `None`: unlimited.
    pub rate: Option<f64>,
    pub secret: Option<SecretString>,
    /// What Stripe signs with, where that is another.
    pub stripe_secret: Option<SecretString>,
    pub batch_event: Option<Box<str>>,
    pub conversion_event: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueType {
    Quorum,
    Classic,
}

#[derive(Clone, Debug)]
pub struct AmqpSource {
    /// May hold a password.
    pub url: SecretString,
    pub queue: Box<str>,
    pub exchange: Box<str>,
    pub rejected: Box<str>,
    pub queue_type: QueueType,
    pub prefetch: u16,
    pub declare: bool,
    /// The container of messages that name none.
    pub container: Option<ContainerKey>,
}

#[derive(Clone, Debug)]
pub enum StoreChoice {
    Embedded { path: PathBuf },
}

#[derive(Clone, Debug)]
pub struct Ingest {
    pub listen: SocketAddr,
    /// Events per second over all containers; `None`: unlimited.
    pub rate: Option<f64>,
    pub trusted_proxies: Vec<IpNet>,
}

#[derive(Clone, Debug)]
pub struct Admin {
    pub listen: SocketAddr,
    pub token: Option<SecretString>,
    pub open_metrics: bool,
}

#[derive(Clone, Debug)]
pub struct Egress {
    /// Networks a postback may reach although private.
    pub allow: Vec<IpNet>,
    pub proxy: Option<url::Url>,
}

#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub clicks: Duration,
    pub log: Duration,
}

#[derive(Clone, Debug)]
pub struct Matching {
    pub by_time: Option<Duration>,
    /// Values that never match; `*` stands for any text.
    pub ignore: Vec<Box<str>>,
    pub sessions_max: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub format: LogFormat,
    pub level: tracing::Level,
}

impl Config {
    /// The container with this key.
    pub fn container(&self, key: &str) -> Option<&Container> {
        self.containers.iter().find(|c| *c.key == *key)
    }

    /// The connector of this name.
    pub fn connector(&self, name: &str) -> Option<&Arc<Connector>> {
        self.connectors.iter().find(|c| *c.name == *name)
    }
}
