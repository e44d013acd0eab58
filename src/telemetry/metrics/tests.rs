//! The exposition: every metric is there, and labels are bounded. Refuses: reading values of a running daemon.

use std::collections::HashSet;

use super::*;
use crate::model::outcome::Outcome;

/// A handle as [`Metrics::set_connectors`] makes it, without a whole connector.
fn configure(metrics: &Metrics, names: &[&str]) {
    let known = metrics.connectors.load_full();
    let wanted: Connectors = names
        .iter()
        .map(|name| {
            let name = ConnectorName::from(*name);
            let handle =
                known.get(&name).map_or_else(|| Arc::new(ConnectorMetrics::new(&metrics.families, &name)), Arc::clone);
            handle.set_info("enabled", "0123456789ab");
            (name, handle)
        })
        .collect();
    for (name, handle) in known.iter() {
        if !wanted.contains_key(name) {
            handle.retire();
        }
    }
    metrics.connectors.store(Arc::new(wanted));
}

#[test]
fn everything_declared_is_shown() {
    let metrics = Metrics::new("0.0.0");
    configure(&metrics, &["one"]);
    metrics.event("amqp", true);
    metrics.rejected("amqp", "unknown_container");
    metrics.duplicate("amqp");
    metrics.set_source_connected("amqp", true);
    metrics.connector("one").attempt(&Outcome::Delivered, Some(204), Duration::from_millis(20));
    metrics.reloaded(Time::from_ms(1_768_046_400_250));
    let shown = metrics.exposition();
    for metric in METRICS {
        let head = format!("# TYPE {} {}\n", metric.name, metric.kind.word());
        assert!(shown.contains(&head), "{} is missing", metric.name);
    }
    for line in [
        r#"postbackd_events_total{kind="track",source="amqp"} 1"#,
        r#"postbackd_events_total{kind="set",source="amqp"} 0"#,
        r#"postbackd_attempts_total{connector="one",outcome="delivered",status="2xx"} 1"#,
        r#"postbackd_decisions_total{connector="one",reason="send"} 0"#,
        r#"postbackd_deliveries_total{connector="one",state="dead"} 0"#,
        r#"postbackd_connector_info{connector="one",mode="enabled",revision="0123456789ab"} 1"#,
        "postbackd_unaccounted_deliveries 0",
        "postbackd_config_last_reload_timestamp_seconds 1768046400.25",
    ] {
        assert!(shown.lines().any(|l| l == line), "{line} is missing from\n{shown}");
    }
}

#[test]
fn names_are_declared_once_and_follow_the_convention() {
    let names: HashSet<_> = METRICS.iter().map(|m| m.name).collect();
    assert_eq!(names.len(), METRICS.len());
    for metric in METRICS {
        assert!(metric.name.starts_with("postbackd_"), "{}", metric.name);
        assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
        assert!(metric.help.ends_with('.'), "{}", metric.name);
    }
}

#[test]
fn a_removed_connector_leaves_the_exposition_for_good() {
    let metrics = Metrics::new("0.0.0");
    configure(&metrics, &["goes", "stays"]);
    metrics.decision("stays", None);
    let held = metrics.connector("goes");
    held.decision(Some(Reason::NoClick));
    configure(&metrics, &["stays"]);
    held.decision(Some(Reason::NoClick));
    held.decision(Some(Reason::Expired));
    held.attempt(&Outcome::Held, None, Duration::ZERO);
    metrics.decision("goes", None);
    metrics.decision("never-there", None);
    let shown = metrics.exposition();
    assert!(!shown.contains("goes") && !shown.contains("never-there"), "{shown}");
    assert!(shown.contains(r#"postbackd_decisions_total{connector="stays",reason="send"} 1"#), "{shown}");
}

#[test]
fn decisions_are_counted_by_reason_and_mismatches_not_at_all() {
    let metrics = Metrics::new("0.0.0");
    configure(&metrics, &["one"]);
    for reason in [None, None, Some(Reason::NoClick), Some(Reason::TriggerMismatch)] {
        metrics.decision("one", reason);
    }
    let counted: Vec<_> = metrics.connector("one").decisions().collect();
    assert_eq!(counted, [("no_click", 1), ("send", 2)]);
}

#[test]
fn attempts_are_classed_by_status() {
    let metrics = Metrics::new("0.0.0");
    configure(&metrics, &["one"]);
    let one = metrics.connector("one");
    for (status, class) in [
        (Some(200), "2xx"),
        (Some(302), "3xx"),
        (Some(404), "4xx"),
        (Some(599), "5xx"),
        (Some(999), "none"),
        (None, "none"),
    ] {
        one.attempt(&Outcome::Retry { at: Time::from_ms(0) }, status, Duration::ZERO);
        let series = format!(r#"postbackd_attempts_total{{connector="one",outcome="retry",status="{class}"}}"#);
        assert!(metrics.exposition().contains(&series), "{status:?}");
    }
}

#[test]
fn only_final_states_are_counted() {
    let metrics = Metrics::new("0.0.0");
    configure(&metrics, &["one"]);
    for state in State::ALL {
        metrics.final_state("one", *state);
        let series = format!(r#"postbackd_deliveries_total{{connector="one",state="{}"}} 1"#, state.word());
        assert_eq!(metrics.exposition().contains(&series), state.is_final(), "{state:?}");
    }
}

#[test]
fn every_outcome_has_a_series() {
    let metrics = Metrics::new("0.0.0");
    configure(&metrics, &["one"]);
    let at = Time::from_ms(0);
    for outcome in [
        Outcome::Delivered,
        Outcome::Retry { at },
        Outcome::Rejected(Reason::HttpStatus),
        Outcome::Dead(Reason::Expired),
        Outcome::Held,
    ] {
        metrics.connector("one").attempt(&outcome, None, Duration::ZERO);
        let series =
            format!(r#"postbackd_attempts_total{{connector="one",outcome="{}",status="none"}} 1"#, outcome.word());
        assert!(metrics.exposition().contains(&series), "{outcome:?}");
    }
}
