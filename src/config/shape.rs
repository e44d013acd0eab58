//! What may stand in a configuration file: every key with its shape, its default and its meaning, as tables.
//!
//! Refuses: reading. `fields` reads by these tables, `schema` prints them; so what is accepted, what an editor
//! completes and what the README lists cannot differ.

/// The keys of one mapping.
#[derive(Debug)]
pub struct Table {
    pub keys: &'static [Key],
    /// Keys that are known and not accepted, with what to say about them.
    pub refused: &'static [(&'static str, &'static str)],
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub shape: Shape,
    pub required: bool,
    /// As it would be written; `None`: off unless given.
    pub default: Option<&'static str>,
    pub meaning: &'static str,
}

/// What a key's value looks like.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// A text; `${NAME}` is replaced.
    Text,
    /// A text that matches this pattern.
    Pattern(&'static str),
    /// A text with `<<VARIABLE>>`s.
    Template,
    Bool,
    /// Whole, between the two.
    Integer(u64, u64),
    /// A factor.
    Number,
    Duration,
    Rate,
    /// One of these words.
    Choice(&'static [&'static str]),
    Address,
    Network,
    Regex,
    /// A scalar of any type, compared as text.
    Scalar,
    /// Anything: a JSON value.
    Any,
    /// A JSON value whose texts are templates.
    JsonTemplate,
    List(&'static Shape),
    /// A list, or one value in place of a list of one.
    OneOrList(&'static Shape),
    /// `name: template`, and under `each_item` such pairs for each item.
    Entries,
    /// A template, or a mapping by this table.
    TemplateOr(&'static Table),
    /// A mapping of free names.
    Map(&'static Shape),
    Object(&'static Table),
}

impl Table {
    /// A table of these keys.
    pub const fn of(keys: &'static [Key]) -> Self {
        Self { keys, refused: &[] }
    }

    /// The key called `name`.
    pub fn key(&self, name: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}

impl Key {
    /// An optional key without a default.
    pub const fn new(name: &'static str, shape: Shape, meaning: &'static str) -> Self {
        Self { name, shape, required: false, default: None, meaning }
    }

    /// The same key, which must be given.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The same key, with what holds where it is not given.
    #[must_use]
    pub const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }
}
