//! The listener over real sockets: what is taken, what is refused and how, and how it stops.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::*;
use crate::config::Config;
use crate::ingest::samples;
use crate::model::field::Field;

/// No test waits longer for anything.
const DEADLINE: Duration = Duration::from_secs(20);

/// A running listener whose arrivals are settled as `settle` says, and seen afterwards.
struct Served {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    seen: Arc<Mutex<Vec<Event>>>,
    counted: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
}

async fn serve_with(config: Config, settle: fn(&Arrival) -> Settled) -> Served {
    let (arrivals, mut arrived) = mpsc::channel::<Arrival>(8);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let saw = seen.clone();
    tokio::spawn(async move {
        while let Some(arrival) = arrived.recv().await {
            let outcome = settle(&arrival);
            saw.lock().unwrap().extend(arrival.events);
            arrival.receipt.settle(outcome);
        }
    });
    Served { seen, ..serve_into(config, arrivals).await }
}

async fn serve_into(config: Config, arrivals: mpsc::Sender<Arrival>) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counted = Arc::new(Mutex::new(Vec::new()));
    let count = counted.clone();
    let counts = Counts { rejected: Box::new(move |source, reason| count.lock().unwrap().push((source, reason))) };
    let state = HttpState { arrivals, config: samples::shared(config), counts: Arc::new(counts) };
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(serve(listener, state, stopped));
    Served { address, stop, task, seen: Arc::default(), counted }
}

async fn stored() -> Served {
    serve_with(samples::config(), |_| Settled::Stored { duplicates: 0 }).await
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Served {
    /// One request on a connection of its own.
    async fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if method != "GET" || !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        answer(&mut stream).await
    }

    async fn get(&self, query: &str) -> Answer {
        self.send("GET", &format!("/collect/hook?{query}"), &[], b"").await
    }

    async fn post(&self, query: &str, kind: &str, body: &str) -> Answer {
        self.send("POST", &format!("/collect/hook?{query}"), &[("Content-Type", kind)], body.as_bytes()).await
    }

    fn events(&self) -> Vec<Event> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer but {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn query_form_and_json_are_one_and_the_body_wins() {
    let served = stored().await;
    let answer =
        served.get("k=shop&track=Lead&email=a%40b&eventId=h1&event_attributes=%7B%22plan%22%3A1%7D&isPartial=1").await;
    assert_eq!((answer.status, &*answer.body), (200, r#"{"status":"ok","event_id":"h1"}"#));
    let event = served.events().remove(0);
    assert_eq!((event.name.as_deref(), event.texts.of(Field::Email)), (Some("Lead"), Some("a@b")));
    assert!(event.attribute("plan").is_some() && event.is_partial);

    let query = "k=shop&track=Lead&city=Oulu&trl_test=1";
    let body = r#"{"track":"Purchase","value":99.50,"currency":"EUR","event_id":"h2"}"#;
    for (kind, body) in [(JSON, body), (FORM, "track=Purchase&value=99.50&currency=EUR&eventId=h2")] {
        let answer = served.post(query, &format!("{kind}; charset=utf-8"), body).await;
        assert_eq!((answer.status, &*answer.body), (200, r#"{"status":"ok","event_id":"h2"}"#));
        let event = served.events().remove(0);
        assert_eq!(event.name.as_deref(), Some("Purchase"));
        assert_eq!((event.texts.of(Field::Value), event.texts.of(Field::City)), (Some("99.50"), Some("Oulu")));
        assert!(event.is_test && event.texts.of(Field::Ip).is_none() && event.attributes.is_empty());
    }
    let answer = served.post("k=shop&track=Lead&eventId=q", JSON, "").await;
    assert_eq!(answer.status, 200, "a body may be empty");
}

#[tokio::test]
async fn an_array_is_taken_whole_with_an_id_for_each() {
    let served = stored().await;
    let body = r#" [{"track":"A"},{"track":"B","eventId":"b"}]"#;
    let expect = r#"{"status":"ok","event_id":"m#0","event_ids":["m#0","b"]}"#;
    for (query, headers) in [("k=shop", [("Idempotency-Key", "\"m\"")].as_slice()), ("k=shop&eventId=m", &[])] {
        let headers = [&[("Content-Type", JSON)], headers].concat();
        let answer = served.send("POST", &format!("/collect/hook?{query}"), &headers, body.as_bytes()).await;
        assert_eq!((answer.status, &*answer.body), (200, expect));
        assert_eq!(served.events().len(), 2);
    }
    let answer = served.post("k=shop", JSON, r#"[{"track":"A"},{"value":1}]"#).await;
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("[1].currency") && served.events().is_empty());
}

#[tokio::test]
async fn what_is_refused_says_why() {
    let served = stored().await;
    let large = "x".repeat(300_001);
    let head = format!("k=shop&track=P&email={}", "x".repeat(9_000));
    for (answer, status, says) in [
        (served.get("k=shop&track=Purchase&value=5").await, 400, r#"[{"field":"currency","problem":"#),
        (served.get("k=shop&value=x&timestamp=y").await, 400, r#""field":"timestamp""#),
        (served.get("k=shop&track=a&track=b").await, 400, "twice"),
        (served.get("k=shop&track=%FF").await, 400, "UTF-8"),
        (served.get("k=shop&track=P&source=stripe").await, 405, "Allow"),
        (served.post("k=shop&source=stripe", JSON, "{}").await, 400, r#""field":"data.object""#),
        (served.get(&head).await, 400, "8 kB"),
        (served.get("k=nobody&track=Lead").await, 403, r#""field":"k""#),
        (served.get("track=Lead").await, 403, r#""field":"k""#),
        (served.send("PUT", "/collect/hook", &[], b"").await, 405, "Allow"),
        (served.send("DELETE", "/collect/hook?k=shop&track=P", &[], b"").await, 405, "Allow"),
        (served.send("GET", "/collect/hooks", &[], b"").await, 404, "path"),
        (served.post("k=shop", JSON, &large).await, 413, "300 kB"),
        (served.post("k=shop", "text/plain", "{}").await, 415, "application/json"),
        (served.send("POST", "/collect/hook", &[], b"{}").await, 415, "application/json"),
        (
            served.send("POST", "/collect/hook", &[("Content-Type", JSON), ("Content-Encoding", "gzip")], b"{}").await,
            415,
            "",
        ),
        (served.post("k=shop", JSON, "{").await, 400, "JSON"),
    ] {
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.starts_with('[') && answer.body.contains(says), "{}", answer.body);
    }
    let head = served.send("HEAD", "/collect/hook?k=shop&track=P", &[], b"").await;
    assert_eq!(head.status, 405, "a HEAD must not make an event");
    assert!(head.head.contains("allow: get, post"));
    assert!(served.events().is_empty());
    let counted = served.counted.lock().unwrap();
    assert!(counted.contains(&("hook", "unknown_container")) && counted.contains(&("hook", "too_large")));
}

#[tokio::test]
async fn a_body_without_a_length_is_cut_at_the_limit() {
    let served = stored().await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = "POST /collect/hook?k=shop HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 10_000, " ".repeat(10_000));
    for _ in 0..31 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert_eq!(answer(&mut stream).await.status, 413);
}

#[tokio::test]
async fn what_becomes_of_the_event_is_the_answer() {
    let unavailable = serve_with(samples::config(), |_| Settled::Unavailable).await;
    let answer = unavailable.get("k=shop&track=P").await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: 1"));
    let fault = |_: &Arrival| Settled::Rejected { reason: "internal_error", field: "track".to_owned() };
    let fault = serve_with(samples::config(), fault).await;
    let answer = fault.get("k=shop&track=P").await;
    assert_eq!(answer.status, 500);
    assert!(answer.body.contains(r#""field":"track""#));
    assert_eq!(*fault.counted.lock().unwrap(), [("hook", "internal_error")]);
}

#[tokio::test]
async fn a_full_channel_answers_503_and_a_stop_waits_for_the_answer() {
    let (arrivals, mut arrived) = mpsc::channel(1);
    let served = serve_into(samples::config(), arrivals).await;
    let mut first = TcpStream::connect(served.address).await.unwrap();
    first.write_all(b"GET /collect/hook?k=shop&track=A&eventId=a HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let held = tokio::time::timeout(DEADLINE, arrived.recv()).await.unwrap().unwrap();
    let mut second = TcpStream::connect(served.address).await.unwrap();
    second.write_all(b"GET /collect/hook?k=shop&track=B&eventId=b HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    tokio::time::timeout(DEADLINE, async {
        while arrived.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let refused = served.get("k=shop&track=C").await;
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("retry-after"));

    served.stop.send(true).unwrap();
    held.receipt.settle(Settled::Stored { duplicates: 0 });
    arrived.recv().await.unwrap().receipt.settle(Settled::Stored { duplicates: 1 });
    for (stream, id) in [(&mut first, "a"), (&mut second, "b")] {
        let answer = answer(stream).await;
        assert_eq!((answer.status, answer.body), (200, format!(r#"{{"status":"ok","event_id":"{id}"}}"#)));
    }
    tokio::time::timeout(DEADLINE, served.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn a_head_that_never_ends_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (arrivals, _arrived) = mpsc::channel(1);
    let state = HttpState { arrivals, config: samples::shared(samples::config()), counts: Arc::new(Counts::none()) };
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(serve::serve_within(listener, state, stopped, Duration::from_millis(50)));
    for begun in ["", "GET /collect/hook?k=shop HTTP/1.1\r\nHost: "] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begun.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // Whether it says goodbye or is reset, it ends.
        drop(tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap());
    }
}

#[tokio::test]
async fn rates_hold_per_container_and_for_the_listener() {
    let mut config = samples::config();
    config.containers[0].rate = Some(0.01);
    let served = serve_with(config, |_| Settled::Stored { duplicates: 0 }).await;
    assert_eq!(served.get("k=shop&track=P").await.status, 200);
    let refused = served.get("k=shop&track=P").await;
    assert_eq!(refused.status, 429);
    let after = refused.head.lines().find_map(|l| l.strip_prefix("retry-after: ")).unwrap();
    assert!((1..=100).contains(&after.parse::<u64>().unwrap()), "{after}");
    assert_eq!(served.get("k=fi&track=P").await.status, 200, "another container is not concerned");

    let mut config = samples::config();
    config.ingest.rate = Some(0.01);
    let served = serve_with(config, |_| Settled::Stored { duplicates: 0 }).await;
    let large = r#"[{"track":"A"},{"track":"B"},{"track":"C"}]"#;
    assert_eq!(served.post("k=shop", JSON, large).await.status, 200, "larger than the burst, but all of it was free");
    assert_eq!(served.post("k=fi", JSON, large).await.status, 429);
}
