//! The sink's own process: answers 200 at once, late, or never, as it is told.
//!
//! Refuses: a second thread, a body, and anything written down but the certificate that its senders need.

use std::convert::Infallible;
use std::io::Read as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::count::State;
use super::{Settings, tls};

/// How often another port is tried where one of many hosts has it taken.
const PORTS_TRIED: usize = 20;

struct Shared {
    settings: Settings,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Listens on free ports, prints `CONTROL_ADDRESS PORT`, and serves until its stdin ends.
pub fn serve(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime
        .block_on(async {
            let control = TcpListener::bind("127.0.0.1:0").await?;
            let (listeners, port) = bind(settings.hosts).await?;
            let tls = settings.ca_file.as_deref().map(tls::acceptor).transpose()?;
            println!("{} {port}", control.local_addr()?);
            let shared = Arc::new(Shared { state: Mutex::new(State::new(settings.latency_after)), settings });
            for listener in listeners {
                tokio::spawn(accept(listener, shared.clone(), tls.clone()));
            }
            tokio::spawn(answer_questions(control, shared));
            Ok(tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??)
        })
        .map(|_: usize| ())
}

async fn bind(hosts: u8) -> anyhow::Result<(Vec<TcpListener>, u16)> {
    if hosts == 0 {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        return Ok((vec![listener], port));
    }
    for _ in 0..PORTS_TRIED {
        let first = TcpListener::bind("127.0.1.1:0").await?;
        let port = first.local_addr()?.port();
        let mut listeners = vec![first];
        for host in 2..=hosts {
            let Ok(listener) = TcpListener::bind((Ipv4Addr::new(127, 0, 1, host), port)).await else { break };
            listeners.push(listener);
        }
        if listeners.len() == usize::from(hosts) {
            return Ok((listeners, port));
        }
    }
    anyhow::bail!("no port is free on all of {hosts} hosts")
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, tls: Option<TlsAcceptor>) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (shared, tls) = (shared.clone(), tls.clone());
        tokio::spawn(async move {
            shared.state().open += 1;
            match tls {
                None => talk(stream, shared.clone()).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        talk(stream, shared.clone()).await;
                    }
                }
            }
            shared.state().open -= 1;
        });
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(request, shared.clone()));
    // A sender that breaks off shows in what did not come.
    let _ = hyper::server::conn::http1::Builder::new()
        .pipeline_flush(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// In flight until dropped, also where the sender breaks off.
struct InFlight<'a>(&'a Shared);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.state().left();
    }
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Infallible> {
    let hangs = request.uri().path().starts_with("/hang/");
    shared.state().arrived(request.uri().query().unwrap_or_default(), hangs);
    let _in_flight = InFlight(&shared);
    if hangs {
        std::future::pending::<()>().await;
    }
    if 0 < shared.settings.delay_ms {
        tokio::time::sleep(Duration::from_millis(shared.settings.delay_ms)).await;
    }
    Ok(Response::new(Full::new(Bytes::new())))
}

/// What came, for the benchmark, on a listener apart from what is measured.
async fn answer_questions(listener: TcpListener, shared: Arc<Shared>) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let shared = shared.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let told = match request.uri().path() {
                "/latency" => serde_json::to_vec(&shared.state().latency()),
                _ => serde_json::to_vec(&shared.state().counted()),
            };
            async { told.map(|told| Response::new(Full::new(Bytes::from(told)))) }
        });
        tokio::spawn(async move {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
