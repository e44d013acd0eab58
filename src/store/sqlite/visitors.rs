//! Visitors and what leads to them: looked up by identifier, loaded, saved, merged.
//!
//! Refuses: deciding who is who.

use rusqlite::{Connection, OptionalExtension};

use super::writer::Tx;
use crate::model::identifier::Identifier;
use crate::model::ids::VisitorId;
use crate::model::visitor::Visitor;
use crate::store::rows;
use crate::store::{Planner, StoreError};

/// Merges followed from an identifier to its visitor. Each look-up shortens the way by repointing the identifier, so a
/// longer chain means that the table was tampered with.
const MERGES_FOLLOWED_MAX: usize = 1000;

/// The visitor that an identifier of `container` leads to, if it is known, with its hash.
pub(super) fn lookup(
    tx: &Tx<'_>,
    container: &str,
    identifier: &Identifier,
) -> Result<(i64, Option<VisitorId>), StoreError> {
    let hash = tx.keys.identifier(container, identifier);
    let found: Option<i64> = tx
        .sql
        .prepare_cached("SELECT visitor FROM identifier WHERE hash = ?1")?
        .query_row([hash], |row| row.get(0))
        .optional()?;
    let Some(first) = found else { return Ok((hash, None)) };
    let Some(id) = survivor(tx.sql, first)? else { return Ok((hash, None)) };
    if id != first {
        tx.sql.prepare_cached("UPDATE identifier SET visitor = ?2 WHERE hash = ?1")?.execute((hash, id))?;
    }
    Ok((hash, Some(VisitorId(id))))
}

/// Who has taken over the visitor `id`, directly or by way of others; `None` if nobody is left.
fn survivor(sql: &Connection, mut id: i64) -> Result<Option<i64>, StoreError> {
    let mut next = sql.prepare_cached("SELECT merged_into FROM visitor WHERE id = ?1")?;
    for _ in 0..MERGES_FOLLOWED_MAX {
        match next.query_row([id], |row| row.get::<_, Option<i64>>(0)).optional()? {
            None => return Ok(None),
            Some(None) => return Ok(Some(id)),
            Some(Some(into)) => id = into,
        }
    }
    Err(StoreError::Failed(format!("visitor {id} is merged in a circle")))
}

/// All that is remembered of `id`.
pub(super) fn load(sql: &Connection, id: VisitorId) -> Result<Visitor, StoreError> {
    let mut select = sql.prepare_cached("SELECT data FROM visitor WHERE id = ?1")?;
    let visitor = select.query_row([id.0], |row| Ok(rows::read_visitor(id, row.get_ref(0)?.as_str()?)))?;
    Ok(visitor?)
}

/// Writes `visitor`, which may be new.
pub(super) fn save(tx: &Tx<'_>, visitor: &Visitor, seen_ms: i64) -> Result<(), StoreError> {
    tx.sql.prepare_cached("INSERT OR REPLACE INTO visitor (id, seen, data) VALUES (?1, ?2, ?3)")?.execute((
        visitor.id.0,
        seen_ms,
        rows::write_visitor(visitor),
    ))?;
    Ok(())
}

/// Points `hash` at `visitor`.
pub(super) fn attach(tx: &Tx<'_>, hash: i64, visitor: VisitorId) -> Result<(), StoreError> {
    tx.sql
        .prepare_cached("INSERT OR REPLACE INTO identifier (hash, visitor) VALUES (?1, ?2)")?
        .execute((hash, visitor.0))?;
    Ok(())
}

/// Everything of `others` becomes `into`'s; true where that gives it a click.
pub(super) fn merge(
    tx: &Tx<'_>,
    planner: &dyn Planner,
    into: &mut Visitor,
    others: &[VisitorId],
) -> Result<bool, StoreError> {
    let mut gained = false;
    for other in others {
        let from = load(tx.sql, *other)?;
        gained |= planner.merge(into, from);
        tx.sql
            .prepare_cached("UPDATE visitor SET merged_into = ?2, data = NULL WHERE id = ?1")?
            .execute((other.0, into.id.0))?;
        tx.sql.prepare_cached("UPDATE delivery SET visitor = ?2 WHERE visitor = ?1")?.execute((other.0, into.id.0))?;
    }
    Ok(gained)
}
