//! Doubles for this room's tests: a ledger in memory, a partner on loopback that does as told, a watch that counts.
//!
//! Refuses: asserting. It keeps what happened; a test reads it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::{Answer, Ledger, LedgerFailed, Untried, Watch};
use crate::config::{Admin, Config, Egress, Ingest, Log, LogFormat, Matching, Retention, StoreChoice};
use crate::model::connector::{
    Body, BreakerPolicy, Connector, Limits, Mode, OnUncertain, PostbackSpec, Timeouts, Triggers,
};
use crate::model::delivery::{Delivery, Reason, Sending, State};
use crate::model::event::{Event, EventId};
use crate::model::facts::{Facts, Known};
use crate::model::ids::{ConnectorName, DeliveryId, Seq, StoreTag, VisitorId};
use crate::model::outcome::Outcome;
use crate::model::postback::Method;
use crate::model::record::{Attempt, Entry, Haste, Job, Record};
use crate::model::retry::RetryPolicy;
use crate::model::secret::{Secrets, Text};
use crate::model::template::{Place, Segment, Template, UrlTemplate};
use crate::model::time::Time;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `holds`.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "still not so: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

// === Jobs ===

pub(crate) fn delivery_id(seq: i64, place: u32) -> DeliveryId {
    DeliveryId::new(StoreTag::new(1), Seq(seq), place)
}

pub(crate) fn job(connector: &str, seq: i64, place: u32, sending: Sending, now: Time) -> Job {
    let event = Event {
        container: "shop".into(),
        id: EventId::Given(seq.to_string().into()),
        name: Some("Purchase".into()),
        ..Event::bare(now, now)
    };
    let facts = Facts {
        seq: Seq(seq),
        event: Arc::new(event),
        visitor: VisitorId(1),
        matched_by: None,
        known: Known::default(),
        clicks: Vec::new(),
    };
    let delivery = Delivery {
        id: delivery_id(seq, place),
        connector: connector.into(),
        revision: "abc".into(),
        sending,
        state: State::Pending,
        reason: None,
        detail: None,
        attribution: None,
        item: None,
        due: now,
    };
    let facts = Arc::new(facts);
    Job { facts, delivery, attempts: 0, is_repeat: false, first_due: now, due: now, on_record: false }
}

// === Configuration ===

fn literal(text: &str) -> Template {
    Template { place: Place::Path, segments: vec![Segment::Literal(Text::from(text))] }
}

/// A GET to `http://host:port/postback`, enabled, with short delays.
pub(crate) fn connector(name: &str, port: u16) -> Connector {
    let postback = PostbackSpec {
        method: Method::Get,
        url: UrlTemplate {
            origin: Text::from(format!("http://127.0.0.1:{port}").as_str()),
            path: vec![literal("postback")],
            query: Vec::new(),
        },
        query: Vec::new(),
        headers: Vec::new(),
        idempotency_key: true,
        body: Body::None,
        for_each_item: false,
        sign: None,
        auth: None,
        test: None,
        timeout: Timeouts { connect: ms(2000), total: ms(5000) },
        outcomes: Vec::new(),
        retry: RetryPolicy::new(ms(30), 1.5, 0.2, ms(200), Duration::from_secs(3600)).unwrap(),
        limits: Limits { concurrency: 4, rate: None },
        breaker: BreakerPolicy { failures: 1000, open_for: ms(100) },
        expires_after: None,
        on_uncertain: OnUncertain::Resend,
    };
    Connector {
        name: name.into(),
        revision: "abc".into(),
        mode: Mode::Enabled,
        containers: None,
        triggers: Triggers::Every,
        require_consent: None,
        when: Vec::new(),
        event_names: Vec::new(),
        click_matching: None,
        deduplicate: None,
        postback,
        postback_enabled: true,
        values: Vec::new(),
        settings: Vec::new(),
        secrets: Secrets::new(["s3cr3t-token".to_owned()]),
    }
}

/// A configuration in which loopback may be reached.
pub(crate) fn config(connectors: Vec<Connector>) -> Config {
    let any: SocketAddr = ([127, 0, 0, 1], 0).into();
    let day = Duration::from_secs(86_400);
    Config {
        file: None,
        watched: Vec::new(),
        containers: Vec::new(),
        amqp: None,
        store: StoreChoice::Embedded { path: PathBuf::new() },
        ingest: Ingest { listen: any, rate: None, trusted_proxies: Vec::new() },
        admin: Admin { listen: any, token: None, open_metrics: false },
        egress: Egress { allow: vec!["127.0.0.0/8".parse().unwrap()], proxy: None },
        retention: Retention { clicks: day, log: day },
        session_timeout: day,
        partial_timeout: day,
        deduplicate_events_for: day,
        matching: Matching { by_time: None, ignore: Vec::new(), sessions_max: 100 },
        click_params: Vec::new(),
        shutdown_grace: day,
        log: Log { format: LogFormat::Text, level: tracing::Level::INFO },
        connectors: connectors.into_iter().map(Arc::new).collect(),
    }
}

// === The ledger ===

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) job: Job,
    pub(crate) state: State,
    pub(crate) entries: Vec<Entry>,
}

impl Row {
    pub(crate) fn attempts(&self) -> Vec<&Attempt> {
        self.entries.iter().filter_map(|e| if let Entry::Attempted(a) = e { Some(&**a) } else { None }).collect()
    }
}

/// A store in memory. While its gate is shut, records wait.
pub(crate) struct FakeLedger {
    pub(crate) rows: Arc<Mutex<BTreeMap<DeliveryId, Row>>>,
    gate: watch::Sender<bool>,
    pub(crate) fails: Arc<Mutex<bool>>,
    /// How soon each record was to be durable.
    pub(crate) hastes: Mutex<Vec<Haste>>,
}

impl FakeLedger {
    pub(crate) fn new() -> Arc<Self> {
        let gate = watch::Sender::new(true);
        Arc::new(Self { rows: Arc::default(), gate, fails: Arc::default(), hastes: Mutex::default() })
    }

    pub(crate) fn open(&self, is_open: bool) {
        self.gate.send_replace(is_open);
    }

    /// What the pipeline's commit does.
    pub(crate) fn commit(&self, jobs: &[Job]) {
        let mut rows = self.rows.lock().unwrap();
        for job in jobs {
            rows.insert(job.delivery.id, Row { job: job.clone(), state: State::Pending, entries: Vec::new() });
        }
    }

    pub(crate) fn count(&self, state: State) -> usize {
        self.rows.lock().unwrap().values().filter(|row| row.state == state).count()
    }

    pub(crate) fn with<T>(&self, seq: i64, look: impl FnOnce(&Row) -> T) -> T {
        look(&self.rows.lock().unwrap()[&delivery_id(seq, 0)])
    }
}

/// Writes a record into the rows as a store would.
pub(crate) fn write(rows: &mut BTreeMap<DeliveryId, Row>, record: Record) {
    let row = rows.get_mut(&record.delivery).expect("a record is about a delivery of this store");
    assert_eq!(row.job.on_record, record.on_record, "a record says whether the delivery has a row of its own");
    let (state, _, due) = record.entry.leaves();
    row.state = state;
    row.job.on_record = true;
    if let Entry::Attempted(attempt) = &record.entry {
        row.job.attempts = attempt.number;
        row.job.is_repeat |= attempt.may_have_arrived;
    }
    if let Some(due) = due {
        row.job.due = due;
    }
    row.entries.push(record.entry);
}

pub(crate) fn untried(rows: &BTreeMap<DeliveryId, Row>, connector: &str, from: Seq, limit: usize) -> Untried {
    let is_one =
        |row: &&Row| &*row.job.delivery.connector == connector && !row.job.on_record && row.state == State::Pending;
    let mut all = rows.range(DeliveryId::new(StoreTag::new(1), from, 0)..).map(|(_, row)| row).filter(is_one);
    let jobs: Vec<Job> = all.by_ref().take(limit).map(|row| row.job.clone()).collect();
    let end = rows.last_key_value().map_or(from, |(id, _)| Seq(id.seq().0 + 1)).max(from);
    let next = all.next().map_or(end, |row| row.job.delivery.id.seq());
    Untried { jobs, next }
}

pub(crate) fn due(
    rows: &BTreeMap<DeliveryId, Row>,
    connector: &str,
    after: Option<(Time, DeliveryId)>,
    limit: usize,
) -> Vec<Job> {
    let key = |job: &Job| (job.due, job.delivery.id);
    let is_one =
        |row: &&Row| &*row.job.delivery.connector == connector && row.job.on_record && row.state == State::Pending;
    let mut found: Vec<Job> = rows.values().filter(is_one).map(|row| row.job.clone()).collect();
    found.retain(|job| after.is_none_or(|after| after < key(job)));
    found.sort_by_key(key);
    found.truncate(limit);
    found
}

/// Events looked at by one [`set_aside`].
const SET_ASIDE_EVENTS: i64 = 50;

pub(crate) fn set_aside(rows: &mut BTreeMap<DeliveryId, Row>, connector: &str, from: Seq, what: &super::Aside) -> Seq {
    let end = rows.last_key_value().map_or(from, |(id, _)| Seq(id.seq().0 + 1)).max(from);
    let next = end.min(Seq(from.0 + SET_ASIDE_EVENTS));
    for row in rows.values_mut().filter(|row| &*row.job.delivery.connector == connector) {
        let id = row.job.delivery.id;
        let is_meant = !what.only_live || row.job.delivery.sending == Sending::Live;
        if from <= id.seq() && id.seq() < next && row.state == State::Pending && is_meant && !what.but.contains(&id) {
            row.job.on_record = true;
        }
    }
    next
}

impl Ledger for FakeLedger {
    fn record(&self, record: Record, haste: Haste) -> Answer<()> {
        self.hastes.lock().unwrap().push(haste);
        let (rows, mut gate, fails) = (self.rows.clone(), self.gate.subscribe(), self.fails.clone());
        async move {
            gate.wait_for(|is_open| *is_open).await.map_err(|e| LedgerFailed(e.to_string()))?;
            if *fails.lock().unwrap() {
                return Err(LedgerFailed("the disk is gone".into()));
            }
            write(&mut rows.lock().unwrap(), record);
            Ok(())
        }
        .boxed()
    }

    fn untried(&self, connector: &ConnectorName, from: Seq, limit: usize) -> Answer<Untried> {
        let found = untried(&self.rows.lock().unwrap(), connector, from, limit);
        async move { Ok(found) }.boxed()
    }

    fn due(&self, connector: &ConnectorName, after: Option<(Time, DeliveryId)>, limit: usize) -> Answer<Vec<Job>> {
        let found = due(&self.rows.lock().unwrap(), connector, after, limit);
        async move { Ok(found) }.boxed()
    }

    fn set_aside(&self, connector: &ConnectorName, from: Seq, what: super::Aside) -> Answer<Seq> {
        let next = set_aside(&mut self.rows.lock().unwrap(), connector, from, &what);
        async move { Ok(next) }.boxed()
    }
}

// === The watch ===

/// Keeps what it is told as lines.
#[derive(Default)]
pub(crate) struct Told(pub(crate) Mutex<Vec<String>>);

impl Told {
    pub(crate) fn count(&self, begin: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.starts_with(begin)).count()
    }

    fn say(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl Watch for Told {
    fn attempted(&self, connector: &ConnectorName, outcome: &Outcome, status: Option<u16>, _took: Duration) {
        let outcome = outcome.word();
        self.say(format!("attempted {connector} {outcome} {status:?}"));
    }

    fn delivered(&self, connector: &ConnectorName, _after: Duration) {
        self.say(format!("delivered {connector}"));
    }

    fn ended(&self, connector: &ConnectorName, _: DeliveryId, state: State, _: Option<Reason>) {
        self.say(format!("ended {connector} {}", state.word()));
    }

    fn uncertain(&self, connector: &ConnectorName) {
        self.say(format!("uncertain {connector}"));
    }

    fn breaker(&self, connector: &ConnectorName, is_open: bool) {
        self.say(format!("breaker {connector} {is_open}"));
    }

    fn ledger_failed(&self, connector: &ConnectorName, failed: &LedgerFailed) {
        self.say(format!("ledger_failed {connector} {failed}"));
    }

    fn panicked(&self, connector: &ConnectorName, message: &str) {
        self.say(format!("panicked {connector} {message}"));
    }
}

// === The partner ===

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) line: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Instant,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }
}

/// What the partner does with a request.
#[derive(Clone)]
pub(crate) enum Does {
    /// Answers with this status, these header lines and this body.
    Says(u16, &'static str, String),
    /// Answers after a while.
    SaysLate(Duration, u16),
    /// Writes exactly this and closes.
    Writes(Vec<u8>),
    /// Never answers.
    Hangs,
    /// Closes without a word.
    Closes,
}

pub(crate) fn says(status: u16) -> Does {
    Does::Says(status, "", String::new())
}

/// An HTTP server on loopback that does what its script says of the nth request, from 0.
pub(crate) struct Partner {
    pub(crate) port: u16,
    pub(crate) asked: Arc<Mutex<Vec<Asked>>>,
    /// How many requests were under way at once, at most.
    pub(crate) most: Arc<Mutex<(usize, usize)>>,
    pub(crate) connections: Arc<Mutex<usize>>,
}

type Script = Arc<dyn Fn(usize, &Asked) -> Does + Send + Sync>;

impl Partner {
    pub(crate) async fn new(script: impl Fn(usize, &Asked) -> Does + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, most) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new((0, 0))));
        let script: Script = Arc::new(script);
        let connections = Arc::new(Mutex::new(0));
        let (all, both, count) = (asked.clone(), most.clone(), connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *count.lock().unwrap() += 1;
                tokio::spawn(serve(stream, script.clone(), all.clone(), both.clone()));
            }
        });
        Self { port, asked, most, connections }
    }

    pub(crate) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

async fn serve(stream: TcpStream, script: Script, all: Arc<Mutex<Vec<Asked>>>, most: Arc<Mutex<(usize, usize)>>) {
    let mut stream = BufReader::new(stream);
    while let Some(asked) = hear(&mut stream).await {
        let does = {
            let mut all = all.lock().unwrap();
            all.push(asked);
            script(all.len() - 1, &all[all.len() - 1])
        };
        {
            let mut most = most.lock().unwrap();
            most.0 += 1;
            most.1 = most.1.max(most.0);
        }
        let goes_on = act(&mut stream, does).await;
        most.lock().unwrap().0 -= 1;
        if !goes_on {
            return;
        }
    }
}

async fn act(stream: &mut BufReader<TcpStream>, does: Does) -> bool {
    let (status, lines, body) = match does {
        Does::Says(status, lines, body) => (status, lines, body),
        Does::SaysLate(after, status) => {
            tokio::time::sleep(after).await;
            (status, "", String::new())
        }
        Does::Writes(bytes) => {
            drop(stream.write_all(&bytes).await);
            return false;
        }
        Does::Hangs => {
            // Until the other side gives up.
            drop(stream.read_to_end(&mut Vec::new()).await);
            return false;
        }
        Does::Closes => return false,
    };
    let reply = format!("HTTP/1.1 {status} X\r\n{lines}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(reply.as_bytes()).await.is_ok()
}

async fn hear(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    if stream.read_line(&mut line).await.ok()? == 0 {
        return None;
    }
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await.ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        headers.push((name.to_lowercase(), value.to_owned()));
    }
    let mut asked = Asked { line: line.trim_end().to_owned(), headers, body: Vec::new(), at: Instant::now() };
    let length = asked.header("content-length").parse().unwrap_or(0);
    asked.body = vec![0; length];
    stream.read_exact(&mut asked.body).await.ok()?;
    Some(asked)
}
