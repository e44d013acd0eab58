//! Small questions over HTTP to the sink and to the daemon's admin listener.
//!
//! Refuses: being part of what is measured. Each question has a connection of its own and is asked rarely.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// How long nothing at all may happen before a run is given up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks: rarely enough to cost nothing.
pub const PAUSE: Duration = Duration::from_millis(50);

/// The body of a 200.
pub async fn get(url: &str) -> anyhow::Result<String> {
    let asked = async {
        let http = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let reply = http.get(url.parse()?).await?;
        anyhow::ensure!(reply.status() == 200, "it says {}", reply.status());
        Ok(String::from_utf8(reply.into_body().collect().await?.to_bytes().to_vec())?)
    };
    tokio::time::timeout(PATIENCE, asked).await.context("no answer").flatten().with_context(|| url.to_owned())
}
