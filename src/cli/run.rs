//! `postbackd run`.
//!
//! Refuses: anything of its own; the daemon is `crate::daemon`.

use std::path::Path;

use super::{Done, Exit, Failure};

/// Run the daemon
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  postbackd run\n  postbackd run --config /etc/postbackd/postbackd.yaml\n\n\
                        SIGHUP, or a change of a file, reloads the configuration. SIGTERM stops: attempts in flight are \
                        finished and recorded, the rest is picked up at the next start.")]
pub struct Args {}

pub fn run(_args: &Args, file: &Path) -> Done {
    crate::daemon::run(file).map_err(|e| Failure::new(Exit::Unreachable, e))?;
    Ok(Exit::Ok)
}
