//! Each sentence of SPEC section 7 about outcomes, as a row.

use proptest::prelude::*;

use super::*;
use crate::model::connector::{Body, BreakerPolicy, Limits, Timeouts};
use crate::model::postback::Method;
use crate::model::retry::RetryPolicy;
use crate::model::secret::Text;
use crate::model::template::{Template, UrlTemplate};

const NOW: i64 = 1_768_046_400_000;
const DELAY: Duration = Duration::from_secs(10);

fn spec() -> PostbackSpec {
    PostbackSpec {
        method: Method::Get,
        url: UrlTemplate {
            origin: Text::from("https://n.example"),
            path: vec![Template::default()],
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
        timeout: Timeouts { connect: Duration::from_secs(5), total: Duration::from_secs(15) },
        outcomes: Vec::new(),
        retry: RetryPolicy::default(),
        limits: Limits { concurrency: 1, rate: None },
        breaker: BreakerPolicy { failures: 10, open_for: Duration::from_secs(30) },
        expires_after: None,
        on_uncertain: OnUncertain::Resend,
    }
}

fn now() -> Time {
    Time::from_ms(NOW)
}

fn run(spec: &PostbackSpec, met: &Met) -> Outcome {
    judge(&Case { spec, met, now: now(), delay: DELAY, deadline: deadline(spec, now(), now(), Duration::ZERO) })
}

fn reply(status: u16, body: &str) -> Met {
    Met::Reply(Reply { status, retry_after: None, body: body.as_bytes().to_vec(), complete: true })
}

fn failure(kind: FailureKind) -> Met {
    Met::Failure { kind, detail: String::new() }
}

fn in_seconds(seconds: u64) -> Outcome {
    Outcome::Retry { at: now().plus(Duration::from_secs(seconds)) }
}

const REJECTED: Outcome = Outcome::Rejected(Reason::HttpStatus);

#[test]
fn a_status_has_its_default_outcome() {
    for (statuses, expect) in [
        (&[200, 201, 202, 204, 226, 299][..], Outcome::Delivered),
        (&[408, 425, 429, 401, 403, 410][..], in_seconds(10)),
        (&[500, 502, 503, 504, 520, 599][..], in_seconds(10)),
        (&[501][..], REJECTED),
        (&[300, 301, 302, 303, 304, 307, 308][..], REJECTED),
        (&[400, 402, 404, 405, 409, 411, 413, 415, 422, 424, 426, 428, 451][..], REJECTED),
        (&[101, 600, 999][..], REJECTED),
    ] {
        for status in statuses {
            assert_eq!(run(&spec(), &reply(*status, "")), expect, "{status}");
        }
    }
}

#[test]
fn a_failure_is_tried_again_unless_the_address_was_refused() {
    use FailureKind::{ConnectTimeout, Dns, EgressDenied, Other, Refused, Reset, Timeout, Tls};
    for kind in [Dns, Refused, Tls, ConnectTimeout, Timeout, Reset, Other] {
        assert_eq!(run(&spec(), &failure(kind)), in_seconds(10), "{kind:?}");
    }
    for on_uncertain in [OnUncertain::Resend, OnUncertain::Hold, OnUncertain::Drop] {
        let spec = PostbackSpec { on_uncertain, ..spec() };
        assert_eq!(run(&spec, &failure(EgressDenied)), Outcome::Rejected(Reason::EgressDenied));
    }
}

#[test]
fn an_uncertain_attempt_is_held_or_dropped_where_asked() {
    use FailureKind::{ConnectTimeout, Dns, Other, Refused, Reset, Timeout, Tls};
    let held = PostbackSpec { on_uncertain: OnUncertain::Hold, ..spec() };
    let dropped = PostbackSpec { on_uncertain: OnUncertain::Drop, ..spec() };
    for kind in [Timeout, Reset, Other] {
        assert_eq!(run(&held, &failure(kind)), Outcome::Held);
        assert_eq!(run(&dropped, &failure(kind)), Outcome::Dead(Reason::Uncertain));
    }
    for kind in [Dns, Refused, Tls, ConnectTimeout] {
        assert_eq!(run(&held, &failure(kind)), in_seconds(10), "nothing was written: {kind:?}");
        assert_eq!(run(&dropped, &failure(kind)), in_seconds(10));
    }
    assert_eq!(run(&held, &reply(503, "")), in_seconds(10), "a reply is certain");
}

#[test]
fn a_body_that_breaks_off_does_not_undo_the_status() {
    for (status, expect) in [(200, Outcome::Delivered), (503, in_seconds(10)), (404, REJECTED)] {
        let broken = Met::Reply(Reply { status, retry_after: None, body: b"{\"ok\":".to_vec(), complete: false });
        let mut spec = spec();
        spec.outcomes.push(rule(None, None, Some(("/ok", PointerTest::NotEquals(Value::Bool(true)))), Then::Reject));
        assert_eq!(run(&spec, &broken), expect, "{status}");
    }
}

#[test]
fn retry_after_is_a_lower_bound_of_at_most_a_day() {
    let at = |seconds| RetryAfter::At(now().plus(Duration::from_secs(seconds)));
    let within = |seconds| RetryAfter::In(Duration::from_secs(seconds));
    for (said, expect) in [
        (within(0), 10),
        (within(9), 10),
        (within(60), 60),
        (within(86_400), 86_400),
        (within(1_000_000), 86_400),
        (within(u64::MAX), 86_400),
        (at(5), 10),
        (at(3600), 3600),
        (at(1_000_000), 86_400),
        (RetryAfter::At(Time::from_ms(0)), 10),
    ] {
        for status in [429, 503, 403] {
            let met = Met::Reply(Reply { status, retry_after: Some(said), body: Vec::new(), complete: true });
            assert_eq!(run(&spec(), &met), in_seconds(expect), "{said:?}");
        }
    }
}

fn rule(status: Option<u16>, body: Option<&str>, json: Option<(&str, PointerTest)>, then: Then) -> OutcomeRule {
    OutcomeRule {
        status,
        body_contains: body.map(Into::into),
        json: json.map(|(p, t)| (p.into(), t)),
        then,
        after: None,
    }
}

fn number(text: &str) -> Value {
    Value::Number(text.into())
}

#[test]
fn the_first_rule_that_matches_wins() {
    let mut spec = spec();
    let mut later = rule(Some(200), None, Some(("/code", PointerTest::Equals(number("40100")))), Then::Retry);
    later.after = Some(Duration::from_secs(3600));
    spec.outcomes = vec![
        rule(Some(200), Some("success=false"), None, Then::Reject),
        later,
        rule(Some(404), None, None, Then::Delivered),
        rule(Some(409), None, None, Then::Retry),
        rule(Some(500), None, None, Then::Reject),
        rule(Some(200), Some("success"), None, Then::Delivered),
    ];
    for (status, body, expect) in [
        (200, "success=false", Outcome::Rejected(Reason::BodyRule)),
        (201, "success=false", Outcome::Delivered),
        (200, "success=true", Outcome::Delivered),
        (200, r#"{"code": 40100}"#, in_seconds(3600)),
        (200, r#"{"code": 40100.0}"#, in_seconds(3600)),
        (200, r#"{"code": 4.01e4}"#, in_seconds(3600)),
        (200, r#"{"code": "40100"}"#, Outcome::Delivered),
        (200, r#"{"code": 0}"#, Outcome::Delivered),
        (404, "", Outcome::Delivered),
        (409, "", in_seconds(10)),
        (500, "", REJECTED),
    ] {
        assert_eq!(run(&spec, &reply(status, body)), expect, "{status} {body}");
    }
}

#[test]
fn after_takes_the_place_of_the_schedule_and_retry_after_bounds_it() {
    let mut spec = spec();
    let mut sooner = rule(Some(503), None, None, Then::Retry);
    sooner.after = Some(Duration::from_secs(1));
    spec.outcomes = vec![sooner];
    assert_eq!(run(&spec, &reply(503, "")), in_seconds(1));
    let said = Some(RetryAfter::In(Duration::from_secs(30)));
    let met = Met::Reply(Reply { status: 503, retry_after: said, body: Vec::new(), complete: true });
    assert_eq!(run(&spec, &met), in_seconds(30));
}

#[test]
fn pointers_follow_the_standard() {
    let body = r#"{"a":{"b":[1,{"c":"x"}]},"":{"":2},"m~n":3,"x/y":4,"n":null,"t":true}"#;
    let text = |t: &str| Value::Text(t.into());
    for (pointer, test, expect) in [
        ("/a/b/0", PointerTest::Equals(number("1")), true),
        ("/a/b/0", PointerTest::Equals(number("1.00")), true),
        ("/a/b/1/c", PointerTest::Equals(text("x")), true),
        ("/a/b/1/c", PointerTest::Equals(text("X")), false),
        ("/a/b/1/c", PointerTest::NotEquals(text("X")), true),
        ("/a/b/01", PointerTest::Exists(true), false),
        ("/a/b/+1", PointerTest::Exists(true), false),
        ("/a/b/2", PointerTest::Exists(false), true),
        ("/a/b/-", PointerTest::Exists(true), false),
        ("//", PointerTest::Equals(number("2")), true),
        ("/m~0n", PointerTest::Equals(number("3")), true),
        ("/x~1y", PointerTest::Equals(number("4")), true),
        ("/n", PointerTest::Exists(true), true),
        ("/n", PointerTest::Equals(Value::Null), true),
        ("/t", PointerTest::Equals(Value::Bool(true)), true),
        ("/t", PointerTest::Equals(text("true")), false),
        ("", PointerTest::Exists(true), true),
        ("a", PointerTest::Exists(true), false),
        ("/a", PointerTest::Equals(json::parse(r#"{"b":[1.0,{"c":"x"}]}"#).unwrap()), true),
        ("/missing", PointerTest::NotEquals(text("x")), true),
        ("/missing", PointerTest::Equals(text("x")), false),
    ] {
        let mut spec = spec();
        spec.outcomes = vec![rule(None, None, Some((pointer, test.clone())), Then::Reject)];
        let expect = if expect { Outcome::Rejected(Reason::BodyRule) } else { Outcome::Delivered };
        assert_eq!(run(&spec, &reply(200, body)), expect, "{pointer} {test:?}");
    }
}

#[test]
fn a_body_that_is_no_json_has_nothing_at_any_pointer() {
    for (test, expect) in [
        (PointerTest::Exists(true), Outcome::Delivered),
        (PointerTest::Exists(false), Outcome::Rejected(Reason::BodyRule)),
        (PointerTest::Equals(Value::Null), Outcome::Delivered),
        (PointerTest::NotEquals(Value::Null), Outcome::Rejected(Reason::BodyRule)),
    ] {
        let mut spec = spec();
        spec.outcomes = vec![rule(None, None, Some(("/a", test)), Then::Reject)];
        assert_eq!(run(&spec, &reply(200, "<html>")), expect);
    }
}

#[test]
fn retries_end_with_the_policy_or_with_the_events_age() {
    let hours = |n: u64| Duration::from_secs(n * 3600);
    let exhausted = Outcome::Dead(Reason::RetriesExhausted);
    let expired = Outcome::Dead(Reason::Expired);
    for (first_due, event, expires, parked, expect) in [
        (hours(71), hours(71), None, hours(0), in_seconds(10)),
        (hours(72), hours(72), None, hours(0), exhausted),
        (hours(72), hours(72), None, hours(1), in_seconds(10)),
        (hours(100), hours(100), None, hours(27), exhausted),
        (hours(1), hours(23), Some(hours(24)), hours(0), in_seconds(10)),
        (hours(1), hours(24), Some(hours(24)), hours(0), expired),
        (hours(1), hours(24), Some(hours(24)), hours(9), expired),
        (hours(72), hours(72), Some(hours(24)), hours(0), expired),
        (hours(72), hours(72), Some(hours(100)), hours(0), exhausted),
    ] {
        let spec = PostbackSpec { expires_after: expires, ..spec() };
        let met = reply(500, "");
        let deadline = deadline(&spec, now().minus(first_due), now().minus(event), parked);
        let case = Case { spec: &spec, met: &met, now: now(), delay: DELAY, deadline };
        assert_eq!(judge(&case), expect, "{first_due:?} {event:?} {expires:?} {parked:?}");
    }
}

#[test]
fn a_delivery_that_arrives_late_is_delivered_all_the_same() {
    let spec = PostbackSpec { expires_after: Some(Duration::from_secs(1)), ..spec() };
    let long_ago = now().minus(Duration::from_secs(900_000));
    let met = reply(200, "");
    let deadline = deadline(&spec, long_ago, long_ago, Duration::ZERO);
    assert_eq!(judge(&Case { spec: &spec, met: &met, now: now(), delay: DELAY, deadline }), Outcome::Delivered);
}

proptest! {
    #[test]
    fn any_reply_is_judged_and_never_sent_again_too_soon(
        status in 100u16..1000,
        body in proptest::collection::vec(any::<u8>(), 0..200),
        complete: bool,
        said in proptest::option::of(0u64..200_000),
    ) {
        let mut spec = spec();
        spec.outcomes = vec![rule(None, Some("x"), Some(("/a/0", PointerTest::Exists(true))), Then::Retry)];
        let retry_after = said.map(|s| RetryAfter::In(Duration::from_secs(s)));
        let met = Met::Reply(Reply { status, retry_after, body, complete });
        if let Outcome::Retry { at } = run(&spec, &met) {
            prop_assert!(now().plus(DELAY) <= at && at <= now().plus(RETRY_AFTER_MAX));
        }
    }
}
