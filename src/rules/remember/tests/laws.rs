//! Properties of remembering: arrival order and merging leave no trace, and what is concluded equals what a plain reading
//! of SPEC section 3 over the whole history gives.

use std::collections::BTreeMap;

use super::*;

const FIELDS: [(Field, &[&str]); 6] = [
    (Field::Email, &["a@x", "b@x"]),
    (Field::PriorityExternalId, &["p", "q"]),
    (Field::Gclid, &["1", "2"]),
    (Field::Fbc, &["fb.1.1768000300000.1", "fb.1.1768003000500.2"]),
    (Field::UtmSource, &["n", "m"]),
    (Field::Ip, &["::1", "::2"]),
];

fn query() -> impl Strategy<Value = String> {
    let param =
        prop::sample::select(vec!["aff", "sub", "once", "gclid", "GCLID", "fbclid", "utm_source", "utm_term", "x"]);
    let pair = (param, 1..3).prop_map(|(name, value)| format!("{name}={value}"));
    prop::collection::vec(pair, 0..3).prop_map(|pairs| pairs.join("&"))
}

/// Events on a grid of minutes around the session timeout, so that gaps of exactly 30 min, ties and joins are common.
fn any_event() -> impl Strategy<Value = Event> {
    let time = prop_oneof![0..8i64, 20..40i64, 55..65i64, 85..95i64].prop_map(minute);
    let url = prop::option::weighted(0.7, (prop::sample::select(vec!["/", "/a"]), query()));
    let fields = prop::collection::vec((0..FIELDS.len(), 0..2usize), 0..3);
    let cut = prop::option::weighted(0.2, 0..70i64);
    let consent = (prop::option::weighted(0.2, any::<bool>()), prop::option::weighted(0.2, any::<bool>()));
    let click_time = prop::option::weighted(0.3, (0..95i64).prop_map(minute));
    (time, url, fields, cut, consent, click_time).prop_map(|(time, url, fields, cut, (ads, analytics), click_time)| {
        let mut event = event(time);
        if let Some((path, query)) = url {
            event.texts.set(Field::Url, format!("{path}?{query}"));
        }
        for (field, value) in fields {
            event.texts.set(FIELDS[field].0, FIELDS[field].1[value]);
        }
        event.new_session_at = cut.map(|before| time.minus(Duration::from_secs(60 * before.unsigned_abs())));
        event.consent = Consent { ads, analytics };
        event.click_time = click_time;
        event
    })
}

/// No more events than landings of a value are kept of a session, so that no bound is in play.
pub(in crate::rules) fn history() -> impl Strategy<Value = Vec<Event>> {
    prop::collection::vec(any_event(), 1..=LANDINGS_PER_SESSION_MAX)
}

/// A history and the same events in another order.
pub(in crate::rules) fn shuffled() -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
    history().prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))
}

/// Sessions read off the whole history: every moment of activity in order, a new session at each gap and each cut. A part
/// that a cut ends reaches up to it.
fn sessions_plainly(events: &[Event]) -> Vec<(Time, Time)> {
    let cuts: Vec<Time> = events.iter().filter_map(|e| Some(e.new_session_at?.min(e.time))).collect();
    let mut moments: Vec<Time> = events.iter().map(|e| e.time).chain(cuts.iter().copied()).collect();
    moments.sort_unstable();
    let mut out: Vec<(Time, Time)> = Vec::new();
    for moment in moments {
        match out.last_mut() {
            Some((start, _)) if *start == moment => {}
            Some((_, end)) if moment <= end.plus(TIMEOUT) => {
                if cuts.contains(&moment) {
                    *end = moment.minus(Duration::from_millis(1));
                    out.push((moment, moment));
                } else {
                    *end = moment;
                }
            }
            _ => out.push((moment, moment)),
        }
    }
    out
}

/// The clicks on URLs read off the whole history: of each value, the first landing in each session, or at all.
fn url_clicks_plainly(events: &[Event]) -> Vec<(String, String, Time)> {
    let sessions = sessions_plainly(events);
    let mut firsts: BTreeMap<(String, String, Option<usize>), Time> = BTreeMap::new();
    for event in events {
        for click in capture(event).iter().filter(|c| c.landing.is_page()) {
            let session = sessions.iter().position(|(start, end)| (*start..=*end).contains(&event.time));
            let session = if is_unique(&click.param) { None } else { session };
            let key = (click.param.to_lowercase(), click.value.to_string(), session);
            let first = firsts.entry(key).or_insert(event.time);
            *first = event.time.min(*first);
        }
    }
    firsts.into_iter().map(|((param, value, _), time)| (param, value, time)).collect()
}

/// Somebody with hardly any room for more: landings of values of their own, in more sessions than are kept.
fn nearly_full() -> Visitor {
    let landing = |n: i64| {
        let mut event = event(minute(n * 7 - 6_000));
        event.texts.set(Field::Url, format!("/?aff=v{n}"));
        event
    };
    of(&(0..998).map(landing).collect::<Vec<_>>())
}

/// As [`remember`] learns clicks where a value may stand twice.
fn learn_plainly(visitor: &mut Visitor, event: &Event) -> bool {
    let (landings, sessions) = (visitor.clicks.clone(), visitor.sessions.clone());
    sessions::extend(&mut visitor.sessions, event, TIMEOUT);
    for click in capture(event) {
        clicks::insert(Arc::make_mut(&mut visitor.clicks), click);
    }
    clicks::bound(visitor, &is_unique, TIMEOUT);
    let gained = clicks::differ((&landings, &sessions), visitor, &is_unique, TIMEOUT);
    sessions::bound(&mut visitor.sessions);
    gained
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn clicks_of_values_that_nobody_knows_are_learned_as_all_others_are(
        events in prop::collection::vec(any_event(), 1..12),
        is_full in any::<bool>(),
    ) {
        let mut one = if is_full { nearly_full() } else { visitor() };
        let mut two = one.clone();
        for event in &events {
            let gained = learn_event(&mut one, event).gained_click;
            prop_assert_eq!(gained, learn_plainly(&mut two, event));
            prop_assert_eq!(&one.clicks, &two.clicks);
            prop_assert_eq!(&one.sessions, &two.sessions);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn arrival_order_leaves_no_trace((events, other) in shuffled()) {
        let (one, two) = (of(&events), of(&other));
        prop_assert_eq!(&one, &two);
        prop_assert_eq!(clicks(&one), clicks(&two));
        for event in &events {
            prop_assert_eq!(
                known(&one, &clicks(&one), event, RETENTION),
                known(&two, &clicks(&two), event, RETENTION)
            );
        }
    }

    #[test]
    fn merging_is_as_if_all_had_come_to_one(
        (events, other) in shuffled(),
        split in 0..=LANDINGS_PER_SESSION_MAX,
        merged_at in 0..=LANDINGS_PER_SESSION_MAX,
    ) {
        let split = split.min(other.len());
        let merged_at = merged_at.clamp(split, other.len());
        let mut into = of(&other[..split]);
        let from = of(&other[split..merged_at]);
        let before = clicks(&into).to_vec();
        let gained = merge(&mut into, from, &is_unique, TIMEOUT);
        if !gained {
            let without_seen = |clicks: &[Click]| {
                let mut all: Vec<_> = clicks.iter().map(|c| (c.param.clone(), c.value.clone(), c.time)).collect();
                all.sort_unstable();
                all
            };
            prop_assert_eq!(without_seen(&before), without_seen(&clicks(&into)));
        }
        for event in &other[merged_at..] {
            learn_event(&mut into, event);
        }
        prop_assert_eq!(into, of(&events));
    }

    #[test]
    fn an_event_learned_twice_teaches_nothing_more(events in history()) {
        let mut visitor = of(&events);
        for event in &events {
            prop_assert_eq!(learn_event(&mut visitor, event), Learned::default());
        }
    }

    #[test]
    fn sessions_and_clicks_are_as_a_plain_reading_gives_them(events in history()) {
        let visitor = of(&events);
        let sessions: Vec<_> = visitor.sessions.iter().map(|s| (s.start, s.end)).collect();
        prop_assert_eq!(sessions, sessions_plainly(&events));
        let landings = |e: &Event| capture(e).iter().any(|c| !c.landing.is_page());
        if !events.iter().any(landings) {
            let mut found: Vec<_> = clicks(&visitor)
                .iter()
                .map(|c| (c.param.to_lowercase(), c.value.to_string(), c.time.unwrap()))
                .collect();
            found.sort_unstable();
            let mut plainly = url_clicks_plainly(&events);
            plainly.sort_unstable();
            prop_assert_eq!(found, plainly);
        }
    }

    #[test]
    fn what_is_kept_is_in_order(events in history()) {
        let visitor = of(&events);
        prop_assert!(visitor.facts.windows(2).all(|w| w[0].field < w[1].field));
        prop_assert!(visitor.sessions.windows(2).all(|w| w[0].end < w[1].start));
        prop_assert!(visitor.sessions.iter().all(|s| s.start <= s.end));
        prop_assert!(visitor.clicks.windows(2).all(|w| w[0].time <= w[1].time));
        prop_assert!(clicks(&visitor).windows(2).all(|w| w[0].time <= w[1].time));
        for event in &events {
            let session = visitor.session_at(event.time);
            prop_assert!(session.is_some());
        }
    }
}
