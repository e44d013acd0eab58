//! A parsed body file, looked over: every name a variable, every helper known, its arguments right.
//!
//! Inside `{{#each}}` and `{{#with}}`, names are members of the thing at hand, but for the standard variables, which mean the
//! same everywhere: no item can shadow them.
//!
//! Refuses: what would only fail while an event is being rendered.

use handlebars::template::{HelperTemplate, Parameter, TemplateElement};
use handlebars::{Path, PathSeg, Template};

use crate::model::filter::{FILTERS, Filter};
use crate::model::spelling::nearest;
use crate::model::template::{BodyContext, Slot};
use crate::model::variable::Variable;
use crate::rules::template::{Notes, OPEN, keys, slot};

use super::helpers::{BLOCKS, BUILT_IN, COMPARISONS, SHOW_HELPER, arguments};
use super::scan::{BRACE_HELPER, SLOT_HELPER};

/// A slot that the data must hold, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub path: Vec<String>,
    pub slot: Slot,
}

/// What looking over collects.
pub struct Check<'a> {
    pub context: BodyContext,
    pub notes: &'a mut Notes,
    pub roots: Vec<Root>,
    /// The settings that key a hash.
    pub keys: Vec<Box<str>>,
    /// Where the element at hand stands.
    pub offset: usize,
    /// Where each line starts.
    pub lines: Vec<usize>,
}

impl Check<'_> {
    /// Looks over a template `deep` scopes down.
    pub fn template(&mut self, template: &mut Template, deep: usize) {
        let mapping = std::mem::take(&mut template.mapping);
        for (nth, element) in template.elements.iter_mut().enumerate() {
            if let Some(at) = mapping.get(nth) {
                self.offset = self.lines.get(at.0.saturating_sub(1)).map_or(0, |start| start + at.1.saturating_sub(1));
            }
            self.element(element, deep);
        }
        template.mapping = mapping;
    }

    fn element(&mut self, element: &mut TemplateElement, deep: usize) {
        match element {
            TemplateElement::RawString(text) if self.context == BodyContext::Form => {
                // Lines are for the author's eyes; an encoded form has none.
                *text = text.split('\n').map(|line| line.trim_matches(['\r', '\t', ' '])).collect();
            }
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
            TemplateElement::Expression(helper) | TemplateElement::HtmlExpression(helper) => {
                self.expression(helper, deep)
            }
            TemplateElement::HelperBlock(helper) => self.block(helper, deep),
            _ => self.error("partials and decorators are not supported; write the text out"),
        }
    }

    fn error(&mut self, message: impl Into<String>) {
        let offset = self.offset;
        self.notes.error(offset, message);
    }

    fn expression(&mut self, helper: &mut HelperTemplate, deep: usize) {
        if !helper.params.is_empty() || !helper.hash.is_empty() {
            self.call(helper, deep);
            return;
        }
        if let Parameter::Path(path) = &helper.name
            && let Path::Relative((_, raw)) = path
            && deep == 0
            && is_helper(raw)
        {
            let message = format!("`{raw}` needs a value; write `{{{{{raw} NAME}}}}`");
            self.error(message);
            return;
        }
        // A plain name goes through a helper too, which knows what marks and lists look like.
        let mut shown = std::mem::replace(&mut helper.name, Parameter::Name(SHOW_HELPER.to_owned()));
        self.parameter(&mut shown, deep);
        helper.params = vec![shown];
    }

    fn block(&mut self, helper: &mut HelperTemplate, deep: usize) {
        let name = helper.name.as_name().unwrap_or_default().to_owned();
        if !BLOCKS.contains(&name.as_str()) {
            let message = match nearest(&name, BLOCKS.iter().copied()) {
                Some(near) => format!("there is no block `{name}`; did you mean `{near}`?"),
                None => format!("there is no block `{name}`; there are {}", BLOCKS.join(", ")),
            };
            self.error(message);
        } else if helper.params.len() != 1 {
            self.error(format!("`{{{{#{name}}}}}` takes one value"));
        }
        if helper.hash.keys().any(|key| key != "includeZero") {
            self.error(format!("`{{{{#{name}}}}}` takes no named argument"));
        }
        for param in &mut helper.params {
            self.parameter(param, deep);
        }
        let inner = if matches!(name.as_str(), "each" | "with") { deep + 1 } else { deep };
        if let Some(template) = &mut helper.template {
            self.template(template, inner);
        }
        if let Some(inverse) = &mut helper.inverse {
            self.template(inverse, deep);
        }
    }

    /// A helper with arguments, at the top or within another.
    fn call(&mut self, helper: &mut HelperTemplate, deep: usize) {
        let name = helper.name.as_name().unwrap_or_default().to_owned();
        if [SLOT_HELPER, BRACE_HELPER].contains(&name.as_str()) {
            return;
        }
        if !helper.hash.is_empty() {
            self.error(format!("`{name}` takes no named arguments; write them one after the other"));
        }
        let filter = FILTERS.iter().any(|doc| doc.name == name);
        if !filter && !is_helper(&name) {
            let known = || FILTERS.iter().map(|doc| doc.name).chain(COMPARISONS.iter().chain(BUILT_IN).copied());
            let message = match nearest(&name, known()) {
                Some(near) => format!("there is no helper `{name}`; did you mean `{near}`?"),
                None => format!(
                    "there is no helper `{name}`; there are the filters and {}",
                    known().skip(FILTERS.len()).collect::<Vec<_>>().join(", ")
                ),
            };
            self.error(message);
        }
        if filter {
            self.filter(&name, helper.params.get(1..).unwrap_or_default());
        }
        for param in &mut helper.params {
            self.parameter(param, deep);
        }
    }

    fn filter(&mut self, name: &str, params: &[Parameter]) {
        let literals: Vec<_> = params
            .iter()
            .filter_map(|param| match param {
                Parameter::Literal(json) => Some(json),
                _ => None,
            })
            .collect();
        if literals.len() != params.len() {
            self.error(format!("the arguments of `{name}` must be written out; put them in quotes"));
            return;
        }
        match Filter::parse(name, &arguments(name, literals.into_iter())) {
            Ok(filter) => self.keys.extend(keys(std::slice::from_ref(&filter)).map(Into::into)),
            Err(message) => self.error(message),
        }
    }

    fn parameter(&mut self, parameter: &mut Parameter, deep: usize) {
        match parameter {
            Parameter::Path(path) => self.path(path, deep),
            Parameter::Subexpression(sub) => {
                if let TemplateElement::Expression(helper) = sub.element.as_mut() {
                    if helper.params.is_empty() && helper.hash.is_empty() {
                        let name = helper.name.as_name().unwrap_or_default().to_owned();
                        self.error(format!(
                            "`({name})` needs a value; write `({name} NAME)`, or `{name}` without parentheses"
                        ));
                    } else {
                        self.call(helper, deep);
                    }
                }
            }
            // Literals need nothing; the enum is open to more.
            _ => {}
        }
    }

    fn path(&mut self, path: &mut Path, deep: usize) {
        let Path::Relative((segments, raw)) = path else {
            if deep == 0 {
                self.error("`@…` means something inside `{{#each}}` only");
            }
            return;
        };
        let raw = raw.trim().to_owned();
        let names: Vec<String> = segments
            .iter()
            .filter_map(|segment| match segment {
                PathSeg::Named(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        let up = raw.matches("../").count();
        let from_root = raw.starts_with("@root");
        let explicit = from_root || up != 0 || raw.starts_with("this") || raw.starts_with('.');
        let standard = names.first().is_some_and(|name| {
            Variable::from_name(name).is_some() || (1 < names.len() && OPEN.contains(&name.as_str()))
        });
        if deep < up {
            self.error(format!("`{raw}` goes up further than there are scopes; remove a `../`"));
        } else if from_root || deep == up {
            self.root(&raw, names);
        } else if !explicit && standard {
            if let Ok(absolute) = Path::parse(&format!("@root.{raw}")) {
                *path = absolute;
            }
            self.root(&raw, names);
        }
    }

    /// A name in the outermost scope: a variable.
    fn root(&mut self, raw: &str, names: Vec<String>) {
        let offset = self.offset;
        let Some(head) = names.first() else {
            self.error(format!("`{raw}` names nothing here; write a variable such as `VALUE`"));
            return;
        };
        let open = OPEN.contains(&head.as_str());
        let path = if open { names } else { vec![head.clone()] };
        match slot(&path.join("."), offset, self.notes) {
            Ok(slot) => {
                self.notes.slots.push((offset, slot.clone()));
                let root = Root { path, slot };
                if !self.roots.contains(&root) {
                    self.roots.push(root);
                }
            }
            Err(message) => self.error(message),
        }
    }
}

fn is_helper(name: &str) -> bool {
    FILTERS.iter().any(|doc| doc.name == name)
        || [COMPARISONS, BUILT_IN, BLOCKS].iter().any(|all| all.contains(&name))
        || name == "len"
}
