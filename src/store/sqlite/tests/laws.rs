//! Visitors and their clicks are what was last said of them, whatever happened meanwhile to the store.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::store::sqlite::recent::{Person, Presence};
use crate::store::sqlite::visitors;
use crate::store::sqlite::writer::Tx;

/// People, of whom each is another visitor when it comes again after it was gone.
const PEOPLE: usize = 4;

/// From so many on, clicks lie apart.
const APART_FROM: usize = 16;

/// What one event does to somebody.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// It comes, for the first time or again, and brings so many clicks.
    Comes(usize),
    /// It loses all but so many clicks.
    Keeps(usize),
    Goes,
    JoinsNext,
}

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<(usize, Act)>),
    Undo(Vec<(usize, Act)>),
    StartAgain,
    Settle,
}

fn acts() -> impl Strategy<Value = Vec<(usize, Act)>> {
    let act = prop_oneof![
        6 => (0..20_usize).prop_map(Act::Comes),
        2 => (0..20_usize).prop_map(Act::Keeps),
        1 => Just(Act::Goes),
        1 => Just(Act::JoinsNext),
    ];
    proptest::collection::vec((0..PEOPLE, act), 0..6)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => acts().prop_map(Step::Commit),
        2 => acts().prop_map(Step::Undo),
        2 => Just(Step::StartAgain),
        1 => Just(Step::Settle),
    ];
    proptest::collection::vec(step, 1..24)
}

/// What is to be known: of each person the visitor it is now, and when its clicks were made.
#[derive(Clone, Debug, Default)]
struct Said {
    people: BTreeMap<usize, (i64, Vec<i64>)>,
    visitors: i64,
    clicks: i64,
}

impl Said {
    /// What is to be known once the store has gone through these. A task may be asked for more than once.
    fn after(&self, tx: &mut Tx<'_>, acts: &[(usize, Act)]) -> Result<Self, StoreError> {
        let mut said = self.clone();
        acts.iter().try_for_each(|(who, act)| said.act(tx, *who, *act))?;
        Ok(said)
    }

    fn act(&mut self, tx: &mut Tx<'_>, who: usize, act: Act) -> Result<(), StoreError> {
        let Some((id, times)) = self.people.get(&who).cloned() else {
            if let Act::Comes(clicks) = act {
                self.visitors += 1;
                let visitor = Visitor::new(VisitorId(self.visitors), "shop".into());
                self.save(tx, who, Arc::new(visitor), Presence::New, |said, times| times.extend(said.made(clicks)));
            }
            return Ok(());
        };
        let visitor = visitors::load(tx, VisitorId(id))?;
        assert_eq!(seen(&visitor), times, "before {act:?}");
        match act {
            Act::Comes(clicks) => {
                self.save(tx, who, visitor, Presence::Here, |said, times| times.extend(said.made(clicks)));
            }
            Act::Keeps(left) => self.save(tx, who, visitor, Presence::Away, |_, times| times.truncate(left)),
            Act::Goes => {
                tx.recent.set_person(VisitorId(id), Person::Gone);
                self.people.remove(&who);
            }
            Act::JoinsNext => {
                let next = (who + 1) % PEOPLE;
                let Some((into, _)) = self.people.get(&next).cloned() else { return Ok(()) };
                let mut joined = visitors::load(tx, VisitorId(into))?;
                let loaded = joined.clicks.clone();
                visitors::merge(tx, &Sample, &mut joined, &[VisitorId(id)], NOON)?;
                visitors::save(tx, joined.clone(), &loaded, NOON, Presence::Here);
                self.people.remove(&who);
                self.people.insert(next, (into, seen(&joined)));
            }
        }
        Ok(())
    }

    fn save(
        &mut self,
        tx: &mut Tx<'_>,
        who: usize,
        mut visitor: Arc<Visitor>,
        presence: Presence,
        change: impl FnOnce(&mut Self, &mut Vec<i64>),
    ) {
        let (loaded, before) = (visitor.clicks.clone(), seen(&visitor));
        let mut times = before.clone();
        change(self, &mut times);
        if times != before {
            Arc::make_mut(&mut visitor).clicks = Arc::new(times.iter().map(|time| click(*time)).collect());
        }
        self.people.insert(who, (visitor.id.0, times));
        visitors::save(tx, visitor, &loaded, NOON, presence);
    }

    /// So many clicks that nobody has made yet.
    fn made(&mut self, count: usize) -> Vec<i64> {
        let first = self.clicks;
        self.clicks += i64::try_from(count).unwrap();
        (first..self.clicks).collect()
    }
}

fn click(time: i64) -> Click {
    let time = Time::from_ms(time);
    let landing = Landing { url: format!("https://s.example/?cid={time:?} \n\"ä").into(), ..Landing::default() };
    Click { param: "cid".into(), value: "c".into(), time: Some(time), seen: time, landing: Arc::new(landing) }
}

fn seen(visitor: &Visitor) -> Vec<i64> {
    visitor.clicks.iter().map(|click| click.seen.ms()).collect()
}

async fn go_on(folder: &Folder, mut store: Store, said: &mut Said, step: Step) -> Store {
    match step {
        Step::Commit(acts) => {
            let before = said.clone();
            *said = store.write(move |tx| before.after(tx, &acts)).await.unwrap();
        }
        Step::Undo(acts) => {
            let before = said.clone();
            let undone = move |tx: &mut Tx<'_>| {
                before.after(tx, &acts)?;
                Err::<(), _>(StoreError::Failed("on purpose".to_owned()))
            };
            assert!(matches!(store.write(undone).await, Err(StoreError::Failed(why)) if why == "on purpose"));
        }
        Step::StartAgain => {
            drop(store);
            store = reopened(folder).await;
        }
        Step::Settle => {
            store.settled().await;
            let list = |sql: &'static str| {
                store.read(move |db| {
                    let mut select = db.prepare(sql)?;
                    Ok(select.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?)
                })
            };
            let mut alive: Vec<i64> = said.people.values().map(|(id, _)| *id).collect();
            let mut apart: Vec<i64> =
                said.people.values().filter(|(_, times)| APART_FROM <= times.len()).map(|(id, _)| *id).collect();
            alive.sort_unstable();
            apart.sort_unstable();
            assert_eq!(list("SELECT id FROM visitor WHERE data IS NOT NULL ORDER BY id").await.unwrap(), alive);
            assert_eq!(list("SELECT visitor FROM clicks ORDER BY visitor").await.unwrap(), apart);
        }
    }
    store
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_visitor_has_the_clicks_that_were_last_said_and_nobody_else_has_any(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let folder = Folder::new();
            let (mut store, mut said) = (folder.open(), Said::default());
            for step in steps.into_iter().chain([Step::StartAgain, Step::Settle]) {
                store = go_on(&folder, store, &mut said, step).await;
                let people: Vec<(i64, Vec<i64>)> = said.people.values().cloned().collect();
                let known = people.clone();
                let load = move |tx: &mut Tx<'_>| {
                    known.iter().map(|(id, _)| Ok((*id, seen(&*visitors::load(tx, VisitorId(*id))?)))).collect()
                };
                let found: Result<Vec<_>, StoreError> = store.write(load).await;
                assert_eq!(found.unwrap(), people);
            }
        });
    }
}
