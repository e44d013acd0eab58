//! `postbackd log`: the delivery log.
//!
//! Refuses: following a log that nobody writes.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use reqwest::Method;
use url::form_urlencoded::Serializer;

use super::out::{Out, complain};
use super::reach::{self, Reached, Without};
use super::{Done, Exit, Failure, load_main, moment, show, wait_for};
use crate::console::shapes::{Line, Page};
use crate::model::delivery::{Reason, State};
use crate::model::time::Time;
use crate::store::DeliveryFilter;

/// Lines one request asks for: the most the daemon gives.
const PAGE: u32 = 1000;

/// How often a followed log is read.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

/// Show the delivery log, newest first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  postbackd log --since 2h\n  postbackd log --connector network-x --state dead\n  \
                        postbackd log --reason no_click --limit 1000 --json | jq -r .event_id\n  \
                        postbackd log --event-id order-4711\n  postbackd log --follow\n\n\
                        --follow shows deliveries as they come and change, oldest first, until interrupted.\n\
                        Exits 1 where nothing is found. One delivery whole: GET /api/deliveries/ID on the admin listener.")]
pub struct Args {
    /// Only of this connector
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// Only in this state
    #[arg(long, value_parser = PossibleValuesParser::new(State::ALL.iter().map(|s| s.word())))]
    state: Option<String>,
    /// Only with this reason
    #[arg(long, value_parser = PossibleValuesParser::new(Reason::ALL.iter().map(|r| r.word())))]
    reason: Option<String>,
    /// Only of the event with this id
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// Only since then: 2h, 3d, or 2026-01-10T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Time>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    /// Go on showing what comes and changes
    #[arg(long)]
    follow: bool,
}

pub fn run(args: &Args, file: &Path, out: &mut Out) -> Done {
    let config = load_main(file)?;
    wait_for(async {
        let reached = reach::reach(&config, Without::Fail).await?;
        if args.follow {
            return match &reached {
                Reached::Daemon(_) => follow(args, &reached, out).await,
                Reached::Store(_) => Err(Failure::new(Exit::Unreachable, "no daemon runs: there is nothing to follow")),
            };
        }
        let mut shown = 0;
        let mut cursor = None;
        loop {
            let page = page(args, &reached, (args.limit - shown).min(PAGE), cursor).await?;
            page.items.iter().for_each(|line| show::line(out, line, args.json));
            shown += u32::try_from(page.items.len()).unwrap_or(u32::MAX);
            cursor = page.next_cursor;
            if cursor.is_none() || args.limit <= shown || !out.flush() {
                break;
            }
        }
        if shown == 0 {
            complain("no delivery is like that");
            return Ok(Exit::No);
        }
        Ok(Exit::Ok)
    })
}

/// Shows the newest page again and again, and of it what is different; what came since and lies beyond it too.
async fn follow(args: &Args, reached: &Reached, out: &mut Out) -> Done {
    let mut known: HashMap<String, Line> = HashMap::new();
    // When the newest line shown was made, once there has been a look.
    let mut newest: Option<String> = None;
    loop {
        let first = page(args, reached, args.limit.min(PAGE), None).await?;
        let mut lines = first.items;
        let mut cursor = first.next_cursor.filter(|_| newest.is_some());
        while let Some(next) = cursor.take() {
            let since = newest.as_deref().unwrap_or_default();
            // Times are ISO 8601 in UTC: their order is that of their texts.
            if lines.last().is_some_and(|line| *line.head.created_at < *since) {
                break;
            }
            let further = page(args, reached, PAGE, Some(next)).await?;
            let shown = further.items.len();
            lines.extend(further.items.into_iter().take_while(|line| *since <= *line.head.created_at));
            cursor = further.next_cursor.filter(|_| shown != 0);
        }
        for line in lines.iter().rev().filter(|line| known.get(&line.head.id) != Some(line)) {
            show::line(out, line, args.json);
        }
        let made = lines.iter().map(|line| &line.head.created_at).max();
        newest = made.cloned().max(newest).or_else(|| Some(String::new()));
        known = lines.into_iter().map(|line| (line.head.id.clone(), line)).collect();
        if !out.flush() {
            return Ok(Exit::Ok);
        }
        tokio::time::sleep(FOLLOW_EVERY).await;
    }
}

async fn page(args: &Args, reached: &Reached, limit: u32, cursor: Option<String>) -> Result<Page, Failure> {
    match reached {
        Reached::Daemon(admin) => {
            let mut query = Serializer::new(String::new());
            query.append_pair("limit", &limit.to_string());
            let since = args.since.map(|t| t.to_string());
            for (name, value) in [
                ("connector", &args.connector),
                ("state", &args.state),
                ("reason", &args.reason),
                ("event_id", &args.event_id),
                ("since", &since),
                ("cursor", &cursor),
            ] {
                if let Some(value) = value {
                    query.append_pair(name, value);
                }
            }
            admin.ask(Method::GET, &format!("/api/deliveries?{}", query.finish()), None).await?.read()
        }
        Reached::Store(store) => {
            let filter = DeliveryFilter {
                connector: args.connector.clone(),
                state: args.state.as_deref().and_then(State::from_word),
                reason: args.reason.as_deref().and_then(Reason::from_word),
                event_id: args.event_id.clone(),
                since: args.since,
                until: None,
            };
            let page = store.deliveries(filter, limit as usize, cursor).await.map_err(|e| reach::failed(&e))?;
            Ok(Page::from(&page))
        }
    }
}
