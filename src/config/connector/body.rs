//! What a POST carries: `params`, or one of `body.form`, `json`, `text`, `file`.
//!
//! Refuses: body files outside the templates folder.

use std::path::{Component, Path};
use std::sync::Arc;

use super::World;
use super::request::entries;
use crate::config::context::Context;
use crate::config::fields::Fields;
use crate::config::files::ReadError;
use crate::config::problem::Position;
use crate::config::templates::Templates;
use crate::model::connector::Body;
use crate::model::template::{BodyFile, Entry, Place};
use crate::rules::body_file;

/// Bytes of a body file's source: a request of this size would be refused anyway.
const FILE_SIZE_MAX: usize = 256 * 1024;
const KINDS: &[&str] = &["form", "json", "text", "file"];

/// A body, and the text of its file where it has one.
pub struct BodyRead {
    pub body: Body,
    pub file_source: Option<String>,
}

impl Default for BodyRead {
    fn default() -> Self {
        Self { body: Body::None, file_source: None }
    }
}

/// Reads the body of the POST that `postback` describes.
pub fn read(
    postback: &Fields<'_>,
    templates: &Templates<'_>,
    params: Option<Vec<Entry>>,
    world: &World<'_>,
) -> BodyRead {
    let plain = |body| BodyRead { body, file_source: None };
    let Some(f) = postback.object("body") else {
        return params.map_or_else(BodyRead::default, |entries| plain(Body::Form(entries)));
    };
    if params.is_some() {
        let message = "`params` and `body` do not go together: move the params into `body.form`, or into `query`";
        f.ctx.error(postback.position("params"), message);
    }
    let given = f.which(KINDS);
    if given.len() != 1 {
        let found = if given.is_empty() { "none".to_owned() } else { given.join(" and ") };
        f.ctx.error(f.at, format!("`body` takes exactly one of form, json, text and file, not {found}"));
    }
    let form = f.given("form").map(|_| plain(Body::Form(entries(&f, templates, "form", Place::Form))));
    let json = f.given("json").and_then(|node| templates.json(node)).map(|json| plain(Body::Json(json)));
    let text = f.given("text").and_then(|node| templates.compile("text", node, Place::PlainText));
    let file = f.word("file").and_then(|name| file(&f, templates, &name, world));
    form.or(json).or(text.map(|text| plain(Body::Text(text)))).or(file).unwrap_or_default()
}

fn file(f: &Fields<'_>, templates: &Templates<'_>, name: &str, world: &World<'_>) -> Option<BodyRead> {
    let at = f.given("file").map_or(f.at, |node| node.at);
    let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
    if !inside {
        let message =
            format!("file: `{name}` leaves the templates folder: write a path inside it, like order.json.hbs");
        f.ctx.error(at, message);
        return None;
    }
    let extensions = || body_file::EXTENSIONS.iter().map(|(extension, _)| *extension);
    if !extensions().any(|extension| name.ends_with(extension)) {
        let known = extensions().collect::<Vec<_>>().join(", ");
        f.ctx.error(at, format!("file: `{name}` does not say what it holds: name it with one of {known}"));
        return None;
    }
    let path = world.templates.join(name);
    let shown = path.display();
    let bytes = match world.files.read(&path, FILE_SIZE_MAX) {
        Ok(bytes) => bytes,
        Err(error) => {
            let why = match error {
                ReadError::Missing => format!("there is no {shown}: `templates` says where body files lie"),
                ReadError::TooLarge => format!("{shown} is larger than {FILE_SIZE_MAX} bytes"),
                ReadError::Other(why) => format!("{shown} cannot be read: {why}"),
            };
            f.ctx.error(at, format!("file: `{name}`: {why}"));
            return None;
        }
    };
    let Ok(source) = String::from_utf8(bytes) else {
        f.ctx.error(at, format!("file: `{name}`: {shown} is not UTF-8 text"));
        return None;
    };
    let body = compile(f, templates, name, &source, &shown.to_string())?;
    Some(BodyRead { body: Body::File(Arc::new(body)), file_source: Some(source) })
}

/// Mistakes are noted in the body file itself.
fn compile(f: &Fields<'_>, templates: &Templates<'_>, name: &str, source: &str, shown: &str) -> Option<BodyFile> {
    let problems = f.ctx.problems;
    let ctx = Context::new(problems, problems.rank(shown), f.ctx.environment);
    let position = |offset: usize| {
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    };
    templates.settle(&ctx, "body file", body_file::compile(name, source), &position)
}
