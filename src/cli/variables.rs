//! `postbackd variables`: what templates may say.
//!
//! Refuses: a list of its own; the tables are the vocabulary's.

use super::out::Out;
use super::{Done, Exit};
use crate::model::filter::FILTERS;
use crate::model::variable::{Group, OPEN_SLOTS, Variable};

/// Print every variable and filter, with what it means
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  postbackd variables\n  postbackd variables | grep -i click\n\n\
                        In a connector: amount: <<VALUE|fixed:2>>, order: <<TRANSACTION_ID|required>>")]
pub struct Args {}

pub fn run(_args: &Args, out: &mut Out) -> Done {
    for group in Group::ALL {
        writeln!(out, "Variables of the {}", group.word());
        for variable in Variable::ALL.iter().filter(|v| v.group() == *group) {
            row(out, &format!("<<{}>>", variable.name()), variable.meaning());
        }
        for slot in OPEN_SLOTS.iter().filter(|s| s.group == *group) {
            row(out, &format!("<<{}>>", slot.form), slot.meaning);
        }
        writeln!(out);
    }
    writeln!(out, "Filters");
    for filter in FILTERS {
        let colon = if filter.argument.is_empty() { "" } else { ":" };
        row(out, &format!("|{}{colon}{}", filter.name, filter.argument), filter.meaning);
    }
    Ok(Exit::Ok)
}

fn row(out: &mut Out, name: &str, meaning: &str) {
    writeln!(out, "  {name:<28} {meaning}");
}
