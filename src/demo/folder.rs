//! A temporary folder that goes when it is dropped.
//!
//! Refuses: a folder that exists, which may be somebody else's.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// Only its owner may look in.
const OWNER_ONLY: u32 = 0o700;

#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes one, in the system's place for temporary files.
    ///
    /// # Errors
    /// As the file system says.
    pub fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("postbackd-demo-{}", uuid::Uuid::new_v4()));
        DirBuilder::new().mode(OWNER_ONLY).create(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What can't be removed is the system's to clear away.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_all_that_is_in_it() {
        let folder = Folder::new().unwrap();
        let path = folder.path().to_owned();
        std::fs::create_dir(path.join("a")).unwrap();
        std::fs::write(path.join("a/b"), "c").unwrap();
        drop(folder);
        assert!(!path.exists());
    }
}
