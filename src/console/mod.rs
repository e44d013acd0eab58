//! The admin listener (SPEC section 10): health, metrics, and what the API tells and does, behind one door.
//!
//! Refuses: deciding and sending. It asks the store and the configuration, and through the traits below the daemon, which
//! fills a [`Desk`] with what it runs.

pub mod answer;
mod asked;
mod connectors;
mod containers;
mod deliveries;
mod door;
mod erase;
mod events;
mod explain;
mod health;
mod openapi;
pub mod replay;
pub mod sample;
pub mod server;
pub mod shapes;
pub mod submitted;
mod test;
mod variables;

#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware;
use axum::routing::{MethodRouter, get, post};
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::model::event::Event;
use crate::model::ids::{ConnectorName, DeliveryId};
use crate::model::record::ShownRequest;
use crate::model::time::Time;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

/// What the daemon runs, as the admin listener may ask about it.
pub struct Desk {
    pub store: Store,
    pub config: Arc<ArcSwap<Config>>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<dyn Health>,
    pub lanes: Arc<dyn LaneStates>,
    pub tester: Arc<dyn Tester>,
    /// Tells a connector's lane that there is something for it in the store.
    pub nudge: Box<dyn Fn(&ConnectorName) + Send + Sync>,
}

/// Whether the daemon lives and can work.
pub trait Health: Send + Sync {
    /// The runtime and the store's writer tick.
    fn alive(&self) -> bool;
    fn ready(&self) -> Readiness;
}

/// The answer of `/readyz`. Names things of the configuration, nothing of the events.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    /// Every source has been connected once, the store writes, and at least one source can deliver.
    pub ready: bool,
    /// What does not work, although the rest may: `source amqp`.
    pub degraded: Vec<String>,
    /// One sentence for a person.
    pub detail: String,
}

/// How a connector's lane stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneState {
    pub connector: ConnectorName,
    pub breaker_open: bool,
    /// Why nothing leaves although there may be something to send; `None` while the lane runs.
    pub parked: Option<String>,
    /// Attempts whose outcome is not yet recorded.
    pub in_flight: usize,
}

/// Whoever knows the lanes.
pub trait LaneStates: Send + Sync {
    fn states(&self) -> Vec<LaneState>;
}

/// A postback made on demand.
#[derive(Debug)]
pub struct Tested {
    /// Its deliveries in the log: one, or one per item. With `send` they are on their way.
    pub deliveries: Vec<DeliveryId>,
    /// What is or would be sent, secrets masked.
    pub requests: Vec<ShownRequest>,
    /// Why one of them, or the only one, can't be rendered from this event.
    pub refused: Option<String>,
}

/// Why there was no postback on demand, for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TestError {
    /// Nothing is made of this event, or for this connector.
    #[error("{0}")]
    Refused(String),
    /// The store can't take it.
    #[error("{0}")]
    Failed(String),
}

/// The future of [`Tester::test`].
pub type Testing<'a> = Pin<Box<dyn Future<Output = Result<Tested, TestError>> + Send + 'a>>;

/// Whoever can make one postback on demand.
pub trait Tester: Send + Sync {
    /// Renders `event` for the connector whatever its mode, conditions and attribution say (a click on the event's own
    /// URL counts as chosen), logs it as a delivery, and sends it if `send`.
    fn test<'a>(&'a self, connector: &'a ConnectorName, event: Event, send: bool) -> Testing<'a>;
}

/// The clock, read where the console and the command line begin.
pub fn now() -> Time {
    Time::from_ms(jiff::Timestamp::now().as_millisecond())
}

/// Explanations computed at once: each takes a processor while it lasts, which the daemon's work needs more.
const EXPLANATIONS_MAX: usize = 1;

/// What the handlers share.
struct Room {
    desk: Desk,
    explaining: Arc<Semaphore>,
}

/// Every path of the admin listener, behind the door.
pub fn router(desk: Desk) -> Router {
    let room = Arc::new(Room { desk, explaining: Arc::new(Semaphore::new(EXPLANATIONS_MAX)) });
    routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
        .fallback(answer::unknown_path)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(middleware::from_fn_with_state(Arc::clone(&room), door::guard))
        .with_state(room)
}

fn routes() -> Vec<(&'static str, MethodRouter<Arc<Room>>)> {
    vec![
        ("/healthz", get(health::healthz)),
        ("/readyz", get(health::readyz)),
        ("/metrics", get(health::metrics)),
        ("/openapi.json", get(openapi::serve)),
        ("/api/connectors", get(connectors::list)),
        ("/api/connectors/{name}/test", post(test::test)),
        ("/api/deliveries", get(deliveries::list)),
        ("/api/deliveries/{id}", get(deliveries::one)),
        ("/api/deliveries/{id}/replay", post(replay::one)),
        ("/api/replay", post(replay::many)),
        ("/api/erase", post(erase::erase)),
        ("/api/explain", post(explain::explain)),
        ("/api/events/{id}", get(events::one)),
        ("/api/containers", get(containers::list)),
        ("/api/variables", get(variables::list)),
    ]
}
