//! How changes are written into a row of `change`: a line each, its kind first.
//!
//! Refuses: applying them.

use std::fmt::Write as _;
use std::str::SplitN;
use std::sync::Arc;

use super::{KeyRow, Layer, Person, VisitorRow};
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
            Person::Kept { row: VisitorRow { seen, oldest, data }, .. } => {
                let oldest = oldest.map_or_else(|| "-".to_owned(), |oldest| oldest.to_string());
                line(&mut out, format_args!("v {id} {seen} {oldest} {data}"));
            }
            Person::Changed { .. } => unreachable!("rows were made of those that changed"),
            Person::Merged { into, seen } => line(&mut out, format_args!("m {id} {seen} {into}")),
            Person::Gone => line(&mut out, format_args!("-v {id}")),
        }
    }
    for (visitor, clicks) in &layer.clicks {
        match clicks {
            Some(clicks) => line(&mut out, format_args!("c {visitor} {}", rows::write_clicks(clicks))),
            None => line(&mut out, format_args!("-c {visitor}")),
        }
    }
    out
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    writeln!(out, "{text}").expect("a String takes all that is written");
}

/// Puts the changes of one row over those of the rows before.
pub(super) fn read(body: &str, layer: &mut Layer) -> Result<(), StoreError> {
    body.lines().try_for_each(|line| {
        read_line(line, layer)?.ok_or_else(|| StoreError::Failed("a stored change can't be read".to_owned()))
    })
}

/// `None`: it is no line of ours.
fn read_line(line: &str, layer: &mut Layer) -> Result<Option<()>, StoreError> {
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
            layer.persons.insert(id, Person::Kept { row, visitor: None, bytes: 0 });
        }
        "c" => {
            // Of what is left, only the first blank parts anything.
            let data = line.splitn(3, ' ').nth(2).unwrap_or_default();
            layer.clicks.insert(id, Some(Arc::new(rows::read_clicks(data)?)));
        }
        "-c" => drop(layer.clicks.insert(id, None)),
        "m" => {
            let (Some(seen), Some(into)) = (number(&mut parts), number(&mut parts)) else { return Ok(None) };
            layer.persons.insert(id, Person::Merged { into, seen });
        }
        "-v" => drop(layer.persons.insert(id, Person::Gone)),
        _ => return Ok(None),
    }
    Ok(Some(()))
}

fn number(parts: &mut SplitN<'_, char>) -> Option<i64> {
    parts.next()?.parse().ok()
}
