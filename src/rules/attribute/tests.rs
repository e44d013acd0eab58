//! SPEC section 5 on candidates and models, sentence by sentence; then, as properties, what may never be chosen.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::click::Landing;
use crate::rules::remember::tests::{capture, clicks, minute, of};

pub(in crate::rules) fn matching(params: &[&str]) -> ClickMatching {
    ClickMatching {
        required: true,
        params: params.iter().map(|p| (*p).into()).collect(),
        unique: false,
        ignore_case: false,
        source_param: None,
        source_value: None,
        model: AttributionModel::LastClick,
        window: Duration::from_secs(100 * 60),
        wait: Duration::ZERO,
        settle: Duration::ZERO,
    }
}

fn sourced(params: &[&str], value: &str) -> ClickMatching {
    ClickMatching { source_param: Some("src".into()), source_value: Some(value.into()), ..matching(params) }
}

fn any_click(matching: ClickMatching) -> ClickMatching {
    ClickMatching { model: AttributionModel::AnyClick, ..matching }
}

/// `aff=1@5&src=x`: parameter, value, minute (`?`: untimed, `?7`: untimed and last sent then), further query.
pub(in crate::rules) fn click(text: &str) -> Click {
    let (id, query) = text.split_once('&').unwrap_or((text, ""));
    let (param, rest) = id.split_once('=').unwrap();
    let (value, at) = rest.split_once('@').unwrap();
    let (time, seen) = match at.strip_prefix('?') {
        Some(seen) => (None, seen.parse().unwrap_or(0)),
        None => (Some(minute(at.parse().unwrap())), at.parse().unwrap()),
    };
    let url = if time.is_some() { format!("/?{param}={value}&{query}") } else { String::new() };
    let landing = Arc::new(Landing { url: url.into(), ..Landing::default() });
    Click { param: param.into(), value: value.into(), time, seen: minute(seen), landing }
}

/// The value of the click that wins, or the reason why none does.
fn verdict(matching: &ClickMatching, list: &[&str]) -> String {
    let clicks = Clicks::given(list.iter().map(|text| click(text)).collect());
    match attribute(matching, &clicks, minute(100)) {
        Attributed::Won { click, count, .. } => format!("{} of {count}", clicks[click].value),
        Attributed::Lost { reason, .. } => reason.word().to_owned(),
    }
}

#[test]
fn the_window_holds_both_its_ends() {
    for (list, expect) in [
        (&["aff=1@0"][..], "1 of 1"),
        (&["aff=1@100"], "1 of 1"),
        (&["aff=1@-1"], "click_expired"),
        (&["aff=1@101"], "no_click"),
        (&["aff=1@-1", "aff=2@0", "aff=3@100", "aff=4@101"], "3 of 2"),
        (&["aff=1@?500"], "1 of 1"),
    ] {
        assert_eq!(verdict(&matching(&["aff"]), list), expect, "{list:?}");
    }
    let to_the_millisecond = |ms: i64| {
        let mut one = click("aff=1@0");
        one.time = Some(Time::from_ms(minute(0).ms() + ms));
        attribute(&matching(&["aff"]), &Clicks::given(vec![one]), minute(100))
    };
    assert!(matches!(to_the_millisecond(0), Attributed::Won { .. }));
    assert!(matches!(to_the_millisecond(-1), Attributed::Lost { reason: Reason::ClickExpired, .. }));
}

#[test]
fn last_click_is_beaten_by_any_other_source_that_is_newer() {
    let own = &matching(&["aff"]);
    for (list, expect) in [
        (&["aff=1@5", "aff=2@6"][..], "2 of 2"),
        (&["aff=1@5", "gclid=g@4"], "1 of 1"),
        (&["aff=1@5", "gclid=g@6"], "not_last_click"),
        (&["aff=1@5", "gclid=g@6", "aff=2@7"], "2 of 2"),
        // Of the same moment does not beat, nor does what came after the event.
        (&["aff=1@5", "gclid=g@5"], "1 of 1"),
        (&["aff=1@5", "gclid=g@101"], "1 of 1"),
        // An untimed click beats no other and is beaten by every timed one.
        (&["aff=1@5", "gclid=g@?"], "1 of 1"),
        (&["aff=1@?", "gclid=g@?99"], "1 of 1"),
        (&["aff=1@?", "gclid=g@0"], "not_last_click"),
        (&["aff=1@?", "gclid=g@-1"], "1 of 1"),
        (&["aff=1@?3", "aff=2@?2"], "1 of 2"),
        (&["aff=1@?3", "aff=2@2"], "2 of 2"),
    ] {
        assert_eq!(verdict(own, list), expect, "{list:?}");
    }
}

#[test]
fn any_click_takes_the_newest_own_click_whatever_else_there_is() {
    let own = &any_click(matching(&["aff"]));
    for (list, expect) in [
        (&["aff=1@5", "gclid=g@6"][..], "1 of 1"),
        (&["aff=1@?", "gclid=g@6"], "1 of 1"),
        (&["aff=2@6", "aff=1@5", "aff=9@?"], "2 of 3"),
        (&["gclid=g@6"], "no_click"),
        (&["aff=1@-1", "gclid=g@6"], "click_expired"),
    ] {
        assert_eq!(verdict(own, list), expect, "{list:?}");
    }
}

#[test]
fn a_strict_source_counts_exactly_its_own_clicks() {
    let own = &sourced(&["cid"], "x");
    for (list, expect) in [
        (&["cid=1@5&src=x"][..], "1 of 1"),
        (&["cid=1@5&src=x&src=y"], "1 of 1"),
        (&["cid=1@5&src=y&src=x"], "source_mismatch"),
        (&["cid=1@5&src=X"], "source_mismatch"),
        (&["cid=1@5&SRC=x"], "source_mismatch"),
        (&["cid=1@5"], "source_mismatch"),
        (&["cid=1@?"], "source_mismatch"),
        (&["cid=1@5&src=x", "cid=2@6&src=y"], "not_last_click"),
        (&["cid=2@4&src=y", "cid=1@5&src=x"], "1 of 1"),
        // The order of the reasons: an own click that lost, the parameter of another source, own clicks too old, none.
        (&["cid=0@-1&src=x", "cid=2@6&src=y", "gclid=g@7"], "source_mismatch"),
        (&["cid=0@-1&src=x", "cid=3@-2&src=y", "gclid=g@7"], "click_expired"),
        (&["cid=3@-2&src=y", "gclid=g@7"], "no_click"),
        (&["cid=3@101&src=x"], "no_click"),
    ] {
        assert_eq!(verdict(own, list), expect, "{list:?}");
    }
    // Connectors that share parameter and source have the same own clicks; neither is the other's rival.
    let twin = sourced(&["cid"], "x");
    assert_eq!(verdict(&twin, &["cid=1@5&src=x"]), verdict(own, &["cid=1@5&src=x"]));
    // A source to fill in and no value to compare: every source is own.
    let lenient = ClickMatching { source_value: None, ..sourced(&["cid"], "x") };
    assert_eq!(verdict(&lenient, &["cid=1@5&src=x", "cid=2@6&src=y"]), "2 of 2");
}

#[test]
fn aliases_are_own_and_case_is_ignored_only_where_asked() {
    let aliased = matching(&["cid", "aff"]);
    assert_eq!(verdict(&aliased, &["aff=1@5", "cid=2@4"]), "1 of 2");
    assert_eq!(verdict(&aliased, &["aff=1@5", "cid=2@5"]), "2 of 2");
    assert_eq!(verdict(&aliased, &["AFF=1@5"]), "no_click");
    let ignoring = ClickMatching { ignore_case: true, ..matching(&["cid", "aff"]) };
    assert_eq!(verdict(&ignoring, &["AFF=1@5", "Cid=2@5"]), "2 of 2");
}

#[test]
fn why_is_a_sentence_for_a_person() {
    let why = |matching: &ClickMatching, list: &[&str]| {
        let clicks = Clicks::given(list.iter().map(|text| click(text)).collect());
        match attribute(matching, &clicks, minute(100)) {
            Attributed::Won { why, .. } | Attributed::Lost { why, .. } => why.into_owned(),
        }
    };
    let own = matching(&["aff", "cid"]);
    for (matching, list, expect) in [
        (&own, &["aff=1@5"][..], "the only click in the window"),
        (&any_click(own.clone()), &["aff=1@5", "gclid=g@6"], "the only own click in the window"),
        (&own, &["aff=1@5", "cid=2@6"], "cid of 2026-01-09T23:12:40Z is the newest of 2 own clicks in the window"),
        (
            &own,
            &["aff=1@5", "gclid=g@5"],
            "no click of another source is newer than aff of 2026-01-09T23:11:40Z; theirs is gclid of 2026-01-09T23:11:40Z",
        ),
        (
            &own,
            &["aff=1@5", "gclid=g@72"],
            "the newest click in the window is gclid of 2026-01-10T00:18:40Z, 1 h 7 min after aff",
        ),
        (
            &own,
            &["aff=1@?", "gclid=g@5"],
            "the newest click in the window is gclid of 2026-01-09T23:11:40Z, and aff has no time",
        ),
        (
            &sourced(&["cid"], "x"),
            &["cid=1@5&src=x", "cid=2@6&src=y"],
            "the newest click in the window is cid of 2026-01-09T23:12:40Z (src=y), 1 min after cid",
        ),
        (&sourced(&["cid"], "x"), &["cid=1@5&src=y"], "cid of 2026-01-09T23:11:40Z in the window has src=y, not x"),
        (
            &sourced(&["cid"], "x"),
            &["cid=1@5&src=a%40b.example"],
            "cid of 2026-01-09T23:11:40Z in the window has src=another, not x",
        ),
        (&sourced(&["cid"], "x"), &["cid=1@?"], "cid without a time in the window has no src, not x"),
        (
            &own,
            &["aff=1@-1600"],
            "the newest own click, aff of 2026-01-08T20:26:40Z, is 1 d 2 h older than the window allows",
        ),
        (&own, &[], "the visitor has no click with aff or cid up to the event"),
    ] {
        assert_eq!(why(matching, list), expect);
    }
    for (ms, expect) in [(0, "0 ms"), (1, "1 ms"), (61_000, "1 min 1 s"), (3_600_000, "1 h"), (90_000_500, "1 d 1 h")] {
        assert_eq!(spelt(Duration::from_millis(ms)), expect);
    }
    assert_eq!(shown(&"ä".repeat(99)).chars().count(), 65);
}

pub(in crate::rules) fn any_matching() -> impl Strategy<Value = ClickMatching> {
    let params = prop::sample::subsequence(vec!["aff", "sub", "once", "gclid", "fbclid"], 1..=2);
    let source = prop::option::of(prop::sample::select(vec!["n", "m", "1"]));
    let minutes = |range: std::ops::Range<u64>| range.prop_map(|m| Duration::from_secs(m * 60));
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (params, source, minutes(0..100), minutes(0..3), minutes(0..3), flags).prop_map(
        |(params, source, window, wait, settle, (required, ignore_case, any_click, unique))| ClickMatching {
            required,
            ignore_case,
            unique,
            source_param: source.is_some().then(|| "utm_source".into()),
            source_value: source.map(Into::into),
            model: if any_click { AttributionModel::AnyClick } else { AttributionModel::LastClick },
            window,
            wait,
            settle,
            ..matching(&params)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn arrival_order_never_changes_who_is_paid(
        (events, other) in crate::rules::remember::tests::laws::shuffled(),
        matching in any_matching(),
    ) {
        let (one, two) = (of(&events), of(&other));
        for event in &events {
            let result = |visitor| attribute(&matching, &clicks(visitor), event.time);
            prop_assert_eq!(result(&one), result(&two));
        }
    }

    #[test]
    fn what_is_chosen_is_own_in_the_window_and_unbeaten(
        events in crate::rules::remember::tests::laws::history(),
        matching in any_matching(),
        at in -10..110i64,
    ) {
        let visitor = of(&events);
        let clicks = clicks(&visitor);
        let (opens, closes) = (minute(at).minus(matching.window), minute(at));
        let is_in = |c: &&Click| c.time.is_none_or(|t| opens <= t && t <= closes);
        let has_param = |c: &&Click| matching.params.iter().any(|p| {
            if matching.ignore_case { c.param.eq_ignore_ascii_case(p) } else { *c.param == **p }
        });
        let is_own = |c: &&Click| has_param(c)
            && matching.source_value.as_deref().is_none_or(|v| c.query("utm_source").as_deref() == Some(v));
        let own: Vec<&Click> = clicks.iter().filter(is_in).filter(is_own).collect();
        let newest = own.iter().map(|c| c.time).max();
        let rival = clicks.iter().filter(is_in).filter(|c| !is_own(c)).map(|c| c.time).max();
        let beaten = matching.model == AttributionModel::LastClick && newest.is_some() && rival > newest;
        match attribute(&matching, &clicks, minute(at)) {
            Attributed::Won { click, count, .. } => {
                let chosen = &clicks[click];
                prop_assert!(is_in(&chosen) && is_own(&chosen) && !beaten);
                prop_assert_eq!(Some(chosen.time), newest);
                prop_assert_eq!(count, own.len());
            }
            Attributed::Lost { reason, .. } => {
                let too_old = |c: &&Click| is_own(c) && c.time.is_some_and(|t| t < opens);
                let first = [
                    (!own.is_empty(), Reason::NotLastClick),
                    (clicks.iter().filter(is_in).any(|c| has_param(&c)), Reason::SourceMismatch),
                    (clicks.iter().any(|c| too_old(&c)), Reason::ClickExpired),
                    (true, Reason::NoClick),
                ];
                prop_assert_eq!(Some(reason), first.into_iter().find(|(holds, _)| *holds).map(|(_, reason)| reason));
                prop_assert!(own.is_empty() || beaten);
            }
        }
    }

    /// Whoever waits for a click is woken by whatever changes its verdict.
    #[test]
    fn what_is_no_gain_changes_no_attribution(
        events in crate::rules::remember::tests::laws::history(),
        matching in any_matching(),
        at in 0..100i64,
    ) {
        let mut visitor = of(&events[..events.len() - 1]);
        let paid = |visitor: &_| {
            let clicks = clicks(visitor);
            match attribute(&matching, &clicks, minute(at)) {
                Attributed::Won { click, .. } => Ok((clicks[click].time, clicks[click].time.map(|_| clicks[click].value.clone()))),
                Attributed::Lost { reason, .. } => Err(reason),
            }
        };
        let before = paid(&visitor);
        let last = &events[events.len() - 1];
        let learned = crate::rules::remember::tests::learn_event(&mut visitor, last);
        if !learned.gained_click {
            prop_assert_eq!(before, paid(&visitor));
        }
    }
}

#[test]
fn clicks_captured_from_urls_are_judged_by_their_own_query() {
    let event = crate::rules::remember::tests::view(3, "/?aff=1&src=x");
    let clicks = Clicks::given(capture(&event));
    assert!(matches!(attribute(&sourced(&["aff"], "x"), &clicks, minute(3)), Attributed::Won { .. }));
}
