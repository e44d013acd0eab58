//! A store that has been in use for long, made in a minute: through the library's own doors, as the daemon would have made
//! it, but in batches that no traffic would bring.
//!
//! Refuses: touching the store's tables. What a full store looks like is the store's affair.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use postbackd::config::{LoadOptions, load};
use postbackd::model::event::{Event, EventId, Texts};
use postbackd::model::field::Field;
use postbackd::model::ids::Seq;
use postbackd::model::outcome::Outcome;
use postbackd::model::record::{Attempt, Entry, Job, Record, ShownRequest};
use postbackd::model::time::Time;
use postbackd::pipeline::Rules;
use postbackd::store::{Candidate, Store};
use serde::{Deserialize, Serialize};

use crate::daemon::CLICK_PARAM;
use crate::messages::{CONTAINER, hash};
use crate::queue::now_us;

/// The word that makes this program fill a store.
pub const MODE: &str = "fill";

/// Clicks that one event may bring.
const CLICKS_PER_EVENT: usize = 32;

/// The past that is filled in began a day ago, so that its clicks are within every window, and took so long.
const BEGAN: Duration = Duration::from_secs(86_400);
const TOOK: Duration = Duration::from_secs(3_600);

/// Events of one commit, and batches made ready while one is being committed.
const BATCH: usize = 2_000;
const AHEAD: usize = 3;

const KEEP_KEYS: Duration = Duration::from_secs(30 * 86_400);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// The daemon's configuration.
    pub config: PathBuf,
    pub data: PathBuf,
    pub content: Content,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    Nothing,
    /// So many visitors with so many clicks each.
    Clicks {
        visitors: usize,
        each: usize,
    },
    /// Purchases whose postback was accepted at once.
    Delivered {
        events: usize,
    },
}

impl Content {
    /// For trying it out.
    pub fn thousandth(self) -> Self {
        match self {
            Self::Nothing => self,
            Self::Clicks { visitors, each } => Self::Clicks { visitors: visitors.div_ceil(1000).max(100), each },
            Self::Delivered { events } => Self::Delivered { events: events.div_ceil(1000) },
        }
    }

    /// A session that the store knows, another one for each `n` as far as there are, in no order; `None` where it knows none.
    pub fn session(self, n: usize) -> Option<String> {
        let known = match self {
            Self::Nothing => return None,
            Self::Clicks { visitors, .. } => visitors,
            Self::Delivered { events } => events,
        };
        // A step that shares no factor with a round number meets each of them once.
        Some(session(n.wrapping_mul(7_919) % known))
    }

    fn events(self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Clicks { visitors, each } => visitors * each.div_ceil(CLICKS_PER_EVENT),
            Self::Delivered { events } => events,
        }
    }
}

fn session(visitor: usize) -> String {
    format!("known-{}", hash(visitor))
}

/// The parameters of the clicks that are filled in, that of the connectors first.
pub fn params() -> impl Iterator<Item = String> {
    std::iter::once(CLICK_PARAM.to_owned()).chain((1..CLICKS_PER_EVENT).map(|n| format!("click_{n}")))
}

/// Fills the store, says how long it took, and ends.
pub fn run(settings: &Settings) -> anyhow::Result<()> {
    let began = Instant::now();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let clicks = runtime.block_on(fill(settings))?;
    println!("{:?}: filled with {clicks} clicks in {:.1} s", settings.content, began.elapsed().as_secs_f64());
    Ok(())
}

/// The number of clicks that the store has gained.
async fn fill(settings: &Settings) -> anyhow::Result<u64> {
    let environment = |_: &str| None;
    let loaded = load(&settings.config, &environment, LoadOptions { no_env: false });
    let loaded = loaded.map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let rules = Arc::new(Rules::new(Arc::new(loaded.config)));
    let store = Store::open(&settings.data, |_| {})?;
    let content = settings.content;
    let from = Time::from_ms(i64::try_from(now_us() / 1000)?).minus(BEGAN);
    let batches = (0..content.events()).step_by(BATCH).map(|first| first..(first + BATCH).min(content.events()));
    let mut admitted = stream::iter(batches)
        .map(|numbers| {
            let (store, rules) = (store.clone(), rules.clone());
            async move {
                let made = rules.clone();
                let batch = tokio::task::spawn_blocking(move || {
                    numbers.map(|n| made.candidate(event(content, n, from))).collect::<Vec<Candidate>>()
                });
                let admission = store.admit(batch.await?, rules, from.plus(TOOK), KEEP_KEYS).await;
                let admission = admission.map_err(|(error, _)| error)?;
                anyhow::ensure!(admission.admitted.iter().all(|one| !one.duplicate), "an event came twice");
                let clicks: u64 = admission.admitted.iter().map(|one| u64::from(one.clicks_gained)).sum();
                let jobs: Vec<Job> = admission.admitted.into_iter().flat_map(|one| one.jobs).collect();
                let last = jobs.iter().map(|job| job.delivery.id.seq()).max();
                let records = jobs.iter().map(|job| store.record(record(job)));
                futures_util::future::try_join_all(records).await?;
                anyhow::Ok((clicks, jobs.len(), last))
            }
        })
        .buffered(AHEAD);
    let (mut clicks, mut delivered, mut last) = (0, 0, Seq(0));
    while let Some((more, jobs, seq)) = admitted.try_next().await? {
        (clicks, delivered, last) = (clicks + more, delivered + jobs, last.max(seq.unwrap_or(last)));
    }
    if let Content::Delivered { events } = content {
        anyhow::ensure!(delivered == events, "only {delivered} deliveries of {events} events");
        // A daemon would have kept where its lanes stand, so that the next start need not read the log from the beginning.
        let next = Seq(last.0 + 1);
        let note = serde_json::json!({"all": next.0, "behind": [], "parked": []});
        store.keep_lanes("lanes", note.to_string(), next, true).await.context("the lanes' note")?;
    }
    Ok(clicks)
}

/// The n-th event of a store's past.
fn event(content: Content, n: usize, from: Time) -> Event {
    let mut texts = Texts::default();
    let (name, visitor) = match content {
        Content::Clicks { each, .. } => {
            let per_visitor = each.div_ceil(CLICKS_PER_EVENT);
            let (visitor, part) = (n / per_visitor, n % per_visitor);
            let clicks = (each - part * CLICKS_PER_EVENT).min(CLICKS_PER_EVENT);
            let id = hash(n);
            let query: Vec<String> = params().take(clicks).map(|param| format!("{param}={id}")).collect();
            texts.set(Field::Url, format!("https://shop.example.com/?{}", query.join("&")));
            ("PageView", visitor)
        }
        Content::Delivered { .. } | Content::Nothing => {
            texts.set(Field::Url, format!("https://shop.example.com/thanks?{CLICK_PARAM}={}", hash(n)));
            texts.set(Field::TransactionId, format!("past-{n}"));
            texts.set(Field::Value, "99.00");
            texts.set(Field::Currency, "EUR");
            ("Purchase", n)
        }
    };
    texts.set(Field::SessionId, session(visitor));
    texts.set(Field::Ip, "203.0.113.7");
    // In sequence, so that of a visitor's events each is later than the one before.
    let at = from.plus(Duration::from_millis(n as u64).min(TOOK));
    Event {
        container: CONTAINER.into(),
        id: EventId::Given(format!("past-{n}").into()),
        name: Some(name.into()),
        texts,
        ..Event::bare(at, at)
    }
}

/// What a lane writes of a postback that was accepted at once.
fn record(job: &Job) -> Record {
    let started = job.first_due;
    let request = ShownRequest {
        method: "GET",
        url: format!("http://127.0.0.1/p?transaction_id={}&click_id={}", job.facts.event.id, hash(0)).into(),
        headers: Vec::new(),
        body: None,
    };
    let attempt = Attempt {
        number: 1,
        revision: job.delivery.revision.clone(),
        started,
        duration: Duration::from_millis(20),
        request,
        status: Some(200),
        response: "".into(),
        failure: None,
        outcome: Outcome::Delivered,
        is_repeat: false,
        may_have_arrived: true,
    };
    Record {
        delivery: job.delivery.id,
        connector: job.delivery.connector.clone(),
        at: started,
        on_record: job.on_record,
        first_due: job.first_due,
        entry: Entry::Attempted(Box::new(attempt)),
    }
}
