//! Escaping by place: how a value is written so that a receiver reads exactly it, and nothing around it changes.
//!
//! Refuses: what no escaping can make safe, namely control characters in a header.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::model::secret::Text;
use crate::model::template::Place;

/// Why a value has no safe form in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("it holds a control character, which no header may carry")]
    HeaderControl,
    #[error("written raw, it would end the JSON string it stands in")]
    RawJson,
}

/// RFC 3986 section 2.3: all but the unreserved characters.
const ALL_BUT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What an author's own query can't hold: RFC 3986 section 3.4, and `'`, which the URL standard encodes too.
const NO_QUERY: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\'')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'[')
    .add(b']');

/// What an author's own path segment can't hold.
const NO_SEGMENT: &AsciiSet = &NO_QUERY.add(b'/').add(b'?');

/// Appends `value` as its place writes it; `raw` leaves out the escaping as far as the place can bear it: in a URL the
/// author's own `&`, `=` and `%41` stay, but control characters, `#` and what would end a path segment do not.
///
/// # Errors
/// The value has no safe form here.
pub fn push(out: &mut Text, place: Place, raw: bool, value: &str, secret: bool) -> Result<(), Unfit> {
    if secret {
        each(place, raw, value, |piece| out.push_secret(piece))
    } else {
        each(place, raw, value, |piece| out.push(piece))
    }
}

/// `value` as its place writes it.
///
/// # Errors
/// As [`push`].
pub fn escaped(place: Place, value: &str) -> Result<String, Unfit> {
    let mut out = String::with_capacity(value.len() + 8);
    each(place, false, value, |piece| out.push_str(piece))?;
    Ok(out)
}

/// An author's literal in its place, marks kept. In a URL it keeps its own percent-encoding.
///
/// # Errors
/// As [`push`].
pub fn literal(place: Place, url: bool, text: &Text) -> Result<Text, Unfit> {
    let mut out = Text::default();
    for (part, secret) in text.parts() {
        push(&mut out, place, url, part, secret)?;
    }
    Ok(out)
}

/// The pieces of `value` as its place writes it, without an allocation.
fn each(place: Place, raw: bool, value: &str, mut emit: impl FnMut(&str)) -> Result<(), Unfit> {
    match (place, raw) {
        (Place::Path, false) | (Place::Query, false) => {
            utf8_percent_encode(value, ALL_BUT_UNRESERVED).for_each(emit);
        }
        (Place::Path, true) => partly_encoded(value, NO_SEGMENT, emit),
        (Place::Query | Place::Form, true) => partly_encoded(value, NO_QUERY, emit),
        (Place::Form, false) => url::form_urlencoded::byte_serialize(value.as_bytes()).for_each(emit),
        (Place::Header, _) if value.chars().any(char::is_control) => return Err(Unfit::HeaderControl),
        (Place::JsonString, true) => {
            let quoted = format!("\"{value}\"");
            if serde_json::from_str::<String>(&quoted).is_err() {
                return Err(Unfit::RawJson);
            }
            emit(value);
        }
        (Place::JsonString, false) => replaced(value, emit, |c, buffer| match c {
            '"' => Some("\\\""),
            '\\' => Some("\\\\"),
            '\n' => Some("\\n"),
            '\r' => Some("\\r"),
            '\t' => Some("\\t"),
            c if c < ' ' => Some(hex(buffer, b"\\u00", c)),
            _ => None,
        }),
        (Place::Html, false) => replaced(value, emit, |c, _| match c {
            '&' => Some("&amp;"),
            '<' => Some("&lt;"),
            '>' => Some("&gt;"),
            '"' => Some("&quot;"),
            '\'' => Some("&#39;"),
            // Parsers turn these into other white space where they are not written as references.
            '\r' => Some("&#13;"),
            '\n' => Some("&#10;"),
            '\t' => Some("&#9;"),
            // Neither HTML nor XML can write these at all.
            c if c < ' ' || c == '\u{fffe}' || c == '\u{ffff}' => Some("\u{fffd}"),
            _ => None,
        }),
        (Place::Js, false) => replaced(value, emit, |c, buffer| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | ',' | '.' | '-' | '_' | ':' => None,
            c if c.is_ascii() => Some(hex(buffer, b"\\x", c)),
            '\u{2028}' => Some("\\u2028"),
            '\u{2029}' => Some("\\u2029"),
            _ => None,
        }),
        (Place::Header | Place::PlainText, _) | (Place::Html | Place::Js, true) => emit(value),
    }
    Ok(())
}

/// Room for `\u001f`.
type Buffer = [u8; 6];

/// `prefix` and the two hex digits of an ASCII character.
fn hex<'b>(buffer: &'b mut Buffer, prefix: &[u8], c: char) -> &'b str {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let code = u32::from(c) as usize & 0x7f;
    let end = prefix.len() + 2;
    buffer[..prefix.len()].copy_from_slice(prefix);
    buffer[prefix.len()] = DIGITS[code >> 4];
    buffer[prefix.len() + 1] = DIGITS[code & 0xf];
    std::str::from_utf8(&buffer[..end]).expect("ASCII is UTF-8")
}

/// `value` with some characters replaced, in pieces as long as can be.
fn replaced(
    value: &str,
    mut emit: impl FnMut(&str),
    replace: impl for<'b> Fn(char, &'b mut Buffer) -> Option<&'b str>,
) {
    let mut from = 0;
    let mut buffer = Buffer::default();
    for (at, c) in value.char_indices() {
        if let Some(instead) = replace(c, &mut buffer) {
            if from < at {
                emit(&value[from..at]);
            }
            emit(instead);
            from = at + c.len_utf8();
        }
    }
    if from < value.len() {
        emit(&value[from..]);
    }
}

/// Percent-encodes what `no` names, keeping what is percent-encoded already; a `%` that encodes nothing becomes `%25`.
fn partly_encoded(value: &str, no: &'static AsciiSet, mut emit: impl FnMut(&str)) {
    let mut rest = value;
    while let Some(at) = rest.find('%') {
        utf8_percent_encode(&rest[..at], no).for_each(&mut emit);
        let encodes = rest.as_bytes().get(at + 1..at + 3).is_some_and(|d| d.iter().all(u8::is_ascii_hexdigit));
        emit(if encodes { "%" } else { "%25" });
        rest = &rest[at + 1..];
    }
    utf8_percent_encode(rest, no).for_each(emit);
}

/// Whether a rendered path segment is one that a server or a proxy would resolve away: `.` or `..`, any of its dots
/// written as `%2e`.
pub fn is_dot_segment(segment: &str) -> bool {
    let mut dots = 0;
    let mut rest = segment;
    while !rest.is_empty() {
        rest = match rest.strip_prefix('.') {
            Some(after) => after,
            None if rest.get(..3).is_some_and(|code| code.eq_ignore_ascii_case("%2e")) => &rest[3..],
            None => return false,
        };
        dots += 1;
        if 2 < dots {
            return false;
        }
    }
    dots != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODD: &str = "a b&c=d/e?f#g%41\"'<>\\é\n";

    #[test]
    fn every_place_has_its_own_escaping() {
        for (place, expect) in [
            (Place::Path, "a%20b%26c%3Dd%2Fe%3Ff%23g%2541%22%27%3C%3E%5C%C3%A9%0A"),
            (Place::Query, "a%20b%26c%3Dd%2Fe%3Ff%23g%2541%22%27%3C%3E%5C%C3%A9%0A"),
            (Place::Form, "a+b%26c%3Dd%2Fe%3Ff%23g%2541%22%27%3C%3E%5C%C3%A9%0A"),
            (Place::JsonString, "a b&c=d/e?f#g%41\\\"'<>\\\\é\\n"),
            (Place::Html, "a b&amp;c=d/e?f#g%41&quot;&#39;&lt;&gt;\\é&#10;"),
            (Place::Js, "a b\\x26c\\x3dd\\x2fe\\x3ff\\x23g\\x2541\\x22\\x27\\x3c\\x3e\\x5cé\\x0a"),
            (Place::PlainText, ODD),
        ] {
            assert_eq!(escaped(place, ODD).unwrap(), expect, "{place:?}");
        }
        assert_eq!(escaped(Place::Header, ODD), Err(Unfit::HeaderControl));
        assert_eq!(escaped(Place::JsonString, "\u{1}\u{1f}").unwrap(), "\\u0001\\u001f");
        assert_eq!(escaped(Place::Html, "\u{0}").unwrap(), "\u{fffd}");
    }

    #[test]
    fn raw_never_brings_structure_or_control_characters_into_a_url() {
        let raw = |place, value| {
            let mut out = Text::default();
            push(&mut out, place, true, value, false).map(|()| out.reveal().to_owned())
        };
        assert_eq!(raw(Place::Query, "a=1&b=%41%zz#x\r\n").unwrap(), "a=1&b=%41%25zz%23x%0D%0A");
        assert_eq!(raw(Place::Path, "a/b?c#d\\e%2f").unwrap(), "a%2Fb%3Fc%23d%5Ce%2f");
        assert_eq!(raw(Place::Header, "a\r\nb"), Err(Unfit::HeaderControl));
        assert_eq!(raw(Place::JsonString, "a\\n").unwrap(), "a\\n");
        assert_eq!(raw(Place::JsonString, "a\",\"b"), Err(Unfit::RawJson));
    }

    #[test]
    fn dot_segments_are_known_in_every_spelling() {
        for segment in [".", "..", "%2e", "%2E.", ".%2e", "%2e%2E"] {
            assert!(is_dot_segment(segment), "{segment}");
        }
        for segment in ["", "...", "a", "..a", "%2f", "%2e%2e%2e", "é", "%é"] {
            assert!(!is_dot_segment(segment), "{segment}");
        }
    }
}
