//! Which keys the table `key` may hold, or will once they are moved there: a Bloom filter of them, in memory.
//!
//! Most keys of most events are new. To learn from the table that it lacks one costs a walk down its tree, which in a great
//! store ends at the disk. The filter is made beside the work, from the table as it is found; until that is done, whoever
//! asks is sent to the table.
//!
//! Refuses: knowing that a key is there. It only knows, of nearly all that are not, that they are not.

use fastbloom::BloomFilter;
use rusqlite::Connection;

use crate::store::StoreError;

/// Bits for each key: one of a hundred keys that are not there is looked for all the same.
const BITS_PER_KEY: usize = 10;

/// Bits of the filter: 1 MiB for a store of up to some 800,000 keys, doubled as it fills. At 32 MiB, from some 27 million keys
/// on, it no longer grows, and sends to the table ever more often.
const BITS_MIN: usize = 8 << 20;
const BITS_MAX: usize = 256 << 20;

/// Keys read from the table beside a commit, besides two for each change that it adds: some tenth of a millisecond.
const READ_PER_COMMIT: usize = 500;

/// Keys read at the start, and at once while nothing else is asked for: some milliseconds.
pub(super) const READ_AT_ONCE: usize = 20_000;

/// See the module.
#[derive(Debug)]
pub(super) struct Stored {
    filter: BloomFilter,
    added: usize,
    /// The lowest key that has not been read from the table; `None`: all have.
    read_from: Option<i64>,
}

impl Default for Stored {
    fn default() -> Self {
        Self::with_bits(BITS_MIN)
    }
}

impl Stored {
    fn with_bits(bits: usize) -> Self {
        let filter = BloomFilter::with_num_bits(bits).expected_items(bits / BITS_PER_KEY);
        Self { filter, added: 0, read_from: Some(i64::MIN) }
    }

    /// Whether there surely is no such key, neither in the table nor on the way to it.
    pub(super) fn lacks(&self, hash: i64) -> bool {
        self.read_from.is_none() && !self.filter.contains_hash(hash.cast_unsigned())
    }

    /// A key has come that the table will get.
    pub(super) fn add(&mut self, hash: i64) {
        self.added += usize::from(!self.filter.insert_hash(hash.cast_unsigned()));
    }

    /// Whether it holds more keys than it was made for, and may still grow.
    pub(super) fn is_full(&self) -> bool {
        let bits = self.filter.num_bits();
        bits / BITS_PER_KEY < self.added && bits < BITS_MAX
    }

    /// Begins anew with twice the room. The table is read once more; whoever knows of keys on the way to it adds them.
    pub(super) fn grow(&mut self) {
        *self = Self::with_bits(self.filter.num_bits() * 2);
    }

    pub(super) fn is_whole(&self) -> bool {
        self.read_from.is_none()
    }

    /// Goes on reading the table beside a commit that adds so many changes. Each comes to the table once, so reading is faster.
    pub(super) fn read_beside(&mut self, sql: &Connection, added: usize) -> Result<(), StoreError> {
        self.read_on(sql, READ_PER_COMMIT + 2 * added)
    }

    /// Goes on reading the table, so many keys.
    pub(super) fn read_on(&mut self, sql: &Connection, limit: usize) -> Result<(), StoreError> {
        let Some(from) = self.read_from else { return Ok(()) };
        let mut select = sql.prepare_cached("SELECT hash FROM key WHERE ?1 <= hash ORDER BY hash LIMIT ?2")?;
        let found = select.query_map((from, i64::try_from(limit).unwrap_or(i64::MAX)), |row| row.get(0))?;
        let found: Vec<i64> = found.collect::<Result<_, _>>()?;
        found.iter().for_each(|hash| self.add(*hash));
        self.read_from = found.last().filter(|_| limit <= found.len()).and_then(|last| last.checked_add(1));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::hash;
    use super::*;

    fn table(keys: i64) -> Connection {
        let sql = Connection::open_in_memory().expect("opens");
        sql.execute_batch("CREATE TABLE key (hash INTEGER PRIMARY KEY)").expect("is made");
        let mut insert = sql.prepare("INSERT INTO key VALUES (?1)").expect("prepares");
        for n in 0..keys {
            insert.execute([hash(n)]).expect("inserts");
        }
        drop(insert);
        sql
    }

    #[test]
    fn nothing_is_known_until_the_table_has_been_read() {
        let sql = table(1200);
        let mut stored = Stored::default();
        for _ in 0..3 {
            assert!(!stored.is_whole());
            assert!((0..3000).all(|n| !stored.lacks(hash(n))));
            stored.read_beside(&sql, 0).expect("reads");
        }
        assert!(stored.is_whole());
        assert!((0..1200).all(|n| !stored.lacks(hash(n))), "what is there is never denied");
        let denied = (1200..11_200).filter(|n| stored.lacks(hash(*n))).count();
        assert!(9_800 < denied, "{denied} of 10,000 that are not there");
        stored.add(hash(5000));
        assert!(!stored.lacks(hash(5000)));
    }

    #[test]
    fn a_filter_that_fills_is_made_anew_from_the_table() {
        let sql = table(100);
        let mut stored = Stored::default();
        stored.read_on(&sql, READ_AT_ONCE).expect("reads");
        assert!(stored.is_whole());
        let full = i64::try_from(BITS_MIN / BITS_PER_KEY).expect("is small");
        let mut keys = (0..full * 2).map(hash);
        while !stored.is_full() {
            stored.add(keys.next().expect("twice as many do not fit"));
        }
        stored.grow();
        assert_eq!(stored.filter.num_bits(), BITS_MIN * 2);
        assert!(!stored.lacks(hash(i64::MAX)), "nothing is denied meanwhile");
        stored.read_on(&sql, READ_AT_ONCE).expect("reads");
        assert!(stored.is_whole());
        assert!((0..100).all(|n| !stored.lacks(hash(n))));
    }
}
