//! How the demo speaks to its daemon: as a shop does to the ingest listener, and as Prometheus does to the admin listener.
//!
//! Refuses: back doors. What it says and hears, anybody on this machine could.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client as Http, redirect};
use serde_json::Value;

use super::DemoError;

/// A daemon on the same machine that takes longer is stuck.
const ANSWER_WAIT: Duration = Duration::from_secs(15);

/// Speaks to one daemon.
pub(super) struct Client {
    http: Http,
    pub ingest: SocketAddr,
    pub admin: SocketAddr,
}

impl Client {
    pub fn new(ingest: SocketAddr, admin: SocketAddr) -> Result<Self, DemoError> {
        let http = Http::builder().no_proxy().redirect(redirect::Policy::none()).timeout(ANSWER_WAIT).build()?;
        Ok(Self { http, ingest, admin })
    }

    /// Sends one event; it is durable when this returns.
    ///
    /// # Errors
    /// The daemon did not take it; says why.
    pub async fn send(&self, event: &Value) -> Result<(), DemoError> {
        let request = self.http.post(format!("http://{}/collect/hook", self.ingest));
        let answer = request.header(CONTENT_TYPE, "application/json").body(event.to_string()).send().await?;
        if answer.status().is_success() {
            return Ok(());
        }
        let status = answer.status();
        Err(DemoError::Refused(format!("{status}: {}", answer.text().await?)))
    }

    /// What the daemon has counted.
    ///
    /// # Errors
    /// The daemon did not answer.
    pub async fn metrics(&self) -> Result<Counted, DemoError> {
        let answer = self.http.get(format!("http://{}/metrics", self.admin)).send().await?;
        Ok(Counted(answer.error_for_status()?.text().await?))
    }
}

/// An answer of `/metrics`, in Prometheus' text format.
pub(super) struct Counted(pub String);

impl Counted {
    /// The sum of the series of `name` that have all of these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let wanted: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.split_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            // Label values are words of the configuration: no comma stands in them.
            let has = |label: &String| labels.split(',').any(|found| found == label);
            wanted.iter().all(has).then(|| value.parse::<u64>().ok())?
        });
        values.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_summed_by_label() {
        let counted = Counted(
            "# HELP a_total help\na_total{connector=\"x\",state=\"dead\"} 2\na_total{connector=\"x-2\",state=\"dead\"} 3\n\
             a_total{connector=\"x\",state=\"test\"} 4\na_total_more{connector=\"x\"} 9\nplain 7\n"
                .to_owned(),
        );
        for (name, labels, expect) in [
            ("a_total", &[][..], 9),
            ("a_total", &[("connector", "x")], 6),
            ("a_total", &[("state", "dead"), ("connector", "x")], 2),
            ("a_total", &[("connector", "y")], 0),
            ("plain", &[], 7),
            ("b", &[], 0),
        ] {
            assert_eq!(counted.sum(name, labels), expect, "{name} {labels:?}");
        }
    }
}
