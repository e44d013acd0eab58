//! What came to the sink: every transaction id, and what is asked about it.
//!
//! Refuses: work. What it costs is taken from every consumer alike.

use std::collections::HashMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::queue::now_us;

/// What came so far. Requests that hang are counted apart and are in no other number but those in flight.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Counted {
    pub requests: u64,
    /// Distinct transaction ids.
    pub ids: usize,
    /// Requests without an id.
    pub nameless: u64,
    /// From the first request to the last, in seconds.
    pub span_s: f64,
    pub hanging: u64,
    /// Requests that were being answered at the same time, at most.
    pub in_flight_max: u64,
    /// Connections that are open now.
    pub open: u64,
}

impl Counted {
    pub fn per_s(&self) -> f64 {
        self.ids as f64 / self.span_s
    }
}

/// From `ts` to the arrival of the request, exact percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Latency {
    pub count: usize,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
}

#[derive(Default)]
pub struct State {
    ids: HashMap<Box<str>, u32>,
    requests: u64,
    nameless: u64,
    hanging: u64,
    in_flight: u64,
    in_flight_max: u64,
    pub open: u64,
    first: Option<Instant>,
    last: Option<Instant>,
    /// Microseconds, in order of arrival; `None` where nobody asked for them.
    took: Option<Vec<u64>>,
    latency_after: usize,
}

impl State {
    pub fn new(latency_after: Option<usize>) -> Self {
        Self {
            took: latency_after.map(|_| Vec::new()),
            latency_after: latency_after.unwrap_or_default(),
            ..Self::default()
        }
    }

    /// A request with this query begins.
    pub fn arrived(&mut self, query: &str, hangs: bool) {
        self.in_flight += 1;
        self.in_flight_max = self.in_flight_max.max(self.in_flight);
        if hangs {
            self.hanging += 1;
            return;
        }
        let now = Instant::now();
        self.first.get_or_insert(now);
        self.last = Some(now);
        self.requests += 1;
        match value(query, "transaction_id=") {
            Some(id) => *self.ids.entry(id.into()).or_default() += 1,
            None => self.nameless += 1,
        }
        if let Some(took) = &mut self.took {
            let ts = value(query, "ts=").and_then(|ts| ts.parse().ok()).unwrap_or(0);
            took.push(now_us().saturating_sub(ts));
        }
    }

    /// A request was answered, or its sender gave it up.
    pub fn left(&mut self) {
        self.in_flight -= 1;
    }

    pub fn counted(&self) -> Counted {
        Counted {
            requests: self.requests,
            ids: self.ids.len(),
            nameless: self.nameless,
            span_s: self.first.zip(self.last).map_or(0.0, |(first, last)| (last - first).as_secs_f64()),
            hanging: self.hanging,
            in_flight_max: self.in_flight_max,
            open: self.open,
        }
    }

    pub fn latency(&self) -> Latency {
        let took = self.took.as_deref().unwrap_or_default();
        let mut took = took.get(self.latency_after..).unwrap_or_default().to_vec();
        took.sort_unstable();
        // The smallest value that so many of a hundred do not exceed.
        let percentile = |percent: usize| {
            let rank = (took.len() * percent).div_ceil(100).max(1);
            took.get(rank - 1).map_or(f64::NAN, |us| *us as f64 / 1000.0)
        };
        if took.is_empty() {
            return Latency::default();
        }
        Latency { count: took.len(), p50_ms: percentile(50), p95_ms: percentile(95), p99_ms: percentile(99) }
    }
}

fn value<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name))
}
