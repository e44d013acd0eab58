//! Every connector: what it listens to, what it decided, and how its lane stands.
//!
//! Refuses: showing how it renders; URLs and headers may hold secrets by mistake.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{self, Answer, Refusal};
use super::{LaneState, Room};
use crate::model::connector::{Connector, Triggers};
use crate::store::{Backlog, ContainerSeen};

#[derive(Serialize, JsonSchema)]
pub(super) struct ConnectorShown<'a> {
    name: &'a str,
    mode: &'static str,
    revision: &'a str,
    triggers: Vec<&'a str>,
    /// Names; `null` is all.
    containers: Option<Vec<&'a str>>,
    postback_enabled: bool,
    /// Since the daemon started, by reason.
    decisions: BTreeMap<&'static str, u64>,
    pending: u64,
    waiting: u64,
    held: u64,
    oldest_pending_at: Option<String>,
    oldest_due_at: Option<String>,
    in_flight: usize,
    breaker: &'static str,
    parked: Option<&'a str>,
    /// False: no container it listens to has ever sent an event that triggers it.
    trigger_seen: bool,
}

pub async fn list(State(room): State<Arc<Room>>) -> Answer {
    let store = &room.desk.store;
    let seen = store.containers_seen().await.map_err(|e| Refusal::store("containers", &e))?;
    let backlog = store.backlog().await.map_err(|e| Refusal::store("backlog", &e))?;
    let lanes = room.desk.lanes.states();
    let config = room.desk.config.load();
    let nothing = Backlog::default();
    let name_of = |key: &str| config.container(key).map_or("", |c| &c.name);
    let shown: Vec<_> = config
        .connectors
        .iter()
        .map(|connector| {
            let backlog = backlog.get(&*connector.name).unwrap_or(&nothing);
            let lane: Option<&LaneState> = lanes.iter().find(|l| l.connector == connector.name);
            ConnectorShown {
                name: &connector.name,
                mode: connector.mode.word(),
                revision: &connector.revision,
                triggers: triggers(&connector.triggers),
                containers: connector.containers.as_ref().map(|keys| keys.iter().map(|k| name_of(k)).collect()),
                postback_enabled: connector.postback_enabled,
                decisions: room.desk.metrics.connector(&connector.name).decisions().collect(),
                pending: backlog.pending,
                waiting: backlog.waiting,
                held: backlog.held,
                oldest_pending_at: backlog.oldest_pending.map(|t| t.to_string()),
                oldest_due_at: backlog.oldest_due.map(|t| t.to_string()),
                in_flight: lane.map_or(0, |l| l.in_flight),
                breaker: if lane.is_some_and(|l| l.breaker_open) { "open" } else { "closed" },
                parked: lane.and_then(|l| l.parked.as_deref()),
                trigger_seen: trigger_seen(connector, &seen),
            }
        })
        .collect();
    answer::items(&shown)
}

fn triggers(triggers: &Triggers) -> Vec<&str> {
    match triggers {
        Triggers::Every => vec!["*"],
        Triggers::Named(names) => names.iter().map(|n| &**n).collect(),
    }
}

fn trigger_seen(connector: &Connector, seen: &[ContainerSeen]) -> bool {
    seen.iter()
        .filter(|container| connector.listens_to(&container.container))
        .any(|container| container.event_names.iter().any(|name| connector.triggers.matches(name)))
}
