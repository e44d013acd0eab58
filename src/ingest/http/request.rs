//! One request with its body, read within its limits, for a dialect to make events of.
//!
//! Refuses: bodies over 300 kB, compressed ones, and those that trickle in.

use std::borrow::Cow;
use std::collections::HashSet;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use percent_encoding::percent_decode;

use super::answer::Refusal;
use super::signature::Signatures;
use crate::ingest::MESSAGE_MAX;
use crate::ingest::dialects::FieldIn;
use crate::ingest::reading::{Input, Reason, Refused};

/// A body of 300 kB takes this long at 160 kbit/s; who is slower holds a connection for nothing.
const BODY_WITHIN: Duration = Duration::from_secs(15);

/// Of a body that is too large, so much is thrown away before the answer: a connection that is closed over unread bytes
/// is reset, and many senders then never see the 413.
const THROWN_AWAY_MAX: usize = 2_000_000;
const THROWN_AWAY_WITHIN: Duration = Duration::from_secs(2);

/// Bytes of an `Idempotency-Key`: as many as an AMQP `message_id` may have.
const IDEMPOTENCY_KEY_MAX: usize = 255;

/// A request as dialects see it.
#[derive(Debug)]
pub struct Request {
    /// Path and query as sent.
    pub target: String,
    /// The parts of the path that are no constant of the route, decoded, in order.
    pub path: Vec<Box<str>>,
    /// As sent, without the question mark.
    pub query: String,
    /// Of a `GET` always empty.
    pub body: Content,
    /// Never blank.
    pub idempotency_key: Option<String>,
    pub signatures: Signatures,
}

/// What a request carried.
#[derive(Debug)]
pub struct Content {
    pub kind: Body,
    pub bytes: Bytes,
}

/// What a body is, going by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Empty,
    Json,
    Form,
}

/// Reads the request whole; `path` are the parts that its route leaves open.
pub(super) async fn read(path: Vec<Box<str>>, request: axum::extract::Request) -> Result<Request, Refusal> {
    let (head, body) = request.into_parts();
    Ok(Request {
        target: head.uri.path_and_query().map_or_else(String::new, ToString::to_string),
        path,
        query: head.uri.query().unwrap_or_default().to_owned(),
        body: content(&head, body).await?,
        idempotency_key: idempotency_key(&head.headers)?,
        signatures: Signatures::of(&head.headers),
    })
}

async fn content(head: &http::request::Parts, body: axum::body::Body) -> Result<Content, Refusal> {
    let nothing = Content { kind: Body::Empty, bytes: Bytes::new() };
    if head.method == Method::GET || body.is_end_stream() {
        return Ok(nothing);
    }
    let kind = kind(&head.headers);
    let announced = head.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let bytes = match announced {
        Some(length) if (MESSAGE_MAX as u64) < length => {
            throw_away(body).await;
            return Err(Refusal::TooLarge);
        }
        _ => tokio::time::timeout(BODY_WITHIN, collect(body)).await.map_err(|_| Refusal::TooSlow)??,
    };
    if bytes.is_empty() {
        return Ok(nothing);
    }
    Ok(Content { kind: kind.ok_or(Refusal::MediaType)?, bytes })
}

async fn collect(mut body: axum::body::Body) -> Result<Bytes, Refusal> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::BrokenOff)?.into_data() else {
            continue;
        };
        if MESSAGE_MAX < bytes.len() + data.len() {
            throw_away(body).await;
            return Err(Refusal::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

async fn throw_away(mut body: axum::body::Body) {
    let read = async {
        let mut length = 0;
        while let Some(Ok(frame)) = body.frame().await {
            length += frame.data_ref().map_or(0, Bytes::len);
            if THROWN_AWAY_MAX < length {
                break;
            }
        }
    };
    // Too late is as good as read: the answer goes out either way.
    drop(tokio::time::timeout(THROWN_AWAY_WITHIN, read).await);
}

fn kind(headers: &HeaderMap) -> Option<Body> {
    if headers.get(CONTENT_ENCODING).is_some_and(|v| v != "identity") {
        return None;
    }
    let essence = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim().to_ascii_lowercase();
    match &*essence {
        "application/x-www-form-urlencoded" => Some(Body::Form),
        essence if essence == "application/json" || essence.ends_with("+json") => Some(Body::Json),
        _ => None,
    }
}

/// Bare, or quoted as the IETF's draft has it.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    let bad = |problem: &str| Refused::new(Reason::Invalid, "Idempotency-Key", problem);
    let text = value.to_str().map_err(|_| bad("holds other characters than ASCII"))?.trim();
    let text = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text).trim();
    if IDEMPOTENCY_KEY_MAX < text.len() {
        return Err(bad("is longer than 255 characters; send a shorter one"));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The pairs of a query or a form, decoded. Pairs without a name are passed over.
///
/// # Errors
/// What is no UTF-8, and a name that comes twice: which of the two is meant would be a guess. A list of variants may, and a
/// name that says it is a list (`products[]`).
pub(crate) fn pairs(encoded: &[u8]) -> Result<Vec<FieldIn<'_>>, Refused> {
    let mut found: Vec<FieldIn<'_>> = Vec::new();
    let mut names: HashSet<String> = HashSet::new();
    for pair in encoded.split(|b| *b == b'&') {
        let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        let no_text = || Refused::new(Reason::Malformed, "", "a query or form field is no UTF-8 text");
        let name = decode(&pair[..at]).ok_or_else(no_text)?;
        if name.is_empty() {
            continue;
        }
        let value = decode(pair.get(at + 1..).unwrap_or_default()).ok_or_else(|| {
            Refused::new(Reason::Malformed, name.chars().take(100).collect::<String>(), "is no UTF-8 text")
        })?;
        let is_list = name.ends_with("[]") || name.to_ascii_lowercase().ends_with("variants");
        if !names.insert(name.to_string()) && !is_list {
            let name = name.chars().take(100).collect::<String>();
            return Err(Refused::new(Reason::Invalid, name, "is given twice; send it once"));
        }
        found.push((name, Input::Text(value)));
    }
    Ok(found)
}

fn decode(encoded: &[u8]) -> Option<Cow<'_, str>> {
    if encoded.contains(&b'+') {
        let spaced: Vec<u8> = encoded.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
        return percent_decode(&spaced).decode_utf8().ok().map(|text| Cow::Owned(text.into_owned()));
    }
    percent_decode(encoded).decode_utf8().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_given_once() {
        let found = pairs(b"k=a%20b&n=x+y&&=z&flag&v=%C3%A4").unwrap();
        let found: Vec<(String, String)> = found
            .into_iter()
            .map(|(n, v)| match v {
                Input::Text(text) => (n.into_owned(), text.into_owned()),
                Input::Raw(_) => panic!("a pair is text"),
            })
            .collect();
        let expect = [("k", "a b"), ("n", "x y"), ("flag", ""), ("v", "ä")];
        assert_eq!(found, expect.map(|(n, v)| (n.to_owned(), v.to_owned())));

        assert_eq!(pairs(b"value=1&value=2").unwrap_err().field(), "value");
        assert_eq!(pairs(b"email_variants=a&email_variants=b").unwrap().len(), 2);
        assert_eq!(pairs(b"track=%FF").unwrap_err().reason, Reason::Malformed);
        assert_eq!(pairs(b"%FF=1").unwrap_err().reason, Reason::Malformed);
        assert!(pairs(b"").unwrap().is_empty());
    }

    #[test]
    fn an_idempotency_key_may_be_quoted() {
        let key = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("Idempotency-Key", value.parse().unwrap());
            idempotency_key(&headers)
        };
        assert_eq!(key("abc").unwrap().as_deref(), Some("abc"));
        assert_eq!(key("\"abc\"").unwrap().as_deref(), Some("abc"));
        assert_eq!(key(" ").unwrap(), None);
        assert_eq!(key(&"x".repeat(256)).unwrap_err().field(), "Idempotency-Key");
    }
}
