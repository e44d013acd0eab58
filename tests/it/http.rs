//! A small HTTP client for the daemon's two listeners.
//!
//! Refuses: following, retrying, judging. A test sees what came.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::wait;

#[derive(Clone, Debug)]
pub struct Http(Client<HttpConnector, Full<Bytes>>);

/// An answer, whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub text: String,
}

impl Reply {
    pub fn json(&self) -> Result<Value, String> {
        serde_json::from_str(&self.text).map_err(|e| format!("no JSON ({e}): {}", self.text))
    }
}

impl Http {
    pub fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// Sends one request; an error is one of the connection, or no answer within the deadline.
    pub async fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(String, String)],
        body: impl Into<Bytes>,
    ) -> Result<Reply, String> {
        let mut request = http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(body.into())).map_err(|e| format!("{method} {url}: {e}"))?;
        let whole = async {
            let reply = self.0.request(request).await.map_err(|e| format!("{method} {url}: {e:?}"))?;
            let (parts, body) = reply.into_parts();
            let body = body.collect().await.map_err(|e| format!("{method} {url}: {e}"))?.to_bytes();
            let text = String::from_utf8_lossy(&body).into_owned();
            Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, text })
        };
        let late = || format!("{method} {url}: no answer");
        tokio::time::timeout(wait::deadline(), whole).await.map_err(|_| late())?
    }

    pub async fn get(&self, url: &str) -> Result<Reply, String> {
        self.send("GET", url, &[], Bytes::new()).await
    }

    pub async fn post_json(&self, url: &str, body: &Value) -> Result<Reply, String> {
        let headers = [("content-type".to_owned(), "application/json".to_owned())];
        self.send("POST", url, &headers, body.to_string()).await
    }
}
