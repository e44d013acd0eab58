//! The files a configuration is made of: on disk, or in memory for the demo and for tests.
//!
//! Refuses: writing.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Files that one glob may name; more is a slip such as `/**`.
const MATCHES_MAX: usize = 10_000;

/// A `*` stays within its folder and passes over hidden files: what editors and Kubernetes leave there is no connector.
const MATCHING: glob::MatchOptions =
    glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Why a file could not be read.
#[derive(Debug, PartialEq, Eq)]
pub enum ReadError {
    Missing,
    TooLarge,
    Other(String),
}

/// A place to read files from. Only files are found, never folders.
pub trait Files {
    /// The bytes of `path`, at most `size_max`.
    ///
    /// # Errors
    /// There is none, it is larger, or it cannot be read.
    fn read(&self, path: &Path, size_max: usize) -> Result<Vec<u8>, ReadError>;

    /// The files a glob names, sorted.
    ///
    /// # Errors
    /// Says what is wrong with the glob or with a folder on the way.
    fn matching(&self, glob: &str) -> Result<Vec<PathBuf>, String>;

    /// Whether the file's mode lets its group or everyone read it.
    fn others_may_read(&self, path: &Path) -> bool;
}

/// The file system.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, size_max: usize) -> Result<Vec<u8>, ReadError> {
        let other = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => ReadError::Missing,
            _ => ReadError::Other(error.to_string()),
        };
        // Asked before it is opened: opening a pipe waits for whoever writes it.
        if !std::fs::metadata(path).map_err(other)?.is_file() {
            return Err(ReadError::Other("not a regular file".to_owned()));
        }
        let file = std::fs::File::open(path).map_err(other)?;
        let mut bytes = Vec::new();
        file.take(size_max as u64 + 1).read_to_end(&mut bytes).map_err(other)?;
        if size_max < bytes.len() { Err(ReadError::TooLarge) } else { Ok(bytes) }
    }

    fn matching(&self, glob: &str) -> Result<Vec<PathBuf>, String> {
        let paths = glob::glob_with(glob, MATCHING).map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        for path in paths {
            let path = path.map_err(|error| error.to_string())?;
            if path.is_file() {
                found.push(path);
            }
            if MATCHES_MAX < found.len() {
                return Err(format!("names more than {MATCHES_MAX} files"));
            }
        }
        found.sort();
        Ok(found)
    }

    fn others_may_read(&self, path: &Path) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            const GROUP_OR_OTHERS_READ: u32 = 0o044;
            std::fs::metadata(path).is_ok_and(|m| m.permissions().mode() & GROUP_OR_OTHERS_READ != 0)
        }
        #[cfg(not(unix))]
        {
            let _ = path;
            false
        }
    }
}

/// Files that exist only here.
#[derive(Clone, Debug, Default)]
pub struct Memory(BTreeMap<PathBuf, String>);

impl Memory {
    /// These and one more.
    #[must_use]
    pub fn with(mut self, path: impl Into<PathBuf>, text: &str) -> Self {
        self.0.insert(path.into(), text.to_owned());
        self
    }
}

impl Files for Memory {
    fn read(&self, path: &Path, size_max: usize) -> Result<Vec<u8>, ReadError> {
        let text = self.0.get(path).ok_or(ReadError::Missing)?;
        if size_max < text.len() { Err(ReadError::TooLarge) } else { Ok(text.clone().into_bytes()) }
    }

    fn matching(&self, glob: &str) -> Result<Vec<PathBuf>, String> {
        let pattern = glob::Pattern::new(glob).map_err(|error| error.to_string())?;
        Ok(self.0.keys().filter(|path| pattern.matches_path_with(path, MATCHING)).cloned().collect())
    }

    fn others_may_read(&self, _: &Path) -> bool {
        false
    }
}
