//! The tables, and how an older store becomes one of this version.
//!
//! Refuses: data. A migration that must move rows says so in its own statements.
//!
//! Lean by layout: an event that is delivered at the first attempt costs one row of `event`, one of `event_key`, what
//! its visitor gained, and a share of one row of `entry` (the log entries of up to 64 neighbouring events in one commit).
//! A `delivery` row stands only where the story is longer than *sent and accepted*.

use rusqlite::Connection;

/// Each brings the store from the version of its place in the list to the next.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;

    -- What is known of a person. `merged_into` is set, and the data gone, where another visitor took everything over.
    CREATE TABLE visitor (
        id INTEGER PRIMARY KEY,
        merged_into INTEGER,
        seen INTEGER NOT NULL,
        data TEXT
    );
    -- Keyed hash of container, kind and value.
    CREATE TABLE identifier (hash INTEGER PRIMARY KEY, visitor INTEGER NOT NULL);

    -- Keyed hash of container, event name and event id. `seq` is that of the event's row if it has one; until a row of
    -- that number exists and carries the same id, it has none.
    CREATE TABLE event_key (hash INTEGER PRIMARY KEY, seq INTEGER NOT NULL, until INTEGER NOT NULL);
    -- Only events about which something was decided. `deliveries` first: scans need not read the rest.
    CREATE TABLE event (seq INTEGER PRIMARY KEY, received INTEGER NOT NULL, deliveries TEXT NOT NULL, facts TEXT NOT NULL);

    -- Log entries of the events seq / 64 = block, as lines.
    CREATE TABLE entry (id INTEGER PRIMARY KEY, block INTEGER NOT NULL, lines TEXT NOT NULL);
    CREATE INDEX entry_block ON entry (block);

    -- Deliveries that wait, are tried again, are held, or did not succeed.
    CREATE TABLE delivery (
        seq INTEGER NOT NULL,
        place INTEGER NOT NULL,
        connector TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT,
        due INTEGER NOT NULL,
        first_due INTEGER NOT NULL,
        attempts INTEGER NOT NULL,
        is_repeat INTEGER NOT NULL,
        started INTEGER,
        visitor INTEGER,
        PRIMARY KEY (seq, place)
    ) WITHOUT ROWID;
    CREATE INDEX delivery_due ON delivery (state, connector, due, seq, place);
    CREATE INDEX delivery_waiting ON delivery (due) WHERE state = 'waiting';
    CREATE INDEX delivery_visitor ON delivery (visitor) WHERE visitor IS NOT NULL;

    -- Keyed hash of connector and deduplication value.
    CREATE TABLE claim (hash INTEGER PRIMARY KEY, until INTEGER NOT NULL);

    CREATE TABLE seen (container TEXT NOT NULL, name TEXT NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (container, name))
        WITHOUT ROWID;
"];

/// Settings of a connection that writes. `FULL`: a commit is on the disk before anyone is told. The log is copied into
/// the database every 8,000 pages (32 MB), which keeps that work rare and the log small enough to reopen at once; what
/// it grew beyond 64 MB under a long read is given back afterwards.
pub(super) const WRITER: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 8000;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA cache_size = -32768;
    PRAGMA temp_store = MEMORY;
";

/// Settings of a connection that only reads.
pub(super) const READER: &str = "PRAGMA query_only = ON; PRAGMA cache_size = -4096;";

/// Brings the store up to date, each step in a transaction of its own.
///
/// # Errors
/// SQLite's, or the store was written by a later version.
pub(super) fn migrate(connection: &Connection) -> Result<(), String> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(|e| e.to_string())?;
    let version = usize::try_from(version).unwrap_or(usize::MAX);
    if MIGRATIONS.len() < version {
        return Err(format!(
            "it was written by a later postbackd (layout {version}, this one knows {}); run that version",
            MIGRATIONS.len()
        ));
    }
    for (done, step) in MIGRATIONS.iter().enumerate().skip(version) {
        connection
            .execute_batch(&format!("BEGIN IMMEDIATE; {step} PRAGMA user_version = {}; COMMIT;", done + 1))
            .map_err(|e| e.to_string())?;
    }
    Ok(())
}
