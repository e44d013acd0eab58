//! What the pure steps cost, one by one: a message's way from its bytes to a judged reply, without broker, store and network.
//!
//! Refuses: adding up. What an event costs as a whole, with all that waits and is written, is what `end_to_end` measures.

mod sample;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use postbackd::ingest::dialects::flat::read_message;
use postbackd::model::delivery::Reason;
use postbackd::model::outcome::{Met, Outcome, Reply};
use postbackd::rules::attribute::{Attributed, attribute};
use postbackd::rules::judge;
use postbackd::rules::remember::Clicks;
use postbackd::rules::render::render;
use postbackd::store::Planner as _;
use postbackd::store::rows::{read_clicks, write_clicks};

use sample::{Network, PURCHASE, Sample, Sent};

/// Of one visitor: a usual one, a busy one, and as many as are kept.
const CLICKS: [usize; 3] = [1, 100, 1000];

fn main() {
    // Short, since the steps take microseconds and do nothing but compute.
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50)
        .nresamples(10_000)
        .without_plots()
        .configure_from_args();
    read(&mut criterion);
    decide(&mut criterion);
    clicks(&mut criterion);
    send(&mut criterion);
    criterion.final_summary();
}

/// From bytes to what the store is given.
fn read(criterion: &mut Criterion) {
    let sample = Sample::of(&[Network::default()]);
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Bytes(PURCHASE.len() as u64));
    group.bench_function("purchase", |bench| {
        bench.iter(|| read_message(black_box(PURCHASE.as_bytes()), &sample.context()).expect("a good message"));
    });
    group.finish();

    let event = sample.read(PURCHASE);
    assert_eq!(sample.rules.candidate(event.clone()).clicks.len(), 2, "the gclid and the network's own");
    let mut group = criterion.benchmark_group("candidate");
    group.throughput(Throughput::Elements(1));
    group.bench_function("purchase", |bench| {
        bench.iter_batched(|| event.clone(), |event| sample.rules.candidate(event), BatchSize::SmallInput);
    });
    group.finish();
}

/// What admission asks of the rules: an event of a visitor nobody knows.
fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    group.throughput(Throughput::Elements(1));
    let cases = [
        ("attributed", vec![Network::default()], 1),
        ("nobody_wants", vec![Network::of_another_event(0)], 0),
        ("one_of_1000_connectors", (1..1000).map(Network::of_another_event).chain([Network::default()]).collect(), 1),
    ];
    for (name, networks, sent) in cases {
        let sample = Sample::of(&networks);
        let candidate = sample.rules.candidate(sample.read(PURCHASE));
        let planned = sample.plan(&candidate).map_or_else(Vec::new, |(_, planned)| planned);
        assert_eq!(planned.iter().filter(|planned| sample::is_sent(planned)).count(), sent, "{name}");
        group.bench_function(name, |bench| bench.iter(|| sample.plan(black_box(&candidate))));
    }
    group.finish();
}

/// How the steps that look at a visitor's clicks grow with their number.
fn clicks(criterion: &mut Criterion) {
    let sample = Sample::of(&[Network::default()]);
    let visitors = CLICKS.map(|count| sample.visitor(count));
    let next = sample.rules.candidate(sample.landing(0));
    let mut group = criterion.benchmark_group("remember");
    group.throughput(Throughput::Elements(1));
    for visitor in &visitors {
        let remember = |mut visitor| {
            let change = sample.rules.remember(&mut visitor, &next);
            // Given back, so that taking it apart is not measured.
            (change, visitor)
        };
        assert!(remember(visitor.clone()).0.gained_click);
        group.bench_function(BenchmarkId::from_parameter(visitor.clicks.len()), |bench| {
            bench.iter_batched(|| visitor.clone(), remember, BatchSize::SmallInput);
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("read_clicks");
    for visitor in &visitors {
        let (count, row) = (visitor.clicks.len(), write_clicks(&visitor.clicks));
        group.throughput(Throughput::Elements(count as u64));
        let read = || read_clicks(black_box(&row)).expect("it was written so");
        assert_eq!(read(), *visitor.clicks);
        group.bench_function(BenchmarkId::from_parameter(count), |bench| bench.iter(read));
    }
    group.finish();

    let timeout = sample.rules.config.session_timeout;
    let mut group = criterion.benchmark_group("distinct_clicks");
    for visitor in &visitors {
        let count = visitor.clicks.len();
        group.throughput(Throughput::Elements(count as u64));
        let distinct = || Clicks::of(black_box(visitor), &|_| false, timeout);
        assert_eq!(distinct().len(), count);
        group.bench_function(BenchmarkId::from_parameter(count), |bench| bench.iter(distinct));
    }
    group.finish();

    let matching = sample.connector().click_matching.as_ref().expect("configured");
    let mut group = criterion.benchmark_group("attribute");
    for visitor in &visitors {
        let clicks = Clicks::of(visitor, &|_| false, timeout);
        group.throughput(Throughput::Elements(clicks.len() as u64));
        let choose = || attribute(matching, black_box(&clicks), sample::now());
        assert!(matches!(choose(), Attributed::Won { click, .. } if click == clicks.len() - 1));
        group.bench_function(BenchmarkId::from_parameter(clicks.len()), |bench| bench.iter(choose));
    }
    group.finish();
}

/// What a lane asks of the rules: the request, and what the reply means.
fn send(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("render");
    group.throughput(Throughput::Elements(1));
    for (name, network) in [("get_6_params", Network::default()), ("post_json_6_members", Network::posting_json())] {
        let sent = Sent::of(Sample::of(&[network]));
        let spec = &sent.connector().postback;
        let rendered = render(spec, &sent.context()).expect("everything is given");
        let told = rendered.body.as_ref().unwrap_or(&rendered.url).reveal();
        for value in ["tx-00000007", "cf1bbcdcbfa53e0a8", "12.49", "EUR", "Purchase", "1700000000000007"] {
            assert!(told.contains(value), "{name}: {told}");
        }
        group.bench_function(name, |bench| bench.iter(|| render(spec, black_box(&sent.context()))));
    }
    group.finish();

    let met = Met::Reply(Reply {
        status: 200,
        retry_after: None,
        body: br#"{"code":40100,"message":"the token has expired","request_id":"202601101200000102030405"}"#.to_vec(),
        complete: true,
    });
    let later = Outcome::Retry { at: sample::now().plus(Duration::from_secs(3600)) };
    let cases = [
        ("status_200", "", Outcome::Delivered),
        (
            "body_contains",
            "{status: 200, body_contains: has expired, then: reject}",
            Outcome::Rejected(Reason::BodyRule),
        ),
        ("body_json", "{status: 200, json: {pointer: /code, equals: 40100}, then: retry, after: 1h}", later),
    ];
    let mut group = criterion.benchmark_group("judge");
    group.throughput(Throughput::Elements(1));
    for (name, rules, outcome) in cases {
        let sample = Sample::of(&[Network { outcomes: rules, ..Network::default() }]);
        let case = sample.case(&met);
        assert_eq!(judge::judge(&case), outcome, "{name}");
        group.bench_function(name, |bench| bench.iter(|| judge::judge(black_box(&case))));
    }
    group.finish();
}
