//! Filters, applied: one value in, one value out, money as decimals.
//!
//! A filter that can't read its value (a date that is none, a phone number that cannot be dialled, an amount that is no
//! number) gives no value, so that `default`, `required` and leaving out apply as to any missing value.
//!
//! Refuses: growing a value without end, and saying what a value was.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, enums::Region};
use rust_decimal::{Decimal, RoundingStrategy};
use sha2::{Digest, Sha256};

use crate::model::filter::{EmailRule, Filter, format_date};
use crate::model::template::Place;
use crate::model::time::Time;

use super::escape::escaped;

/// The longest value a filter may make (SPEC section 13); one that came in longer (a list) may stay so, up to
/// [`LONG_MAX`].
pub const VALUE_MAX: usize = 8 * 1024;

/// The most that a list or an object may be once written out: that of a whole body.
pub const LONG_MAX: usize = 1024 * 1024;

/// What some filters ask beside the value.
pub trait Surroundings {
    /// ISO alpha-2 code of the person's country, for national phone numbers.
    fn country(&self) -> Option<Cow<'_, str>>;
    /// ISO 4217 code of the event's currency.
    fn currency(&self) -> Option<Cow<'_, str>>;
    /// The setting of this name, for keyed hashes.
    fn setting(&self, name: &str) -> Option<&str>;
}

/// Why filters gave up. Never tells the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterFailed {
    #[error("`{0}` makes it longer than is allowed")]
    TooLong(&'static str),
    #[error("the setting `{0}` that keys `hmac_sha256` does not exist")]
    NoSetting(Box<str>),
}

/// `value` after `filters`; `None`: no value.
///
/// # Errors
/// A limit, or a setting that is not there.
pub fn apply<'a>(
    filters: &'a [Filter],
    value: Option<Cow<'a, str>>,
    around: &dyn Surroundings,
) -> Result<Option<Cow<'a, str>>, FilterFailed> {
    let mut digest: Option<Vec<u8>> = None;
    let mut value = value.filter(|v| !v.is_empty());
    let limit = if value.as_ref().is_none_or(|v| v.len() <= VALUE_MAX) { VALUE_MAX } else { LONG_MAX };
    for filter in filters {
        value = match (value, filter) {
            (None, Filter::Default(instead)) => Some(Cow::Borrowed(&**instead)),
            (None, _) => None,
            (Some(value), filter) => one(filter, value, &mut digest, around)?,
        };
        if value.as_ref().is_some_and(|v| limit < v.len()) {
            return Err(FilterFailed::TooLong(filter.name()));
        }
        value = value.filter(|v| !v.is_empty());
    }
    Ok(value)
}

/// One filter on a value that is not empty. `digest` holds the bytes of the hash that the value writes in hex.
fn one<'a>(
    filter: &'a Filter,
    value: Cow<'a, str>,
    digest: &mut Option<Vec<u8>>,
    around: &dyn Surroundings,
) -> Result<Option<Cow<'a, str>>, FilterFailed> {
    let hash = digest.take();
    let made = match filter {
        Filter::Md5 | Filter::Sha1 | Filter::Sha256 | Filter::HmacSha256(_) => {
            let bytes = hashed(filter, &value, around)?;
            let text = match bytes {
                Some(bytes) => {
                    let text = hex::encode(&bytes);
                    *digest = Some(bytes);
                    Cow::Owned(text)
                }
                None => {
                    *digest = hex::decode(&*value).ok();
                    value
                }
            };
            return Ok(Some(text));
        }
        Filter::Base64 => Some(STANDARD.encode(hash.as_deref().unwrap_or(value.as_bytes()))),
        Filter::Hex => Some(hex::encode(hash.as_deref().unwrap_or(value.as_bytes()))),
        Filter::Default(_) | Filter::Required | Filter::Empty | Filter::Raw | Filter::Json | Filter::String => {
            *digest = hash;
            return Ok(Some(value));
        }
        Filter::Trim => return Ok(Some(trimmed(value))),
        Filter::Replace { from, to } => {
            let found = value.matches(&**from).count();
            if LONG_MAX < value.len() + found * to.len() {
                return Err(FilterFailed::TooLong("replace"));
            }
            Some(value.replace(&**from, to))
        }
        Filter::Map { pairs, otherwise } => {
            let found = pairs.iter().find(|(from, _)| **from == *value).map(|(_, to)| to).or(otherwise.as_ref());
            return Ok(Some(found.map_or(value, |to| Cow::Borrowed(&**to))));
        }
        Filter::Lower => Some(value.to_lowercase()),
        Filter::Upper => Some(value.to_uppercase()),
        Filter::NoSpace => Some(value.chars().filter(|c| !c.is_whitespace()).collect()),
        Filter::Digits => Some(value.chars().filter(char::is_ascii_digit).collect()),
        Filter::Truncate(keep) => Some(value.chars().take(*keep).collect()),
        Filter::EmailNorm(rule) => Some(normal_email(&value, *rule)),
        Filter::E164 => phone(&value, around),
        Filter::E164Digits => phone(&value, around).map(|number| number.trim_start_matches('+').to_owned()),
        Filter::UrlEncode => escaped(Place::Query, &value).ok(),
        Filter::Html => escaped(Place::Html, &value).ok(),
        Filter::Js => escaped(Place::Js, &value).ok(),
        Filter::Date(format) => Time::parse(&value).and_then(|time| format_date(format, time).ok()),
        Filter::Iso => Time::parse(&value).map(|time| time.to_string()),
        Filter::Unix => Time::parse(&value).map(|time| time.seconds().to_string()),
        Filter::UnixMs => Time::parse(&value).map(|time| time.ms().to_string()),
        Filter::Fixed(digits) => decimal(&value).map(|d| fixed(d, *digits)),
        Filter::Int => decimal(&value).map(|d| d.trunc().normalize().to_string()),
        Filter::Minor => decimal(&value).and_then(|d| minor(d, around.currency().as_deref())),
        Filter::Mul(factor) => decimal(&value).and_then(|d| d.checked_mul(*factor)).map(|d| d.to_string()),
        Filter::Number => number(&value),
    };
    Ok(made.map(Cow::Owned))
}

fn trimmed(value: Cow<'_, str>) -> Cow<'_, str> {
    match value {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// The hash's bytes; `None` where the value is such a hash already.
fn hashed(filter: &Filter, value: &str, around: &dyn Surroundings) -> Result<Option<Vec<u8>>, FilterFailed> {
    let is_hex = |length: usize| value.len() == length && value.bytes().all(|b| b.is_ascii_hexdigit());
    Ok(match filter {
        Filter::Md5 => (!is_hex(32)).then(|| md5::Md5::digest(value).to_vec()),
        Filter::Sha1 => (!is_hex(40)).then(|| sha1::Sha1::digest(value).to_vec()),
        Filter::HmacSha256(name) => {
            let key = around.setting(name).ok_or_else(|| FilterFailed::NoSetting(name.clone()))?;
            let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
            mac.update(value.as_bytes());
            Some(mac.finalize().into_bytes().to_vec())
        }
        _ => (!is_hex(64)).then(|| Sha256::digest(value).to_vec()),
    })
}

fn normal_email(value: &str, rule: EmailRule) -> String {
    let plain = value.trim().to_lowercase();
    let Some((local, domain)) = plain.rsplit_once('@') else { return plain };
    match rule {
        EmailRule::Plain => plain,
        EmailRule::Gmail if matches!(domain, "gmail.com" | "googlemail.com") => {
            format!("{}@{domain}", local.replace('.', ""))
        }
        EmailRule::Gmail => plain,
        EmailRule::All => {
            let local = local.split_once('+').map_or(local, |(before, _)| before);
            format!("{}@{domain}", local.replace('.', ""))
        }
    }
}

/// The longest text that can be a phone number, as libphonenumber sees it.
const PHONE_MAX: usize = 250;

/// The number in E.164; `None` where it cannot be one.
fn phone(value: &str, around: &dyn Surroundings) -> Option<String> {
    if PHONE_MAX < value.len() {
        return None;
    }
    let region = around.country().and_then(|code| code.parse::<Region>().ok());
    let number = PHONE_NUMBER_UTIL.parse(value.trim(), region).ok()?;
    number.is_possible_with_reason().ok()?;
    Some(number.format_as(PhoneNumberFormat::E164).into_owned())
}

/// The decimal that `text` writes, with or without an exponent.
pub fn decimal(text: &str) -> Option<Decimal> {
    let text = text.trim();
    text.parse().ok().or_else(|| Decimal::from_scientific(text).ok())
}

fn fixed(value: Decimal, digits: u32) -> String {
    let rounded = value.round_dp_with_strategy(digits, RoundingStrategy::MidpointAwayFromZero);
    format!("{rounded:.*}", digits as usize)
}

/// `value` in the smallest unit of `currency`, without a fraction.
pub fn minor(value: Decimal, currency: Option<&str>) -> Option<String> {
    let factor = Decimal::from(10_u32.pow(minor_digits(currency)));
    let scaled = value.checked_mul(factor)?;
    Some(scaled.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero).normalize().to_string())
}

/// Digits after the point in a currency's amounts: the minor units of ISO 4217, 2 where it is not listed.
fn minor_digits(currency: Option<&str>) -> u32 {
    match currency.unwrap_or_default().to_ascii_uppercase().as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI" | "VND"
        | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// The bytes of a hash written in hex, as `base64` or `hex` writes them.
pub fn encode_digest(filter: &Filter, digest: &str) -> Option<String> {
    let bytes = hex::decode(digest).ok()?;
    Some(if *filter == Filter::Base64 { STANDARD.encode(bytes) } else { hex::encode(bytes) })
}

/// `text` as a number by the JSON grammar, kept as written where it is one.
pub fn number(text: &str) -> Option<String> {
    let trimmed = text.trim();
    let starts = trimmed.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    if starts && serde_json::from_str::<&serde_json::value::RawValue>(trimmed).is_ok() {
        return Some(trimmed.to_owned());
    }
    decimal(trimmed).map(|d| d.to_string())
}

#[cfg(test)]
mod tests;
