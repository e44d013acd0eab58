//! Filters and comparisons as Handlebars helpers: `{{sha256 (lower EMAIL)}}`, `{{#if (gt VALUE 10)}}`.
//!
//! Refuses: writing anything that is not escaped for the body's context, but for `raw` and `{{{…}}}`.

use std::borrow::Cow;
use std::cell::Cell;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderError, RenderErrorReason,
    ScopedJson,
};
use rust_decimal::Decimal;
use serde_json::Value as Json;

use crate::model::filter::{FILTERS, Filter};
use crate::model::template::BodyContext;
use crate::rules::filter::{self, Surroundings, decimal};
use crate::rules::render::Refusal;

use super::marks::{Kind, Marked, escaped, json, raw, typed};
use super::scan::{BRACE_HELPER, SLOT_HELPER};

/// The helper that writes a plain `{{NAME}}`.
pub const SHOW_HELPER: &str = "__show";
/// Where the data hold what filters ask beside the value; no template can name it.
pub const AROUND: &str = "__around";
/// Where the data hold the values of `<<…>>`, likewise.
pub const SLOTS: &str = "__slots";

/// Helpers that say something of their arguments, beside the filters.
pub const COMPARISONS: &[&str] = &["eq", "ne", "gt", "gte", "lt", "lte"];
/// Handlebars' own helpers that may be used, beside the blocks.
pub const BUILT_IN: &[&str] = &["and", "or", "not", "lookup"];
/// Handlebars' blocks.
pub const BLOCKS: &[&str] = &["if", "unless", "each", "with"];

/// Pieces written and helpers called in one rendering: more than the longest body (1 MB) of the largest event (300 kB)
/// needs. Loops within loops over a long list would otherwise go on for hours without writing a byte.
const STEPS_MAX: u32 = 500_000;

thread_local! {
    /// Steps left. Handlebars gives its helpers nothing of the caller's that can change; a rendering stays on its thread.
    static STEPS_LEFT: Cell<u32> = const { Cell::new(STEPS_MAX) };
}

/// A rendering begins.
pub fn begin() {
    STEPS_LEFT.set(STEPS_MAX);
}

/// One step more; false beyond [`STEPS_MAX`].
pub fn may_go_on() -> bool {
    let left = STEPS_LEFT.get();
    STEPS_LEFT.set(left.saturating_sub(1));
    left != 0
}

fn step() -> Result<(), RenderError> {
    if may_go_on() {
        Ok(())
    } else {
        Err(refused(Refusal::failed(format!("more than {STEPS_MAX} values; loop over less"))))
    }
}

/// A refusal on its way through Handlebars.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.detail)]
pub struct Refused(pub Refusal);

fn refused(refusal: Refusal) -> RenderError {
    RenderErrorReason::NestedError(Box::new(Refused(refusal))).into()
}

/// Registers every helper for one context.
pub fn register(registry: &mut Handlebars<'static>, context: BodyContext) {
    for built_in in ["log", "raw", "len"] {
        registry.unregister_helper(built_in);
    }
    registry.register_escape_fn(move |encoded| escaped(context, &Marked::decode(encoded)));
    for doc in FILTERS {
        registry.register_helper(doc.name, Box::new(FilterHelper { name: doc.name, context }));
    }
    for name in COMPARISONS {
        registry.register_helper(name, Box::new(Comparison { name }));
    }
    registry.register_helper("len", Box::new(Length));
    registry.register_helper(SHOW_HELPER, Box::new(Show { context }));
    registry.register_helper(SLOT_HELPER, Box::new(SlotHelper { context }));
    registry.register_helper(
        BRACE_HELPER,
        Box::new(
            |_: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: &mut dyn Output| {
                out.write("{").map_err(RenderError::from)
            },
        ),
    );
}

fn emit(value: Option<&Marked>, is_raw: bool, context: BodyContext, out: &mut dyn Output) -> HelperResult {
    let value = value.cloned().unwrap_or_default();
    Ok(out.write(&if is_raw { raw(&value) } else { escaped(context, &value) })?)
}

/// A value of its own type in a JSON body, `null` where there is none.
fn emit_typed(value: Option<Marked>, out: &mut dyn Output) -> HelperResult {
    let value = value.unwrap_or_else(|| Marked { text: "null".to_owned(), ..Marked::default() });
    Ok(out.write(&typed(&value))?)
}

/// A plain `{{NAME}}`.
struct Show {
    context: BodyContext,
}

impl HelperDef for Show {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        step()?;
        let value = helper.param(0).and_then(|p| Marked::of(p.value()));
        emit(value.as_ref(), render.is_disable_escape(), self.context, out)
    }
}

/// The nth `<<…>>`, evaluated beforehand. Its own `raw` decides the escaping.
struct SlotHelper {
    context: BodyContext,
}

impl HelperDef for SlotHelper {
    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        step()?;
        let nth = helper.param(0).and_then(|p| p.value().as_u64()).and_then(|n| usize::try_from(n).ok());
        let slot = nth.and_then(|n| ctx.data().get(SLOTS)?.get(n));
        let Some(slot) = slot else { return Ok(()) };
        if let Some(missing) = slot.get("missing").and_then(Json::as_str) {
            return Err(refused(Refusal::missing(missing)));
        }
        if let Some(failed) = slot.get("failed").and_then(Json::as_str) {
            return Err(refused(Refusal::failed(failed)));
        }
        let value = slot.get("value").and_then(Marked::of);
        let says = |what: &str| slot.get(what).and_then(Json::as_bool).unwrap_or(false);
        if says("typed") {
            return emit_typed(value, out);
        }
        emit(value.as_ref(), says("raw"), self.context, out)
    }
}

/// A filter as a helper: the value first, then the filter's arguments.
struct FilterHelper {
    name: &'static str,
    context: BodyContext,
}

/// The arguments of a filter helper: strings and numbers as written. `map` takes its pairs in one string or in several.
pub fn arguments<'a>(name: &str, literals: impl Iterator<Item = &'a Json>) -> Vec<String> {
    let texts = literals.map(|literal| match literal {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    });
    if name == "map" {
        texts.flat_map(|text| text.split(',').map(str::to_owned).collect::<Vec<_>>()).collect()
    } else {
        texts.collect()
    }
}

impl FilterHelper {
    fn run(&self, helper: &Helper<'_>, ctx: &Context) -> Result<Option<Marked>, RenderError> {
        step()?;
        let params = helper.params();
        let given = params.first().map(|p| p.value());
        let literals = arguments(self.name, params.iter().skip(1).map(|p| p.value()));
        let filter = Filter::parse(self.name, &literals).map_err(|e| refused(Refusal::failed(e)))?;
        let value = given.and_then(Marked::of);
        let around = Around(ctx.data().get(AROUND));
        let Some(value) = value else {
            return match &filter {
                Filter::Default(instead) => Ok(Some(Marked { text: instead.to_string(), ..Marked::default() })),
                Filter::Required => {
                    let name = params.first().and_then(|p| p.relative_path().cloned());
                    Err(refused(Refusal::missing(format!(
                        "{} has no value",
                        name.unwrap_or_else(|| "a value".to_owned())
                    ))))
                }
                _ => Ok(None),
            };
        };
        let kind = match &filter {
            Filter::Default(_) | Filter::Required | Filter::Empty | Filter::Raw => value.kind,
            Filter::Number => Kind::Number,
            Filter::Md5 | Filter::Sha1 | Filter::Sha256 | Filter::HmacSha256(_) => Kind::Digest,
            _ => Kind::Text,
        };
        let keyed = matches!(&filter, Filter::HmacSha256(name) if around.is_secret(name));
        let secret = value.secret || keyed;
        let text = match (&filter, value.kind) {
            (Filter::Json, _) => given.map(json),
            (Filter::Base64 | Filter::Hex, Kind::Digest) => filter::encode_digest(&filter, &value.text),
            _ => filter::apply(std::slice::from_ref(&filter), Some(Cow::Borrowed(&*value.text)), &around)
                .map_err(|e| refused(Refusal::failed(e.to_string())))?
                .map(Cow::into_owned),
        };
        Ok(text.map(|text| Marked { text, kind, secret }))
    }
}

impl HelperDef for FilterHelper {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        let made = self.run(helper, ctx)?;
        Ok(ScopedJson::Derived(made.map_or(Json::Null, |value| Json::String(value.encode()))))
    }

    fn call<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        ctx: &'rc Context,
        render: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let mut made = self.run(helper, ctx)?;
        if self.name == "json" && self.context == BodyContext::Json {
            return emit_typed(made, out);
        }
        if self.name == "json" && matches!(self.context, BodyContext::Html | BodyContext::Xml) {
            // So that it can stand in a script, raw.
            if let Some(value) = &mut made {
                value.text = script_safe(&value.text);
            }
        }
        emit(made.as_ref(), render.is_disable_escape() || self.name == "raw", self.context, out)
    }
}

/// JSON that ends no `<script>` and starts no comment.
pub fn script_safe(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            other => out.push(other),
        }
    }
    out
}

/// What filters ask, out of the data.
struct Around<'a>(Option<&'a Json>);

impl Around<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0?.get(name)?.as_str()
    }

    fn is_secret(&self, setting: &str) -> bool {
        self.0.and_then(|a| a.get("settings")?.get(setting)?.get("secret")?.as_bool()).unwrap_or(false)
    }
}

impl Surroundings for Around<'_> {
    fn country(&self) -> Option<Cow<'_, str>> {
        self.text("country").map(Cow::Borrowed)
    }

    fn currency(&self) -> Option<Cow<'_, str>> {
        self.text("currency").map(Cow::Borrowed)
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.0?.get("settings")?.get(name)?.get("value")?.as_str()
    }
}

/// `eq` and `ne` compare amounts as decimals and all else as text; the others compare amounts only.
struct Comparison {
    name: &'static str,
}

impl HelperDef for Comparison {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        step()?;
        let text =
            |nth: usize| helper.param(nth).and_then(|p| Marked::of(p.value())).map(|m| m.text).unwrap_or_default();
        let (left, right) = (text(0), text(1));
        let amounts = decimal(&left).zip(decimal(&right));
        let equal = left == right || amounts.is_some_and(|(l, r)| l == r);
        let compared = |test: fn(&Decimal, &Decimal) -> bool| amounts.is_some_and(|(l, r)| test(&l, &r));
        let holds = match self.name {
            "eq" => equal,
            "ne" => !equal,
            "gt" => compared(Decimal::gt),
            "gte" => compared(Decimal::ge),
            "lt" => compared(Decimal::lt),
            _ => compared(Decimal::le),
        };
        Ok(ScopedJson::Derived(Json::Bool(holds)))
    }
}

/// How many elements a list has, members an object, characters a text.
struct Length;

impl HelperDef for Length {
    fn call_inner<'reg: 'rc, 'rc>(
        &self,
        helper: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
    ) -> Result<ScopedJson<'rc>, RenderError> {
        step()?;
        let length = match helper.param(0).map(|p| p.value()) {
            Some(Json::Array(elements)) => elements.len(),
            Some(Json::Object(members)) => members.len(),
            Some(other) => Marked::of(other).map_or(0, |m| m.text.chars().count()),
            None => 0,
        };
        Ok(ScopedJson::Derived(Json::from(length)))
    }
}
