//! How entries of the delivery log are written: one line each, many lines a row.
//!
//! Refuses: SQL. A line starts with the delivery it belongs to, so that a reader who looks for one delivery, or only
//! wants to know which were tried, need not understand the rest.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rows::{RowError, decode, encode, is_empty};
use super::{LogEntry, LoggedEntry};
use crate::model::delivery::{Reason, State};
use crate::model::ids::Seq;
use crate::model::outcome::Outcome;
use crate::model::record::{Attempt, Entry, ShownRequest};
use crate::model::time::Time;

#[derive(Serialize, Deserialize)]
struct RequestRow<'a> {
    #[serde(rename = "m")]
    method: Cow<'a, str>,
    #[serde(rename = "u")]
    url: Cow<'a, str>,
    #[serde(rename = "h", default, skip_serializing_if = "is_empty")]
    headers: Cow<'a, [(Box<str>, Box<str>)]>,
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    body: Option<Cow<'a, str>>,
}

impl<'a> From<&'a ShownRequest> for RequestRow<'a> {
    fn from(request: &'a ShownRequest) -> Self {
        Self {
            method: request.method.into(),
            url: (&*request.url).into(),
            headers: Cow::Borrowed(&request.headers),
            body: request.body.as_deref().map(Cow::Borrowed),
        }
    }
}

impl From<RequestRow<'_>> for ShownRequest {
    fn from(row: RequestRow<'_>) -> Self {
        let method = if row.method == "POST" { "POST" } else { "GET" };
        Self { method, url: row.url.into(), headers: row.headers.into_owned(), body: row.body.map(Into::into) }
    }
}

/// `k` is what happened, as a word.
#[derive(Serialize, Deserialize)]
struct LineRow<'a> {
    #[serde(rename = "k")]
    kind: Cow<'a, str>,
    at: i64,
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    number: Option<u32>,
    #[serde(rename = "q", default, skip_serializing_if = "Option::is_none")]
    request: Option<RequestRow<'a>>,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    revision: Option<Cow<'a, str>>,
    #[serde(rename = "us", default, skip_serializing_if = "Option::is_none")]
    duration_us: Option<u64>,
    #[serde(rename = "st", default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(rename = "rb", default, skip_serializing_if = "Option::is_none")]
    response: Option<Cow<'a, str>>,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    failure: Option<Cow<'a, str>>,
    /// State, reason and next attempt that the entry left the delivery in.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    state: Option<Cow<'a, str>>,
    #[serde(rename = "y", default, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'a, str>>,
    #[serde(rename = "rp", default, skip_serializing_if = "std::ops::Not::not")]
    is_repeat: bool,
    #[serde(rename = "ma", default, skip_serializing_if = "std::ops::Not::not")]
    may_have_arrived: bool,
}

impl LineRow<'_> {
    fn bare(kind: &'static str, at: Time) -> Self {
        Self {
            kind: kind.into(),
            at: at.ms(),
            number: None,
            request: None,
            revision: None,
            duration_us: None,
            status: None,
            response: None,
            failure: None,
            state: None,
            reason: None,
            next: None,
            detail: None,
            is_repeat: false,
            may_have_arrived: false,
        }
    }
}

/// Appends the line of what happened to the delivery at `seq` and `place`.
pub fn write_entry(out: &mut String, seq: Seq, place: u32, at: Time, entry: &Entry) {
    let (state, reason, next) = entry.leaves();
    let mut row = match entry {
        Entry::Started { number } => LineRow { number: Some(*number), ..LineRow::bare("started", at) },
        Entry::Attempted(attempt) => attempted(attempt),
        Entry::Rendered(request) => LineRow { request: Some((&**request).into()), ..LineRow::bare("rendered", at) },
        Entry::Ended { detail, .. } => {
            LineRow { detail: detail.as_deref().map(Cow::Borrowed), ..LineRow::bare("ended", at) }
        }
    };
    row.state = Some(state.word().into());
    row.reason = reason.map(|r| r.word().into());
    row.next = next.map(Time::ms);
    line(out, seq, place, &row);
}

/// Appends the line of a replay.
pub fn write_replay(out: &mut String, seq: Seq, place: u32, at: Time) {
    let row = LineRow { state: Some(State::Pending.word().into()), ..LineRow::bare("replayed", at) };
    line(out, seq, place, &row);
}

fn attempted(attempt: &Attempt) -> LineRow<'_> {
    LineRow {
        number: Some(attempt.number),
        request: Some((&attempt.request).into()),
        revision: Some((&*attempt.revision).into()),
        duration_us: Some(u64::try_from(attempt.duration.as_micros()).unwrap_or(u64::MAX)),
        status: attempt.status,
        response: (!attempt.response.is_empty()).then(|| (&*attempt.response).into()),
        failure: attempt.failure.as_deref().map(Cow::Borrowed),
        is_repeat: attempt.is_repeat,
        may_have_arrived: attempt.may_have_arrived,
        ..LineRow::bare("attempted", attempt.started)
    }
}

/// Bytes of most lines.
const LINE_USUAL: usize = 512;

fn line(out: &mut String, seq: Seq, place: u32, row: &LineRow<'_>) {
    write!(out, "{} {place} ", seq.0).expect("a String takes all that is written");
    out.push_str(&encode(row, LINE_USUAL));
    out.push('\n');
}

/// The lines of a row, those of the event at `seq` without what was sent and what came back; `None` where none is of it.
///
/// # Errors
/// A line was not written by [`write_entry`] or [`write_replay`].
pub fn without_requests(row: &str, seq: Seq) -> Result<Option<String>, RowError> {
    if !lines(row).any(|line| line.seq == seq) {
        return Ok(None);
    }
    let mut out = String::with_capacity(row.len());
    for one in lines(row) {
        let mut read: LineRow<'_> = decode("log entry", one.rest)?;
        if one.seq == seq {
            read = LineRow { request: None, response: None, failure: None, detail: None, ..read };
        }
        line(&mut out, one.seq, one.place, &read);
    }
    Ok(Some(out))
}

/// One line, its delivery known and the rest unread.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub seq: Seq,
    pub place: u32,
    rest: &'a str,
}

/// The lines of one row.
pub fn lines(row: &str) -> impl Iterator<Item = Line<'_>> {
    row.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ' ');
        let seq = Seq(parts.next()?.parse().ok()?);
        let place = parts.next()?.parse().ok()?;
        Some(Line { seq, place, rest: parts.next()? })
    })
}

/// What a line says, and where it left the delivery.
#[derive(Debug)]
pub struct Told {
    pub entry: LogEntry,
    pub state: State,
    pub reason: Option<Reason>,
    /// Number of the attempt it tells of, if it does.
    pub attempt: Option<u32>,
}

impl Line<'_> {
    /// # Errors
    /// The line was not written by [`write_entry`] or [`write_replay`].
    pub fn read(&self) -> Result<Told, RowError> {
        let row: LineRow<'_> = decode("log entry", self.rest)?;
        let at = Time::from_ms(row.at);
        let state = row.state.as_deref().and_then(State::from_word).unwrap_or(State::Pending);
        let reason = row.reason.as_deref().and_then(Reason::from_word);
        let number = row.number.unwrap_or(0);
        let what = match &*row.kind {
            "started" => LoggedEntry::Started { number },
            "attempted" => LoggedEntry::Attempted(Attempt {
                number,
                revision: row.revision.as_deref().unwrap_or_default().into(),
                started: at,
                duration: Duration::from_micros(row.duration_us.unwrap_or(0)),
                request: row.request.map_or_else(no_request, Into::into),
                status: row.status,
                response: row.response.unwrap_or_default().into(),
                failure: row.failure.map(Into::into),
                outcome: outcome(state, reason, row.next.map(Time::from_ms)),
                is_repeat: row.is_repeat,
                may_have_arrived: row.may_have_arrived,
            }),
            "rendered" => LoggedEntry::Rendered(row.request.map_or_else(no_request, Into::into)),
            "replayed" => LoggedEntry::Replayed,
            _ => LoggedEntry::Ended { state, reason, detail: row.detail.map(Into::into) },
        };
        let attempt = matches!(what, LoggedEntry::Attempted(_)).then_some(number);
        Ok(Told { entry: LogEntry { at, what }, state, reason, attempt })
    }
}

fn no_request() -> ShownRequest {
    ShownRequest { method: "GET", url: "".into(), headers: Vec::new(), body: None }
}

fn outcome(state: State, reason: Option<Reason>, next: Option<Time>) -> Outcome {
    let reason = reason.unwrap_or(Reason::HttpStatus);
    match state {
        State::Delivered => Outcome::Delivered,
        State::Rejected => Outcome::Rejected(reason),
        State::Dead => Outcome::Dead(reason),
        State::Held => Outcome::Held,
        State::Pending | State::Waiting | State::Test | State::Skipped | State::Cancelled => {
            Outcome::Retry { at: next.unwrap_or(Time::from_ms(0)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_told() {
        let attempt = Attempt {
            number: 3,
            revision: "abc".into(),
            started: Time::from_ms(5_000),
            duration: Duration::from_micros(1_500),
            request: ShownRequest {
                method: "POST",
                url: "https://n.example/?a=***".into(),
                headers: vec![("x-a".into(), "1\n2".into())],
                body: Some("{}".into()),
            },
            status: Some(503),
            response: "line one\nline two".into(),
            failure: None,
            outcome: Outcome::Retry { at: Time::from_ms(9_000) },
            is_repeat: true,
            may_have_arrived: true,
        };
        let mut row = String::new();
        write_entry(&mut row, Seq(70), 2, Time::from_ms(6_000), &Entry::Attempted(Box::new(attempt.clone())));
        write_replay(&mut row, Seq(71), 0, Time::from_ms(7_000));
        let found: Vec<_> = lines(&row).collect();
        assert_eq!(found.iter().map(|l| (l.seq, l.place)).collect::<Vec<_>>(), [(Seq(70), 2), (Seq(71), 0)]);
        let told = found[0].read().unwrap();
        assert!(matches!(told.entry.what, LoggedEntry::Attempted(a) if a == attempt));
        assert_eq!((told.state, told.attempt), (State::Pending, Some(3)));
        assert!(matches!(found[1].read().unwrap().entry.what, LoggedEntry::Replayed));
    }
}
