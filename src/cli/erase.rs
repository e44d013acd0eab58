//! `postbackd erase`: forget a person.
//!
//! Refuses: more than one person at a time by accident; a container and one identifier must be named.

use std::path::Path;
use std::sync::Arc;

use reqwest::Method;
use serde_json::json;

use super::out::Out;
use super::reach::{self, Reached, Without};
use super::{Done, Exit, Failure, load_main, wait_for};
use crate::console::now;
use crate::console::shapes::ErasedShown;
use crate::pipeline::Rules;
use crate::pipeline::erase::{self, By};

/// Forget a person: who it is, its clicks and events, and what was sent about it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  postbackd erase --container shop --email ann@example.com\n  \
                        postbackd erase --container shop --phone '040 123 4567'\n\n\
                        Deliveries that wait or are still to be sent are cancelled. What networks were told stays with them. \
                        A later event of the same person begins anew.")]
pub struct Args {
    /// Its key or name
    #[arg(long, value_name = "KEY")]
    container: String,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// An email address, in any case
    #[arg(long, value_name = "VALUE")]
    email: Option<String>,
    /// A phone number, national or with its country code
    #[arg(long, value_name = "VALUE")]
    phone: Option<String>,
    /// An `externalId` or `priorityExternalId`
    #[arg(long, value_name = "VALUE")]
    external_id: Option<String>,
    /// A `sessionId`
    #[arg(long, value_name = "VALUE")]
    session_id: Option<String>,
}

impl Who {
    fn named(&self) -> (By, &str) {
        let all = [&self.email, &self.phone, &self.external_id, &self.session_id];
        let named = By::ALL.into_iter().zip(all).find_map(|(by, value)| Some((by, value.as_deref()?)));
        named.expect("clap let one of them through")
    }
}

pub fn run(args: &Args, file: &Path, out: &mut Out) -> Done {
    let config = load_main(file)?;
    let (by, value) = args.who.named();
    let who = erase::asked(&config, &args.container, by, value)
        .map_err(|(field, problem)| Failure::new(Exit::Usage, format_args!("{field}: {problem}")))?;
    let nobody = || Failure::new(Exit::No, "nobody is known by this; nothing was erased");
    wait_for(async {
        let erased = match reach::reach(&config, Without::Fail).await? {
            Reached::Daemon(admin) => {
                let body = json!({ "container": args.container, by.word(): value }).to_string();
                let answer = admin.ask(Method::POST, "/api/erase", Some(body)).await;
                match answer {
                    Err(failure) if failure.exit == Exit::No => return Err(nobody()),
                    answer => answer?.read::<ErasedShown>()?,
                }
            }
            Reached::Store(store) => {
                let rules = Arc::new(Rules::new(Arc::new(config)));
                let erased = store.erase(who.container, who.identifiers, rules, now(), who.keep_keys_for).await;
                let erased = erased.map_err(|e| reach::failed(&e))?.ok_or_else(nobody)?;
                ErasedShown::from(&erased)
            }
        };
        let ErasedShown { visitors, identifiers, clicks, events, deliveries, cancelled } = erased;
        writeln!(
            out,
            "erased {visitors} visitors with {identifiers} identifiers and {clicks} clicks, {events} events with \
             {deliveries} deliveries, of which {cancelled} were cancelled"
        );
        Ok(Exit::Ok)
    })
}
