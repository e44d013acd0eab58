//! Whom an event belongs to: its identifiers, strongest first, and the visitor they point at (SPEC section 3).
//!
//! Refuses: looking identifiers up. The store says which visitor each one is attached to; here it is judged what follows.

use std::str::FromStr;

use rlibphonenumber::enums::Region;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat};

use crate::model::click::Click;
use crate::model::event::Event;
use crate::model::field::Field;
use crate::model::identifier::{Identifier, IdentifierKind};
use crate::model::ids::VisitorId;

pub mod person;
pub mod sharing;
#[cfg(test)]
mod tests;

/// Spellings of one event's e-mail address or phone number that are used, each counted for itself: every one costs a
/// look-up and an index entry, and no sender has more for one person.
pub const VARIANTS_MAX: usize = 16;

/// Digits below which a number is no phone number: extensions, years and house numbers would join strangers.
const PHONE_DIGITS_MIN: usize = 7;

/// All identifiers of an event, normalised, strongest first, each once. `national` is the ISO country of phone numbers
/// written without a country code, `clicks` those captured from this event; `is_unique_click` says of a parameter that
/// is no standard click ID whether its values are unique. What matches `ignore` (`*` stands for any text, case is
/// ignored) is left out.
pub fn identifiers(
    event: &Event,
    national: Option<&str>,
    is_unique_click: &dyn Fn(&str) -> bool,
    ignore: &[Box<str>],
    clicks: &[Click],
) -> Vec<Identifier> {
    use IdentifierKind::{Email, Phone};
    let mut found = Found { list: Vec::new(), ignore };
    found.text(event, IdentifierKind::SessionId, Field::SessionId);
    found.text(event, IdentifierKind::PriorityExternalId, Field::PriorityExternalId);
    found.text(event, IdentifierKind::ExternalId, Field::ExternalId);
    for typed in event.texts.of(Field::Email).into_iter().chain(variants(&event.email_variants)) {
        found.add(Email, typed, email(typed));
    }
    for typed in event.texts.of(Field::PhoneNumber).into_iter().chain(variants(&event.phone_variants)) {
        found.add(Phone, typed, phone(typed, national));
    }
    found.text(event, IdentifierKind::ClientId, Field::ClientId);
    for click in clicks {
        let standard = Field::from_click_param(&click.param).and_then(Field::click_param);
        if let Some(param) = standard.or_else(|| is_unique_click(&click.param).then_some(&*click.param)) {
            found.add(IdentifierKind::Click, &click.value, Some(format!("{param}={}", click.value)));
        }
    }
    found.list
}

/// Whether an event says nothing at all of who it comes from, not even what is ignored or can't be read: only then may the
/// time join it to somebody.
pub fn is_anonymous(event: &Event, identifiers: &[Identifier]) -> bool {
    use Field::{ClientId, Email, ExternalId, PhoneNumber, PriorityExternalId, SessionId};
    identifiers.is_empty()
        && event.email_variants.is_empty()
        && event.phone_variants.is_empty()
        && [SessionId, PriorityExternalId, ExternalId, Email, PhoneNumber, ClientId]
            .into_iter()
            .all(|field| event.texts.of(field).is_none())
}

fn variants(list: &[Box<str>]) -> impl Iterator<Item = &str> {
    list.iter().take(VARIANTS_MAX).map(|v| &**v)
}

struct Found<'a> {
    list: Vec<Identifier>,
    ignore: &'a [Box<str>],
}

impl Found<'_> {
    fn text(&mut self, event: &Event, kind: IdentifierKind, field: Field) {
        if let Some(value) = event.texts.of(field) {
            self.add(kind, value, Some(value.trim().to_owned()));
        }
    }

    /// Takes `value` up unless it, or what was typed, is to be ignored.
    fn add(&mut self, kind: IdentifierKind, typed: &str, value: Option<String>) {
        let Some(value) = value.filter(|v| !v.is_empty()) else { return };
        let ignored = self.ignore.iter().any(|p| is_like(p, &value) || is_like(p, typed.trim()));
        if !ignored && !self.list.iter().any(|known| known.kind == kind && *known.value == *value) {
            self.list.push(Identifier { kind, value: value.into() });
        }
    }
}

/// The address as it is compared: trimmed and lower-cased. `None` for what is neither an address nor the hash of one
/// (`n/a`, `unknown`): it would make one person of all who were given it.
pub fn email(typed: &str) -> Option<String> {
    let typed = typed.trim();
    let is_address = typed.split_once('@').is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty());
    (is_address || is_hash(typed)).then(|| typed.to_lowercase())
}

/// The phone number as it is compared: E.164 (`+358401234567`), read with the country `national` where it has no country
/// code; a number that no country has is compared by its digits, a hash as it is. `None` for fewer than seven digits, and for one
/// digit repeated (`0000000`), which forms are filled in with.
pub fn phone(typed: &str, national: Option<&str>) -> Option<String> {
    let typed = typed.trim();
    if is_hash(typed) {
        return Some(typed.to_lowercase());
    }
    let mut digits = typed.chars().filter(|c| c.is_numeric());
    let first = digits.next();
    let (all, differing) =
        digits.fold((1, 0), |(all, differing), d| (all + 1, differing + usize::from(Some(d) != first)));
    if all < PHONE_DIGITS_MIN || differing == 0 {
        return None;
    }
    let region = national.and_then(|country| Region::from_str(country).ok());
    // Without a country nothing says which prefix dials abroad; 00 is that of most.
    let abroad = region.is_none().then(|| typed.strip_prefix("00")).flatten().map(|rest| format!("+{rest}"));
    if let Ok(number) = PHONE_NUMBER_UTIL.parse(abroad.as_deref().unwrap_or(typed), region) {
        return Some(number.format_as(PhoneNumberFormat::E164).into_owned());
    }
    let digits: String = typed.chars().filter(char::is_ascii_digit).collect();
    (PHONE_DIGITS_MIN <= digits.len()).then_some(digits)
}

/// Whether `text` is an MD5, SHA-1 or SHA-256 in hexadecimal.
fn is_hash(text: &str) -> bool {
    matches!(text.len(), 32 | 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether `text` is like `pattern`, in which `*` stands for any text; case is ignored.
fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
    // Taking each piece where it first occurs leaves the most room for those after it.
    for piece in middle.split('*') {
        let Some(at) = text.find(piece) else { return false };
        text = &text[at + piece.len()..];
    }
    text.ends_with(tail)
}

/// Where an event belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// A new visitor.
    Nobody,
    Visitor {
        /// Whom it joins: after merging, the survivor, who is the oldest of them.
        id: VisitorId,
        /// The strongest identifier that pointed there.
        by: IdentifierKind,
        /// Visitors to be merged into `id`, oldest first.
        merge: Vec<VisitorId>,
    },
}

/// Decides whom an event joins. `hits` are its identifiers, strongest first, each with the visitor it is attached to;
/// `priority` tells a visitor's `priorityExternalId`, `own_priority` is the event's.
///
/// The first hit wins. Different priority ids never merge: a visitor found by an identifier weaker than the priority id,
/// who has another one than the event, is not the event's visitor. Where two of the visitors left have different ones,
/// or one of them differs from the event (found by `sessionId`, the one identifier that is stronger), nothing merges and
/// the strongest identifier decides.
pub fn join(
    hits: &[(&Identifier, Option<VisitorId>)],
    priority: &dyn Fn(VisitorId) -> Option<String>,
    own_priority: Option<&str>,
) -> Joined {
    let own = own_priority.map(str::trim).filter(|id| !id.is_empty());
    // Every visitor pointed at, by its strongest identifier, with its priority id.
    let mut found: Vec<(VisitorId, IdentifierKind, Option<String>)> = Vec::new();
    for (identifier, visitor) in hits {
        let Some(visitor) = *visitor else { continue };
        if found.iter().any(|(known, ..)| *known == visitor) {
            continue;
        }
        let theirs = priority(visitor);
        let another = own.is_some_and(|own| theirs.as_deref().is_some_and(|theirs| theirs.trim() != own));
        if another && IdentifierKind::PriorityExternalId < identifier.kind {
            continue;
        }
        found.push((visitor, identifier.kind, theirs));
    }
    let Some(&(strongest, by, _)) = found.first() else { return Joined::Nobody };
    let mut ids = found.iter().filter_map(|(_, _, theirs)| theirs.as_deref().map(str::trim)).chain(own);
    let one_person = ids.next().is_none_or(|first| ids.all(|other| other == first));
    if !one_person {
        return Joined::Visitor { id: strongest, by, merge: Vec::new() };
    }
    let mut merge: Vec<VisitorId> = found.iter().map(|(visitor, ..)| *visitor).collect();
    merge.sort_unstable();
    let id = merge.remove(0);
    Joined::Visitor { id, by, merge }
}
