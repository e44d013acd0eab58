//! Comparing what was expected with what is there.
//!
//! Refuses: waiting; `play` looks again and again until this has no complaint.

use std::collections::BTreeMap;

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;

use super::Request;
use crate::broker::Taken;
use crate::partner::Seen;

/// Every seen request has its expectation, and every expectation its requests.
pub fn exactly(expected: &[Request], seen: &[Seen]) -> Result<(), String> {
    let mut left: Vec<&Seen> = seen.iter().collect();
    for request in expected {
        for _ in 0..request.times.unwrap_or(1) {
            let Some(at) = left.iter().position(|s| fits(request, s).is_ok()) else {
                return Err(format!("no request like {}{}", told(request), nearest(request, &left)));
            };
            left.remove(at);
        }
    }
    if left.is_empty() { Ok(()) } else { Err(format!("{} requests nobody expected: {left:#?}", left.len())) }
}

/// Every expectation has its requests.
pub fn among(expected: &[Request], seen: &[Seen]) -> Result<(), String> {
    for request in expected {
        let count = seen.iter().filter(|s| fits(request, s).is_ok()).count();
        let enough = request.times.map_or(1 <= count, |times| times == count);
        if !enough {
            let all: Vec<&Seen> = seen.iter().collect();
            return Err(format!("{count} requests like {}{}", told(request), nearest(request, &all)));
        }
    }
    Ok(())
}

/// An expectation without what it does not ask.
fn told(request: &Request) -> String {
    format!("{request:?}").replace("None, ", "").replace("{}, ", "")
}

/// Why the requests on the same path do not fit: the hint a person needs.
fn nearest(request: &Request, seen: &[&Seen]) -> String {
    let why = seen.iter().filter(|s| request.path.as_ref().is_none_or(|p| *p == s.path));
    let why: Vec<String> = why.take(3).filter_map(|s| fits(request, s).err()).collect();
    if why.is_empty() { format!("; {} others came", seen.len()) } else { format!("; but: {}", why.join(" | ")) }
}

fn fits(request: &Request, seen: &Seen) -> Result<(), String> {
    same("method", request.method.as_deref(), &seen.method)?;
    same("path", request.path.as_deref(), &seen.path)?;
    same("raw_query", request.raw_query.as_deref(), &seen.raw_query)?;
    same("text", request.text.as_deref(), &seen.body)?;
    if let Some(expected) = &request.query {
        all_pairs("query", expected, &seen.query())?;
    }
    if let Some(expected) = &request.form {
        all_pairs("form", expected, &seen.form())?;
    }
    for (name, expected) in &request.query_has {
        optional(&format!("query {name}"), expected.as_deref(), seen.param(name).as_deref())?;
    }
    for (name, expected) in &request.headers {
        optional(&format!("header {name}"), expected.as_deref(), seen.headers.get(name).map(String::as_str))?;
    }
    if let Some(expected) = &request.json {
        let found: Value = serde_json::from_str(&seen.body).map_err(|e| format!("body: {e}: {}", seen.body))?;
        if !same_value(expected, &found) {
            return Err(format!("json is {found}"));
        }
    }
    request.signed.as_ref().map_or(Ok(()), |secret| verify(secret, seen))
}

fn same(what: &str, expected: Option<&str>, found: &str) -> Result<(), String> {
    if expected.is_none_or(|e| matches_text(e, found)) { Ok(()) } else { Err(format!("{what} is {found:?}")) }
}

fn optional(what: &str, expected: Option<&str>, found: Option<&str>) -> Result<(), String> {
    let holds = match (expected, found) {
        (Some(expected), Some(found)) => matches_text(expected, found),
        (expected, found) => expected == found,
    };
    if holds { Ok(()) } else { Err(format!("{what} is {found:?}")) }
}

fn all_pairs(what: &str, expected: &BTreeMap<String, String>, found: &[(String, String)]) -> Result<(), String> {
    let known = found.iter().all(|(n, v)| expected.get(n).is_some_and(|e| matches_text(e, v)));
    if known && found.len() == expected.len() { Ok(()) } else { Err(format!("{what} is {found:?}")) }
}

/// `/…/` is a regular expression; everything else is meant literally.
pub fn matches_text(expected: &str, found: &str) -> bool {
    match expected.strip_prefix('/').and_then(|e| e.strip_suffix('/')) {
        Some(pattern) if !pattern.is_empty() => regex::Regex::new(pattern).expect("a good pattern").is_match(found),
        _ => expected == found,
    }
}

/// Equal, types included, but for `/…/` texts.
fn same_value(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::String(e), Value::String(f)) => matches_text(e, f),
        (Value::Array(e), Value::Array(f)) => e.len() == f.len() && e.iter().zip(f).all(|(e, f)| same_value(e, f)),
        (Value::Object(e), Value::Object(f)) => {
            e.len() == f.len() && e.iter().all(|(k, v)| f.get(k).is_some_and(|f| same_value(v, f)))
        }
        (e, f) => e == f,
    }
}

/// Every field that is expected is there; others may be too. In lists, each expected element is found somewhere.
pub fn contains(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(e), Value::Object(f)) => e.iter().all(|(k, v)| f.get(k).map_or(v.is_null(), |f| contains(v, f))),
        (Value::Array(e), Value::Array(f)) => e.iter().all(|e| f.iter().any(|f| contains(e, f))),
        (e, f) => same_value(e, f),
    }
}

/// Deliveries as listed by the API against what was expected of them. With `all`, none is left over.
pub fn deliveries(expected: &[Value], found: &[Value], all: bool) -> Result<(), String> {
    let mut accounted = 0;
    for delivery in expected {
        let mut fields = delivery.clone();
        let times = fields.as_object_mut().and_then(|f| f.remove("times")).and_then(|t| t.as_u64()).unwrap_or(1);
        let count = found.iter().filter(|f| contains(&fields, f)).count() as u64;
        if count != times {
            return Err(format!("{count} deliveries like {fields}, not {times}; there are {}", brief(found)));
        }
        accounted += times;
    }
    if all && accounted != found.len() as u64 {
        return Err(format!("{accounted} deliveries expected; there are {}", brief(found)));
    }
    Ok(())
}

fn brief(found: &[Value]) -> String {
    let line = |d: &Value| format!("{} {} {} {}", d["connector"], d["event_id"], d["state"], d["reason"]);
    let lines: Vec<String> = found.iter().take(12).map(line).collect();
    format!("{}: [{}]", found.len(), lines.join(", "))
}

/// The rejected queue, whole and in order.
pub fn rejected(expected: &[super::Rejected], found: &[Taken]) -> Result<(), String> {
    let told = |t: &Taken| (t.header("x-postbackd-reason"), t.header("x-postbackd-field"), t.body.clone());
    if expected.len() != found.len() {
        let found: Vec<_> = found.iter().map(told).collect();
        return Err(format!("{} messages were rejected, not {}: {found:?}", found.len(), expected.len()));
    }
    for (e, f) in expected.iter().zip(found) {
        let (reason, field, body) = told(f);
        let holds = reason.as_deref().is_some_and(|r| matches_text(&e.reason, r))
            && e.field.as_ref().is_none_or(|e| field.as_deref().is_some_and(|f| matches_text(e, f)))
            && e.body.as_ref().is_none_or(|e| matches_text(e, &body));
        if !holds {
            return Err(format!("rejected with {reason:?}, field {field:?}, not as {e:?}: {body}"));
        }
    }
    Ok(())
}

/// Standard Webhooks 1.0: the signature in `webhook-signature` is that of `id.timestamp.body`.
fn verify(secret: &str, seen: &Seen) -> Result<(), String> {
    let engine = base64::engine::general_purpose::STANDARD;
    let key = engine.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).map_err(|e| format!("secret: {e}"))?;
    let header = |name: &str| seen.headers.get(name).ok_or_else(|| format!("no header {name}"));
    let (id, time, given) = (header("webhook-id")?, header("webhook-timestamp")?, header("webhook-signature")?);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).map_err(|e| format!("secret: {e}"))?;
    mac.update(format!("{id}.{time}.{}", seen.body).as_bytes());
    let wanted = format!("v1,{}", engine.encode(mac.finalize().into_bytes()));
    if given.split(' ').any(|g| g == wanted) { Ok(()) } else { Err(format!("signature {given} is not {wanted}")) }
}

#[test]
fn texts_and_values_match_as_written() {
    use serde_json::json;
    assert!(matches_text("/^a+$/", "aaa"));
    assert!(matches_text("/", "/"));
    assert!(!matches_text("a", "aa"));
    assert!(same_value(&json!({"a": [1, "/x/"]}), &json!({"a": [1, "axb"]})));
    assert!(!same_value(&json!({"a": 1}), &json!({"a": "1"})));
    assert!(contains(&json!({"a": [{"b": 1}], "none": null}), &json!({"a": [{"b": 2}, {"b": 1, "c": 3}], "d": 4})));
    assert!(!contains(&json!({"a": 1}), &json!({})));
}

#[test]
fn requests_are_matched_one_by_one() {
    let seen = |query: &str| Seen {
        method: "GET".into(),
        path: "/p".into(),
        raw_query: query.into(),
        headers: BTreeMap::new(),
        body: String::new(),
    };
    let wants = |value: Value| -> Vec<Request> { serde_json::from_value(value).unwrap() };
    let both = wants(serde_json::json!([{"path": "/p", "query": {"a": "1"}}, {"query_has": {"a": "2", "b": null}}]));
    assert!(exactly(&both, &[seen("a=2"), seen("a=1")]).is_ok());
    assert!(exactly(&both, &[seen("a=2"), seen("a=1"), seen("a=3")]).unwrap_err().contains("nobody expected"));
    assert!(exactly(&both, &[seen("a=2"), seen("a=1&x=")]).unwrap_err().contains("but:"));
    assert!(among(&both, &[seen("a=2"), seen("a=1"), seen("a=3")]).is_ok());
}
