//! The ingest listener: events over HTTP, answered only once they are durable.
//!
//! Refuses: knowing the dialects' fields, serving anything else, and logging what came: neither body nor query is ever
//! written anywhere.
//!
//! A dialect is one file in `dialects` with a function from [`Request`] to events, and one `Dialect` line below.

mod answer;
mod rates;
mod request;
mod serve;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, State};
use axum::routing::{MethodRouter, any};
use http::{Method, StatusCode};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;

pub use answer::{Accepted, Refusal};
pub(crate) use request::pairs;
pub use request::{Body, Content, Request};
pub use serve::{CONNECTIONS_MAX, serve};
pub use signature::Signatures;

use self::signature::Scheme;
use super::reading::{Context, Reason, Refused};
use super::{Arrival, Counts, Receipt, Settled, dialects, now};
use crate::config::Config;
use crate::model::event::Event;
use crate::model::ids::ContainerKey;

/// How long a caller waits for its event to be durable. A batch commits within milliseconds; beyond this the store is in
/// trouble, and the caller should come again (the same event id then makes the repeat harmless).
const DURABLE_WITHIN: Duration = Duration::from_secs(10);

/// What a caller should wait before it comes again when the channel is full or the store can't take it.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// What the listener needs of the daemon.
#[derive(Clone, Debug)]
pub struct HttpState {
    pub arrivals: mpsc::Sender<Arrival>,
    /// Read anew for each request, so that a reload applies at once.
    pub config: Arc<ArcSwap<Config>>,
    pub counts: Arc<Counts>,
}

/// One way of sending events over HTTP.
#[derive(Clone, Copy, Debug)]
struct Dialect {
    /// The `source` label of the metrics.
    source: &'static str,
    methods: &'static [Method],
    success: StatusCode,
    scheme: Scheme,
    read: fn(&Request, &Context<'_>) -> Result<Vec<Event>, Refusal>,
}

const GET_OR_POST: &[Method] = &[Method::GET, Method::POST];
const POST: &[Method] = &[Method::POST];

const HOOK: Dialect = Dialect {
    source: "hook",
    methods: GET_OR_POST,
    success: StatusCode::OK,
    scheme: Scheme::Plain,
    read: dialects::hook::read,
};
const STRIPE: Dialect =
    Dialect { source: "stripe", methods: POST, scheme: Scheme::Stripe, read: dialects::stripe::read, ..HOOK };
const COLLECT: Dialect = Dialect { source: "collect", scheme: Scheme::WithPath, read: dialects::collect::read, ..HOOK };
const BATCH: Dialect =
    Dialect { source: "batch", methods: POST, success: StatusCode::CREATED, read: dialects::batch::read, ..HOOK };
const CONVERSION: Dialect =
    Dialect { source: "conversion", methods: POST, scheme: Scheme::WithPath, read: dialects::conversion::read, ..HOOK };

#[derive(Debug)]
struct Shared {
    state: HttpState,
    rates: rates::Rates,
}

fn router(state: HttpState) -> Router {
    let shared = Arc::new(Shared { state, rates: rates::Rates::default() });
    ROUTES
        .iter()
        .fold(Router::new(), |router, (path, dialect)| router.route(path, route(*dialect)))
        .fallback(async || answer::refused(&Refusal::NotFound))
        .with_state(shared)
}

/// Every path, parts that are open in braces, and the dialect that is spoken there.
const ROUTES: &[(&str, Dialect)] = &[
    ("/collect/hook", HOOK),
    ("/collect/{event_type}/{container_key}", COLLECT),
    ("/collect/{event_type}/{container_key}/{session_id}", COLLECT),
    ("/collector/webhook_event/{container_key}", BATCH),
    ("/conversion/{container_key}", CONVERSION),
];

/// Each path with the methods that it takes, for who describes them.
pub fn paths() -> impl Iterator<Item = (&'static str, &'static [Method])> {
    ROUTES.iter().map(|(path, dialect)| (*path, dialect.methods))
}

type Path = Result<RawPathParams, RawPathParamsRejection>;

fn route(dialect: Dialect) -> MethodRouter<Arc<Shared>> {
    any(move |State(shared): State<Arc<Shared>>, path: Path, request: axum::extract::Request| async move {
        let is_stripe =
            dialect.source == HOOK.source && request.uri().query().is_some_and(dialects::stripe::is_asked_for);
        let dialect = if is_stripe { STRIPE } else { dialect };
        match take(&shared, dialect, path, request).await {
            Ok(ids) => answer::accepted(dialect.success, &ids),
            Err(refusal) => {
                if let Some(reason) = refusal.counted() {
                    (shared.state.counts.rejected)(dialect.source, reason);
                }
                answer::refused(&refusal)
            }
        }
    })
}

/// The way of one request: read, parse, signed, within the rate, into the channel, durable.
async fn take(
    shared: &Shared,
    dialect: Dialect,
    path: Path,
    request: axum::extract::Request,
) -> Result<Taken, Refusal> {
    if !dialect.methods.contains(request.method()) {
        return Err(Refusal::Method(dialect.methods));
    }
    let path = path.map_err(|_| Refused::new(Reason::Malformed, "", "the path is no UTF-8 text, percent-encoded"))?;
    let path = path.iter().map(|(_, part)| part.into()).collect();
    let request = request::read(path, request).await?;
    // A guard of the swapped configuration must not be held across an await.
    let events = {
        let config = shared.state.config.load();
        let context = Context {
            containers: &config.containers,
            container_header: None,
            container_default: None,
            message_id: request.idempotency_key.as_deref(),
            sent: None,
            received: now(),
            redelivered: false,
        };
        let events = (dialect.read)(&request, &context)?;
        // The elements of an array may be for several; most are for one, whose secret is asked for once.
        let mut verified: Option<&ContainerKey> = None;
        for event in events.iter().filter(|event| verified.replace(&event.container) != Some(&event.container)) {
            if let Some(container) = config.container(&event.container) {
                signature::verify(dialect.scheme, &request, container, context.received)?;
            }
        }
        shared.rates.admit(&config, &events)?;
        events
    };
    let ids = events.iter().map(|e| e.id.as_str().to_owned()).collect();
    let is_array = request.body.kind == Body::Json && dialects::flat::is_array(&request.body.bytes);
    admit(shared, dialect.source, events).await?;
    Ok(Taken { ids, is_array })
}

/// What a successful request is answered with.
#[derive(Debug)]
struct Taken {
    /// The ids of its events, at least one.
    ids: Vec<String>,
    is_array: bool,
}

async fn admit(shared: &Shared, source: &'static str, events: Vec<Event>) -> Result<(), Refusal> {
    let (tell, told) = oneshot::channel();
    let unavailable = Refusal::Unavailable { again_in: COME_AGAIN };
    match shared.state.arrivals.try_send(Arrival { source, events, receipt: Receipt::Caller(tell) }) {
        Ok(()) => {}
        Err(TrySendError::Full(_) | TrySendError::Closed(_)) => return Err(unavailable),
    }
    match tokio::time::timeout(DURABLE_WITHIN, told).await {
        Ok(Ok(Settled::Stored { .. })) => Ok(()),
        Ok(Ok(Settled::Rejected { reason, field })) => Err(Refusal::Fault { reason, field }),
        Ok(Ok(Settled::Unavailable) | Err(_)) | Err(_) => Err(unavailable),
    }
}

/// The word under which a refusal is counted.
impl Refusal {
    fn counted(&self) -> Option<&'static str> {
        match self {
            Self::Problems(refused) => Some(refused.reason.word()),
            Self::TooLarge => Some(Reason::TooLarge.word()),
            Self::MediaType => Some(Reason::Malformed.word()),
            Self::Unsigned { .. } => Some("bad_signature"),
            Self::Fault { reason, .. } => Some(reason),
            Self::NotFound
            | Self::Method(_)
            | Self::TooMany { .. }
            | Self::Unavailable { .. }
            | Self::TooSlow
            | Self::BrokenOff => None,
        }
    }
}
