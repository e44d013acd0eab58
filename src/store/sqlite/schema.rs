//! The tables, and how an older store becomes one of this version.
//!
//! Refuses: data. A migration that must move rows says so in its own statements.
//!
//! Lean by layout: an event that is delivered at the first attempt costs one row of `event`, a share of one row of `change`
//! (its key and what its visitor gained; all changes of one commit), and a share of one row of `entry` (the log entries of
//! up to 64 neighbouring events in one commit). A `delivery` row stands only where the story is longer than *sent and
//! accepted*.

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
",
"
    -- All keyed hashes in one table, so that what is moved here in order meets as few pages as can be. An event's number,
    -- or a visitor's; 0 is *as long as that visitor stands*.
    CREATE TABLE key (hash INTEGER PRIMARY KEY, value INTEGER NOT NULL, until INTEGER NOT NULL);
    INSERT OR IGNORE INTO key SELECT hash, seq, until FROM event_key;
    INSERT OR IGNORE INTO key SELECT hash, visitor, 0 FROM identifier;
    INSERT OR IGNORE INTO key SELECT hash, 0, until FROM claim;
    INSERT OR REPLACE INTO meta (key, value) SELECT 'book', '0 0 0 '
        || (1 + max(coalesce((SELECT max(seq) FROM event), 0), coalesce((SELECT max(seq) FROM event_key), 0),
                    coalesce((SELECT value - 1 FROM meta WHERE key = 'frontier'), 0),
                    coalesce((SELECT max(block) * 64 + 63 FROM entry), 0))) || ' '
        || (1 + max(coalesce((SELECT max(id) FROM visitor), 0), coalesce((SELECT max(visitor) FROM identifier), 0)));
    DROP TABLE event_key;
    DROP TABLE identifier;
    DROP TABLE claim;

    -- What changed among keys and visitors and is not in their tables yet.
    CREATE TABLE change (id INTEGER PRIMARY KEY, body TEXT NOT NULL);

    -- When the oldest click was made, so that retention need not read the rest.
    ALTER TABLE visitor RENAME TO visitor_before;
    CREATE TABLE visitor (
        id INTEGER PRIMARY KEY,
        merged_into INTEGER,
        seen INTEGER NOT NULL,
        oldest INTEGER,
        data TEXT
    );
    INSERT INTO visitor SELECT id, merged_into, seen, 0, data FROM visitor_before;
    DROP TABLE visitor_before;
",
"
    -- What came so far of events of which more is to come.
    CREATE TABLE part (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE INDEX part_seq ON part (seq);
",
"
    -- From here on `change` may tell of a visitor without its clicks, which a version of before could not read.
",
"
    -- Changes on record are read as this version writes them; 0.1.0 left none.
    CREATE TEMP TABLE unread (changes INTEGER
        CONSTRAINT [changes are on their way to their tables; run the version of before until it is idle] CHECK (changes = 0));
    INSERT INTO unread SELECT count(*) FROM change;
    DROP TABLE unread;

    -- The clicks of visitors who have many, which are written when they change; `visitor` then holds the rest.
    CREATE TABLE clicks (visitor INTEGER PRIMARY KEY, data TEXT NOT NULL);
    INSERT INTO clicks SELECT id, json_extract(data, '$.w') FROM visitor WHERE 16 <= json_array_length(data, '$.w.c');
    UPDATE visitor SET data = json_remove(data, '$.w') WHERE id IN (SELECT visitor FROM clicks);
"];

/// Settings of a connection that writes. `NORMAL`: who makes commits durable is the syncer, before anyone is told. What the log
/// grew beyond 64 MB under a long read is given back afterwards.
///
/// Pages of 8 KiB hold some six of the rows that an event leaves behind, SQLite's usual ones of 4 KiB three: half as many are
/// written and copied, each of which is a system call or two. A store keeps the pages that it was made with.
pub(super) const WRITER: &str = "
    PRAGMA page_size = 8192;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA journal_size_limit = 67108864;
    PRAGMA cache_size = -6144;
    PRAGMA temp_store = MEMORY;
";

/// Settings of a connection that only reads.
pub(super) const READER: &str = "PRAGMA query_only = ON; PRAGMA cache_size = -2048;";

/// Brings the store up to date, all or nothing: one that can't be upgraded is left to the version before. What is copied on the way
/// leaves nothing behind in free pages: an erasure looks for nobody there.
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
    if version == MIGRATIONS.len() {
        return Ok(());
    }
    let steps = MIGRATIONS[version..].concat();
    let all = format!(
        "PRAGMA secure_delete = ON; BEGIN IMMEDIATE; {steps} PRAGMA user_version = {}; COMMIT; PRAGMA secure_delete = OFF;",
        MIGRATIONS.len()
    );
    connection.execute_batch(&all).map_err(|e| {
        drop(connection.execute_batch("ROLLBACK; PRAGMA secure_delete = OFF;"));
        e.to_string()
    })
}
