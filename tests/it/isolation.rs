//! A network that never answers, or fails always, delays no other.
//!
//! Refuses: measuring. What is asserted is an order: the good one is through while the bad one has not moved.

use serde_json::json;

use crate::broker::Broker;
use crate::daemon::{Daemon, KEY};
use crate::partner::{Answer, Partner};
use crate::wait;

const EVENTS: usize = 500;

async fn the_good_one_gets_through(name: &str, bad: Answer) {
    let (partner, broker) = (Partner::start().await, Broker::connect(name).await);
    partner.script("/bad", vec![bad]);
    let mut daemon = Daemon::new(name);
    daemon.configure(&json!({"source": broker.source(), "shutdown": {"grace": "1s"}}));
    for connector in ["bad", "good"] {
        let postback = json!({
            "url": format!("{}/{connector}", partner.url), "params": {"e": "<<EVENT_ID>>"},
            "timeout": {"connect": "10s", "total": "10m"}, "retry": {"initial": "1h", "max_interval": "6h"},
        });
        let whole = json!({"name": connector, "mode": "enabled", "triggers": ["Purchase"], "postback": postback});
        daemon.connector(connector, &whole.to_string());
    }
    daemon.start().await.unwrap();
    let events = (0..EVENTS).map(|n| json!({"k": KEY, "track": "Purchase", "eventId": format!("e{n}")}));
    broker.publish_json(events).await.unwrap();
    wait::until("the good network has everything", async || {
        let good = daemon.deliveries("connector=good&state=delivered").await?.len();
        if good == EVENTS { Ok(()) } else { Err(format!("{good} of {EVENTS}\n{}", daemon.log_tail())) }
    })
    .await
    .unwrap();
    let bad = daemon.deliveries("connector=bad&state=pending").await.unwrap().len();
    assert_eq!(bad, EVENTS, "the bad network's deliveries are all still pending");
    assert_eq!(partner.by_param("/good", "e").len(), EVENTS);
    assert_eq!(broker.depth(&broker.queue).await.unwrap(), 0, "the broker holds nothing back");
    daemon.stop().await.unwrap();
    broker.clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_network_delays_no_other() {
    the_good_one_gets_through("hanging", Answer::hang()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_network_delays_no_other() {
    the_good_one_gets_through("failing", Answer::status(503)).await;
}
