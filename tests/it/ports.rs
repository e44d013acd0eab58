//! Free ports, and folders that go away.
//!
//! Refuses: ports of the ephemeral range: while a daemon is down between two starts, an outgoing connection could take one.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Below Linux's ephemeral range (32768 and up) and above what services commonly use.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

static GIVEN: AtomicU32 = AtomicU32::new(0);
static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A port that nothing listens on, given out once per process.
pub fn free() -> u16 {
    // Two test processes on one machine start at different places.
    let start = std::process::id().wrapping_mul(131);
    for _ in 0..COUNT {
        let port = FIRST + start.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(port).expect("the range ends below 65536");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port between {FIRST} and {} is free", FIRST + COUNT);
}

/// A word that no other test of this or another process uses.
pub fn unique(name: &str) -> String {
    format!("postbackd-it-{}-{}-{name}", std::process::id(), FOLDERS.fetch_add(1, Ordering::Relaxed))
}

/// A folder of its own, removed at the end unless the test failed or `POSTBACKD_TEST_KEEP` is set.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(unique(name));
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file in one step, so that a watching daemon never reads half of it.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("it has the folder above it")).unwrap();
        let beside = path.with_extension("being-written");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(&beside, &path).unwrap();
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.0.join(name)).unwrap();
    }

    /// The contents of a file, lossy; empty where there is none.
    pub fn read(&self, name: &str) -> String {
        std::fs::read(self.0.join(name)).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("POSTBACKD_TEST_KEEP").is_some() {
            eprintln!("kept: {}", self.0.display());
        } else {
            // A daemon killed a moment ago may still be writing; what is left is in the temporary folder.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
