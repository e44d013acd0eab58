//! What recent commits changed among keys and visitors: in memory, with the table `change` as its record.
//!
//! A key is a hash, so keys that come together lie apart in their table: written at once, each costs a page of the log. So
//! a commit appends what it changed to `change`, in one row, and the changes are moved to their tables later, in order and a
//! bounded number with each commit that brings others, when one page takes many of them and a visitor's views have become one row.
//! Whoever asks is answered from memory first. After a crash, `change` is read back. Visitors are numbered as they come, so those who
//! come for the first time lie together, and are written at once.
//!
//! Refuses: meaning. It knows no event and no rule; what a key leads to is its callers' business. And nobody else writes
//! the tables `key`, `visitor` and `clicks`, or a change read back could undo what they did.

mod change;
mod moving;
mod person;
mod stored;

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use rustc_hash::FxHashMap;

use self::moving::Moving;
use self::person::VisitorRow;
pub(super) use self::person::{Person, Presence};
use self::stored::{READ_AT_ONCE, Stored};
use crate::model::click::Click;
use crate::model::ids::VisitorId;
use crate::store::{StoreError, rows};

/// Changes of keys after which those gathered are moved to their tables: of some ten thousand events, so that a page takes several
/// of them where the table has ten thousands of pages, and few enough to be read back at once and held twice in four megabytes. A
/// map of 65,536 places doubles beyond 57,344, so the last commit has room.
const MOVED_FROM_KEYS: usize = 55_000;

/// The same, by visitors, of whom each takes some kilobytes.
const MOVED_FROM_PERSONS: usize = 10_000;

/// The same, by the size of their record.
const MOVED_FROM_BYTES: usize = 16_000_000;

/// Bytes of memory that clicks may take which have not changed and may be asked for soon, of visitors who have many; beyond it they
/// are read again from their table. 24 MB are 80 visitors with a thousand usual clicks each. Those that changed are in memory
/// until they are moved, which [`MOVED_FROM_BYTES`] bounds.
const AT_HAND_MAX: usize = 24_000_000;

/// Moved with each commit that adds changes, besides twice the part of the generation on its way that the commit is of a full
/// one: so the last of one is in its table before the next is full, and no commit is much longer than another. What is large counts as
/// several.
const MOVED_PER_COMMIT: usize = 64;

/// After so many commits a generation is moved however small it is, and with any commit: retention passes over what is in memory,
/// and events may be rare where outcomes are many. Under load it is full after some hundred.
const LINGERS_FROM: usize = 4_096;

/// To write so many clicks takes as long as to move a key.
const CLICKS_PER_STEP: usize = 16;

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

/// The clicks of a visitor who has many; `None` where they are gone, or so few by now that the visitor's row holds them.
type ClicksApart = Option<Arc<Vec<Click>>>;

/// Changes, the last of each key and visitor. A key that is `None` was taken away. Keys are secretly hashed already and
/// visitors numbered by us, so nobody outside can make them collide.
#[derive(Debug, Default)]
struct Layer {
    keys: FxHashMap<i64, Option<KeyRow>>,
    persons: FxHashMap<i64, Person>,
    /// By visitor.
    clicks: FxHashMap<i64, ClicksApart>,
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

    /// Makes rows of the visitors that changed. `before` is what was committed lately.
    fn keep(&mut self, before: &Self) {
        for (id, person) in &mut self.persons {
            *person = match std::mem::replace(person, Person::Gone) {
                Person::Changed { visitor, seen, presence } => {
                    let have_changed = self.clicks.contains_key(id) || before.clicks.contains_key(id);
                    Person::kept(visitor, seen, presence, before.persons.get(id), have_changed)
                }
                other => other,
            };
        }
    }

    /// Lets go of visitors whose clicks are here for no other reason. Their rows stay.
    fn let_go(&mut self) {
        self.persons.values_mut().for_each(Person::let_go);
    }

    fn len(&self) -> usize {
        self.keys.len() + self.persons.len() + self.clicks.len()
    }
}

/// Keys, but for those that were taken away.
fn present<'k>(keys: impl IntoIterator<Item = (&'k i64, &'k Option<KeyRow>)>) -> impl Iterator<Item = i64> {
    keys.into_iter().filter(|(_, row)| row.is_some()).map(|(hash, _)| *hash)
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
    /// What the clicks take of memory that are here because they may be asked for soon, but for those on their way.
    at_hand: usize,
    /// Up to this number, changes are in their tables and `change` holds none.
    moved: i64,
    /// Somebody waits for changes up to this number to be moved.
    awaited: i64,
    /// Commits since a generation was set moving, or was moved.
    lingering: usize,
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
        present(&recent.young.keys).for_each(|hash| recent.stored.add(hash));
        recent.read_on(sql)?;
        Ok(recent)
    }

    /// The number of the last commit's changes.
    pub(super) fn last_change(&self) -> i64 {
        self.last_change
    }

    /// Whether the changes up to `upto` are in their tables; if not, they are moved with the coming commits, more at a time
    /// than otherwise.
    pub(super) fn hasten(&mut self, upto: i64) -> bool {
        self.awaited = self.awaited.max(upto);
        upto <= self.moved || !self.is_unmoved()
    }

    /// Whether somebody waits for changes to be moved.
    fn is_hastened(&self) -> bool {
        self.moved < self.awaited && self.is_unmoved()
    }

    /// What `hash` leads to.
    pub(super) fn key(&self, sql: &Connection, hash: i64) -> Result<Option<KeyRow>, StoreError> {
        if let Some(row) = self.fresh.keys.get(&hash) {
            return Ok(*row);
        }
        if self.stored.lacks(hash) {
            return Ok(None);
        }
        if let Some(row) = self.young.keys.get(&hash).or_else(|| self.moving.as_ref()?.key(hash)) {
            return Ok(*row);
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

    /// Whoever goes takes along its clicks.
    pub(super) fn set_person(&mut self, id: VisitorId, person: Person) {
        if matches!(person, Person::Merged { .. } | Person::Gone) {
            self.set_clicks(id, None);
        }
        self.fresh.persons.insert(id.0, person);
    }

    /// The clicks of a visitor whose row says that they lie apart.
    pub(super) fn clicks(&self, sql: &Connection, id: VisitorId) -> Result<Arc<Vec<Click>>, StoreError> {
        let known = self.fresh.clicks.get(&id.0).or_else(|| self.young.clicks.get(&id.0));
        let known = match known.or_else(|| self.moving.as_ref()?.clicks(id.0)) {
            Some(known) => known.clone(),
            None => {
                let mut select = sql.prepare_cached("SELECT data FROM clicks WHERE visitor = ?1")?;
                let clicks = select.query_row([id.0], |row| Ok(rows::read_clicks(row.get_ref(0)?.as_str()?)));
                clicks.optional()?.transpose()?.map(Arc::new)
            }
        };
        known.ok_or_else(|| StoreError::Failed(format!("the clicks of visitor {} are missing", id.0)))
    }

    pub(super) fn set_clicks(&mut self, id: VisitorId, clicks: ClicksApart) {
        self.fresh.clicks.insert(id.0, clicks);
    }

    /// The part that changes have in a transaction about to be committed.
    pub(super) fn write(&mut self, sql: &Connection, is_idle: bool) -> Result<(), StoreError> {
        let mut insert = sql.prepare_cached("INSERT INTO visitor (id, seen, oldest, data) VALUES (?1, ?2, ?3, ?4)")?;
        for (id, VisitorRow { seen, oldest, data }) in self.fresh.newcomers() {
            insert.execute((id, seen, oldest, data))?;
        }
        let added = self.fresh.len();
        self.fresh_bytes = 0;
        if added != 0 {
            self.fresh.keep(&self.young);
            let body = change::write(&self.fresh);
            self.fresh_bytes = body.len();
            sql.prepare_cached("INSERT INTO change (id, body) VALUES (?1, ?2)")?
                .execute((self.last_change + 1, body))?;
        }
        let many = is_idle || self.is_hastened();
        // For a commit of outcomes alone slots wait: the next events move what is to be moved.
        let moves = added != 0 || self.is_time(is_idle);
        let steps = self.moving.as_ref().map_or(0, Moving::steps);
        let steps = self.share_of_full(steps) * 2 + MOVED_PER_COMMIT;
        if let Some(moving) = self.moving.as_mut().filter(|_| moves) {
            moving.move_on(sql, if many { steps.max(MOVED_WHEN_IDLE) } else { steps })?;
        }
        self.stored.read_beside(sql, added)
    }

    /// Whether changes are moved though no event brings others.
    fn is_time(&self, is_idle: bool) -> bool {
        is_idle || self.is_hastened() || LINGERS_FROM <= self.lingering
    }

    /// Of a number, the part that the transaction under way is of a full generation.
    fn share_of_full(&self, whole: usize) -> usize {
        let added = [
            (self.fresh.keys.len(), MOVED_FROM_KEYS),
            (self.fresh.persons.len(), MOVED_FROM_PERSONS),
            (self.fresh_bytes, MOVED_FROM_BYTES),
        ];
        added.iter().map(|(added, full)| whole * added / full).max().unwrap_or(0)
    }

    /// Uses an idle moment to learn which keys their table holds.
    pub(super) fn read_on(&mut self, sql: &Connection) -> Result<(), StoreError> {
        self.stored.read_on(sql, READ_AT_ONCE)?;
        self.make_room();
        Ok(())
    }

    /// Gives the filter room for the keys that have come.
    fn make_room(&mut self) {
        if self.stored.is_full() {
            self.stored.grow();
            let moving = self.moving.iter().flat_map(Moving::keys);
            present(&self.young.keys).chain(moving).for_each(|hash| self.stored.add(hash));
        }
    }

    /// The transaction is on the disk.
    pub(super) fn committed(&mut self, is_idle: bool) {
        self.lingering += 1;
        if self.fresh.len() != 0 {
            self.last_change += 1;
            self.bytes += self.fresh_bytes;
            present(&self.fresh.keys).for_each(|hash| self.stored.add(hash));
            self.young.keys.extend(self.fresh.keys.drain());
            self.young.clicks.extend(self.fresh.clicks.drain());
            for (id, person) in self.fresh.persons.drain() {
                self.at_hand += person.at_hand();
                self.at_hand -= self.young.persons.insert(id, person).map_or(0, |before| before.at_hand());
            }
            if AT_HAND_MAX < self.at_hand {
                self.young.let_go();
                self.at_hand = 0;
            }
        }
        self.make_room();
        if let Some(moving) = &mut self.moving {
            if !moving.committed() {
                return;
            }
            self.moved = moving.last_change;
            self.moving = None;
            self.lingering = 0;
        }
        let is_full = MOVED_FROM_KEYS <= self.young.keys.len()
            || MOVED_FROM_PERSONS <= self.young.persons.len()
            || MOVED_FROM_BYTES <= self.bytes;
        if is_full || (self.is_time(is_idle) && self.young.len() != 0) {
            self.set_moving();
        }
    }

    /// The transaction was undone.
    pub(super) fn rolled_back(&mut self) {
        self.fresh.keys.clear();
        self.fresh.persons.clear();
        self.fresh.clicks.clear();
        if let Some(moving) = &mut self.moving {
            moving.rolled_back();
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
        self.moving = Some(Moving::new(std::mem::take(&mut self.young), self.last_change));
        (self.bytes, self.at_hand, self.lingering) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests;
