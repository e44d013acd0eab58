//! Plays every file in `tests/scenarios`, a few at a time.
//!
//! Refuses: stopping at the first failure. `POSTBACKD_SCENARIO=part-of-a-path` plays only those.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use futures_util::{FutureExt as _, StreamExt as _};

use crate::scenario;

/// Daemons at once: enough that waiting overlaps, few enough that a small machine keeps every deadline.
const AT_ONCE: usize = 4;

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "yaml") {
            found.push(path);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_scenario_comes_out_as_promised() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut found = Vec::new();
    files(&root, &mut found);
    found.sort();
    let only = std::env::var("POSTBACKD_SCENARIO").unwrap_or_default();
    let chosen = found.iter().map(|p| (p, p.strip_prefix(&root).unwrap().with_extension("").display().to_string()));
    let chosen: Vec<_> = chosen.filter(|(_, name)| name.contains(&only)).collect();
    assert!(!chosen.is_empty(), "no scenario is called {only:?}");
    let count = chosen.len();
    let failures: Vec<String> = futures_util::stream::iter(chosen)
        .map(async |(path, name)| {
            // A panic in one must not hide the others.
            let played = AssertUnwindSafe(async { scenario::play(&name, &scenario::read(path)?).await });
            let result = played.catch_unwind().await.unwrap_or_else(|_| Err("it panicked, see above".into()));
            result.err().map(|e| format!("== {name}\n{e}"))
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(async |failure| failure)
        .collect()
        .await;
    assert!(failures.is_empty(), "{} of {count} scenarios failed:\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn every_scenario_can_be_read() {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios"), &mut found);
    let mistakes: Vec<String> = found.iter().filter_map(|path| scenario::read(path).err()).collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}
