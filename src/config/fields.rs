//! Reads one mapping by its [`Table`]: unknown keys, missing keys and wrong types are noted, and reading goes on.
//!
//! Refuses: ending at a mistake. A reader gets the default, or nothing, in place of a value that is wrong; the note
//! already made keeps the whole from being used.

use std::cell::RefCell;
use std::time::Duration;

use super::context::Context;
use super::node::{Layout, Member, Node, Scalar, Tree};
use super::problem::Position;
use super::shape::{Key, Shape, Table};
use super::substitute::Substituted;
use super::values::{self, Wrong};

/// The members of one mapping.
pub struct Fields<'a> {
    pub ctx: &'a Context<'a>,
    /// Where the mapping starts.
    pub at: Position,
    table: &'static Table,
    members: Vec<&'a Member>,
    /// Keys that somebody probably meant; they are not called missing.
    misspelt: Vec<&'static str>,
    /// What was asked for, so that tests can tell a key of the table that nobody reads.
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Fields<'a> {
    /// Opens `node`, called `label` in messages, by `table`. `None`, with a note, if it is no mapping.
    pub fn open(ctx: &'a Context<'a>, label: &str, node: &'a Node, table: &'static Table) -> Option<Self> {
        let members = match &node.tree {
            Tree::Map(members) => members,
            Tree::Reported => return None,
            Tree::Scalar(_) | Tree::List(_) => {
                let names = names(table);
                ctx.error(node.at, format!("{label} must be a mapping ({names}), not {}", node.kind()));
                return None;
            }
        };
        let mut fields = Self::empty(ctx, node.at, table);
        for member in members {
            if table.key(&member.key).is_some() {
                fields.members.push(member);
            } else {
                fields.refuse(member);
            }
        }
        for key in table.keys.iter().filter(|key| key.required && !fields.misspelt.contains(&key.name)) {
            if !fields.members.iter().any(|m| *m.key == *key.name && !m.value.is_null()) {
                ctx.error(node.at, format!("`{}` is missing: {}", key.name, key.meaning));
            }
        }
        Some(fields)
    }

    /// A mapping in which nothing is given.
    pub fn empty(ctx: &'a Context<'a>, at: Position, table: &'static Table) -> Self {
        Self { ctx, at, table, members: Vec::new(), misspelt: Vec::new(), asked: RefCell::default() }
    }

    fn refuse(&mut self, member: &Member) {
        let key = &*member.key;
        let message = if let Some((_, why)) = self.table.refused.iter().find(|(name, _)| *name == key) {
            (*why).to_owned()
        } else if key == "<<" {
            "unknown key `<<`: YAML merge keys are not used here; repeat the keys".to_owned()
        } else if let Some(known) = values::nearest(key, self.table.keys.iter().map(|k| k.name)) {
            let known = self.table.key(known).map_or("", |k| k.name);
            self.misspelt.push(known);
            format!("unknown key `{key}`; did you mean `{known}`?")
        } else {
            format!("unknown key `{key}`; known here: {}", names(self.table))
        };
        self.ctx.error(member.key_at, message);
    }

    fn key(&self, name: &str) -> &'static Key {
        let key = self.table.key(name).expect("every key that is read stands in its table");
        self.asked.borrow_mut().push(key.name);
        key
    }

    /// The value given for `name`; `None` where there is none, it is null, or it has been reported.
    pub fn given(&self, name: &str) -> Option<&'a Node> {
        let key = self.key(name);
        let member = self.members.iter().find(|m| *m.key == *key.name)?;
        (!member.value.is_null() && !matches!(member.value.tree, Tree::Reported)).then_some(&member.value)
    }

    /// Where `name` stands; the start of the mapping where it is not given.
    pub fn position(&self, name: &str) -> Position {
        self.members.iter().find(|m| *m.key == *name).map_or(self.at, |m| m.key_at)
    }

    /// The value of `name` as `parse` understands it, else the table's default.
    pub fn parsed<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<T> {
        let given = self.given(name).and_then(|node| self.ctx.parsed(name, node, &parse));
        given.or_else(|| self.ctx.parsed(name, &self.default(name)?, parse))
    }

    /// The text of `name` after substitution, else the table's default.
    pub fn text(&self, name: &str) -> Option<Substituted> {
        match self.given(name) {
            Some(node) => self.ctx.text(name, node),
            None => self.ctx.text(name, &self.default(name)?),
        }
    }

    /// The text of `name`, not empty.
    pub fn word(&self, name: &str) -> Option<Box<str>> {
        self.parsed(name, not_blank)
    }

    /// The text of `name`, not empty and no secret, for what is shown in the log.
    pub fn shown_word(&self, name: &str) -> Option<Box<str>> {
        self.ctx.shown(name, self.given(name)?, not_blank)
    }

    fn default(&self, name: &str) -> Option<Node> {
        let text = self.key(name).default?.into();
        Some(Node { at: self.at, tree: Tree::Scalar(Scalar { text, plain: true, layout: Layout::Unknown }) })
    }

    pub fn boolean(&self, name: &str) -> bool {
        // The table has a default for every switch; false stands in for one that was not understood.
        self.parsed(name, values::boolean).unwrap_or_default()
    }

    pub fn duration(&self, name: &str) -> Option<Duration> {
        self.parsed(name, values::duration)
    }

    pub fn rate(&self, name: &str) -> Option<f64> {
        self.parsed(name, values::rate)
    }

    /// Between the bounds that the table gives.
    pub fn integer(&self, name: &str) -> Option<u64> {
        let Shape::Integer(min, max) = self.key(name).shape else { return None };
        self.parsed(name, |text| values::integer(text, min, max))
    }

    /// The `choices` entry whose word was written. The words are those of the table, in its order.
    pub fn choice<T: Copy>(&self, name: &str, choices: &[T]) -> Option<T> {
        let Shape::Choice(words) = self.key(name).shape else { return None };
        debug_assert_eq!(words.len(), choices.len(), "{name}");
        self.parsed(name, |text| {
            let found = words.iter().position(|word| *word == text).and_then(|at| choices.get(at)).copied();
            found.ok_or_else(|| {
                let all = words.join(", ");
                match values::nearest(text, words.iter().copied()) {
                    None if words.len() == 1 => format!("is not `{all}`, the only word known here"),
                    Some(near) => format!("is none of {all}; did you mean `{near}`?"),
                    None => format!("is none of {all}"),
                }
            })
        })
    }

    /// The mapping under `name`; `None` where there is none.
    pub fn object(&self, name: &str) -> Option<Fields<'a>> {
        let Shape::Object(table) = self.key(name).shape else { return None };
        Fields::open(self.ctx, &format!("`{name}`"), self.given(name)?, table)
    }

    /// The mapping under `name`, or one in which nothing is given.
    pub fn object_or_empty(&self, name: &str) -> Fields<'a> {
        let Shape::Object(table) = self.key(name).shape else {
            return Fields::empty(self.ctx, self.at, self.table);
        };
        self.object(name).unwrap_or_else(|| Fields::empty(self.ctx, self.at, table))
    }

    /// The elements under `name`; `None` where it is not given. One value in place of a list is a list of one where
    /// the table says so.
    pub fn elements(&self, name: &str) -> Option<Vec<&'a Node>> {
        let shape = self.key(name).shape;
        let node = self.given(name)?;
        match (&node.tree, shape) {
            (Tree::List(elements), _) => Some(elements.iter().collect()),
            (Tree::Scalar(_), Shape::OneOrList(_)) => Some(vec![node]),
            _ => {
                self.ctx.error(node.at, format!("`{name}` must be a list, like [a, b], not {}", node.kind()));
                None
            }
        }
    }

    /// The elements under `name` as `parse` understands them; those it does not are left out.
    pub fn all<T>(&self, name: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<Vec<T>> {
        let elements = self.elements(name)?;
        Some(elements.into_iter().filter_map(|node| self.ctx.parsed(name, node, &parse)).collect())
    }

    /// The texts under `name`, none empty and none a secret, for what is shown in the log.
    pub fn shown_words(&self, name: &str) -> Option<Vec<Box<str>>> {
        let elements = self.elements(name)?;
        Some(elements.into_iter().filter_map(|node| self.ctx.shown(name, node, not_blank)).collect())
    }

    /// Whether `name` is given as a list of nothing.
    pub fn is_empty_list(&self, name: &str) -> bool {
        self.given(name).is_some_and(|node| matches!(&node.tree, Tree::List(all) if all.is_empty()))
    }

    /// Whether `name` is given, as null.
    pub fn is_null(&self, name: &str) -> bool {
        let key = self.key(name);
        self.members.iter().any(|m| *m.key == *key.name && m.value.is_null())
    }

    /// The mappings under `name`.
    pub fn objects(&self, name: &str) -> Vec<Fields<'a>> {
        let (Shape::List(Shape::Object(table)) | Shape::OneOrList(Shape::Object(table))) = self.key(name).shape else {
            return Vec::new();
        };
        let elements = self.elements(name).unwrap_or_default();
        let label = format!("each of `{name}`");
        elements.into_iter().filter_map(|node| Fields::open(self.ctx, &label, node, table)).collect()
    }

    /// The free names under `name`.
    pub fn members(&self, name: &str) -> Option<&'a [Member]> {
        let node = self.given(name)?;
        match &node.tree {
            Tree::Map(members) => Some(members),
            _ => {
                self.ctx.error(node.at, format!("`{name}` must be a mapping of names to values, not {}", node.kind()));
                None
            }
        }
    }

    /// The mapping itself, but for the key `but`.
    pub fn node_without(&self, but: &str) -> Node {
        let members = self.members.iter().filter(|member| &*member.key != but).map(|member| (*member).clone());
        Node { at: self.at, tree: Tree::Map(members.collect()) }
    }

    /// The mapping itself, to be read as part of another.
    pub fn node(&self) -> Node {
        self.asked.borrow_mut().extend(self.table.keys.iter().map(|key| key.name));
        self.node_without("")
    }

    /// Which of `names` are given.
    pub fn which<'n>(&self, names: &[&'n str]) -> Vec<&'n str> {
        names.iter().copied().filter(|name| self.members.iter().any(|m| *m.key == **name)).collect()
    }
}

/// A key that a table has and no reader asked for is accepted and does nothing: a bug, found by the tests, which read
/// files that give every key.
#[cfg(test)]
impl Drop for Fields<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() || self.ctx.problems.any_error() {
            return;
        }
        for member in &self.members {
            assert!(self.asked.borrow().contains(&&*member.key), "nobody reads the key `{}`", member.key);
        }
    }
}

fn not_blank(text: &str) -> Result<Box<str>, Wrong> {
    if text.trim().is_empty() { Err("is empty: write something, or take it away".to_owned()) } else { Ok(text.into()) }
}

fn names(table: &Table) -> String {
    table.keys.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}
