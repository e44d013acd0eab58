//! Outcomes that wait beside a batch of events.

use futures_util::future::{join, join_all};

use super::*;
use crate::model::record::Haste;

#[tokio::test]
async fn outcomes_are_on_record_whatever_becomes_of_the_batch_beside_them() {
    let folder = Folder::new();
    let store = folder.open();
    // Fewer than are committed by themselves, and more.
    for count in [3, 40] {
        let batch = (0..count).map(|n| candidate(event("Lead", &format!("{count}-{n}")), "s", None)).collect();
        let admitted = admit(&store, batch, now(0)).await.admitted;
        let jobs: Vec<Job> = admitted.into_iter().flat_map(|one| one.jobs).collect();
        assert_eq!(jobs.len(), count);
        let outcomes = join_all(jobs.iter().map(|job| store.record(attempted(job, Outcome::Delivered))));
        let failing = vec![candidate(event("Panic", &count.to_string()), "s", None)];
        let failing = store.admit(failing, Arc::new(Sample), now(0), MINUTE);
        let (recorded, failed) = join(outcomes, failing).await;
        // Three share the fate of the batch, and are offered again alone by who brought them.
        for (job, recorded) in jobs.iter().zip(recorded) {
            if recorded.is_err() {
                store.record_alone(Arc::new(attempted(job, Outcome::Delivered))).await.unwrap();
            }
        }
        assert!(matches!(failed, Err((StoreError::Panicked(_), _))));
        assert!(store.backlog().await.unwrap().is_empty());
        assert_eq!(store.unaccounted().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn an_outcome_that_may_wait_is_on_record_alone_beside_urgent_ones_and_beside_events() {
    let folder = Folder::new();
    let store = folder.open();
    let batch = (0..12).map(|n| candidate(event("Lead", &n.to_string()), "s", None)).collect();
    let jobs: Vec<Job> = admit(&store, batch, now(0)).await.admitted.into_iter().flat_map(|one| one.jobs).collect();
    let record = |at: usize, haste| store.record_with(attempted(&jobs[at], Outcome::Delivered), haste);
    record(0, Haste::Soon).await.unwrap();
    let (soon, urgent) = join(record(1, Haste::Soon), record(2, Haste::Now)).await;
    soon.and(urgent).unwrap();
    let many = join_all((3..12).map(|at| record(at, Haste::Soon)));
    let events = vec![candidate(event("Skip", "13"), "s", None)];
    let (many, events) = join(many, store.admit(events, Arc::new(Sample), now(0), MINUTE)).await;
    assert!(many.iter().all(Result::is_ok) && events.is_ok());
    assert!(store.backlog().await.unwrap().is_empty());
    assert_eq!(store.unaccounted().await.unwrap(), 0);
}
