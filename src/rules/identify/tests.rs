//! SPEC section 3 on matching, sentence by sentence; then, as properties, that different priority ids never merge.

use proptest::prelude::*;

use super::*;
use crate::rules::remember::tests::{capture, event, is_unique, minute, with};

fn found(event: &Event, national: Option<&str>, ignore: &[&str]) -> Vec<(&'static str, String)> {
    let ignore: Vec<Box<str>> = ignore.iter().map(|p| (*p).into()).collect();
    identifiers(event, national, &is_unique, &ignore, &capture(event))
        .into_iter()
        .map(|i| (i.kind.word(), i.value.into()))
        .collect()
}

#[test]
fn identifiers_come_strongest_first_with_their_variants() {
    let mut event = with(
        event(minute(0)),
        &[
            (Field::ClientId, "c"),
            (Field::Url, "/?once=1&aff=2&GCLID=g&sub=3"),
            (Field::PhoneNumber, "040 123 4567"),
            (Field::Email, " Ann@Example.COM "),
            (Field::ExternalId, "x"),
            (Field::PriorityExternalId, " p "),
            (Field::SessionId, "s"),
            (Field::Fbc, "fb.1.1767999940000.F"),
        ],
    );
    event.email_variants = vec!["ann@example.com".into(), "ann@other.example".into(), "n/a".into()];
    event.phone_variants = vec!["+358 50 123 4567".into(), "12".into()];
    let expect = [
        ("session_id", "s"),
        ("priority_external_id", "p"),
        ("external_id", "x"),
        ("email", "ann@example.com"),
        ("email", "ann@other.example"),
        ("phone", "+358401234567"),
        ("phone", "+358501234567"),
        ("client_id", "c"),
        ("click_id", "once=1"),
        ("click_id", "gclid=g"),
        ("click_id", "fbclid=F"),
    ];
    let all = found(&event, Some("FI"), &[]);
    assert_eq!(all.iter().map(|(k, v)| (*k, &**v)).collect::<Vec<_>>(), expect);
    event.email_variants = (0..99).map(|n| format!("{n}@x").into()).collect();
    let emails = found(&event, Some("FI"), &[]).iter().filter(|(kind, _)| *kind == "email").count();
    assert_eq!(emails, 1 + VARIANTS_MAX);
}

#[test]
fn contact_data_is_normalised_or_refused() {
    for (typed, expect) in [
        (" Ann@Example.COM ", Some("ann@example.com")),
        ("ÄNN@x.fi", Some("änn@x.fi")),
        ("n/a", None),
        ("@x", None),
        ("x@", None),
        (" ", None),
        ("D41D8CD98F00B204E9800998ECF8427E", Some("d41d8cd98f00b204e9800998ecf8427e")),
    ] {
        assert_eq!(email(typed).as_deref(), expect, "{typed:?}");
    }
    for (typed, national, expect) in [
        ("040 123 4567", Some("FI"), Some("+358401234567")),
        ("+358 (0)40 123-4567", None, Some("+358401234567")),
        ("00358401234567", None, Some("+358401234567")),
        ("00358401234567", Some("FI"), Some("+358401234567")),
        ("(415) 555-2671", Some("US"), Some("+14155552671")),
        ("040 123 4567", None, Some("0401234567")),
        ("040 123 4567", Some("XX"), Some("0401234567")),
        ("123456", None, None),
        ("1999", Some("FI"), None),
        ("000 000 0000", Some("FI"), None),
        ("unknown", Some("FI"), None),
        ("", Some("FI"), None),
        ("٠٤٠١٢٣٤٥٦٧", Some("FI"), Some("+358401234567")),
    ] {
        assert_eq!(phone(typed, national).as_deref(), expect, "{typed:?} {national:?}");
    }
    let hash = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
    assert_eq!(phone(hash, Some("FI")), Some(hash.to_lowercase()));
}

#[test]
fn listed_values_never_match() {
    let event = with(
        event(minute(0)),
        &[
            (Field::Email, "Test+1@Shop.example"),
            (Field::PhoneNumber, "040 0000000"),
            (Field::ExternalId, "guest"),
            (Field::Gclid, "TESTCLICK"),
            (Field::SessionId, "s"),
        ],
    );
    let left = |ignore: &[&str]| found(&event, Some("FI"), ignore).iter().map(|(kind, _)| *kind).collect::<Vec<_>>();
    let all = ["session_id", "external_id", "email", "phone", "click_id"];
    for (ignore, gone) in [
        (&[][..], None),
        (&["test*@*"], Some("email")),
        (&["*@shop.example"], Some("email")),
        (&["test*@shop.*example"], Some("email")),
        (&["test*@shop.example.*"], None),
        (&["test"], None),
        (&["+35840*"], Some("phone")),
        (&["040 0000000"], Some("phone")),
        (&["Guest"], Some("external_id")),
        (&["testclick"], Some("click_id")),
    ] {
        let expect: Vec<_> = all.into_iter().filter(|kind| Some(*kind) != gone).collect();
        assert_eq!(left(ignore), expect, "{ignore:?}");
    }
    assert!(left(&["*"]).is_empty());
}

#[test]
fn a_pattern_takes_the_whole_text() {
    for (pattern, text, expect) in [
        ("abc", "ABC", true),
        ("a*c", "ac", true),
        ("a*c", "abcb", false),
        ("a*a", "a", false),
        ("*b*", "abc", true),
        ("a*b*c", "a-b-b-c", true),
        ("a*bc*bc", "a-bc", false),
        ("**", "", true),
    ] {
        assert_eq!(is_like(pattern, text), expect, "{pattern} {text}");
    }
}

fn hit(kind: IdentifierKind, visitor: i64) -> (Identifier, Option<VisitorId>) {
    (Identifier { kind, value: "v".into() }, (visitor != 0).then_some(VisitorId(visitor)))
}

fn joined(
    hits: &[(Identifier, Option<VisitorId>)],
    priority: &dyn Fn(VisitorId) -> Option<String>,
    own: Option<&str>,
) -> Joined {
    let hits: Vec<_> = hits.iter().map(|(identifier, visitor)| (identifier, *visitor)).collect();
    join(&hits, priority, own)
}

fn visitor(id: i64, by: IdentifierKind, merge: &[i64]) -> Joined {
    Joined::Visitor { id: VisitorId(id), by, merge: merge.iter().map(|id| VisitorId(*id)).collect() }
}

#[test]
fn the_first_hit_wins_and_two_visitors_merge_into_the_older() {
    use IdentifierKind::*;
    // Visitors 10 and 11 have the priority id "p", 20 and 21 "q", the others none.
    let priority = |id: VisitorId| match id.0 {
        10 | 11 => Some("p".to_owned()),
        20 | 21 => Some("q".to_owned()),
        _ => None,
    };
    type Case<'a> = (&'a [(IdentifierKind, i64)], Option<&'a str>, Joined);
    let cases: &[Case<'_>] = &[
        (&[], None, Joined::Nobody),
        (&[(Email, 0), (Phone, 0)], None, Joined::Nobody),
        (&[(SessionId, 0), (Email, 5)], None, visitor(5, Email, &[])),
        (&[(SessionId, 5), (Email, 5)], None, visitor(5, SessionId, &[])),
        (&[(SessionId, 5), (Email, 3)], None, visitor(3, SessionId, &[5])),
        (&[(SessionId, 3), (Email, 5), (Phone, 4)], None, visitor(3, SessionId, &[4, 5])),
        (&[(Email, 10), (Phone, 3)], None, visitor(3, Email, &[10])),
        (&[(Email, 10), (Phone, 11)], None, visitor(10, Email, &[11])),
        // Different priority ids: nothing merges and the strongest decides.
        (&[(Email, 20), (Phone, 10)], None, visitor(20, Email, &[])),
        (&[(ClientId, 3), (Click, 10), (Click, 20)], None, visitor(3, ClientId, &[])),
        // The event's own differs from that of the visitor found.
        (&[(PriorityExternalId, 0), (Email, 20)], Some("p"), Joined::Nobody),
        (&[(PriorityExternalId, 0), (Email, 20), (Phone, 3)], Some("p"), visitor(3, Phone, &[])),
        (&[(PriorityExternalId, 10), (Email, 20)], Some("p"), visitor(10, PriorityExternalId, &[])),
        (&[(PriorityExternalId, 10), (Email, 20), (ClientId, 3)], Some("p"), visitor(3, PriorityExternalId, &[10])),
        (&[(Email, 10)], Some(" p "), visitor(10, Email, &[])),
        (&[(Email, 20)], Some(" "), visitor(20, Email, &[])),
        (&[(Email, 3)], Some("p"), visitor(3, Email, &[])),
        // `sessionId` is stronger than the priority id.
        (&[(SessionId, 20), (PriorityExternalId, 10)], Some("p"), visitor(20, SessionId, &[])),
        (&[(SessionId, 20), (PriorityExternalId, 0), (Email, 3)], Some("p"), visitor(20, SessionId, &[])),
        (&[(SessionId, 3), (PriorityExternalId, 10)], Some("p"), visitor(3, SessionId, &[10])),
    ];
    for (hits, own, expect) in cases {
        let hits: Vec<_> = hits.iter().map(|(kind, id)| hit(*kind, *id)).collect();
        assert_eq!(joined(&hits, &priority, *own), *expect, "{hits:?} {own:?}");
    }
}

proptest! {
    #[test]
    fn different_priority_ids_never_merge(
        hits in prop::collection::vec((0..7usize, 0..9i64), 0..7),
        priorities in prop::collection::vec(prop::option::of("[pq]"), 9),
        own in prop::option::of("[pq]"),
    ) {
        use IdentifierKind::*;
        let kinds = [SessionId, PriorityExternalId, ExternalId, Email, Phone, ClientId, Click];
        let mut hits: Vec<_> = hits.into_iter().map(|(kind, id)| hit(kinds[kind], id)).collect();
        hits.sort_by_key(|(identifier, _)| identifier.kind);
        let priority = |id: VisitorId| priorities[usize::try_from(id.0).unwrap()].clone();
        match joined(&hits, &priority, own.as_deref()) {
            Joined::Nobody => {
                for (identifier, id) in hits {
                    if let Some(theirs) = id.map(priority) {
                        prop_assert!(own.is_some() && theirs.is_some() && theirs != own);
                        prop_assert!(PriorityExternalId < identifier.kind);
                    }
                }
            }
            Joined::Visitor { id, by, merge } => {
                prop_assert!(hits.iter().any(|(i, v)| i.kind == by && v.is_some_and(|v| v == id || merge.contains(&v))));
                prop_assert!(merge.iter().all(|other| id < *other) && merge.windows(2).all(|w| w[0] < w[1]));
                let all = merge.iter().chain([&id]);
                let mut ids: Vec<_> = all.filter_map(|v| priority(*v)).collect();
                if !merge.is_empty() || PriorityExternalId < by {
                    ids.extend(own);
                }
                ids.dedup();
                prop_assert!(ids.len() <= 1);
            }
        }
    }

    #[test]
    fn normalising_twice_is_normalising_once(text in "\\PC{0,24}", number in "[+0]{0,2}[0-9 ()-]{0,16}") {
        if let Some(once) = email(&text) {
            prop_assert_eq!(email(&once), Some(once.clone()));
        }
        for typed in [&text, &number] {
            if let Some(once) = phone(typed, Some("FI"))
                && PHONE_NUMBER_UTIL.parse(&once, None).is_ok_and(|number| number.is_valid())
            {
                prop_assert_eq!(phone(&once, Some("FI")), Some(once.clone()));
            }
        }
        let _ = is_like(&text, &number);
    }
}

#[test]
fn an_event_may_have_no_identifier() {
    assert!(found(&with(event(minute(0)), &[(Field::Ip, "::1"), (Field::Url, "/?aff=1")]), None, &[]).is_empty());
}
