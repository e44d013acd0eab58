//! What a request asks for: query parameters, or the members of a JSON body, each checked and every mistake kept.
//!
//! Refuses: ignoring what it does not know. A misspelt filter would answer with everything.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use http_body_util::LengthLimitError;
use serde_json::value::RawValue;

use super::answer::{FieldProblem, Refusal};
use crate::json;
use crate::model::time::Time;

/// Bytes of a body: the longest history that `explain` should read.
const BODY_MAX: usize = 1_000_000;

/// How long a body may take to arrive.
const BODY_WAIT: Duration = Duration::from_secs(30);

/// The body of a request as text.
pub async fn body(request: Request) -> Result<String, Refusal> {
    let read = tokio::time::timeout(BODY_WAIT, to_bytes(request.into_body(), BODY_MAX));
    let bytes = match read.await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if std::error::Error::source(&error).is_some_and(|e| e.is::<LengthLimitError>()) => {
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is over 1 MB"));
        }
        Ok(Err(_)) => return Err(Refusal::new(StatusCode::BAD_REQUEST, "the body broke off")),
        Err(_) => return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body took too long to arrive")),
    };
    String::from_utf8(bytes.into())
        .map_err(|_| Refusal::fields(vec![FieldProblem::new("", "the body is no UTF-8 text")]))
}

/// One value as it came.
enum Given<'a> {
    Text(Cow<'a, str>),
    Json(&'a RawValue),
}

/// Parameters or members, taken one by one; what is left at the end is unknown.
pub struct Asked<'a> {
    given: Vec<(Cow<'a, str>, Given<'a>)>,
    known: Vec<&'static str>,
    problems: Vec<FieldProblem>,
}

impl<'a> Asked<'a> {
    /// The parameters of a query. An empty one counts as not given.
    pub fn query(query: Option<&'a str>) -> Self {
        let mut asked = Self { given: Vec::new(), known: Vec::new(), problems: Vec::new() };
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if asked.given.iter().any(|(n, _)| *n == name) {
                asked.problems.push(FieldProblem::new(name, "is given twice; give it once"));
            } else {
                asked.given.push((name, Given::Text(value)));
            }
        }
        asked
    }

    /// The members of a JSON object; of none where the body is empty.
    pub fn body(text: &'a str) -> Result<Self, Refusal> {
        let members = if text.trim().is_empty() { Ok(Vec::new()) } else { json::members(text) };
        let given = members
            .map_err(|e| Refusal::fields(vec![FieldProblem::new("", format!("the body is no JSON object: {e}"))]))?
            .into_iter()
            .map(|(name, value)| (name, Given::Json(value)))
            .collect();
        Ok(Self { given, known: Vec::new(), problems: Vec::new() })
    }

    /// Notes a mistake that its reader found.
    pub fn problem(&mut self, field: &str, problem: impl Display) {
        self.problems.push(FieldProblem::new(field, problem.to_string()));
    }

    fn take(&mut self, name: &'static str) -> Option<Given<'a>> {
        self.known.push(name);
        let at = self.given.iter().position(|(n, _)| n == name)?;
        match self.given.swap_remove(at).1 {
            Given::Text(text) if text.is_empty() => None,
            Given::Json(value) if value.get() == "null" => None,
            given => Some(given),
        }
    }

    /// The JSON under `name`, unread.
    pub fn json(&mut self, name: &'static str) -> Option<&'a str> {
        match self.take(name)? {
            Given::Json(value) => Some(value.get()),
            Given::Text(_) => None,
        }
    }

    /// The text under `name`.
    pub fn text(&mut self, name: &'static str) -> Option<String> {
        match self.take(name)? {
            Given::Text(text) => Some(text.into_owned()),
            Given::Json(value) => match serde_json::from_str(value.get()) {
                Ok(text) => Some(text),
                Err(_) => {
                    self.problem(name, "is no text; write it in quotes");
                    None
                }
            },
        }
    }

    /// The text under `name`, read by `read`, whose error says what to write instead.
    pub fn read<T, E: Display>(&mut self, name: &'static str, read: impl Fn(&str) -> Result<T, E>) -> Option<T> {
        let text = self.text(name)?;
        read(&text).map_err(|e| self.problem(name, e)).ok()
    }

    /// One of a closed set of words.
    pub fn word<T: Copy>(&mut self, name: &'static str, all: &[T], word: impl Fn(T) -> &'static str) -> Option<T> {
        self.read(name, |text| {
            all.iter().copied().find(|one| word(*one) == text).ok_or_else(|| {
                let words: Vec<_> = all.iter().map(|one| word(*one)).collect();
                format!("is not one of {}", words.join(", "))
            })
        })
    }

    /// A moment.
    pub fn time(&mut self, name: &'static str) -> Option<Time> {
        self.read(name, |text| {
            Time::parse(text).ok_or("is no time; write it as 2026-01-10T12:00:00Z, or in seconds or milliseconds")
        })
    }

    /// A whole number of a range.
    pub fn number(&mut self, name: &'static str, low: usize, high: usize) -> Option<usize> {
        self.read(name, |text| {
            text.parse()
                .ok()
                .filter(|n| low <= *n && *n <= high)
                .ok_or_else(|| format!("is no whole number from {low} to {high}"))
        })
    }

    /// `true` or `false` in JSON; false where it is not given.
    pub fn flag(&mut self, name: &'static str) -> bool {
        match self.json(name) {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => {
                self.problem(name, "is neither true nor false");
                false
            }
        }
    }

    /// Everything has been taken.
    ///
    /// # Errors
    /// Every mistake, unknown names included.
    pub fn done(mut self) -> Result<(), Refusal> {
        for (name, _) in std::mem::take(&mut self.given) {
            let known = match &*self.known {
                [] => "nothing is known here".to_owned(),
                known => format!("known are {}", known.join(", ")),
            };
            self.problems.push(FieldProblem::new(name, format!("is unknown; {known}")));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(Refusal::fields(self.problems)) }
    }
}
