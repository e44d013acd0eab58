//! A full disk: nothing is acknowledged that is not written, and the daemon goes on when there is room again.
//!
//! Refuses: filling the machine's disk. The store lies on a small tmpfs in a mount namespace of its own, which needs no
//! privilege where unprivileged user namespaces are allowed; where they are not, the test says that it was left out.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::broker::Broker;
use crate::daemon::{BINARY, Daemon, KEY};
use crate::partner::Partner;
use crate::wait;

/// Room for the store's files and some hundred events.
const DISK: &str = "16m";
const EVENTS: usize = 50;

fn namespaces_allowed() -> bool {
    let tried = Command::new("unshare").args(["-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]).output();
    tried.is_ok_and(|o| o.status.success())
}

/// Takes all the room there is, as seen from inside the daemon's namespace.
fn fill(path: &PathBuf) {
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![0_u8; size]).is_ok() {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_is_survived() {
    if !namespaces_allowed() {
        eprintln!("left out: this system allows no mount namespace (`unshare -rm`)");
        return;
    }
    let (partner, broker) = (Partner::start().await, Broker::connect("disk").await);
    let mut daemon = Daemon::new("disk");
    daemon.configure(&json!({"source": broker.source()}));
    let postback = json!({"url": format!("{}/net", partner.url), "params": {"e": "<<EVENT_ID>>"}});
    let connector = json!({"name": "net", "mode": "enabled", "triggers": ["Purchase"], "postback": postback});
    daemon.connector("net", &connector.to_string());
    std::fs::create_dir_all(daemon.folder.path().join("data")).unwrap();
    let mut command = Command::new("unshare");
    let script = format!("mount -t tmpfs -o size={DISK} tmpfs data && exec \"$0\" run");
    command.args(["-rm", "sh", "-c", &script, BINARY]);
    daemon.spawn_as(command);
    daemon.ready().await.unwrap();
    let data = daemon.folder.path().join("data");
    let inside = PathBuf::from(format!("/proc/{}/root", daemon.pid())).join(data.strip_prefix("/").unwrap());

    daemon.hook(json!({"track": "Purchase", "eventId": "before"})).await.unwrap();
    fill(&inside.join("filler"));
    let mut accepted = 1;
    wait::until("a write fails for lack of room", async || {
        let event =
            json!({"k": KEY, "track": "Purchase", "eventId": format!("full-{accepted}"), "pad": "x".repeat(4000)});
        let reply = daemon.http.post_json(&format!("{}/collect/hook", daemon.ingest), &event).await?;
        match reply.status {
            503 if reply.headers.contains_key("retry-after") => return Ok(()),
            200 => accepted += 1,
            _ => return Err(format!("neither taken nor put off: {} {}", reply.status, reply.text)),
        }
        Err(format!("{accepted} were taken"))
    })
    .await
    .unwrap();
    let events = (0..EVENTS).map(|n| json!({"k": KEY, "track": "Purchase", "eventId": format!("amqp-{n}")}));
    broker.publish_json(events).await.unwrap();
    wait::until("it says what it lacks", async || {
        let ready = daemon.ask("/readyz").await?;
        let says = ready.status == 503 || !ready.json()?["degraded"].as_array().is_none_or(Vec::is_empty);
        if says { Ok(()) } else { Err(format!("{} {}", ready.status, ready.text)) }
    })
    .await
    .unwrap();
    assert!(daemon.is_running());
    std::fs::remove_file(inside.join("filler")).unwrap();
    wait::until("all that was accepted is delivered", async || {
        let came = partner.by_param("/net", "e").len();
        if came == accepted + EVENTS {
            Ok(())
        } else {
            Err(format!("{came}, {accepted} + {EVENTS}\n{}", daemon.log_tail()))
        }
    })
    .await
    .unwrap();
    daemon.ready().await.unwrap();
    daemon.stop().await.unwrap();
    assert_eq!(broker.depth(&broker.queue).await.unwrap(), 0, "left unacknowledged");
    broker.clean().await;
}
