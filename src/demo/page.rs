//! What the demo prints on: lines with the time since the start, a word for what happened, and text that fits a terminal.
//!
//! Refuses: colour unless asked for, and control characters of event data.

use std::fmt::Write as _;
use std::time::Instant;

/// Columns of a line; what is longer is folded.
const WIDTH: usize = 108;

/// Where the text of a line begins: after the time and the word.
const INDENT: usize = 18;

/// Where details begin: a usual URL then fits in one line, to be copied.
const DETAIL_INDENT: usize = 12;

/// What happened, for the word in front of a line and its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Click,
    Event,
    Known,
    Send,
    Wait,
    Skip,
    Sent,
    Retry,
    Rejected,
    GivenUp,
    Test,
}

impl Mark {
    /// At most eight letters.
    fn word(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Event => "event",
            Self::Known => "known",
            Self::Send | Self::Wait | Self::Skip => "decided",
            Self::Sent => "sent",
            Self::Retry => "retry",
            Self::Rejected => "rejected",
            Self::GivenUp => "ended",
            Self::Test => "test",
        }
    }

    /// Parameters of the terminal's `SGR` sequence (ECMA-48 section 8.3.117).
    fn colour(self) -> &'static str {
        match self {
            Self::Click => "36",
            Self::Event => "1",
            Self::Send | Self::Sent => "32",
            Self::Wait | Self::Retry => "33",
            Self::Rejected | Self::GivenUp => "31",
            Self::Test => "35",
            Self::Known | Self::Skip => "2",
        }
    }
}

/// The sheet that the story is told on.
pub struct Page<'a> {
    /// Writes one line; false where nobody reads any more.
    write: &'a mut dyn FnMut(&str) -> bool,
    colour: bool,
    started: Instant,
    read: bool,
}

impl<'a> Page<'a> {
    pub fn new(colour: bool, write: &'a mut dyn FnMut(&str) -> bool) -> Self {
        Self { write, colour, started: Instant::now(), read: true }
    }

    /// Whether somebody still reads.
    pub(super) fn is_read(&self) -> bool {
        self.read
    }

    /// Times count from now on.
    pub(super) fn restart_clock(&mut self) {
        self.started = Instant::now();
    }

    /// Something happened.
    pub(super) fn happened(&mut self, mark: Mark, text: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let word = self.coloured(mark.colour(), &format!("{:<8}", mark.word()));
        for (at, line) in fold(&plain(text), WIDTH - INDENT).into_iter().enumerate() {
            if at == 0 {
                self.put(&format!("{seconds:>5.1} s  {word} {line}"));
            } else {
                self.put(&format!("{:INDENT$}{line}", ""));
            }
        }
    }

    /// More about the line before.
    pub(super) fn more(&mut self, text: &str) {
        for line in fold(&plain(text), WIDTH - DETAIL_INDENT) {
            let line = self.coloured("2", &line);
            self.put(&format!("{:DETAIL_INDENT$}{line}", ""));
        }
    }

    /// A heading.
    pub(super) fn heading(&mut self, text: &str) {
        let text = self.coloured("1", text);
        self.put("");
        self.put(&text);
    }

    /// A line as it is.
    pub(super) fn put(&mut self, line: &str) {
        if self.read {
            self.read = (self.write)(line);
        }
    }

    fn coloured(&self, parameters: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{parameters}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// `text` with control characters written out.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            // Writing to a string can't fail.
            let _ = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// `text` in lines of at most `width` characters, broken after a space, a comma or an ampersand where there is one.
fn fold(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text.trim();
    while let Some((cut, _)) = rest.char_indices().nth(width) {
        let may_break = |c: char| matches!(c, ' ' | ',' | '&');
        // A line that would be nearly empty helps nobody.
        let end = rest[..cut].rfind(may_break).map(|at| at + 1).filter(|end| width / 2 < *end).unwrap_or(cut);
        lines.push(rest[..end].trim_end().to_owned());
        rest = rest[end..].trim_start();
    }
    if !rest.is_empty() || lines.is_empty() {
        lines.push(rest.to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_folded_where_they_may_break() {
        for (text, lines) in [
            ("", vec![""]),
            ("short", vec!["short"]),
            ("one two three", vec!["one two", "three"]),
            ("a=1111&b=2222&c=3", vec!["a=1111&", "b=2222&c=3"]),
            ("äöüäöüäöüäöü", vec!["äöüäöüäöüä", "öü"]),
            ("x yyyyyyyyyyyy", vec!["x yyyyyyyy", "yyyy"]),
        ] {
            assert_eq!(fold(text, 10), lines, "{text}");
        }
    }

    #[test]
    fn event_data_can_not_steer_a_terminal() {
        let mut out = String::new();
        let mut write = |line: &str| {
            out.push_str(line);
            true
        };
        Page::new(false, &mut write).happened(Mark::Event, "a\u{1b}[31m\nb");
        assert!(out.ends_with(r"a\u{1b}[31m\nb"), "{out}");
        assert!(!out.contains('\u{1b}'));
    }

    #[test]
    fn nothing_is_written_once_nobody_reads() {
        let mut lines = 0;
        let mut write = |_: &str| {
            lines += 1;
            false
        };
        let mut page = Page::new(true, &mut write);
        page.put("a");
        page.put("b");
        assert!(!page.is_read());
        assert_eq!(lines, 1);
    }
}
