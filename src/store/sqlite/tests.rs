//! The store against a planner of a few lines: what is admitted, told, woken, resumed and swept.

mod erase;
mod laws;
mod outcomes;
mod visitors;

use std::path::PathBuf;

use super::*;
use crate::model::click::{Click, Landing};
use crate::model::delivery::{Attribution, AttributionModel, Reason, Sending};
use crate::model::event::{Consent, Event, EventId};
use crate::model::facts::{Facts, Known};
use crate::model::field::Field;
use crate::model::identifier::{Identifier, IdentifierKind};
use crate::model::ids::VisitorId;
use crate::model::outcome::Outcome;
use crate::model::record::{Attempt, Entry, ShownRequest};
use crate::model::visitor::{Fact, Visitor};
use crate::store::{Case, Change, Planned, PlannedVerdict, Whose};

/// A folder that goes with the test.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("postbackd-store-{}", uuid::Uuid::new_v4()));
        Self(path)
    }

    fn open(&self) -> Store {
        Store::open(&self.0, |_| {}).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// `Purchase` needs a click and waits for it, `Lead` is sent, `Skip` is skipped, `Panic` panics.
struct Sample;

impl Sample {
    fn plan(case: &Case<'_>, facts: &mut Facts) -> Option<Planned> {
        let event = facts.event.clone();
        facts.known = Self.known(case.visitor, &event);
        let verdict = match event.name.as_deref()? {
            "Purchase" if case.visitor.clicks.is_empty() && case.now < event.received.plus(MINUTE) => {
                PlannedVerdict::Wait { until: event.received.plus(MINUTE), reason: Some(Reason::NoClick) }
            }
            "Purchase" if case.visitor.clicks.is_empty() => PlannedVerdict::Skip(Reason::NoClick),
            "Purchase" | "Lead" => {
                PlannedVerdict::Send { sending: Sending::Live, claim: None, deliveries: 1, by_item: false }
            }
            "Once" if (case.claimed)(&"net".into(), "v") => PlannedVerdict::Skip(Reason::DuplicateConversion),
            "Once" => PlannedVerdict::Send {
                sending: Sending::Live,
                claim: Some(("v".into(), MINUTE)),
                deliveries: 2,
                by_item: true,
            },
            "Panic" => panic!("a rule at fault"),
            _ => PlannedVerdict::Skip(Reason::ConditionFalse),
        };
        facts.clicks.extend(case.visitor.clicks.first().cloned());
        let attribution = Attribution {
            click: (!facts.clicks.is_empty()).then_some(0),
            model: AttributionModel::LastClick,
            window: MINUTE,
            click_count: 1,
            why: "the only one".into(),
        };
        Some(Planned {
            connector: "net".into(),
            revision: "r1".into(),
            verdict,
            attribution: Some(attribution),
            detail: None,
        })
    }
}

fn email(value: &str) -> Identifier {
    Identifier { kind: IdentifierKind::Email, value: value.into() }
}

impl Planner for Sample {
    fn whose(
        &self,
        _: &Event,
        hits: &[(&Identifier, Option<VisitorId>)],
        _: &dyn Fn(VisitorId) -> Option<Arc<Visitor>>,
    ) -> Whose {
        let mut known: Vec<_> = hits.iter().filter_map(|(i, v)| v.map(|v| (v, i.kind))).collect();
        known.sort();
        known.dedup_by_key(|(v, _)| *v);
        match known.split_first() {
            None => Whose::Nobody,
            Some(((id, by), rest)) => {
                Whose::Visitor { id: *id, by: *by, merge: rest.iter().map(|(v, _)| *v).collect() }
            }
        }
    }

    fn remember(&self, visitor: &mut Visitor, candidate: &Candidate) -> Change {
        let gained_click = !candidate.clicks.is_empty();
        if gained_click {
            Arc::make_mut(&mut visitor.clicks).extend(candidate.clicks.iter().cloned());
        }
        let (event, known) = (&candidate.event, visitor.facts.len());
        let address = event.texts.of(Field::Email).map(|value| (value.into(), event.time));
        visitor.facts.extend(address.map(|(value, time)| Fact { field: Field::Email, value, time }));
        let changed = gained_click || known != visitor.facts.len();
        Change { gained_click, changed, stretched_only: false }
    }

    fn merge(&self, into: &mut Visitor, from: Visitor) -> bool {
        let gained = !from.clicks.is_empty();
        Arc::make_mut(&mut into.clicks).extend(from.clicks.iter().cloned());
        gained
    }

    fn known(&self, visitor: &Visitor, _: &Event) -> Known {
        Known { session_start: visitor.clicks.first().map(|c| c.seen), ..Known::default() }
    }

    fn merged(&self, parts: Vec<Event>) -> Option<Candidate> {
        let event = parts.into_iter().last()?;
        Some(Candidate { event: Arc::new(event), identifiers: Vec::new(), clicks: Vec::new() })
    }

    fn hold(&self, _: &Event, now: Time) -> Vec<Planned> {
        vec![Planned {
            connector: "net".into(),
            revision: "r1".into(),
            verdict: PlannedVerdict::Wait { until: now.plus(MINUTE), reason: None },
            attribution: None,
            detail: None,
        }]
    }

    fn named(&self, event: &Event, known: &[&Known]) -> Vec<Identifier> {
        let texts = std::iter::once(&event.texts).chain(known.iter().map(|known| &known.texts));
        texts.filter_map(|texts| Some(email(texts.of(Field::Email)?))).collect()
    }

    fn forget(&self, visitor: &mut Visitor, is_erased: &dyn Fn(&Identifier) -> bool) -> bool {
        let had = visitor.facts.len();
        visitor.facts.retain(|fact| !is_erased(&email(&fact.value)));
        had != visitor.facts.len()
    }

    fn wants(&self, _: &Event) -> bool {
        true
    }

    fn decide(&self, case: &Case<'_>, facts: &mut Facts) -> Vec<Planned> {
        Self::plan(case, facts).into_iter().collect()
    }

    fn decide_again(&self, _: &ConnectorName, case: &Case<'_>, facts: &mut Facts) -> Option<Planned> {
        Self::plan(case, facts)
    }
}

const MINUTE: Duration = Duration::from_secs(60);
const NOON: i64 = 1_768_046_400_000;

fn now(seconds: i64) -> Time {
    Time::from_ms(NOON + seconds * 1000)
}

fn event(name: &str, id: &str) -> Event {
    Event {
        container: "shop".into(),
        id: EventId::Given(id.into()),
        name: (!name.is_empty()).then(|| name.into()),
        items: vec![crate::json::parse(r#"{"id":"a","price":9.90}"#).unwrap()],
        consent: Consent { ads: Some(true), analytics: None },
        attributes: vec![("plan".into(), crate::json::parse(r#"{"deep":[1.50,null]}"#).unwrap())],
        ..Event::bare(now(0), now(0))
    }
}

fn candidate(event: Event, session: &str, click: Option<&str>) -> Candidate {
    let click = click.map(|value| Click {
        param: "cid".into(),
        value: value.into(),
        time: Some(event.time),
        seen: event.time,
        landing: Arc::new(Landing { url: "https://s.example/?cid=x".into(), ..Landing::default() }),
    });
    Candidate {
        event: Arc::new(event),
        identifiers: vec![Identifier { kind: IdentifierKind::SessionId, value: session.into() }],
        clicks: click.into_iter().collect(),
    }
}

async fn admit(store: &Store, batch: Vec<Candidate>, at: Time) -> Admission {
    store.admit(batch, Arc::new(Sample), at, MINUTE * 60).await.unwrap()
}

fn attempted(job: &Job, outcome: Outcome) -> Record {
    let request = ShownRequest { method: "GET", url: "https://n.example/".into(), headers: Vec::new(), body: None };
    Record {
        delivery: job.delivery.id,
        connector: job.delivery.connector.clone(),
        at: now(1),
        on_record: job.on_record,
        first_due: job.first_due,
        entry: Entry::Attempted(Box::new(Attempt {
            number: job.attempts + 1,
            revision: "r1".into(),
            started: now(1),
            duration: Duration::from_millis(3),
            request,
            status: Some(200),
            response: "ok".into(),
            failure: None,
            outcome,
            is_repeat: false,
            may_have_arrived: true,
        })),
    }
}

async fn states(store: &Store) -> Vec<(String, &'static str, Option<&'static str>, u32)> {
    let page = store.deliveries(DeliveryFilter::default(), 100, None).await.unwrap();
    let lines = page.items.into_iter();
    lines.map(|l| (l.event_id, l.state.word(), l.reason.map(Reason::word), l.attempts)).collect()
}

#[tokio::test]
async fn an_event_becomes_deliveries_once() {
    let folder = Folder::new();
    let store = folder.open();
    let batch = vec![
        candidate(event("Lead", "1"), "s", None),
        candidate(event("Lead", "1"), "s", None),
        candidate(event("Skip", "1"), "s", None),
        candidate(event("", "1"), "s", None),
    ];
    let admission = admit(&store, batch, now(0)).await;
    let duplicates: Vec<_> = admission.admitted.iter().map(|a| a.duplicate).collect();
    assert_eq!(duplicates, [false, true, false, false]);
    assert_eq!(admission.admitted[0].jobs.len(), 1);
    assert_eq!(
        states(&store).await,
        [("1".into(), "skipped", Some("condition_false"), 0), ("1".into(), "pending", None, 0)]
    );
    assert_eq!(store.unaccounted().await.unwrap(), 0);
    let found = store.events("1".into()).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(*found[1].facts.event, event("Lead", "1"));
}

#[tokio::test]
async fn what_was_not_recorded_is_resumed_and_what_was_is_not() {
    let folder = Folder::new();
    let jobs = {
        let store = folder.open();
        assert!(store.found().clean, "a store that was never used ended properly");
        store.begin_run().await.unwrap();
        let batch = (0..200).map(|i| candidate(event("Lead", &i.to_string()), "s", None)).collect();
        let jobs: Vec<Job> = admit(&store, batch, now(0)).await.admitted.into_iter().flat_map(|a| a.jobs).collect();
        store.record(attempted(&jobs[3], Outcome::Delivered)).await.unwrap();
        store.record(attempted(&jobs[70], Outcome::Retry { at: now(10) })).await.unwrap();
        store.record(attempted(&jobs[71], Outcome::Rejected(Reason::HttpStatus))).await.unwrap();
        jobs
    };
    let store = reopened(&folder).await;
    assert!(!store.found().clean);
    assert_eq!(store.found().backlog["net"].pending, 198);
    let mut seen = Vec::new();
    let mut from = Seq(1);
    while from <= Seq(200) {
        let (found, next) = store.untried("net".into(), from, 50).await.unwrap();
        assert!(found.iter().all(|job| job.facts.event.name.as_deref() == Some("Lead")));
        seen.extend(found.into_iter().map(|job| job.delivery));
        from = next;
    }
    let expect: Vec<_> =
        jobs.iter().enumerate().filter(|(i, _)| ![3, 70, 71].contains(i)).map(|(_, j)| j.delivery.clone()).collect();
    assert_eq!(seen, expect);
    let due = store.due("net".into(), None, 10).await.unwrap();
    assert_eq!(
        due.iter().map(|j| (j.delivery.id, j.attempts, j.due)).collect::<Vec<_>>(),
        [(jobs[70].delivery.id, 1, now(10))]
    );
    store.record(attempted(&due[0], Outcome::Delivered)).await.unwrap();
    assert!(store.due("net".into(), None, 10).await.unwrap().is_empty());
    assert_eq!(store.delivery(jobs[70].delivery.id).await.unwrap().unwrap().log.len(), 2);
    assert_eq!(store.unaccounted().await.unwrap(), 0);
}

impl Store {
    async fn count(&self, what: &'static str) -> i64 {
        let question = format!("SELECT count(*) FROM {what}");
        self.read(move |sql| Ok(sql.query_row(&question, [], |row| row.get(0))?)).await.unwrap()
    }

    /// Until what changed is in its tables, which an idle writer sees to.
    async fn settled(&self) {
        for _ in 0..1000 {
            if self.count("change").await == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("changes stay in memory");
    }
}

/// The lock goes with the last handle; the writer thread may hold the database a moment longer.
async fn reopened(folder: &Folder) -> Store {
    for _ in 0..500 {
        match Store::open(&folder.0, |_| {}) {
            Ok(store) => return store,
            Err(StoreError::Locked(_)) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("still locked");
}

/// More than one generation of changes: what is asked for while they are moved, and after a reopening at any time, is
/// what was said last.
#[tokio::test]
async fn what_changed_is_known_before_while_and_after_it_is_moved() {
    let folder = Folder::new();
    let mut store = folder.open();
    let (visitors, rounds) = (1_200, 6);
    for round in 0..rounds {
        for chunk in (0..visitors).collect::<Vec<i64>>().chunks(400) {
            let lead = |i: &i64| {
                candidate(event("Lead", &format!("{round}-{i}")), &format!("s{i}"), Some(&format!("c{round}-{i}")))
            };
            let batch = chunk.iter().map(lead).collect();
            for (i, one) in chunk.iter().zip(admit(&store, batch, now(round)).await.admitted) {
                let seen = usize::try_from(round).unwrap() + 1;
                assert!(!one.duplicate);
                assert_eq!(one.jobs[0].facts.matched_by.is_some(), 0 < round, "visitor {i} in round {round}");
                assert_eq!(one.jobs[0].facts.known.session_start, Some(now(0)), "its first click");
                assert_eq!(one.clicks_gained, 1, "{seen}");
            }
        }
        let again = vec![candidate(event("Lead", &format!("{round}-7")), "s7", None)];
        assert!(admit(&store, again, now(round)).await.admitted[0].duplicate, "in round {round}");
        match round {
            1 | 3 => {
                drop(store);
                store = reopened(&folder).await;
            }
            2 | 4 => store.settled().await,
            _ => {}
        }
    }
    store.settled().await;
    assert_eq!(store.count("visitor").await, visitors);
    assert_eq!(store.count("key WHERE until = 0").await, visitors);
    assert_eq!(store.count("key WHERE until <> 0").await, visitors * rounds);
}

#[tokio::test]
async fn a_store_belongs_to_one_process() {
    let folder = Folder::new();
    let _store = folder.open();
    assert!(matches!(Store::open(&folder.0, |_| {}), Err(StoreError::Locked(_))));
}

#[tokio::test]
async fn a_waiting_conversion_is_woken_by_a_click_by_a_merge_or_by_time() {
    let folder = Folder::new();
    let store = folder.open();
    let batch = vec![
        candidate(event("Purchase", "click"), "a", None),
        candidate(event("Purchase", "merge"), "b", None),
        candidate(event("Purchase", "time"), "c", None),
    ];
    admit(&store, batch, now(0)).await;
    assert!(
        states(&store).await.iter().all(|(_, state, reason, _)| (*state, *reason) == ("waiting", Some("no_click")))
    );
    let woken = admit(&store, vec![candidate(event("", "x"), "a", Some("c1"))], now(1)).await.woken;
    assert_eq!(woken.sent.len(), 1);
    let mut join = candidate(event("", "y"), "a", None);
    join.identifiers.push(Identifier { kind: IdentifierKind::SessionId, value: "b".into() });
    assert_eq!(admit(&store, vec![join], now(2)).await.woken.sent.len(), 1);
    let (woken, count) = store.wake_due(Arc::new(Sample), now(59), MINUTE, 10).await.unwrap();
    assert_eq!((woken.skipped.len(), count), (0, 0));
    let (woken, count) = store.wake_due(Arc::new(Sample), now(61), MINUTE, 10).await.unwrap();
    assert_eq!((woken.skipped.len(), count), (1, 1));
    assert_eq!(
        states(&store).await,
        [
            ("time".into(), "skipped", Some("no_click"), 0),
            ("merge".into(), "pending", None, 0),
            ("click".into(), "pending", None, 0)
        ]
    );
    let due = store.due("net".into(), None, 10).await.unwrap();
    assert_eq!(due.len(), 2);
    assert!(due.iter().all(|job| &*job.facts.clicks[0].value == "c1"), "with the click that woke it");
    assert!(due.iter().all(|job| job.facts.known.session_start == Some(now(0))), "with what is known by now");
    let (untried, _) = store.untried("net".into(), Seq(1), 10).await.unwrap();
    assert!(untried.is_empty(), "what was woken is on record");
    assert_eq!(store.unaccounted().await.unwrap(), 0);
}

#[tokio::test]
async fn a_rule_that_panics_takes_only_its_batch_down() {
    let folder = Folder::new();
    let store = folder.open();
    let batch = vec![candidate(event("Lead", "1"), "s", None), candidate(event("Panic", "2"), "s", None)];
    let (error, batch) = store.admit(batch, Arc::new(Sample), now(0), MINUTE).await.unwrap_err();
    assert!(matches!(error, StoreError::Panicked(_)));
    assert_eq!(batch.len(), 2);
    assert!(states(&store).await.is_empty());
    let first = batch.into_iter().take(1).collect();
    assert_eq!(admit(&store, first, now(0)).await.admitted[0].jobs.len(), 1);
}

#[tokio::test]
async fn claims_hold_until_they_are_released_or_run_out() {
    let folder = Folder::new();
    let store = folder.open();
    let once = |id: &str| vec![candidate(event("Once", id), "s", None)];
    let first = admit(&store, once("1"), now(0)).await.admitted.remove(0);
    assert_eq!(first.jobs.iter().map(|j| j.delivery.item).collect::<Vec<_>>(), [Some(0), Some(1)]);
    assert_eq!(admit(&store, once("2"), now(1)).await.admitted[0].decisions[0].1, Some(Reason::DuplicateConversion));
    let skip = async |job: &Job| {
        let entry = Entry::Ended { state: State::Skipped, reason: Some(Reason::MissingVariable), detail: None };
        store.record(Record { entry, ..attempted(job, Outcome::Delivered) }).await.unwrap();
    };
    skip(&first.jobs[0]).await;
    let held = admit(&store, once("held"), now(1)).await;
    assert_eq!(held.admitted[0].decisions[0].1, Some(Reason::DuplicateConversion), "the other item holds it still");
    skip(&first.jobs[1]).await;
    assert_eq!(admit(&store, once("3"), now(2)).await.admitted[0].decisions[0].1, None);
    assert_eq!(admit(&store, once("4"), now(70)).await.admitted[0].decisions[0].1, None);
}

#[tokio::test]
async fn what_failed_for_good_is_replayed() {
    let folder = Folder::new();
    let store = folder.open();
    let batch = (0..3).map(|i| candidate(event("Lead", &i.to_string()), "s", None)).collect();
    let jobs: Vec<Job> = admit(&store, batch, now(0)).await.admitted.into_iter().flat_map(|a| a.jobs).collect();
    store.record(attempted(&jobs[0], Outcome::Dead(Reason::RetriesExhausted))).await.unwrap();
    store.record(attempted(&jobs[1], Outcome::Dead(Reason::RetriesExhausted))).await.unwrap();
    store.record(attempted(&jobs[2], Outcome::Delivered)).await.unwrap();
    let selection =
        ReplaySelection { connector: Some("net".into()), state: State::Dead, since: None, until: Some(now(100)) };
    let replayed = store.replay(selection, now(5), Duration::from_secs(2)).await.unwrap();
    assert_eq!((replayed.count, replayed.connectors.len()), (2, 1));
    let due = store.due("net".into(), None, 10).await.unwrap();
    assert_eq!(due.iter().map(|j| (j.due, j.attempts)).collect::<Vec<_>>(), [(now(5), 1), (now(7), 1)]);
    let delivered = jobs[2].delivery.id;
    assert_eq!(store.replay_one(delivered, false, now(5)).await.unwrap(), ReplayedOne::Delivered);
    assert_eq!(store.replay_one(delivered, true, now(5)).await.unwrap(), ReplayedOne::Replayed("net".into()));
    let due = store.due("net".into(), None, 10).await.unwrap();
    assert!(due.iter().any(|job| job.delivery.id == delivered && job.is_repeat));
    assert_eq!(store.unaccounted().await.unwrap(), 0);
}

#[tokio::test]
async fn an_attempt_that_was_begun_is_known_after_a_crash() {
    let folder = Folder::new();
    {
        let store = folder.open();
        let job = admit(&store, vec![candidate(event("Lead", "1"), "s", None)], now(0))
            .await
            .admitted
            .remove(0)
            .jobs
            .remove(0);
        store
            .record(Record { entry: Entry::Started { number: 1 }, ..attempted(&job, Outcome::Delivered) })
            .await
            .unwrap();
    }
    let store = reopened(&folder).await;
    let cut_off = store.cut_off().await.unwrap();
    assert_eq!(cut_off.iter().map(|c| c.attempt).collect::<Vec<_>>(), [1]);
    store.resend_cut_off(cut_off[0].delivery).await.unwrap();
    assert!(store.cut_off().await.unwrap().is_empty());
    let due = store.due("net".into(), None, 10).await.unwrap();
    assert!(due[0].is_repeat);
}

#[tokio::test]
async fn pages_lead_through_the_whole_log() {
    let folder = Folder::new();
    let store = folder.open();
    for chunk in 0..6 {
        let batch = (0..100).map(|i| candidate(event("Lead", &format!("{chunk}-{i}")), "s", None)).collect();
        admit(&store, batch, now(chunk)).await;
    }
    let mut seen = Vec::new();
    let mut cursor = None;
    loop {
        let page = store.deliveries(DeliveryFilter::default(), 70, cursor).await.unwrap();
        assert!(page.items.len() <= 70);
        seen.extend(page.items.iter().map(|line| line.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.len(), 600);
    assert!(seen.windows(2).all(|pair| pair[0].seq() > pair[1].seq()), "newest first, none twice");
    let since = DeliveryFilter { since: Some(now(4)), until: Some(now(5)), ..DeliveryFilter::default() };
    assert_eq!(store.deliveries(since, 1000, None).await.unwrap().items.len(), 100);
    let by_id = DeliveryFilter { event_id: Some("3-7".into()), ..DeliveryFilter::default() };
    assert_eq!(store.deliveries(by_id, 10, None).await.unwrap().items.len(), 1);
    assert!(store.deliveries(DeliveryFilter::default(), 10, Some("nonsense".into())).await.is_err());
}

#[tokio::test]
async fn the_sweep_takes_what_is_old_and_final_and_nothing_else() {
    let folder = Folder::new();
    let store = folder.open();
    let batch = (0..130).map(|i| candidate(event("Lead", &i.to_string()), "s", Some("c"))).collect();
    let jobs: Vec<Job> = admit(&store, batch, now(0)).await.admitted.into_iter().flat_map(|a| a.jobs).collect();
    for job in &jobs {
        let outcome =
            if job.delivery.id == jobs[5].delivery.id { Outcome::Retry { at: now(9) } } else { Outcome::Delivered };
        store.record(attempted(job, outcome)).await.unwrap();
    }
    store.keep_lanes("lanes", String::new(), Seq(131), false).await.unwrap();
    let limits = SweepLimits { now: now(7200), log_before: now(100), clicks_before: now(100) };
    for _ in 0..2 {
        store.settled().await;
        while store.sweep(limits).await.unwrap() {}
    }
    store.settled().await;
    assert_eq!(store.count("visitor").await, 0);
    assert_eq!(store.count("key").await, 0, "an identifier goes with its visitor");
    assert_eq!(states(&store).await, [("5".into(), "pending", None, 1)]);
    let again = admit(&store, vec![candidate(event("Lead", "9"), "s", None)], now(7200)).await;
    assert!(!again.admitted[0].duplicate, "its key had run out");
    assert_eq!(again.admitted[0].jobs[0].facts.clicks.len(), 0, "its visitor was forgotten");
    assert_eq!(store.unaccounted().await.unwrap(), 0);
}

#[tokio::test]
async fn a_store_in_memory_answers_too() {
    let store = Store::in_memory().unwrap();
    admit(&store, vec![candidate(event("Lead", "1"), "s", None)], now(0)).await;
    assert_eq!(states(&store).await.len(), 1);
}

#[tokio::test]
async fn the_book_balances_among_records_of_the_same_commit() {
    let folder = Folder::new();
    let store = folder.open();
    let batch = (0..100).map(|i| candidate(event("Lead", &i.to_string()), "s", None)).collect();
    let jobs: Vec<Job> = admit(&store, batch, now(0)).await.admitted.into_iter().flat_map(|a| a.jobs).collect();
    // While the first is being committed, the others gather for the next commit, the question among them.
    let records =
        futures_util::future::join_all(jobs.iter().map(|job| store.record(attempted(job, Outcome::Delivered))));
    let (records, unaccounted) = futures_util::future::join(records, store.unaccounted()).await;
    assert!(records.iter().all(Result::is_ok));
    assert_eq!(unaccounted.unwrap(), 0);
}

#[tokio::test]
async fn what_is_set_aside_is_on_record_and_cancelled_where_its_connector_is_gone() {
    let folder = Folder::new();
    let store = folder.open();
    let batch = (0..4).map(|i| candidate(event("Lead", &i.to_string()), "s", None)).collect();
    let jobs: Vec<Job> = admit(&store, batch, now(0)).await.admitted.into_iter().flat_map(|a| a.jobs).collect();
    let in_flight = jobs[1].delivery.id;
    let record = store.record(attempted(&jobs[0], Outcome::Delivered));
    let set_aside = store.set_aside("net".into(), Seq(1), true, vec![in_flight]);
    let (recorded, next) = futures_util::future::join(record, set_aside).await;
    recorded.unwrap();
    assert_eq!(next.unwrap(), Seq(5));
    let (untried, _) = store.untried("net".into(), Seq(1), 10).await.unwrap();
    assert_eq!(untried.iter().map(|job| job.delivery.id).collect::<Vec<_>>(), [in_flight]);
    let due = store.due("net".into(), None, 10).await.unwrap();
    assert_eq!(
        due.iter().map(|j| (j.delivery.id, j.attempts, j.on_record)).collect::<Vec<_>>(),
        [(jobs[2].delivery.id, 0, true), (jobs[3].delivery.id, 0, true)]
    );
    assert_eq!(store.cancel_removed(vec!["net".into()], now(9), now(9)).await.unwrap(), Vec::<String>::new());
    assert_eq!(store.cancel_removed(Vec::new(), now(9), now(9)).await.unwrap(), ["net", "net"]);
    store.record(attempted(&jobs[1], Outcome::Delivered)).await.unwrap();
    assert_eq!(store.unaccounted().await.unwrap(), 0);
    assert!(store.backlog().await.unwrap().is_empty());
}
