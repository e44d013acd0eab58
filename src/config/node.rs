//! A YAML document as a tree that remembers where everything stands and how it was written.
//!
//! Refuses: meaning. `fields` asks what a node should be; `yaml` builds the tree.

use crate::model::value::Value;

use super::problem::Position;

/// One value and where it starts.
#[derive(Clone, Debug)]
pub struct Node {
    pub at: Position,
    pub tree: Tree,
}

#[derive(Clone, Debug)]
pub enum Tree {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Member>),
    /// What stood here was wrong and has been reported: readers pass over it in silence.
    Reported,
}

#[derive(Clone, Debug)]
pub struct Member {
    pub key: Box<str>,
    pub key_at: Position,
    pub value: Node,
}

impl Member {
    /// The key as a node of its own, for what is allowed in any scalar.
    pub fn key_node(&self) -> Node {
        let scalar = Scalar { text: self.key.clone(), plain: false, layout: Layout::Unknown };
        Node { at: self.key_at, tree: Tree::Scalar(scalar) }
    }
}

/// A scalar's source text, unescaped where it was quoted.
#[derive(Clone, Debug)]
pub struct Scalar {
    pub text: Box<str>,
    /// Not quoted and no block: `null`, `true` and `1.50` mean more than their text.
    pub plain: bool,
    pub layout: Layout,
}

/// How a place in a scalar's text is found in the file.
#[derive(Clone, Copy, Debug)]
pub enum Layout {
    /// On one line, the text as it stands there, this many characters after the scalar's start.
    Straight(usize),
    /// A literal block: this line is its first, each indented by this many characters.
    Lines { first: usize, indent: usize },
    /// Escaped or folded: places inside cannot be told from the text.
    Unknown,
}

impl Node {
    /// This with what only `under` says; mappings are laid over each other, everything else is replaced.
    pub fn laid_over(&self, under: &Self) -> Self {
        let (Tree::Map(own), Tree::Map(below)) = (&self.tree, &under.tree) else { return self.clone() };
        // In the order of what lies below, so that parameters stand where the network's own page has them.
        let mut members: Vec<Member> = below
            .iter()
            .map(|member| match own.iter().find(|own| own.key == member.key) {
                Some(own) => Member { value: own.value.laid_over(&member.value), ..own.clone() },
                None => member.clone(),
            })
            .collect();
        members.extend(own.iter().filter(|own| below.iter().all(|member| member.key != own.key)).cloned());
        Self { at: self.at, tree: Tree::Map(members) }
    }

    /// Where the byte `offset` of this scalar's text stands; the node's start where that cannot be told.
    pub fn position_of(&self, offset: usize) -> Position {
        let Tree::Scalar(Scalar { text, layout, .. }) = &self.tree else { return self.at };
        let before = text.get(..offset).unwrap_or(text);
        match layout {
            Layout::Straight(lead) => {
                Position { line: self.at.line, column: self.at.column + lead + before.chars().count() }
            }
            Layout::Lines { first, indent } => {
                let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
                let line = first + before.matches('\n').count();
                Position { line, column: indent + before[line_start..].chars().count() + 1 }
            }
            Layout::Unknown => self.at,
        }
    }

    /// The scalar, if this is one.
    pub fn scalar(&self) -> Option<&Scalar> {
        match &self.tree {
            Tree::Scalar(scalar) => Some(scalar),
            Tree::List(_) | Tree::Map(_) | Tree::Reported => None,
        }
    }

    /// Whether this is `null`, `~` or nothing at all.
    pub fn is_null(&self) -> bool {
        self.scalar().is_some_and(|s| matches!(s.meaning(), Meaning::Null))
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.tree {
            Tree::Scalar(_) => "a single value",
            Tree::List(_) => "a list",
            Tree::Map(_) => "a mapping",
            Tree::Reported => "a mistake",
        }
    }

    /// The text that the revision of a connector is computed from: structure, order and types, without the file's
    /// layout. `skip` names a key of the outermost map to leave out.
    pub fn canonical(&self, skip: &str) -> String {
        let value = match &self.tree {
            Tree::Map(members) => Value::Map(
                members
                    .iter()
                    .filter(|m| &*m.key != skip)
                    .map(|m| (m.key.as_ref().into(), m.value.as_written()))
                    .collect(),
            ),
            Tree::Scalar(_) | Tree::List(_) | Tree::Reported => self.as_written(),
        };
        crate::json::to_string(&value)
    }

    fn as_written(&self) -> Value {
        match &self.tree {
            Tree::Scalar(scalar) => match scalar.meaning() {
                Meaning::Null => Value::Null,
                Meaning::Bool(b) => Value::Bool(b),
                Meaning::Number(text) => Value::Number(text.into()),
                Meaning::Text(text) | Meaning::Ambiguous(text) => Value::Text(text.into()),
            },
            Tree::List(elements) => Value::List(elements.iter().map(Node::as_written).collect()),
            Tree::Map(members) => {
                Value::Map(members.iter().map(|m| (m.key.as_ref().into(), m.value.as_written())).collect())
            }
            Tree::Reported => Value::Null,
        }
    }
}

/// What a scalar is by the YAML 1.2 core schema, where a number must also be one by JSON's grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(&'a str),
    /// A number to YAML but not to JSON, such as `007`, `+1`, `0x1f`, `.5`.
    Ambiguous(&'a str),
}

impl Scalar {
    /// What the scalar is. `NO`, `yes` and `on` are text.
    pub fn meaning(&self) -> Meaning<'_> {
        let text = &*self.text;
        if !self.plain {
            return Meaning::Text(text);
        }
        match text {
            "" | "~" | "null" | "Null" | "NULL" => Meaning::Null,
            "true" | "True" | "TRUE" => Meaning::Bool(true),
            "false" | "False" | "FALSE" => Meaning::Bool(false),
            _ if is_json_number(text) => Meaning::Number(text),
            _ if is_yaml_number(text) => Meaning::Ambiguous(text),
            _ => Meaning::Text(text),
        }
    }
}

/// Whether `text` is a number by the JSON grammar (RFC 8259 section 6).
fn is_json_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    is_digits(whole)
        && (whole.len() == 1 || !whole.starts_with('0'))
        && fraction.is_none_or(is_digits)
        && exponent.is_none_or(|e| is_digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

/// Whether YAML 1.2 reads `text` as a number (section 10.3.2).
fn is_yaml_number(text: &str) -> bool {
    let of = |prefix: &str, digit: fn(&char) -> bool| {
        text.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| digit(&c)))
    };
    if of("0o", |c| ('0'..='7').contains(c)) || of("0x", char::is_ascii_hexdigit) {
        return true;
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let digits = mantissa.replacen('.', "", 1);
    let infinite = matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN");
    infinite || is_digits(&digits) && exponent.is_none_or(|e| is_digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_mean_what_yaml_1_2_says() {
        for (text, expect) in [
            ("", Meaning::Null),
            ("~", Meaning::Null),
            ("TRUE", Meaning::Bool(true)),
            ("false", Meaning::Bool(false)),
            ("NO", Meaning::Text("NO")),
            ("yes", Meaning::Text("yes")),
            ("on", Meaning::Text("on")),
            ("99.00", Meaning::Number("99.00")),
            ("-1e3", Meaning::Number("-1e3")),
            ("0", Meaning::Number("0")),
            ("007", Meaning::Ambiguous("007")),
            ("+1", Meaning::Ambiguous("+1")),
            (".5", Meaning::Ambiguous(".5")),
            ("5.", Meaning::Ambiguous("5.")),
            ("0x1F", Meaning::Ambiguous("0x1F")),
            (".inf", Meaning::Ambiguous(".inf")),
            ("14d", Meaning::Text("14d")),
            ("1.2.3", Meaning::Text("1.2.3")),
            (".", Meaning::Text(".")),
            ("-", Meaning::Text("-")),
            ("e5", Meaning::Text("e5")),
        ] {
            let scalar = Scalar { text: text.into(), plain: true, layout: Layout::Unknown };
            assert_eq!(scalar.meaning(), expect, "{text}");
        }
    }
}
