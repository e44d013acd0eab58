//! The order of arrival leaves no trace: the same events in order and shuffled, within `wait` and `settle`, are told to the
//! same networks with the same values, and skipped for the same reasons.
//!
//! Refuses: the cases that ARCHITECTURE.md lists under *where order matters*. `POSTBACKD_ORDER_EVENTS` sets the number of events
//! (default 20,000; a million is the long run), `POSTBACKD_ORDER_SEED` which.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::broker::Broker;
use crate::daemon::{Daemon, KEY};
use crate::partner::Partner;
use crate::wait;

const CONNECTORS: [&str; 3] = ["last", "any", "strict"];
const EVENTS_PER_VISITOR: usize = 5;
const MINUTE_MS: i64 = 60_000;
/// Published before the broker's confirmations are waited for.
const CHUNK: usize = 2_000;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// What became of a delivery: the request's query, or the state and reason without one.
type Outcomes = BTreeMap<(String, String), String>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shuffled_events_give_the_same_deliveries_as_in_order() {
    let events = number("POSTBACKD_ORDER_EVENTS", 20_000);
    let mut random = fastrand::Rng::with_seed(number("POSTBACKD_ORDER_SEED", 7) as u64);
    let mut in_order = histories(events / EVENTS_PER_VISITOR, &mut random);
    in_order.sort_by_key(|event| event["timestamp"].as_i64());
    let mut shuffled = in_order.clone();
    random.shuffle(&mut shuffled);
    // Every event must be there before the first is decided for good. A machine that needs longer gets longer.
    let mut settle = 5 + events / 800;
    let (plain, turned) = loop {
        let both = tokio::join!(outcomes("in-order", &in_order, settle), outcomes("shuffled", &shuffled, settle));
        match both {
            (Some(plain), Some(turned)) => break (plain, turned),
            _ => settle *= 2,
        }
    };
    let sent = plain.values().filter(|outcome| outcome.starts_with("c=")).count();
    eprintln!("{events} events, {} deliveries, {sent} of them sent; decided after {settle} s", plain.len());
    assert!(plain.len() / 10 < sent && sent < plain.len(), "a history that tells something apart");
    for (delivery, outcome) in &plain {
        assert_eq!(Some(outcome), turned.get(delivery), "{delivery:?}: in order, and shuffled");
    }
    assert_eq!(plain.len(), turned.len());
}

/// The life of so many visitors: two devices that a login joins, clicks of three sources, purchases in between.
fn histories(visitors: usize, random: &mut fastrand::Rng) -> Vec<Value> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64;
    let start = now - 3 * 24 * 60 * MINUTE_MS;
    let mut events = Vec::with_capacity(visitors * EVENTS_PER_VISITOR);
    for visitor in 0..visitors {
        // On a grid of minutes, so that ties, and gaps of just a session's timeout, are common.
        let hours = random.i64(1..30);
        let at = |random: &mut fastrand::Rng| start + random.i64(0..hours * 60) * MINUTE_MS;
        for n in 0..EVENTS_PER_VISITOR {
            let device = if random.bool() { "a" } else { "b" };
            let mut event = json!({"k": KEY, "eventId": format!("e{visitor}-{n}"), "timestamp": at(random),
                                   "sessionId": format!("s{visitor}{device}")});
            match n {
                0 | 1 => {
                    event["track"] = "PageView".into();
                    event["url"] = landing(visitor, random).into();
                }
                2 => {
                    event["email"] = format!("v{visitor}@example.com").into();
                    event["firstName"] = format!("n{}", random.u8(0..9)).into();
                    event["consent"] = json!({"ads": random.u8(0..8) != 0});
                }
                _ => {
                    event["track"] = "Purchase".into();
                    event["url"] = landing(visitor, random).into();
                    if random.bool() {
                        event["email"] = format!("v{visitor}@example.com").into();
                    }
                }
            }
            events.push(event);
        }
    }
    events
}

fn landing(visitor: usize, random: &mut fastrand::Rng) -> String {
    let value = format!("{visitor}-{}", random.u8(0..3));
    match random.u8(0..6) {
        0 | 1 => format!("https://shop.example/?cid={value}"),
        2 => format!("https://shop.example/?cid={value}&utm_source=partner"),
        3 => format!("https://shop.example/?bid={value}"),
        4 => format!("https://shop.example/?gclid={value}&utm_campaign=c{}", random.u8(0..3)),
        _ => "https://shop.example/cart".to_owned(),
    }
}

fn connector(partner: &str, name: &str, settle: usize) -> String {
    let mut matching =
        json!({"param": "cid", "window": "1d", "wait": format!("{settle}s"), "settle": format!("{settle}s")});
    match name {
        "any" => matching["model"] = "any_click".into(),
        "strict" => {
            matching["source_param"] = "utm_source".into();
            matching["source_value"] = "partner".into();
        }
        _ => {}
    }
    let params = json!({"c": "<<CLICK_ID>>", "t": "<<CLICK_TIME_MS>>", "n": "<<CLICK_COUNT>>", "e": "<<EVENT_ID>>", "m": "<<EMAIL>>",
        "f": "<<FIRST_NAME>>", "g": "<<GCLID>>", "u": "<<UTM_CAMPAIGN>>", "s": "<<SESSION_START>>", "l": "<<LANDING_URL>>"});
    json!({
        "name": name, "mode": "enabled", "triggers": ["Purchase"], "click_matching": matching,
        "when": [{"variable": "CONSENT_ADS", "ne": "false"}],
        "postback": {"url": format!("{partner}/{name}"), "params": params},
    })
    .to_string()
}

/// What becomes of everything; `None` where the first was decided before the last had come.
async fn outcomes(name: &str, events: &[Value], settle: usize) -> Option<Outcomes> {
    let (partner, broker) = (Partner::start().await, Broker::connect(name).await);
    let mut daemon = Daemon::new(name);
    daemon.configure(&json!({"source": broker.source()}));
    CONNECTORS.iter().for_each(|name| daemon.connector(name, &connector(&partner.url, name, settle)));
    daemon.start().await.unwrap();
    for chunk in events.chunks(CHUNK) {
        broker.publish_json(chunk.iter().cloned()).await.unwrap();
    }
    let patience = wait::deadline() + Duration::from_millis(20 * events.len() as u64);
    let ended = wait::within(patience, "every event is admitted", async || {
        let metrics = daemon.metrics().await?;
        let admitted = sum(&metrics, "postbackd_events_total");
        if admitted < events.len() as f64 {
            return Err(format!("{admitted} of {}\n{}", events.len(), daemon.log_tail()));
        }
        Ok(sum(&metrics, "postbackd_deliveries_total"))
    });
    // A condition that does not hold ends a delivery at once, as it may; the clicks' decisions are what must wait.
    let is_undecided = only_conditions_ended(&daemon, ended.await.unwrap()).await;
    if !is_undecided {
        broker.clean().await;
        return None;
    }
    let patience = patience + Duration::from_secs(2 * settle as u64);
    wait::within(patience, "everything is decided and sent", async || {
        let metrics = daemon.metrics().await?;
        let open = sum(&metrics, "postbackd_deliveries_waiting") + sum(&metrics, "postbackd_deliveries_pending");
        if open == 0.0 { Ok(()) } else { Err(format!("{open} are open\n{}", daemon.log_tail())) }
    })
    .await
    .unwrap();
    let mut outcomes = Outcomes::new();
    for delivery in daemon.deliveries("").await.unwrap() {
        let text = |key: &str| delivery[key].as_str().unwrap_or_default().to_owned();
        outcomes.insert((text("event_id"), text("connector")), format!("{} {}", text("state"), text("reason")));
    }
    for seen in partner.seen() {
        let id = seen.param("e").unwrap();
        outcomes.insert((id, seen.path.trim_start_matches('/').to_owned()), seen.raw_query);
    }
    assert_eq!(daemon.metric("postbackd_unaccounted_deliveries").await.unwrap(), 0.0);
    daemon.stop().await.unwrap();
    broker.clean().await;
    Some(outcomes)
}

/// Whether nothing but conditions has ended anything so far.
async fn only_conditions_ended(daemon: &Daemon, ended: f64) -> bool {
    let metrics = daemon.metrics().await.unwrap();
    let of_conditions = metrics
        .iter()
        .filter(|(name, _)| name.starts_with("postbackd_decisions_total") && name.contains("condition_false"));
    ended <= of_conditions.map(|(_, value)| value).sum::<f64>()
}

fn sum(metrics: &BTreeMap<String, f64>, name: &str) -> f64 {
    metrics.iter().filter(|(sample, _)| sample.starts_with(name)).map(|(_, value)| value).sum()
}
