//! Every key of `postbackd.yaml` (SPEC section 12).
//!
//! Refuses: reading them.

use crate::config::shape::{Key, Shape, Table};

const TEXT: Shape = Shape::Text;
const NETWORKS: Shape = Shape::List(&Shape::Network);

/// Unacknowledged messages that AMQP can count.
const PREFETCH_MAX: u64 = 65_535;

pub const DAEMON: Table = Table::of(&[
    Key::new("connectors", Shape::OneOrList(&TEXT), "globs of connector files, relative to this file")
        .or("connectors/*.yaml"),
    Key::new("templates", TEXT, "the folder of body files, relative to this file").or("../templates"),
    Key::new("containers", Shape::List(&Shape::Object(&CONTAINER)), "the sites and accounts that send events"),
    Key::new("source", Shape::Object(&SOURCE), "where events come from besides HTTP; default: nowhere"),
    Key::new("store", Shape::Object(&STORE), "where everything is kept"),
    Key::new("ingest", Shape::Object(&INGEST), "the HTTP listener for events"),
    Key::new("admin", Shape::Object(&ADMIN), "the HTTP listener for console, API and metrics"),
    Key::new("egress", Shape::Object(&EGRESS), "where postbacks may go"),
    Key::new("retention", Shape::Object(&RETENTION), "how long things are kept"),
    Key::new("session", Shape::Object(&SESSION), "when a visit ends"),
    Key::new("partial_timeout", Shape::Duration, "how long a partial event waits to be completed").or("10m"),
    Key::new("deduplicate", Shape::Object(&DEDUPLICATE), "when an event is a repeat"),
    Key::new("match", Shape::Object(&MATCH), "which visitor an event belongs to"),
    Key::new("attribution", Shape::Object(&ATTRIBUTION), "what counts as a click"),
    Key::new("shutdown", Shape::Object(&SHUTDOWN), "how the daemon stops"),
    Key::new("log", Shape::Object(&LOG), "what the daemon prints"),
]);

pub const CONTAINER: Table = Table {
    keys: &[
        Key::new("key", TEXT, "the key that senders show").required(),
        Key::new("name", TEXT, "what connectors call it; default: the key"),
        Key::new("country", Shape::Pattern("^[A-Z]{2}$"), "ISO 3166-1 alpha-2, for national phone numbers, like FI"),
        Key::new("currency", Shape::Pattern("^[A-Z]{3}$"), "ISO 4217, for values sent without one, like EUR"),
        Key::new("rate", Shape::Rate, "events over HTTP per unit of time, like 50/s; default: no limit"),
        Key::new("secret", TEXT, "what senders over HTTP sign their requests with (`X-Signature`); default: none"),
        Key::new("stripe", Shape::Object(&STRIPE), "for Stripe's events"),
        Key::new("batch", Shape::Object(&BATCH), "for the batch dialect"),
        Key::new("conversion", Shape::Object(&CONVERSION), "for the conversion dialect"),
    ],
    refused: &[(
        "browser",
        "`browser` (pixels) is not available in this version: take it out, or keep it in a comment",
    )],
};

pub const STRIPE: Table = Table::of(&[Key::new(
    "secret",
    TEXT,
    "the signing secret of Stripe's endpoint (`whsec_…`); default: the container's `secret`",
)]);

pub const BATCH: Table =
    Table::of(&[Key::new("event", TEXT, "the name of events that have none; default: such events are refused")]);

pub const CONVERSION: Table =
    Table::of(&[Key::new("event", TEXT, "the name of every event of this dialect").or("Conversion")]);

pub const SOURCE: Table = Table::of(&[Key::new("amqp", Shape::Object(&AMQP), "a RabbitMQ queue")]);

pub const AMQP: Table = Table::of(&[
    Key::new("url", TEXT, "amqp:// or amqps://, with user, password and virtual host").or("${AMQP_URL}"),
    Key::new("queue", TEXT, "the queue that is consumed").or("postbackd.events"),
    Key::new("exchange", TEXT, "the topic exchange that is bound to the queue").or("postbackd.events"),
    Key::new("rejected", TEXT, "the queue for messages that cannot be used").or("postbackd.rejected"),
    Key::new("queue_type", Shape::Choice(&["quorum", "classic"]), "the type of the queues declared").or("quorum"),
    Key::new("prefetch", Shape::Integer(1, PREFETCH_MAX), "messages taken before the first is acknowledged").or("1000"),
    Key::new("declare", Shape::Bool, "false: exchange and queues are there already").or("true"),
    Key::new("container", TEXT, "key or name of the container of messages that name none"),
]);

pub const STORE: Table = Table {
    keys: &[Key::new("path", TEXT, "the folder of the embedded store, relative to this file").or("data")],
    refused: &[(
        "postgres",
        "`store.postgres` is not available: the embedded store is what this version has; write `store: {path: data}`",
    )],
};

pub const INGEST: Table = Table::of(&[
    Key::new("listen", Shape::Address, "address and port").or("127.0.0.1:8080"),
    Key::new("rate", Shape::Rate, "events per unit of time over all containers, like 1000/s; default: no limit"),
    Key::new("trusted_proxies", NETWORKS, "networks whose X-Forwarded-For is believed"),
]);

pub const ADMIN: Table = Table::of(&[
    Key::new("listen", Shape::Address, "address and port; any but loopback needs a token").or("127.0.0.1:9090"),
    Key::new("token", TEXT, "the bearer token; empty: none").or("${ADMIN_TOKEN:-}"),
    Key::new("open_metrics", Shape::Bool, "true: /metrics needs no token").or("false"),
]);

pub const EGRESS: Table = Table::of(&[
    Key::new("allow", NETWORKS, "private networks a postback may reach all the same"),
    Key::new("proxy", TEXT, "an HTTP proxy for postbacks, like http://proxy.example:3128; default: none"),
]);

pub const RETENTION: Table = Table::of(&[
    Key::new("clicks", Shape::Duration, "clicks and visitors").or("400d"),
    Key::new("log", Shape::Duration, "the delivery log, and in any case until a delivery is final").or("30d"),
]);

pub const SESSION: Table =
    Table::of(&[Key::new("timeout", Shape::Duration, "a longer gap starts a new session").or("30m")]);

pub const DEDUPLICATE: Table =
    Table::of(&[Key::new("events_for", Shape::Duration, "how long an event id is remembered").or("30d")]);

pub const MATCH: Table = Table::of(&[
    Key::new(
        "by_time",
        Shape::Duration,
        "an event without identifier joins the only visitor seen within this; default: off",
    ),
    Key::new("ignore", Shape::List(&TEXT), "identifiers that never match, like test@*; * stands for any text"),
    Key::new(
        "sessions_max",
        Shape::Integer(1, 1_000_000),
        "an identifier of more sessions than this no longer matches",
    )
    .or("100"),
]);

pub const ATTRIBUTION: Table =
    Table::of(&[Key::new("click_params", Shape::List(&TEXT), "further query parameters that are clicks")]);

pub const SHUTDOWN: Table =
    Table::of(&[Key::new("grace", Shape::Duration, "how long attempts in flight may take to finish").or("30s")]);

pub const LOG: Table = Table::of(&[
    Key::new("format", Shape::Choice(&["text", "json"]), "how lines are written").or("text"),
    Key::new("level", Shape::Choice(&["error", "warn", "info", "debug", "trace"]), "the least that is worth a line")
        .or("info"),
]);
