//! What stands before the story and after it.
//!
//! Refuses: promises. Every line that is to be typed works as it stands.

use tokio::time::Instant;

use super::config;
use super::networks::Networks;
use super::page::Page;
use super::words;
use crate::daemon::Daemon;

/// Who takes part, where, and how to read what follows.
pub(super) fn introduce(page: &mut Page<'_>, daemon: &Daemon, networks: &Networks) {
    for line in [
        "postbackd demo: a sample shop, the daemon, and four sample networks, all on this machine.",
        "Real HTTP on both sides; a temporary store; nothing leaves 127.0.0.1.",
    ] {
        page.put(line);
    }
    page.put("");
    page.put(&format!("  events come in at  http://{}/collect/hook", daemon.ingest));
    page.put(&format!("  admin listener     http://{}/api/deliveries", daemon.admin));
    for network in networks.all() {
        page.put(&format!("  {:<17}  http://{}  {}", network.host, network.address, network.about));
    }
    page.put("");
    page.put(
        "Five connectors say which events and clicks each network is told of, and how: postbackd demo --connectors",
    );
    page.put("");
    page.put("click: a visitor arrives    event: the shop tells    decided: per connector, with the reason");
    page.put("sent / retry / rejected / test: what became of the postback, with the network's reply after the arrow");
}

/// What to try while it runs, and after it.
pub(super) fn suggest(page: &mut Page<'_>, daemon: &Daemon, stop_at: Option<Instant>) {
    page.heading("Try, while it runs");
    let (admin, ingest) = (daemon.admin, daemon.ingest);
    for line in [
        format!("curl 'http://{admin}/api/deliveries?state=rejected'"),
        format!("curl http://{admin}/metrics"),
        format!("curl 'http://{ingest}/collect/hook?k={}&track=Purchase&value=25&url=/?soc_id=mine'", config::KEY),
    ] {
        page.put(&format!("  {line}"));
    }
    page.heading("Then, for your own");
    page.put("  postbackd demo --connectors    prints the sample connectors, to copy from");
    page.put("  postbackd new my-network       writes a connector to start from; `postbackd check` finds its mistakes");
    page.put("");
    page.put(&match stop_at {
        Some(at) => {
            let rest = at.saturating_duration_since(Instant::now());
            if rest.is_zero() { return } else { format!("It goes on for {}; Ctrl-C stops it.", words::span(rest)) }
        }
        None => "It keeps running, and tells what you send. Ctrl-C stops it.".to_owned(),
    });
}
