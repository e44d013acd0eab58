//! `postbackd check`: everything that can be known of a configuration without running it.
//!
//! Refuses: stopping at the first mistake, and networks.

use std::path::Path;

use super::out::Out;
use super::{Done, Exit, environment, fixture};
use crate::config::{self, LoadOptions, Severity};

/// Check the configuration, every connector, and their fixtures
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  postbackd check\n  postbackd check --strict --no-env    # in CI, without the secrets\n\n\
                        Every problem is told as FILE:LINE:COLUMN: message. Exits 0 if there is none, else 1."
)]
pub struct Args {
    /// Warnings count as errors
    #[arg(long)]
    strict: bool,
    /// Accept ${VARIABLES} that are not set
    #[arg(long)]
    no_env: bool,
}

pub fn run(args: &Args, file: &Path, out: &mut Out) -> Done {
    let loaded = match config::load(file, &environment, LoadOptions { no_env: args.no_env }) {
        Ok(loaded) => loaded,
        Err(problems) => {
            problems.iter().for_each(|problem| writeln!(out, "{problem}"));
            let errors = problems.iter().filter(|p| p.severity == Severity::Error).count();
            writeln!(out, "{} in {}", counted(errors, "error"), file.display());
            return Ok(Exit::No);
        }
    };
    loaded.warnings.iter().for_each(|warning| writeln!(out, "{warning}"));
    let warnings = loaded.warnings.len();
    let connectors = loaded.config.connectors.len();
    let tried: usize = loaded.fixtures.iter().map(|f| f.fixtures.len()).sum();
    let failed = fixture::check(&loaded.config, &loaded.fixtures);
    failed.iter().for_each(|failure| writeln!(out, "{failure}"));
    if !failed.is_empty() {
        writeln!(out, "{} of {} failed in {}", failed.len(), counted(tried, "fixture"), file.display());
        return Ok(Exit::No);
    }
    if args.strict && warnings != 0 {
        writeln!(out, "{} in {}, which --strict does not accept", counted(warnings, "warning"), file.display());
        return Ok(Exit::No);
    }
    let passed = if tried == 0 { String::new() } else { format!(", {} passed", counted(tried, "fixture")) };
    let warned = if warnings == 0 { String::new() } else { format!(", {}", counted(warnings, "warning")) };
    writeln!(out, "ok: {}{passed}{warned} in {}", counted(connectors, "connector"), file.display());
    Ok(Exit::Ok)
}

/// `1 fixture`, `2 fixtures`.
fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
