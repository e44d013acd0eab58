//! The row of clicks, of a visitor or of those that an event's decisions rest on.
//!
//! Refuses: telling the same twice. Clicks of one landing share it, and a browser that lands again is not told again.

use std::fmt;
use std::sync::Arc;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;

use super::RowError;
use super::parts::Str;
use crate::model::click::{Click, Landing};
use crate::model::time::Time;

/// URL and referrer, and ip and user agent where they are others than those of the landing before.
struct LandingRow<'a> {
    url: Str<'a>,
    referrer: Option<Str<'a>>,
    browser: Option<BrowserRow<'a>>,
}

type BrowserRow<'a> = (Option<Str<'a>>, Option<Str<'a>>);

impl Serialize for LandingRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { url, referrer, browser } = self;
        match browser {
            Some((ip, agent)) => (url, referrer, ip, agent).serialize(serializer),
            None => (url, referrer).serialize(serializer),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for LandingRow<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Listed;
        impl<'de> Visitor<'de> for Listed {
            type Value = LandingRow<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL and a referrer, with or without an ip and a user agent")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<LandingRow<'de>, A::Error> {
                let missing = |at| serde::de::Error::invalid_length(at, &self);
                let url = list.next_element()?.ok_or_else(|| missing(0))?;
                let referrer = list.next_element()?.ok_or_else(|| missing(1))?;
                let browser = match list.next_element()? {
                    Some(ip) => Some((ip, list.next_element()?.ok_or_else(|| missing(3))?)),
                    None => None,
                };
                Ok(LandingRow { url, referrer, browser })
            }
        }
        deserializer.deserialize_seq(Listed)
    }
}

type ClickRow<'a> = (Str<'a>, Str<'a>, Option<i64>, i64, usize);

/// Clicks with the landings they share.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct ClicksRow<'a> {
    #[serde(rename = "l", borrow)]
    landings: Vec<LandingRow<'a>>,
    /// Parameter, value, time, seen, which landing.
    #[serde(rename = "c", borrow)]
    clicks: Vec<ClickRow<'a>>,
}

/// Landings, the last ones written, among which that of the next click is looked for.
const LANDINGS_COMPARED: usize = 4;

impl<'a> ClicksRow<'a> {
    pub(super) fn of(clicks: &'a [Click]) -> Self {
        let mut row = Self { landings: Vec::new(), clicks: Vec::with_capacity(clicks.len()) };
        let mut known: Vec<&Arc<Landing>> = Vec::new();
        for click in clicks {
            let landing = &click.landing;
            // Clicks of one landing stand together, or nearly.
            let near = known.len().saturating_sub(LANDINGS_COMPARED);
            let at = known[near..].iter().rposition(|l| Arc::ptr_eq(l, landing) || **l == *landing);
            let at = at.map_or(known.len(), |at| near + at);
            if at == known.len() {
                row.landings.push(LandingRow::of(landing, known.last().map(|last| &***last)));
                known.push(landing);
            }
            let (param, value) = (click.param.as_str().into(), click.value.as_str().into());
            row.clicks.push((param, value, click.time.map(Time::ms), click.seen.ms(), at));
        }
        row
    }

    pub(super) fn clicks(self) -> Result<Vec<Click>, RowError> {
        let mut landings: Vec<Arc<Landing>> = Vec::with_capacity(self.landings.len());
        for row in self.landings {
            let landing = row.landing(landings.last().map(|last| &**last))?;
            landings.push(Arc::new(landing));
        }
        let click = |(param, value, time, seen, at): ClickRow<'_>| {
            let landing = landings.get(at).ok_or_else(|| RowError::new("click", "its landing is missing"))?.clone();
            let (time, seen) = (time.map(Time::from_ms), Time::from_ms(seen));
            Ok(Click { param: param.into(), value: value.into(), time, seen, landing })
        };
        self.clicks.into_iter().map(click).collect()
    }
}

impl<'a> LandingRow<'a> {
    /// `before` is the landing that is written before it.
    fn of(landing: &'a Landing, before: Option<&Landing>) -> Self {
        let Landing { url, referrer, ip, user_agent } = landing;
        let text = |text: &'a Option<SmolStr>| text.as_deref().map(Str::from);
        let is_same = before.is_some_and(|before| (&before.ip, &before.user_agent) == (ip, user_agent));
        let browser = (!is_same).then(|| (text(ip), text(user_agent)));
        Self { url: Str::from(&**url), referrer: text(referrer), browser }
    }

    fn landing(self, before: Option<&Landing>) -> Result<Landing, RowError> {
        let text = |text: Option<Str<'_>>| text.map(SmolStr::from);
        let (ip, user_agent) = match (self.browser, before) {
            (Some((ip, user_agent)), _) => (text(ip), text(user_agent)),
            (None, Some(before)) => (before.ip.clone(), before.user_agent.clone()),
            (None, None) => return Err(RowError::new("click", "its first landing says nothing of a browser")),
        };
        Ok(Landing { url: self.url.into(), referrer: text(self.referrer), ip, user_agent })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{decode, encode};
    use super::*;

    fn landing() -> impl Strategy<Value = Landing> {
        let one_of = |texts: &'static [&'static str]| {
            proptest::option::of(proptest::sample::select(texts).prop_map(SmolStr::new_static))
        };
        let url = proptest::sample::select(&["", "https://s.example/?a=1", "https://s.example/?q=\"\\ä"][..]);
        let agents = &["", "Browser/1", "a browser with a name that is longer than what lies in place"];
        (url, one_of(&["https://n.example/"]), one_of(&["192.0.2.7", "192.0.2.8"]), one_of(agents))
            .prop_map(|(url, referrer, ip, user_agent)| Landing { url: url.into(), referrer, ip, user_agent })
    }

    fn clicks() -> impl Strategy<Value = Vec<Click>> {
        // Neighbours share a landing, or have equal ones, or others.
        let landings = proptest::collection::vec((landing(), 1..3_usize).prop_map(|(l, n)| (Arc::new(l), n)), 0..8);
        landings.prop_map(|landings| {
            let each = landings.into_iter().flat_map(|(landing, n)| std::iter::repeat_n(landing, n));
            let click = |(n, landing): (usize, Arc<Landing>)| {
                let at = Time::from_ms(i64::try_from(n).unwrap());
                Click {
                    param: "cid".into(),
                    value: format!("c{n}").into(),
                    time: (n != 0).then_some(at),
                    seen: at,
                    landing,
                }
            };
            each.enumerate().map(click).collect()
        })
    }

    fn read(text: &str) -> Vec<Click> {
        decode::<ClicksRow<'_>>("click", text).and_then(ClicksRow::clicks).unwrap()
    }

    proptest! {
        #[test]
        fn clicks_are_read_back_as_they_were_written(clicks in clicks()) {
            prop_assert_eq!(read(&encode(&ClicksRow::of(&clicks), 0)), clicks);
        }
    }

    #[test]
    fn a_browser_is_told_once_for_landings_that_follow_each_other() {
        let landing = |url: &str, ip: Option<&str>| {
            let user_agent = Some("a browser with a name that is longer than what lies in place".into());
            Arc::new(Landing { url: url.into(), referrer: None, ip: ip.map(SmolStr::new), user_agent })
        };
        let landings = [landing("/1", Some("192.0.2.7")), landing("/2", Some("192.0.2.7")), landing("/3", None)];
        let at = Time::from_ms(1);
        let click = |landing: &Arc<Landing>| Click {
            param: "cid".into(),
            value: "c".into(),
            time: Some(at),
            seen: at,
            landing: landing.clone(),
        };
        let clicks: Vec<Click> = landings.iter().map(click).collect();
        let text = encode(&ClicksRow::of(&clicks), 0);
        assert_eq!(text.matches("192.0.2.7").count(), 1, "{text}");
        assert_eq!(text.matches("a browser").count(), 2, "{text}");
        let back = read(&text);
        assert_eq!(back, clicks);
        let agents = [0, 1].map(|n| back[n].landing.user_agent.as_ref().unwrap().as_ptr());
        assert_eq!(agents[0], agents[1], "both hold the same text");
    }

    #[test]
    fn a_row_that_tells_every_browser_is_read_and_half_a_landing_is_not() {
        let four = r#"{"l":[["/1",null,"192.0.2.7","B"],["/2","r","192.0.2.7","B"]],"c":[["cid","c",null,5,1]]}"#;
        let landing = &read(four)[0].landing;
        assert_eq!(
            (&*landing.url, landing.ip.as_deref(), landing.user_agent.as_deref()),
            ("/2", Some("192.0.2.7"), Some("B"))
        );
        for half in [r#"["/1"]"#, "[]", r#"["/1",null,"192.0.2.7"]"#, r#"["/1",null,"192.0.2.7","B",1]"#] {
            let text = format!(r#"{{"l":[{half}],"c":[]}}"#);
            assert!(decode::<ClicksRow<'_>>("click", &text).is_err(), "{half}");
        }
        let first = decode::<ClicksRow<'_>>("click", r#"{"l":[["/1",null]],"c":[]}"#).and_then(ClicksRow::clicks);
        assert!(first.unwrap_err().to_string().contains("browser"));
    }
}
