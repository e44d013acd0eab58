//! Where an erased person stands in the tables: visitors, identifiers, events, and what others know of it.
//!
//! Refuses: writing, and an index by visitor. Each event would pay for it, and nobody is erased often.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rusqlite::Connection;

use crate::model::event::Event;
use crate::model::facts::{Facts, Known};
use crate::model::identifier::Identifier;
use crate::model::ids::{Seq, StoreTag, VisitorId};
use crate::model::time::Time;
use crate::model::visitor::Visitor;
use crate::store::rows::{self, StoredDelivery};
use crate::store::sqlite::keys::Keys;
use crate::store::sqlite::partial;
use crate::store::sqlite::recent::FOR_VISITOR;
use crate::store::{Planner, StoreError};

/// Rows looked at by one question.
const ROWS_PER_LOOK: i64 = 5_000;

/// What was found among some rows, and where to go on; `None` at the end.
pub(super) struct Page<T> {
    pub found: Vec<T>,
    pub next: Option<i64>,
}

/// What is on record of erasures that were begun and are not finished.
#[derive(Clone, Debug, Default)]
pub(super) struct Begun {
    /// Rows of `meta` as they were found.
    pub rows: Vec<(String, String)>,
    visitors: Vec<i64>,
    /// Identifiers by hash.
    values: HashMap<i64, Before>,
}

/// When the erasure of an identifier was begun: what was said after that is a new beginning. Events go by when they were
/// received, visitors by who was first seen before.
#[derive(Clone, Copy, Debug)]
struct Before {
    time: Time,
    visitor: VisitorId,
}

/// How `meta` names a visitor or an identifier under erasure.
const VISITOR: &str = "erasing visitor ";
const VALUE: &str = "erasing value ";

impl Begun {
    pub(super) fn read(sql: &Connection) -> Result<Self, StoreError> {
        let mut select = sql.prepare("SELECT key, CAST(value AS TEXT) FROM meta WHERE key LIKE 'erasing %'")?;
        let rows: Vec<(String, String)> =
            select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        let mut begun = Self { rows, ..Self::default() };
        for (key, value) in &begun.rows {
            let mut numbers = value.split(' ').filter_map(|number| number.parse().ok());
            if let Some(id) = key.strip_prefix(VISITOR) {
                begun.visitors.extend(id.parse::<i64>());
            } else if let (Some(hash), Some(time), Some(visitor)) =
                (key.strip_prefix(VALUE).and_then(|hash| hash.parse().ok()), numbers.next(), numbers.next())
            {
                begun.values.insert(hash, Before { time: Time::from_ms(time), visitor: VisitorId(visitor) });
            }
        }
        Ok(begun)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn note_visitor(sql: &Connection, id: VisitorId) -> Result<(), StoreError> {
        let key = format!("{VISITOR}{}", id.0);
        sql.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, '')", [key])?;
        Ok(())
    }

    /// Notes an identifier; visitors from `next` on are first seen after this.
    pub(super) fn note_value(sql: &Connection, hash: i64, now: Time, next: VisitorId) -> Result<(), StoreError> {
        let (key, value) = (format!("{VALUE}{hash}"), format!("{} {}", now.ms(), next.0));
        sql.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)", (key, value))?;
        Ok(())
    }

    /// Whether the erasure of any of these was begun and is not finished.
    pub(super) fn is_under_way(sql: &Connection, hashes: &[i64]) -> Result<bool, StoreError> {
        let mut select = sql.prepare_cached("SELECT 1 FROM meta WHERE key = ?1")?;
        for hash in hashes {
            if select.exists([format!("{VALUE}{hash}")])? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Who is looked for.
#[derive(Clone)]
pub(super) struct Traces {
    /// All whom the erased visitors have taken over, themselves included.
    pub persons: Arc<HashSet<i64>>,
    values: Arc<HashMap<i64, Before>>,
    keys: Keys,
    tag: StoreTag,
    planner: Arc<dyn Planner>,
}

impl Traces {
    pub(super) fn of(
        sql: &Connection,
        begun: &Begun,
        keys: Keys,
        tag: StoreTag,
        planner: Arc<dyn Planner>,
    ) -> Result<Self, StoreError> {
        let mut taken: HashMap<i64, Vec<i64>> = HashMap::new();
        let mut merged = sql.prepare("SELECT id, merged_into FROM visitor WHERE merged_into IS NOT NULL")?;
        let mut found = merged.query([])?;
        while let Some(row) = found.next()? {
            taken.entry(row.get(1)?).or_default().push(row.get(0)?);
        }
        let mut persons = begun.visitors.clone();
        let mut at = 0;
        while let Some(id) = persons.get(at) {
            persons.extend(taken.remove(id).unwrap_or_default());
            at += 1;
        }
        let persons = Arc::new(persons.into_iter().collect());
        Ok(Self { persons, values: Arc::new(begun.values.clone()), keys, tag, planner })
    }

    /// Hashes of the identifiers that lead to any of them.
    pub(super) fn identifiers(&self, sql: &Connection) -> Result<Vec<i64>, StoreError> {
        let persons: Vec<String> = self.persons.iter().map(ToString::to_string).collect();
        let list = format!("[{}]", persons.join(","));
        let mut leading =
            sql.prepare("SELECT hash FROM key WHERE until = ?1 AND value IN (SELECT value FROM json_each(?2))")?;
        Ok(leading.query_map((FOR_VISITOR, list), |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// Events of theirs among the next [`ROWS_PER_LOOK`] from `from` on.
    pub(super) fn events(&self, sql: &Connection, from: i64) -> Result<Page<i64>, StoreError> {
        let newest: i64 = sql.query_row("SELECT coalesce(max(seq), 0) FROM event", [], |row| row.get(0))?;
        let next = from + ROWS_PER_LOOK;
        let mut select =
            sql.prepare_cached("SELECT seq, deliveries, facts FROM event WHERE ?1 <= seq AND seq < ?2 ORDER BY seq")?;
        let mut found = select.query((from, next))?;
        let mut seqs = Vec::new();
        while let Some(row) = found.next()? {
            let seq = Seq(row.get(0)?);
            let text = |at: usize| row.get_ref(at)?.as_str().map_err(rusqlite::Error::from);
            let facts = rows::read_facts(seq, text(2)?)?;
            if self.is_of(sql, &facts, || Ok(rows::read_deliveries(self.tag, seq, text(1)?)?))? {
                seqs.push(seq.0);
            }
        }
        Ok(Page { found: seqs, next: (next <= newest).then_some(next) })
    }

    /// Whether an event is one of theirs: their visitor's, or one in which an erased value stands.
    fn is_of(
        &self,
        sql: &Connection,
        facts: &Facts,
        deliveries: impl FnOnce() -> Result<Vec<StoredDelivery>, StoreError>,
    ) -> Result<bool, StoreError> {
        if self.persons.contains(&facts.visitor.0) {
            return Ok(true);
        }
        if self.values.is_empty() {
            return Ok(false);
        }
        let deliveries = deliveries()?;
        let later = deliveries.iter().filter_map(|stored| Some(&stored.later.as_ref()?.known));
        let known: Vec<&Known> = std::iter::once(&facts.known).chain(later).collect();
        // What an earlier part has said may stand in it alone.
        let parts = if facts.event.is_partial { partial::parts(sql, facts.seq)? } else { Vec::new() };
        let names = |event: &Event, known: &[&Known]| {
            let is_erased = |before: &Before| event.received <= before.time;
            self.planner.named(event, known).iter().any(|it| self.before(&event.container, it).is_some_and(is_erased))
        };
        Ok(names(&facts.event, &known) || parts.iter().any(|part| names(part, &[])))
    }

    /// Takes the erased values out of what is known of `visitor`; whether there were any.
    pub(super) fn take_from(&self, visitor: &mut Visitor) -> bool {
        let (container, id) = (visitor.container.clone(), visitor.id);
        let is_erased = |before: &Before| id < before.visitor;
        self.planner.forget(visitor, &|identifier| self.before(&container, identifier).is_some_and(is_erased))
    }

    /// Before what this identifier is erased, if it is.
    fn before(&self, container: &str, identifier: &Identifier) -> Option<&Before> {
        self.values.get(&self.keys.identifier(container, identifier))
    }

    /// Other visitors who know an erased value, with when each was last seen, among the next [`ROWS_PER_LOOK`] after `after`.
    pub(super) fn others(&self, sql: &Connection, after: i64) -> Result<Page<(VisitorId, i64)>, StoreError> {
        let mut select = sql.prepare_cached(
            "SELECT id, seen, data FROM visitor WHERE ?1 < id AND data IS NOT NULL ORDER BY id LIMIT ?2",
        )?;
        let mut found = select.query((after, ROWS_PER_LOOK))?;
        let (mut others, mut count, mut last) = (Vec::new(), 0, after);
        while let Some(row) = found.next()? {
            (count, last) = (count + 1, row.get(0)?);
            let id = VisitorId(last);
            // Its clicks name nobody.
            let (mut visitor, _) = rows::read_visitor(id, row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?)?;
            if !self.persons.contains(&last) && self.take_from(&mut visitor) {
                others.push((id, row.get(1)?));
            }
        }
        Ok(Page { found: others, next: (count == ROWS_PER_LOOK).then_some(last) })
    }
}
