//! Which clicks an event brings: those on its URL and those in its click-ID fields.
//!
//! Refuses: knowing whether a click is known already; `remember` finds out.

use std::sync::Arc;

use crate::model::click::{Click, Landing, query_pairs};
use crate::model::event::Event;
use crate::model::field::Field;
use crate::model::time::Time;

/// Clicks taken from one event. There are 17 standard click IDs; what exceeds this is no landing page but an attempt to
/// fill the store.
pub const CLICKS_PER_EVENT_MAX: usize = 32;

/// The longest click ID kept, in bytes: the bound of any value (SPEC section 13).
pub const VALUE_BYTES_MAX: usize = 8 * 1024;

/// What to look for on URLs.
#[derive(Clone, Copy)]
pub struct Capture<'a> {
    /// Whether a query parameter of this name carries a click ID, for a connector or by `attribution.click_params`. The
    /// standard click IDs are captured in any case.
    pub params: &'a dyn Fn(&str) -> bool,
}

/// The clicks of `event`, at most [`CLICKS_PER_EVENT_MAX`], those on the URL first. A click on the URL happened when the
/// event did; one in a field when `fbc` or `clickTime` says, though never after its event, else at a time unknown. A value
/// that stands on the URL and in a field is one click, that of the URL, whose landing is known.
pub fn clicks_of(event: &Event, capture: Capture<'_>) -> Vec<Click> {
    let mut found = Vec::new();
    on_url(event, capture, &mut found);
    in_fields(event, &mut found);
    found
}

fn on_url(event: &Event, capture: Capture<'_>, found: &mut Vec<Click>) {
    let Some(url) = event.texts.of(Field::Url) else { return };
    let mut landing: Option<Arc<Landing>> = None;
    for (name, value) in query_pairs(url) {
        let wanted = Field::from_click_param(&name).is_some() || (capture.params)(&name);
        // Of a parameter that is repeated the first counts, as for the click's source.
        if wanted && !found.iter().any(|c| *c.param == *name) {
            let landing = landing.get_or_insert_with(|| landing_on(event, url.into()));
            add(found, &name, &value, Some(event.time), event, landing);
        }
    }
}

fn in_fields(event: &Event, found: &mut Vec<Click>) {
    let on_url = found.len();
    let mut landing: Option<Arc<Landing>> = None;
    for (field, text) in event.texts.iter() {
        let Some(param) = field.click_param() else { continue };
        let (value, time) = match field {
            Field::Fbc => match fbc(text) {
                Some((time, fbclid)) => (fbclid, Some(time)),
                None => continue,
            },
            _ => (text.trim(), event.click_time),
        };
        let source = if field == Field::Trlc { event.texts.of(Field::Trls) } else { None };
        let landing = match source {
            Some(source) => {
                let query: String =
                    url::form_urlencoded::Serializer::new(String::new()).append_pair("trls", source).finish();
                landing_on(event, format!("?{query}").into())
            }
            None => landing.get_or_insert_with(|| landing_on(event, "".into())).clone(),
        };
        // A click whose ID comes with an event cannot come after it; the clocks of browsers are not that exact.
        let time = time.map(|time| time.min(event.time));
        let same = |c: &Click| c.param.eq_ignore_ascii_case(param) && *c.value == *value;
        match found.iter().position(same) {
            None => add(found, param, value, time, event, &landing),
            // `fbc` tells the time of this very click, `clickTime` of one of those sent.
            Some(at) if on_url <= at && field == Field::Fbc => found[at].time = time,
            Some(_) => {}
        }
    }
}

fn add(found: &mut Vec<Click>, param: &str, value: &str, time: Option<Time>, event: &Event, landing: &Arc<Landing>) {
    if value.trim().is_empty() || VALUE_BYTES_MAX < value.len() || CLICKS_PER_EVENT_MAX <= found.len() {
        return;
    }
    found.push(Click { param: param.into(), value: value.into(), time, seen: event.time, landing: landing.clone() });
}

fn landing_on(event: &Event, url: Box<str>) -> Arc<Landing> {
    let text = |field| event.texts.of(field).map(Into::into);
    Arc::new(Landing { url, referrer: text(Field::Referrer), ip: text(Field::Ip), user_agent: text(Field::UserAgent) })
}

/// The click in Meta's `_fbc` cookie, `fb.SUBDOMAIN.MILLISECONDS.FBCLID`: its time and the `fbclid`.
pub(super) fn fbc(text: &str) -> Option<(Time, &str)> {
    let mut parts = text.trim().splitn(4, '.');
    let (prefix, _, time, fbclid) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_number = !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit());
    (prefix == "fb" && is_number && !fbclid.is_empty()).then_some(())?;
    Some((Time::parse(time)?, fbclid))
}
