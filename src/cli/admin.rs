//! Speaking to the running daemon's admin listener.
//!
//! Refuses: proxies, redirects, and answers without end.

use std::error::Error;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Method, StatusCode, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Exit, Failure};
use crate::config::Config;

/// How long the daemon may take to accept a connection; it is on this machine or next to it.
const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// How long an answer may take: a replay of very many deliveries is one commit.
const ANSWER_WAIT: Duration = Duration::from_secs(120);

/// Bytes of an answer: a thousand lines of the log, or one delivery with many attempts.
const ANSWER_MAX: usize = 256 * 1024 * 1024;

/// The admin listener of a daemon.
pub struct Admin {
    http: Client,
    address: SocketAddr,
    token: Option<SecretString>,
}

/// An answer that is JSON.
pub struct Answered {
    pub status: StatusCode,
    pub text: String,
}

impl Admin {
    /// The listener that the configuration names, which may not be there.
    pub fn new(config: &Config) -> Result<Self, Failure> {
        let http = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .connect_timeout(CONNECT_WAIT)
            .timeout(ANSWER_WAIT)
            .build()
            .map_err(|e| Failure::new(Exit::Unreachable, format_args!("no HTTP client: {e}")))?;
        Ok(Self { http, address: dialled(config.admin.listen), token: config.admin.token.clone() })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether a daemon is there: false where nothing listens.
    ///
    /// # Errors
    /// Something listens but does not answer.
    pub async fn is_there(&self) -> Result<bool, Failure> {
        match self.http.get(format!("http://{}/healthz", self.address)).send().await {
            Ok(_) => Ok(true),
            Err(error) if is_refused(&error) => Ok(false),
            Err(error) => Err(self.unreachable(&error)),
        }
    }

    /// Asks, and takes any answer below 500 that is the daemon's.
    ///
    /// # Errors
    /// The daemon can't be reached, refuses the token, or failed.
    pub async fn ask(&self, method: Method, path: &str, body: Option<String>) -> Result<Answered, Failure> {
        let mut request = self.http.request(method, format!("http://{}{path}", self.address));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let mut response = request.send().await.map_err(|e| self.unreachable(&e))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            if ANSWER_MAX < bytes.len() + chunk.len() {
                return Err(Failure::new(Exit::Unreachable, "the daemon's answer is too long to be one"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match status {
            StatusCode::UNAUTHORIZED => Err(Failure::new(
                Exit::Unreachable,
                format_args!(
                    "the daemon at {} refuses the token: `admin.token` here is not the one it runs with",
                    self.address
                ),
            )),
            status if status.is_server_error() => Err(Failure::new(
                Exit::Unreachable,
                format_args!("the daemon at {} failed: {}", self.address, complaint(&text)),
            )),
            status => Ok(Answered { status, text }),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let mut why: &dyn Error = error;
        while let Some(source) = why.source() {
            why = source;
        }
        Failure::new(Exit::Unreachable, format_args!("the daemon at {} can't be reached: {why}", self.address))
    }
}

impl Answered {
    /// The answer to a request that succeeded.
    ///
    /// # Errors
    /// It did not, or the answer is not the daemon's.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if !self.status.is_success() {
            return Err(Failure::new(Exit::No, complaint(&self.text)));
        }
        serde_json::from_str(&self.text).map_err(|_| {
            Failure::new(Exit::Unreachable, "what listens at `admin.listen` does not answer like a postbackd")
        })
    }
}

/// What an answer complains of: `{"error": …}`, or a list of `{"field", "problem"}`.
fn complaint(text: &str) -> String {
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(members)) if members.contains_key("error") => {
            members["error"].as_str().unwrap_or_default().to_owned()
        }
        Ok(Value::Array(problems)) => {
            let one = |p: &Value| {
                let part = |name: &str| p.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                let (field, problem) = (part("field"), part("problem"));
                if field.is_empty() { problem } else { format!("{field} {problem}") }
            };
            problems.iter().map(one).collect::<Vec<_>>().join("; ")
        }
        _ => "it gave no reason".to_owned(),
    }
}

/// Where to dial a listener: one that takes every address is here too.
fn dialled(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn is_refused(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_read_in_both_shapes() {
        assert_eq!(complaint(r#"{"error":"no such delivery"}"#), "no such delivery");
        assert_eq!(
            complaint(r#"[{"field":"limit","problem":"is too big"},{"field":"","problem":"no JSON"}]"#),
            "limit is too big; no JSON"
        );
        assert_eq!(complaint("<html>"), "it gave no reason");
    }

    #[test]
    fn a_listener_on_every_address_is_dialled_on_this_machine() {
        for (listen, expect) in
            [("0.0.0.0:9090", "127.0.0.1:9090"), ("[::]:9090", "[::1]:9090"), ("10.0.0.7:1", "10.0.0.7:1")]
        {
            assert_eq!(dialled(listen.parse().unwrap()).to_string(), expect);
        }
    }
}
