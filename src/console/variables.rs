//! What templates may say.
//!
//! Refuses: a list of its own; the tables are the vocabulary's.

use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{self, Answer};
use crate::model::filter::FILTERS;
use crate::model::variable::{OPEN_SLOTS, Variable};

#[derive(Serialize, JsonSchema)]
pub(super) struct Vocabulary {
    variables: Vec<Word>,
    /// Slots that take a name of the author's choice.
    open: Vec<Word>,
    filters: Vec<FilterShown>,
}

#[derive(Serialize, JsonSchema)]
struct Word {
    name: &'static str,
    group: &'static str,
    meaning: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct FilterShown {
    name: &'static str,
    argument: &'static str,
    meaning: &'static str,
}

pub async fn list() -> Answer {
    let variable = |v: &Variable| Word { name: v.name(), group: v.group().word(), meaning: v.meaning() };
    answer::ok(&Vocabulary {
        variables: Variable::ALL.iter().map(variable).collect(),
        open: OPEN_SLOTS
            .iter()
            .map(|slot| Word { name: slot.form, group: slot.group.word(), meaning: slot.meaning })
            .collect(),
        filters: FILTERS
            .iter()
            .map(|f| FilterShown { name: f.name, argument: f.argument, meaning: f.meaning })
            .collect(),
    })
}
