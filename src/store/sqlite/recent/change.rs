//! How changes are written into a row of `change`: a line each, its kind first.
//!
//! Refuses: applying them.

use std::fmt::Write as _;
use std::str::SplitN;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::{KeyRow, Layer, Person, VisitorRow, bytes_of};
use crate::model::click::Click;
use crate::model::ids::VisitorId;
use crate::model::visitor::Visitor;
use crate::store::{StoreError, rows};

/// All changes of `layer`.
pub(super) fn write(layer: &Layer) -> String {
    let mut out = String::with_capacity(layer.keys.len() * 64 + layer.persons.len() * 1024);
    for (hash, row) in &layer.keys {
        match row {
            Some(KeyRow { value, until }) => line(&mut out, format_args!("k {hash} {value} {until}")),
            None => line(&mut out, format_args!("-k {hash}")),
        }
    }
    for (id, person) in &layer.persons {
        match person {
            Person::Kept { row: of, .. } => row(&mut out, *id, of),
            Person::Large { visitor, seen, same_clicks: true, .. } => {
                line(&mut out, format_args!("h {id} {seen} {}", rows::write_visitor_but_clicks(visitor)));
            }
            Person::Large { visitor, seen, same_clicks: false, .. } => {
                row(&mut out, *id, &VisitorRow::of(visitor, *seen))
            }
            Person::Changed { .. } => unreachable!("rows were made of those that changed"),
            Person::Merged { into, seen } => line(&mut out, format_args!("m {id} {seen} {into}")),
            Person::Gone => line(&mut out, format_args!("-v {id}")),
        }
    }
    out
}

fn row(out: &mut String, id: i64, VisitorRow { seen, oldest, data }: &VisitorRow) {
    let oldest = oldest.map_or_else(|| "-".to_owned(), |oldest| oldest.to_string());
    line(out, format_args!("v {id} {seen} {oldest} {data}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes all that is written");
}

/// Puts the changes of one row over those of the rows before, and of the tables.
pub(super) fn read(sql: &Connection, body: &str, layer: &mut Layer) -> Result<(), StoreError> {
    body.lines().try_for_each(|line| {
        read_line(sql, line, layer)?.ok_or_else(|| StoreError::Failed("a stored change can't be read".to_owned()))
    })
}

/// `None`: it is no line of ours.
fn read_line(sql: &Connection, line: &str, layer: &mut Layer) -> Result<Option<()>, StoreError> {
    let mut parts = line.splitn(5, ' ');
    let (Some(kind), Some(id)) = (parts.next(), number(&mut parts)) else { return Ok(None) };
    match kind {
        "k" => {
            let (Some(value), Some(until)) = (number(&mut parts), number(&mut parts)) else { return Ok(None) };
            layer.keys.insert(id, Some(KeyRow { value, until }));
        }
        "-k" => drop(layer.keys.insert(id, None)),
        "v" => {
            let (Some(seen), Some(oldest), Some(data)) = (number(&mut parts), parts.next(), parts.next()) else {
                return Ok(None);
            };
            let row = VisitorRow { seen, oldest: oldest.parse().ok(), data: data.into() };
            layer.persons.insert(id, Person::Kept { row, visitor: None });
        }
        "h" => {
            let Some(seen) = number(&mut parts) else { return Ok(None) };
            // Of what is left, only the first blank parts anything.
            let data = line.splitn(4, ' ').nth(3).unwrap_or_default();
            let Some(clicks) = clicks_so_far(sql, id, layer)? else { return Ok(None) };
            let visitor = Arc::new(Visitor { clicks, ..rows::read_visitor(VisitorId(id), data)? });
            let bytes = bytes_of(&visitor.clicks);
            layer.persons.insert(id, Person::Large { visitor, seen, same_clicks: false, bytes });
        }
        "m" => {
            let (Some(seen), Some(into)) = (number(&mut parts), number(&mut parts)) else { return Ok(None) };
            layer.persons.insert(id, Person::Merged { into, seen });
        }
        "-v" => drop(layer.persons.insert(id, Person::Gone)),
        _ => return Ok(None),
    }
    Ok(Some(()))
}

/// A visitor's clicks before a change that says nothing of them. Where later changes were moved to the table already, it says
/// what they left: other clicks, or no visitor any more. Their lines follow, and are read over this.
fn clicks_so_far(sql: &Connection, id: i64, layer: &Layer) -> Result<Option<Arc<Vec<Click>>>, StoreError> {
    let of_row = |data: &str| Ok(Some(rows::read_visitor(VisitorId(id), data)?.clicks));
    match layer.persons.get(&id) {
        Some(Person::Large { visitor, .. } | Person::Changed { visitor, .. }) => Ok(Some(visitor.clicks.clone())),
        Some(Person::Kept { row, .. }) => of_row(&row.data),
        Some(Person::Merged { .. } | Person::Gone) => Ok(None),
        None => {
            let mut select = sql.prepare_cached("SELECT data FROM visitor WHERE id = ?1")?;
            let data: Option<Option<String>> = select.query_row([id], |row| row.get(0)).optional()?;
            data.flatten().map_or_else(|| Ok(Some(Arc::default())), |data| of_row(&data))
        }
    }
}

fn number(parts: &mut SplitN<'_, char>) -> Option<i64> {
    parts.next()?.parse().ok()
}
