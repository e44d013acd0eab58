//! `postbackd.yaml` without its connectors: every setting as meant.
//!
//! Refuses: connectors, and asking the network whether an address is free.

use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::context::Context;
use super::fields::Fields;
use super::keys::daemon::DAEMON;
use super::node::{Node, Tree};
use super::problem::Position;
use super::substitute::Substituted;
use super::{
    Admin, AmqpSource, Config, Container, Egress, Ingest, Log, LogFormat, Matching, QueueType, Retention, StoreChoice,
    values,
};
use crate::model::ids::ContainerKey;

/// What the file says, connectors still to be read.
pub struct Daemon {
    /// With no connectors yet.
    pub config: Config,
    /// As written, each with its place.
    pub globs: Vec<(Position, String)>,
    /// The templates folder, as reached from the working directory.
    pub templates: PathBuf,
}

/// Reads the document of `postbackd.yaml`; `folder` is the one it lies in. `None` if it is no mapping at all.
pub fn read(ctx: &Context<'_>, document: &Node, folder: &Path) -> Option<Daemon> {
    let empty = Node { at: Position::START, tree: Tree::Map(Vec::new()) };
    // A file of comments alone says: every default.
    let document = if document.is_null() { &empty } else { document };
    let f = Fields::open(ctx, "the configuration", document, &DAEMON)?;
    let containers = containers(&f);
    let source = f.object("source");
    let amqp = source.as_ref().and_then(|source| source.object("amqp")).and_then(|f| amqp(&f, &containers));
    let session = f.object_or_empty("session");
    let deduplicate = f.object_or_empty("deduplicate");
    let attribution = f.object_or_empty("attribution");
    let shutdown = f.object_or_empty("shutdown");
    let templates = folder.join(&*f.word("templates").unwrap_or_default());
    let config = Config {
        file: None,
        watched: Vec::new(),
        amqp,
        store: store(&f, folder),
        ingest: ingest(&f),
        admin: admin(&f),
        egress: egress(&f),
        retention: retention(&f),
        session_timeout: positive(&session, "timeout"),
        partial_timeout: f.duration("partial_timeout").unwrap_or_default(),
        deduplicate_events_for: deduplicate.duration("events_for").unwrap_or_default(),
        matching: matching(&f),
        click_params: attribution.all("click_params", name).unwrap_or_default(),
        shutdown_grace: shutdown.duration("grace").unwrap_or_default(),
        log: log(&f),
        connectors: Vec::new(),
        containers,
    };
    Some(Daemon { config, globs: globs(&f), templates })
}

fn globs(f: &Fields<'_>) -> Vec<(Position, String)> {
    let Some(nodes) = f.elements("connectors") else {
        return f.word("connectors").map(|glob| (f.at, glob.into_string())).into_iter().collect();
    };
    let read = |node: &&Node| f.ctx.parsed("connectors", node, name).map(|glob| (node.at, glob.into_string()));
    nodes.iter().filter_map(read).collect()
}

/// A text that is not blank.
fn name(text: &str) -> Result<Box<str>, values::Wrong> {
    if text.trim().is_empty() { Err("is empty: write something, or take it away".to_owned()) } else { Ok(text.into()) }
}

/// A duration longer than nothing.
fn positive(f: &Fields<'_>, key: &str) -> std::time::Duration {
    let parse = |text: &str| match values::duration(text)? {
        std::time::Duration::ZERO => Err("is too short: write more than 0s".to_owned()),
        duration => Ok(duration),
    };
    f.parsed(key, parse).unwrap_or_default()
}

/// A secret that is not empty. The value is kept out of logs, wherever it was written.
fn secret(f: &Fields<'_>, key: &str) -> Option<SecretString> {
    let text = f.text(key)?;
    f.ctx.keep_secret(text.text.reveal());
    (!text.text.is_empty()).then(|| SecretString::from(text.text.reveal()))
}

fn containers(f: &Fields<'_>) -> Vec<Container> {
    let mut read: Vec<(Container, Position)> = Vec::new();
    for fields in f.objects("containers") {
        let key = fields.word("key").unwrap_or_default();
        let at = fields.position("key");
        if !key.is_empty() && read.iter().any(|(known, _)| *known.key == *key) {
            fields
                .ctx
                .error(at, format!("container key `{key}` is given twice: every container needs a key of its own"));
        }
        let name = fields.word("name").unwrap_or_else(|| key.clone());
        if let Some((known, _)) = read.iter().find(|(known, _)| known.name == name || *known.key == *name) {
            let message = format!("container name `{name}` also means the container `{}`: choose another", known.key);
            fields.ctx.error(fields.position("name"), message);
        }
        read.push((container(&fields, key.as_ref().into(), name), at));
    }
    if read.is_empty() {
        f.ctx
            .warn(f.position("containers"), "containers: none are configured, so every event is refused: add {key: …}");
    }
    read.into_iter().map(|(container, _)| container).collect()
}

fn container(f: &Fields<'_>, key: ContainerKey, name: Box<str>) -> Container {
    let upper = |letters: usize, example: &'static str| {
        move |text: &str| match text.len() == letters && text.bytes().all(|b| b.is_ascii_uppercase()) {
            true => Ok(text.into()),
            false => Err(format!("is no code of {letters} capital letters, like {example}")),
        }
    };
    Container {
        key,
        name,
        country: f.parsed("country", upper(2, "FI")),
        currency: f.parsed("currency", upper(3, "EUR")),
        rate: f.rate("rate"),
        secret: secret(f, "secret"),
        stripe_secret: secret(&f.object_or_empty("stripe"), "secret"),
        batch_event: f.object_or_empty("batch").word("event"),
        conversion_event: f.object_or_empty("conversion").word("event").unwrap_or_default(),
    }
}

fn amqp(f: &Fields<'_>, containers: &[Container]) -> Option<AmqpSource> {
    let url = f.text("url");
    let scheme = |text: &Substituted| url::Url::parse(text.text.reveal()).ok().map(|u| u.scheme().to_owned());
    let wrong = |text: &&Substituted| !text.incomplete && !matches!(scheme(text).as_deref(), Some("amqp" | "amqps"));
    if url.as_ref().filter(wrong).is_some() {
        // The URL may hold a password, so it is not quoted.
        let message = "url: this is no AMQP URL: write one like amqp://user:password@host:5672/vhost";
        f.ctx.error(f.position("url"), message);
    }
    let container = f.word("container").and_then(|name| {
        let found = containers.iter().find(|c| *c.key == *name || c.name == name).map(|c| c.key.clone());
        if found.is_none() {
            let keys = containers.iter().map(|c| &*c.key).collect::<Vec<_>>().join(", ");
            let message = format!("container: `{name}` is no container; those configured are: {keys}");
            f.ctx.error(f.position("container"), message);
        }
        found
    });
    let source = AmqpSource {
        url: SecretString::from(url.as_ref().map_or("", |url| url.text.reveal())),
        queue: f.word("queue").unwrap_or_default(),
        exchange: f.word("exchange").unwrap_or_default(),
        rejected: f.word("rejected").unwrap_or_default(),
        queue_type: f.choice("queue_type", &[QueueType::Quorum, QueueType::Classic]).unwrap_or(QueueType::Quorum),
        prefetch: f.integer("prefetch").and_then(|n| u16::try_from(n).ok()).unwrap_or_default(),
        declare: f.boolean("declare"),
        container,
    };
    url.map(|_| source)
}

fn store(f: &Fields<'_>, folder: &Path) -> StoreChoice {
    let path = f.object_or_empty("store").word("path").unwrap_or_default();
    StoreChoice::Embedded { path: folder.join(&*path) }
}

fn loopback(port: u16) -> std::net::SocketAddr {
    std::net::SocketAddr::from(([127, 0, 0, 1], port))
}

fn ingest(f: &Fields<'_>) -> Ingest {
    let f = f.object_or_empty("ingest");
    Ingest {
        listen: f.parsed("listen", values::address).unwrap_or_else(|| loopback(8080)),
        rate: f.rate("rate"),
        trusted_proxies: f.all("trusted_proxies", values::network).unwrap_or_default(),
    }
}

fn admin(f: &Fields<'_>) -> Admin {
    let f = f.object_or_empty("admin");
    let listen = f.parsed("listen", values::address).unwrap_or_else(|| loopback(9090));
    let given = f.text("token");
    let token = secret(&f, "token");
    let hidden = given.as_ref().is_some_and(|text| text.incomplete);
    if !listen.ip().is_loopback() && token.is_none() && !hidden {
        let message = format!(
            "admin: {listen} can be reached from other machines, so it needs `token: \"${{ADMIN_TOKEN}}\"`; \
             or listen on 127.0.0.1"
        );
        f.ctx.error(f.position("listen"), message);
    }
    Admin { listen, token, open_metrics: f.boolean("open_metrics") }
}

fn egress(f: &Fields<'_>) -> Egress {
    let f = f.object_or_empty("egress");
    let proxy = |text: &str| {
        let wrong = || "is no proxy URL: write one like http://proxy.example:3128".to_owned();
        let url = url::Url::parse(text).map_err(|_| wrong())?;
        if matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(url) } else { Err(wrong()) }
    };
    Egress { allow: f.all("allow", values::network).unwrap_or_default(), proxy: f.parsed("proxy", proxy) }
}

fn retention(f: &Fields<'_>) -> Retention {
    let f = f.object_or_empty("retention");
    Retention { clicks: positive(&f, "clicks"), log: positive(&f, "log") }
}

fn matching(f: &Fields<'_>) -> Matching {
    let f = f.object_or_empty("match");
    Matching {
        by_time: f.duration("by_time").filter(|d| !d.is_zero()),
        ignore: f.all("ignore", name).unwrap_or_default(),
        sessions_max: f.integer("sessions_max").and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
    }
}

fn log(f: &Fields<'_>) -> Log {
    use tracing::Level;
    let f = f.object_or_empty("log");
    let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
    Log {
        format: f.choice("format", &[LogFormat::Text, LogFormat::Json]).unwrap_or(LogFormat::Text),
        level: f.choice("level", &levels).unwrap_or(Level::INFO),
    }
}
