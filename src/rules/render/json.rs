//! JSON bodies: the author's tree with values in its texts.
//!
//! Refuses: changing the tree. A value becomes a string, or with `number` and `json` a value of that type; a member without a
//! value is left out.

use crate::model::secret::Text;
use crate::model::template::{Expression, JsonTemplate, Missing, Output, Segment, Template, There};
use crate::rules::variables::RenderContext;

use super::expression::{evaluate, write};
use super::{BODY_MAX, Refusal};

/// Renders a JSON body. Without a value for the whole it is `null`.
pub fn render(tree: &JsonTemplate, ctx: &RenderContext<'_>) -> Result<Text, Refusal> {
    let mut out = Text::default();
    if !node(tree, ctx, &mut out)? {
        out.push("null");
    }
    Ok(out)
}

/// Appends a value; false, and nothing appended, where there is none.
fn node(tree: &JsonTemplate, ctx: &RenderContext<'_>, out: &mut Text) -> Result<bool, Refusal> {
    if BODY_MAX < out.len() {
        return Err(Refusal::failed(format!("more than {BODY_MAX} bytes")));
    }
    match tree {
        JsonTemplate::Null => out.push("null"),
        JsonTemplate::Bool(b) => out.push(if *b { "true" } else { "false" }),
        JsonTemplate::Number(text) => out.push(text),
        JsonTemplate::Text(template) => return text(template, ctx, out),
        JsonTemplate::List(elements) => {
            out.push("[");
            let mut mark = "";
            for one in elements {
                match one {
                    JsonTemplate::There(There::EachItem, each) => {
                        ctx.each_item().try_for_each(|ctx| element(each, &ctx, out, &mut mark))?;
                    }
                    JsonTemplate::There(There::NoItems, _) if ctx.has_items() => {}
                    JsonTemplate::There(_, other) => element(other, ctx, out, &mut mark)?,
                    other => element(other, ctx, out, &mut mark)?,
                }
            }
            out.push("]");
        }
        // A list takes its own apart; nowhere else does one stand.
        JsonTemplate::There(..) => return Ok(false),
        JsonTemplate::Map(members) => {
            out.push("{");
            let mut mark = "";
            for (name, member) in members {
                let start = out.len();
                out.push(mark);
                out.push("\"");
                out.append(name);
                out.push("\":");
                if node(member, ctx, out).map_err(|e| e.at(|| name.masked().into_owned()))? {
                    mark = ",";
                } else {
                    out.truncate(start);
                }
            }
            out.push("}");
        }
    }
    Ok(true)
}

fn element(
    element: &JsonTemplate,
    ctx: &RenderContext<'_>,
    out: &mut Text,
    mark: &mut &'static str,
) -> Result<(), Refusal> {
    let start = out.len();
    out.push(mark);
    let began = out.len();
    let is_there = node(element, ctx, out)?;
    // Of an object in a list of which no member had a value nothing is left to say.
    let is_bare = matches!(element, JsonTemplate::Map(members) if !members.is_empty()) && out.len() == began + 2;
    if is_there && !is_bare {
        *mark = ",";
    } else {
        out.truncate(start);
    }
    Ok(())
}

fn text(template: &Template, ctx: &RenderContext<'_>, out: &mut Text) -> Result<bool, Refusal> {
    if let [Segment::Expression(expression)] = template.segments.as_slice()
        && expression.output != Output::Text
    {
        return typed(expression, ctx, out);
    }
    let start = out.len();
    out.push("\"");
    let kept = write(template, ctx, out)?;
    if out.len() == start + 1 && !kept && !template.is_literal() {
        out.truncate(start);
        return Ok(false);
    }
    out.push("\"");
    Ok(true)
}

fn typed(expression: &Expression, ctx: &RenderContext<'_>, out: &mut Text) -> Result<bool, Refusal> {
    let given = evaluate(expression, ctx)?;
    match given.value {
        Some(value) if given.secret => out.push_secret(&value),
        Some(value) => out.push(&value),
        None if expression.missing == Missing::Keep => out.push("null"),
        None => return Ok(false),
    }
    Ok(true)
}
