//! Compiles the templates of one connector and says where in the file each of their mistakes stands.
//!
//! Refuses: the language itself, which is `rules::template`'s.

use super::context::Context;
use super::node::{Meaning, Node, Tree};
use super::problem::Position;
use super::substitute::Substituted;
use super::{json_value, values};
use crate::model::connector::{OwnValue, Setting};
use crate::model::secret::Text;
use crate::model::template::{
    Expression, JsonSource, JsonTemplate, Place, Segment, Slot, Template, TemplateError, There, UrlTemplate,
};
use crate::rules::template::{self, Compiled};

/// How a setting begins in a template, where it stands alone.
const SETTING: &str = "<<SETTING.";

/// What is there once for each item, and what is there where there is none.
const THERE: [(&str, There); 2] = [("each_item", There::EachItem), ("no_items", There::NoItems)];

/// When what stands under this key is there; `None` of any other key.
pub fn there(key: &str) -> Option<There> {
    THERE.iter().find(|(name, _)| *name == key).map(|(_, there)| *there)
}

/// Where scheme, host and port of a URL end.
fn origin_end(url: &str) -> usize {
    let host = url.find("://").map_or(0, |at| at + 3);
    url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at)
}

/// What the templates of a connector may ask for besides variables.
#[derive(Clone, Copy)]
pub struct Templates<'a> {
    pub ctx: &'a Context<'a>,
    /// Those under `settings`.
    pub settings: &'a [Setting],
    /// Those under `values`; `None` among these themselves.
    pub values: Option<&'a [OwnValue]>,
    /// Whether there is an item at hand.
    pub for_each: bool,
}

impl Templates<'_> {
    /// The same with an item at hand.
    pub fn with_item(&self) -> Self {
        Self { for_each: true, ..*self }
    }

    /// The same for what is there then.
    pub fn within(&self, there: There) -> Self {
        if there == There::EachItem { self.with_item() } else { *self }
    }

    /// The template at `node` for `place`.
    pub fn compile(&self, label: &str, node: &Node, place: Place) -> Option<Template> {
        let text = self.ctx.text(label, node)?;
        let compiled = template::compile(&text.text, place);
        self.finish(label, node, &text, compiled)
    }

    /// The URL template at `node`. A setting may stand in its host, since it is the operator's and no event's: there it is put
    /// in now, and the origin is fixed from here on like any other.
    pub fn url(&self, label: &str, node: &Node) -> Option<UrlTemplate> {
        let mut text = self.ctx.text(label, node)?;
        if text.text.reveal()[..origin_end(text.text.reveal())].contains(SETTING) {
            match self.with_origin(&text.text) {
                Ok(whole) => text = text.rewritten(whole),
                Err(wrong) => {
                    self.ctx.error(node.at, format!("{label}: {wrong}"));
                    return None;
                }
            }
        }
        let compiled = template::compile_url(&text.text);
        if text.incomplete && compiled.is_err() {
            // What the missing variable would have made of it nobody can check.
            return template::compile_url(&Text::from("https://unset.invalid/")).ok().map(|c| c.template);
        }
        self.finish(label, node, &text, compiled)
    }

    /// The URL with each setting that stands in its scheme, host or port put in.
    fn with_origin(&self, url: &Text) -> Result<Text, String> {
        let end = origin_end(url.reveal());
        let (mut out, mut from) = (Text::default(), 0);
        for (part, is_secret) in url.parts() {
            let inside = end.saturating_sub(from).min(part.len());
            from += part.len();
            if is_secret {
                out.push_secret(part);
                continue;
            }
            let mut rest = &part[..inside];
            while let Some((before, after)) = rest.split_once(SETTING) {
                let (name, after) = after.split_once(">>").ok_or("`<<` is not closed by `>>`")?;
                let setting = self.settings.iter().find(|setting| *setting.name == *name);
                let setting = setting.ok_or_else(|| format!("`SETTING.{name}` is not under `settings`"))?;
                let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
                if setting.value.is_empty() || !setting.value.reveal().bytes().all(is_host) {
                    return Err(format!(
                        "the setting `{name}` stands in the host, so it must be one, like network.example"
                    ));
                }
                out.push(before);
                out.append(&setting.value);
                rest = after;
            }
            out.push(rest);
            out.push(&part[inside..]);
        }
        Ok(out)
    }

    /// The text at `node`, in which nothing but settings may stand; they are put in now.
    pub fn settled(&self, label: &str, node: &Node) -> Option<Text> {
        let template = self.compile(label, node, Place::PlainText)?;
        let mut out = Text::default();
        for segment in &template.segments {
            match segment {
                Segment::Literal(text) => out.append(text),
                Segment::Expression(Expression { slot: Slot::Setting(name), filters, .. }) if filters.is_empty() => {
                    let setting = self.settings.iter().find(|setting| setting.name == *name)?;
                    out.append(&setting.value);
                }
                Segment::Expression(other) => {
                    let message = format!("{label}: `{}` can't stand here, only <<SETTING.name>> can", other.slot);
                    self.ctx.error(node.at, message);
                    return None;
                }
            }
        }
        Some(out)
    }

    /// Whether a text may be blank only because its environment is not at hand.
    pub fn may_be_blank(&self) -> bool {
        self.ctx.environment.lenient
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
                let read: Vec<_> = elements.iter().map(|element| self.json_element(label, element)).collect();
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

    /// An element of a list; one that says `each_item` alone is there once for each item.
    fn json_element(&self, label: &str, node: &Node) -> Option<JsonSource> {
        if let Tree::Map(members) = &node.tree
            && let [only] = &**members
            && let Some(there) = there(&only.key)
        {
            let source = self.within(there).json_source(label, &only.value)?;
            return Some(JsonSource::There(there, Box::new(source)));
        }
        self.json_source(label, node)
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
            Slot::Setting(name) if !self.settings.iter().any(|setting| setting.name == *name) => {
                let names: Vec<&str> = self.settings.iter().map(|setting| &*setting.name).collect();
                Some(match (values::nearest(name, names.iter().copied()), names.is_empty()) {
                    (Some(near), _) => {
                        format!("`SETTING.{name}` is not under `settings`; did you mean `SETTING.{near}`?")
                    }
                    (None, true) => format!("`SETTING.{name}` needs `settings: {{{name}: …}}` in this connector"),
                    (None, false) => {
                        format!("`SETTING.{name}` is not under `settings`, which has: {}", names.join(", "))
                    }
                })
            }
            Slot::Value(name) => match self.values {
                None => Some(format!("`VALUES.{name}` can't stand in a value itself: write out what it says")),
                Some(values) if values.iter().any(|value| value.name == *name) => None,
                Some(values) => {
                    let near = values::nearest(name, values.iter().map(|value| &*value.name));
                    let near = near.map_or_else(String::new, |near| format!("; did you mean `VALUES.{near}`?"));
                    Some(format!("`VALUES.{name}` is not under `values`{near}"))
                }
            },
            Slot::Item(path) if !self.for_each => {
                let path = path.join(".");
                Some(format!(
                    "`ITEM.{path}` needs an item: write it under `each_item`, or set `for_each: items` in the postback"
                ))
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
