//! A generation of changes on its way to the tables, a bounded number with each commit.
//!
//! Refuses: deciding when a generation is full.

use rusqlite::Connection;

use super::{KeyRow, Layer, Person, VisitorRow};

/// A generation of changes on its way to the tables, in the order of its keys and visitors.
#[derive(Debug)]
pub(super) struct Moving {
    keys: Vec<(i64, Option<KeyRow>)>,
    persons: Vec<(i64, Person)>,
    /// How many are in their tables: keys first, then visitors.
    done: usize,
    /// How many this transaction adds to them.
    under_way: usize,
    /// What all of them take.
    steps: usize,
    /// Up to this row `change` is their record.
    pub last_change: i64,
}

impl Moving {
    pub(super) fn new(layer: Layer, last_change: i64) -> Self {
        let mut keys: Vec<_> = layer.keys.into_iter().collect();
        let mut persons: Vec<_> = layer.persons.into_iter().collect();
        keys.sort_unstable_by_key(|(hash, _)| *hash);
        persons.sort_unstable_by_key(|(id, _)| *id);
        let steps = keys.len() + persons.iter().map(|(_, person)| person.steps()).sum::<usize>();
        Self { keys, persons, done: 0, under_way: 0, steps, last_change }
    }

    pub(super) fn key(&self, hash: i64) -> Option<&Option<KeyRow>> {
        self.keys.binary_search_by_key(&hash, |(key, _)| *key).ok().map(|at| &self.keys[at].1)
    }

    pub(super) fn person(&self, id: i64) -> Option<&Person> {
        self.persons.binary_search_by_key(&id, |(key, _)| *key).ok().map(|at| &self.persons[at].1)
    }

    /// All keys, but those that were taken away.
    pub(super) fn keys(&self) -> impl Iterator<Item = i64> {
        super::present(self.keys.iter().map(|(hash, row)| (hash, row)))
    }

    /// How many steps all of it takes.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    fn len(&self) -> usize {
        self.keys.len() + self.persons.len()
    }

    /// How many are done after so many steps more, and at least one more.
    fn done_after(&self, steps: usize) -> usize {
        let border = self.keys.len();
        let keys = border.saturating_sub(self.done).min(steps);
        let (mut at, mut left) = (self.done + keys, steps - keys);
        while border <= at && at < self.len() && (0 < left || at == self.done) {
            left = left.saturating_sub(self.persons[at - border].1.steps());
            at += 1;
        }
        at
    }

    /// Moves as many as so many steps take; with the last of them goes their record.
    pub(super) fn move_on(&mut self, sql: &Connection, steps: usize) -> rusqlite::Result<()> {
        let end = self.done_after(steps);
        let border = self.keys.len();
        let mut set = sql.prepare_cached("INSERT OR REPLACE INTO key (hash, value, until) VALUES (?1, ?2, ?3)")?;
        let mut remove = sql.prepare_cached("DELETE FROM key WHERE hash = ?1")?;
        for (hash, row) in &self.keys[self.done.min(border)..end.min(border)] {
            match row {
                Some(KeyRow { value, until }) => set.execute((hash, value, until))?,
                None => remove.execute([hash])?,
            };
        }
        let mut keep = sql.prepare_cached(
            "INSERT OR REPLACE INTO visitor (id, merged_into, seen, oldest, data) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?;
        let mut forget = sql.prepare_cached("DELETE FROM visitor WHERE id = ?1")?;
        for (id, person) in &self.persons[self.done.max(border) - border..end.max(border) - border] {
            match person {
                Person::Kept { row: VisitorRow { seen, oldest, data }, .. } => {
                    keep.execute((id, None::<i64>, seen, oldest, data))?
                }
                Person::Large { visitor, seen, .. } => {
                    let VisitorRow { seen, oldest, data } = VisitorRow::of(visitor, *seen);
                    keep.execute((id, None::<i64>, seen, oldest, data))?
                }
                Person::Changed { .. } => unreachable!("only what is committed is moved"),
                Person::Merged { into, seen } => keep.execute((id, into, seen, None::<i64>, None::<&str>))?,
                Person::Gone => forget.execute([id])?,
            };
        }
        if end == self.len() {
            sql.prepare_cached("DELETE FROM change WHERE id <= ?1")?.execute([self.last_change])?;
        }
        self.under_way = end - self.done;
        Ok(())
    }

    /// The transaction is on the disk. Whether all are in their tables.
    pub(super) fn committed(&mut self) -> bool {
        self.done += std::mem::take(&mut self.under_way);
        self.len() <= self.done
    }

    /// The transaction was undone.
    pub(super) fn rolled_back(&mut self) {
        self.under_way = 0;
    }
}
