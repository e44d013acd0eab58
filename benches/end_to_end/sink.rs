//! The network of the benchmark, a process of its own: answers 200 at once and counts every transaction id.
//!
//! Refuses: work. One thread, no body, nothing written; what it costs is taken from both consumers alike.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

/// Asked for, it answers with [`Counted`] instead of counting.
pub const COUNT_PATH: &str = "/counted";

/// What came so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counted {
    pub requests: u64,
    /// Distinct transaction ids.
    pub ids: u64,
    /// Requests without an id.
    pub nameless: u64,
    /// From the first request to the last, in seconds.
    pub span_s: f64,
}

#[derive(Default)]
struct State {
    ids: HashMap<Box<str>, u32>,
    requests: u64,
    nameless: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

/// Listens on a free port, prints it, and serves until killed.
pub fn serve(_args: &[String]) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        let state = Arc::new(Mutex::new(State::default()));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let state = state.clone();
            let service = service_fn(move |request| {
                let answer = answer(&request, &mut state.lock().expect("one thread, no panic while it is held"));
                async { Ok::<_, Infallible>(answer) }
            });
            tokio::spawn(async move {
                let _ = hyper::server::conn::http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

fn answer(request: &Request<Incoming>, state: &mut State) -> Response<Full<Bytes>> {
    if request.uri().path() == COUNT_PATH {
        let counted = serde_json::to_vec(&state.counted()).expect("plain numbers");
        return Response::new(Full::new(Bytes::from(counted)));
    }
    let now = Instant::now();
    state.first.get_or_insert(now);
    state.last = Some(now);
    state.requests += 1;
    let query = request.uri().query().unwrap_or_default();
    match query.split('&').find_map(|pair| pair.strip_prefix("transaction_id=")) {
        Some(id) => *state.ids.entry(id.into()).or_default() += 1,
        None => state.nameless += 1,
    }
    Response::new(Full::new(Bytes::new()))
}

impl State {
    fn counted(&self) -> Counted {
        let span = self.first.zip(self.last).map_or(0.0, |(first, last)| (last - first).as_secs_f64());
        Counted { requests: self.requests, ids: self.ids.len() as u64, nameless: self.nameless, span_s: span }
    }
}
