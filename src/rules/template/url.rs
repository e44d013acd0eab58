//! URL templates: an origin that no event can change, path segments, and the query written into the URL.
//!
//! Refuses: a slot in scheme, user, host or port; a fragment, which is never sent; `.` and `..` as path segments.

use std::ops::Range;

use url::{Position, Url};

use crate::model::secret::Text;
use crate::model::template::{Place, Template, TemplateError, UrlTemplate};

use super::{Compiled, Literals, Notes, Token, read, template};
use crate::rules::escape::is_dot_segment;

/// Reads an absolute `http` or `https` URL.
///
/// # Errors
/// Every mistake in it.
pub fn compile_url(text: &Text) -> Result<Compiled<UrlTemplate>, Vec<TemplateError>> {
    let mut notes = Notes::default();
    let url = read_url(text, &mut notes).unwrap_or_default();
    notes.finish(UrlTemplate { origin: url.0, path: url.1, query: url.2 })
}

type Pieces = (Text, Vec<Template>, Vec<(Template, Option<Template>)>);

fn read_url(text: &Text, notes: &mut Notes) -> Option<Pieces> {
    let mut tokens = read(text, notes);
    check_characters(&tokens, notes);
    let (origin, rest) = split_origin(&mut tokens, notes)?;
    let Token::Literal { offset, text: head } = tokens.remove(0) else { return None };
    let rest = Token::Literal { offset: offset + rest.start, text: slice(&head, rest) };
    let mut pieces = Cutter::default();
    for token in std::iter::once(rest).chain(tokens) {
        pieces.take(token);
    }
    pieces.end();
    let path = pieces.path.into_iter().map(|segment| {
        check_segment(&segment, notes);
        template(segment, Place::Path, Literals::Url, notes)
    });
    let path = path.collect();
    let query = pieces.query.into_iter().map(|(name, value)| {
        let name = template(name, Place::Query, Literals::Url, notes);
        (name, value.map(|value| template(value, Place::Query, Literals::Url, notes)))
    });
    Some((origin, path, query.collect()))
}

fn check_characters(tokens: &[Token], notes: &mut Notes) {
    for (nth, token) in tokens.iter().enumerate() {
        let Token::Literal { offset, text } = token else { continue };
        let written = text.reveal();
        if written.contains('#') {
            let at = offset + written.find('#').unwrap_or(0);
            notes
                .error(at, "a URL's fragment (`#…`) is never sent; remove it, or write `%23` for the character itself");
        }
        let edge = (nth == 0 && written.starts_with(' ')) || (nth + 1 == tokens.len() && written.ends_with(' '));
        if edge || written.contains(char::is_control) {
            notes.error(*offset, "the URL holds a line break or a space at its edge; remove it");
        }
    }
}

/// The normalised origin, and which bytes of the first literal follow it.
fn split_origin(tokens: &mut [Token], notes: &mut Notes) -> Option<(Text, Range<usize>)> {
    const WRITE: &str = "write for example `https://network.example/postback`";
    let Some(first) = tokens.first() else {
        if notes.errors.is_empty() {
            notes.error(0, format!("the URL is empty; {WRITE}"));
        }
        return None;
    };
    let Token::Literal { offset, text } = first else {
        notes.error(
            0,
            format!("a URL can't begin with a variable, since no event may choose where postbacks go; {WRITE}"),
        );
        return None;
    };
    let written = text.reveal();
    let scheme =
        ["http://", "https://"].iter().find(|s| written.get(..s.len()).is_some_and(|w| w.eq_ignore_ascii_case(s)));
    let Some(scheme) = scheme else {
        let shown: String = text.masked().chars().take(60).collect();
        notes.error(*offset, format!("`{shown}` is no absolute http or https URL; {WRITE}"));
        return None;
    };
    let end = written[scheme.len()..].find(['/', '?', '#', '\\']).map(|at| at + scheme.len());
    if let (None, Some(Token::Expression { offset, expression })) = (end, tokens.get(1)) {
        let message = format!(
            "the variable `{}` stands in the URL's user, host or port, but no event may choose where postbacks go; \
             write the host out, or take it from `${{NAME}}`",
            expression.slot
        );
        notes.error(*offset, message);
        return None;
    }
    let end = end.unwrap_or(written.len());
    match Url::parse(&written[..end]) {
        Ok(url) => Some((origin(&url, text, scheme.len()..end), end..written.len())),
        Err(why) => {
            notes.error(*offset, format!("`{}` is no URL: {why}; {WRITE}", slice(text, 0..end).masked()));
            None
        }
    }
}

/// The origin with its secret parts marked: `authority` is where user, host and port stand in `text`.
fn origin(url: &Url, text: &Text, authority: Range<usize>) -> Text {
    let host_start = text.reveal()[authority.clone()].rfind('@').map_or(authority.start, |at| authority.start + at + 1);
    let mut out = Text::from(&url[..Position::BeforeUsername]);
    let mut push = |part: &str, from: Range<usize>| {
        if slice(text, from).is_tainted() { out.push_secret(part) } else { out.push(part) }
    };
    push(&url[Position::BeforeUsername..Position::BeforeHost], authority.start..host_start);
    push(&url[Position::BeforeHost..Position::BeforePath], host_start..authority.end);
    out
}

/// Part of a text, with its marks.
fn slice(text: &Text, range: Range<usize>) -> Text {
    let mut out = Text::default();
    let mut at = 0;
    for (part, secret) in text.parts() {
        let from = range.start.clamp(at, at + part.len()) - at;
        let to = range.end.clamp(at, at + part.len()) - at;
        if secret {
            out.push_secret(&part[from..to])
        } else {
            out.push(&part[from..to])
        }
        at += part.len();
    }
    out
}

fn check_segment(segment: &[Token], notes: &mut Notes) {
    if let [Token::Literal { offset, text }] = segment
        && is_dot_segment(text.reveal())
    {
        notes
            .error(*offset, format!("the path segment `{}` would be resolved away; write the path out", text.masked()));
    }
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// Before the first slash or question mark.
    #[default]
    Start,
    Path,
    Name,
    Value,
}

/// Cuts tokens at the `/`, `?`, `&` and `=` that the author wrote.
#[derive(Default)]
struct Cutter {
    within: Within,
    piece: Vec<Token>,
    name: Vec<Token>,
    path: Vec<Vec<Token>>,
    query: Vec<(Vec<Token>, Option<Vec<Token>>)>,
}

impl Cutter {
    fn take(&mut self, token: Token) {
        let Token::Literal { mut offset, text } = token else {
            self.piece.push(token);
            return;
        };
        for (part, secret) in text.parts() {
            let mut rest = part;
            while let Some(at) = rest.find(|c| self.cuts(c)) {
                self.put(offset, &rest[..at], secret);
                self.cut(rest.as_bytes()[at]);
                offset += at + 1;
                rest = &rest[at + 1..];
            }
            self.put(offset, rest, secret);
            offset += rest.len();
        }
    }

    fn cuts(&self, c: char) -> bool {
        match self.within {
            Within::Start | Within::Path => matches!(c, '/' | '?'),
            Within::Name => matches!(c, '&' | '='),
            Within::Value => c == '&',
        }
    }

    fn cut(&mut self, mark: u8) {
        let piece = std::mem::take(&mut self.piece);
        self.within = match (self.within, mark) {
            (Within::Start, b'/') => Within::Path,
            (Within::Path, b'/') => {
                self.path.push(piece);
                Within::Path
            }
            (Within::Start | Within::Path, _) => {
                self.path.push(piece);
                Within::Name
            }
            (Within::Name, b'=') => {
                self.name = piece;
                Within::Value
            }
            (Within::Name, _) => {
                if !piece.is_empty() {
                    self.query.push((piece, None));
                }
                Within::Name
            }
            (Within::Value, _) => {
                self.query.push((std::mem::take(&mut self.name), Some(piece)));
                Within::Name
            }
        };
    }

    fn put(&mut self, offset: usize, part: &str, secret: bool) {
        if part.is_empty() {
            return;
        }
        if !matches!(self.piece.last(), Some(Token::Literal { .. })) {
            self.piece.push(Token::Literal { offset, text: Text::default() });
        }
        if let Some(Token::Literal { text, .. }) = self.piece.last_mut() {
            if secret { text.push_secret(part) } else { text.push(part) }
        }
    }

    fn end(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        match self.within {
            Within::Start | Within::Path => self.path.push(piece),
            Within::Name if piece.is_empty() => {}
            Within::Name => self.query.push((piece, None)),
            Within::Value => self.query.push((std::mem::take(&mut self.name), Some(piece))),
        }
    }
}
