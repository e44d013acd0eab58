//! `postbackd explain`: what would be decided and sent, and why, for every connector.
//!
//! Refuses: daemon, broker, store and network.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::out::{Out, plain};
use super::{Done, Exit, Failure, load, show};
use crate::config::Config;
use crate::console::shapes::Explanation;
use crate::console::{now, submitted};
use crate::model::event::Event;
use crate::pipeline;

/// Bytes of the files this command reads: far beyond one event, and a history that a person put together.
const FILE_MAX: u64 = 64 * 1024 * 1024;

/// Say what each connector decides about an event, and what it would send
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  postbackd explain --event purchase.json\n  \
                        postbackd explain --event purchase.json --history visits.jsonl --connector network-x\n  \
                        echo '{\"track\":\"Purchase\",\"value\":15,\"currency\":\"EUR\"}' | postbackd explain --event -\n\n\
                        The event is one JSON object; the history is earlier events of the same visitor, one a line. All are \
                        taken as if they had arrived when they happened. Nothing is sent.")]
pub struct Args {
    /// The event; - is standard input
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    /// Earlier events, one JSON object a line, in any order
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Only this connector
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, file: &Path, out: &mut Out) -> Done {
    let config = Arc::new(load(file)?.config);
    if let Some(name) = &args.connector
        && config.connector(name).is_none()
    {
        return Err(Failure::new(Exit::No, format_args!("there is no connector {name:?} in {}", file.display())));
    }
    let event = one(&text(&args.event)?, &args.event, None, &config, None)?;
    let mut history = Vec::new();
    if let Some(path) = &args.history {
        for (index, line) in text(path)?.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            history.push(one(line, path, Some(index + 1), &config, Some(&event.container))?);
        }
    }
    let explained = pipeline::explain::explain(config, history, event).map_err(|why| Failure::new(Exit::No, why))?;
    let shown: Vec<_> = explained
        .iter()
        .filter(|e| args.connector.as_deref().is_none_or(|name| *e.connector == *name))
        .map(Explanation::from)
        .collect();
    if args.json {
        let text = serde_json::to_string_pretty(&shown).expect("an explanation is plain text");
        writeln!(out, "{text}");
    } else {
        shown.iter().for_each(|explanation| tell(out, explanation));
        if shown.is_empty() {
            writeln!(out, "there are no connectors in {}", file.display());
        }
    }
    Ok(Exit::Ok)
}

fn tell(out: &mut Out, explained: &Explanation) {
    match explained.for_now {
        Some(reason) => writeln!(out, "{}: {} (for now: {reason})", explained.connector, explained.verdict),
        None => writeln!(out, "{}: {}", explained.connector, explained.verdict),
    }
    if !explained.why.is_empty() {
        writeln!(out, "  why    {}", plain(&explained.why));
    }
    if let Some(click) = &explained.click {
        let time = click.time.as_deref().unwrap_or("an unknown time");
        writeln!(out, "  click  {}={} at {time}", plain(&click.param), plain(&click.value));
        if !click.url.is_empty() {
            writeln!(out, "  landed {}", plain(&click.url));
        }
    }
    for request in &explained.requests {
        writeln!(out);
        show::request(out, request, "  ");
    }
    writeln!(out);
}

/// Reads one event and says where it is wrong.
fn one(
    text: &str,
    file: &Path,
    line: Option<usize>,
    config: &Config,
    container: Option<&str>,
) -> Result<Event, Failure> {
    submitted::as_it_happened(text, config, container, now()).map_err(|problems| {
        let place = line.map_or_else(|| file.display().to_string(), |n| format!("{}:{n}", file.display()));
        let told: Vec<_> =
            problems.iter().map(|p| format!("{place}: {} {}", p.field, p.problem).replace(":  ", ": ")).collect();
        Failure::new(Exit::No, format_args!("the event can't be read:\n{}", told.join("\n")))
    })
}

/// The text of a file, or of standard input for `-`.
///
/// # Errors
/// It can't be read, is no UTF-8, or is far too long.
pub fn text(path: &Path) -> Result<String, Failure> {
    let failed =
        |e: &dyn std::fmt::Display| Failure::new(Exit::No, format_args!("{} can't be read: {e}", path.display()));
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(path).map_err(|e| failed(&e))?)
    };
    let mut text = String::new();
    source.take(FILE_MAX + 1).read_to_string(&mut text).map_err(|e| failed(&e))?;
    if FILE_MAX < text.len() as u64 {
        return Err(failed(&"it is over 64 MB"));
    }
    Ok(text)
}
