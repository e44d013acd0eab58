//! Forgetting a person: what is left in the store's files, and what a sudden end leaves to be done.

use super::*;
use crate::model::field::Field;
use crate::model::value::Value;
use crate::store::sqlite::erase;

const SECRET: &str = "of-nobody-but-ann";

fn secret_event(id: &str, n: usize) -> Candidate {
    let mut event = event("Purchase", id);
    event.attributes = vec![("note".into(), Value::Text(format!("{SECRET}-note-{n}").into()))];
    event.texts.set(Field::Email, format!("{SECRET}@example.com"));
    candidate(event, &format!("{SECRET}-session"), Some(&format!("{SECRET}-click-{n}")))
}

fn session(value: &str) -> Vec<Identifier> {
    vec![Identifier { kind: IdentifierKind::SessionId, value: value.into() }]
}

fn secret_request(job: &Job, outcome: Outcome) -> Record {
    let mut record = attempted(job, outcome);
    if let Entry::Attempted(attempt) = &mut record.entry {
        attempt.request.url = format!("https://n.example/?who={SECRET}").into();
        attempt.response = format!("hello {SECRET}").into();
    }
    record
}

/// How often the secret stands in the files of the store.
fn found_in(folder: &Folder) -> usize {
    let files = std::fs::read_dir(&folder.0).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.map(|bytes| bytes.windows(SECRET.len()).filter(|window| *window == SECRET.as_bytes()).count()).sum()
}

#[tokio::test]
async fn nothing_of_an_erased_person_stands_in_the_files() {
    let folder = Folder::new();
    let store = folder.open();
    let mut jobs = Vec::new();
    for n in 0..30 {
        let others = (0..20).map(|m| candidate(event("Purchase", &format!("o{n}-{m}")), &format!("o{n}-{m}"), None));
        let batch: Vec<_> = others.chain([secret_event(&format!("e{n}"), n)]).collect();
        jobs.extend(admit(&store, batch, now(0)).await.admitted.into_iter().flat_map(|one| one.jobs));
    }
    let own: Vec<Job> = jobs.into_iter().filter(|job| job.facts.event.id.as_str().starts_with('e')).collect();
    assert!(!own.is_empty(), "the sample plans to send");
    for (job, n) in own.iter().zip(0..) {
        let outcome = match n % 3 {
            0 => Outcome::Delivered,
            1 => Outcome::Retry { at: now(60) },
            _ => continue,
        };
        store.record(secret_request(job, outcome)).await.unwrap();
    }
    assert_ne!(found_in(&folder), 0);
    let erased =
        store.erase("shop".into(), session(&format!("{SECRET}-session")), now(2), MINUTE).await.unwrap().unwrap();
    assert_eq!((erased.visitors, erased.events, erased.identifiers), (1, 30, 1));
    assert_eq!(found_in(&folder), 0, "while the store is open");
    assert_eq!(store.erase("shop".into(), session(&format!("{SECRET}-session")), now(2), MINUTE).await.unwrap(), None);

    // What was in flight, and what a lane still holds, leaves no trace.
    let late = own.iter().zip(0..).find(|(_, n)| n % 3 == 2).unwrap().0;
    assert!(store.is_withdrawn(late.delivery.id));
    store.record(secret_request(late, Outcome::Delivered)).await.unwrap();
    let detail = store.delivery(late.delivery.id).await.unwrap().unwrap();
    assert_eq!(detail.line.state, State::Cancelled);
    assert_eq!(store.unaccounted().await.unwrap(), 0);
    let delivered = own[0].delivery.id;
    assert_eq!(
        store.replay_one(delivered, true, now(3)).await.unwrap(),
        ReplayedOne::NotReplayable(State::Delivered),
        "there is nothing left to send"
    );
    let again = admit(&store, vec![secret_event("e0", 0)], now(3)).await;
    assert!(again.admitted[0].duplicate, "a repeat of an erased event");
    drop(store);
    assert_eq!(folder.open().unaccounted().await.unwrap(), 0);
}

#[tokio::test]
async fn what_a_sudden_end_left_is_finished_at_the_start() {
    let folder = Folder::new();
    let store = folder.open();
    admit(&store, vec![secret_event("e1", 1), secret_event("e2", 2)], now(0)).await;
    let who = session(&format!("{SECRET}-session"));
    let begun = store.write(move |tx| erase::begin(tx, "shop", &who, now(1), now(60))).await.unwrap();
    assert_eq!(begun.unwrap().visitors, 1);
    assert_ne!(found_in(&folder), 0);
    drop(store);
    let store = folder.open();
    let erased = store.finish_erasures(now(2), MINUTE).await.unwrap();
    assert_eq!((erased.events, found_in(&folder)), (2, 0));
    assert_eq!(store.finish_erasures(now(2), MINUTE).await.unwrap().events, 0, "once");
    assert_eq!(store.unaccounted().await.unwrap(), 0);
}
