//! What happened to deliveries after their decision: log entries, and the rows of those whose story goes on.
//!
//! Refuses: judging. The outcome is the lane's; here it is only made durable.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::writer::{Task, Tx};
use crate::model::delivery::{Reason, State};
use crate::model::ids::{ConnectorName, DeliveryId, Seq, VisitorId};
use crate::model::record::{Entry, Haste, Record};
use crate::model::time::Time;
use crate::store::entries;
use crate::store::{ReplaySelection, StoreError};

use super::{Replayed, ReplayedOne, read, wake};

type Reply = oneshot::Sender<Result<(), StoreError>>;

/// A record with its log line, which whoever brings it has written: the writer has enough to do.
pub(super) struct Lined {
    record: Arc<Record>,
    line: String,
}

impl Lined {
    pub(super) fn new(record: Arc<Record>) -> Self {
        let mut line = String::with_capacity(LINE_USUAL);
        let (seq, place) = (record.delivery.seq(), record.delivery.place());
        entries::write_entry(&mut line, seq, place, record.at, &record.entry);
        Self { record, line }
    }
}

/// Bytes of most log lines.
const LINE_USUAL: usize = 512;

/// Records that wait for the writer. It is told of the first, and of the first that is urgent, and takes with it those that came
/// meanwhile: attempts end one by one and are committed together.
#[derive(Default)]
pub(super) struct Outbox(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    records: Vec<(Lined, Reply)>,
    /// How many of them are urgent.
    urgent: usize,
}

impl Outbox {
    /// True where this is the first, or the first that is urgent, of which the writer must be told.
    pub(super) fn add(&self, record: Lined, haste: Haste, reply: Reply) -> bool {
        let mut waiting = self.lock();
        waiting.records.push((record, reply));
        let is_urgent = haste == Haste::Now;
        waiting.urgent += usize::from(is_urgent);
        waiting.records.len() == 1 || (is_urgent && waiting.urgent == 1)
    }

    /// How many wait, and how many of them are urgent.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.records.len(), waiting.urgent)
    }

    fn take_into(&self, taken: &mut Vec<(Lined, Reply)>) {
        let mut waiting = self.lock();
        taken.append(&mut waiting.records);
        waiting.urgent = 0;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that waits in the outbox when the writer comes to it. As a task it only tells the writer that there is
/// something.
pub(super) struct RecordAll {
    outbox: Arc<Outbox>,
    taken: Vec<(Lined, Reply)>,
}

impl RecordAll {
    pub(super) fn of(outbox: Arc<Outbox>) -> Self {
        Self { outbox, taken: Vec::new() }
    }
}

impl Task for RecordAll {
    fn is_outcomes(&self) -> bool {
        true
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        self.outbox.take_into(&mut self.taken);
        self.taken.iter().try_for_each(|(one, _)| record(tx, one))
    }

    fn finish(mut self: Box<Self>, result: Result<(), StoreError>) {
        // Refused before it ran, it still speaks for those that it was to take along.
        if result.is_err() && self.taken.is_empty() {
            self.outbox.take_into(&mut self.taken);
        }
        for (_, reply) in self.taken {
            // A caller who has gone away needs no answer.
            drop(reply.send(result.clone()));
        }
    }
}

/// Writes one entry and brings the delivery's row in line with it.
pub(super) fn record(tx: &mut Tx<'_>, Lined { record, line }: &Lined) -> Result<(), StoreError> {
    let (seq, place) = (record.delivery.seq(), record.delivery.place());
    if tx.withdrawn_before.contains(record.delivery) || tx.withdrawn.contains(&record.delivery) {
        // It was cancelled while it was on its way, and nothing of it may stand here again.
        return Ok(());
    }
    tx.lines_of(seq).push_str(line);
    let (state, reason, next) = record.entry.leaves();
    if let Entry::Started { number } = &record.entry {
        return start(tx, record, *number);
    }
    if state.is_final() {
        tx.counters.book.ended += 1;
    }
    match state {
        State::Delivered | State::Test | State::Skipped | State::Cancelled => {
            if record.on_record {
                tx.sql.prepare_cached("DELETE FROM delivery WHERE seq = ?1 AND place = ?2")?.execute((seq.0, place))?;
            }
            if matches!(state, State::Skipped | State::Cancelled) {
                release_claim(tx, record.delivery)?;
            }
            Ok(())
        }
        State::Pending | State::Held | State::Rejected | State::Dead | State::Waiting => {
            keep(tx, record, state, reason, next.unwrap_or(record.at))
        }
    }
}

/// The row of a delivery that is tried again, held, or did not succeed.
fn keep(tx: &Tx<'_>, record: &Record, state: State, reason: Option<Reason>, due: Time) -> Result<(), StoreError> {
    let (attempts, is_repeat) = match &record.entry {
        Entry::Attempted(attempt) => (Some(attempt.number), attempt.is_repeat || attempt.may_have_arrived),
        Entry::Started { .. } | Entry::Rendered(_) | Entry::Ended { .. } => {
            (None, state == State::Held || reason == Some(Reason::Uncertain))
        }
    };
    let mut upsert = tx.sql.prepare_cached(
        "INSERT INTO delivery (seq, place, connector, state, reason, due, first_due, attempts, is_repeat)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, coalesce(?8, 0), ?9)
         ON CONFLICT (seq, place) DO UPDATE SET
             state = excluded.state, reason = excluded.reason, due = excluded.due, started = NULL, visitor = NULL,
             attempts = coalesce(?8, attempts), is_repeat = is_repeat OR excluded.is_repeat",
    )?;
    upsert.execute((
        record.delivery.seq().0,
        record.delivery.place(),
        &*record.connector,
        state.word(),
        reason.map(Reason::word),
        due.ms(),
        record.first_due.ms(),
        attempts,
        is_repeat,
    ))?;
    Ok(())
}

/// An attempt is about to be made whose loss in a crash must be known.
fn start(tx: &Tx<'_>, record: &Record, number: u32) -> Result<(), StoreError> {
    let mut upsert = tx.sql.prepare_cached(
        "INSERT INTO delivery (seq, place, connector, state, due, first_due, attempts, is_repeat, started)
         VALUES (?1, ?2, ?3, 'pending', ?4, ?5, ?6 - 1, 0, ?6)
         ON CONFLICT (seq, place) DO UPDATE SET started = excluded.started",
    )?;
    upsert.execute((
        record.delivery.seq().0,
        record.delivery.place(),
        &*record.connector,
        record.at.ms(),
        record.first_due.ms(),
        number,
    ))?;
    Ok(())
}

/// What was skipped or cancelled holds no deduplication value; the other items of its event may hold it still.
fn release_claim(tx: &mut Tx<'_>, id: DeliveryId) -> Result<(), StoreError> {
    let (mut deliveries, _) = wake::load_event(tx, id.seq())?;
    let own = usize::try_from(id.place()).ok().and_then(|place| deliveries.get_mut(place));
    let Some(key) = own.and_then(|own| own.claim.take()) else { return Ok(()) };
    if deliveries.iter().any(|other| other.claim == Some(key)) {
        return wake::write_back(tx, id.seq(), &deliveries);
    }
    let_go(tx, key, id.seq())
}

/// Releases a deduplication value, unless a later conversion has claimed it since it ran out.
pub(super) fn let_go(tx: &mut Tx<'_>, key: i64, seq: Seq) -> Result<(), StoreError> {
    if tx.recent.key(tx.sql, key)?.is_some_and(|row| row.value == seq.0) {
        tx.recent.remove_key(key);
    }
    Ok(())
}

/// Makes the deliveries of a selection pending again, oldest first, `spacing_ms` apart.
pub(super) fn replay(
    tx: &mut Tx<'_>,
    selection: &ReplaySelection,
    now: Time,
    spacing_ms: i64,
) -> Result<Replayed, StoreError> {
    let mut select = tx.sql.prepare_cached(
        "SELECT d.seq, d.place, d.connector FROM delivery d JOIN event e ON e.seq = d.seq
         WHERE d.state = ?1 AND (?2 IS NULL OR d.connector = ?2)
           AND (?3 IS NULL OR ?3 <= e.received) AND (?4 IS NULL OR e.received < ?4)
           AND json_extract(e.facts, '$.v') <> 0
         ORDER BY d.seq, d.place",
    )?;
    let found: Vec<(i64, u32, String)> = select
        .query_map(
            (
                selection.state.word(),
                &selection.connector,
                selection.since.map(Time::ms),
                selection.until.map(Time::ms),
            ),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?
        .collect::<Result<_, _>>()?;
    let mut replayed = Replayed { count: 0, connectors: Vec::new() };
    for (seq, place, connector) in found {
        let id = DeliveryId::new(tx.tag, Seq(seq), place);
        let due = Time::from_ms(now.ms() + spacing_ms * i64::try_from(replayed.count).unwrap_or(0));
        again(tx, id, &connector, now, due, selection.state)?;
        replayed.count += 1;
        if !replayed.connectors.iter().any(|known| **known == *connector) {
            replayed.connectors.push(connector.into());
        }
    }
    Ok(replayed)
}

/// Makes one delivery pending again.
pub(super) fn replay_one(tx: &mut Tx<'_>, id: DeliveryId, force: bool, now: Time) -> Result<ReplayedOne, StoreError> {
    let Some(found) = read::delivery(tx.sql, tx.tag, id)? else { return Ok(ReplayedOne::NotFound) };
    let connector: ConnectorName = found.line.connector;
    match found.line.state {
        state if found.facts.visitor == VisitorId::NOBODY => return Ok(ReplayedOne::NotReplayable(state)),
        State::Rejected | State::Dead | State::Held => {}
        State::Delivered if force => {}
        State::Delivered => return Ok(ReplayedOne::Delivered),
        state => return Ok(ReplayedOne::NotReplayable(state)),
    }
    again(tx, id, &connector, now, now, found.line.state)?;
    Ok(ReplayedOne::Replayed(connector))
}

fn again(tx: &mut Tx<'_>, id: DeliveryId, connector: &str, now: Time, due: Time, was: State) -> Result<(), StoreError> {
    let (seq, place) = (id.seq(), id.place());
    // What the partner took, or may have taken, is a repeat when it comes again.
    let is_repeat = matches!(was, State::Held | State::Delivered);
    let attempts = read::attempts(tx.sql, id)?;
    let mut upsert = tx.sql.prepare_cached(
        "INSERT INTO delivery (seq, place, connector, state, due, first_due, attempts, is_repeat)
         VALUES (?1, ?2, ?3, 'pending', ?4, ?4, ?5, ?6)
         ON CONFLICT (seq, place) DO UPDATE SET state = 'pending', reason = NULL, due = excluded.due,
             first_due = excluded.first_due, is_repeat = is_repeat OR excluded.is_repeat, started = NULL",
    )?;
    upsert.execute((seq.0, place, connector, due.ms(), attempts, is_repeat))?;
    if was.is_final() {
        tx.counters.book.ended -= 1;
    }
    entries::write_replay(tx.lines_of(seq), seq, place, now);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::StoreTag;

    #[test]
    fn the_writer_is_told_of_the_first_and_of_the_first_that_is_urgent() {
        let outbox = Outbox::default();
        let add = |haste| {
            let delivery = DeliveryId::new(StoreTag::new(1), Seq(1), 0);
            let (at, first_due) = (Time::from_ms(0), Time::from_ms(0));
            let entry = Entry::Started { number: 1 };
            let record = Record { delivery, connector: "net".into(), at, on_record: false, first_due, entry };
            outbox.add(Lined::new(record.into()), haste, oneshot::channel().0)
        };
        for _ in 0..2 {
            assert_eq!(outbox.waiting(), (0, 0));
            assert_eq!(
                [Haste::Soon, Haste::Soon, Haste::Now, Haste::Soon, Haste::Now].map(add),
                [true, false, true, false, false]
            );
            assert_eq!(outbox.waiting(), (5, 2));
            outbox.take_into(&mut Vec::new());
        }
    }
}
