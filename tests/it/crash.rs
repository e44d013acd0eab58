//! SIGKILL, again and again, while events pour in: nothing lost, and no more repeated than was on its way.
//!
//! Refuses: being gentle. `POSTBACKD_CRASH_ROUNDS` sets the number of kills (default 4; 50 is the long run).

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::json;

use crate::broker::Broker;
use crate::daemon::{Daemon, KEY};
use crate::partner::{Answer, Partner, Seen};
use crate::wait;

const CONNECTORS: [&str; 3] = ["red", "green", "blue"];
/// Attempts in flight of one connector, and so what one kill may repeat of it.
const CONCURRENCY: usize = 8;
const EVENTS_PER_ROUND: usize = 1000;

fn rounds() -> usize {
    std::env::var("POSTBACKD_CRASH_ROUNDS").ok().and_then(|r| r.parse().ok()).unwrap_or(4)
}

fn connector(partner: &str, name: &str) -> String {
    json!({
        "name": name, "mode": "enabled", "triggers": ["Purchase"],
        "postback": {
            "url": format!("{partner}/{name}"), "params": {"e": "<<EVENT_ID>>"},
            "retry": {"initial": "100ms", "max_interval": "1s"},
            "limits": {"concurrency": CONCURRENCY}, "breaker": {"failures": 1_000_000},
        },
    })
    .to_string()
}

/// How many requests to let through before the kill of a round: every round dies at another point of its work.
fn dies_after(round: usize) -> usize {
    1 + round * 7919 % (EVENTS_PER_ROUND * CONNECTORS.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_nothing_and_repeat_only_what_was_in_flight() {
    let (rounds, partner) = (rounds(), Partner::start().await);
    // Long enough that a kill finds attempts on their way.
    partner.script("/", vec![Answer { delay_ms: 2, ..Answer::default() }]);
    let broker = Broker::connect("crash").await;
    let mut daemon = Daemon::new("crash");
    daemon.configure(&json!({"source": broker.source()}));
    CONNECTORS.iter().for_each(|name| daemon.connector(name, &connector(&partner.url, name)));
    daemon.start().await.unwrap();
    for round in 0..rounds {
        let before = partner.count();
        let ids = (0..EVENTS_PER_ROUND).map(|n| round * EVENTS_PER_ROUND + n);
        let events = ids.map(|id| json!({"k": KEY, "track": "Purchase", "eventId": format!("e{id}")}));
        let publishing = broker.publish_json(events);
        let dying = wait::until("some of the round's requests came", async || {
            let came = partner.count() - before;
            if dies_after(round) <= came { Ok(()) } else { Err(format!("{came} came\n{}", daemon.log_tail())) }
        });
        // The kill may well come while the broker still takes events: the publisher must not notice.
        let (published, died) = tokio::join!(publishing, dying);
        published.unwrap();
        died.unwrap();
        daemon.kill();
        daemon.start().await.unwrap();
    }
    all_delivered(&daemon, &partner, rounds * EVENTS_PER_ROUND).await;
    daemon.stop().await.unwrap();
    assert_eq!(broker.depth(&broker.queue).await.unwrap(), 0, "left unacknowledged");
    broker.clean().await;
    examine(&partner, rounds);
}

async fn all_delivered(daemon: &Daemon, partner: &Partner, events: usize) {
    // A slow machine makes a few hundred deliveries a second.
    let patience = wait::deadline() + Duration::from_millis(10 * events as u64);
    wait::within(patience, "everything is delivered", async || {
        for name in CONNECTORS {
            let ids = partner.by_param(&format!("/{name}"), "e").len();
            if ids < events {
                return Err(format!("{name} has {ids} of {events}\n{}", daemon.log_tail()));
            }
        }
        let metrics = daemon.metrics().await?;
        let open = |(name, value): (&String, &f64)| name.starts_with("postbackd_deliveries_pending") && *value != 0.0;
        if metrics.iter().any(open) { Err("some are pending".into()) } else { Ok(()) }
    })
    .await
    .unwrap();
    assert_eq!(daemon.metric("postbackd_unaccounted_deliveries").await.unwrap(), 0.0);
}

fn examine(partner: &Partner, kills: usize) {
    let mut keys: HashSet<String> = HashSet::new();
    let mut repeats = 0;
    for name in CONNECTORS {
        let by_event: HashMap<String, Vec<Seen>> = partner.by_param(&format!("/{name}"), "e");
        for (event, seen) in &by_event {
            let key = seen[0].headers.get("idempotency-key").expect("every postback carries its key");
            assert!(keys.insert(key.clone()), "the key of {event} for {name} is another delivery's too");
            for repeat in &seen[1..] {
                assert_eq!(repeat.headers.get("idempotency-key"), Some(key), "a repeat of {event} for {name}");
            }
            repeats += seen.len() - 1;
        }
    }
    let most = kills * CONNECTORS.len() * CONCURRENCY;
    eprintln!("{kills} kills, 0 lost, {repeats} repeated of at most {most}");
    assert!(repeats <= most, "{repeats} repeats; {kills} kills with so many in flight explain {most}");
}
