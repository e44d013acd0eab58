//! What recent commits changed among keys and visitors: in memory, with the table `change` as its record.
//!
//! A key is a hash, so keys that come together lie apart in their table: written at once, each costs a page of the log. So
//! a commit appends what it changed to `change`, in one row, and the changes are moved to their tables later, in order
//! and a bounded number with each commit, when one page takes many of them and a visitor's views have become one row. Whoever
//! asks is answered from memory first. After a crash, `change` is read back. Visitors are numbered as they come, so those who
//! come for the first time lie together, and are written at once.
//!
//! Refuses: meaning. It knows no event and no rule; what a key leads to is its callers' business. And nobody else writes
//! the tables `key` and `visitor`, or a change read back could undo what they did.

mod change;
mod stored;

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use self::stored::{READ_AT_ONCE, Stored};
use crate::model::ids::VisitorId;
use crate::model::visitor::Visitor;
use crate::store::{StoreError, rows};

/// Changes after which those gathered are moved to their tables: some thousand events, so that a page takes several, and
/// few enough to be read back at once and held twice in some ten megabytes.
const MOVED_FROM: usize = 20_000;

/// The same, by the size of their record.
const MOVED_FROM_BYTES: usize = 16_000_000;

/// Moved with each commit, besides two for each that the commit adds: so the last of one generation is in its table
/// before the next is full, and no commit is much longer than another.
const MOVED_PER_COMMIT: usize = 64;

/// Moved at once while nothing else is asked for: some milliseconds, which is how long who asks then may have to wait.
const MOVED_WHEN_IDLE: usize = 1_000;

/// What a hash leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyRow {
    /// An event's number, or a visitor's.
    pub value: i64,
    /// Milliseconds since the epoch; [`FOR_VISITOR`] where it stands as long as the visitor it leads to.
    pub until: i64,
}

/// See [`KeyRow::until`].
pub(super) const FOR_VISITOR: i64 = 0;

/// A visitor, or what has become of one. `seen` is when the last event came, in milliseconds since the epoch.
#[derive(Debug)]
pub(super) enum Person {
    /// Changed by the transaction under way.
    Changed {
        visitor: Arc<Visitor>,
        seen: i64,
        presence: Presence,
    },
    /// As it was committed: its row, and itself where it may be asked for soon. Else the row is enough: what a visitor is
    /// made of takes three times the room.
    Kept {
        row: VisitorRow,
        visitor: Option<Arc<Visitor>>,
    },
    /// Taken over by another.
    Merged {
        into: i64,
        seen: i64,
    },
    Gone,
}

/// Why a visitor changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It has come for the first time: no table has it.
    New,
    /// It has come again, and may do so soon.
    Here,
    /// Something of it was taken away, by whoever looks after the store.
    Away,
}

/// What the table holds of a visitor.
#[derive(Debug)]
pub(super) struct VisitorRow {
    pub seen: i64,
    /// When the oldest click was made, in milliseconds since the epoch.
    pub oldest: Option<i64>,
    pub data: Box<str>,
}

impl VisitorRow {
    fn of(visitor: &Visitor, seen: i64) -> Self {
        let oldest = visitor.clicks.iter().map(|click| click.time.unwrap_or(click.seen).ms()).min();
        Self { seen, oldest, data: rows::write_visitor(visitor).into() }
    }
}

/// Changes, the last of each key and visitor. A key that is `None` was taken away.
#[derive(Debug, Default)]
struct Layer {
    keys: HashMap<i64, Option<KeyRow>>,
    persons: HashMap<i64, Person>,
}

impl Layer {
    /// Takes out the visitors that no table has yet, in the order of their numbers.
    fn newcomers(&mut self) -> Vec<(i64, VisitorRow)> {
        let is_new = |_: &i64, person: &mut Person| matches!(person, Person::Changed { presence: Presence::New, .. });
        let rows = self.persons.extract_if(is_new).filter_map(|(id, person)| match person {
            Person::Changed { visitor, seen, .. } => Some((id, VisitorRow::of(&visitor, seen))),
            Person::Kept { .. } | Person::Merged { .. } | Person::Gone => None,
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_unstable_by_key(|(id, _)| *id);
        rows
    }

    /// Makes rows of the visitors that changed.
    fn keep(&mut self) {
        for person in self.persons.values_mut() {
            if let Person::Changed { visitor, seen, presence } = person {
                let row = VisitorRow::of(visitor, *seen);
                *person = Person::Kept { row, visitor: (*presence == Presence::Here).then(|| visitor.clone()) };
            }
        }
    }

    fn len(&self) -> usize {
        self.keys.len() + self.persons.len()
    }
}

/// A generation of changes on its way to the tables, in the order of its keys and visitors.
#[derive(Debug)]
struct Moving {
    keys: Vec<(i64, Option<KeyRow>)>,
    persons: Vec<(i64, Person)>,
    /// How many are in their tables: keys first, then visitors.
    done: usize,
    /// How many this transaction adds to them.
    under_way: usize,
    /// Up to this row `change` is their record.
    last_change: i64,
}

impl Moving {
    fn key(&self, hash: i64) -> Option<&Option<KeyRow>> {
        self.keys.binary_search_by_key(&hash, |(key, _)| *key).ok().map(|at| &self.keys[at].1)
    }

    fn person(&self, id: i64) -> Option<&Person> {
        self.persons.binary_search_by_key(&id, |(key, _)| *key).ok().map(|at| &self.persons[at].1)
    }

    fn len(&self) -> usize {
        self.keys.len() + self.persons.len()
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Of the transaction under way.
    fresh: Layer,
    /// Committed, and in `change` alone.
    young: Layer,
    moving: Option<Moving>,
    /// The number of the last row of `change`, and bytes of those rows that are not on their way to the tables.
    last_change: i64,
    bytes: usize,
    /// Bytes that the transaction under way adds.
    fresh_bytes: usize,
    /// Up to this number, changes are in their tables and `change` holds none.
    moved: i64,
    /// Somebody waits for changes to be moved.
    is_hastened: bool,
    stored: Stored,
}

impl Recent {
    /// Reads back what a run before left in `change`.
    pub(super) fn read(sql: &Connection) -> Result<Self, StoreError> {
        let mut recent = Self::default();
        let mut select = sql.prepare("SELECT id, body FROM change ORDER BY id")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            if recent.last_change == 0 {
                recent.moved = row.get::<_, i64>(0)? - 1;
            }
            recent.last_change = row.get(0)?;
            let body = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
            recent.bytes += body.len();
            change::read(body, &mut recent.young)?;
        }
        recent.stored.read_on(sql, READ_AT_ONCE)?;
        Ok(recent)
    }

    /// The number of the last commit's changes.
    pub(super) fn last_change(&self) -> i64 {
        self.last_change
    }

    /// Whether the changes up to `upto` are in their tables; if not, they are moved with the coming commits, more at a time
    /// than otherwise.
    pub(super) fn hasten(&mut self, upto: i64) -> bool {
        let is_done = upto <= self.moved || !self.is_unmoved();
        self.is_hastened = !is_done;
        is_done
    }

    /// What `hash` leads to.
    pub(super) fn key(&self, sql: &Connection, hash: i64) -> Result<Option<KeyRow>, StoreError> {
        let known = self.fresh.keys.get(&hash).or_else(|| self.young.keys.get(&hash));
        if let Some(row) = known.or_else(|| self.moving.as_ref()?.key(hash)) {
            return Ok(*row);
        }
        if self.stored.lacks(hash) {
            return Ok(None);
        }
        let mut select = sql.prepare_cached("SELECT value, until FROM key WHERE hash = ?1")?;
        Ok(select.query_row([hash], |row| Ok(KeyRow { value: row.get(0)?, until: row.get(1)? })).optional()?)
    }

    pub(super) fn set_key(&mut self, hash: i64, row: KeyRow) {
        self.fresh.keys.insert(hash, Some(row));
    }

    pub(super) fn remove_key(&mut self, hash: i64) {
        self.fresh.keys.insert(hash, None);
    }

    /// The visitor `id`, if it changed lately. Else its table knows it.
    pub(super) fn person(&self, id: VisitorId) -> Option<&Person> {
        let known = self.fresh.persons.get(&id.0).or_else(|| self.young.persons.get(&id.0));
        known.or_else(|| self.moving.as_ref()?.person(id.0))
    }

    pub(super) fn set_person(&mut self, id: VisitorId, person: Person) {
        self.fresh.persons.insert(id.0, person);
    }

    /// The part that changes have in a transaction about to be committed.
    pub(super) fn write(&mut self, sql: &Connection, is_idle: bool) -> Result<(), StoreError> {
        let mut insert = sql.prepare_cached("INSERT INTO visitor (id, seen, oldest, data) VALUES (?1, ?2, ?3, ?4)")?;
        for (id, VisitorRow { seen, oldest, data }) in self.fresh.newcomers() {
            insert.execute((id, seen, oldest, data))?;
        }
        let added = self.fresh.len();
        if added != 0 {
            self.fresh.keep();
            let body = change::write(&self.fresh);
            self.fresh_bytes = body.len();
            sql.prepare_cached("INSERT INTO change (id, body) VALUES (?1, ?2)")?
                .execute((self.last_change + 1, body))?;
        }
        let mut moved = 0;
        if let Some(moving) = &mut self.moving {
            let many = is_idle || self.is_hastened;
            moved = if many { MOVED_WHEN_IDLE } else { added * 2 + MOVED_PER_COMMIT };
            move_some(sql, moving, &mut self.stored, moved)?;
        }
        self.stored.read_beside(sql, moved)
    }

    /// Uses an idle moment to learn which keys their table holds.
    pub(super) fn read_on(&mut self, sql: &Connection) -> Result<(), StoreError> {
        self.stored.read_on(sql, READ_AT_ONCE)
    }

    /// The transaction is on the disk.
    pub(super) fn committed(&mut self, is_idle: bool) {
        if self.fresh.len() != 0 {
            self.last_change += 1;
            self.bytes += self.fresh_bytes;
            self.young.keys.extend(self.fresh.keys.drain());
            self.young.persons.extend(self.fresh.persons.drain());
        }
        if let Some(moving) = &mut self.moving {
            moving.done += std::mem::take(&mut moving.under_way);
            if moving.done < moving.len() {
                return;
            }
            self.moved = moving.last_change;
            self.moving = None;
        }
        let is_full = MOVED_FROM <= self.young.len() || MOVED_FROM_BYTES <= self.bytes;
        if is_full || ((is_idle || self.is_hastened) && self.young.len() != 0) {
            self.set_moving();
        }
    }

    /// The transaction was undone.
    pub(super) fn rolled_back(&mut self) {
        self.fresh.keys.clear();
        self.fresh.persons.clear();
        if let Some(moving) = &mut self.moving {
            moving.under_way = 0;
        }
    }

    /// Whether there are changes that an idle moment could move.
    pub(super) fn is_unmoved(&self) -> bool {
        self.moving.is_some() || self.young.len() != 0
    }

    /// Whether there is anything to do in an idle moment.
    pub(super) fn is_behind(&self) -> bool {
        self.is_unmoved() || !self.stored.is_whole()
    }

    fn set_moving(&mut self) {
        let young = std::mem::take(&mut self.young);
        let mut keys: Vec<_> = young.keys.into_iter().collect();
        let mut persons: Vec<_> = young.persons.into_iter().collect();
        keys.sort_unstable_by_key(|(hash, _)| *hash);
        persons.sort_unstable_by_key(|(id, _)| *id);
        self.moving = Some(Moving { keys, persons, done: 0, under_way: 0, last_change: self.last_change });
        self.bytes = 0;
    }
}

/// Moves up to `count`; with the last of them goes their record.
fn move_some(sql: &Connection, moving: &mut Moving, stored: &mut Stored, count: usize) -> rusqlite::Result<()> {
    let end = moving.len().min(moving.done + count);
    let border = moving.keys.len();
    let mut set = sql.prepare_cached("INSERT OR REPLACE INTO key (hash, value, until) VALUES (?1, ?2, ?3)")?;
    let mut remove = sql.prepare_cached("DELETE FROM key WHERE hash = ?1")?;
    for (hash, row) in &moving.keys[moving.done.min(border)..end.min(border)] {
        match row {
            Some(KeyRow { value, until }) => {
                set.execute((hash, value, until))?;
                stored.add(*hash);
            }
            None => {
                remove.execute([hash])?;
            }
        }
    }
    let mut keep = sql.prepare_cached(
        "INSERT OR REPLACE INTO visitor (id, merged_into, seen, oldest, data) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut forget = sql.prepare_cached("DELETE FROM visitor WHERE id = ?1")?;
    for (id, person) in &moving.persons[moving.done.max(border) - border..end.max(border) - border] {
        match person {
            Person::Kept { row: VisitorRow { seen, oldest, data }, .. } => {
                keep.execute((id, None::<i64>, seen, oldest, data))?
            }
            Person::Changed { .. } => unreachable!("only what is committed is moved"),
            Person::Merged { into, seen } => keep.execute((id, into, seen, None::<i64>, None::<&str>))?,
            Person::Gone => forget.execute([id])?,
        };
    }
    if end == moving.len() {
        sql.prepare_cached("DELETE FROM change WHERE id <= ?1")?.execute([moving.last_change])?;
    }
    moving.under_way = end - moving.done;
    Ok(())
}
