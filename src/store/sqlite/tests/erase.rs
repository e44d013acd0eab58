//! Forgetting a person: what is left in the store's files, and what a sudden end leaves to be done.

use super::*;
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
    let erased = store
        .erase("shop".into(), session(&format!("{SECRET}-session")), Arc::new(Sample), now(2), MINUTE)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((erased.visitors, erased.events, erased.identifiers), (1, 30, 1));
    assert_eq!(found_in(&folder), 0, "while the store is open");
    assert_eq!(
        store
            .erase("shop".into(), session(&format!("{SECRET}-session")), Arc::new(Sample), now(2), MINUTE)
            .await
            .unwrap(),
        None
    );

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
    assert_eq!(begun.visitors, 1);
    assert_ne!(found_in(&folder), 0);
    drop(store);
    let store = folder.open();
    let erased = store.finish_erasures(Arc::new(Sample), now(2), MINUTE).await.unwrap();
    assert_eq!((erased.events, found_in(&folder)), (2, 0));
    assert_eq!(store.finish_erasures(Arc::new(Sample), now(2), MINUTE).await.unwrap().events, 0, "once");
    assert_eq!(store.unaccounted().await.unwrap(), 0);
}

#[tokio::test]
async fn what_a_caller_who_went_away_has_begun_is_finished_by_the_next() {
    let folder = Folder::new();
    let store = folder.open();
    admit(&store, vec![secret_event("e1", 1), secret_event("e2", 2)], now(0)).await;
    let who = session(&format!("{SECRET}-session"));
    let asked = who.clone();
    store.write(move |tx| erase::begin(tx, "shop", &asked, now(1), now(60))).await.unwrap();
    let again = store.erase("shop".into(), who.clone(), Arc::new(Sample), now(2), MINUTE).await.unwrap();
    assert_eq!(again.map(|erased| (erased.visitors, erased.events)), Some((0, 2)), "it is not over yet");
    assert_eq!(found_in(&folder), 0);
    assert_eq!(store.erase("shop".into(), who, Arc::new(Sample), now(2), MINUTE).await.unwrap(), None);
}

#[tokio::test]
async fn what_comes_meanwhile_is_a_new_beginning() {
    let folder = Folder::new();
    let store = folder.open();
    admit(&store, vec![secret_event("e1", 1)], now(0)).await;
    let who = session(&format!("{SECRET}-session"));
    let asked = who.clone();
    store.write(move |tx| erase::begin(tx, "shop", &asked, now(1), now(60))).await.unwrap();
    let fresh = |id: &str| {
        let mut event = event("Lead", id);
        event.received = now(2);
        event.texts.set(Field::Email, "new@example.com");
        candidate(event, &format!("{SECRET}-session"), None)
    };
    let visitor = |admission: &Admission| admission.admitted[0].jobs[0].facts.visitor;
    let first = visitor(&admit(&store, vec![fresh("n1")], now(2)).await);
    store.finish_erasures(Arc::new(Sample), now(3), MINUTE).await.unwrap();
    let second = admit(&store, vec![fresh("n2")], now(4)).await;
    assert_eq!(visitor(&second), first, "the identifier leads to whom it was given last");
    let kept = store.delivery(second.admitted[0].jobs[0].delivery.id).await.unwrap().unwrap();
    assert_eq!(kept.facts.event.texts.of(Field::Email), Some("new@example.com"));
    let erased = store.erase("shop".into(), who, Arc::new(Sample), now(5), MINUTE).await.unwrap().unwrap();
    assert_eq!((erased.visitors, erased.events), (1, 2), "and it can be asked for again");
}

#[tokio::test]
async fn a_cancelled_delivery_holds_no_deduplication_value_and_a_delivered_one_does() {
    for is_delivered in [false, true] {
        let store = Store::in_memory().unwrap();
        let first = admit(&store, vec![candidate(event("Once", "1"), "s", None)], now(0)).await;
        if is_delivered {
            store.record(attempted(&first.admitted[0].jobs[0], Outcome::Delivered)).await.unwrap();
        }
        let erased = store.erase("shop".into(), session("s"), Arc::new(Sample), now(1), MINUTE).await.unwrap().unwrap();
        assert_eq!(erased.cancelled.len(), if is_delivered { 1 } else { 2 });
        let second = admit(&store, vec![candidate(event("Once", "2"), "t", None)], now(2)).await;
        assert_eq!(second.admitted[0].jobs.is_empty(), is_delivered);
        assert_eq!(store.unaccounted().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_deduplication_value_that_another_has_claimed_since_stays_claimed() {
    let store = Store::in_memory().unwrap();
    let once = |id: &str, session: &str| candidate(event("Once", id), session, None);
    admit(&store, vec![once("1", "s")], now(0)).await;
    // The first claim has run out.
    let second = admit(&store, vec![once("2", "t")], now(120)).await;
    assert_eq!(second.admitted[0].jobs.len(), 2);
    store.erase("shop".into(), session("s"), Arc::new(Sample), now(121), MINUTE).await.unwrap().unwrap();
    let third = admit(&store, vec![once("3", "u")], now(122)).await;
    assert!(third.admitted[0].jobs.is_empty(), "it is the second's");
}

#[tokio::test]
async fn an_address_is_taken_out_of_what_is_known_of_others() {
    let folder = Folder::new();
    let store = folder.open();
    let said = |id: &str, session: &str, address: &str| {
        let mut event = event("Lead", id);
        event.texts.set(Field::Email, address);
        candidate(event, session, None)
    };
    let address = format!("{SECRET}@example.com");
    let batch = vec![said("1", "a", &address), said("2", "b", &address), said("3", "b", "b@example.com")];
    let jobs: Vec<Job> = admit(&store, batch, now(0)).await.admitted.into_iter().flat_map(|one| one.jobs).collect();
    for job in &jobs {
        store.record(attempted(job, Outcome::Delivered)).await.unwrap();
    }
    // Sessions alone lead to them, so nobody is led to by the address, and two events bear it.
    let by_address = || store.erase("shop".into(), vec![email(&address)], Arc::new(Sample), now(1), MINUTE);
    let erased = by_address().await.unwrap().unwrap();
    assert_eq!((erased.visitors, erased.events, erased.cancelled.len()), (0, 2, 0));
    assert_eq!(found_in(&folder), 0);
    let other = store.delivery(jobs[2].delivery.id).await.unwrap().unwrap();
    assert_eq!(other.facts.event.texts.of(Field::Email), Some("b@example.com"));
    assert_eq!(by_address().await.unwrap(), None);
}
