//! Every event the process log may hold, one function each: `subject.verb_past`, its fields spelt alike everywhere.
//!
//! Refuses: parameters that could hold contact data, a URL with its query, a header, a body or a secret. `error` means
//! that a person should act; what cures itself is a `warn`; the course of things is `info`; one delivery is `debug`.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::{error, info, warn};

use crate::model::delivery::Reason;
use crate::model::ids::DeliveryId;

// === daemon ===

pub fn daemon_started(version: &str, connectors: usize, containers: usize) {
    info!(version, connectors, containers, "daemon.started");
}

/// A signal asked it to stop; attempts in flight have `grace` to end.
pub fn daemon_stopping(signal: &str, grace: Duration) {
    info!(signal, grace_s = grace.as_secs(), "daemon.stopping");
}

/// `abandoned` attempts were still in flight; the next start takes them up.
pub fn daemon_stopped(abandoned: usize) {
    info!(abandoned, "daemon.stopped");
}

/// It ends because it can't go on.
pub fn daemon_failed(why: &str) {
    error!(why, "daemon.failed");
}

/// `place` is `file:line:column` of the program.
pub fn process_panicked(place: &str) {
    error!(place, "process.panicked");
}

/// `listener` is `ingest` or `admin`.
pub fn listener_opened(listener: &str, address: SocketAddr) {
    info!(listener, address = %address, "listener.opened");
}

/// A listener could not take a connection; it goes on.
pub fn listener_failed(listener: &str, why: &str) {
    warn!(listener, why, "listener.failed");
}

// === configuration ===

pub fn config_reloaded(connectors: usize, warnings: usize) {
    info!(connectors, warnings, "config.reloaded");
}

/// The configuration on disk has mistakes; the one in use stays. `first` is `FILE:LINE:COLUMN`, without the message,
/// which may quote what was typed. `postbackd check` tells all of them.
pub fn config_refused(problems: usize, first: &str) {
    error!(problems, first, hint = "postbackd check tells all of them", "config.refused");
}

/// Something in the configuration is allowed and probably not meant.
pub fn config_warned(warning: &str) {
    warn!(warning, "config.warned");
}

/// A setting changed on disk that only a restart can change.
pub fn config_needs_restart(setting: &str) {
    warn!(setting, "config.restart_needed");
}

/// Files can't be watched: only SIGHUP reloads.
pub fn config_unwatched(why: &str) {
    warn!(why, "config.unwatched");
}

// === sources ===

pub fn source_connected(source: &str) {
    info!(source, "source.connected");
}

/// It is being connected again. `why` holds no URL.
pub fn source_lost(source: &str, why: &str) {
    warn!(source, why, "source.lost");
}

/// Which field is at fault stands with the message in the rejected queue, or in the answer to the caller.
pub fn message_rejected(source: &str, reason: &str) {
    warn!(source, reason, "message.rejected");
}

/// Deciding one event panicked; the event was rejected.
pub fn event_set_aside(source: &str) {
    error!(source, "event.set_aside");
}

// === store ===

/// Nothing is admitted until it writes again.
pub fn store_paused(why: &str) {
    error!(why, "store.paused");
}

pub fn store_resumed(after: Duration) {
    info!(after_s = after.as_secs(), "store.resumed");
}

/// Something was asked of it in vain, and will be asked again or was answered with an error.
pub fn store_failed(what: &str, why: &str) {
    error!(what, why, "store.failed");
}

/// The daemon's own book and the store disagree.
pub fn book_unbalanced(deliveries: i64) {
    error!(deliveries, "book.unbalanced");
}

// === lanes ===

pub fn breaker_opened(connector: &str) {
    warn!(connector, "breaker.opened");
}

pub fn breaker_closed(connector: &str) {
    info!(connector, "breaker.closed");
}

/// A lane can't read or write what it needs.
pub fn lane_failed(connector: &str, why: &str) {
    error!(connector, why, "lane.failed");
}

pub fn delivery_rejected(connector: &str, delivery: DeliveryId, reason: Option<Reason>) {
    warn!(connector, delivery = %delivery, reason = reason.map(Reason::word), "delivery.rejected");
}

/// Given up: it is kept for replay.
pub fn delivery_dead(connector: &str, delivery: DeliveryId, reason: Option<Reason>) {
    error!(connector, delivery = %delivery, reason = reason.map(Reason::word), "delivery.dead");
}

/// Its outcome is not known and a person decides.
pub fn delivery_held(connector: &str, delivery: DeliveryId) {
    error!(connector, delivery = %delivery, "delivery.held");
}

// === desk ===

/// A person asked for deliveries to be sent again.
pub fn replay_asked(connector: Option<&str>, state: &str, count: u64) {
    info!(connector, state, count, "replay.asked");
}

pub fn delivery_replayed(delivery: DeliveryId, forced: bool) {
    info!(delivery = %delivery, forced, "delivery.replayed");
}

/// The container as it was asked for; who it was is told nowhere.
pub fn person_erased(container: &str, visitors: u64, events: u64, deliveries: u64) {
    info!(container, visitors, events, deliveries, "person.erased");
}

pub fn test_asked(connector: &str, send: bool) {
    info!(connector, send, "test.asked");
}
