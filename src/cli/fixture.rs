//! A connector's fixtures, run through the real decision and rendering.
//!
//! Refuses: the connector's `mode`, `wait` and `settle`. A fixture says what is to become of an event in the end, whether
//! or not the connector is switched on yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use url::form_urlencoded::{self, Serializer};

use crate::config::Config;
use crate::config::fixtures::{ConnectorFixtures, Expect, ExpectBody, Fixture};
use crate::console::{now, sample, submitted};
use crate::json;
use crate::model::connector::{Connector, Mode};
use crate::model::event::Event;
use crate::model::ids::ContainerKey;
use crate::model::record::ShownRequest;
use crate::model::value::{Members, Value};
use crate::pipeline::explain::{Explained, explain};

/// The address by which a fixture's event finds its clicks: a further spelling, which serves for matching and no template can ask
/// for (RFC 6761 keeps its domain from being anybody's).
const LINK: &str = "fixture@postbackd.invalid";

/// Runs every fixture, each against the whole configuration, so that rival clicks are seen as the daemon sees them.
/// Gives a line `FILE:LINE:COLUMN: message` for each that fails.
pub fn check(config: &Config, all: &[ConnectorFixtures]) -> Vec<String> {
    let mut failed = Vec::new();
    for of_one in all {
        let Some(place) = config.connectors.iter().position(|c| c.name == of_one.connector) else { continue };
        let decisive = Arc::new(decisive(&config.connectors[place]));
        let mut tried = config.clone();
        tried.connectors[place] = Arc::clone(&decisive);
        let tried = Arc::new(tried);
        for fixture in &of_one.fixtures {
            if let Err(why) = run(&tried, &decisive, fixture) {
                let (line, column) = (fixture.line, fixture.column);
                failed.push(format!("{}:{line}:{column}: fixture of {}: {why}", of_one.file, of_one.connector));
            }
        }
    }
    failed
}

/// The connector switched on, and decided at once.
fn decisive(connector: &Connector) -> Connector {
    let mut connector = connector.clone();
    connector.mode = Mode::Enabled;
    connector.postback_enabled = true;
    if let Some(matching) = &mut connector.click_matching {
        matching.wait = Duration::ZERO;
        matching.settle = Duration::ZERO;
    }
    connector
}

fn run(config: &Arc<Config>, connector: &Connector, fixture: &Fixture) -> Result<(), String> {
    let container = sample::container(connector, config);
    let event = read(config, container, &fixture.event)?;
    let key = event.container.clone();
    let count = fixture.clicks.len();
    let mut history = Vec::with_capacity(count);
    for (index, click) in fixture.clicks.iter().enumerate() {
        // A second apart, the last one a second before the event.
        let before = Duration::from_secs((count - index) as u64);
        history.push(landing(config, &key, &event, click, before)?);
    }
    let explained = explain(Arc::clone(config), history, event)?;
    let own = explained.iter().find(|e| e.connector == connector.name);
    compare(&fixture.expect, own.ok_or("nothing was decided for this connector")?)
}

fn read(config: &Config, container: Option<&str>, event: &Value) -> Result<Event, String> {
    let read = submitted::as_it_happened(&json::to_string(event), config, container, now());
    let mut event = read.map_err(|problems| {
        let told: Vec<_> = problems.iter().map(|p| format!("{} {}", p.field, p.problem).trim().to_owned()).collect();
        format!("`event` can't be read: {}", told.join("; "))
    })?;
    event.email_variants.push(LINK.into());
    Ok(event)
}

/// The page view that brought a click.
fn landing(
    config: &Config,
    container: &ContainerKey,
    event: &Event,
    click: &[(Box<str>, Box<str>)],
    before: Duration,
) -> Result<Event, String> {
    let query = Serializer::new(String::new()).extend_pairs(click.iter().map(|(n, v)| (&**n, &**v))).finish();
    let members = [
        ("track", "postbackd-fixture-landing"),
        ("url", &format!("https://shop.example/?{query}")),
        ("timestamp", &event.time.minus(before).to_string()),
    ];
    let view = Value::Map(members.into_iter().map(|(n, v)| (n.into(), Value::from(v))).collect());
    read(config, Some(container), &view)
}

fn compare(expect: &Expect, got: &Explained) -> Result<(), String> {
    let verdict = got.for_now.unwrap_or(got.verdict);
    if let Some(reason) = expect.reason {
        if verdict == reason.word() {
            return Ok(());
        }
        return Err(format!("expected {}, got {verdict}: {}", reason.word(), got.why));
    }
    let Some(request) = got.requests.first() else {
        return Err(format!("expected a request, got {verdict}: {}", got.why));
    };
    if let Some(url) = &expect.url {
        same("url", url, &request.url)?;
    }
    if let Some(method) = expect.method {
        same("method", method.word(), request.method)?;
    }
    for (name, value) in &expect.headers {
        let header = request.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        same(&format!("header {name}"), value, header.map_or("(none)", |(_, v)| v))?;
    }
    expect.body.as_ref().map_or(Ok(()), |body| same_body(body, request))
}

fn same(what: &str, expected: &str, got: &str) -> Result<(), String> {
    if expected == got { Ok(()) } else { Err(format!("{what}:\n  expected {expected}\n  got      {got}")) }
}

fn same_body(expect: &ExpectBody, request: &ShownRequest) -> Result<(), String> {
    let got = request.body.as_deref().unwrap_or_default();
    match expect {
        ExpectBody::Text(text) => same("body", text, got),
        ExpectBody::Form(fields) => {
            let mut wanted: Vec<(&str, &str)> = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
            let parsed: Vec<_> = form_urlencoded::parse(got.as_bytes()).collect();
            let mut found: Vec<(&str, &str)> = parsed.iter().map(|(n, v)| (&**n, &**v)).collect();
            wanted.sort_unstable();
            found.sort_unstable();
            let text = |pairs: &[(&str, &str)]| {
                let shown: Vec<_> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
                shown.join(" & ")
            };
            same("form", &text(&wanted), &text(&found))
        }
        ExpectBody::Json(wanted) => {
            let found = json::parse(got).map_err(|e| format!("body is no JSON: {e}\n  got      {got}"))?;
            if equal(wanted, &found) { Ok(()) } else { same("json", &json::to_string(wanted), got) }
        }
    }
}

/// Equality of JSON: members in any order, numbers by value.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Map(a), Value::Map(b)) => {
            let sorted = |members: &Members| -> BTreeMap<_, _> { members.iter().cloned().collect() };
            let (a, b) = (sorted(a), sorted(b));
            a.len() == b.len() && a.iter().zip(&b).all(|((n, v), (m, w))| n == m && equal(v, w))
        }
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(v, w)| equal(v, w)),
        (Value::Number(a), Value::Number(b)) => {
            let number = |text: &str| Decimal::from_scientific(text).or_else(|_| text.parse::<Decimal>()).ok();
            a == b || number(a).is_some_and(|a| Some(a) == number(b))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::delivery::Reason;

    fn request(body: &str) -> ShownRequest {
        ShownRequest {
            method: "POST",
            url: "https://n.example/p?c=1".into(),
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: Some(body.into()),
        }
    }

    fn explained(verdict: &'static str, for_now: Option<&'static str>, requests: Vec<ShownRequest>) -> Explained {
        Explained { connector: "one".into(), verdict, why: "because".into(), for_now, click: None, requests }
    }

    #[test]
    fn a_failed_expectation_says_what_was_expected_and_what_came() {
        let sent = explained("send", None, vec![request("{}")]);
        let url = |text: &str| Expect { url: Some(text.into()), ..Expect::default() };
        assert_eq!(compare(&url("https://n.example/p?c=1"), &sent), Ok(()));
        assert_eq!(
            compare(&url("https://n.example/p?c=2"), &sent),
            Err("url:\n  expected https://n.example/p?c=2\n  got      https://n.example/p?c=1".to_owned())
        );
        let reason = Expect { reason: Some(Reason::NoClick), ..Expect::default() };
        assert!(compare(&reason, &sent).unwrap_err().contains("expected no_click, got send"));
        assert_eq!(compare(&reason, &explained("no_click", None, vec![])), Ok(()));
        assert_eq!(compare(&reason, &explained("waiting", Some("no_click"), vec![])), Ok(()));
        assert!(compare(&url("x"), &explained("no_click", None, vec![])).unwrap_err().contains("no_click: because"));
        let header = Expect { headers: vec![("content-type".into(), "application/json".into())], ..Expect::default() };
        assert_eq!(compare(&header, &sent), Ok(()));
        let header = Expect { headers: vec![("x-key".into(), "1".into())], ..Expect::default() };
        assert!(compare(&header, &sent).unwrap_err().contains("(none)"));
    }

    #[test]
    fn bodies_are_compared_as_what_they_are() {
        let json = |text: &str| ExpectBody::Json(json::parse(text).unwrap());
        let form = |pairs: &[(&str, &str)]| {
            ExpectBody::Form(pairs.iter().map(|(n, v)| (Box::from(*n), Box::from(*v))).collect())
        };
        for (expect, got, fine) in [
            (json(r#"{"a":1,"b":[1.50]}"#), r#"{"b":[1.5],"a":1}"#, true),
            (json(r#"{"a":1}"#), r#"{"a":"1"}"#, false),
            (json(r#"{"a":1}"#), r#"{"a":1,"b":2}"#, false),
            (json(r#"[1,2]"#), r#"[2,1]"#, false),
            (json("1e2"), "100", true),
            (json("{}"), "a=b", false),
            (form(&[("a", "1 2"), ("b", "ä")]), "b=%C3%A4&a=1+2", true),
            (form(&[("a", "1")]), "a=1&a=1", false),
            (ExpectBody::Text("x".into()), "x", true),
            (ExpectBody::Text("x".into()), "x ", false),
        ] {
            assert_eq!(same_body(&expect, &request(got)).is_ok(), fine, "{expect:?} {got}");
        }
    }
}
