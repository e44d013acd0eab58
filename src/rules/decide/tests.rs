//! SPEC sections 3 (late matching), 4 (modes) and 5 (order of reasons); then, as a property, that every event and connector
//! get exactly the verdict that a plain list of all reasons gives.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;
use crate::model::condition::{Condition, Test};
use crate::model::connector::{
    Body, BreakerPolicy, Deduplicate, Limits, OnUncertain, PostbackSpec, Timeouts, Triggers,
};
use crate::model::postback::Method;
use crate::model::retry::RetryPolicy;
use crate::model::secret::{Secrets, Text};
use crate::model::template::{Slot, UrlTemplate};
use crate::model::value::Value;
use crate::rules::attribute::tests::{any_matching, click, matching};
use crate::rules::remember::tests::{clicks, event, minute, of, visitor};

const HOUR: Duration = Duration::from_secs(3_600);

fn postback() -> PostbackSpec {
    PostbackSpec {
        method: Method::Get,
        url: UrlTemplate { origin: Text::default(), path: Vec::new(), query: Vec::new() },
        query: Vec::new(),
        headers: Vec::new(),
        idempotency_key: true,
        body: Body::None,
        for_each_item: false,
        sign: None,
        auth: None,
        test: None,
        timeout: Timeouts { connect: HOUR, total: HOUR },
        outcomes: Vec::new(),
        retry: RetryPolicy::default(),
        limits: Limits { concurrency: 1, rate: None },
        breaker: BreakerPolicy { failures: 1, open_for: HOUR },
        expires_after: None,
        on_uncertain: OnUncertain::Resend,
    }
}

fn connector() -> Connector {
    Connector {
        name: "c".into(),
        revision: "r".into(),
        mode: Mode::Enabled,
        containers: None,
        triggers: Triggers::Named(vec!["Purchase".into()]),
        require_consent: None,
        when: Vec::new(),
        event_names: Vec::new(),
        click_matching: None,
        deduplicate: None,
        postback: postback(),
        postback_enabled: true,
        values: Vec::new(),
        settings: Vec::new(),
        secrets: Secrets::default(),
    }
}

fn condition() -> Condition {
    Condition { variable: Slot::Attribute("PLAN".into()), test: Test::Exists(true) }
}

fn deduplicate() -> Option<Deduplicate> {
    Some(Deduplicate { by: Slot::Attribute("ORDER".into()), keep: HOUR })
}

fn purchase(at: i64) -> Event {
    Event { name: Some("Purchase".into()), ..event(minute(at)) }
}

/// Decides with everything the caller answers given.
struct Asked<'a> {
    connector: &'a Connector,
    event: &'a Event,
    clicks: &'a Clicks<'a>,
    consent: Consent,
    now: Time,
    condition: bool,
    taken: bool,
}

impl Asked<'_> {
    fn decide(&self) -> Decided {
        decide(&Input {
            connector: self.connector,
            event: self.event,
            clicks: self.clicks,
            consent: self.consent,
            now: self.now,
            condition: &|_| self.condition,
            dedup_taken: &|_| self.taken,
        })
    }
}

fn verdict(connector: &Connector, event: &Event, list: &[&str], now: Time) -> Verdict {
    let clicks = &Clicks::given(list.iter().map(|text| click(text)).collect());
    let consent = event.consent;
    Asked { connector, event, clicks, consent, now, condition: true, taken: false }.decide().verdict
}

fn live() -> Verdict {
    Verdict::Send { sending: Sending::Live }
}

#[test]
fn only_named_track_events_of_its_containers_trigger_a_connector() {
    let at = minute(0);
    let skip = Verdict::Skip(Reason::TriggerMismatch);
    let named = |name: &str| Event { name: Some(name.into()), ..event(at) };
    let every = Connector { triggers: Triggers::Every, ..connector() };
    let elsewhere = Connector { containers: Some(vec!["other".into()]), ..connector() };
    let here = Connector { containers: Some(vec!["other".into(), "shop".into()]), ..connector() };
    for (connector, event, expect) in [
        (&connector(), &named("Purchase"), live()),
        (&connector(), &named("purchase"), skip),
        (&connector(), &event(at), skip),
        (&every, &named("Anything"), live()),
        (&every, &event(at), skip),
        (&elsewhere, &named("Purchase"), skip),
        (&here, &named("Purchase"), live()),
    ] {
        assert_eq!(verdict(connector, event, &[], at), expect);
        assert_eq!(is_triggered(connector, event), expect == live());
    }
}

#[test]
fn the_mode_says_how_it_is_sent() {
    let disabled = Verdict::Skip(Reason::Disabled);
    let send = |sending| Verdict::Send { sending };
    for (mode, is_test, postback_enabled, expect) in [
        (Mode::Enabled, false, true, live()),
        (Mode::Enabled, true, true, live()),
        (Mode::Test, false, true, send(Sending::Dry)),
        (Mode::Test, true, true, send(Sending::Forced)),
        (Mode::Disabled, false, true, disabled),
        (Mode::Disabled, true, true, disabled),
        (Mode::Enabled, false, false, disabled),
        (Mode::Test, true, false, disabled),
    ] {
        let connector = Connector { mode, postback_enabled, ..connector() };
        let event = Event { is_test, ..purchase(0) };
        assert_eq!(verdict(&connector, &event, &[], minute(0)), expect, "{mode:?} {is_test}");
    }
}

#[test]
fn consent_is_the_events_own_word_else_the_visitors() {
    let said = |ads, analytics| Event { consent: Consent { ads, analytics }, ..purchase(1) };
    let mut visitor = visitor();
    visitor.consent = Consent { ads: Some(true), analytics: Some(false) };
    assert_eq!(consent(&said(None, Some(true)), &visitor), Consent { ads: Some(true), analytics: Some(true) });
    assert_eq!(consent(&said(Some(false), None), &visitor), Consent { ads: Some(false), analytics: Some(false) });
    let denied = Verdict::Skip(Reason::ConsentDenied);
    for (kind, ads, analytics, expect) in [
        (None, None, None, live()),
        (Some(ConsentKind::Ads), Some(true), None, live()),
        (Some(ConsentKind::Ads), Some(false), Some(true), denied),
        (Some(ConsentKind::Ads), None, Some(true), denied),
        (Some(ConsentKind::Analytics), None, Some(true), live()),
        (Some(ConsentKind::Analytics), Some(true), None, denied),
    ] {
        let connector = Connector { require_consent: kind, ..connector() };
        assert_eq!(verdict(&connector, &said(ads, analytics), &[], minute(1)), expect, "{kind:?}");
    }
}

#[test]
fn an_event_expires_when_it_is_older_than_the_network_takes() {
    let mut connector = connector();
    connector.postback.expires_after = Some(HOUR);
    let expired = Verdict::Skip(Reason::Expired);
    for (now, expect) in [(minute(-5), live()), (minute(60), live()), (minute(61), expired)] {
        assert_eq!(verdict(&connector, &purchase(0), &[], now), expect);
    }
}

#[test]
fn a_click_reason_waits_and_a_winner_settles() {
    let waiting = ClickMatching { wait: HOUR, ..matching(&["aff"]) };
    let settling = ClickMatching { settle: HOUR, ..matching(&["aff"]) };
    let optional = |m: &ClickMatching| ClickMatching { required: false, ..m.clone() };
    let wait = |reason| Verdict::Wait { until: minute(70), reason };
    let skip = Verdict::Skip(Reason::NoClick);
    let (early, late) = (minute(69), minute(70));
    // The event is of minute 0, was received in minute 10, and waits until minute 70.
    let event = Event { received: minute(10), ..purchase(0) };
    for (matching, list, now, expect) in [
        (&waiting, &[][..], early, wait(Some(Reason::NoClick))),
        (&waiting, &["gclid=g@0"], early, wait(Some(Reason::NoClick))),
        (&waiting, &["aff=1@-200"], early, wait(Some(Reason::ClickExpired))),
        (&waiting, &["aff=1@-9", "gclid=g@-8"], early, wait(Some(Reason::NotLastClick))),
        (&waiting, &[], late, skip),
        (&waiting, &["aff=1@0"], early, live()),
        (&settling, &[], early, skip),
        (&settling, &["aff=1@0"], early, wait(None)),
        (&settling, &["aff=1@0"], late, live()),
        (&optional(&waiting), &[], early, live()),
        (&optional(&settling), &[], early, wait(None)),
        (&optional(&settling), &["aff=1@0"], early, wait(None)),
        (&optional(&settling), &[], late, live()),
    ] {
        let connector = Connector { click_matching: Some(matching.clone()), ..connector() };
        assert_eq!(verdict(&connector, &event, list, now), expect, "{list:?} {now}");
    }
}

#[test]
fn the_click_goes_with_the_decision() {
    let decided = |required, list: &[&str]| {
        let click_matching = Some(ClickMatching { required, ..matching(&["aff"]) });
        let connector = Connector { click_matching, ..connector() };
        let clicks = &Clicks::given(list.iter().map(|text| click(text)).collect());
        let (event, consent) = (&purchase(9), Consent::default());
        Asked { connector: &connector, event, clicks, consent, now: minute(9), condition: true, taken: false }.decide()
    };
    let won = decided(true, &["aff=1@2", "aff=2@3"]);
    let attribution = won.attribution.unwrap();
    assert_eq!((won.verdict, attribution.click, attribution.click_count), (live(), Some(1), 2));
    assert_eq!((attribution.model, attribution.window), (AttributionModel::LastClick, matching(&[]).window));
    let lost = decided(true, &[]);
    assert_eq!((lost.verdict, lost.attribution.unwrap().click), (Verdict::Skip(Reason::NoClick), None));
    let without = decided(false, &[]);
    assert_eq!((without.verdict, without.attribution.unwrap().click), (live(), None));
    let clicks = &Clicks::given(Vec::new());
    let plain = Asked {
        connector: &connector(),
        event: &purchase(9),
        clicks,
        consent: Consent::default(),
        now: minute(9),
        condition: true,
        taken: false,
    };
    assert_eq!(plain.decide(), Decided { verdict: live(), attribution: None });
}

#[test]
fn the_caller_is_asked_only_where_the_answer_counts() {
    let asked = Cell::new((0, 0));
    let ask = |connector: &Connector, event: &Event, list: &[&str]| {
        asked.set((0, 0));
        let clicks = &Clicks::given(list.iter().map(|text| click(text)).collect());
        decide(&Input {
            connector,
            event,
            clicks,
            consent: Consent::default(),
            now: minute(9),
            condition: &|_| (asked.set((asked.get().0 + 1, asked.get().1)), true).1,
            dedup_taken: &|attribution| {
                asked.set((asked.get().0, asked.get().1 + 1));
                attribution.is_some_and(|a| a.click.is_some())
            },
        });
        asked.get()
    };
    let picky = Connector {
        when: vec![condition()],
        deduplicate: deduplicate(),
        click_matching: Some(matching(&["aff"])),
        ..connector()
    };
    assert_eq!(ask(&connector(), &purchase(9), &[]), (0, 0));
    assert_eq!(ask(&picky, &event(minute(9)), &[]), (0, 0));
    assert_eq!(ask(&picky, &purchase(9), &[]), (1, 0));
    assert_eq!(ask(&picky, &purchase(9), &["aff=1@5"]), (1, 1));
}

fn any_connector() -> impl Strategy<Value = Connector> {
    let mode = prop::sample::select(vec![Mode::Enabled, Mode::Test, Mode::Disabled, Mode::Enabled]);
    let trigger = prop::sample::select(vec!["Purchase", "Purchase", "Lead"]);
    let consent = prop::sample::select(vec![None, Some(ConsentKind::Ads), Some(ConsentKind::Analytics)]);
    let matching = prop::option::weighted(0.8, any_matching());
    let expires = prop::option::of((0..90u64).prop_map(|m| Duration::from_secs(m * 60)));
    let flags = (prop::bool::weighted(0.8), any::<bool>(), any::<bool>(), any::<bool>(), prop::bool::weighted(0.2));
    (mode, trigger, consent, matching, expires, flags).prop_map(
        |(mode, trigger, require_consent, click_matching, expires_after, (enabled, when, dedup, items, foreign))| {
            Connector {
                mode,
                triggers: Triggers::Named(vec![trigger.into()]),
                containers: foreign.then(|| vec!["other".into()]),
                require_consent,
                when: when.then(condition).into_iter().collect(),
                click_matching,
                deduplicate: deduplicate().filter(|_| dedup),
                postback: PostbackSpec { expires_after, for_each_item: items, ..postback() },
                postback_enabled: enabled,
                ..connector()
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn every_event_and_connector_get_the_first_reason_that_holds(
        history in crate::rules::remember::tests::laws::history(),
        connector in any_connector(),
        name in prop::option::weighted(0.9, Just("Purchase")),
        (delay, patience) in (0..120i64, 0..5i64),
        (condition, taken, has_items) in any::<(bool, bool, bool)>(),
    ) {
        let visitor = of(&history);
        let clicks = &clicks(&visitor);
        let mut event = history[0].clone();
        event.name = name.map(Into::into);
        event.received = event.time.plus(Duration::from_secs(60 * delay.unsigned_abs()));
        event.items = if has_items { vec![Value::Map(Vec::new())] } else { Vec::new() };
        let now = event.received.plus(Duration::from_secs(60 * patience.unsigned_abs()));
        let consent = consent(&event, &visitor);
        let asked = Asked { connector: &connector, event: &event, clicks, consent, now, condition, taken };
        let decided = asked.decide();

        let lost = connector.click_matching.as_ref().and_then(|m| match attribute(m, clicks, event.time) {
            Attributed::Won { .. } => None,
            Attributed::Lost { reason, .. } => m.required.then_some(reason),
        });
        let consented = match connector.require_consent {
            None => true,
            Some(ConsentKind::Ads) => consent.ads == Some(true),
            Some(ConsentKind::Analytics) => consent.analytics == Some(true),
        };
        let triggered = event.name.as_deref().is_some_and(|n| connector.triggers.matches(n))
            && connector.containers.is_none();
        let expires = connector.postback.expires_after;
        let reasons = [
            (!triggered).then_some(Reason::TriggerMismatch),
            (connector.mode == Mode::Disabled || !connector.postback_enabled).then_some(Reason::Disabled),
            (!consented).then_some(Reason::ConsentDenied),
            (!connector.when.is_empty() && !condition).then_some(Reason::ConditionFalse),
            expires.filter(|e| event.time.plus(*e) < now).map(|_| Reason::Expired),
            lost,
            (connector.postback.for_each_item && !has_items).then_some(Reason::NoItems),
            (connector.deduplicate.is_some() && taken).then_some(Reason::DuplicateConversion),
        ];
        let first = reasons.into_iter().flatten().next();
        match decided.verdict {
            Verdict::Skip(reason) => prop_assert_eq!(Some(reason), first),
            Verdict::Send { sending } => {
                prop_assert_eq!(first, None);
                prop_assert_eq!(sending == Sending::Live, connector.mode == Mode::Enabled);
                let chosen = decided.attribution.map(|a| a.click.is_some());
                let required = connector.click_matching.as_ref().map(|m| m.required);
                prop_assert!(required != Some(true) || chosen == Some(true));
                prop_assert_eq!(chosen.is_some(), required.is_some());
            }
            Verdict::Wait { until, reason } => {
                let matching = connector.click_matching.as_ref().unwrap();
                prop_assert!(now < until);
                prop_assert_eq!(reason, lost);
                let hold = if reason.is_some() { matching.wait } else { matching.settle };
                prop_assert_eq!(until, event.received.plus(hold));
                let later = Asked { now: until, ..asked }.decide();
                prop_assert!(!matches!(later.verdict, Verdict::Wait { .. }), "what waited is over");
            }
        }
    }
}
