//! YAML text into a tree of [`Node`]s.
//!
//! Refuses: repeated keys, tags, keys that are no scalars, and whatever expands without bound.
//!
//! Why not through serde: a serde data model has forgotten the source text of a number and the place of a value by the
//! time it calls us, and it ends at the first mistake. The event parser under `serde-saphyr` tells both, so we take
//! that and build the tree ourselves.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, Tag};

use super::node::{Layout, Member, Node, Scalar, Tree};
use super::problem::Position;

/// Bytes of one file. A connector of a megabyte is an accident.
pub const FILE_SIZE_MAX: usize = 1 << 20;
/// Nodes of one file, those repeated by aliases included: a few aliases of aliases could otherwise fill the memory.
const NODES_MAX: usize = 100_000;
/// Levels of nesting. A JSON body may have 32 levels, inside a few of ours.
const DEPTH_MAX: usize = 48;

/// A mistake in the YAML itself.
pub type Mistake = (Position, String);

/// The documents of one file, as far as they can be read, and every mistake found on the way.
pub fn read(source: &str) -> (Vec<Node>, Vec<Mistake>) {
    let options = granit_parser::options! {
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
        disallow_directives: true,
        emit_unresolved_aliases: true,
        emit_comments: false,
    };
    let parser = Parser::new_from_str_with_options(source, options);
    let mut reader = Reader { parser, source, anchors: HashMap::new(), nodes: 0, mistakes: Vec::new() };
    let documents = reader.documents();
    (documents, reader.mistakes)
}

/// Why reading ended early.
enum Stop {
    Scan(ScanError),
    TooMany(Position),
    Eof,
}

impl From<ScanError> for Stop {
    fn from(error: ScanError) -> Self {
        Self::Scan(error)
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    source: &'a str,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    fn documents(&mut self) -> Vec<Node> {
        let mut documents = Vec::new();
        loop {
            let step = self.next().and_then(|(event, span)| match event {
                Event::StreamEnd => Err(Stop::Eof),
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => Ok(None),
                _ => self.node(event, span).map(Some),
            });
            match step {
                Ok(node) => documents.extend(node),
                Err(Stop::Eof) => return documents,
                Err(Stop::TooMany(at)) => {
                    self.mistakes.push((at, format!("the file holds more than {NODES_MAX} values, aliases expanded")));
                    return Vec::new();
                }
                Err(Stop::Scan(error)) => {
                    let mistake = self.explain(&error);
                    self.mistakes.push(mistake);
                    return Vec::new();
                }
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Stop> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(error.into()),
            None => Err(Stop::Eof),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span) -> Result<Node, Stop> {
        let at = position(&span.start);
        let before = self.nodes;
        self.count(1, at)?;
        let (tree, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span);
                let layout = self.layout(&text, style, &span);
                let plain = matches!(style, ScalarStyle::Plain);
                (Tree::Scalar(Scalar { text: text.into(), plain, layout }), anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span);
                (self.list(style)?, anchor)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &span);
                (self.map(style, &span)?, anchor)
            }
            Event::Alias(anchor) => return self.alias(anchor, at),
            Event::UnresolvedAlias(name) => {
                let what =
                    format!("`*{name}` refers to an anchor that is not there; if text is meant, quote it: \"*{name}\"");
                self.mistakes.push((at, what));
                (Tree::Reported, 0)
            }
            _ => (Tree::Reported, 0),
        };
        let node = Node { at, tree };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, at: Position) -> Result<Node, Stop> {
        let Some(size) = self.anchors.get(&anchor).map(|(_, size)| *size) else {
            self.mistakes.push((at, "this alias lies inside what it refers to".to_owned()));
            return Ok(Node { at, tree: Tree::Reported });
        };
        // Counted before it is copied, or the copy itself would be what runs out of memory.
        self.count(size, at)?;
        Ok(self.anchors[&anchor].0.clone())
    }

    fn count(&mut self, more: usize, at: Position) -> Result<(), Stop> {
        self.nodes += more;
        if NODES_MAX < self.nodes { Err(Stop::TooMany(at)) } else { Ok(()) }
    }

    fn list(&mut self, style: StructureStyle) -> Result<Tree, Stop> {
        let mut elements = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            elements.push(self.node(event, span)?);
        }
        if style == StructureStyle::Flow {
            self.rejoin_list(&mut elements);
        }
        Ok(Tree::List(elements))
    }

    fn map(&mut self, style: StructureStyle, opening: &Span) -> Result<Tree, Stop> {
        let mut members: Vec<Member> = Vec::new();
        let mut seen: HashMap<Box<str>, usize> = HashMap::new();
        let mut odd_key = None;
        loop {
            let (event, span) = self.next()?;
            let key_at = position(&span.start);
            let key = match event {
                Event::MappingEnd => {
                    if let Some(at) = odd_key {
                        self.report_odd_key(opening, &span, at);
                        return Ok(Tree::Reported);
                    }
                    return Ok(Tree::Map(members));
                }
                Event::Scalar(text, ..) => Some(text),
                other => {
                    odd_key.get_or_insert(key_at);
                    let said = self.mistakes.len();
                    self.node(other, span)?;
                    // The key as a whole is the mistake; what is odd inside it follows from that.
                    self.mistakes.truncate(said);
                    None
                }
            };
            let (event, value_span) = self.next()?;
            let value = self.node(event, value_span)?;
            let Some(key) = key else { continue };
            if style == StructureStyle::Flow && value.is_null() && self.is_cut_off(&span) {
                self.report_cut(&mut members, &key, key_at);
                continue;
            }
            if let Some(line) = seen.get(&*key) {
                let what = format!("`{key}` is written twice; the first is in line {line}: keep one of them");
                self.mistakes.push((key_at, what));
                continue;
            }
            seen.insert(key.as_ref().into(), key_at.line);
            members.push(Member { key: key.into(), key_at, value });
        }
    }

    /// `{{X}}` without quotes is, to YAML, a mapping whose key is a mapping.
    fn report_odd_key(&mut self, opening: &Span, closing: &Span, key_at: Position) {
        let whole = range(&opening.start, &closing.end).and_then(|r| self.source.get(r)).unwrap_or_default().trim();
        let inner = whole.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        match inner.filter(|inner| !inner.contains('\n')) {
            Some(inner) => {
                let name = inner.trim();
                let what = format!(
                    "`{{{{{inner}}}}}` without quotes is a YAML mapping: quote it (\"{{{{{name}}}}}\") or write <<{name}>>"
                );
                self.mistakes.push((position(&opening.start), what));
            }
            None => {
                let what = "a key must be a plain word; if this belongs to a text, quote the whole text".to_owned();
                self.mistakes.push((key_at, what));
            }
        }
    }

    /// Whether no colon follows this key of a flow mapping: it is the rest of a value that held a comma.
    fn is_cut_off(&self, key: &Span) -> bool {
        let rest = key.end.byte_offset().and_then(|end| self.source.get(end..)).unwrap_or_default();
        rest.trim_start().starts_with([',', '}'])
    }

    fn report_cut(&mut self, members: &mut [Member], key: &str, key_at: Position) {
        if let Some(last) = members.last_mut()
            && let Some(start) = last.value.scalar().filter(|s| s.plain).map(|s| s.text.clone())
        {
            let what = if is_open(&start) {
                cut_message(&start, &format!("{start},{key}"))
            } else {
                format!(
                    "YAML ends the value `{start}` at the comma; if `{key}` belongs to it, quote it all: \"{start}, {key}\""
                )
            };
            self.mistakes.push((last.value.at, what));
            last.value.tree = Tree::Reported;
        } else if !matches!(members.last().map(|m| &m.value.tree), Some(Tree::Reported)) {
            self.mistakes
                .push((key_at, format!("`{key}` has no value: write `{key}: …`, or quote it if it belongs to a text")));
        }
    }

    /// Finds expressions that YAML cut in two at a comma of a flow list.
    fn rejoin_list(&mut self, elements: &mut [Node]) {
        let mut from = 0;
        while from < elements.len() {
            let open = elements[from].scalar().is_some_and(|s| s.plain && is_open(&s.text));
            let close = (from + 1..elements.len())
                .find(|&i| elements[i].scalar().is_some_and(|s| s.plain && s.text.contains(">>")));
            let (true, Some(close)) = (open, close) else {
                from += 1;
                continue;
            };
            let parts: Vec<&str> = elements[from..=close].iter().filter_map(|n| Some(&*n.scalar()?.text)).collect();
            let what = cut_message(parts[0], &parts.join(","));
            self.mistakes.push((elements[from].at, what));
            for element in &mut elements[from..=close] {
                element.tree = Tree::Reported;
            }
            from = close + 1;
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, span: &Span) {
        if let Some(tag) = tag {
            let at = position(span.tag_start.as_ref().unwrap_or(&span.start));
            let what = format!("YAML tags such as `{}` are not used here: write the value without it", tag.original());
            self.mistakes.push((at, what));
        }
    }

    fn layout(&self, text: &str, style: ScalarStyle, span: &Span) -> Layout {
        let written = range(&span.start, &span.end).and_then(|r| self.source.get(r)).unwrap_or_default();
        match style {
            ScalarStyle::Plain if written.trim_end() == text => Layout::Straight(0),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted
                if written.len() == text.len() + 2 && written.get(1..written.len() - 1) == Some(text) =>
            {
                Layout::Straight(1)
            }
            ScalarStyle::Literal => self.block_layout(span),
            _ => Layout::Unknown,
        }
    }

    fn block_layout(&self, span: &Span) -> Layout {
        // The span starts at the `|`, or at the first line of content.
        let start = span.start.line();
        let header = self.source.lines().nth(start - 1).is_some_and(|line| line.contains('|'));
        let first = if header { start + 1 } else { start };
        let lines = self.source.lines().skip(first - 1);
        let filled = lines.into_iter().find(|line| !line.trim().is_empty());
        filled.map_or(Layout::Unknown, |line| Layout::Lines { first, indent: line.len() - line.trim_start().len() })
    }

    fn explain(&self, error: &ScanError) -> Mistake {
        let at = position(error.marker());
        let line = self.source.lines().nth(at.line - 1).unwrap_or_default();
        let near = line.chars().skip(at.column.saturating_sub(2)).take(2);
        let hint = if near.into_iter().any(|c| c == '*') {
            "; a text that starts with `*` must be quoted, like \"*\""
        } else if line.contains("{{") || line.contains("${") || line.contains("<<") {
            "; a value that holds `{`, `}`, `: ` or ` #` must be quoted, like \"<<X>>\" or \"${X}\""
        } else if line.contains('\t') {
            "; indent with spaces, not with tabs"
        } else if line.contains('@') || line.contains('`') || line.contains('%') {
            "; quote a value that starts with @, ` or %"
        } else {
            "; check the indentation and the quotes of this line and the one before"
        };
        let what = match error.kind() {
            ErrorKind::DirectiveDisallowed => "lines that start with `%` are not used here: take it away".to_owned(),
            _ => format!("not valid YAML: {}{hint}", error.info()),
        };
        (at, what)
    }
}

fn cut_message(start: &str, whole: &str) -> String {
    format!("YAML splits `{whole}` at the comma after `{start}`: quote it (\"{whole}\")")
}

/// Whether an expression is opened and not closed.
fn is_open(text: &str) -> bool {
    text.rfind("<<").is_some_and(|open| !text[open..].contains(">>"))
}

fn position(marker: &Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

fn range(start: &Marker, end: &Marker) -> Option<std::ops::Range<usize>> {
    Some(start.byte_offset()?..end.byte_offset()?)
}
