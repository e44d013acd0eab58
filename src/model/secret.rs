//! Text that may hold secrets, and knows where.
//!
//! Refuses: printing them. `Debug` and [`Text::masked`] show `***`; only [`Text::reveal`] gives the whole, to the one
//! place that sends it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::echo::{self, Echo};

/// What stands in a secret's place wherever it could be read.
pub const MASK: &str = "***";

/// Rendered text with the parts that came from a secret marked.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text {
    text: String,
    /// Disjoint, ascending, on character borders.
    secret: Vec<Range<usize>>,
}

impl Text {
    /// No text yet, with room for `bytes`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), secret: Vec::new() }
    }

    /// Appends what anyone may read.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Appends what nobody may read.
    pub fn push_secret(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        let start = self.text.len();
        self.text.push_str(text);
        match self.secret.last_mut() {
            Some(last) if last.end == start => last.end = self.text.len(),
            _ => self.secret.push(start..self.text.len()),
        }
    }

    /// Appends another text with its marks.
    pub fn append(&mut self, other: &Text) {
        let shift = self.text.len();
        self.text.push_str(&other.text);
        self.secret.extend(other.secret.iter().map(|r| r.start + shift..r.end + shift));
    }

    /// Takes away everything from byte `length` on, which must be a character border.
    pub fn truncate(&mut self, length: usize) {
        self.text.truncate(length);
        self.secret.retain(|range| range.start < length);
        if let Some(last) = self.secret.last_mut() {
            last.end = last.end.min(length);
        }
    }

    /// The text itself, for the wire alone.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The text with each secret part replaced by [`MASK`].
    pub fn masked(&self) -> Cow<'_, str> {
        if self.secret.is_empty() {
            return Cow::Borrowed(&self.text);
        }
        let mut out = String::with_capacity(self.text.len());
        let mut from = 0;
        for range in &self.secret {
            out.push_str(&self.text[from..range.start]);
            out.push_str(MASK);
            from = range.end;
        }
        out.push_str(&self.text[from..]);
        Cow::Owned(out)
    }

    /// Whether any part is secret.
    pub fn is_tainted(&self) -> bool {
        !self.secret.is_empty()
    }

    /// Bytes, secrets included.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The pieces in order: the text and whether it is secret.
    pub fn parts(&self) -> impl Iterator<Item = (&str, bool)> {
        let mut cuts = Vec::with_capacity(self.secret.len() * 2 + 1);
        let mut from = 0;
        for range in &self.secret {
            cuts.push((from..range.start, false));
            cuts.push((range.clone(), true));
            from = range.end;
        }
        cuts.push((from..self.text.len(), false));
        cuts.into_iter().filter(|(range, _)| !range.is_empty()).map(|(range, secret)| (&self.text[range], secret))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), secret: Vec::new() }
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.masked(), f)
    }
}

/// The secret values a connector was configured with, for scrubbing what comes back from a partner.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(Vec<Box<str>>);

/// A value shorter than this is found everywhere by chance and protects nothing; it is not scrubbed.
const SCRUBBED_MIN: usize = 4;

impl Secrets {
    /// Every form of each value that is not a spelling of its characters: the value itself, base64, hex. How characters
    /// are escaped is `model::echo`'s to see through.
    pub fn new(forms: impl IntoIterator<Item = String>) -> Self {
        let mut all: Vec<Box<str>> =
            forms.into_iter().filter(|s| SCRUBBED_MIN <= s.len()).map(String::into_boxed_str).collect();
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Self(all)
    }

    /// `text` with every secret replaced by [`MASK`], the longest first, however its characters are written.
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.replaced(text, |found| match found {
            Echo::Whole(length) => Some(length),
            Echo::Beginning { .. } | Echo::None => None,
        })
    }

    /// As [`Self::scrub`], for a text that was cut: a beginning of a secret at its end is replaced too.
    pub fn scrub_cut<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.replaced(text, |found| match found {
            Echo::Whole(length) => Some(length),
            Echo::Beginning { length, shown } if SCRUBBED_MIN <= shown => Some(length),
            Echo::Beginning { .. } | Echo::None => None,
        })
    }

    fn replaced<'a>(&self, text: &'a str, length: impl Fn(Echo) -> Option<usize>) -> Cow<'a, str> {
        let mut out = String::new();
        let (mut from, mut at) = (0, 0);
        while at < text.len() && !self.0.is_empty() {
            let rest = &text[at..];
            let longest = self.0.iter().filter_map(|secret| length(echo::at_start(rest, secret))).max();
            if let Some(found) = longest {
                out.push_str(&text[from..at]);
                out.push_str(MASK);
                at += found;
                from = at;
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        if from == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(&text[from..]);
        Cow::Owned(out)
    }

    /// These and one more, in every form of it.
    #[must_use]
    pub fn with(&self, secret: &str) -> Self {
        Self::new(self.0.iter().map(|known| known.to_string()).chain(forms(secret)))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Every form in which a partner's reply could repeat `secret`, however its characters are then escaped: as it is, in hex,
/// and in base64, alone or within a longer text (`user:secret`).
pub fn forms(secret: &str) -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

    if secret.is_empty() {
        return Vec::new();
    }
    let mut all = vec![secret.to_owned(), hex::encode(secret)];
    for before in 0..3 {
        // Within a longer text base64 depends on what stands before, and the characters at both ends on both neighbours.
        let padded = [&[0; 2][..before], secret.as_bytes()].concat();
        let whole = 8 * padded.len() / 6;
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let encoded = engine.encode(&padded);
            all.push(encoded[(8 * before).div_ceil(6)..whole].to_owned());
            if before == 0 {
                all.push(encoded);
            }
        }
    }
    all
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_sent_and_never_shown() {
        let mut text = Text::from("Bearer ");
        text.push_secret("s3cr3t");
        text.push("!");
        assert_eq!(text.reveal(), "Bearer s3cr3t!");
        assert_eq!(text.masked(), "Bearer ***!");
        assert_eq!(format!("{text:?}"), "\"Bearer ***!\"");
        assert_eq!(text.parts().collect::<Vec<_>>(), [("Bearer ", false), ("s3cr3t", true), ("!", false)]);
        text.truncate(10);
        assert_eq!((text.reveal(), &*text.masked()), ("Bearer s3c", "Bearer ***"));
        text.truncate(7);
        assert!(!text.is_tainted());
    }

    #[test]
    fn a_reply_is_scrubbed_longest_first() {
        let secrets = Secrets::new(["token".to_owned(), "token-and-more".to_owned(), "abc".to_owned()]);
        assert_eq!(secrets.scrub("got token-and-more, token, abc"), "got ***, ***, abc");
        for (cut, expect) in [("got token-and", "got ***"), ("got toke", "got ***"), ("got tok", "got tok"), ("", "")] {
            assert_eq!(secrets.scrub_cut(cut), expect);
        }
    }

    #[test]
    fn a_secret_has_a_form_for_every_place_in_base64() {
        use crate::model::secret::Secrets;
        use base64::Engine as _;
        use base64::engine::general_purpose::{STANDARD, URL_SAFE};
        let secret = "a/b \"c\"~~~???";
        let secrets = Secrets::new(forms(secret));
        for before in ["", "u", "us", "user:"] {
            for after in ["", "!", "!!"] {
                let whole = format!("{before}{secret}{after}");
                for encoded in [STANDARD.encode(&whole), URL_SAFE.encode(&whole), hex::encode_upper(&whole)] {
                    let shown = secrets.scrub(&encoded);
                    assert!(shown.contains("***") && shown.len() < 24, "{encoded}: {shown}");
                }
            }
        }
        assert_eq!(secrets.scrub("a%2Fb+%22c%22~~~???"), "***");
    }
}
