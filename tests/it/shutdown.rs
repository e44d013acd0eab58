//! How the daemon ends, and who may start it.
//!
//! Refuses: SIGKILL; that is `crash`.

use serde_json::{Value, json};

use crate::broker::Broker;
use crate::daemon::{Daemon, KEY};
use crate::partner::{Answer, Partner};
use crate::wait;

const EVENTS: usize = 120;

fn connector(partner: &Partner) -> String {
    let postback = json!({
        "url": format!("{}/net", partner.url), "params": {"e": "<<EVENT_ID>>"}, "limits": {"concurrency": 8},
    });
    json!({"name": "net", "mode": "enabled", "triggers": ["Purchase"], "postback": postback}).to_string()
}

fn events() -> impl Iterator<Item = Value> {
    (0..EVENTS).map(|n| json!({"k": KEY, "track": "Purchase", "eventId": format!("e{n}")}))
}

async fn came(partner: &Partner, at_least: usize) {
    wait::until("requests came", async || {
        let count = partner.count();
        if at_least <= count { Ok(()) } else { Err(format!("{count} of {at_least}")) }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_loses_and_repeats_nothing() {
    let (partner, broker) = (Partner::start().await, Broker::connect("graceful").await);
    // Slow enough that every stop finds attempts on their way.
    partner.script("/", vec![Answer { delay_ms: 100, ..Answer::default() }]);
    let mut daemon = Daemon::new("graceful");
    daemon.configure(&json!({"source": broker.source()}));
    daemon.connector("net", &connector(&partner));
    daemon.start().await.unwrap();
    broker.publish_json(events()).await.unwrap();
    for share in 1..=3 {
        came(&partner, share * EVENTS / 4).await;
        daemon.stop().await.unwrap();
        daemon.start().await.unwrap();
    }
    wait::until("everything is delivered", async || {
        let done = daemon.deliveries("state=delivered").await?.len();
        if done == EVENTS { Ok(()) } else { Err(format!("{done} of {EVENTS}\n{}", daemon.log_tail())) }
    })
    .await
    .unwrap();
    daemon.stop().await.unwrap();
    let by_event = partner.by_param("/net", "e");
    assert_eq!(by_event.len(), EVENTS);
    assert_eq!(partner.count(), EVENTS, "each exactly once");
    assert_eq!(broker.depth(&broker.queue).await.unwrap(), 0);
    broker.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_outlasts_the_grace_is_repeated_with_its_key() {
    let partner = Partner::start().await;
    partner.script("/", vec![Answer::hang()]);
    let mut daemon = Daemon::new("grace");
    daemon.configure(&json!({"shutdown": {"grace": "1s"}}));
    daemon.connector("net", &connector(&partner));
    daemon.start().await.unwrap();
    daemon.hook(json!({"track": "Purchase", "eventId": "slow"})).await.unwrap();
    came(&partner, 1).await;
    daemon.stop().await.unwrap();
    partner.script("/", vec![Answer::default()]);
    daemon.start().await.unwrap();
    came(&partner, 2).await;
    daemon.stop().await.unwrap();
    let seen = partner.seen();
    assert!(seen[0].headers.contains_key("idempotency-key"));
    assert_eq!(seen[0].headers["idempotency-key"], seen[1].headers["idempotency-key"]);
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn a_store_belongs_to_one_process() {
    let mut daemon = Daemon::new("owner");
    daemon.start().await.unwrap();
    let mut other = Daemon::new("intruder");
    let data = daemon.folder.path().join("data");
    other.configure(&json!({"store": {"path": data}}));
    let said = other.run(&["run"]).await.unwrap();
    assert_eq!(said.exit, Some(3), "{}{}", said.stdout, said.stderr);
    assert!(said.stderr.contains("in use") || said.stdout.contains("in use"), "{}{}", said.stdout, said.stderr);
    assert_eq!(daemon.ask("/readyz").await.unwrap().status, 200, "the owner is not disturbed");
    daemon.stop().await.unwrap();
    other.start().await.unwrap();
    other.stop().await.unwrap();
}

#[tokio::test]
async fn a_listener_that_is_taken_or_open_to_the_world_stops_the_start() {
    let mut daemon = Daemon::new("first");
    daemon.start().await.unwrap();
    let mut second = Daemon::new("second");
    let taken = daemon.ingest.trim_start_matches("http://").to_owned();
    second.configure(&json!({"ingest": {"listen": taken}}));
    let said = second.run(&["run"]).await.unwrap();
    assert_eq!(said.exit, Some(3), "{}{}", said.stdout, said.stderr);
    let mut open = Daemon::new("open");
    let port = crate::ports::free();
    open.configure(&json!({"admin": {"listen": format!("0.0.0.0:{port}")}}));
    let said = open.run(&["run"]).await.unwrap();
    assert_eq!(said.exit, Some(3), "{}{}", said.stdout, said.stderr);
    assert!(format!("{}{}", said.stdout, said.stderr).contains("token"), "{}{}", said.stdout, said.stderr);
    daemon.stop().await.unwrap();
}
