//! A scripted network on loopback: answers as told and remembers what it was asked, in order.
//!
//! Refuses: judging. It would accept the same postback a hundred times and say so.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};

use crate::http::Http;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    /// Everything after `?`, undecoded.
    pub raw_query: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Seen {
    pub fn query(&self) -> Vec<(String, String)> {
        pairs(&self.raw_query)
    }

    /// The first query parameter of this name.
    pub fn param(&self, name: &str) -> Option<String> {
        self.query().into_iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    pub fn form(&self) -> Vec<(String, String)> {
        pairs(&self.body)
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// One scripted answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Answer {
    pub status: u16,
    pub body: String,
    pub headers: BTreeMap<String, String>,
    /// How long the partner thinks.
    pub delay_ms: u64,
    /// Closes the connection in place of answering.
    pub drop: bool,
    /// Never answers.
    pub hang: bool,
    /// How many requests get it; the last answer of a script is given for ever.
    pub times: u32,
}

impl Default for Answer {
    fn default() -> Self {
        Self {
            status: 200,
            body: String::new(),
            headers: BTreeMap::new(),
            delay_ms: 0,
            drop: false,
            hang: false,
            times: 1,
        }
    }
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn hang() -> Self {
        Self { hang: true, ..Self::default() }
    }
}

#[derive(Debug, Default)]
struct State {
    /// By path prefix, and how many were answered by it. The longest prefix counts.
    scripts: Vec<(String, Vec<Answer>, u32)>,
    seen: Vec<Seen>,
}

#[derive(Debug)]
pub struct Partner {
    pub url: String,
    state: Arc<Mutex<State>>,
    server: tokio::task::JoinHandle<()>,
}

impl Partner {
    /// Listens on a free port and answers 200 to everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let server = tokio::spawn(serve(listener, state.clone()));
        Self { url, state, server }
    }

    /// From now on, requests below `prefix` get these answers in turn, the last for ever.
    pub fn script(&self, prefix: &str, answers: Vec<Answer>) {
        assert!(!answers.is_empty(), "a script needs an answer");
        let mut state = self.state.lock().unwrap();
        state.scripts.retain(|(p, _, _)| p != prefix);
        state.scripts.push((prefix.to_owned(), answers, 0));
        state.scripts.sort_by_key(|(p, _, _)| std::cmp::Reverse(p.len()));
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    pub fn count(&self) -> usize {
        self.state.lock().unwrap().seen.len()
    }

    /// Requests below `path`, by the value of a query parameter.
    pub fn by_param(&self, path: &str, name: &str) -> HashMap<String, Vec<Seen>> {
        let mut found: HashMap<String, Vec<Seen>> = HashMap::new();
        for seen in self.state.lock().unwrap().seen.iter().filter(|s| s.path.starts_with(path)) {
            found.entry(seen.param(name).unwrap_or_default()).or_default().push(seen.clone());
        }
        found
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    // Dropped with this task, and with it every connection.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        connections.spawn(converse(stream, state.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn converse(stream: TcpStream, state: Arc<Mutex<State>>) {
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request| answer(request, state.clone()));
    // An error here is a daemon that went away, or our own refusal to answer.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: hyper::Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<hyper::Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|b| b.to_bytes()).map_err(std::io::Error::other)?;
    let headers = parts.headers.iter();
    let seen = Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        raw_query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: headers.map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let reply = note(&mut state.lock().unwrap(), seen);
    if reply.delay_ms != 0 {
        tokio::time::sleep(Duration::from_millis(reply.delay_ms)).await;
    }
    if reply.hang {
        std::future::pending::<Infallible>().await;
    }
    if reply.drop {
        return Err(std::io::Error::other("told to drop the connection"));
    }
    let mut response = hyper::Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(Bytes::from(reply.body))).map_err(std::io::Error::other)
}

/// Remembers a request and finds its answer.
fn note(state: &mut State, seen: Seen) -> Answer {
    let script = state.scripts.iter_mut().find(|(prefix, _, _)| seen.path.starts_with(prefix.as_str()));
    let reply = script.map_or_else(Answer::default, |(_, answers, given)| {
        let mut left = *given;
        *given += 1;
        for answer in answers.iter() {
            if left < answer.times {
                return answer.clone();
            }
            left -= answer.times;
        }
        answers.last().cloned().unwrap_or_default()
    });
    state.seen.push(seen);
    reply
}

#[tokio::test]
async fn a_partner_answers_as_scripted_and_remembers() {
    let partner = Partner::start().await;
    let busy = Answer { times: 2, ..Answer::status(503) };
    partner.script("/p", vec![busy, Answer { body: "yes".into(), ..Answer::default() }]);
    partner.script("/p/dropped", vec![Answer { drop: true, ..Answer::default() }]);
    let http = Http::new();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(http.get(&format!("{}/p?a=1&b=x%20y", partner.url)).await.unwrap().status);
    }
    assert_eq!(statuses, [503, 503, 200, 200]);
    assert!(http.get(&format!("{}/p/dropped", partner.url)).await.is_err());
    assert_eq!(http.get(&format!("{}/other", partner.url)).await.unwrap().status, 200);
    let seen = partner.seen();
    assert_eq!(seen.len(), 6);
    assert_eq!(seen[0].param("b").as_deref(), Some("x y"));
    assert_eq!(partner.by_param("/p", "a")["1"].len(), 4);
}
