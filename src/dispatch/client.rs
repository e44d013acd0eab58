//! One request over the wire: what is rendered goes out as it is, and what comes back is a [`Met`], never an error.
//!
//! Refuses: redirects, retries, proxies of the environment, decompression, and reading more than 64 KiB of a reply.
//!
//! Why one client for each connect timeout, not for each connector: a client is a pool, and connectors of one network
//! share its connections. A pool never holds more idle connections than were in flight at once, which the lanes bound.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response};
use url::Url;

use super::failure;
use super::guard::Guard;
use super::resolve::Resolver;
use super::target::{Target, Targets};
use crate::config::Egress;
use crate::model::outcome::{FailureKind, Met, Reply, RetryAfter};
use crate::model::postback::{Method, Postback};
use crate::model::secret::{Secrets, Text};
use crate::model::time::Time;

/// How much of a reply is read (SPEC section 13).
pub(crate) const BODY_MAX: usize = 64 * 1024;

/// Servers close what has been idle for a while, and a request that meets the closing is lost. Most wait longer than
/// this; traffic that flows reuses a connection long before.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// A client could not be built: no TLS roots on this machine, or an unusable `egress.proxy`.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be built: {0}")]
pub struct ClientFailed(String);

/// The clients of one `egress` setting.
#[derive(Debug)]
pub(crate) struct Clients {
    egress: Egress,
    guard: Arc<Guard>,
    resolver: ResolverHandle,
    by_timeout: HashMap<Duration, Client>,
}

/// Hides the resolver's futures from `Debug`.
struct ResolverHandle(Resolver);

impl std::fmt::Debug for ResolverHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

impl Clients {
    pub(crate) fn new(egress: &Egress) -> Self {
        let guard = Arc::new(Guard::new(egress.allow.clone()));
        let proxy = egress.proxy.as_ref().and_then(Url::host_str).map(Arc::from);
        let resolver = ResolverHandle(Resolver::new(guard.clone(), proxy));
        Self { egress: egress.clone(), guard, resolver, by_timeout: HashMap::new() }
    }

    /// Whether these were made for this setting.
    pub(crate) fn fits(&self, egress: &Egress) -> bool {
        self.egress.allow == egress.allow && self.egress.proxy == egress.proxy
    }

    /// The wire for this connect timeout.
    pub(crate) fn wire(&mut self, connect: Duration) -> Result<Wire, ClientFailed> {
        let client = match self.by_timeout.get(&connect) {
            Some(client) => client.clone(),
            None => {
                let client = self.build(connect).map_err(|e| ClientFailed(failure::chain(&e.without_url())))?;
                self.by_timeout.insert(connect, client.clone());
                client
            }
        };
        Ok(Wire { client, targets: Targets::new(self.guard.clone()) })
    }

    /// Forgets the clients that no connector uses any more.
    pub(crate) fn keep(&mut self, is_used: impl Fn(Duration) -> bool) {
        self.by_timeout.retain(|connect, _| is_used(*connect));
    }

    fn build(&self, connect: Duration) -> reqwest::Result<Client> {
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!("postbackd/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(connect)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .tcp_nodelay(true)
            .dns_resolver(self.resolver.0.clone());
        if let Some(proxy) = &self.egress.proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy.clone())?);
        }
        builder.build()
    }
}

/// A client, and the guard that its requests pass.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    client: Client,
    targets: Targets,
}

/// The rendered request is none: what is wrong with it, without its values.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsendable {
    #[error("the rendered url is no valid http or https url")]
    Url,
    #[error("the header {0:?} has no valid name")]
    HeaderName(Box<str>),
    #[error("the value of the header {0:?} cannot be sent: it holds a control character")]
    HeaderValue(Box<str>),
}

/// A request ready to go, or already refused by the guard.
pub(crate) struct Prepared {
    request: Option<RequestBuilder>,
    is_https: bool,
}

impl Wire {
    /// Reads the URL, asks the guard about it, and puts the request together.
    pub(crate) fn prepare(&self, postback: &Postback, total: Duration) -> Result<Prepared, Unsendable> {
        let Target { url, is_https, is_permitted } = self.targets.read(postback.url.reveal()).ok_or(Unsendable::Url)?;
        let headers = headers(&postback.headers)?;
        if !is_permitted {
            return Ok(Prepared { request: None, is_https });
        }
        let method = match postback.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
        };
        let mut request = self.client.request(method, url).timeout(total).headers(headers);
        if let Some(body) = &postback.body {
            request = request.body(body.reveal().to_owned());
        }
        Ok(Prepared { request: Some(request), is_https })
    }
}

fn headers(rendered: &[(Box<str>, Text)]) -> Result<HeaderMap, Unsendable> {
    let mut map = HeaderMap::with_capacity(rendered.len());
    for (name, value) in rendered {
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Unsendable::HeaderName(name.clone()))?;
        let mut content =
            HeaderValue::from_bytes(value.reveal().as_bytes()).map_err(|_| Unsendable::HeaderValue(name.clone()))?;
        content.set_sensitive(value.is_tainted());
        map.append(key, content);
    }
    Ok(map)
}

impl Prepared {
    /// Sends it and reads the reply. Details of a failure are scrubbed of `secrets`.
    pub(crate) async fn send(self, secrets: &Secrets) -> Met {
        let Some(request) = self.request else {
            return Met::Failure { kind: FailureKind::EgressDenied, detail: super::guard::Denied.to_string() };
        };
        match request.send().await {
            Ok(response) => Met::Reply(read(response).await),
            Err(error) => failure::met(error, self.is_https, secrets),
        }
    }
}

/// Reads at most [`BODY_MAX`]. A body that breaks off, takes too long or goes on beyond that is incomplete, and the
/// status counts all the same.
async fn read(mut response: Response) -> Reply {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(retry_after);
    let mut body = Vec::new();
    let complete = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = BODY_MAX - body.len();
                body.extend_from_slice(&chunk[..room.min(chunk.len())]);
                if room < chunk.len() {
                    break false;
                }
            }
            Ok(None) => break true,
            Err(_) => break false,
        }
    };
    Reply { status, retry_after, body, complete }
}

/// Seconds, or a date in one of the three forms of RFC 9110 section 5.6.7. Anything else is as if it were not there.
fn retry_after(header: &HeaderValue) -> Option<RetryAfter> {
    let text = header.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More seconds than fit are still a very long time.
        return Some(RetryAfter::In(Duration::from_secs(text.parse().unwrap_or(u64::MAX))));
    }
    let moment = httpdate::parse_http_date(text).ok()?;
    let since = moment.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap_or_default();
    Some(RetryAfter::At(Time::from_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))))
}

#[cfg(test)]
mod tests;
