//! Keys on the way to their table.

use super::*;
use crate::model::click::Landing;
use crate::model::field::Field;
use crate::model::time::Time;
use crate::model::visitor::{Fact, Visitor};
use crate::store::sqlite::schema;

/// Tables, and what recently changed of them.
struct Commits {
    sql: Connection,
    recent: Recent,
}

impl Commits {
    fn new() -> Self {
        let sql = Connection::open_in_memory().unwrap();
        schema::migrate(&sql).unwrap();
        let recent = Recent::read(&sql).unwrap();
        Self { sql, recent }
    }

    /// Commits these keys, each of which leads to its own number.
    fn commit(&mut self, keys: std::ops::Range<i64>, is_idle: bool) {
        keys.for_each(|n| self.recent.set_key(hash(n), KeyRow { value: n, until: FOR_VISITOR }));
        self.recent.write(&self.sql, is_idle).unwrap();
        self.recent.committed(is_idle);
    }

    fn found(&self, n: i64) -> Option<i64> {
        self.recent.key(&self.sql, hash(n)).unwrap().map(|row| row.value)
    }

    /// How many are in the table.
    fn moved(&self) -> usize {
        let count: i64 = self.sql.query_row("SELECT count(*) FROM key", [], |row| row.get(0)).unwrap();
        usize::try_from(count).unwrap()
    }
}

/// Spreads neighbours, as hashes are.
pub(super) fn hash(n: i64) -> i64 {
    n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed())
}

#[test]
fn a_commit_that_changes_nothing_moves_nothing_unless_nothing_else_will() {
    let mut commits = Commits::new();
    // An idle moment finds them, the next ones move them.
    commits.commit(0..3000, true);
    commits.commit(0..0, false);
    assert_eq!(commits.moved(), 0);
    commits.commit(3000..3001, false);
    assert_eq!(commits.moved(), MOVED_PER_COMMIT);
    commits.commit(0..0, true);
    assert_eq!(commits.moved(), MOVED_PER_COMMIT + MOVED_WHEN_IDLE);
    let before = commits.moved();
    (4..LINGERS_FROM).for_each(|_| commits.commit(0..0, false));
    assert_eq!(commits.moved(), before);
    while commits.recent.is_unmoved() {
        commits.commit(0..0, false);
    }
    assert_eq!(commits.moved(), 3001, "no events came");
    assert!((0..=3000).all(|n| commits.found(n) == Some(n)));
    assert_eq!(commits.found(3001), None);
}

#[test]
fn who_waits_for_changes_waits_for_those_alone() {
    let mut commits = Commits::new();
    commits.commit(0..3000, false);
    let upto = commits.recent.last_change();
    commits.commit(3000..3001, false);
    let mut rounds = 0;
    while !commits.recent.hasten(upto) {
        commits.commit(0..0, false);
        rounds += 1;
    }
    assert!(rounds < 6, "{rounds}");
    assert!(3000 <= commits.moved() && !commits.recent.is_hastened());
}

#[test]
fn a_generation_is_in_its_tables_before_the_next_is_full() {
    let mut commits = Commits::new();
    let gone = || Person::Merged { into: 1, seen: 0 };
    for n in 0..320 {
        // First keys of people who are new, then one key for each of those who come again.
        if 115 <= n {
            (n * 500..(n + 1) * 500).for_each(|id| commits.recent.set_person(VisitorId(id), gone()));
        }
        commits.commit(n * 500..(n + 1) * 500, false);
        let young = &commits.recent.young;
        assert!(young.keys.len() < MOVED_FROM_KEYS && young.persons.len() < MOVED_FROM_PERSONS, "at {n}");
    }
    let read_back = Recent::read(&commits.sql).unwrap();
    commits.recent = read_back;
    assert!(commits.recent.young.len() < 2 * (MOVED_FROM_KEYS + MOVED_FROM_PERSONS));
    assert!((0..160_000).step_by(7).all(|n| commits.found(n) == Some(n)));
    assert_eq!(commits.found(160_000), None);
}

#[test]
fn a_filter_that_is_made_anew_denies_no_key_on_its_way() {
    let mut commits = Commits::new();
    commits.commit(0..100, true);
    commits.commit(100..200, true);
    commits.recent.remove_key(hash(150));
    let mut others = (1_000_000..).map(hash);
    while !commits.recent.stored.is_full() {
        commits.recent.stored.add(others.next().unwrap());
    }
    commits.commit(200..201, false);
    assert!(!commits.recent.stored.is_whole(), "it was made anew");
    while !commits.recent.stored.is_whole() {
        commits.recent.read_on(&commits.sql).unwrap();
    }
    assert!(commits.moved() < 201, "some are on their way");
    assert!((0..=200).all(|n| commits.found(n) == Some(n).filter(|n| *n != 150)));
    assert_eq!(commits.found(201), None);
}

#[test]
fn visitors_and_clicks_that_are_long_are_moved_a_few_at_a_time() {
    let value = "x".repeat(20_000);
    let talkative = |id| {
        let fact = Fact { field: Field::UserAgent, value: value.as_str().into(), time: Time::from_ms(1) };
        Visitor { facts: vec![fact], ..Visitor::new(VisitorId(id), "shop".into()) }
    };
    for (table, are_clicks) in [("visitor", false), ("clicks", true)] {
        let mut commits = Commits::new();
        for id in 0..300 {
            let visitor = if are_clicks { clicked(id) } else { talkative(id) };
            if are_clicks {
                commits.recent.set_clicks(visitor.id, Some(visitor.clicks.clone()));
            }
            let visitor = Arc::new(visitor);
            commits.recent.set_person(VisitorId(id), Person::Changed { visitor, seen: 1, presence: Presence::Here });
        }
        commits.commit(0..0, true);
        let count = |commits: &Commits| -> i64 {
            commits.sql.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
        };
        let (mut before, mut most) = (0, 0);
        while commits.recent.is_unmoved() {
            commits.commit(0..0, true);
            let moved = count(&commits);
            most = most.max(moved - before);
            before = moved;
        }
        assert_eq!(before, 300);
        assert!((1..150).contains(&most), "{most} of {table} in one commit");
    }
}

/// A visitor with a thousand clicks.
fn clicked(id: i64) -> Visitor {
    let click = |n: i64| Click {
        param: "cid".into(),
        value: "c".into(),
        time: Some(Time::from_ms(n)),
        seen: Time::from_ms(n),
        landing: Arc::new(Landing { url: format!("https://s.example/{n}").into(), ..Landing::default() }),
    };
    Visitor { clicks: Arc::new((0..1_000).map(click).collect()), ..Visitor::new(VisitorId(id), "shop".into()) }
}

#[test]
fn clicks_of_many_visitors_are_not_all_kept_at_hand() {
    let mut commits = Commits::new();
    let comes = |commits: &mut Commits, visitor: Visitor, presence| {
        let id = visitor.id;
        commits.recent.set_person(id, Person::Changed { visitor: Arc::new(visitor), seen: 1, presence });
        commits.commit(0..0, false);
    };
    for id in 0..200 {
        let visitor = clicked(id);
        commits.recent.set_clicks(visitor.id, Some(visitor.clicks.clone()));
        comes(&mut commits, visitor, Presence::Here);
        assert_eq!(commits.recent.at_hand, 0, "what changed is there in any case");
    }
    while commits.recent.is_unmoved() {
        commits.commit(0..0, true);
    }
    for id in 0..200 {
        let clicks = commits.recent.clicks(&commits.sql, VisitorId(id)).unwrap();
        comes(&mut commits, Visitor { clicks, ..clicked(id) }, Presence::Here);
        let at_hand = commits.recent.young.persons.values().map(Person::at_hand).sum::<usize>();
        assert_eq!(at_hand, commits.recent.at_hand);
        assert!(commits.recent.at_hand <= AT_HAND_MAX);
    }
    let is_at_hand = |id: &i64| matches!(commits.recent.young.persons[id], Person::Kept { visitor: Some(_), .. });
    let kept = (0..200).filter(is_at_hand).count();
    assert!((1..150).contains(&kept), "{kept}");
    assert_eq!(commits.recent.person(VisitorId(0)).map(Person::at_hand), Some(0));
}
