//! `postbackd demo`.
//!
//! Refuses: anything of its own; the showing is `crate::demo`.

use std::io::{IsTerminal as _, stdout};
use std::time::Duration;

use super::out::Out;
use super::{Done, Exit, Failure};
use crate::demo::{self, Page};

/// Run everything on this machine with no config, broker or database
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  postbackd demo\n  postbackd demo --for 20s\n  postbackd demo --connectors > sample.yaml\n\n\
                        Starts the daemon on a temporary store, a sample shop that sends it clicks, purchases and leads, and \
                        four sample networks on 127.0.0.1: a prompt one, one that answers 200 with an error body, a slow \
                        one, a flaky one. Prints every event, every decision with its reason, every postback with its \
                        reply, then a summary that adds up (about 12 s). Then it keeps running, for you to send events and \
                        to look at the admin listener, until Ctrl-C. Reads no configuration, leaves nothing behind.\n\n\
                        Exits 1 if the summary did not add up. Colours on a terminal, unless NO_COLOR is set."
)]
pub struct Args {
    /// Stop after this long, like 20s or 5m, but not before the summary; default: at Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    stop_after: Option<Duration>,
    /// Print the sample connectors as YAML, to copy from, and do nothing else
    #[arg(long, conflicts_with = "stop_after")]
    connectors: bool,
}

pub fn run(args: &Args, out: &mut Out) -> Done {
    if args.connectors {
        write!(out, "{}", demo::CONNECTORS);
        return Ok(Exit::Ok);
    }
    let colour = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut write = |line: &str| {
        writeln!(out, "{line}");
        out.flush()
    };
    let agrees = demo::run(args.stop_after, &mut Page::new(colour, &mut write));
    match agrees {
        Ok(true) => Ok(Exit::Ok),
        Ok(false) => Ok(Exit::No),
        Err(error) => Err(Failure::new(Exit::Unreachable, error)),
    }
}

/// Reads `20s`, `5m` or `1h`.
fn span(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let found = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?.parse::<u32>().ok()?, seconds)));
    match found {
        Some((count, seconds)) if 0 < count => Ok(Duration::from_secs(u64::from(count) * seconds)),
        _ => Err("write a time like 20s, 5m or 1h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        for (text, seconds) in [
            ("20s", Some(20)),
            ("5m", Some(300)),
            ("1h", Some(3600)),
            ("0s", None),
            ("20", None),
            ("s", None),
            ("-1s", None),
        ] {
            assert_eq!(span(text).ok(), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
