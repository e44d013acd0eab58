//! The command line (SPEC section 9): one file per command, and what they share.
//!
//! Refuses: doing anything a command does not say. Only `run`, `demo` (to its own) and `test --send` speak to networks.

mod admin;
mod check;
mod demo;
mod erase;
mod explain;
mod fixture;
mod log;
mod new;
mod out;
mod reach;
mod replay;
mod run;
mod schema;
mod show;
mod templates;
mod test;
mod variables;

use std::fmt::Display;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::files::{Disk, Files, ReadError};
use crate::config::{self, Config, LoadOptions, Loaded, Problem};
use crate::console;
use crate::model::time::Time;
use out::{Out, complain};

/// Every exit code (SPEC section 9) and what it says.
pub const EXIT_CODES: &[(u8, &str)] = &[
    (0, "ok"),
    (1, "the answer is no (invalid config, nothing found)"),
    (2, "wrong usage"),
    (3, "the daemon could not start or be reached"),
];

/// How a command ends: one of [`EXIT_CODES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Ok,
    /// The answer is no: an invalid configuration, nothing found.
    No,
    /// Wrong usage that only the configuration could tell; the rest is told by clap.
    Usage,
    /// The daemon could not start or be reached.
    Unreachable,
}

impl Exit {
    fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Ok => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
        })
    }
}

/// Why a command did not do what it was asked, for a person.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    fn new(exit: Exit, message: impl Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

type Done = Result<Exit, Failure>;

/// Tells affiliate networks and ad platforms about conversions.
#[derive(Debug, Parser)]
#[command(name = "postbackd", version, about, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = exit_help())]
struct Line {
    /// The configuration
    #[arg(long, global = true, value_name = "FILE", default_value = "postbackd.yaml")]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Demo(demo::Args),
    Check(check::Args),
    Explain(explain::Args),
    Test(test::Args),
    Log(log::Args),
    Replay(replay::Args),
    Erase(erase::Args),
    Templates(templates::Args),
    Schema(schema::Args),
    Variables(variables::Args),
    New(new::Args),
}

fn exit_help() -> String {
    let codes: Vec<_> = EXIT_CODES.iter().map(|(code, meaning)| format!("{code} {meaning}")).collect();
    format!("Exit codes: {}.\n\nEvery command has examples: postbackd COMMAND --help", codes.join("; "))
}

/// Reads the command line and does what it says.
pub fn main() -> ExitCode {
    let line = Line::parse();
    let file = &line.config;
    let mut out = Out::new();
    let done = match &line.command {
        Command::Run(args) => run::run(args, file),
        Command::Demo(args) => demo::run(args, &mut out),
        Command::Check(args) => check::run(args, file, &mut out),
        Command::Explain(args) => explain::run(args, file, &mut out),
        Command::Test(args) => test::run(args, file, &mut out),
        Command::Log(args) => log::run(args, file, &mut out),
        Command::Replay(args) => replay::run(args, file, &mut out),
        Command::Erase(args) => erase::run(args, file, &mut out),
        Command::Templates(args) => templates::run(args, &mut out),
        Command::Schema(args) => schema::run(args, &mut out),
        Command::Variables(args) => variables::run(args, &mut out),
        Command::New(args) => new::run(args, file, &mut out),
    };
    if let Err(error) = out.end() {
        complain(format_args!("error: the output can't be written: {error}"));
        return Exit::No.code();
    }
    match done {
        Ok(exit) => exit.code(),
        Err(failure) => {
            complain(format_args!("error: {}", failure.message));
            failure.exit.code()
        }
    }
}

/// Reads the configuration.
///
/// # Errors
/// Every mistake in it, one a line.
fn load(file: &Path) -> Result<Loaded, Failure> {
    config::load(file, &environment, LoadOptions { no_env: false }).map_err(|problems| unusable(&problems))
}

/// Reads the configuration without its connectors, for commands that speak to the daemon: a connector that is being
/// edited must not keep anyone from the log.
///
/// # Errors
/// Every mistake in the file, one a line.
fn load_main(file: &Path) -> Result<Config, Failure> {
    match config::load_from(&MainFile, file, &environment, LoadOptions { no_env: false }) {
        Ok(loaded) => Ok(loaded.config),
        Err(problems) => Err(unusable(&problems)),
    }
}

fn unusable(problems: &[Problem]) -> Failure {
    let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
    Failure::new(Exit::No, format_args!("the configuration can't be used:\n{}", all.join("\n")))
}

/// The disk, on which no connector is found.
struct MainFile;

impl Files for MainFile {
    fn read(&self, path: &Path, size_max: usize) -> Result<Vec<u8>, ReadError> {
        Disk.read(path, size_max)
    }

    fn matching(&self, _glob: &str) -> Result<Vec<PathBuf>, String> {
        Ok(Vec::new())
    }

    fn others_may_read(&self, path: &Path) -> bool {
        Disk.others_may_read(path)
    }
}

/// The process environment; a value that is no UTF-8 counts as unset.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Runs what waits for the network or the store.
fn wait_for<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Exit::Unreachable, format_args!("no runtime: {e}")))?
        .block_on(work)
}

/// Reads a moment: `2h` is two hours ago; else ISO 8601.
fn moment(text: &str) -> Result<Time, String> {
    let ago = text.len().checked_sub(1).and_then(|end| Some((text.get(..end)?, text.get(end..)?)));
    if let Some((count, unit)) = ago
        && let Some(seconds) = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)].iter().find(|(u, _)| *u == unit)
        && let Ok(count) = count.parse::<u32>()
    {
        return Ok(console::now().minus(Duration::from_secs(u64::from(count) * seconds.1)));
    }
    Time::parse(text).ok_or_else(|| "write 90s, 15m, 2h or 3d for that long ago, or 2026-01-10T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_command_gives_examples() {
        let mut command = Line::command();
        command.build();
        command.clone().debug_assert();
        for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
            assert!(sub.get_about().is_some(), "{}", sub.get_name());
            let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("postbackd {}", sub.get_name())), "{} has no example", sub.get_name());
        }
    }

    #[test]
    fn wrong_usage_is_told_apart() {
        for (line, fine) in [
            (&["check"][..], true),
            (&["check", "--strict", "--no-env", "--config", "x.yaml"], true),
            (&["--config", "x.yaml", "log", "--state", "dead", "--since", "2h"], true),
            (&["log", "--state", "deaf"], false),
            (&["log", "--limit", "0"], false),
            (&["explain"], false),
            (&["explain", "--event", "e.json"], true),
            (&["replay"], false),
            (&["replay", "--state", "dead"], true),
            (&["replay", "--state", "delivered"], false),
            (&["replay", "--state", "dead", "--rate", "10/s"], true),
            (&["replay", "--state", "dead", "--rate", "fast"], false),
            (&["replay", "not-an-id"], false),
            (&["replay", "0190d3f2-6f3e-8abc-8def-0123456789ab", "--force"], true),
            (&["replay", "0190d3f2-6f3e-8abc-8def-0123456789ab", "--state", "dead"], false),
            (&["replay", "--state", "dead", "--force"], false),
            (&["schema", "connector"], true),
            (&["schema", "daemon"], false),
            (&["new", "network-x"], true),
            (&["demo"], true),
            (&["demo", "--for", "20s"], true),
            (&["demo", "--for", "fast"], false),
            (&["demo", "--connectors", "--for", "20s"], false),
            (&["new", "Network X"], false),
            (&[], false),
        ] {
            let parsed = Line::try_parse_from(["postbackd"].iter().chain(line));
            assert_eq!(parsed.is_ok(), fine, "{line:?}");
        }
    }

    #[test]
    fn moments_are_spans_ago_or_times() {
        let now = console::now();
        let age = |text: &str| now.since(moment(text).unwrap()).as_secs();
        assert!((7199..=7200).contains(&age("2h")), "{}", age("2h"));
        assert!((259_199..=259_200).contains(&age("3d")));
        assert_eq!(moment("2026-01-10T12:00:00Z").unwrap().ms(), 1_768_046_400_000);
        for wrong in ["", "h", "2x", "-2h", "yesterday", "2é"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
