//! What would be decided and sent, and why, without sending it.
//!
//! Refuses: rules of its own. The history and the event go through the real admission, on a store in memory.

use std::sync::Arc;

use super::{Rules, admit_one};
use crate::config::Config;
use crate::model::click::Click;
use crate::model::connector::Connector;
use crate::model::delivery::{Reason, Sending, State};
use crate::model::event::Event;
use crate::model::ids::ConnectorName;
use crate::model::record::ShownRequest;
use crate::model::time::Time;
use crate::rules::render;
use crate::rules::variables::RenderContext;
use crate::store::{DeliveryDetail, Store, StoreError};

/// One connector's answer.
#[derive(Debug)]
pub struct Explained {
    pub connector: ConnectorName,
    /// `send`, `test`, `waiting`, or the reason of the skip (`trigger_mismatch` included).
    pub verdict: &'static str,
    /// One sentence for a person; names the click that won, or what is missing.
    pub why: String,
    /// While waiting: the reason it would be skipped for now.
    pub for_now: Option<&'static str>,
    pub click: Option<Click>,
    /// The request as it would be sent, secrets masked; several with `for_each`.
    pub requests: Vec<ShownRequest>,
}

/// Runs the history and then the event through the real admission on a store in memory, and tells what every
/// connector decides about the event, in the order of the configuration. The event's time of receipt counts as now.
///
/// # Errors
/// The event is one of the history again, or the store in memory failed; the text says which.
pub fn explain(config: Arc<Config>, history: Vec<Event>, event: Event) -> Result<Vec<Explained>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(|e| e.to_string())?;
    runtime.block_on(explained(&config, history, event))
}

async fn explained(config: &Arc<Config>, history: Vec<Event>, event: Event) -> Result<Vec<Explained>, String> {
    let failed = |e: StoreError| e.to_string();
    let rules = Arc::new(Rules::new(config.clone()));
    let store = Store::in_memory().map_err(failed)?;
    for past in history {
        let received = past.received;
        admit_one(&store, &rules, past, received).await.map_err(failed)?;
    }
    let now = event.received;
    let (id, name) = (event.id.as_str().to_owned(), event.name.clone());
    let admitted = admit_one(&store, &rules, event.clone(), now).await.map_err(failed)?;
    if admitted.duplicate {
        let name = name.unwrap_or_default();
        return Err(format!(
            "an event {name:?} with the id {id:?} is in the history already: a repeat triggers nothing"
        ));
    }
    let mut details = Vec::new();
    for stored in store.events(id).await.map_err(failed)? {
        if stored.facts.event.name == name {
            for line in stored.deliveries {
                details.extend(store.delivery(line.id).await.map_err(failed)?);
            }
        }
    }
    let tell = |connector: &Arc<Connector>| {
        let own: Vec<&DeliveryDetail> = details.iter().filter(|d| d.line.connector == connector.name).collect();
        match own.first() {
            Some(first) => decided(connector, first, &own, now),
            None => undecided(connector, &event, admitted.decisions.iter().any(|(name, _)| *name == connector.name)),
        }
    };
    Ok(config.connectors.iter().map(tell).collect())
}

/// What is never logged one by one: events of another name, and connectors that are switched off.
fn undecided(connector: &Connector, event: &Event, is_disabled: bool) -> Explained {
    let (verdict, why) = if is_disabled {
        (Reason::Disabled.word(), "the connector is switched off".to_owned())
    } else if event.name.is_none() {
        (Reason::TriggerMismatch.word(), "a set event triggers nothing".to_owned())
    } else if !connector.listens_to(&event.container) {
        (Reason::TriggerMismatch.word(), "the connector does not listen to this container".to_owned())
    } else {
        let name = event.name.as_deref().unwrap_or_default();
        (Reason::TriggerMismatch.word(), format!("its triggers do not name {name:?}"))
    };
    Explained { connector: connector.name.clone(), verdict, why, for_now: None, click: None, requests: Vec::new() }
}

fn decided(connector: &Connector, first: &DeliveryDetail, all: &[&DeliveryDetail], now: Time) -> Explained {
    let mut why = first.delivery.attribution.as_ref().map(|a| a.why.to_string());
    let mut requests = Vec::new();
    let verdict = match (first.line.state, first.delivery.sending) {
        (State::Waiting, _) => "waiting",
        (State::Skipped, _) => first.line.reason.map_or("skipped", Reason::word),
        (_, Sending::Dry) => "test",
        (_, Sending::Live | Sending::Forced) => "send",
    };
    if matches!(first.line.state, State::Pending) {
        for detail in all {
            match request(connector, detail, now) {
                Ok(request) => requests.push(request),
                Err(refused) => why = Some(refused),
            }
        }
    }
    if first.facts.event.is_partial && first.line.state == State::Waiting {
        why = Some("the event is partial: it is decided once it is complete, or after partial_timeout".to_owned());
    }
    if let Some(detail) = &first.delivery.detail {
        why = Some(detail.to_string());
    }
    Explained {
        connector: connector.name.clone(),
        verdict,
        why: why.unwrap_or_else(|| plainly(first.line.reason)),
        for_now: first.line.reason.filter(|_| first.line.state == State::Waiting).map(Reason::word),
        click: chosen(first),
        requests,
    }
}

fn request(connector: &Connector, detail: &DeliveryDetail, now: Time) -> Result<ShownRequest, String> {
    let context = RenderContext {
        connector,
        facts: &detail.facts,
        delivery: &detail.delivery,
        item: detail.delivery.item,
        attempt: 1,
        is_repeat: false,
        now,
    };
    match render::render(&connector.postback, &context) {
        Ok(postback) => Ok(ShownRequest::from(&postback)),
        Err(refusal) => Err(format!("{}: {}", refusal.reason.word(), refusal.detail)),
    }
}

fn chosen(detail: &DeliveryDetail) -> Option<Click> {
    let at = detail.delivery.attribution.as_ref()?.click?;
    detail.facts.clicks.get(at).cloned()
}

/// A sentence for reasons that say everything by themselves.
fn plainly(reason: Option<Reason>) -> String {
    match reason {
        None => "clicks play no part",
        Some(Reason::ConsentDenied) => "the visitor has not agreed to what the connector requires",
        Some(Reason::ConditionFalse) => "one of the connector's conditions does not hold",
        Some(Reason::Expired) => "the event is older than the connector's expires_after",
        Some(Reason::DuplicateConversion) => "another event holds the connector's deduplication value",
        Some(Reason::NoItems) => "the event has no items",
        Some(reason) => reason.word(),
    }
    .to_owned()
}
