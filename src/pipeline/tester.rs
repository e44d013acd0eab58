//! One postback on demand: admitted like any other, for one connector, whatever its mode and attribution say.
//!
//! Refuses: touching a real visitor, or a real event. The event belongs to a visitor of its own, and its id is not
//! remembered: the event that really comes under it is no duplicate.

use std::sync::Arc;

use super::Rules;
use super::planner::OnDemand;
use crate::dispatch::{Lanes, Turn, Turns};
use crate::model::connector::Connector;
use crate::model::delivery::{Sending, State};
use crate::model::event::Event;
use crate::model::ids::DeliveryId;
use crate::model::record::{Entry, Job, Record, ShownRequest};
use crate::model::time::Time;
use crate::rules::render::{self, Refusal};
use crate::rules::variables::RenderContext;
use crate::store::{Store, StoreError};

/// Why there was no postback.
#[derive(Debug, thiserror::Error)]
pub enum OnDemandError {
    /// Nothing is made of this event, for a person.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The deliveries of one event on demand, each with its request as it is or would be sent, or with why there is none.
pub struct OnDemandJobs {
    made: Vec<(Job, Result<ShownRequest, Refusal>)>,
    turn: Turn,
}

impl OnDemandJobs {
    /// Their ids in the log.
    pub fn deliveries(&self) -> Vec<DeliveryId> {
        self.made.iter().map(|(job, _)| job.delivery.id).collect()
    }

    /// The requests, secrets masked.
    pub fn requests(&self) -> Vec<ShownRequest> {
        self.made.iter().filter_map(|(_, made)| made.as_ref().ok().cloned()).collect()
    }

    /// Why one of them can't be rendered: the reason and its detail.
    pub fn refused(&self) -> Option<String> {
        let refusal = self.made.iter().find_map(|(_, made)| made.as_ref().err())?;
        Some(format!("{}: {}", refusal.reason.word(), refusal.detail))
    }

    /// Hands them to their lane: to be really sent, or rendered and logged.
    pub async fn offer(self, lanes: &Lanes) {
        let Self { made, mut turn } = self;
        turn.comes().await;
        lanes.offer(made.into_iter().map(|(job, _)| job).collect());
    }

    /// Logs them without a lane, for a connector whose lane stands still.
    ///
    /// # Errors
    /// The store can't take it.
    pub async fn log(self, store: &Store, now: Time) -> Result<(), StoreError> {
        for (job, made) in self.made {
            let entry = match made {
                Ok(request) => Entry::Rendered(Box::new(request)),
                Err(Refusal { reason, detail }) => {
                    Entry::Ended { state: State::Skipped, reason: Some(reason), detail: Some(detail.into()) }
                }
            };
            let (delivery, connector) = (job.delivery.id, job.delivery.connector);
            let on_record = job.on_record;
            store.record(Record { delivery, connector, at: now, on_record, first_due: job.first_due, entry }).await?;
        }
        Ok(())
    }
}

/// Admits `event` for `connector` alone. The jobs are for its lane, which sends them with `send` and else logs them.
///
/// # Errors
/// The event triggers nothing, or the store can't take it.
pub async fn admit(
    store: &Store,
    rules: &Arc<Rules>,
    turns: &Turns,
    connector: &Arc<Connector>,
    mut event: Event,
    send: bool,
    now: Time,
) -> Result<OnDemandJobs, OnDemandError> {
    if event.name.is_none() {
        return Err(OnDemandError::Refused("a set event triggers nothing; give it a `track`".to_owned()));
    }
    // Nothing more of it will come.
    event.is_partial = false;
    let sending = if send { Sending::Forced } else { Sending::Dry };
    let planner = Arc::new(OnDemand { rules: rules.clone(), connector: connector.clone(), sending });
    let mut candidate = rules.candidate(event);
    candidate.identifiers.clear();
    let keep_for = rules.config.deduplicate_events_for;
    let (turn, admission) = turns.take(|| store.admit(vec![candidate], planner, now, keep_for));
    let admission = admission.await.map_err(|(error, _)| error)?;
    let jobs = admission.admitted.into_iter().flat_map(|admitted| admitted.jobs).map(|job| {
        let context = RenderContext {
            connector,
            facts: &job.facts,
            delivery: &job.delivery,
            item: job.delivery.item,
            attempt: 1,
            is_repeat: false,
            now,
        };
        let made = render::render(&connector.postback, &context).map(|postback| ShownRequest::from(&postback));
        (job, made)
    });
    Ok(OnDemandJobs { made: jobs.collect(), turn })
}
