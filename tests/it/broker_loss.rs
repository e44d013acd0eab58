//! The broker goes away and comes back: nothing lost, nothing repeated, and the daemon says so meanwhile.
//!
//! Refuses: stopping a broker that others use. The wire is cut by a proxy; `POSTBACKD_TEST_RABBITMQCTL="sudo rabbitmqctl"`
//! lets one more test stop the real thing.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::broker::{self, Broker};
use crate::daemon::{Daemon, KEY};
use crate::partner::{Partner, Seen};
use crate::proxy::Proxy;
use crate::wait;

const EVENTS: usize = 300;

fn events(prefix: &'static str) -> impl Iterator<Item = Value> {
    (0..EVENTS).map(move |n| json!({"k": KEY, "track": "Purchase", "eventId": format!("{prefix}{n}")}))
}

fn daemon_of(name: &str, partner: &Partner, source: &Value) -> Daemon {
    let mut daemon = Daemon::new(name);
    daemon.configure(&json!({"source": source}));
    let url = format!("{}/net", partner.url);
    let postback = json!({"url": url, "params": {"e": "<<EVENT_ID>>"}});
    let connector = json!({"name": "net", "mode": "enabled", "triggers": ["Purchase"], "postback": postback});
    daemon.connector("net", &connector.to_string());
    daemon
}

/// The same source by way of the proxy.
fn through(proxy: &Proxy, broker: &Broker) -> Value {
    let mut source = broker.source();
    let mut url = url::Url::parse(&broker::url()).unwrap();
    url.set_host(Some("127.0.0.1")).unwrap();
    url.set_port(Some(proxy.address.port())).unwrap();
    source["amqp"]["url"] = url.as_str().into();
    source
}

async fn proxy() -> Proxy {
    let url = url::Url::parse(&broker::url()).unwrap();
    Proxy::start(format!("{}:{}", url.host_str().unwrap_or("127.0.0.1"), url.port().unwrap_or(5672))).await
}

async fn connected(daemon: &Daemon, wanted: bool) {
    let what = if wanted { "the source is connected" } else { "the loss is noticed" };
    wait::until(what, async || {
        let up = daemon.metric("postbackd_source_connected{source=\"amqp\"}").await?;
        let ready = daemon.ask("/readyz").await?;
        let degraded = ready.json()?["degraded"].as_array().map_or(0, Vec::len);
        let holds = (up == 1.0) == wanted && (degraded == 0) == wanted;
        if holds { Ok(()) } else { Err(format!("{up}; {} {}\n{}", ready.status, ready.text, daemon.log_tail())) }
    })
    .await
    .unwrap();
}

async fn came(partner: &Partner, daemon: &Daemon, at_least: usize) -> HashMap<String, Vec<Seen>> {
    wait::until("the postbacks came", async || {
        let by_event = partner.by_param("/net", "e");
        if at_least <= by_event.len() {
            Ok(by_event)
        } else {
            Err(format!("{} of {at_least} came\n{}", by_event.len(), daemon.log_tail()))
        }
    })
    .await
    .unwrap()
}

/// Ends the daemon and looks whether every event came exactly once.
async fn each_once(mut daemon: Daemon, partner: &Partner, broker: &Broker, events: usize) {
    came(partner, &daemon, events).await;
    daemon.stop().await.unwrap();
    let by_event = partner.by_param("/net", "e");
    let twice: Vec<&String> = by_event.iter().filter(|(_, seen)| seen.len() != 1).map(|(event, _)| event).collect();
    assert!(twice.is_empty(), "sent more than once: {twice:?}");
    assert_eq!(by_event.len(), events);
    assert_eq!(broker.depth(&broker.queue).await.unwrap(), 0, "left unacknowledged");
    broker.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_wire_is_reported_and_mended_without_loss_or_repeat() {
    let (partner, broker, proxy) = (Partner::start().await, Broker::connect("cut").await, proxy().await);
    let mut daemon = daemon_of("cut", &partner, &through(&proxy, &broker));
    daemon.start().await.unwrap();
    connected(&daemon, true).await;
    broker.publish_json(events("before-")).await.unwrap();
    came(&partner, &daemon, 1).await;
    proxy.cut();
    broker.publish_json(events("during-")).await.unwrap();
    connected(&daemon, false).await;
    // One way in is left, and one is enough to be ready.
    assert_eq!(daemon.ask("/readyz").await.unwrap().status, 200);
    daemon.hook(json!({"track": "Purchase", "eventId": "by-http"})).await.unwrap();
    proxy.mend();
    connected(&daemon, true).await;
    broker.publish_json(events("after-")).await.unwrap();
    each_once(daemon, &partner, &broker, 3 * EVENTS + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_started_before_its_broker_waits_for_it() {
    let (partner, broker, proxy) = (Partner::start().await, Broker::connect("early").await, proxy().await);
    proxy.cut();
    let mut daemon = daemon_of("early", &partner, &through(&proxy, &broker));
    daemon.spawn();
    wait::until("it answers, but is not ready", async || {
        let (alive, ready) = (daemon.ask("/healthz").await?.status, daemon.ask("/readyz").await?.status);
        if (alive, ready) == (200, 503) { Ok(()) } else { Err(format!("healthz {alive}, readyz {ready}")) }
    })
    .await
    .unwrap();
    proxy.mend();
    daemon.ready().await.unwrap();
    broker.publish_json(events("e")).await.unwrap();
    each_once(daemon, &partner, &broker, EVENTS).await;
}

/// Only by name and with leave, for it stops the broker under every other test:
/// `POSTBACKD_TEST_RABBITMQCTL=rabbitmqctl cargo test --test it the_broker_itself`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_itself_may_restart() {
    let Ok(control) = std::env::var("POSTBACKD_TEST_RABBITMQCTL") else {
        eprintln!("left out: POSTBACKD_TEST_RABBITMQCTL does not say how to stop the broker");
        return;
    };
    let rabbitmqctl = async |verb: &'static str| {
        let line = format!("{control} {verb}");
        let done = tokio::task::spawn_blocking(move || std::process::Command::new("sh").args(["-c", &line]).status());
        assert!(done.await.unwrap().is_ok_and(|s| s.success()), "{control} {verb}");
    };
    let (partner, mut broker) = (Partner::start().await, Broker::connect("restart").await);
    let mut daemon = daemon_of("restart", &partner, &broker.source());
    daemon.start().await.unwrap();
    broker.publish_json(events("before-")).await.unwrap();
    came(&partner, &daemon, 1).await;
    rabbitmqctl("stop_app").await;
    connected(&daemon, false).await;
    rabbitmqctl("start_app").await;
    wait::until("the broker is back", async || broker.reconnect().await).await.unwrap();
    connected(&daemon, true).await;
    broker.publish_json(events("after-")).await.unwrap();
    each_once(daemon, &partner, &broker, 2 * EVENTS).await;
}
