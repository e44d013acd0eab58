//! The least that a loop which may lose nothing must keep: one row of an event before it is acknowledged, one of its outcome
//! before its slot is free, many in one commit.
//!
//! Refuses: finding anything again. There is no index, no repeat is noticed, nothing is decided.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};

use rusqlite::Connection;
use tokio::sync::oneshot;

/// Rows that share a commit at most.
const ROWS_PER_COMMIT_MAX: usize = 1024;

enum Row {
    /// What came, as it came.
    Event(i64, Vec<u8>),
    /// What was asked for, and the status that was answered.
    Outcome(i64, String, u16),
}

/// What is to be kept, and who waits for it; he is told what went wrong.
type Asked = (Row, oneshot::Sender<Result<(), String>>);

pub struct Store(Sender<Asked>);

impl Store {
    pub fn create(folder: &Path) -> anyhow::Result<Self> {
        let sql = Connection::open(folder.join("bare.db"))?;
        // Each commit is synced: in this mode SQLite does it itself.
        sql.execute_batch(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE event (id INTEGER PRIMARY KEY, body BLOB NOT NULL);
             CREATE TABLE outcome (id INTEGER PRIMARY KEY, request TEXT NOT NULL, status INTEGER NOT NULL);",
        )?;
        let (send, asked) = channel();
        std::thread::Builder::new().name("bare-store".to_owned()).spawn(move || work(&sql, &asked))?;
        Ok(Self(send))
    }

    /// Answers when the event is on the disk.
    pub async fn event(&self, id: i64, body: Vec<u8>) -> anyhow::Result<()> {
        self.write(Row::Event(id, body)).await
    }

    /// Answers when the outcome is on the disk.
    pub async fn outcome(&self, id: i64, request: String, status: u16) -> anyhow::Result<()> {
        self.write(Row::Outcome(id, request, status)).await
    }

    async fn write(&self, row: Row) -> anyhow::Result<()> {
        let (done, answer) = oneshot::channel();
        self.0.send((row, done)).map_err(|_| anyhow::anyhow!("the store has ended"))?;
        answer.await?.map_err(anyhow::Error::msg)
    }
}

/// Until nobody asks any more, or something went wrong.
fn work(sql: &Connection, asked: &Receiver<Asked>) {
    while let Ok(first) = asked.recv() {
        let group: Vec<Asked> = std::iter::once(first).chain(asked.try_iter()).take(ROWS_PER_COMMIT_MAX).collect();
        let result = commit(sql, &group).map_err(|error| error.to_string());
        for (_, done) in group {
            done.send(result.clone()).ok();
        }
        if result.is_err() {
            return;
        }
    }
}

fn commit(sql: &Connection, group: &[Asked]) -> rusqlite::Result<()> {
    let run = |statement| sql.prepare_cached(statement)?.execute([]);
    run("BEGIN IMMEDIATE")?;
    for (row, _) in group {
        match row {
            Row::Event(id, body) => {
                sql.prepare_cached("INSERT INTO event (id, body) VALUES (?1, ?2)")?.execute((id, body))?
            }
            Row::Outcome(id, request, status) => sql
                .prepare_cached("INSERT INTO outcome (id, request, status) VALUES (?1, ?2, ?3)")?
                .execute((id, request, status))?,
        };
    }
    run("COMMIT").map(drop)
}
