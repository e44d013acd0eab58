//! `postbackd schema`: JSON Schema for editors and generators.
//!
//! Refuses: schemas of its own; `config` makes them from the tables it reads by.

use clap::ValueEnum;

use super::out::Out;
use super::{Done, Exit};
use crate::config::schema;

/// Print the JSON Schema of the configuration, of connectors, or of events
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  postbackd schema connector > connector.schema.json\n\n\
                        An editor that knows YAML schemas then completes and checks as you type, with this first line:\n  \
                        # yaml-language-server: $schema=connector.schema.json")]
pub struct Args {
    /// Of what
    of: Of,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Of {
    Config,
    Connector,
    Event,
}

pub fn run(args: &Args, out: &mut Out) -> Done {
    let schema = match args.of {
        Of::Config => schema::config(),
        Of::Connector => schema::connector(),
        Of::Event => schema::event(),
    };
    writeln!(out, "{}", schema.trim_end());
    Ok(Exit::Ok)
}
