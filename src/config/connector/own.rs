//! `values`: texts that a connector puts together once, to be asked for by name.
//!
//! Refuses: a value that asks for another. What is not nested can't go round in circles.

use crate::config::fields::Fields;
use crate::config::keys::connector::VALUE;
use crate::config::node::Tree;
use crate::config::templates::Templates;
use crate::model::connector::OwnValue;
use crate::model::template::Place;

/// Reads the mapping; `templates` knows of no values.
pub fn read(f: &Fields<'_>, templates: &Templates<'_>) -> Vec<OwnValue> {
    let mut values = Vec::new();
    for member in f.members("values").unwrap_or_default() {
        let name = member.key.clone();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            f.ctx.error(member.key_at, format!("values: `{name}` is no name: use letters, digits and _"));
        }
        let value = match &member.value.tree {
            Tree::Map(_) => Fields::open(f.ctx, "a value", &member.value, &VALUE).and_then(|f| {
                let join = f.text("join").map(|join| join.text.reveal().into());
                let node = f.given("each_item")?;
                let template = templates.with_item().compile("each_item", node, Place::PlainText)?;
                Some(OwnValue { name, template, each_item: join })
            }),
            _ => templates.compile(&member.key, &member.value, Place::PlainText).map(|template| OwnValue {
                name,
                template,
                each_item: None,
            }),
        };
        values.extend(value);
    }
    values
}
