//! SPEC section 3 on what is remembered, sentence by sentence; then, as properties, that arrival order never shows.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::event::EventId;
use crate::model::ids::VisitorId;
use crate::model::visitor::Session;

pub(in crate::rules) mod laws;

pub(in crate::rules) const TIMEOUT: Duration = Duration::from_secs(30 * 60);
const RETENTION: Duration = Duration::from_secs(400 * 86_400);

/// That many minutes after a day in January 2026.
pub(in crate::rules) fn minute(n: i64) -> Time {
    Time::from_ms(1_768_000_000_000 + n * 60_000)
}

pub(in crate::rules) fn event(time: Time) -> Event {
    Event { container: "shop".into(), id: EventId::Given("1".into()), ..Event::bare(time, time) }
}

pub(in crate::rules) fn with(mut event: Event, fields: &[(Field, &str)]) -> Event {
    for (field, value) in fields {
        event.texts.set(*field, *value);
    }
    event
}

/// A page view.
pub(in crate::rules) fn view(at: i64, url: &str) -> Event {
    with(event(minute(at)), &[(Field::Url, url)])
}

pub(in crate::rules) fn is_click(param: &str) -> bool {
    matches!(param, "aff" | "sub" | "once")
}

pub(in crate::rules) fn is_unique(param: &str) -> bool {
    param == "once"
}

pub(in crate::rules) fn capture(event: &Event) -> Vec<Click> {
    clicks_of(event, Capture { params: &is_click })
}

pub(in crate::rules) fn visitor() -> Visitor {
    Visitor::new(VisitorId(1), "shop".into())
}

pub(in crate::rules) fn learn_event(visitor: &mut Visitor, event: &Event) -> Learned {
    remember(visitor, event, &capture(event), &is_unique, TIMEOUT)
}

pub(in crate::rules) fn of(events: &[Event]) -> Visitor {
    let mut visitor = visitor();
    for event in events {
        learn_event(&mut visitor, event);
    }
    visitor
}

pub(in crate::rules) fn clicks(visitor: &Visitor) -> Clicks<'_> {
    Clicks::of(visitor, &is_unique, TIMEOUT)
}

/// `param=value@minute`, or `param=value@?` for the untimed.
fn shown(visitor: &Visitor) -> Vec<String> {
    let minutes = |t: Time| (t.ms() - minute(0).ms()) / 60_000;
    let time = |c: &Click| c.time.map_or("?".to_owned(), |t| minutes(t).to_string());
    clicks(visitor).iter().map(|c| format!("{}={}@{}", c.param, c.value, time(c))).collect()
}

fn texts_of(known: &crate::model::facts::Known) -> Vec<(Field, &str)> {
    known.texts.iter().collect()
}

#[test]
fn clicks_are_captured_from_the_url_and_from_fields() {
    let long = format!("https://s/?aff={}", "x".repeat(VALUE_BYTES_MAX + 1));
    let many = format!("https://s/?{}", (0..40).map(|i| format!("p{i}=1&")).collect::<String>());
    let fbc = "fb.1.1767999940000.AbC.d";
    type Case<'a> = (&'a [(Field, &'a str)], Option<Time>, &'a [(&'a str, &'a str, Option<Time>)]);
    let cases: &[Case<'_>] = &[
        (&[(Field::Url, "https://s/?aff=1&x=2#gclid=9")], None, &[("aff", "1", Some(minute(0)))]),
        (&[(Field::Url, "/p?GCLID=a%20b&ScCid=")], None, &[("GCLID", "a b", Some(minute(0)))]),
        (&[(Field::Url, "/p?aff=+&aff=2&aff=3")], None, &[("aff", "2", Some(minute(0)))]),
        (&[(Field::Url, "/p?fbp=1&ttp=2&trls=3&fbc=4")], None, &[]),
        (&[(Field::Fbp, "1"), (Field::Ttp, "2"), (Field::Trls, "3")], None, &[]),
        (&[(Field::Gclid, " g ")], None, &[("gclid", "g", None)]),
        (&[(Field::RdtCid, "r")], Some(minute(-5)), &[("rdt_cid", "r", Some(minute(-5)))]),
        (&[(Field::RdtCid, "r")], Some(minute(5)), &[("rdt_cid", "r", Some(minute(0)))]),
        (&[(Field::Fbc, fbc)], Some(minute(-9)), &[("fbclid", "AbC.d", Some(minute(-1)))]),
        (&[(Field::Fbc, "fb.1.soon.x")], None, &[]),
        (&[(Field::Fbc, "fb.1.1767999940000.")], None, &[]),
        (&[(Field::Fbclid, "AbC.d"), (Field::Fbc, fbc)], None, &[("fbclid", "AbC.d", Some(minute(-1)))]),
        (&[(Field::Fbclid, "AbC.d"), (Field::Fbc, fbc)], Some(minute(-9)), &[("fbclid", "AbC.d", Some(minute(-1)))]),
        (&[(Field::Url, "/?FBCLID=AbC.d"), (Field::Fbc, fbc)], None, &[("FBCLID", "AbC.d", Some(minute(0)))]),
        (
            &[(Field::Url, "/?gclid=g"), (Field::Gclid, "h")],
            None,
            &[("gclid", "g", Some(minute(0))), ("gclid", "h", None)],
        ),
        (&[(Field::Url, &long)], None, &[]),
    ];
    for (fields, click_time, expect) in cases {
        let event = Event { click_time: *click_time, ..with(event(minute(0)), fields) };
        let found = capture(&event);
        let found: Vec<_> = found.iter().map(|c| (&*c.param, &*c.value, c.time)).collect();
        assert_eq!(found, *expect, "{fields:?}");
    }
    let all = clicks_of(&view(0, &many), Capture { params: &|_| true });
    assert_eq!(all.len(), CLICKS_PER_EVENT_MAX);
}

#[test]
fn a_click_keeps_the_landing_of_its_moment() {
    let url = "https://s/p?aff=1&utm_source=n";
    let fields = [(Field::Url, url), (Field::Referrer, "r"), (Field::Ip, "::1"), (Field::UserAgent, "ua")];
    let of_url = &capture(&with(event(minute(0)), &fields))[0];
    assert_eq!((&*of_url.landing.url, of_url.query("utm_source").as_deref()), (url, Some("n")));
    assert_eq!(of_url.landing.referrer.as_deref(), Some("r"));
    assert_eq!(of_url.landing.ip.as_deref(), Some("::1"));
    assert_eq!(of_url.landing.user_agent.as_deref(), Some("ua"));
    let of_field = &capture(&with(event(minute(0)), &[(Field::Trlc, "1"), (Field::Trls, "a&b"), (Field::Gclid, "g")]));
    assert_eq!(of_field.iter().map(|c| &*c.landing.url).collect::<Vec<_>>(), ["", "?trls=a%26b"]);
    assert_eq!(of_field[1].query("trls").as_deref(), Some("a&b"));
    assert!(of_field.iter().all(|c| !c.landing.is_page()));
}

#[test]
fn the_same_value_is_one_click_in_a_session_and_another_in_a_later_one() {
    let forced = |at: i64, cut: i64| Event { new_session_at: Some(minute(cut)), ..event(minute(at)) };
    let field = |at: i64, value: &str| with(event(minute(at)), &[(Field::Gclid, value)]);
    let timed = |at: i64, click: i64| Event { click_time: Some(minute(click)), ..field(at, "g") };
    let cases: &[(&[Event], &[&str])] = &[
        (&[view(0, "/?aff=1"), view(30, "/?aff=1")], &["aff=1@0"]),
        (&[view(30, "/?aff=1"), view(0, "/?aff=1")], &["aff=1@0"]),
        (&[view(0, "/?aff=1"), view(31, "/?aff=1")], &["aff=1@0", "aff=1@31"]),
        (&[view(0, "/?aff=1"), view(40, "/?aff=1"), event(minute(20))], &["aff=1@0"]),
        (&[view(0, "/?aff=1"), view(10, "/?aff=2"), view(20, "/?aff=1")], &["aff=1@0", "aff=2@10"]),
        (&[view(0, "/?aff=1"), view(20, "/?aff=1"), forced(15, 10)], &["aff=1@0", "aff=1@20"]),
        (&[forced(15, 10), view(0, "/?aff=1"), view(20, "/?aff=1")], &["aff=1@0", "aff=1@20"]),
        (&[view(0, "/?once=1"), view(90, "/?once=1")], &["once=1@0"]),
        (&[view(90, "/?once=1"), view(0, "/?once=1")], &["once=1@0"]),
        (&[view(0, "/?gclid=g"), view(5, "/?GCLID=g")], &["gclid=g@0"]),
        (&[view(0, "/?aff=1"), view(5, "/?sub=1")], &["aff=1@0", "sub=1@5"]),
        (&[field(0, "g"), field(90, "g")], &["gclid=g@?"]),
        (&[field(0, "g"), view(90, "/?gclid=g")], &["gclid=g@90"]),
        (&[view(0, "/?gclid=g"), field(90, "g")], &["gclid=g@0"]),
        (&[timed(100, 10), view(30, "/?gclid=g")], &["gclid=g@10"]),
        (&[timed(100, 10), view(90, "/?gclid=g")], &["gclid=g@10", "gclid=g@90"]),
    ];
    for (events, expect) in cases {
        assert_eq!(shown(&of(events)), *expect, "{events:?}");
    }
    // The time is that of the field, which was first; the page is that of the landing.
    let both = of(&[timed(100, 10), view(30, "/?gclid=g")]);
    assert_eq!(&*clicks(&both)[0].landing.url, "/?gclid=g");
}

#[test]
fn a_gap_or_a_forced_start_begins_a_session_and_a_session_id_does_not() {
    let forced = |at: i64, cut: i64, url: &str| Event { new_session_at: Some(minute(cut)), ..view(at, url) };
    let sent = |at: i64| with(event(minute(at)), &[(Field::SessionId, "s")]);
    type Expect<'a> = &'a [(i64, i64, Option<&'a str>)];
    let cases: &[(&[Event], Expect<'_>)] = &[
        (&[view(0, "/a"), view(30, "/b")], &[(0, 30, Some("/a"))]),
        (&[view(30, "/b"), view(0, "/a")], &[(0, 30, Some("/a"))]),
        (&[view(0, "/a"), view(31, "/b")], &[(0, 0, Some("/a")), (31, 31, Some("/b"))]),
        (&[view(0, "/a"), view(50, "/b"), event(minute(25))], &[(0, 50, Some("/a"))]),
        (&[event(minute(0)), view(10, "/b")], &[(0, 10, Some("/b"))]),
        (&[sent(0), sent(31)], &[(0, 0, None), (31, 31, None)]),
        (&[view(0, "/a"), forced(10, 10, "/b"), view(12, "/c")], &[(0, 9, Some("/a")), (10, 12, Some("/b"))]),
        (&[view(0, "/a"), view(12, "/c"), forced(10, 10, "/b")], &[(0, 9, Some("/a")), (10, 12, Some("/b"))]),
        (&[view(12, "/c"), forced(10, 10, "/b"), view(0, "/a")], &[(0, 9, Some("/a")), (10, 12, Some("/b"))]),
        (&[forced(10, 5, "/b"), view(40, "/c")], &[(5, 40, Some("/b"))]),
        (&[forced(10, 90, "/b")], &[(10, 10, Some("/b"))]),
        (&[forced(100, 10, "/b")], &[(10, 10, Some("/b")), (100, 100, Some("/b"))]),
    ];
    for (events, expect) in cases {
        let visitor = of(events);
        let minutes = |t: Time| (t.ms() - minute(0).ms()).div_euclid(60_000);
        let url = |s: &Session| s.landing.as_ref().map(|(_, url)| url.to_string());
        let found: Vec<_> = visitor.sessions.iter().map(|s| (minutes(s.start), minutes(s.end), url(s))).collect();
        let expect: Vec<_> = expect.iter().map(|(a, b, url)| (*a, *b, url.map(str::to_owned))).collect();
        assert_eq!(found, expect, "{events:?}");
    }
}

#[test]
fn the_newest_value_by_event_time_is_known_whatever_arrived_last() {
    let person = |at: i64, email: &str| with(event(minute(at)), &[(Field::Email, email)]);
    let value = |events: &[Event], field| of(events).fact(field).map(|f| f.value.to_string());
    let newest = Some("b@x".to_owned());
    assert_eq!(value(&[person(1, "a@x"), person(2, "b@x")], Field::Email), newest);
    assert_eq!(value(&[person(2, "b@x"), person(1, "a@x")], Field::Email), newest);
    assert_eq!(value(&[person(2, "a@x"), person(2, "b@x")], Field::Email), newest);
    assert_eq!(value(&[person(2, "b@x"), person(2, "a@x")], Field::Email), newest);
    let order = |at: i64, id: &str| with(event(minute(at)), &[(Field::TransactionId, id), (Field::Value, "9")]);
    assert_eq!(of(&[order(1, "o")]).facts, []);
    let priority = |at: i64, id: &str| with(event(minute(at)), &[(Field::PriorityExternalId, id)]);
    assert_eq!(value(&[priority(2, "q"), priority(1, "p")], Field::PriorityExternalId), Some("p".to_owned()));
}

#[test]
fn a_campaign_is_known_whole_or_not_at_all() {
    let first = view(1, "/?utm_source=a&utm_campaign=c&utm_term=");
    let second = with(view(2, "/?UTM_Source=ignored&utm_medium=m"), &[(Field::UtmSource, "b")]);
    for events in [[first.clone(), second.clone()], [second.clone(), first.clone()]] {
        let visitor = of(&events);
        let later = event(minute(3));
        let seen = known(&visitor, &clicks(&visitor), &later, RETENTION);
        assert_eq!(texts_of(&seen), [(Field::UtmSource, "b"), (Field::UtmMedium, "m")]);
        let of_first = known(&visitor, &clicks(&visitor), &first, RETENTION);
        assert_eq!(texts_of(&of_first), [(Field::UtmSource, "a"), (Field::UtmCampaign, "c")]);
    }
}

#[test]
fn consent_is_newest_for_each_flag_and_a_refusal_outdoes_a_grant_of_the_same_moment() {
    let said = |at: i64, ads, analytics| Event { consent: Consent { ads, analytics }, ..event(minute(at)) };
    let events = [said(1, Some(true), None), said(5, None, Some(false)), said(3, Some(false), Some(true))];
    let expect = Consent { ads: Some(false), analytics: Some(false) };
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        assert_eq!(of(&order.map(|i| events[i].clone())).consent, expect);
    }
    let refused = Consent { ads: Some(false), analytics: None };
    assert_eq!(of(&[said(1, Some(true), None), said(1, Some(false), None)]).consent, refused);
    assert_eq!(of(&[said(1, Some(false), None), said(1, Some(true), None)]).consent, refused);
}

#[test]
fn what_an_event_taught_is_told() {
    let mut visitor = visitor();
    let mut learn = |event: &Event| learn_event(&mut visitor, event);
    let gained = Learned { gained_click: true, changed: true, stretched_only: false };
    let slight = Learned { gained_click: false, changed: true, stretched_only: true };
    let real = Learned { gained_click: false, changed: true, stretched_only: false };
    assert_eq!(learn(&view(0, "/?aff=1")), gained);
    assert_eq!(learn(&view(0, "/?aff=1")), Learned::default());
    assert_eq!(learn(&view(1, "/?aff=1")), slight);
    assert_eq!(learn(&view(2, "/b")), slight);
    assert_eq!(learn(&with(event(minute(3)), &[(Field::Email, "a@x")])), real);
    assert_eq!(learn(&with(event(minute(4)), &[(Field::Email, "a@x")])), slight);
    assert_eq!(learn(&view(90, "/")), real);
    assert_eq!(learn(&view(5, "/?aff=2")), gained);
    assert_eq!(learn(&with(event(minute(90)), &[(Field::Gclid, "g")])), gained);
    assert_eq!(learn(&with(event(minute(91)), &[(Field::Gclid, "g")])), slight);
    // A session forced between two landings of one value makes two clicks of them.
    let forced = Event { new_session_at: Some(minute(1)), ..event(minute(1)) };
    assert_eq!(learn(&forced), gained);
}

#[test]
fn known_is_what_the_event_does_not_say_itself() {
    let visitor = of(&[
        with(view(0, "/?gclid=old&fbclid=F"), &[(Field::Email, "a@x"), (Field::FirstName, "Ann")]),
        view(40, "/b?gclid=new&msclkid=m"),
        with(event(minute(41)), &[(Field::Awc, "untimed"), (Field::Fbp, "fb.1.2.3"), (Field::Fbc, "fb.1.1.Z")]),
        view(99, "/?gclid=later"),
        with(view(50, "/c?ttclid=t&msclkid=own"), &[(Field::Email, "b@x")]),
    ]);
    let bought = with(view(50, "/c?ttclid=t&msclkid=own"), &[(Field::Email, "b@x")]);
    let seen = known(&visitor, &clicks(&visitor), &bought, RETENTION);
    let expect = [
        (Field::FirstName, "Ann"),
        (Field::Gclid, "new"),
        (Field::Fbclid, "F"),
        (Field::Fbp, "fb.1.2.3"),
        (Field::Ttclid, "t"),
        (Field::Msclkid, "own"),
        (Field::Awc, "untimed"),
    ];
    assert_eq!(texts_of(&seen), expect);
    assert_eq!(seen.fbclid_time, Some(minute(0)));
    assert_eq!(seen.session_start, Some(minute(40)));
    assert_eq!(seen.landing_url.as_deref(), Some("/b?gclid=new&msclkid=m"));
    let brief = known(&visitor, &clicks(&visitor), &bought, Duration::from_secs(10 * 60));
    assert!(brief.texts.of(Field::Fbclid).is_none(), "older than retention");
    assert_eq!(brief.texts.of(Field::Gclid), Some("new"));
    assert_eq!(brief.texts.of(Field::FirstName), Some("Ann"));
}

#[test]
fn fbc_is_given_only_where_it_agrees_with_the_newest_fbclid() {
    let sent = with(event(minute(9)), &[(Field::Fbc, "fb.1.1767999940000.F")]);
    let later = event(minute(20));
    let fbc = |events: &[Event]| {
        let visitor = of(events);
        let seen = known(&visitor, &clicks(&visitor), &later, RETENTION);
        (seen.texts.of(Field::Fbc).map(str::to_owned), seen.fbclid_time)
    };
    assert_eq!(fbc(std::slice::from_ref(&sent)), (Some("fb.1.1767999940000.F".to_owned()), Some(minute(-1))));
    assert_eq!(fbc(&[sent, view(10, "/?fbclid=G")]), (None, Some(minute(10))));
}

#[test]
fn a_session_forced_without_a_page_lands_on_its_first_click() {
    let forced = Event { new_session_at: Some(minute(10)), ..event(minute(10)) };
    let landing = |events: &[Event], at: &Event| {
        let visitor = of(events);
        known(&visitor, &clicks(&visitor), at, RETENTION).landing_url.map(String::from)
    };
    assert_eq!(landing(&[forced.clone(), view(12, "/?aff=1")], &event(minute(12))), Some("/?aff=1".to_owned()));
    assert_eq!(landing(&[forced.clone(), view(12, "/b")], &view(12, "/b")), Some("/b".to_owned()));
    assert_eq!(landing(&[forced], &event(minute(12))), None);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut visitor = visitor();
    for n in 0..1_200 {
        learn_event(&mut visitor, &view(n * 31, &format!("/?aff={n}&once=1")));
    }
    assert_eq!(visitor.sessions.len(), SESSIONS_MAX);
    assert_eq!(visitor.clicks.len(), CLICKS_MAX);
    assert_eq!(visitor.clicks.last().map(|c| &*c.value), Some("1199"));
    let mut reloading = of(&[view(0, "/")]);
    for n in 0..100 {
        learn_event(&mut reloading, &view(n, "/?aff=1"));
    }
    assert_eq!(reloading.clicks.len(), LANDINGS_PER_SESSION_MAX);
    assert_eq!(shown(&reloading), ["aff=1@0"]);
    // A landing that is not kept leaves the very list that was there, for those who write only what differs.
    let kept = reloading.clicks.clone();
    learn_event(&mut reloading, &view(100, "/?aff=1"));
    assert!(Arc::ptr_eq(&kept, &reloading.clicks));
    // A click that landed twice in a session stays one when that session is forgotten.
    for n in 0..i64::try_from(SESSIONS_MAX).unwrap() {
        learn_event(&mut reloading, &view(1_000 + n * 31, "/"));
    }
    assert_eq!(shown(&reloading), ["aff=1@0"]);
    assert_eq!(reloading.clicks.len(), 1);
}
