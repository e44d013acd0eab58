//! A connector's request for one event: URL, headers, body, with every value escaped for its place.
//!
//! Refuses: sending what is not whole. A required value that is missing, a value its place cannot bear, a limit, or an origin
//! that is not the connector's own ends in a [`Refusal`].

mod entries;
mod expression;
mod json;

use crate::model::connector::{Body, PostbackSpec};
use crate::model::delivery::{Reason, Sending};
use crate::model::postback::Postback;
use crate::model::secret::Text;
use crate::model::template::{BodyContext, Place, Template, UrlTemplate};

use super::body_file;
use super::escape::is_dot_segment;
use super::variables::RenderContext;

pub use self::entries::bearer;
pub use self::expression::{Given, evaluate};

/// The longest rendered URL in bytes (SPEC section 13).
pub const URL_MAX: usize = 16 * 1024;
/// The longest rendered body in bytes (SPEC section 13).
pub const BODY_MAX: usize = 1024 * 1024;
/// The longest rendered header value in bytes: that of any value (SPEC section 13).
pub const HEADER_MAX: usize = 8 * 1024;

/// Why there is no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// [`Reason::MissingVariable`] or [`Reason::RenderFailed`].
    pub reason: Reason,
    /// The variable and the place; never the value.
    pub detail: String,
}

impl Refusal {
    pub(super) fn missing(detail: impl Into<String>) -> Self {
        Self { reason: Reason::MissingVariable, detail: detail.into() }
    }

    pub(super) fn failed(detail: impl Into<String>) -> Self {
        Self { reason: Reason::RenderFailed, detail: detail.into() }
    }

    /// The same, saying where.
    pub(super) fn at(mut self, place: impl FnOnce() -> String) -> Self {
        self.detail = format!("{}: {}", place(), self.detail);
        self
    }
}

/// Renders one attempt's request.
///
/// # Errors
/// A required value is missing, or something cannot be rendered.
pub fn render(spec: &PostbackSpec, ctx: &RenderContext<'_>) -> Result<Postback, Refusal> {
    let spec = match (&spec.test, ctx.delivery.sending) {
        (Some(test), Sending::Forced) => test,
        _ => spec,
    };
    let url = url(spec, ctx)?;
    let (body, content_type) = body(&spec.body, ctx)?;
    let headers = entries::headers(spec, content_type, ctx)?;
    Ok(Postback { method: spec.method, url, headers, body })
}

/// Renders one text for its place; `None` where it is empty and may be left out.
///
/// # Errors
/// As [`render`].
pub fn text(template: &Template, ctx: &RenderContext<'_>) -> Result<Option<Text>, Refusal> {
    let mut out = Text::default();
    let kept = expression::write(template, ctx, &mut out)?;
    Ok((kept || !out.is_empty()).then_some(out))
}

/// Room for most URLs, so that they are built in one piece.
const URL_USUAL: usize = 256;

fn url(spec: &PostbackSpec, ctx: &RenderContext<'_>) -> Result<Text, Refusal> {
    let mut out = Text::with_capacity(URL_USUAL);
    out.append(&spec.url.origin);
    path(&spec.url, ctx, &mut out)?;
    let mut mark = "?";
    for (name, value) in &spec.url.query {
        out.push(mark);
        mark = "&";
        expression::write(name, ctx, &mut out).map_err(|e| e.at(|| "in the URL's query".to_owned()))?;
        if let Some(value) = value {
            out.push("=");
            expression::write(value, ctx, &mut out).map_err(|e| e.at(|| "in the URL's query".to_owned()))?;
        }
    }
    entries::write(&spec.query, Place::Query, mark, ctx, &mut out).map_err(|e| e.at(|| "query".to_owned()))?;
    if URL_MAX < out.len() {
        return Err(Refusal::failed(format!("the URL has {} bytes; at most {URL_MAX} are allowed", out.len())));
    }
    check_origin(&spec.url, &out)?;
    Ok(out)
}

fn path(url: &UrlTemplate, ctx: &RenderContext<'_>, out: &mut Text) -> Result<(), Refusal> {
    for segment in &url.path {
        out.push("/");
        let start = out.len();
        let kept = expression::write(segment, ctx, out).map_err(|e| e.at(|| "in the URL's path".to_owned()))?;
        let rendered = &out.reveal()[start..];
        if rendered.is_empty() && !kept && !segment.is_literal() {
            let names = expression::names(segment);
            return Err(Refusal::missing(format!("in the URL's path: {names} has no value")));
        }
        if is_dot_segment(rendered) {
            let names = expression::names(segment);
            return Err(Refusal::failed(format!("in the URL's path: {names} would make a segment `.` or `..`")));
        }
    }
    Ok(())
}

/// Whatever was rendered, the request goes where the connector's author said. Escaping sees to it; this makes sure: an
/// authority ends at the first of `/`, `?` and `#` (RFC 3986, section 3.2), and nothing after it can change it.
fn check_origin(template: &UrlTemplate, rendered: &Text) -> Result<(), Refusal> {
    let after = rendered.reveal().strip_prefix(template.origin.reveal());
    if after.is_some_and(|after| after.is_empty() || after.starts_with(['/', '?', '#'])) {
        return Ok(());
    }
    Err(Refusal::failed("the URL would leave the connector's own origin"))
}

fn body(body: &Body, ctx: &RenderContext<'_>) -> Result<(Option<Text>, Option<&'static str>), Refusal> {
    let in_body = |e: Refusal| e.at(|| "in the body".to_owned());
    let (text, content_type) = match body {
        Body::None => return Ok((None, None)),
        Body::Form(form) => {
            let mut out = Text::default();
            entries::write(form, Place::Form, "", ctx, &mut out).map_err(|e| e.at(|| "form".to_owned()))?;
            (out, "application/x-www-form-urlencoded")
        }
        Body::Json(tree) => (json::render(tree, ctx).map_err(in_body)?, "application/json"),
        Body::Text(template) => {
            let mut out = Text::default();
            expression::write(template, ctx, &mut out).map_err(in_body)?;
            (out, "text/plain; charset=utf-8")
        }
        Body::File(file) => (body_file::render(file, ctx)?, content_type(file.context)),
    };
    if BODY_MAX < text.len() {
        return Err(Refusal::failed(format!("the body has {} bytes; at most {BODY_MAX} are allowed", text.len())));
    }
    Ok((Some(text), Some(content_type)))
}

fn content_type(context: BodyContext) -> &'static str {
    match context {
        BodyContext::Json => "application/json",
        BodyContext::Form => "application/x-www-form-urlencoded",
        BodyContext::Xml => "application/xml; charset=utf-8",
        BodyContext::Html => "text/html; charset=utf-8",
        BodyContext::Text => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
pub(super) mod properties;
#[cfg(test)]
mod tests;
