//! The two HTTP clients of the bare loop.
//!
//! Refuses: any answer but 200.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;

use super::Work;

/// As in a connector that says nothing of time-outs.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);
/// As in the daemon.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

pub enum Http {
    Hyper(Box<Client<HttpConnector, Empty<Bytes>>>),
    Reqwest(reqwest::Client),
}

impl Http {
    pub fn new(work: Work, concurrency: usize) -> anyhow::Result<Self> {
        if work == Work::Hyper {
            let mut connector = HttpConnector::new();
            connector.set_nodelay(true);
            let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(concurrency).build(connector);
            return Ok(Self::Hyper(Box::new(client)));
        }
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent("bare")
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .build()?;
        Ok(Self::Reqwest(client))
    }

    /// The status.
    pub async fn get(&self, url: &str) -> anyhow::Result<u16> {
        let status = match self {
            Self::Hyper(client) => {
                let reply = client.get(url.parse()?).await?;
                let status = reply.status();
                reply.into_body().collect().await?;
                status
            }
            Self::Reqwest(client) => {
                let reply = client.get(url).timeout(TIMEOUT).send().await?;
                let status = reply.status();
                reply.bytes().await?;
                status
            }
        };
        anyhow::ensure!(status == 200, "the sink said {status}");
        Ok(status.as_u16())
    }
}
