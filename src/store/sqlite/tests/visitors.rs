//! Visitors with many clicks, which lie apart; and with old ones.

use super::*;
use crate::store::rows;
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

    /// Rows of clicks that lie apart.
    async fn lists_of_clicks(&self) -> i64 {
        self.count("clicks").await
    }
}

#[tokio::test]
async fn a_visitor_is_what_it_learned_wherever_its_clicks_lie() {
    let folder = Folder::new();
    let mut store = folder.open();
    let mut visitor = Visitor::new(VisitorId(1), "shop".into());
    for n in 0..120 {
        // Once there are many, every third event brings another.
        let click = (n < MANY || n % 3 == 0).then(|| format!("c{n}"));
        let two = [said(n, click.as_deref()), said(n + 1_000, None)];
        for one in &two {
            Sample.remember(&mut visitor, one);
        }
        admit(&store, two.into(), now(0)).await;
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
    store.settled().await;
    assert_eq!(store.lists_of_clicks().await, 1);
}

#[tokio::test]
async fn an_event_that_brings_no_click_writes_none_however_many_there_are() {
    let folder = Folder::new();
    let store = folder.open();
    let landings = (0..1_000).map(|n| said(n, Some(&format!("c{n}")))).collect();
    admit(&store, landings, now(0)).await;
    store.settled().await;
    let row = "SELECT max(length(data)) FROM visitor";
    for n in 2_000..2_020 {
        admit(&store, vec![said(n, None)], now(0)).await;
    }
    let longest = "SELECT coalesce(max(length(body)), 0) FROM change";
    for (of, sql) in [("visitor's row", row), ("change", longest)] {
        let bytes: i64 = store.read(move |db| Ok(db.query_row(sql, [], |row| row.get(0))?)).await.unwrap();
        assert!(bytes < 2_000, "{bytes} bytes of a {of}");
    }
    assert_eq!(store.first_visitor().await.clicks.len(), 1_000);
}

#[tokio::test]
async fn an_event_in_parts_that_stays_whose_it_was_writes_no_click() {
    let folder = Folder::new();
    let store = folder.open();
    let landings = (0..1_000).map(|n| said(n, Some(&format!("c{n}")))).collect();
    admit(&store, landings, now(0)).await;
    let part = |is_partial| Event { is_partial, ..event("Lead", "in parts") };
    admit(&store, vec![candidate(part(true), "s", None)], now(0)).await;
    store.settled().await;
    // The rest names nobody, and tells something about the visitor.
    let mut rest = part(false);
    rest.texts.set(Field::Email, "ann@example.com");
    let rest = Candidate { event: Arc::new(rest), identifiers: Vec::new(), clicks: Vec::new() };
    admit(&store, vec![rest], now(0)).await;
    let told: i64 = store
        .read(|sql| Ok(sql.query_row("SELECT max(length(body)) FROM change", [], |row| row.get(0))?))
        .await
        .unwrap();
    assert!(told < 2_000, "{told} bytes");
    let visitor = store.first_visitor().await;
    assert_eq!((visitor.clicks.len(), visitor.facts.len()), (1_000, 1));
}

#[tokio::test]
async fn who_goes_takes_along_the_clicks_that_lie_apart() {
    let folder = Folder::new();
    let store = folder.open();
    let landings = |session: &'static str, first: usize| {
        let landing = move |n: usize| candidate(said(n, None).event.as_ref().clone(), session, Some(&format!("c{n}")));
        (first..first + MANY).map(landing).collect::<Vec<_>>()
    };
    admit(&store, landings("s", 0), now(300)).await;
    admit(&store, landings("t", MANY), now(300)).await;
    store.settled().await;
    assert_eq!(store.lists_of_clicks().await, 2);
    // An event that names both makes one of them.
    let mut both = candidate(said(2_000, None).event.as_ref().clone(), "s", None);
    both.identifiers.push(Identifier { kind: IdentifierKind::SessionId, value: "t".into() });
    admit(&store, vec![both], now(300)).await;
    store.settled().await;
    assert_eq!((store.lists_of_clicks().await, store.first_visitor().await.clicks.len()), (1, 2 * MANY));
    // Retention leaves so few that the visitor's row holds them.
    let limits = SweepLimits { now: now(400), log_before: now(0), clicks_before: now(75) };
    while store.sweep(limits).await.unwrap() {}
    store.settled().await;
    assert_eq!((store.lists_of_clicks().await, store.first_visitor().await.clicks.len()), (0, 5));
    // And what has many again is erased whole.
    admit(&store, landings("s", 200), now(300)).await;
    store.settled().await;
    assert_eq!(store.lists_of_clicks().await, 1);
    let session = Identifier { kind: IdentifierKind::SessionId, value: "s".into() };
    let erased = store.erase("shop".into(), vec![session], Arc::new(Sample), now(500), MINUTE).await.unwrap().unwrap();
    assert_eq!((erased.clicks, store.lists_of_clicks().await), (u64::try_from(MANY).unwrap() + 5, 0));
}

/// A visitor with many clicks, and then its end, which has come to the tables while the record of both is still there.
#[test]
fn a_start_reads_changes_of_somebody_whose_end_is_in_the_table_already() {
    let nobody = |id| Arc::new(Visitor::new(VisitorId(id), "shop".into()));
    let mut many = Visitor::new(VisitorId(1), "shop".into());
    for n in 0..MANY {
        Sample.remember(&mut many, &said(n, Some(&format!("c{n}"))));
    }
    let many = Arc::new(many);
    let changed =
        |visitor: &Arc<Visitor>| Person::Changed { visitor: visitor.clone(), seen: 1, presence: Presence::Here };
    for end in [|| Person::Merged { into: 2, seen: 2 }, || Person::Gone] {
        let sql = Connection::open_in_memory().unwrap();
        schema::migrate(&sql).unwrap();
        let mut recent = Recent::read(&sql).unwrap();
        let commit = |recent: &mut Recent| {
            recent.write(&sql, true).unwrap();
            recent.committed(true);
        };
        let count =
            |of: &str| -> i64 { sql.query_row(&format!("SELECT count(*) FROM {of}"), [], |row| row.get(0)).unwrap() };
        recent.set_person(VisitorId(1), changed(&many));
        recent.set_clicks(VisitorId(1), Some(many.clicks.clone()));
        while {
            commit(&mut recent);
            recent.is_unmoved()
        } {}
        assert_eq!((count("visitor WHERE data IS NOT NULL"), count("clicks")), (1, 1));
        recent.set_person(VisitorId(1), end());
        (10..3_000).for_each(|id| recent.set_person(VisitorId(id), changed(&nobody(id))));
        commit(&mut recent);
        // The next moves some, those with the lowest numbers first, and visitors before clicks.
        commit(&mut recent);
        assert_eq!((count("visitor WHERE id = 1 AND data IS NOT NULL"), count("clicks")), (0, 1), "half is moved");
        assert!(recent.is_unmoved(), "and others are not");
        let mut read = Recent::read(&sql).unwrap();
        assert!(matches!(read.person(VisitorId(1)), Some(Person::Merged { into: 2, .. } | Person::Gone)));
        while {
            commit(&mut read);
            read.is_unmoved()
        } {}
        assert_eq!((count("visitor WHERE id = 1 AND data IS NOT NULL"), count("clicks"), count("change")), (0, 0, 0));
    }
}

/// As 0.1.0 has left it: many clicks, in the visitor's row.
#[test]
fn an_upgrade_lays_many_clicks_apart() {
    let sql = Connection::open_in_memory().unwrap();
    schema::migrate(&sql).unwrap();
    let click = |n: usize| format!(r#"["cid","c{n} \"é\" 😀",{n},{n},{at}]"#, at = n % 2);
    let row = |clicks: usize| {
        let list = (0..clicks).map(click).collect::<Vec<_>>().join(",");
        let landings =
            r#"["https://s.example/?a=1",null,"192.0.2.7","B"],["https://s.example/?a=2","r","192.0.2.7","B"]"#;
        format!(r#"{{"k":"shop","f":[],"s":[],"w":{{"l":[{landings}],"c":[{list}]}}}}"#)
    };
    for (id, clicks) in [(1, 15), (2, 16), (3, 1_000)] {
        sql.execute("INSERT INTO visitor (id, seen, oldest, data) VALUES (?1, 1, 0, ?2)", (id, row(clicks))).unwrap();
    }
    sql.execute("INSERT INTO visitor (id, merged_into, seen) VALUES (4, 1, 1)", []).unwrap();
    let before: Vec<Visitor> = [1, 2, 3].map(|id| read(&sql, id)).into();
    sql.execute_batch("DROP TABLE clicks; PRAGMA user_version = 4").unwrap();
    schema::migrate(&sql).unwrap();
    assert_eq!([1, 2, 3].map(|id| read(&sql, id)).to_vec(), before);
    assert_eq!(before[2].clicks.len(), 1_000);
    let apart = sql.query_row("SELECT group_concat(visitor) FROM clicks", [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(apart, "2,3");

    // What is still on its way is written as it was before, and not to be read; the store stays as it was.
    sql.execute_batch(
        "INSERT INTO change (body) VALUES (''); DROP TABLE clicks; DROP TABLE part; PRAGMA user_version = 2",
    )
    .unwrap();
    for _ in 0..2 {
        assert!(schema::migrate(&sql).unwrap_err().contains("run the version of before"));
        assert_eq!(sql.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0)).unwrap(), 2);
    }
    sql.execute_batch("DELETE FROM change").unwrap();
    schema::migrate(&sql).unwrap();
}

#[test]
fn an_upgrade_leaves_no_copy_in_free_pages() {
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.0).unwrap();
    let file = folder.0.join("before.db");
    let sql = Connection::open(&file).unwrap();
    schema::migrate(&sql).unwrap();
    let clicks = (0..1_000).map(|n| format!(r#"["cid","of-{n}-alone",{n},{n},0]"#)).collect::<Vec<_>>().join(",");
    let row = format!(r#"{{"k":"shop","f":[],"s":[],"w":{{"l":[["",null,null,null]],"c":[{clicks}]}}}}"#);
    sql.execute("INSERT INTO visitor (id, seen, oldest, data) VALUES (1, 1, 0, ?1)", [row]).unwrap();
    sql.execute_batch("DROP TABLE clicks; PRAGMA user_version = 4").unwrap();
    schema::migrate(&sql).unwrap();
    drop(sql);
    let bytes = std::fs::read(file).unwrap();
    let count = |text: &str| bytes.windows(text.len()).filter(|at| *at == text.as_bytes()).count();
    let copies: Vec<usize> = [10, 500, 990].map(|n| count(&format!("of-{n}-alone"))).to_vec();
    assert_eq!(copies, [1, 1, 1]);
}

/// A visitor as the tables have it.
fn read(sql: &Connection, id: i64) -> Visitor {
    let data: String = sql.query_row("SELECT data FROM visitor WHERE id = ?1", [id], |row| row.get(0)).unwrap();
    let (visitor, is_apart) = rows::read_visitor(VisitorId(id), &data).unwrap();
    let clicks = is_apart.then(|| Recent::default().clicks(sql, VisitorId(id)).unwrap());
    Visitor { clicks: clicks.unwrap_or(visitor.clicks.clone()), ..visitor }
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
