//! Where the commands write: answers to standard output, complaints to standard error.
//!
//! Refuses: a panic when nobody reads (`postbackd log | head`), and control characters of event data in a terminal.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufWriter, StdoutLock, Write};

/// Standard output.
pub struct Out {
    to: BufWriter<StdoutLock<'static>>,
    broken: Option<io::Error>,
}

impl Out {
    pub fn new() -> Self {
        Self { to: BufWriter::new(io::stdout().lock()), broken: None }
    }

    /// For `write!` and `writeln!`. A failure is remembered; nothing more is written after it.
    pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) {
        if self.broken.is_none()
            && let Err(error) = self.to.write_fmt(text)
        {
            self.broken = Some(error);
        }
    }

    /// Writes out what is buffered; false where nobody reads any more, or can.
    pub fn flush(&mut self) -> bool {
        if self.broken.is_none()
            && let Err(error) = self.to.flush()
        {
            self.broken = Some(error);
        }
        self.broken.is_none()
    }

    /// Ends the output.
    ///
    /// # Errors
    /// The reader did not go away by itself: the disk is full, say.
    pub fn end(mut self) -> io::Result<()> {
        self.flush();
        match self.broken {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        }
    }
}

/// One line on standard error; a reader that is gone is not missed.
pub fn complain(text: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// `text` on one line, with control characters written out: what a sender put into an event must not steer a terminal.
pub fn plain(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        let escaped = text.chars().flat_map(|c| {
            let escape = if c.is_control() { Some(c.escape_default()) } else { None };
            let keep = if c.is_control() { None } else { Some(c) };
            escape.into_iter().flatten().chain(keep)
        });
        Cow::Owned(escaped.collect())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(plain("Käufer 1"), "Käufer 1");
        assert_eq!(plain("a\u{1b}[31m\nb"), r"a\u{1b}[31m\nb");
    }
}
