//! Visitors and what leads to them: looked up by identifier, loaded, saved, merged.
//!
//! Refuses: deciding who is who.

use std::sync::Arc;

use rusqlite::OptionalExtension;

use super::recent::{FOR_VISITOR, KeyRow, Person, Presence};
use super::writer::Tx;
use crate::model::click::Click;
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
    tx: &mut Tx<'_>,
    container: &str,
    identifier: &Identifier,
) -> Result<(i64, Option<VisitorId>), StoreError> {
    let hash = tx.keys.identifier(container, identifier);
    let Some(first) = tx.recent.key(tx.sql, hash)? else { return Ok((hash, None)) };
    let first = VisitorId(first.value);
    let Some(id) = survivor(tx, first)? else { return Ok((hash, None)) };
    if id != first {
        attach(tx, hash, id);
    }
    Ok((hash, Some(id)))
}

/// Who has taken over the visitor `id`, directly or by way of others; `None` if nobody is left.
pub(super) fn survivor(tx: &Tx<'_>, mut id: VisitorId) -> Result<Option<VisitorId>, StoreError> {
    for _ in 0..MERGES_FOLLOWED_MAX {
        let into = match tx.recent.person(id) {
            Some(Person::Changed { .. } | Person::Kept { .. }) => return Ok(Some(id)),
            Some(Person::Gone) => return Ok(None),
            Some(Person::Merged { into, .. }) => Some(*into),
            None => {
                let mut next = tx.sql.prepare_cached("SELECT merged_into FROM visitor WHERE id = ?1")?;
                match next.query_row([id.0], |row| row.get::<_, Option<i64>>(0)).optional()? {
                    None => return Ok(None),
                    Some(into) => into,
                }
            }
        };
        match into {
            None => return Ok(Some(id)),
            Some(into) => id = VisitorId(into),
        }
    }
    Err(StoreError::Failed(format!("visitor {} is merged in a circle", id.0)))
}

/// All that is remembered of `id`.
pub(super) fn load(tx: &Tx<'_>, id: VisitorId) -> Result<Arc<Visitor>, StoreError> {
    match tx.recent.person(id) {
        Some(Person::Changed { visitor, .. } | Person::Kept { visitor: Some(visitor), .. }) => {
            return Ok(visitor.clone());
        }
        Some(Person::Kept { row, .. }) => return whole(tx, rows::read_visitor(id, &row.data)?),
        Some(Person::Merged { .. } | Person::Gone) => {
            return Err(StoreError::Failed(format!("visitor {} is no more", id.0)));
        }
        None => {}
    }
    let mut select = tx.sql.prepare_cached("SELECT data FROM visitor WHERE id = ?1")?;
    let row = select.query_row([id.0], |row| Ok(rows::read_visitor(id, row.get_ref(0)?.as_str()?)))?;
    whole(tx, row?)
}

/// A visitor with its clicks, also where they lie apart.
fn whole(tx: &Tx<'_>, (mut visitor, is_apart): (Visitor, bool)) -> Result<Arc<Visitor>, StoreError> {
    if is_apart {
        visitor.clicks = tx.recent.clicks(tx.sql, visitor.id)?;
    }
    Ok(Arc::new(visitor))
}

/// Keeps `visitor` as it is now; `loaded` are its clicks as they were [loaded](load), none if it was not.
pub(super) fn save(tx: &mut Tx<'_>, visitor: Arc<Visitor>, loaded: &Arc<Vec<Click>>, seen: i64, presence: Presence) {
    let (were_apart, are_apart) = (rows::are_apart(loaded), rows::are_apart(&visitor.clicks));
    if (were_apart || are_apart) && !Arc::ptr_eq(loaded, &visitor.clicks) {
        tx.recent.set_clicks(visitor.id, are_apart.then(|| visitor.clicks.clone()));
    }
    tx.recent.set_person(visitor.id, Person::Changed { visitor, seen, presence });
}

/// Points `hash` at `visitor`.
pub(super) fn attach(tx: &mut Tx<'_>, hash: i64, visitor: VisitorId) {
    tx.recent.set_key(hash, KeyRow { value: visitor.0, until: FOR_VISITOR });
}

/// Everything of `others` becomes `into`'s; true where that gives it a click.
pub(super) fn merge(
    tx: &mut Tx<'_>,
    planner: &dyn Planner,
    into: &mut Arc<Visitor>,
    others: &[VisitorId],
    now_ms: i64,
) -> Result<bool, StoreError> {
    let mut gained = false;
    for other in others {
        let from = load(tx, *other)?;
        gained |= planner.merge(Arc::make_mut(into), Arc::unwrap_or_clone(from));
        tx.recent.set_person(*other, Person::Merged { into: into.id.0, seen: now_ms });
        tx.sql.prepare_cached("UPDATE delivery SET visitor = ?2 WHERE visitor = ?1")?.execute((other.0, into.id.0))?;
    }
    Ok(gained)
}
