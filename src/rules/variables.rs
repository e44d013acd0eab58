//! The value of a slot, from the facts stored with an event and the delivery at hand.
//!
//! Refuses: later knowledge. Whatever a visitor does after the decision, a delivery says the same, but for the variables
//! that tell of the attempt.

mod datum;
mod fields;
mod paths;

use std::borrow::Cow;

use rust_decimal::Decimal;
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

use crate::model::click::Click;
use crate::model::connector::Connector;
use crate::model::country::{country_code, country_name};
use crate::model::delivery::{Attribution, Delivery};
use crate::model::facts::Facts;
use crate::model::field::Field;
use crate::model::identifier::IdentifierKind;
use crate::model::secret::Text;
use crate::model::template::Slot;
use crate::model::time::Time;
use crate::model::value::Value;
use crate::model::variable::{Group, Variable};

pub use self::datum::Datum;

use self::fields::{amount_field, event_field, visitor_field};
use self::paths::{attribute, event_path, item_total, member, own_attribute, product, walk};
use super::filter::{Surroundings, decimal, minor};
use super::render::{self, Refusal};

/// Everything a template may ask about.
#[derive(Clone, Copy, Debug)]
pub struct RenderContext<'a> {
    pub connector: &'a Connector,
    pub facts: &'a Facts,
    pub delivery: &'a Delivery,
    /// The place of the item at hand, from 0.
    pub item: Option<u32>,
    /// From 1.
    pub attempt: u32,
    /// An earlier attempt may have arrived.
    pub is_repeat: bool,
    /// The time of the attempt.
    pub now: Time,
}

impl RenderContext<'_> {
    /// Whether the event has items.
    pub fn has_items(&self) -> bool {
        !self.facts.event.items.is_empty()
    }

    /// The same for each item of the event, in order.
    pub fn each_item(&self) -> impl Iterator<Item = Self> {
        let count = u32::try_from(self.facts.event.items.len()).unwrap_or(u32::MAX);
        (0..count).map(|item| Self { item: Some(item), ..*self })
    }
}

/// The value of `slot`; `None` where there is none.
pub fn lookup<'a>(slot: &Slot, ctx: &RenderContext<'a>) -> Option<Datum<'a>> {
    match slot {
        // A sender may put what is a standard field among its own attributes; its name means the same there.
        Slot::Variable(variable) => standard(*variable, ctx).or_else(|| match variable.group() {
            Group::Event | Group::Visitor => own_attribute(variable.name(), ctx),
            Group::Click | Group::Connector => None,
        }),
        Slot::Attribute(name) => attribute(name, ctx),
        Slot::EventPath(path) => event_path(path, ctx.facts),
        Slot::Item(path) => walk(member(item(ctx)?, path.first()?)?, &path[1..]),
        Slot::ClickParam(param) => {
            let click = click(ctx)?;
            text(click.query(param).or_else(|| (*click.param == **param).then(|| click.value.to_string()))?)
        }
        Slot::Value(name) => own_value(name, ctx).ok().flatten(),
        Slot::Setting(name) => ctx.connector.setting(name).filter(|value| !value.is_empty()).map(Datum::Setting),
    }
}

impl Surroundings for RenderContext<'_> {
    fn country(&self) -> Option<Cow<'_, str>> {
        country(self.facts).or(self.facts.known.container_country.as_deref()).map(Cow::Borrowed)
    }

    fn currency(&self) -> Option<Cow<'_, str>> {
        self.facts.event.texts.of(Field::Currency).map(Cow::Borrowed)
    }

    fn setting(&self, name: &str) -> Option<&str> {
        self.connector.setting(name).map(Text::reveal)
    }
}

/// A text that the connector puts together, of this item or of each in turn.
///
/// # Errors
/// What its template refuses, the asker is refused too: a text without its required part is no text.
pub fn own_value<'a>(name: &str, ctx: &RenderContext<'a>) -> Result<Option<Datum<'a>>, Refusal> {
    let Some(value) = ctx.connector.values.iter().find(|value| *value.name == *name) else { return Ok(None) };
    let mut out = Text::default();
    match &value.each_item {
        None => out.append(&render::text(&value.template, ctx)?.unwrap_or_default()),
        Some(between) => {
            for (nth, ctx) in ctx.each_item().enumerate() {
                if nth != 0 {
                    out.push(between);
                }
                // One that has no value keeps its place: such lists are read side by side.
                out.append(&render::text(&value.template, &ctx)?.unwrap_or_default());
                if render::BODY_MAX < out.len() {
                    return Err(Refusal::failed(format!("VALUES.{name} has more than {} bytes", render::BODY_MAX)));
                }
            }
        }
    }
    Ok((!out.is_empty()).then_some(Datum::Made(out)))
}

fn text<'a>(value: impl Into<Cow<'a, str>>) -> Option<Datum<'a>> {
    let value = value.into();
    (!value.is_empty()).then_some(Datum::Text(value))
}

fn borrowed(value: Option<&str>) -> Option<Datum<'_>> {
    value.filter(|v| !v.is_empty()).map(|v| Datum::Text(Cow::Borrowed(v)))
}

fn number<'a>(value: impl ToString) -> Option<Datum<'a>> {
    Some(Datum::Number(Cow::Owned(value.to_string())))
}

fn time<'a>(value: Time) -> Option<Datum<'a>> {
    text(value.to_string())
}

/// A value as sent: a number where it is one.
fn amount(value: Option<&str>) -> Option<Datum<'_>> {
    let value = value?;
    let datum = if decimal(value).is_some() { Datum::Number } else { Datum::Text };
    Some(datum(Cow::Borrowed(value)))
}

/// A field of the event itself.
fn of_event(facts: &Facts, field: Field) -> Option<&str> {
    facts.event.texts.of(field)
}

/// A field of the event, else what was known of the visitor.
fn of_visitor(facts: &Facts, field: Field) -> Option<&str> {
    facts.event.texts.of(field).or_else(|| facts.known.texts.of(field))
}

fn country(facts: &Facts) -> Option<&str> {
    let sent = of_visitor(facts, Field::Country)?;
    Some(country_code(sent).unwrap_or(sent))
}

/// The item at hand.
fn item<'a>(ctx: &RenderContext<'a>) -> Option<&'a Value> {
    ctx.facts.event.items.get(usize::try_from(ctx.item?).ok()?)
}

fn click<'a>(ctx: &RenderContext<'a>) -> Option<&'a Click> {
    ctx.facts.clicks.get(attribution(ctx)?.click?)
}

fn attribution<'a>(ctx: &RenderContext<'a>) -> Option<&'a Attribution> {
    ctx.delivery.attribution.as_ref()
}

fn standard<'a>(variable: Variable, ctx: &RenderContext<'a>) -> Option<Datum<'a>> {
    let facts = ctx.facts;
    if let Some(field) = visitor_field(variable) {
        return borrowed(of_visitor(facts, field));
    }
    if let Some(field) = event_field(variable) {
        return borrowed(of_event(facts, field));
    }
    if let Some(field) = amount_field(variable) {
        return amount(of_event(facts, field));
    }
    match variable.group() {
        Group::Event => of_the_event(variable, ctx),
        Group::Click => of_the_click(variable, ctx),
        Group::Visitor => of_the_visitor(variable, facts),
        Group::Connector => of_the_connector(variable, ctx),
    }
}

fn of_the_event<'a>(variable: Variable, ctx: &RenderContext<'a>) -> Option<Datum<'a>> {
    let event = &ctx.facts.event;
    match variable {
        Variable::EventId => borrowed(Some(event.id.as_str())),
        Variable::EventName => {
            let name = event.name.as_deref()?;
            let mapped = ctx.connector.event_names.iter().find(|(from, _)| **from == *name);
            borrowed(Some(mapped.map_or(name, |(_, to)| to)))
        }
        Variable::EventNameRaw => borrowed(event.name.as_deref()),
        Variable::EventTime => time(event.time),
        Variable::EventTimeS => number(event.time.seconds()),
        Variable::EventTimeMs => number(event.time.ms()),
        Variable::EventTimeUs => number(i128::from(event.time.ms()) * 1000),
        Variable::ReceivedTime => time(event.received),
        Variable::EventDomain => match event.texts.of(Field::EventSourceDomain) {
            Some(domain) => borrowed(Some(domain)),
            None => text(Url::parse(event.texts.of(Field::Url)?).ok()?.host_str()?.to_owned()),
        },
        Variable::ValueMinor => {
            let value: Decimal = decimal(event.texts.of(Field::Value)?)?;
            number(minor(value, event.texts.of(Field::Currency))?)
        }
        Variable::Items => (!event.items.is_empty()).then_some(Datum::Items(&event.items)),
        Variable::ItemCount => number(event.items.len()),
        Variable::ItemIndex => number(ctx.item?),
        Variable::ItemNumber => number(u64::from(ctx.item?) + 1),
        Variable::ItemTotal => number(item_total(item(ctx)?)?),
        Variable::ProductId => product(event, "PRODUCT_ID", &["ID", "SKU", "ITEM_ID"]),
        Variable::ProductName => product(event, "PRODUCT_NAME", &["NAME", "TITLE", "ITEM_NAME"]),
        Variable::ProductLink => product(event, "PRODUCT_LINK", &["LINK", "URL", "PRODUCT_URL"]),
        Variable::ProductImage => product(event, "PRODUCT_IMAGE", &["IMAGE", "IMAGE_URL", "IMAGE_LINK"]),
        Variable::ProductPrice => product(event, "PRODUCT_PRICE", &["PRICE"]),
        Variable::IsTest => Some(Datum::Bool(event.is_test)),
        Variable::Container => borrowed(Some(&event.container)),
        _ => None,
    }
}

fn of_the_click<'a>(variable: Variable, ctx: &RenderContext<'a>) -> Option<Datum<'a>> {
    let click = click(ctx);
    match variable {
        Variable::ClickId => borrowed(Some(&click?.value)),
        Variable::ClickParam => borrowed(Some(&click?.param)),
        Variable::ClickSource => click_source(click?, ctx),
        Variable::ClickTime => time(click?.time?),
        Variable::ClickTimeS => number(click?.time?.seconds()),
        Variable::ClickTimeMs => number(click?.time?.ms()),
        Variable::ClickAgeS => number((ctx.facts.event.time.ms() - click?.time?.ms()).div_euclid(1000)),
        Variable::ClickUrl => borrowed(click.filter(|c| c.landing.is_page()).map(|c| &*c.landing.url)),
        Variable::ClickReferrer => borrowed(click?.landing.referrer.as_deref()),
        Variable::ClickIp => borrowed(click?.landing.ip.as_deref()),
        Variable::ClickUserAgent => borrowed(click?.landing.user_agent.as_deref()),
        Variable::ClickCount => number(attribution(ctx)?.click_count),
        Variable::IsAttributed => Some(Datum::Bool(click.is_some())),
        Variable::AttributionModel => borrowed(Some(attribution(ctx)?.model.word())),
        Variable::AttributionWindowS => number(attribution(ctx)?.window.as_secs()),
        Variable::Fbc => fbc(ctx.facts),
        _ => None,
    }
}

/// The click's value of `source_param`; a click that came in a field has it in a field too.
fn click_source<'a>(click: &'a Click, ctx: &RenderContext<'a>) -> Option<Datum<'a>> {
    let param = ctx.connector.click_matching.as_ref()?.source_param.as_deref()?;
    if let Some(source) = click.query(param) {
        return text(source);
    }
    let from_field = click.landing.url.is_empty();
    borrowed(from_field.then(|| Field::from_name(param)).flatten().and_then(|field| of_event(ctx.facts, field)))
}

/// The `fbc` that was sent, or one built from `fbclid` by Meta's rule: `fb.1.<ms of the click>.<fbclid>`.
fn fbc(facts: &Facts) -> Option<Datum<'_>> {
    if let Some(sent) = of_event(facts, Field::Fbc) {
        return borrowed(Some(sent));
    }
    let newer = of_event(facts, Field::Fbclid);
    let known = facts.known.texts.of(Field::Fbc);
    if let Some(known) = known.filter(|fbc| newer.is_none_or(|fbclid| fbc.ends_with(fbclid))) {
        return borrowed(Some(known));
    }
    let fbclid = of_visitor(facts, Field::Fbclid)?;
    let of_click = || {
        let click = facts.clicks.iter().find(|c| c.param.eq_ignore_ascii_case("fbclid") && *c.value == *fbclid)?;
        Some(click.time.unwrap_or(click.seen))
    };
    // A click ID that came in a field without a time was seen with the event at the latest.
    let time = facts.known.fbclid_time.or_else(of_click).or(facts.event.click_time).unwrap_or(facts.event.time);
    text(format!("fb.1.{}.{fbclid}", time.ms()))
}

fn of_the_visitor(variable: Variable, facts: &Facts) -> Option<Datum<'_>> {
    match variable {
        Variable::SessionStart => time(facts.known.session_start?),
        Variable::LandingUrl => borrowed(facts.known.landing_url.as_deref()),
        Variable::ExternalId => {
            let event = of_event(facts, Field::ExternalId).or_else(|| of_event(facts, Field::PriorityExternalId));
            let known = || facts.known.texts.of(Field::ExternalId);
            borrowed(event.or_else(known).or_else(|| facts.known.texts.of(Field::PriorityExternalId)))
        }
        Variable::Country => borrowed(country(facts)),
        Variable::CountryName => borrowed(country_name(country(facts)?)),
        Variable::MatchType => borrowed(facts.matched_by.map(IdentifierKind::word)),
        Variable::ConsentAds => facts.event.consent.ads.or(facts.known.consent.ads).map(Datum::Bool),
        Variable::ConsentAnalytics => facts.event.consent.analytics.or(facts.known.consent.analytics).map(Datum::Bool),
        _ => None,
    }
}

fn of_the_connector<'a>(variable: Variable, ctx: &RenderContext<'a>) -> Option<Datum<'a>> {
    match variable {
        Variable::ConnectorName => borrowed(Some(&ctx.connector.name)),
        Variable::Mode => borrowed(Some(ctx.connector.mode.word())),
        Variable::DeliveryId => text(ctx.delivery.id.to_string()),
        Variable::Attempt => number(ctx.attempt),
        Variable::IsRepeat => Some(Datum::Bool(ctx.is_repeat)),
        Variable::Now => time(ctx.now),
        Variable::NowS => number(ctx.now.seconds()),
        Variable::NowMs => number(ctx.now.ms()),
        Variable::Uuid => {
            let hash = Sha256::digest(ctx.delivery.id.as_bytes());
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&hash[..16]);
            text(
                uuid::Builder::from_random_bytes(bytes)
                    .into_uuid()
                    .hyphenated()
                    .encode_lower(&mut Uuid::encode_buffer())
                    .to_owned(),
            )
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
