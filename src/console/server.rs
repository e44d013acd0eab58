//! The admin listener on the wire: accepting, time limits, and an end.
//!
//! Refuses: waiting for callers. A head that does not arrive, a connection too many, one that lasts too long: closed.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::telemetry::events;

/// How long a request's head may take to arrive, and a kept-alive connection may stay silent.
const HEAD_WAIT: Duration = Duration::from_secs(30);

/// Bytes of a request's head; its longest parts are a token and a cursor.
const HEAD_MAX: usize = 16 * 1024;

/// Connections at once: dashboards, probes and a few people.
const CONNECTIONS_MAX: usize = 128;

/// How long a connection may live: one whose peer reads nothing must not hold its place for ever.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);

/// How long requests under way may take once the listener ends.
const ENDING_WAIT: Duration = Duration::from_secs(5);

/// How long to leave a listener alone that can't accept: most likely the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds the admin listener.
///
/// # Errors
/// Names the address that can't be had.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|e| format!("the admin listener can't have {address}: {e}"))
}

/// Answers requests until `stop` completes; those under way then have a few seconds to end.
pub async fn serve(listener: TcpListener, router: Router, stop: impl Future<Output = ()>) {
    let mut stop = pin!(stop);
    let (ending, ended) = watch::channel(());
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let (router, ended) = (router.clone(), ended.clone());
                tokio::spawn(async move {
                    converse(stream, router, ended).await;
                    drop(place);
                });
            }
            Err(error) => {
                events::listener_failed("admin", &error.to_string());
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drop(ended);
    // Each conversation holds a receiver until it is over.
    let _ = ending.send(());
    let _ = tokio::time::timeout(ENDING_WAIT, ending.closed()).await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.expect("the places are never closed");
    Ok((listener.accept().await?.0, place))
}

async fn converse(stream: TcpStream, router: Router, mut ending: watch::Receiver<()>) {
    // Answers are written whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT).max_buf_size(HEAD_MAX);
    let service = TowerToHyperService::new(router);
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
    // A connection that breaks is its caller's affair.
    let over = tokio::time::timeout(CONNECTION_AGE_MAX, async {
        tokio::select! {
            _ = connection.as_mut() => true,
            _ = ending.changed() => false,
        }
    });
    if over.await == Ok(true) {
        return;
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(ENDING_WAIT, connection).await;
}
