//! Access tokens against a server that fails, dawdles and ends tokens early: one request for a token at a time, nothing lost,
//! and no token to be read anywhere.
//!
//! Refuses: trusting what the daemon says of it. The network counts for itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;

use crate::broker::Broker;
use crate::daemon::{Daemon, KEY};
use crate::wait;

const EVENTS: usize = 600;
/// Requests that one token is good for.
const TAKEN_BY_ONE: usize = 100;
const CLIENT_SECRET: &str = "client-s3cret-9f1";
const REFRESH: &str = "refresh-s3cret-";

/// What one client of the token server has and has had.
#[derive(Debug, Default)]
struct Client {
    /// Requests for a token: all of them, those under way, and most at once.
    asked: usize,
    under_way: usize,
    most: usize,
    granted: usize,
    /// Still good for so many.
    left: usize,
    taken: HashMap<String, usize>,
    refused: usize,
}

type Clients = Arc<Mutex<HashMap<String, Client>>>;

async fn network() -> (String, Clients) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let clients = Clients::default();
    let shared = clients.clone();
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let clients = shared.clone();
            let service = hyper::service::service_fn(move |request| answer(request, clients.clone()));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (url, clients)
}

/// `/CLIENT/token` and `/CLIENT/api`.
async fn answer(request: Request<Incoming>, clients: Clients) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let mut path = head.uri.path().trim_start_matches('/').splitn(2, '/').map(ToOwned::to_owned);
    let (name, what) = (path.next().unwrap(), path.next().unwrap_or_default());
    let authorization = head.headers.get("authorization").map_or("", |value| value.to_str().unwrap()).to_owned();
    let (status, text) = if what == "token" {
        token(&name, &authorization, &body, &clients).await
    } else {
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        api(&name, &authorization, &query["e"], &clients)
    };
    Response::builder().status(status).body(Full::new(Bytes::from(text))).map_err(std::io::Error::other)
}

/// Fails, refuses, and then gives tokens, slowly.
async fn token(name: &str, authorization: &str, body: &[u8], clients: &Clients) -> (u16, String) {
    let (asked, granted) = {
        let mut clients = clients.lock().unwrap();
        let client = clients.entry(name.to_owned()).or_default();
        client.asked += 1;
        client.under_way += 1;
        client.most = client.most.max(client.under_way);
        (client.asked, client.granted)
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    let form: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let field = |field: &str| form.get(field).map_or("", String::as_str);
    let is_client = match name {
        "machine" => {
            field("grant_type") == "client_credentials"
                && (field("client_id"), field("client_secret"), field("scope")) == ("id-1", CLIENT_SECRET, "a b")
                && authorization.is_empty()
        }
        // A refresh token is good once; the answer brings the next.
        _ => {
            use base64::Engine as _;
            let basic = base64::engine::general_purpose::STANDARD.encode(format!("id-2:{CLIENT_SECRET}"));
            field("grant_type") == "refresh_token"
                && field("refresh_token") == format!("{REFRESH}{granted}")
                && authorization == format!("Basic {basic}")
                && !form.contains_key("client_secret")
        }
    };
    let mut clients = clients.lock().unwrap();
    let client = clients.get_mut(name).unwrap();
    client.under_way -= 1;
    match asked {
        1 => (500, format!("we were told {CLIENT_SECRET}")),
        2 => (401, format!(r#"{{"error":"invalid_client","error_description":"not {CLIENT_SECRET}"}}"#)),
        _ if !is_client => (400, r#"{"error":"invalid_grant"}"#.to_owned()),
        _ => {
            client.granted += 1;
            client.left = TAKEN_BY_ONE;
            let granted = client.granted;
            let next = format!("{REFRESH}{granted}");
            let answer = json!({"access_token": format!("access-s3cret-{name}-{granted}"), "token_type": "Bearer",
                                "expires_in": 3600, "refresh_token": next});
            (200, answer.to_string())
        }
    }
}

fn api(name: &str, authorization: &str, event: &str, clients: &Clients) -> (u16, String) {
    let mut clients = clients.lock().unwrap();
    let client = clients.get_mut(name).unwrap();
    let is_good = authorization == format!("Bearer access-s3cret-{name}-{}", client.granted);
    if client.left == 0 || !is_good {
        client.refused += 1;
        return (401, format!("{authorization} is no good"));
    }
    client.left -= 1;
    *client.taken.entry(event.to_owned()).or_default() += 1;
    (200, format!("{authorization} is welcome"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_renewed_one_at_a_time_and_nothing_is_lost() {
    let ((url, clients), broker) = (network().await, Broker::connect("tokens").await);
    let mut daemon = Daemon::new("tokens");
    daemon.configure(&json!({"source": broker.source()}));
    let client = json!({"client_id": "<<SETTING.id>>", "client_secret": CLIENT_SECRET});
    for (name, id, over) in [
        ("machine", "id-1", json!({"scope": "a b"})),
        (
            "person",
            "id-2",
            json!({"grant": "refresh_token", "client_in": "header", "refresh_token": format!("{REFRESH}0")}),
        ),
    ] {
        let mut oauth2 = client.clone();
        crate::daemon::lay_over(&mut oauth2, &over);
        crate::daemon::lay_over(&mut oauth2, &json!({"token_url": format!("{url}/{name}/token")}));
        let postback = json!({
            "url": format!("{url}/{name}/api"), "params": {"e": "<<EVENT_ID>>"}, "auth": {"oauth2": oauth2},
            "limits": {"concurrency": 64}, "retry": {"initial": "200ms", "multiplier": 1, "max_interval": "1s"},
            "breaker": {"open_for": "200ms"},
        });
        let whole = json!({"name": name, "mode": "enabled", "triggers": ["Purchase"], "settings": {"id": id}, "postback": postback});
        daemon.connector(name, &whole.to_string());
    }
    daemon.start().await.unwrap();
    let events = (0..EVENTS).map(|n| json!({"k": KEY, "track": "Purchase", "eventId": format!("e{n}")}));
    broker.publish_json(events).await.unwrap();
    wait::until("everything is delivered", async || {
        let found = daemon.deliveries("state=delivered").await?.len();
        if found == 2 * EVENTS { Ok(()) } else { Err(format!("{found} of {}\n{}", 2 * EVENTS, daemon.log_tail())) }
    })
    .await
    .unwrap();
    for (name, client) in &*clients.lock().unwrap() {
        assert_eq!(client.taken.len(), EVENTS, "{name}: {client:?}");
        assert!(client.taken.values().all(|times| *times == 1), "{name}: what was refused was not counted");
        assert_eq!(client.most, 1, "{name}: one request for a token at a time");
        assert_eq!(client.asked, 2 + EVENTS / TAKEN_BY_ONE, "{name}: two failed, and none was needless");
        assert_ne!(client.refused, 0, "{name}: tokens ended early");
    }
    // In no log, metric, page or detail, of failures and of successes alike.
    let mut shown = vec![daemon.log(), daemon.ask("/metrics").await.unwrap().text];
    for delivery in daemon.deliveries("").await.unwrap() {
        let id = delivery["id"].as_str().unwrap().to_owned();
        shown.push(daemon.ask(&format!("/api/deliveries/{id}")).await.unwrap().text);
    }
    for text in &shown {
        assert!(!text.contains("s3cret"), "{text}");
    }
    let tells = |what: &str| shown.iter().any(|text| text.contains(what));
    assert!(tells("Bearer ***") && tells("token: the token server answered 401: invalid_client"));
    daemon.stop().await.unwrap();
    broker.clean().await;
}
