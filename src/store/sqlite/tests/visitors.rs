//! Visitors with many clicks, of whom a change may be on record without the clicks; and with old ones.

use super::*;
use crate::store::sqlite::recent::{Person, Presence, Recent};
use crate::store::sqlite::{schema, visitors};

const MANY: usize = 40;

fn said(n: usize, click: Option<&str>) -> Candidate {
    let mut event = event("", &n.to_string());
    event.time = now(i64::try_from(n).unwrap());
    if click.is_none() {
        event.texts.set(Field::Email, format!("{n}@example.com"));
    }
    candidate(event, "s", click)
}

impl Store {
    async fn first_visitor(&self) -> Visitor {
        self.write(|tx| Ok((*visitors::load(tx, VisitorId(1))?).clone())).await.unwrap()
    }

    async fn changes_without_clicks(&self) -> i64 {
        self.count("change WHERE body LIKE 'h %' OR body LIKE '%' || char(10) || 'h %'").await
    }
}

#[tokio::test]
async fn clicks_that_are_not_told_again_are_those_told_before() {
    let folder = Folder::new();
    let mut store = folder.open();
    let mut visitor = Visitor::new(VisitorId(1), "shop".into());
    let mut is_told = false;
    for n in 0..120 {
        // Once there are many, every third event brings another.
        let click = (n < MANY || n % 3 == 0).then(|| format!("c{n}"));
        let two = [said(n, click.as_deref()), said(n + 1_000, None)];
        for one in &two {
            Sample.remember(&mut visitor, one);
        }
        admit(&store, two.into(), now(0)).await;
        is_told |= store.changes_without_clicks().await != 0;
        match n % 11 {
            3 | 7 | 8 => {
                drop(store);
                store = reopened(&folder).await;
            }
            5 | 10 => store.settled().await,
            _ => {}
        }
        assert_eq!(store.first_visitor().await, visitor, "after event {n}");
    }
    assert!(is_told);
}

#[tokio::test]
async fn a_change_without_clicks_leaves_most_of_the_visitor_out_of_the_commit() {
    let folder = Folder::new();
    let store = folder.open();
    let landings = (0..1_000).map(|n| said(n, Some(&format!("c{n}")))).collect();
    admit(&store, landings, now(0)).await;
    store.settled().await;
    for n in 2_000..2_020 {
        admit(&store, vec![said(n, None)], now(0)).await;
    }
    let longest = store
        .read(|sql| {
            Ok(sql.query_row("SELECT coalesce(max(length(body)), 0) FROM change", [], |row| row.get::<_, i64>(0))?)
        })
        .await
        .unwrap();
    assert!(longest < 2_000, "{longest} bytes for an event without a click");
    assert_eq!(store.first_visitor().await.clicks.len(), 1_000);
}

/// A change without clicks, and then the visitor's end, which has come to the table while the record of both is still there.
#[test]
fn a_start_reads_changes_of_somebody_whose_end_is_in_the_table_already() {
    let nobody = |id| Arc::new(Visitor::new(VisitorId(id), "shop".into()));
    let mut many = Visitor::new(VisitorId(1), "shop".into());
    for n in 0..MANY {
        Sample.remember(&mut many, &said(n, Some(&format!("c{n}"))));
    }
    let many = Arc::new(many);
    let changed = |visitor: &Arc<Visitor>, presence, same_clicks| Person::Changed {
        visitor: visitor.clone(),
        seen: 1,
        presence,
        same_clicks,
    };
    for end in [|| Person::Merged { into: 2, seen: 2 }, || Person::Gone] {
        let sql = Connection::open_in_memory().unwrap();
        schema::migrate(&sql).unwrap();
        let mut recent = Recent::read(&sql).unwrap();
        let commit = |recent: &mut Recent, is_idle| {
            recent.write(&sql, is_idle).unwrap();
            recent.committed(is_idle);
        };
        recent.set_person(VisitorId(1), changed(&many, Presence::New, false));
        commit(&mut recent, false);
        recent.set_person(VisitorId(1), changed(&many, Presence::Here, true));
        commit(&mut recent, false);
        recent.set_person(VisitorId(1), end());
        (10..3_000).for_each(|id| recent.set_person(VisitorId(id), changed(&nobody(id), Presence::Here, false)));
        commit(&mut recent, true);
        // The next moves some, those with the lowest numbers first.
        commit(&mut recent, true);
        let whole = "SELECT count(*) FROM visitor WHERE id = 1 AND data IS NOT NULL";
        assert_eq!(sql.query_row(whole, [], |row| row.get::<_, i64>(0)).unwrap(), 0, "it is moved");
        assert!(recent.is_unmoved(), "and others are not");
        let read = Recent::read(&sql).unwrap();
        assert!(matches!(read.person(VisitorId(1)), Some(Person::Merged { into: 2, .. } | Person::Gone)));
        assert!(read.is_unmoved());
    }
}

#[tokio::test]
async fn the_sweep_takes_old_clicks_of_whom_it_leaves_the_untimed_by_when_they_were_sent() {
    let folder = Folder::new();
    let store = folder.open();
    let untimed = |n, value| {
        let mut one = said(n, Some(value));
        one.clicks[0].time = None;
        one
    };
    let came =
        vec![said(10, Some("old")), untimed(11, "old, untimed"), said(200, Some("timed")), untimed(201, "untimed")];
    admit(&store, came, now(300)).await;
    store.settled().await;
    let limits = SweepLimits { now: now(400), log_before: now(0), clicks_before: now(100) };
    while store.sweep(limits).await.unwrap() {}
    let left = store.first_visitor().await;
    assert_eq!(left.clicks.iter().map(|click| &*click.value).collect::<Vec<_>>(), ["timed", "untimed"]);
}
