//! A generation of changes on its way to the tables, a bounded number with each commit.
//!
//! Refuses: deciding when a generation is full.

use rusqlite::Connection;
use rustc_hash::FxHashMap;

use super::{CLICKS_PER_STEP, ClicksApart, KeyRow, Layer, Person, VisitorRow};
use crate::store::rows;

/// A generation of changes on its way to the tables, in the order of its keys and visitors.
#[derive(Debug)]
pub(super) struct Moving {
    keys: Vec<(i64, Option<KeyRow>)>,
    persons: Vec<(i64, Person)>,
    clicks: Vec<(i64, ClicksApart)>,
    /// What is in its table, and what will be with the transaction under way.
    done: Done,
    after: Done,
    /// What all of them take.
    steps: usize,
    /// Up to this row `change` is their record.
    pub last_change: i64,
}

/// How many of each kind: first keys, then visitors, then their clicks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Done {
    keys: usize,
    persons: usize,
    clicks: usize,
}

impl Moving {
    pub(super) fn new(layer: Layer, last_change: i64) -> Self {
        let (keys, persons, clicks) = (sorted(layer.keys), sorted(layer.persons), sorted(layer.clicks));
        let of_persons: usize = persons.iter().map(|(_, person)| person.steps()).sum();
        let of_clicks: usize = clicks.iter().map(|(_, clicks)| steps_of(clicks)).sum();
        let steps = keys.len() + of_persons + of_clicks;
        Self { keys, persons, clicks, done: Done::default(), after: Done::default(), steps, last_change }
    }

    pub(super) fn key(&self, hash: i64) -> Option<&Option<KeyRow>> {
        found(&self.keys, hash)
    }

    pub(super) fn person(&self, id: i64) -> Option<&Person> {
        found(&self.persons, id)
    }

    pub(super) fn clicks(&self, visitor: i64) -> Option<&ClicksApart> {
        found(&self.clicks, visitor)
    }

    /// All keys, but those that were taken away.
    pub(super) fn keys(&self) -> impl Iterator<Item = i64> {
        super::present(self.keys.iter().map(|(hash, row)| (hash, row)))
    }

    /// How many steps all of it takes.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    fn all(&self) -> Done {
        Done { keys: self.keys.len(), persons: self.persons.len(), clicks: self.clicks.len() }
    }

    /// What is done after so many steps more, the last of which may be a long one.
    fn done_after(&self, steps: usize) -> Done {
        let Done { keys, persons, clicks } = self.done;
        let mut left = steps;
        Done {
            keys: keys + taken(&self.keys[keys..], &mut left, |_| 1),
            persons: persons + taken(&self.persons[persons..], &mut left, Person::steps),
            clicks: clicks + taken(&self.clicks[clicks..], &mut left, steps_of),
        }
    }

    /// Moves as many as so many steps take; with the last of them goes their record.
    pub(super) fn move_on(&mut self, sql: &Connection, steps: usize) -> rusqlite::Result<()> {
        self.after = self.done_after(steps);
        let (done, after) = (self.done, self.after);
        move_keys(sql, &self.keys[done.keys..after.keys])?;
        move_persons(sql, &self.persons[done.persons..after.persons])?;
        move_clicks(sql, &self.clicks[done.clicks..after.clicks])?;
        if after == self.all() {
            sql.prepare_cached("DELETE FROM change WHERE id <= ?1")?.execute([self.last_change])?;
        }
        Ok(())
    }

    /// The transaction is on the disk. Whether all are in their tables.
    pub(super) fn committed(&mut self) -> bool {
        self.done = self.after;
        self.done == self.all()
    }

    /// The transaction was undone.
    pub(super) fn rolled_back(&mut self) {
        self.after = self.done;
    }
}

fn move_keys(sql: &Connection, keys: &[(i64, Option<KeyRow>)]) -> rusqlite::Result<()> {
    let mut set = sql.prepare_cached("INSERT OR REPLACE INTO key (hash, value, until) VALUES (?1, ?2, ?3)")?;
    let mut remove = sql.prepare_cached("DELETE FROM key WHERE hash = ?1")?;
    for (hash, row) in keys {
        match row {
            Some(KeyRow { value, until }) => set.execute((hash, value, until))?,
            None => remove.execute([hash])?,
        };
    }
    Ok(())
}

fn move_persons(sql: &Connection, persons: &[(i64, Person)]) -> rusqlite::Result<()> {
    let mut keep = sql.prepare_cached(
        "INSERT OR REPLACE INTO visitor (id, merged_into, seen, oldest, data) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut forget = sql.prepare_cached("DELETE FROM visitor WHERE id = ?1")?;
    for (id, person) in persons {
        match person {
            Person::Kept { row: VisitorRow { seen, oldest, data }, .. } => {
                keep.execute((id, None::<i64>, seen, oldest, data))?
            }
            Person::Changed { .. } => unreachable!("only what is committed is moved"),
            Person::Merged { into, seen } => keep.execute((id, into, seen, None::<i64>, None::<&str>))?,
            Person::Gone => forget.execute([id])?,
        };
    }
    Ok(())
}

fn move_clicks(sql: &Connection, clicks: &[(i64, ClicksApart)]) -> rusqlite::Result<()> {
    let mut set = sql.prepare_cached("INSERT OR REPLACE INTO clicks (visitor, data) VALUES (?1, ?2)")?;
    let mut remove = sql.prepare_cached("DELETE FROM clicks WHERE visitor = ?1")?;
    for (visitor, clicks) in clicks {
        match clicks {
            Some(clicks) => set.execute((visitor, rows::write_clicks(clicks)))?,
            None => remove.execute([visitor])?,
        };
    }
    Ok(())
}

fn sorted<T>(changes: FxHashMap<i64, T>) -> Vec<(i64, T)> {
    let mut changes: Vec<_> = changes.into_iter().collect();
    changes.sort_unstable_by_key(|(id, _)| *id);
    changes
}

fn found<T>(changes: &[(i64, T)], id: i64) -> Option<&T> {
    changes.binary_search_by_key(&id, |(of, _)| *of).ok().map(|at| &changes[at].1)
}

/// How many of these are moved by the steps that are left.
fn taken<T>(changes: &[(i64, T)], left: &mut usize, steps: impl Fn(&T) -> usize) -> usize {
    let has_room = |(_, change): &&(i64, T)| {
        let before = std::mem::replace(left, left.saturating_sub(steps(change)));
        before != 0
    };
    changes.iter().take_while(has_room).count()
}

/// How many keys take as long to move.
fn steps_of(clicks: &ClicksApart) -> usize {
    1 + clicks.as_ref().map_or(0, |clicks| clicks.len() / CLICKS_PER_STEP)
}
