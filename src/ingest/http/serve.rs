//! The listener's connections: how many, how long, and how they end.
//!
//! Refuses: reading requests. Why not `axum::serve`: it installs no timer, so hyper's header timeout never fires there, and
//! it takes connections without a bound.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::{HttpState, router};

/// Connections at a time: far more than senders have, and their buffers fit into memory.
pub const CONNECTIONS_MAX: usize = 10_000;

/// A request's head must be there within this, and an idle connection is closed after it.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);

/// Bytes of a request's head: URL and headers. A query holds a few click IDs and a landing URL.
const HEAD_MAX: usize = 64 * 1024;

/// A pause after a failed `accept`: it fails for want of file descriptors, which come back when connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` holds `true` or its sender is gone, then finishes the requests under way and returns. The caller
/// bounds that time: dropping the future closes what is left.
pub async fn serve(listener: TcpListener, state: HttpState, shutdown: watch::Receiver<bool>) {
    serve_within(listener, state, shutdown, HEADERS_WITHIN).await;
}

pub(super) async fn serve_within(
    listener: TcpListener,
    state: HttpState,
    mut shutdown: watch::Receiver<bool>,
    headers_within: Duration,
) {
    let router = router(state);
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut shutdown) => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            accepted = accept(&listener, &slots) => accepted,
        };
        match accepted {
            Ok((stream, slot)) => {
                let connection = connection(stream, headers_within, router.clone(), shutdown.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "ingest.accept_failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> std::io::Result<(TcpStream, OwnedSemaphorePermit)> {
    // The slot first: who finds none waits in the kernel's queue instead of in our memory.
    let slot = slots.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, slot))
}

async fn connection(
    stream: TcpStream,
    headers_within: Duration,
    router: axum::Router,
    mut shutdown: watch::Receiver<bool>,
) {
    // Answers are small; waiting to fill a packet would only delay them.
    drop(stream.set_nodelay(true));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(headers_within)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = std::pin::pin!(served);
    tokio::select! {
        // How a connection ends is the caller's affair; every request in it was answered for itself.
        _ = served.as_mut() => {}
        () = stopped(&mut shutdown) => {
            served.as_mut().graceful_shutdown();
            drop(served.await);
        }
    }
}

async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error says that nobody can ask for the stop any more, which is a stop too.
    drop(shutdown.wait_for(|stop| *stop).await);
}
