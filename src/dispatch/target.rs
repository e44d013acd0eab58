//! Where a postback goes: its URL, read, and the guard's word on it. What a connector sends mostly differs behind the `?`
//! alone, so what stands before it is kept as it was read last.
//!
//! Refuses: another reading of a URL than the `url` crate's, which is the one that is sent.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use url::Url;

use super::guard::Guard;

/// A URL that is ready to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub url: Url,
    pub is_https: bool,
    /// Whether the guard lets it pass.
    pub is_permitted: bool,
}

/// Reads the URLs of one connector.
#[derive(Clone, Debug)]
pub(super) struct Targets {
    guard: Arc<Guard>,
    last: Arc<ArcSwapOption<Before>>,
}

/// What stood before the `?`, and what it says.
#[derive(Debug)]
struct Before {
    text: Box<str>,
    target: Target,
}

impl Targets {
    pub(super) fn new(guard: Arc<Guard>) -> Self {
        Self { guard, last: Arc::default() }
    }

    /// `None` where the text is no valid http or https URL.
    pub(super) fn read(&self, text: &str) -> Option<Target> {
        let Some((before, query)) = plain_query(text) else { return self.read_whole(text) };
        let last = self.last.load();
        let mut target = match &*last {
            Some(last) if *last.text == *before => last.target.clone(),
            _ => {
                let target = self.read_whole(before)?;
                self.last.store(Some(Arc::new(Before { text: before.into(), target: target.clone() })));
                target
            }
        };
        target.url.set_query(Some(query));
        Some(target)
    }

    fn read_whole(&self, text: &str) -> Option<Target> {
        let url = Url::parse(text).ok()?;
        let is_https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        Some(Target { is_permitted: self.guard.check(&url).is_ok(), is_https, url })
    }
}

/// The text before the `?` and that behind, where the latter is a query and nothing else, which says the same wherever it
/// is read: without a fragment, and without what is skipped or trimmed while a whole URL is read, as blanks at its end are.
fn plain_query(text: &str) -> Option<(&str, &str)> {
    let (before, query) = text.split_once('?')?;
    let is_whole = !before.contains('#') && before.bytes().last().is_some_and(|b| b' ' < b);
    let is_plain = query.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    (is_whole && is_plain).then_some((before, query))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn targets() -> Targets {
        Targets::new(Arc::new(Guard::new(Vec::new())))
    }

    #[test]
    fn what_is_kept_is_read_again_where_it_differs() {
        let targets = targets();
        let read = |text: &str| targets.read(text).map(|t| (t.url.to_string(), t.is_https, t.is_permitted));
        let said = |url: &str, is_https, is_permitted| Some((url.to_owned(), is_https, is_permitted));
        for _ in 0..2 {
            assert_eq!(read("https://n.example/p?a=1"), said("https://n.example/p?a=1", true, true));
            assert_eq!(read("https://n.example/p?a=2&b=%20"), said("https://n.example/p?a=2&b=%20", true, true));
            assert_eq!(read("http://127.0.0.1/p?a=2"), said("http://127.0.0.1/p?a=2", false, false));
            assert_eq!(read("https://n.example/p?a=1#f"), said("https://n.example/p?a=1#f", true, true));
            assert_eq!(read("https://n.example/p?"), said("https://n.example/p?", true, true));
            assert_eq!(read("https://n.example/p ?a=1"), said("https://n.example/p%20?a=1", true, true));
            assert_eq!(read("https://n.example/p"), said("https://n.example/p", true, true));
            assert_eq!(read("ftp://n.example/p?a=1"), None);
            assert_eq!(read("https://?a=1"), None);
        }
    }

    proptest! {
        #[test]
        fn it_is_read_as_the_whole_would_be(
            before in "(https?|HTTP|ftp|x)?(:|://|:///|:\\\\)?[ -~é\t]{0,12}",
            queries in prop::collection::vec("[ -~é\t\n]{0,16}", 1..4),
        ) {
            let targets = targets();
            for query in queries {
                let text = format!("{before}?{query}");
                prop_assert_eq!(targets.read(&text), targets.read_whole(&text), "{}", text);
            }
        }
    }
}
