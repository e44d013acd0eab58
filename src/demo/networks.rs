//! Four networks on loopback, each with a habit of real ones: prompt, an error behind a 200, slow, flaky.
//!
//! Refuses: serving anyone but this machine, and remembering more than counts.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::DemoError;

/// How long the slow network thinks.
const SLOW: Duration = Duration::from_secs(2);

/// How often the flaky network fails before it takes a postback.
const FLAKY_FAILURES: u32 = 2;

/// Postbacks the flaky network keeps in mind, for someone who leaves the demo running and sends events to it.
const KEYS_MAX: usize = 10_000;

/// How a network behaves.
#[derive(Clone, Copy, Debug)]
enum Habit {
    Prompt,
    /// Takes euros; to anything else it says no, with status 200.
    ErrorIn200,
    Slow,
    Flaky,
}

/// A network's name in the sample connectors, its habit, and that in words.
const NETWORKS: [(&str, Habit, &str); 4] = [
    ("affiliate.example", Habit::Prompt, "prompt"),
    ("coupon.example", Habit::ErrorIn200, "answers 200 even when it means no"),
    ("social.example", Habit::Slow, "takes 2 s to answer"),
    ("leads.example", Habit::Flaky, "answers 503 twice before it takes anything"),
];

/// What a network has seen.
#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    /// How often each `Idempotency-Key` came.
    keys: HashMap<String, u32>,
}

/// One sample network.
#[derive(Debug)]
pub(super) struct Network {
    pub host: &'static str,
    /// Its habit in words.
    pub about: &'static str,
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    serving: JoinHandle<()>,
}

/// All of them; they end with this.
#[derive(Debug)]
pub(super) struct Networks(Vec<Network>);

impl Networks {
    /// Starts them on ports of the system's choice.
    ///
    /// # Errors
    /// Nothing can be bound on loopback.
    pub async fn start() -> Result<Self, DemoError> {
        let mut all = Vec::with_capacity(NETWORKS.len());
        for (host, habit, about) in NETWORKS {
            let bound = async {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
                let address = listener.local_addr()?;
                Ok((listener, address))
            };
            let (listener, address) = bound.await.map_err(DemoError::Port)?;
            let seen = Arc::new(Mutex::new(Seen::default()));
            let router = Router::new().fallback(answer).with_state((habit, seen.clone()));
            // An error would end this network; the story then tells of refused connections.
            let serving = tokio::spawn(async move { drop(axum::serve(listener, router).await) });
            all.push(Network { host, about, address, seen, serving });
        }
        Ok(Self(all))
    }

    pub fn all(&self) -> &[Network] {
        &self.0
    }

    /// Postbacks that have arrived, repeats included.
    pub fn received(&self) -> u64 {
        self.0.iter().map(|n| n.seen.lock().unwrap_or_else(PoisonError::into_inner).requests).sum()
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        self.0.iter().for_each(|network| network.serving.abort());
    }
}

async fn answer(
    State((habit, seen)): State<(Habit, Arc<Mutex<Seen>>)>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    // Only postbacks carry one; somebody's own curl is not counted.
    let times = headers.get("idempotency-key").map(|key| note(&seen, &String::from_utf8_lossy(key.as_bytes())));
    match habit {
        Habit::Prompt => (StatusCode::OK, "OK"),
        Habit::ErrorIn200 if contains(&body, b"currency=EUR") => (StatusCode::OK, "success=true"),
        Habit::ErrorIn200 => (StatusCode::OK, "success=false error=currency_not_supported"),
        Habit::Slow => {
            tokio::time::sleep(SLOW).await;
            (StatusCode::OK, "thanks, at last")
        }
        Habit::Flaky if times.is_some_and(|times| times <= FLAKY_FAILURES) => {
            (StatusCode::SERVICE_UNAVAILABLE, "try again later")
        }
        Habit::Flaky => (StatusCode::CREATED, r#"{"accepted":true}"#),
    }
}

/// Counts a postback; how often it has come by now.
fn note(seen: &Mutex<Seen>, key: &str) -> u32 {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    seen.requests += 1;
    if KEYS_MAX <= seen.keys.len() {
        seen.keys.clear();
    }
    let times = seen.keys.entry(key.to_owned()).or_default();
    *times += 1;
    *times
}

fn contains(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(
        habit: Habit,
        seen: &Arc<Mutex<Seen>>,
        key: Option<&'static str>,
        body: &'static str,
    ) -> (u16, String) {
        let mut headers = HeaderMap::new();
        if let Some(key) = key {
            headers.insert("idempotency-key", key.parse().unwrap());
        }
        let (status, text) = answer(State((habit, seen.clone())), headers, Bytes::from_static(body.as_bytes())).await;
        (status.as_u16(), text.to_owned())
    }

    #[tokio::test]
    async fn the_flaky_network_takes_each_postback_at_the_third_time() {
        let seen = Arc::default();
        for (key, status) in [("a", 503), ("a", 503), ("b", 503), ("a", 201), ("b", 503), ("b", 201)] {
            assert_eq!(ask(Habit::Flaky, &seen, Some(key), "").await.0, status, "{key}");
        }
        assert_eq!(ask(Habit::Flaky, &seen, None, "").await.0, 201);
        assert_eq!(seen.lock().unwrap().requests, 6, "what is no postback is not counted");
    }

    #[tokio::test]
    async fn a_200_may_be_a_no() {
        let seen = Arc::default();
        for (body, says) in [("total=1&currency=EUR", "success=true"), ("total=1&currency=SEK", "success=false")] {
            let (status, text) = ask(Habit::ErrorIn200, &seen, Some("a"), body).await;
            assert_eq!(status, 200);
            assert!(text.starts_with(says), "{body}: {text}");
        }
    }
}
