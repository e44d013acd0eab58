//! `postbackd test`: one postback on demand.
//!
//! Refuses: sending without `--send`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use super::admin::Admin;
use super::explain::text;
use super::out::{Out, complain, plain};
use super::reach::{self, Reached, Without};
use super::{Done, Exit, Failure, load, show, wait_for};
use crate::config::Config;
use crate::console::answer::FieldProblem;
use crate::console::shapes::{Detail, TestShown};
use crate::console::{TestError, Tested, now, sample, submitted};
use crate::model::connector::Connector;
use crate::model::ids::DeliveryId;
use crate::store::Store;

/// How long to wait for the outcome of what was sent: beyond the default `timeout.total` and a queue in the lane.
const OUTCOME_WAIT: Duration = Duration::from_secs(30);

const OUTCOME_POLL: Duration = Duration::from_millis(200);

/// Make one postback on demand
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  postbackd test network-x                          # a sample event, rendered and logged\n  \
                        postbackd test network-x --event purchase.json\n  \
                        postbackd test network-x --event purchase.json --send\n\n\
                        The connector's mode, conditions and attribution play no part, but one that is switched off sends \
                        nothing; a click ID on the event's own url is taken as the click. The event's id is not \
                        remembered. Exits 0 if it could be rendered, and with --send was delivered; else 1."
)]
pub struct Args {
    /// The connector
    name: String,
    /// The event, one JSON object; - is standard input; default: a sample
    #[arg(long, value_name = "FILE")]
    event: Option<PathBuf>,
    /// Really send it
    #[arg(long)]
    send: bool,
}

/// As much of a delivery as is told here.
#[derive(Debug, Deserialize)]
struct Outcome {
    state: String,
    reason: Option<String>,
    detail: Option<String>,
    next_attempt_at: Option<String>,
    attempts: Vec<AttemptTold>,
}

#[derive(Debug, Deserialize)]
struct AttemptTold {
    status: Option<u16>,
    failure: Option<String>,
    response: String,
}

pub fn run(args: &Args, file: &Path, out: &mut Out) -> Done {
    let config = load(file)?.config;
    let Some(connector) = config.connector(&args.name).cloned() else {
        let name = &args.name;
        return Err(Failure::new(Exit::No, format_args!("there is no connector {name:?} in {}", file.display())));
    };
    let event = args.event.as_deref().map(text).transpose()?;
    wait_for(async {
        match reach::reach(&config, Without::Create).await? {
            Reached::Daemon(admin) => by_daemon(args, &admin, event.as_deref(), out).await,
            Reached::Store(store) => by_hand(args, config, &connector, store, event.as_deref(), out).await,
        }
    })
}

async fn by_daemon(args: &Args, admin: &Admin, event: Option<&str>, out: &mut Out) -> Done {
    if let Some(event) = event {
        // It is put into the request as it is written, which must not change what the request says.
        crate::json::members(event)
            .map_err(|e| Failure::new(Exit::No, format_args!("the event is no JSON object: {e}")))?;
    }
    let body = format!(r#"{{"event":{},"send":{}}}"#, event.unwrap_or("null"), args.send);
    let path = format!("/api/connectors/{}/test", args.name);
    let tested: TestShown = admin.ask(Method::POST, &path, Some(body)).await?.read()?;
    let mut exit = rendered(out, &tested);
    if !args.send {
        return Ok(exit);
    }
    let started = Instant::now();
    for id in &tested.deliveries {
        let found = loop {
            let answer = admin.ask(Method::GET, &format!("/api/deliveries/{id}"), None).await?;
            let found: Outcome = answer.read()?;
            if found.state != "pending" || !found.attempts.is_empty() || OUTCOME_WAIT < started.elapsed() {
                break found;
            }
            tokio::time::sleep(OUTCOME_POLL).await;
        };
        exit = told(out, id, &found, exit);
    }
    Ok(exit)
}

async fn by_hand(
    args: &Args,
    config: Config,
    connector: &Connector,
    store: Store,
    event: Option<&str>,
    out: &mut Out,
) -> Done {
    let event = match event {
        Some(text) => submitted::event(text, &config, sample::container(connector, &config), now()),
        None => sample::event(connector, &config, now()),
    };
    let event = event.map_err(|problems| Failure::new(Exit::No, unreadable(&problems)))?;
    let tester = crate::daemon::tester(Arc::new(config), store.clone());
    let tested: Tested = tester.test(&connector.name, event, args.send).await.map_err(|e| match e {
        TestError::Refused(why) => Failure::new(Exit::No, why),
        TestError::Failed(why) => Failure::new(Exit::Unreachable, why),
    })?;
    let mut exit = rendered(out, &TestShown::from(&tested));
    if !args.send {
        return Ok(exit);
    }
    for id in tested.deliveries {
        exit = told(out, &id.to_string(), &outcome(&store, id).await?, exit);
    }
    Ok(exit)
}

async fn outcome(store: &Store, id: DeliveryId) -> Result<Outcome, Failure> {
    let found = store.delivery(id).await.map_err(|e| reach::failed(&e))?;
    let detail = found.ok_or_else(|| Failure::new(Exit::No, format_args!("delivery {id} is not in the log")))?;
    let shown: Value = serde_json::to_value(Detail::from(&detail)).expect("a delivery is plain text and numbers");
    Ok(serde_json::from_value(shown).expect("the shape holds what is told of it"))
}

fn rendered(out: &mut Out, tested: &TestShown) -> Exit {
    for request in &tested.requests {
        show::request(out, request, "");
        writeln!(out);
    }
    tested.deliveries.iter().for_each(|id| writeln!(out, "logged as delivery {id}"));
    out.flush();
    match &tested.refused {
        None => Exit::Ok,
        Some(why) => {
            complain(format_args!("error: it can't be rendered from this event: {}", plain(why)));
            Exit::No
        }
    }
}

/// Tells what came of one delivery; the worst exit of all stands.
fn told(out: &mut Out, id: &str, found: &Outcome, exit: Exit) -> Exit {
    let reason = found.reason.as_deref().map(|r| format!(" ({r})")).unwrap_or_default();
    writeln!(out, "{id}: {}{reason}", found.state);
    if let Some(detail) = &found.detail {
        writeln!(out, "  {}", plain(detail));
    }
    if let Some(last) = found.attempts.last() {
        match (last.status, &last.failure) {
            (Some(status), _) => writeln!(out, "  HTTP {status}"),
            (None, Some(failure)) => writeln!(out, "  {}", plain(failure)),
            (None, None) => {}
        }
        last.response.lines().for_each(|line| writeln!(out, "  {}", plain(line)));
    }
    match (&*found.state, &found.next_attempt_at) {
        ("delivered", _) => exit,
        ("pending", Some(next)) => {
            complain(format_args!("not accepted yet; the next attempt is at {next}"));
            Exit::No
        }
        ("pending", None) => {
            complain(format_args!("no attempt within {} s; see postbackd log", OUTCOME_WAIT.as_secs()));
            Exit::No
        }
        _ => Exit::No,
    }
}

fn unreadable(problems: &[FieldProblem]) -> String {
    let told: Vec<_> = problems.iter().map(|p| format!("{} {}", p.field, p.problem).trim().to_owned()).collect();
    format!("the event can't be read: {}", told.join("; "))
}
