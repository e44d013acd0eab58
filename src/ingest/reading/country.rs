//! What a sender calls a country, as ISO 3166-1 alpha-2.
//!
//! Refuses: guessing. A text that names no country is no `COUNTRY`.

use crate::model::country::country_code;

/// What becomes of the field `country`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Country {
    /// The code that `COUNTRY` says.
    Code(Box<str>),
    /// No country that we know: kept as a custom attribute under the name the sender used, so that nothing is lost and
    /// `COUNTRY` still is a code or nothing.
    Unknown,
}

/// Two letters stand as they are, upper-cased, even where ISO has not assigned them (`XK`).
pub(super) fn read(text: &str) -> Country {
    let text = text.trim();
    if let Some(code) = country_code(text) {
        return Country::Code(code.into());
    }
    if text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic()) {
        return Country::Code(text.to_ascii_uppercase().into());
    }
    Country::Unknown
}
