//! Compiles the templates of one connector and says where in the file each of their mistakes stands.
//!
//! Refuses: the language itself, which is `rules::template`'s.

use super::context::Context;
use super::node::{Meaning, Node, Tree};
use super::problem::Position;
use super::substitute::Substituted;
use super::{json_value, values};
use crate::model::secret::Text;
use crate::model::template::{JsonSource, JsonTemplate, Place, Slot, Template, TemplateError, UrlTemplate};
use crate::rules::template::{self, Compiled};

/// What the templates of a connector may ask for besides variables.
pub struct Templates<'a> {
    pub ctx: &'a Context<'a>,
    /// The names under `settings`.
    pub settings: Vec<&'a str>,
    /// Whether there is an item at hand.
    pub for_each: bool,
}

impl Templates<'_> {
    /// The template at `node` for `place`.
    pub fn compile(&self, label: &str, node: &Node, place: Place) -> Option<Template> {
        let text = self.ctx.text(label, node)?;
        let compiled = template::compile(&text.text, place);
        self.finish(label, node, &text, compiled)
    }

    /// The URL template at `node`.
    pub fn url(&self, label: &str, node: &Node) -> Option<UrlTemplate> {
        let text = self.ctx.text(label, node)?;
        let compiled = template::compile_url(&text.text);
        if text.incomplete && compiled.is_err() {
            // What the missing variable would have made of it nobody can check.
            return template::compile_url(&Text::from("https://unset.invalid/")).ok().map(|c| c.template);
        }
        self.finish(label, node, &text, compiled)
    }

    /// The variable named at `node`.
    pub fn slot(&self, label: &str, node: &Node) -> Option<Slot> {
        self.ctx.shown(label, node, |text| match text.trim() {
            "" => Err("is empty: name a variable, like VALUE".to_owned()),
            _ => Ok(()),
        })?;
        let text = self.ctx.text(label, node)?;
        let compiled = template::compile_slot(text.text.reveal()).map_err(|error| vec![error]);
        self.finish(label, node, &text, compiled)
    }

    /// The JSON body at `node`.
    pub fn json(&self, node: &Node) -> Option<JsonTemplate> {
        let source = self.json_source("json", node)?;
        match template::compile_json(&source) {
            Ok(compiled) => Some(compiled.template),
            Err(errors) => {
                // The texts have been compiled one by one, with their places; what is left concerns the whole.
                for error in errors {
                    self.ctx.error(node.at, format!("json: {}", error.message));
                }
                None
            }
        }
    }

    /// The tree at `node`, every text in it compiled once to find its mistakes.
    fn json_source(&self, label: &str, node: &Node) -> Option<JsonSource> {
        match &node.tree {
            Tree::Reported => None,
            Tree::List(elements) => {
                let read: Vec<_> = elements.iter().map(|element| self.json_source(label, element)).collect();
                read.into_iter().collect::<Option<Vec<_>>>().map(JsonSource::List)
            }
            Tree::Map(members) => {
                let read: Vec<_> = members.iter().map(|m| (&m.key, self.json_source(&m.key, &m.value))).collect();
                let read = read.into_iter().map(|(key, value)| Some((Text::from(&**key), value?)));
                read.collect::<Option<Vec<_>>>().map(JsonSource::Map)
            }
            Tree::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => Some(JsonSource::Null),
                Meaning::Bool(b) => Some(JsonSource::Bool(b)),
                Meaning::Number(number) => Some(JsonSource::Number(number.into())),
                Meaning::Text(_) => {
                    let text = self.ctx.text(label, node)?;
                    let compiled = template::compile(&text.text, Place::JsonString);
                    self.finish(label, node, &text, compiled)?;
                    Some(JsonSource::Text(text.text))
                }
                Meaning::Ambiguous(text) => {
                    json_value::report_ambiguous(self.ctx, label, node, text);
                    None
                }
            },
        }
    }

    fn finish<T>(
        &self,
        label: &str,
        node: &Node,
        text: &Substituted,
        compiled: Result<Compiled<T>, Vec<TemplateError>>,
    ) -> Option<T> {
        let position = |offset: usize| node.position_of(text.written_offset(offset));
        self.settle(self.ctx, label, compiled, &position)
    }

    /// Notes what is to be said of a compilation; `position` finds an offset of the template in the file of `ctx`.
    pub fn settle<T>(
        &self,
        ctx: &Context<'_>,
        label: &str,
        compiled: Result<Compiled<T>, Vec<TemplateError>>,
        position: &dyn Fn(usize) -> Position,
    ) -> Option<T> {
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(errors) => {
                for error in errors {
                    ctx.error(position(error.offset), format!("{label}: {}", error.message));
                }
                return None;
            }
        };
        for warning in compiled.warnings {
            ctx.warn(position(warning.offset), format!("{label}: {}", warning.message));
        }
        for (offset, slot) in compiled.slots {
            if let Some(message) = self.lacking(&slot) {
                ctx.error(position(offset), format!("{label}: {message}"));
            }
        }
        Some(compiled.template)
    }

    /// What a slot asks for that this connector does not have.
    fn lacking(&self, slot: &Slot) -> Option<String> {
        match slot {
            Slot::Setting(name) if !self.settings.contains(&&**name) => {
                Some(match (values::nearest(name, self.settings.iter().copied()), self.settings.is_empty()) {
                    (Some(near), _) => {
                        format!("`SETTING.{name}` is not under `settings`; did you mean `SETTING.{near}`?")
                    }
                    (None, true) => format!("`SETTING.{name}` needs `settings: {{{name}: …}}` in this connector"),
                    (None, false) => {
                        format!("`SETTING.{name}` is not under `settings`, which has: {}", self.settings.join(", "))
                    }
                })
            }
            Slot::Item(path) if !self.for_each => {
                let path = path.join(".");
                Some(format!("`ITEM.{path}` needs `for_each: items`, and stands for an item only within the postback"))
            }
            Slot::Variable(_)
            | Slot::Attribute(_)
            | Slot::EventPath(_)
            | Slot::Item(_)
            | Slot::ClickParam(_)
            | Slot::Setting(_) => None,
        }
    }
}
