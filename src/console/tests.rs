//! The console over its router: who is let in, what is answered, and what is refused. Refuses: a socket.

use std::path::Path;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::config::files::Memory;
use crate::config::{LoadOptions, load_from};
use crate::dispatch::Turns;
use crate::model::delivery::State;
use crate::model::outcome::Outcome;
use crate::model::record::{Attempt, Entry, Record};
use crate::pipeline::Rules;
use crate::pipeline::tester::admit;

const CONNECTORS: &str = r#"
connectors:
  - name: pays
    mode: enabled
    triggers: [Purchase]
    click_matching: {param: cid, wait: 0s}
    postback: {url: "https://n.example/p", params: {c: <<CLICK_ID>>, v: <<VALUE>>}}
  - name: leads
    triggers: [Lead]
    postback: {url: "https://l.example/"}
"#;

/// Every path, with a body that is understood.
const PATHS: &[(Method, &str, &str)] = &[
    (Method::GET, "/healthz", ""),
    (Method::GET, "/readyz", ""),
    (Method::GET, "/metrics", ""),
    (Method::GET, "/api/connectors", ""),
    (Method::GET, "/api/deliveries", ""),
    (Method::GET, "/api/deliveries/3e00f946-2edc-8000-8000-000000010000", ""),
    (Method::POST, "/api/deliveries/3e00f946-2edc-8000-8000-000000010000/replay", "{}"),
    (Method::POST, "/api/replay", r#"{"state":"dead"}"#),
    (Method::POST, "/api/explain", r#"{"event":{"track":"Lead"}}"#),
    (Method::POST, "/api/connectors/pays/test", "{}"),
    (Method::GET, "/api/events/unheard-of", ""),
    (Method::GET, "/api/containers", ""),
    (Method::GET, "/api/variables", ""),
    (Method::GET, "/api/unheard-of", ""),
    (Method::GET, "/", ""),
];

struct Fine;

impl Health for Fine {
    fn alive(&self) -> bool {
        true
    }

    fn ready(&self) -> Readiness {
        Readiness { ready: false, degraded: vec!["source amqp".to_owned()], detail: "not connected yet".to_owned() }
    }
}

impl LaneStates for Fine {
    fn states(&self) -> Vec<LaneState> {
        vec![LaneState { connector: "pays".into(), breaker_open: true, parked: None, in_flight: 3 }]
    }
}

/// Logs as the daemon does, and sends nothing.
struct Logs(Store, Arc<ArcSwap<Config>>);

impl Tester for Logs {
    fn test<'a>(&'a self, connector: &'a ConnectorName, event: Event, send: bool) -> Testing<'a> {
        Box::pin(async move {
            let config = self.1.load_full();
            let connector = config.connector(connector).cloned().expect("the handler looked it up");
            let rules = Arc::new(Rules::new(config));
            let admitted = admit(&self.0, &rules, &Turns::default(), &connector, event, send, now()).await;
            let made = admitted.map_err(|e| TestError::Refused(e.to_string()))?;
            Ok(Tested { deliveries: made.deliveries(), requests: made.requests(), refused: made.refused() })
        })
    }
}

struct Bench {
    router: Router,
    store: Store,
}

fn bench(admin: &str) -> Bench {
    let main = format!(
        "connectors: c.yaml\ncontainers: [{{key: k-1, name: shop, currency: EUR}}, {{key: k-2, name: blog}}]\nadmin: {admin}\n"
    );
    let files = Memory::default().with("postbackd.yaml", &main).with("c.yaml", CONNECTORS);
    let loaded = load_from(&files, Path::new("postbackd.yaml"), &|_| None, LoadOptions::default()).unwrap();
    let metrics = Arc::new(Metrics::new("0.0.0"));
    metrics.set_connectors(&loaded.config.connectors);
    let config = Arc::new(ArcSwap::from_pointee(loaded.config));
    let store = Store::in_memory().unwrap();
    let desk = Desk {
        store: store.clone(),
        tester: Arc::new(Logs(store.clone(), Arc::clone(&config))),
        config,
        metrics,
        health: Arc::new(Fine),
        lanes: Arc::new(Fine),
        nudge: Box::new(|_| ()),
    };
    Bench { router: router(desk), store }
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

impl Bench {
    async fn ask(&self, method: &Method, path: &str, body: &str, headers: &[(header::HeaderName, &str)]) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        if *method == Method::POST && !headers.iter().any(|(name, _)| *name == header::CONTENT_TYPE) {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Got { status, headers, text: String::from_utf8(bytes.into()).unwrap() }
    }

    async fn get(&self, path: &str) -> Got {
        self.ask(&Method::GET, path, "", &[(header::HOST, "localhost")]).await
    }

    async fn post(&self, path: &str, body: &Value) -> Got {
        self.ask(&Method::POST, path, &body.to_string(), &[(header::HOST, "localhost")]).await
    }

    /// A delivery that was tried once, and rejected.
    async fn rejected(&self, event_id: &str) -> String {
        let event = json!({ "track": "Purchase", "eventId": event_id, "value": 15, "currency": "EUR", "email": "a@b.example",
                            "url": "https://shop.example/?cid=c1", "plan": 99.00 });
        let got = self.post("/api/connectors/pays/test", &json!({ "event": event, "send": true })).await;
        assert_eq!(got.status, StatusCode::OK, "{}", got.text);
        let id = got.json()["deliveries"][0].as_str().unwrap().to_owned();
        let request =
            ShownRequest { method: "GET", url: "https://n.example/p?c=c1".into(), headers: vec![], body: None };
        let at = now();
        let attempt = Attempt {
            number: 1,
            revision: "0123456789ab".into(),
            started: at,
            duration: Duration::from_millis(12),
            request,
            status: Some(404),
            response: "no such click".into(),
            failure: None,
            outcome: Outcome::Rejected(crate::model::delivery::Reason::HttpStatus),
            is_repeat: false,
            may_have_arrived: true,
        };
        let record = Record {
            delivery: id.parse().unwrap(),
            connector: "pays".into(),
            at,
            on_record: false,
            first_due: at,
            entry: Entry::Attempted(Box::new(attempt)),
        };
        self.store.record(record).await.unwrap();
        id
    }
}

#[tokio::test]
async fn the_token_opens_every_door_and_nothing_else_does() {
    let (closed, open) = (bench("{token: s3cret-t0ken}"), bench("{token: s3cret-t0ken, open_metrics: true}"));
    for (method, path, body) in PATHS {
        let always = matches!(*path, "/healthz" | "/readyz");
        for (authorization, right) in [
            ("", false),
            ("Bearer wrong", false),
            ("Bearer s3cret-t0ke", false),
            ("Bearer", false),
            ("Basic s3cret-t0ken", false),
            ("Bearer s3cret-t0ken", true),
            ("bearer s3cret-t0ken", true),
        ] {
            // A loopback name is no substitute for the token, a foreign one no obstacle to it.
            for host in ["localhost", "console.example"] {
                let headers = [(header::HOST, host), (header::AUTHORIZATION, authorization)];
                let got = closed.ask(method, path, body, &headers).await;
                assert_eq!(got.status == StatusCode::UNAUTHORIZED, !always && !right, "{path} {authorization:?}");
                if got.status == StatusCode::UNAUTHORIZED {
                    assert_eq!(got.headers[header::WWW_AUTHENTICATE], "Bearer");
                    assert!(got.json()["error"].is_string());
                }
                assert_eq!(got.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
                assert_eq!(got.headers[header::CACHE_CONTROL], "no-store", "{path}");
                let got = open.ask(method, path, body, &headers).await;
                let always = always || *path == "/metrics";
                assert_eq!(got.status == StatusCode::UNAUTHORIZED, !always && !right, "{path} {authorization:?}");
            }
        }
    }
}

#[tokio::test]
async fn without_a_token_only_loopback_names_are_answered() {
    let bench = bench("{}");
    for (method, path, body) in PATHS {
        for (host, fine) in [
            (Some("localhost:9090"), true),
            (Some("127.0.0.1:9090"), true),
            (Some("[::1]:9090"), true),
            (Some("evil.example"), false),
            (Some("localhost.evil.example:9090"), false),
            (None, false),
        ] {
            let headers: Vec<_> = host.map(|h| (header::HOST, h)).into_iter().collect();
            let got = bench.ask(method, path, body, &headers).await;
            let fine = fine || matches!(*path, "/healthz" | "/readyz");
            assert_eq!(got.status != StatusCode::FORBIDDEN, fine, "{path} {host:?} {}", got.status);
        }
    }
    let two = [(header::HOST, "localhost"), (header::HOST, "evil.example")];
    assert_eq!(bench.ask(&Method::GET, "/metrics", "", &two).await.status, StatusCode::FORBIDDEN);
    let absolute = bench.ask(&Method::GET, "http://evil.example/metrics", "", &[(header::HOST, "localhost")]).await;
    assert_eq!(absolute.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn nothing_is_written_for_a_page_of_another_site() {
    let bench = bench("{}");
    for (headers, expect) in [
        (&[(header::ORIGIN, "https://evil.example")][..], StatusCode::FORBIDDEN),
        (&[(header::ORIGIN, "null")], StatusCode::FORBIDDEN),
        (&[(header::CONTENT_TYPE, "text/plain")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[(header::CONTENT_TYPE, "application/x-www-form-urlencoded")], StatusCode::UNSUPPORTED_MEDIA_TYPE),
        (&[(header::ORIGIN, "http://localhost:9090")], StatusCode::OK),
    ] {
        let mut headers = headers.to_vec();
        headers.push((header::HOST, "localhost:9090"));
        let got = bench.ask(&Method::POST, "/api/replay", r#"{"state":"dead"}"#, &headers).await;
        assert_eq!(got.status, expect, "{headers:?}");
    }
}

#[tokio::test]
async fn machines_learn_how_it_stands() {
    let bench = bench("{}");
    let got = bench.get("/healthz").await;
    assert_eq!((got.status, got.json()), (StatusCode::OK, json!({ "status": "ok" })));
    let got = bench.get("/readyz").await;
    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(got.json()["degraded"], json!(["source amqp"]));
    let got = bench.get("/metrics").await;
    assert_eq!(got.headers[header::CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    assert!(got.text.contains("postbackd_connector_info{connector=\"leads\",mode=\"test\""), "{}", got.text);
}

#[tokio::test]
async fn wrong_paths_and_methods_are_told() {
    let bench = bench("{}");
    let got = bench.get("/api/nothing").await;
    assert_eq!(got.status, StatusCode::NOT_FOUND);
    assert!(got.json()["error"].as_str().unwrap().contains("/api/nothing"));
    let got = bench.ask(&Method::DELETE, "/api/deliveries", "", &[(header::HOST, "localhost")]).await;
    assert_eq!(got.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(got.headers[header::ALLOW].to_str().unwrap().contains("GET"));
    assert!(got.json()["error"].is_string());
    assert_eq!(bench.get("/api/deliveries/%FF").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn every_wrong_parameter_is_named_at_once() {
    let bench = bench("{}");
    let query = "state=deaf&reason=none&since=yesterday&until=x&limit=0&connectr=pays&limit=5";
    let got = bench.get(&format!("/api/deliveries?{query}")).await;
    assert_eq!(got.status, StatusCode::BAD_REQUEST);
    let mut fields: Vec<_> =
        got.json().as_array().unwrap().iter().map(|p| p["field"].as_str().unwrap().to_owned()).collect();
    fields.sort();
    assert_eq!(fields, ["connectr", "limit", "limit", "reason", "since", "state", "until"]);
    for (query, fine) in [
        ("limit=1000", true),
        ("limit=1001", false),
        ("limit=-1", false),
        ("limit=ten", false),
        ("limit=", true),
        ("since=2026-01-10T12%3A00%3A00Z&until=1768046400&state=dead&connector=pays&event_id=a%20b", true),
        ("cursor=nonsense", false),
    ] {
        let got = bench.get(&format!("/api/deliveries?{query}")).await;
        assert_eq!(got.status == StatusCode::OK, fine, "{query}: {}", got.text);
        assert_eq!(got.status == StatusCode::BAD_REQUEST, !fine, "{query}: {}", got.text);
    }
}

#[tokio::test]
async fn every_wrong_member_is_named_at_once() {
    let bench = bench("{}");
    for (path, body, fields) in [
        (
            "/api/replay",
            json!({ "state": "delivered", "since": 5, "rate": "fast", "all": true }),
            &["all", "rate", "since", "state"][..],
        ),
        ("/api/replay", json!({}), &["state"]),
        ("/api/replay", json!([]), &[""]),
        ("/api/explain", json!({}), &["event"]),
        ("/api/explain", json!({ "event": [] }), &["event"]),
        ("/api/explain", json!({ "event": { "k": "k-9", "track": "x" } }), &["event.k"]),
        (
            "/api/explain",
            json!({ "event": { "track": "x" }, "history": [{ "track": "y", "timestamp": "?" }] }),
            &["history[0].timestamp"],
        ),
        ("/api/connectors/pays/test", json!({ "send": "yes" }), &["send"]),
    ] {
        let got = bench.post(path, &body).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST, "{path} {body}: {}", got.text);
        let mut found: Vec<_> =
            got.json().as_array().unwrap().iter().map(|p| p["field"].as_str().unwrap().to_owned()).collect();
        found.sort();
        assert_eq!(found, fields, "{path} {body}");
    }
    let long = json!({ "event": { "track": "x".repeat(1_000_001) } });
    assert_eq!(bench.post("/api/explain", &long).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    for path in ["/api/connectors/nobody/test", "/api/deliveries/no-id/replay"] {
        assert_eq!(bench.post(path, &json!({})).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let unknown = json!({ "state": "dead", "connector": "nobody" });
    assert_eq!(bench.post("/api/replay", &unknown).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn explanations_come_for_every_connector_or_for_one() {
    let bench = bench("{}");
    let event = json!({ "track": "Purchase", "sessionId": "s", "value": 15, "timestamp": "2026-01-10T12:00:00Z" });
    let visit = json!({ "track": "Visit", "sessionId": "s", "url": "https://shop.example/?cid=c1", "timestamp": "2026-01-09T12:00:00Z" });
    let got = bench.post("/api/explain", &json!({ "event": event, "history": [visit] })).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text);
    let items = got.json()["items"].clone();
    assert_eq!(items[0]["verdict"], "send");
    assert_eq!(items[0]["requests"][0]["url"], "https://n.example/p?c=c1&v=15");
    assert_eq!(items[0]["click"]["value"], "c1");
    assert_eq!(items[1]["verdict"], "trigger_mismatch");
    let got = bench.post("/api/explain", &json!({ "event": event, "connector": "pays" })).await;
    assert_eq!(got.json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(got.json()["items"][0]["verdict"], "no_click");
}

#[tokio::test]
async fn a_delivery_is_listed_shown_whole_and_replayed() {
    let bench = bench("{}");
    let id = bench.rejected("order-1").await;
    let list = bench.get("/api/deliveries?state=rejected&connector=pays").await.json();
    let line = &list["items"][0];
    assert_eq!((&line["id"], &line["event_id"], &line["event"]), (&json!(id), &json!("order-1"), &json!("Purchase")));
    assert_eq!((&line["container"], &line["connector"]), (&json!("k-1"), &json!("pays")));
    assert_eq!((&line["state"], &line["reason"]), (&json!("rejected"), &json!("http_status")));
    assert_eq!((&line["attempts"], &line["next_attempt_at"]), (&json!(1), &Value::Null));
    assert_eq!(list["next_cursor"], Value::Null);
    let created = line["created_at"].as_str().unwrap();
    assert!(created.len() == 24 && created.ends_with('Z'), "{created}");

    let detail = bench.get(&format!("/api/deliveries/{id}")).await;
    assert!(detail.text.contains("99.0"), "numbers keep their text: {}", detail.text);
    let detail = detail.json();
    assert_eq!(detail["click"]["value"], "c1");
    assert_eq!(detail["facts"]["event"]["email"], "a@b.example");
    assert_eq!(detail["request"]["url"], "https://n.example/p?c=c1");
    let attempt = &detail["attempts"][0];
    assert_eq!((&attempt["status"], &attempt["outcome"]), (&json!(404), &json!("rejected")));
    assert_eq!((&attempt["response"], &attempt["duration_ms"]), (&json!("no such click"), &json!(12)));

    let event = bench.get("/api/events/order-1").await.json();
    assert_eq!(event["items"][0]["deliveries"][0]["id"], json!(id));

    let replay = format!("/api/deliveries/{id}/replay");
    let got = bench.post(&replay, &json!({})).await;
    assert_eq!((got.status, &got.json()["state"]), (StatusCode::OK, &json!("pending")), "{}", got.text);
    let again = bench.post(&replay, &json!({ "force": true })).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.text);
    let history = bench.get(&format!("/api/deliveries/{id}")).await.json()["history"].clone();
    assert_eq!(history[0]["what"], "replayed");
}

#[tokio::test]
async fn a_selection_is_replayed_and_counted() {
    let bench = bench("{}");
    for event in ["a", "b", "c"] {
        bench.rejected(event).await;
    }
    let dead = bench.post("/api/replay", &json!({ "state": State::Dead.word() })).await;
    assert_eq!(dead.json(), json!({ "count": 0 }));
    let some = bench.post("/api/replay", &json!({ "state": "rejected", "connector": "pays", "rate": "2/s" })).await;
    assert_eq!(some.json(), json!({ "count": 3 }), "{}", some.text);
    let list = bench.get("/api/deliveries?state=pending").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
    let first = bench.get("/api/deliveries?state=pending&limit=2").await.json();
    let rest = format!("/api/deliveries?state=pending&limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
    assert_eq!(bench.get(&rest).await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_sample_needs_no_event_and_brings_its_own_click() {
    let bench = bench("{}");
    let got = bench.post("/api/connectors/pays/test", &json!({})).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.text);
    assert_eq!(got.json()["requests"][0]["url"], "https://n.example/p?c=test-click&v=49.90");
    assert_eq!(got.json()["deliveries"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn connectors_and_containers_say_what_was_seen() {
    let bench = bench("{}");
    bench.rejected("a").await;
    let connectors = bench.get("/api/connectors").await.json();
    let (pays, leads) = (&connectors["items"][0], &connectors["items"][1]);
    assert_eq!((&pays["name"], &pays["mode"], &leads["mode"]), (&json!("pays"), &json!("enabled"), &json!("test")));
    assert_eq!((&pays["trigger_seen"], &leads["trigger_seen"]), (&json!(true), &json!(false)));
    assert_eq!(
        (&pays["breaker"], &pays["in_flight"], &leads["breaker"]),
        (&json!("open"), &json!(3), &json!("closed"))
    );
    assert_eq!((&pays["triggers"], &pays["containers"]), (&json!(["Purchase"]), &Value::Null));
    let containers = bench.get("/api/containers").await.json();
    let (shop, blog) = (&containers["items"][0], &containers["items"][1]);
    assert_eq!((&shop["status"], &shop["event_names"]), (&json!("connected"), &json!(["Purchase"])));
    assert_eq!((&blog["status"], &blog["last_event_at"]), (&json!("awaiting data"), &Value::Null));
    let variables = bench.get("/api/variables").await.json();
    assert!(variables["variables"].as_array().unwrap().iter().any(|v| v["name"] == "CLICK_ID"));
    assert!(variables["filters"].as_array().unwrap().iter().any(|f| f["name"] == "sha256"));
}

#[tokio::test]
async fn the_listener_answers_and_ends() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(server::serve(listener, bench("{}").router, async {
        let _ = stopped.await;
    }));
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = vec![0; 1024];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(String::from_utf8_lossy(&answer[..read]).starts_with("HTTP/1.1 200 OK"));
    stop.send(()).unwrap();
    // An idle connection does not hold the end up.
    serving.await.unwrap();
    assert_eq!(stream.read(&mut answer).await.unwrap(), 0);
}

#[tokio::test]
async fn an_erasure_goes_on_when_its_caller_has_gone_away() {
    let bench = bench("{}");
    let id = bench.rejected("order-1").await;
    let shown = async || bench.get(&format!("/api/deliveries/{id}")).await.text;
    assert!(shown().await.contains("a@b.example"));
    let asked = json!({ "container": "shop", "email": "a@b.example" });
    let erase = bench.post("/api/erase", &asked);
    assert!(futures_util::FutureExt::now_or_never(erase).is_none(), "the store answers later");
    let within = tokio::time::timeout(Duration::from_secs(30), async {
        while shown().await.contains("a@b.example") {
            tokio::task::yield_now().await;
        }
    });
    within.await.expect("the work is a task of its own");
}
