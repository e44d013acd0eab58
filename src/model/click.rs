//! A click: one click ID seen on a landing URL or sent in a field.
//!
//! Refuses: saying what a click is worth; that is `rules::attribute`.

use std::sync::Arc;

use smol_str::SmolStr;

use super::time::Time;

/// What was known at the moment of landing. Clicks of one URL share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Landing {
    /// The landing URL whole, with its query. Empty for a click that came in a field, or the bare query `?trls=…` where
    /// the sender named the source of a `trlc`.
    pub url: Box<str>,
    pub referrer: Option<SmolStr>,
    pub ip: Option<SmolStr>,
    /// Landings of one browser share it once they were read from the store.
    pub user_agent: Option<SmolStr>,
}

impl Landing {
    /// Whether the URL is that of a page, so that it tells a source and may be shown as the landing page.
    pub fn is_page(&self) -> bool {
        !self.url.is_empty() && !self.url.starts_with('?')
    }
}

/// One click of one visitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Click {
    /// The query parameter as it was spelt on the URL, or the standard parameter of the field it came in.
    pub param: SmolStr,
    /// The click ID, decoded, its case kept.
    pub value: SmolStr,
    /// When the visitor landed. `None`: it came in a field without a time, and ranks before every timed click.
    pub time: Option<Time>,
    /// The time of the event that brought it, by which an untimed click grows old.
    pub seen: Time,
    /// The landing; for a click that came in a field, the browser's data of that event, without a page.
    pub landing: Arc<Landing>,
}

impl Click {
    /// The decoded value of the landing URL's query parameter `name` (exact spelling), the first if repeated.
    pub fn query(&self, name: &str) -> Option<String> {
        query_pairs(&self.landing.url).find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
    }
}

/// The decoded query parameters of a URL, absolute or not, without its fragment.
pub fn query_pairs(url: &str) -> url::form_urlencoded::Parse<'_> {
    let url = url.split_once('#').map_or(url, |(before, _)| before);
    url::form_urlencoded::parse(url.split_once('?').map_or("", |(_, query)| query).as_bytes())
}
