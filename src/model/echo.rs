//! A secret that a partner says back, recognised however its characters are written: percent-encoded, as JSON, HTML,
//! JavaScript or a shell escape them, once or several times over, in either case.
//!
//! Refuses: undoing what hides the characters themselves (compression, ciphers, other alphabets). Base64 and hex are forms
//! of their own, which the secret's owner lists.

/// What a text begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    None,
    /// The whole secret, in so many bytes.
    Whole(usize),
    /// The text ends within the secret, of which it `shown` so many characters.
    Beginning {
        length: usize,
        shown: usize,
    },
}

/// How often one mark may be repeated by escaping it again. Bounded, so that a reply made of nothing else costs little.
const REPEATED_MAX: usize = 32;

/// The longest way to write one byte or character, in bytes; what is shorter at a text's end may be a piece of one.
const WRITTEN_MAX: usize = 10;

/// The named references of HTML for what a secret may hold.
const NAMED: &[(&str, char)] =
    &[("amp;", '&'), ("lt;", '<'), ("gt;", '>'), ("quot;", '"'), ("apos;", '\''), ("nbsp;", ' ')];

/// Whether `text` begins with `secret`.
pub(super) fn at_start(text: &str, secret: &str) -> Echo {
    // As it is first: what looks like an escape may be the secret's own.
    if text.starts_with(secret) {
        return Echo::Whole(secret.len());
    }
    match escaped(text, secret) {
        Echo::None if secret.starts_with(text) => Echo::Beginning { length: text.len(), shown: text.chars().count() },
        found => found,
    }
}

fn escaped(text: &str, secret: &str) -> Echo {
    let mut rest = text;
    let mut shown = 0;
    let mut left = secret.chars().peekable();
    while let Some(wanted) = left.next() {
        if wanted == '\\' {
            // How often each of them is doubled is not known: a run stands for a run.
            while left.next_if_eq(&'\\').is_some() {}
        }
        match one(rest, wanted) {
            Some(after) => rest = after,
            None if is_piece(rest) => return Echo::Beginning { length: text.len(), shown },
            None => return Echo::None,
        }
        shown += 1;
    }
    Echo::Whole(text.len() - rest.len())
}

/// Whether a text's end may be a piece of one written character; a character cut in two reads as U+FFFD.
fn is_piece(rest: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric());
    let is_short = rest.len() < WRITTEN_MAX;
    match rest.as_bytes().first() {
        None => true,
        Some(b'%') => rest.len() < 3 && digits(&rest[1..]),
        Some(b'\\') => is_short && digits(rest.trim_start_matches('\\')),
        Some(b'&') => is_short && digits(rest[1..].trim_start_matches('#')),
        Some(_) => rest.chars().all(|c| c == '\u{fffd}'),
    }
}

/// What follows `wanted`, in whatever way it is written.
fn one(text: &str, wanted: char) -> Option<&str> {
    if wanted == '\\'
        && let Some(after) = text.strip_prefix('\\')
    {
        let bare = without(after, "\\");
        return backslash(text, wanted).or(Some(bare));
    }
    let first = text.chars().next()?;
    let written = match first {
        '%' => percent(text, wanted),
        '\\' => backslash(text, wanted),
        '&' => reference(&text[1..], wanted),
        _ => None,
    };
    if written.is_some() {
        return written;
    }
    let is_other = first.is_ascii() && wanted.is_ascii();
    if first.eq_ignore_ascii_case(&wanted) || (!is_other && first.to_lowercase().eq(wanted.to_lowercase())) {
        return Some(&text[first.len_utf8()..]);
    }
    (first == '+' && wanted == ' ').then(|| &text[1..])
}

/// `%C3%A9`, `%25C3%25A9`, and so on.
fn percent(text: &str, wanted: char) -> Option<&str> {
    if wanted == '%' {
        // However often it is encoded, nothing but `25` stands between it and what follows.
        return text.strip_prefix('%').map(|after| without(after, "25"));
    }
    let mut rest = text;
    for byte in wanted.encode_utf8(&mut [0; 4]).bytes() {
        rest = rest.strip_prefix('%')?;
        for _ in 0..REPEATED_MAX {
            match rest.strip_prefix("25") {
                Some(doubled) if hex(doubled, 2).is_some() => rest = doubled,
                Some(_) | None => break,
            }
        }
        let (code, after) = hex(rest, 2)?;
        if code != u32::from(byte) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// `\"`, `\n`, `\u00e9`, `\ud83d\ude00`, `\xe9`, with any number of backslashes.
fn backslash(text: &str, wanted: char) -> Option<&str> {
    let bare = without(text, "\\");
    let (first, after) = (bare.chars().next()?, bare.get(1..));
    let named = match first {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    };
    if named == wanted && first.is_ascii() {
        return after;
    }
    match first {
        'u' => units(after?, wanted),
        'x' => hex(after?, 2).filter(|(code, _)| *code == u32::from(wanted)).map(|(_, after)| after),
        _ => None,
    }
}

/// The UTF-16 units of a character after the first `\u`.
fn units(text: &str, wanted: char) -> Option<&str> {
    let mut rest = text;
    for (nth, unit) in wanted.encode_utf16(&mut [0; 2]).iter().enumerate() {
        if nth != 0 {
            rest = without(rest, "\\").strip_prefix('u')?;
        }
        let (code, after) = hex(rest, 4)?;
        if code != u32::from(*unit) {
            return None;
        }
        rest = after;
    }
    Some(rest)
}

/// `&lt;`, `&#60;`, `&#x3C;`, and with `amp;` in between.
fn reference(text: &str, wanted: char) -> Option<&str> {
    let rest = without(text, "amp;");
    if wanted == '&' && rest.len() < text.len() {
        return Some(rest);
    }
    if let Some(number) = rest.strip_prefix('#') {
        let end = number.bytes().take(WRITTEN_MAX).position(|b| b == b';')?;
        let code = match number[..end].strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => number[..end].parse(),
        };
        return (code == Ok(u32::from(wanted))).then(|| &number[end + 1..]);
    }
    let (name, _) = NAMED.iter().find(|(name, c)| *c == wanted && rest.starts_with(name))?;
    Some(&rest[name.len()..])
}

/// What follows the repetitions of `mark`.
fn without<'t>(text: &'t str, mark: &str) -> &'t str {
    let mut rest = text;
    for _ in 0..REPEATED_MAX {
        match rest.strip_prefix(mark) {
            Some(after) => rest = after,
            None => break,
        }
    }
    rest
}

/// The number that `digits` hex digits write, and what follows.
fn hex(text: &str, digits: usize) -> Option<(u32, &str)> {
    let written = text.get(..digits).filter(|w| w.bytes().all(|b| b.is_ascii_hexdigit()))?;
    Some((u32::from_str_radix(written, 16).ok()?, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "t0k/n+\"Se<é&x=' \\z";

    #[test]
    fn a_secret_is_known_in_every_writing() {
        for written in [
            SECRET,
            "T0K/N+\"SE<É&X=' \\Z",
            "t0k%2Fn%2B%22Se%3C%C3%A9%26x%3D%27%20%5Cz",
            "t0k%2fn%2b%22Se%3c%c3%a9%26x%3d%27+%5cz",
            "t0k/n%2B%22Se%3C%C3%A9&x='%20%5Cz",
            "t0k%252Fn%252B%2522Se%253C%25C3%25A9%2526x%253D%2527%2520%255Cz",
            "t0k/n+\\\"Se<é&x=' \\\\z",
            "t0k\\/n+\\\"Se\\u003C\\u00e9\\u0026x=' \\\\z",
            "t0k\\\\/n+\\\\\\\"Se<\\\\u00E9&x=' \\\\\\\\z",
            "t0k/n+&quot;Se&lt;é&amp;x=&#x27; \\z",
            "t0k&#47;n+&quot;Se&lt;&#233;&amp;x=&#39; \\z",
            "t0k/n+&amp;quot;Se&amp;lt;é&amp;amp;x=&amp;#39; \\z",
            "t0k\\x2fn+\\x22Se\\x3c\\xe9\\x26x=\\x27 \\x5cz",
        ] {
            let text = format!("{written}, and more");
            assert_eq!(at_start(&text, SECRET), Echo::Whole(written.len()), "{written}");
        }
        assert_eq!(at_start("\\ud83d\\uDE00!", "😀"), Echo::Whole(12));
        assert_eq!(at_start("a\\nb", "a\nb"), Echo::Whole(4));
        for written in ["1 %41", "1%20%2541", "1+%2541", "1%2520%252541"] {
            assert_eq!(at_start(written, "1 %41"), Echo::Whole(written.len()), "{written}");
        }
    }

    #[test]
    fn another_text_is_none() {
        for text in ["t0k/n+\"Se<e", "t0k%2En", "t0k\\u0041!", "t0k&gt;", "t0k&#47n!", "x", "t0k%C3\u{e9}xxxxxxxxxxx"] {
            assert_eq!(at_start(text, SECRET), Echo::None, "{text}");
        }
    }

    #[test]
    fn a_cut_shows_a_beginning() {
        for (text, shown) in [("t0k/", 4), ("t0k%2", 3), ("t0k\\u00", 3), ("t0k/n+\"Se<\u{fffd}", 10), ("", 0)] {
            assert_eq!(at_start(text, SECRET), Echo::Beginning { length: text.len(), shown }, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,40}", secret in ".{1,20}", cut in 0usize..20) {
            let _ = at_start(&text, &secret);
            let begins: String = secret.chars().take(cut).collect();
            let _ = at_start(&format!("{begins}%\\&{text}"), &secret);
            prop_assert_eq!(at_start(&secret, &secret), Echo::Whole(secret.len()));
        }
    }
}
