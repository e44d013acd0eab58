//! All the world's networks on loopback: a proxy that answers in the place of whatever host it is asked for, over TLS, by an
//! authority of its own, and remembers what it was sent.
//!
//! Refuses: knowing any network. What it answers it is told, by the value of the header `x-vector`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// By whose vector a request is.
pub const VECTOR: &str = "x-vector";

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Sent {
    pub vector: String,
    pub method: String,
    pub url: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub body: String,
}

pub struct Networks {
    pub proxy: String,
    /// The authority's certificate.
    pub ca: String,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

struct Shared {
    issuer: Issuer<'static, KeyPair>,
    replies: HashMap<String, Reply>,
    sent: Mutex<Vec<Sent>>,
    acceptors: Mutex<HashMap<String, TlsAcceptor>>,
}

impl Networks {
    /// Answers each vector with its reply, and whoever asks for a token with one.
    pub async fn start(replies: HashMap<String, Reply>) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let shared = Arc::new(Shared { issuer, replies, sent: Mutex::default(), acceptors: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(serve(listener, shared.clone()));
        Self { proxy, ca, shared, server }
    }

    pub fn sent(&self) -> Vec<Sent> {
        self.shared.sent.lock().unwrap().clone()
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        // What ends early is the daemon's to notice.
        connections.spawn(tunnel(stream, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// `CONNECT host:port`, and then the host itself.
async fn tunnel(mut stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head);
    let host = head.strip_prefix("CONNECT ").and_then(|rest| rest.split([':', ' ']).next()).unwrap_or_default();
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    let acceptor = shared.acceptor(host);
    let stream = acceptor.accept(stream).await?;
    let host = host.to_owned();
    let service = hyper::service::service_fn(move |request| answer(request, host.clone(), shared.clone()));
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    served.await.map_err(std::io::Error::other)
}

impl Shared {
    fn acceptor(&self, host: &str) -> TlsAcceptor {
        let made = || {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new([host.to_owned()]).unwrap();
            let certificate = params.signed_by(&key, &self.issuer).unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = rustls::ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.der().clone()],
                    PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
                );
            TlsAcceptor::from(Arc::new(config.unwrap()))
        };
        self.acceptors.lock().unwrap().entry(host.to_owned()).or_insert_with(made).clone()
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    host: String,
    shared: Arc<Shared>,
) -> Result<hyper::Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned);
    let reply = match header(VECTOR) {
        None => Reply { status: 200, body: r#"{"access_token":"access-1","expires_in":3600}"#.to_owned() },
        Some(vector) => {
            let reply = shared.replies[&vector].clone();
            let headers = head.headers.iter();
            shared.sent.lock().unwrap().push(Sent {
                vector,
                method: head.method.to_string(),
                url: format!("https://{host}{}", head.uri),
                headers: headers.map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into())).collect(),
                body: String::from_utf8_lossy(&body).into_owned(),
            });
            reply
        }
    };
    hyper::Response::builder().status(reply.status).body(Full::new(reply.body.into())).map_err(std::io::Error::other)
}
