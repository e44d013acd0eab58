//! `postbackd templates`: the ready-made connectors, and what one of them asks for.
//!
//! Refuses: writing files; `postbackd new --template` does.

use super::out::Out;
use super::{Done, Exit, Failure};
use crate::config::gallery::{self, Ready, Template};

/// List the ready-made connectors, or show what one asks for
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  postbackd templates\n  postbackd templates meta-conversions-api\n  \
                        postbackd new my-pixel --template meta-conversions-api")]
pub struct Args {
    /// One of them
    name: Option<String>,
}

pub fn run(args: &Args, out: &mut Out) -> Done {
    let Some(name) = &args.name else {
        for ready in gallery::ALL {
            writeln!(out, "{:24} {}", ready.name, ready.read().title);
        }
        return Ok(Exit::Ok);
    };
    let ready = found(name)?;
    let template = ready.read();
    writeln!(out, "{}: {}", ready.name, template.title);
    writeln!(out, "from {}\n", template.facts);
    for setting in &template.settings {
        let need = match (&setting.default, setting.required) {
            (_, true) => "required".to_owned(),
            (Some(default), false) => format!("default {default}"),
            (None, false) => "may be left out".to_owned(),
        };
        let secret = if setting.secret { ", secret" } else { "" };
        writeln!(out, "  {:20} {} ({need}{secret})", setting.name, setting.description);
    }
    writeln!(out, "\nA connector to copy; its own keys are laid over the template's:\n");
    write!(out, "{}", connector(ready, &template, ready.name));
    Ok(Exit::Ok)
}

/// The ready-made connector of this name.
pub(super) fn found(name: &str) -> Result<&'static Ready, Failure> {
    let missing = || format!("there is no ready-made connector {name:?}; `postbackd templates` lists them");
    gallery::find(name).ok_or_else(|| Failure::new(Exit::No, missing()))
}

/// A connector that uses it, for a file of its own.
pub(super) fn connector(ready: &Ready, template: &Template, name: &str) -> String {
    let mut out = format!("name: {name}\nmode: test\ntemplate: {}\nsettings:\n", ready.name);
    for setting in &template.settings {
        let value = if setting.secret {
            format!("\"${{{}_{}}}\"", name.to_uppercase().replace('-', "_"), setting.name.to_uppercase())
        } else {
            format!("\"{}\"", setting.example)
        };
        let comment = if setting.required { "" } else { "# " };
        out.push_str(&format!("  # {}\n  {comment}{}: {value}\n", setting.description, setting.name));
    }
    out
}
