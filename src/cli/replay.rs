//! `postbackd replay`: send again what was rejected, given up or held.
//!
//! Refuses: everything at once by accident; a state or one delivery must be named.

use std::path::Path;

use clap::builder::PossibleValuesParser;
use reqwest::Method;
use serde_json::{Value, json};

use super::out::Out;
use super::reach::{self, Reached, Without};
use super::{Done, Exit, Failure, load_main, moment, wait_for};
use crate::console::now;
use crate::console::replay::{REPLAYED_STATES, not_replayable, spacing};
use crate::model::delivery::State;
use crate::model::ids::DeliveryId;
use crate::model::time::Time;
use crate::store::sqlite::ReplayedOne;
use crate::store::{ReplaySelection, Store};

/// Send again what was rejected, given up or held
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  postbackd replay --state dead --connector network-x --since 2d\n  \
                        postbackd replay --state rejected --since 2026-01-10T12:00:00Z --rate 10/s\n  \
                        postbackd replay 1f0c2d3e-4a5b-8c6d-9e7f-001122334455\n  \
                        postbackd replay 1f0c2d3e-4a5b-8c6d-9e7f-001122334455 --force\n\n\
                        The same delivery ids go out again, so that a network can tell a repeat. Times are those at which \
                        the deliveries were made.\nWithout a daemon the deliveries become pending, and are sent when one starts.")]
pub struct Args {
    /// One delivery
    #[arg(value_name = "DELIVERY_ID", conflicts_with_all = ["connector", "state", "since", "until", "rate"])]
    id: Option<DeliveryId>,
    /// Also if it was delivered
    #[arg(long, conflicts_with_all = ["connector", "state", "since", "until", "rate"])]
    force: bool,
    /// Every delivery in this state
    #[arg(long, required_unless_present = "id",
          value_parser = PossibleValuesParser::new(REPLAYED_STATES.iter().map(|s| s.word())))]
    state: Option<String>,
    /// Only of this connector
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// Only those made since then: 2h, 3d, or 2026-01-10T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Time>,
    /// Only those made before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Time>,
    /// Not all at once: 10/s, 30/m, 500/h
    #[arg(long, value_parser = |text: &str| spacing(text).map(|_| text.to_owned()))]
    rate: Option<String>,
}

pub fn run(args: &Args, file: &Path, out: &mut Out) -> Done {
    let config = load_main(file)?;
    wait_for(async {
        match (reach::reach(&config, Without::Fail).await?, args.id) {
            (Reached::Daemon(admin), Some(id)) => {
                let body = json!({ "force": args.force }).to_string();
                let path = format!("/api/deliveries/{id}/replay");
                admin.ask(Method::POST, &path, Some(body)).await?.read::<Value>()?;
                writeln!(out, "{id} is pending again");
                Ok(Exit::Ok)
            }
            (Reached::Daemon(admin), None) => {
                let time = |t: Option<Time>| t.map(|t| t.to_string());
                let body = json!({ "connector": args.connector, "state": args.state, "since": time(args.since),
                                   "until": time(args.until), "rate": args.rate });
                let answer = admin.ask(Method::POST, "/api/replay", Some(body.to_string())).await?;
                let count = answer.read::<Value>()?["count"].as_u64().unwrap_or(0);
                let how =
                    args.rate.as_deref().map_or_else(|| "pending again".to_owned(), |r| format!("sent again at {r}"));
                Ok(told(out, count, &how))
            }
            (Reached::Store(store), Some(id)) => one_by_hand(&store, id, args.force, out).await,
            (Reached::Store(store), None) => {
                let spacing = args.rate.as_deref().and_then(|r| spacing(r).ok()).unwrap_or_default();
                let state =
                    args.state.as_deref().and_then(State::from_word).expect("clap let one of the states through");
                let selection =
                    ReplaySelection { connector: args.connector.clone(), state, since: args.since, until: args.until };
                let done = store.replay(selection, now(), spacing).await.map_err(|e| reach::failed(&e))?;
                Ok(told(out, done.count, "pending again, to be sent when a daemon runs"))
            }
        }
    })
}

async fn one_by_hand(store: &Store, id: DeliveryId, force: bool, out: &mut Out) -> Done {
    match store.replay_one(id, force, now()).await.map_err(|e| reach::failed(&e))? {
        ReplayedOne::Replayed(_) => {
            writeln!(out, "{id} is pending again, to be sent when a daemon runs");
            Ok(Exit::Ok)
        }
        ReplayedOne::NotFound => Err(Failure::new(Exit::No, format_args!("there is no delivery {id}"))),
        ReplayedOne::Delivered => {
            Err(Failure::new(Exit::No, format_args!("{id} was delivered; --force sends it again all the same")))
        }
        ReplayedOne::NotReplayable(state) => Err(Failure::new(Exit::No, not_replayable(id, state))),
    }
}

fn told(out: &mut Out, count: u64, how: &str) -> Exit {
    match count {
        0 => {
            writeln!(out, "no delivery is like that");
            Exit::No
        }
        1 => {
            writeln!(out, "1 delivery is {how}");
            Exit::Ok
        }
        _ => {
            writeln!(out, "{count} deliveries are {how}");
            Exit::Ok
        }
    }
}
