//! Lanes against a partner on loopback and a ledger in memory: what is sent, how often, and what is on record of it.

use super::super::testing::{Does, FakeLedger, Partner, Told, config, connector, delivery_id, job, ms, says, until};
use super::super::{Answer, Untried};
use super::*;
use crate::model::connector::{BreakerPolicy, Connector, Limits, Mode, OnUncertain, Signing, SigningKey};
use crate::model::delivery::{Reason, Sending, State};
use crate::model::ids::DeliveryId;
use crate::model::outcome::{Outcome, OutcomeRule, Then};
use crate::model::record::{Entry, Haste, Record};
use crate::model::retry::RetryPolicy;
use crate::model::secret::Text;
use crate::model::template::{Entry as Header, Place, Segment, Template};
use crate::model::time::Time;

struct Stage {
    ledger: Arc<FakeLedger>,
    told: Arc<Told>,
    lanes: Lanes,
}

impl Stage {
    fn new(connectors: Vec<Connector>) -> Self {
        let (ledger, told) = (FakeLedger::new(), Arc::new(Told::default()));
        let lanes = Lanes::new(ledger.clone(), told.clone());
        lanes.apply(&config(connectors)).unwrap();
        Self { ledger, told, lanes }
    }

    /// Commits and offers, as the pipeline does.
    fn admit(&self, jobs: Vec<Job>) {
        self.ledger.commit(&jobs);
        self.lanes.offer(jobs);
    }

    fn admit_live(&self, name: &str, seqs: std::ops::RangeInclusive<i64>) {
        self.admit(seqs.map(|seq| job(name, seq, 0, Sending::Live, clock::now())).collect());
    }

    async fn until_count(&self, state: State, count: usize) {
        until(&format!("{count} are {}", state.word()), || self.ledger.count(state) == count).await;
    }

    /// Attempts of event `seq`, as (number, status, outcome's word, is_repeat).
    fn attempts(&self, seq: i64) -> Vec<(u32, Option<u16>, &'static str, bool)> {
        self.ledger.with(seq, |row| {
            row.attempts().iter().map(|a| (a.number, a.status, a.outcome.word(), a.is_repeat)).collect()
        })
    }

    fn ended(&self, seq: i64) -> Option<(State, Option<Reason>)> {
        self.ledger.with(seq, |row| match row.entries.last() {
            Some(Entry::Ended { state, reason, .. }) => Some((*state, *reason)),
            _ => None,
        })
    }
}

fn at(mode: Mode, mut connector: Connector) -> Connector {
    connector.mode = mode;
    connector
}

/// Some time for what must not happen.
async fn a_while() {
    tokio::time::sleep(ms(150)).await;
}

#[tokio::test]
async fn a_delivery_is_retried_until_it_is_accepted_with_the_same_id() {
    let partner = Partner::new(|n, _| [says(503), Does::Closes, says(200)][n].clone()).await;
    let stage = Stage::new(vec![connector("a", partner.port)]);
    stage.admit_live("a", 1..=1);
    stage.until_count(State::Delivered, 1).await;
    let expect = [(1, Some(503), "retry", false), (2, None, "retry", true), (3, Some(200), "delivered", true)];
    assert_eq!(stage.attempts(1), expect);
    let id = delivery_id(1, 0).to_string();
    assert!(partner.asked.lock().unwrap().iter().all(|asked| asked.header("idempotency-key") == id));
    let gaps: Vec<_> = partner.asked.lock().unwrap().windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(ms(20) < gaps[0] && ms(30) < gaps[1], "{gaps:?}");
    until("all is told", || stage.told.count("ended a delivered") == 1).await;
    assert_eq!(stage.told.count("attempted a retry"), 2);
    assert_eq!(stage.told.count("delivered a"), 1);
    assert_eq!(stage.lanes.frontiers(), Frontiers { all: Seq(2), behind: Vec::new() });
}

#[tokio::test]
async fn retry_after_is_waited_for_and_a_429_pauses_the_lane() {
    let reply = |n| if n == 0 { Does::Says(429, "retry-after: 1\r\n", String::new()) } else { says(200) };
    let partner = Partner::new(move |n, _| reply(n)).await;
    let mut one = connector("a", partner.port);
    one.postback.limits.concurrency = 1;
    let stage = Stage::new(vec![one]);
    stage.admit_live("a", 1..=3);
    until("the lane is paused", || stage.lanes.states()[0].paused_until.is_some()).await;
    stage.until_count(State::Delivered, 3).await;
    let asked = partner.asked.lock().unwrap();
    assert!(ms(950) < asked[1].at - asked[0].at, "nothing is sent in between");
    drop(asked);
    assert_eq!(stage.attempts(2).len() + stage.attempts(3).len(), 2, "waiting uses no attempt");
}

#[tokio::test]
async fn concurrency_counts_what_is_not_on_record_yet() {
    let partner = Partner::new(|_, _| Does::SaysLate(ms(5), 200)).await;
    let stage = Stage::new(vec![connector("a", partner.port)]);
    stage.ledger.open(false);
    stage.admit_live("a", 1..=40);
    until("four were sent", || partner.count() == 4).await;
    a_while().await;
    assert_eq!((partner.count(), stage.lanes.states()[0].in_flight), (4, 4), "their slots are still in use");
    assert_eq!(stage.lanes.frontiers().all, Seq(1));
    stage.ledger.open(true);
    stage.until_count(State::Delivered, 40).await;
    assert_eq!(partner.count(), 40);
    assert!(partner.most.lock().unwrap().1 <= 4);
    // Two were started when half of the slots or fewer were in use.
    let hastes = stage.ledger.hastes.lock().unwrap();
    assert_eq!(hastes.iter().filter(|haste| **haste == Haste::Soon).count(), 2, "{hastes:?}");
    assert_eq!(hastes.len(), 40);
}

#[tokio::test]
async fn a_breaker_lets_one_probe_through_and_waiting_uses_no_attempt() {
    let partner = Partner::new(|n, _| says(if n < 6 { 500 } else { 200 })).await;
    let mut ill = connector("a", partner.port);
    ill.postback.limits.concurrency = 1;
    ill.postback.breaker = BreakerPolicy { failures: 3, open_for: ms(150) };
    let stage = Stage::new(vec![ill]);
    stage.admit_live("a", 1..=10);
    until("it opened", || stage.lanes.states()[0].breaker_open).await;
    stage.until_count(State::Delivered, 10).await;
    let times: Vec<_> = partner.asked.lock().unwrap().iter().map(|asked| asked.at).collect();
    for pair in times[2..7].windows(2) {
        assert!(ms(140) < pair[1] - pair[0], "one probe each time");
    }
    assert_eq!(times.len(), 16, "six failed and ten were accepted");
    until("it closed", || stage.told.count("breaker a false") == 1).await;
    assert_eq!(stage.told.count("breaker a true"), 1);
}

#[tokio::test]
async fn a_rate_is_kept() {
    let partner = Partner::new(|_, _| says(200)).await;
    let mut slow = connector("a", partner.port);
    slow.postback.limits = Limits { concurrency: 8, rate: Some(50.0) };
    let stage = Stage::new(vec![slow]);
    stage.admit_live("a", 1..=21);
    stage.until_count(State::Delivered, 21).await;
    let asked = partner.asked.lock().unwrap();
    assert!(ms(350) < asked[20].at - asked[0].at, "twenty gaps of 20 ms");
}

#[tokio::test]
async fn a_partner_that_hangs_delays_no_other() {
    let hangs = Partner::new(|_, _| Does::Hangs).await;
    let well = Partner::new(|_, _| says(200)).await;
    let stage = Stage::new(vec![connector("hangs", hangs.port), connector("well", well.port)]);
    let now = clock::now();
    let both = (1..=3000).flat_map(|seq| ["hangs", "well"].map(|name| (seq, name)));
    let jobs = both.enumerate().map(|(i, (seq, name))| job(name, seq, (i % 2) as u32, Sending::Live, now)).collect();
    stage.admit(jobs);
    stage.until_count(State::Delivered, 3000).await;
    assert_eq!(well.count(), 3000);
    assert!(hangs.count() <= 4);
    let frontiers = stage.lanes.frontiers();
    assert_eq!(frontiers, Frontiers { all: Seq(3001), behind: vec![("hangs".into(), Seq(1))] });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_overflows_memory_is_read_back_and_sent_once() {
    let partner = Partner::new(|_, _| says(200)).await;
    let mut wide = connector("a", partner.port);
    wide.postback.limits.concurrency = 32;
    let stage = Stage::new(vec![wide]);
    for batch in 0..50 {
        stage.admit_live("a", batch * 100 + 1..=batch * 100 + 100);
        tokio::task::yield_now().await;
        assert!(stage.lanes.states()[0].queued <= 2048);
    }
    stage.until_count(State::Delivered, 5000).await;
    until("it has read all", || !stage.lanes.states()[0].is_behind).await;
    stage.admit_live("a", 5001..=5001);
    stage.until_count(State::Delivered, 5001).await;
    assert_eq!(partner.count(), 5001);
}

#[tokio::test]
async fn a_start_reads_on_from_its_frontier_and_takes_up_retries() {
    let partner = Partner::new(|_, _| says(200)).await;
    let stage = Stage::new(vec![at(Mode::Disabled, connector("a", partner.port))]);
    let mut jobs: Vec<Job> = (1..=700).map(|seq| job("a", seq, 0, Sending::Live, clock::now())).collect();
    for retry in jobs.iter_mut().take(600) {
        (retry.on_record, retry.attempts) = (true, 1);
    }
    stage.ledger.commit(&jobs);
    stage.lanes.resume(&"a".into(), Seq(601));
    stage.lanes.apply(&config(vec![connector("a", partner.port)])).unwrap();
    stage.until_count(State::Delivered, 700).await;
    assert_eq!(partner.count(), 700);
    assert_eq!(stage.attempts(1), [(2, Some(200), "delivered", false)]);
}

#[tokio::test]
async fn a_nudge_finds_what_was_put_on_record_elsewhere() {
    let partner = Partner::new(|_, _| says(200)).await;
    let stage = Stage::new(vec![connector("a", partner.port)]);
    stage.admit_live("a", 2..=2);
    stage.until_count(State::Delivered, 1).await;
    let mut woken = job("a", 1, 0, Sending::Live, clock::now());
    woken.on_record = true;
    stage.ledger.commit(&[woken]);
    stage.lanes.nudge("a");
    stage.lanes.nudge("unheard-of");
    stage.until_count(State::Delivered, 2).await;
}

#[tokio::test]
async fn what_was_decided_live_is_parked_in_test_mode_and_sent_when_released() {
    let partner = Partner::new(|_, _| says(200)).await;
    let stage = Stage::new(vec![at(Mode::Test, connector("a", partner.port))]);
    let sendings = [Sending::Live, Sending::Dry, Sending::Forced];
    let jobs = (1..=30).map(|seq| job("a", seq, 0, sendings[seq as usize % 3], clock::now())).collect();
    stage.admit(jobs);
    stage.until_count(State::Test, 10).await;
    stage.until_count(State::Delivered, 10).await;
    assert_eq!(stage.ledger.count(State::Pending), 10);
    assert_eq!(stage.ledger.with(1, |row| row.entries.len()), 1, "rendered");
    until("what is parked is on record", || stage.lanes.frontiers().behind.is_empty()).await;
    assert!(stage.ledger.with(3, |row| row.job.on_record && row.entries.is_empty()));
    assert!(stage.lanes.states()[0].parked_since.is_some());
    stage.lanes.apply(&config(vec![connector("a", partner.port)])).unwrap();
    stage.until_count(State::Delivered, 20).await;
    assert_eq!(partner.count(), 20);
    let shown = stage.ledger.with(1, |row| match &row.entries[0] {
        Entry::Rendered(shown) => shown.url.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(&*shown, format!("http://127.0.0.1:{}/postback", partner.port));
}

#[tokio::test]
async fn what_is_disabled_or_removed_is_parked_retries_too() {
    let partner = Partner::new(|n, _| says(if n < 5 { 500 } else { 200 })).await;
    let mut slow = connector("a", partner.port);
    slow.postback.retry = RetryPolicy::new(ms(400), 1.0, 0.0, ms(400), ms(600_000)).unwrap();
    let stage = Stage::new(vec![slow.clone()]);
    stage.admit_live("a", 1..=5);
    until("all have failed once", || stage.told.count("attempted a retry") == 5).await;
    stage.lanes.apply(&config(Vec::new())).unwrap();
    stage.admit_live("a", 6..=8);
    tokio::time::sleep(ms(500)).await;
    assert_eq!((partner.count(), stage.lanes.states()[0].queued), (5, 0), "parked deliveries lie in the store");
    stage.lanes.apply(&config(vec![at(Mode::Disabled, slow.clone())])).unwrap();
    a_while().await;
    assert_eq!(partner.count(), 5);
    stage.lanes.apply(&config(vec![slow])).unwrap();
    stage.until_count(State::Delivered, 8).await;
    assert_eq!(partner.count(), 13);
    let parkings = stage.lanes.parkings();
    assert_eq!(parkings.len(), 1);
    assert!(ms(600) < parkings[0].1.within(Sending::Live, Time::from_ms(0), clock::now()));
}

#[tokio::test]
async fn max_elapsed_stands_still_while_parked() {
    let partner = Partner::new(|_, _| says(200)).await;
    let mut short = connector("a", partner.port);
    short.postback.retry = RetryPolicy::new(ms(10), 1.0, 0.0, ms(10), ms(60_000)).unwrap();
    let stage = Stage::new(vec![at(Mode::Disabled, short.clone())]);
    let (now, hour) = (clock::now(), Duration::from_secs(3600));
    let before = Parking { spans: Vec::new(), since: Some((now.minus(hour), true)) };
    stage.lanes.restore(&"a".into(), before);
    let old = |seq, age: Duration| job("a", seq, 0, Sending::Live, now.minus(age));
    stage.admit(vec![old(1, hour), old(2, hour + ms(30_000)), old(3, hour + ms(61_000))]);
    stage.lanes.apply(&config(vec![short])).unwrap();
    stage.until_count(State::Delivered, 2).await;
    stage.until_count(State::Dead, 1).await;
    assert_eq!(stage.ended(3), Some((State::Dead, Some(Reason::RetriesExhausted))));
}

#[tokio::test]
async fn what_has_expired_is_not_sent() {
    let partner = Partner::new(|_, _| says(200)).await;
    let mut strict = connector("a", partner.port);
    strict.postback.expires_after = Some(ms(60_000));
    let stage = Stage::new(vec![strict]);
    let old = job("a", 1, 0, Sending::Live, clock::now().minus(ms(61_000)));
    let fresh = job("a", 2, 0, Sending::Live, clock::now().minus(ms(1000)));
    stage.admit(vec![old, fresh]);
    stage.until_count(State::Delivered, 1).await;
    stage.until_count(State::Dead, 1).await;
    assert_eq!(stage.ended(1), Some((State::Dead, Some(Reason::Expired))));
    assert_eq!(partner.count(), 1);
}

#[tokio::test]
async fn an_attempt_is_announced_and_its_uncertainty_held_or_dropped() {
    for (on_uncertain, state) in [(OnUncertain::Hold, State::Held), (OnUncertain::Drop, State::Dead)] {
        let partner = Partner::new(|n, _| if n == 0 { Does::Closes } else { says(200) }).await;
        let mut careful = connector("a", partner.port);
        careful.postback.on_uncertain = on_uncertain;
        careful.postback.limits.concurrency = 1;
        let stage = Stage::new(vec![careful]);
        stage.ledger.open(false);
        stage.admit_live("a", 1..=2);
        a_while().await;
        assert_eq!(partner.count(), 0, "no byte before its start is on record");
        stage.ledger.open(true);
        stage.until_count(state, 1).await;
        stage.until_count(State::Delivered, 1).await;
        assert_eq!(partner.count(), 2);
        stage.ledger.with(1, |row| assert_eq!(row.entries[0], Entry::Started { number: 1 }));
        assert_eq!(stage.attempts(1), [(1, None, if state == State::Held { "held" } else { "dead" }, false)]);
        until("it is counted", || stage.told.count("uncertain a") == 1).await;
    }
}

#[tokio::test]
async fn a_private_address_is_refused_and_the_delivery_rejected() {
    let partner = Partner::new(|_, _| says(200)).await;
    let stage = Stage::new(vec![connector("a", partner.port)]);
    let mut strict = config(vec![connector("a", partner.port)]);
    strict.egress.allow.clear();
    stage.lanes.apply(&strict).unwrap();
    stage.admit_live("a", 1..=1);
    stage.until_count(State::Rejected, 1).await;
    assert_eq!(partner.count(), 0);
    stage.ledger.with(1, |row| {
        assert_eq!(row.attempts()[0].outcome, Outcome::Rejected(Reason::EgressDenied));
        assert!(row.attempts()[0].failure.as_deref().unwrap().starts_with("egress_denied: "));
    });
}

#[tokio::test]
async fn a_reply_is_shown_scrubbed_and_short_and_a_request_masked() {
    let echo = format!("{}s3cr3t-token{}", "x".repeat(4090), "y".repeat(100_000));
    let partner = Partner::new(move |_, _| Does::Says(200, "", echo.clone())).await;
    let mut secretive = connector("a", partner.port);
    let mut value = Text::from("Bearer ");
    value.push_secret("s3cr3t-token");
    let value = Template { place: Place::Header, segments: vec![Segment::Literal(value)] };
    secretive.postback.headers = vec![Header { name: Text::from("authorization"), value, there: Default::default() }];
    secretive.postback.sign = Some(Signing { keys: vec![SigningKey(b"key".as_slice().into())] });
    let stage = Stage::new(vec![secretive]);
    stage.admit_live("a", 1..=1);
    stage.until_count(State::Delivered, 1).await;
    stage.ledger.with(1, |row| {
        let attempt = row.attempts()[0];
        assert_eq!(attempt.response.len(), 4096);
        assert!(attempt.response.ends_with("x***yyy"));
        let shown = |name: &str| attempt.request.headers.iter().find(|(n, _)| &**n == name).map(|(_, v)| v.to_string());
        assert_eq!(shown("authorization").as_deref(), Some("Bearer ***"));
        assert_eq!(shown("webhook-id"), Some(delivery_id(1, 0).to_string()));
        assert_eq!(&*attempt.revision, "abc");
    });
    let asked = partner.asked.lock().unwrap();
    assert_eq!(asked[0].header("authorization"), "Bearer s3cr3t-token");
    assert!(asked[0].header("webhook-signature").starts_with("v1,"));
}

#[tokio::test]
async fn a_2xx_whose_body_breaks_off_is_delivered() {
    let broken = b"HTTP/1.1 200 OK\r\ncontent-length: 30\r\n\r\nhalf of s3cr3t".to_vec();
    let partner = Partner::new(move |_, _| Does::Writes(broken.clone())).await;
    let stage = Stage::new(vec![connector("a", partner.port)]);
    stage.admit_live("a", 1..=1);
    stage.until_count(State::Delivered, 1).await;
    stage.ledger.with(1, |row| assert_eq!(&*row.attempts()[0].response, "half of ***"));
}

#[tokio::test]
async fn a_changed_connector_applies_from_the_next_attempt_on() {
    let partner = Partner::new(|_, _| says(404)).await;
    let mut first = connector("a", partner.port);
    let rule = |then| OutcomeRule { status: Some(404), body_contains: None, json: None, then, after: None };
    first.postback.outcomes = vec![rule(Then::Retry)];
    let mut second = first.clone();
    second.postback.outcomes = vec![rule(Then::Delivered)];
    second.revision = "def".into();
    let stage = Stage::new(vec![first]);
    stage.admit_live("a", 1..=1);
    until("it failed once", || stage.told.count("attempted a retry") != 0).await;
    stage.lanes.apply(&config(vec![second])).unwrap();
    stage.until_count(State::Delivered, 1).await;
    stage.ledger.with(1, |row| {
        assert_eq!(&*row.attempts()[0].revision, "abc");
        assert_eq!(&*row.attempts().last().unwrap().revision, "def");
    });
}

#[tokio::test]
async fn draining_waits_for_what_is_in_flight_and_starts_nothing() {
    let partner = Partner::new(|_, _| Does::SaysLate(ms(100), 200)).await;
    let stage = Stage::new(vec![connector("a", partner.port)]);
    stage.admit_live("a", 1..=20);
    until("four are under way", || partner.count() == 4).await;
    stage.lanes.drain(Duration::from_secs(10)).await;
    assert_eq!((partner.count(), stage.ledger.count(State::Delivered)), (4, 4));
    assert_eq!(stage.lanes.frontiers().all, Seq(5));

    let hangs = Partner::new(|_, _| Does::Hangs).await;
    let stuck = Stage::new(vec![connector("b", hangs.port)]);
    stuck.admit_live("b", 1..=1);
    until("it is under way", || hangs.count() == 1).await;
    stuck.lanes.drain(ms(50)).await;
    assert_eq!(stuck.ledger.count(State::Pending), 1, "the grace is over");
}

#[tokio::test]
async fn a_ledger_that_fails_stops_the_lane_and_nothing_is_sent_twice() {
    let partner = Partner::new(|_, _| says(200)).await;
    let mut one = connector("a", partner.port);
    one.postback.limits.concurrency = 1;
    let stage = Stage::new(vec![one]);
    *stage.ledger.fails.lock().unwrap() = true;
    stage.admit_live("a", 1..=5);
    until("it is told", || stage.told.count("ledger_failed a the store failed: the disk is gone") == 1).await;
    a_while().await;
    assert_eq!(partner.count(), 1);
    assert_eq!(stage.lanes.frontiers().all, Seq(1));
}

/// A ledger with a fault of its own.
struct Faulty;

impl Ledger for Faulty {
    fn record(&self, _: Record, _: Haste) -> Answer<()> {
        panic!("no such table")
    }

    fn untried(&self, _connector: &ConnectorName, from: Seq, _limit: usize) -> Answer<Untried> {
        Box::pin(async move { Ok(Untried { jobs: Vec::new(), next: from }) })
    }

    fn due(&self, _: &ConnectorName, _: Option<(Time, DeliveryId)>, _: usize) -> Answer<Vec<Job>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn set_aside(&self, _: &ConnectorName, from: Seq, _: crate::dispatch::Aside) -> Answer<Seq> {
        Box::pin(async move { Ok(from) })
    }
}

#[tokio::test]
async fn a_panic_of_ours_is_told_so_that_the_process_can_end() {
    let partner = Partner::new(|_, _| says(200)).await;
    let told = Arc::new(Told::default());
    let lanes = Lanes::new(Arc::new(Faulty), told.clone());
    lanes.apply(&config(vec![connector("a", partner.port)])).unwrap();
    lanes.offer(vec![job("a", 1, 0, Sending::Live, clock::now())]);
    until("it is told", || told.count("panicked a no such table") == 1).await;
    lanes.offer(vec![job("a", 2, 0, Sending::Live, clock::now())]);
    a_while().await;
    assert_eq!(partner.count(), 1, "the lane stands still");
}

#[tokio::test]
async fn admission_waits_for_a_lane_that_lacks_room_but_for_none_that_is_slow_or_beside_one_that_is_not_full() {
    let partner = Partner::new(|_, _| Does::Hangs).await;
    let stage = Stage::new(vec![connector("a", partner.port), connector("b", partner.port)]);
    assert!(stage.lanes.ease().await, "nothing was offered yet");
    stage.admit_live("a", 1..=100);
    assert!(stage.lanes.ease().await, "there is room");
    stage.admit_live("a", 101..=1_500);
    assert!(!stage.lanes.ease().await, "it is not known to be slow");
    assert!(stage.lanes.ease().await, "it had its time");
    stage.admit(vec![job("a", 1_501, 0, Sending::Live, clock::now()), job("b", 1_501, 1, Sending::Live, clock::now())]);
    assert!(stage.lanes.ease().await, "the other can go on");
    stage.admit_live("a", 1_502..=1_502);
    assert!(stage.lanes.ease().await, "it has finished nothing since it lacks room");
}
