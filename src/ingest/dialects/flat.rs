//! The message of SPEC section 2.1: one flat JSON object, or an array of them.
//!
//! Refuses: anything else, and half of an array: with one bad element nothing of it is admitted.

use serde_json::value::RawValue;

use super::FieldIn;
use crate::ingest::MESSAGE_MAX;
use crate::ingest::reading::{Context, Input, Place, Reason, Refused, read_event};
use crate::json::{self, DEPTH_MAX};
use crate::model::event::Event;

/// The events of one message, at least one.
///
/// # Errors
/// All problems of the message. Those of an array's elements are named `[index].field`.
pub fn read_message(bytes: &[u8], context: &Context<'_>) -> Result<Vec<Event>, Refused> {
    read_over(&[], bytes, context)
}

/// As [`read_message`], with further fields that each object of the message overrides.
pub(crate) fn read_over(under: &[FieldIn<'_>], bytes: &[u8], context: &Context<'_>) -> Result<Vec<Event>, Refused> {
    if MESSAGE_MAX < bytes.len() {
        return Err(Refused::new(Reason::TooLarge, "", "is over 300 kB; send fewer events at once"));
    }
    let malformed = |problem: String| Refused::new(Reason::Malformed, "", problem);
    let text = std::str::from_utf8(bytes).map_err(|_| malformed("is no UTF-8 text".to_owned()))?;
    match first_byte(text) {
        Some(b'{') => read_object(under, text, None, context).map(|event| vec![event]),
        Some(b'[') => {
            let elements = json::elements(text).map_err(|e| malformed(format!("is no JSON: {e}")))?;
            if elements.is_empty() {
                return Err(malformed("is an empty array; send at least one event".to_owned()));
            }
            each(&elements, |index, element| read_object(under, element.get(), Some(index), context))
        }
        _ => Err(malformed("is neither a JSON object nor an array of them".to_owned())),
    }
}

/// Whether the text is an array of events, going by its first character.
pub(crate) fn is_array(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().first() == Some(&b'[')
}

fn first_byte(text: &str) -> Option<u8> {
    text.as_bytes().trim_ascii_start().first().copied()
}

/// One event of each element. With one bad element nothing is kept, and every bad one is named.
pub(super) fn each(
    elements: &[&RawValue],
    read: impl Fn(usize, &RawValue) -> Result<Event, Refused>,
) -> Result<Vec<Event>, Refused> {
    let mut events = Vec::with_capacity(elements.len());
    let mut refused = Vec::new();
    for (index, element) in elements.iter().enumerate() {
        let read = if element.get().starts_with('{') {
            read(index, element)
        } else {
            Err(Refused::new(Reason::Malformed, "", "is no object; send an array of objects"))
        };
        match read {
            Ok(event) => events.push(event),
            Err(one) => refused.push(placed(one, index)),
        }
    }
    Refused::of_elements(refused).map_or(Ok(events), Err)
}

fn read_object(
    under: &[FieldIn<'_>],
    text: &str,
    index: Option<usize>,
    context: &Context<'_>,
) -> Result<Event, Refused> {
    let members =
        json::members(text).map_err(|e| Refused::new(Reason::Malformed, "", format!("is no JSON object: {e}")))?;
    // The object is one level, the array around it another.
    let depth = DEPTH_MAX - 1 - usize::from(index.is_some());
    let place = Place { index, depth, content: text.as_bytes() };
    let members = members.into_iter().map(|(name, raw)| (name, Input::Raw(raw)));
    read_event(context, place, under.iter().cloned().chain(members))
}

fn placed(mut refused: Refused, index: usize) -> Refused {
    for problem in &mut refused.problems {
        let dot = if problem.field.is_empty() { "" } else { "." };
        problem.field = format!("[{index}]{dot}{}", problem.field);
    }
    refused
}
