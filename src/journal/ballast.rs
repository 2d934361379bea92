//! Space that is held back: a file of the journal's directory that has its blocks and no use. A disk that is full has
//! this much more as soon as it is let go, and the journal needs that for what must still be written: the gaps of what is
//! given up, the last syncs, the seal.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sys::shm;

/// Name of the file, which no reader of segments looks at.
const NAME: &str = "reserve.free";

/// The file and how much of it there is.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
    size: u64,
    held: u64,
}

impl Ballast {
    /// The reserve of a journal's directory, which may be there from an earlier run. `size`: bytes it is to have.
    pub fn find(dir: &Path, size: u64) -> Ballast {
        let path = dir.join(NAME);
        // Copied datasets may have it sparse: what counts are its blocks.
        let blocks = std::fs::symlink_metadata(&path).map_or(0, |m| (m.blocks() * 512).min(m.len()));
        Ballast { path, size, held: blocks }
    }

    /// Bytes that it is to have.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Bytes that it has.
    pub fn held(&self) -> u64 {
        self.held.min(self.size)
    }

    /// Bytes that it lacks.
    pub fn spent(&self) -> u64 {
        self.size - self.held()
    }

    /// Gives it the size that it is to have, all blocks included.
    ///
    /// # Errors
    /// The disk has no room; then it holds nothing.
    pub fn take(&mut self) -> io::Result<()> {
        let file = match shm::open_private(&self.path, true)? {
            Ok(f) => f,
            Err(_) => return Err(io::Error::other("the reserve's file is not ours alone")),
        };
        let done = file.set_len(self.size).and_then(|()| shm::reserve(&file, self.size));
        if done.is_err() {
            // A part of it is in the way of others and of use to nobody.
            let _ = file.set_len(0);
        }
        self.held = if done.is_ok() { self.size } else { 0 };
        done
    }

    /// Lets its blocks go. The file keeps its name, so that taking it again needs no room in a directory.
    ///
    /// # Errors
    /// The file system's; it holds what it held.
    pub fn release(&mut self) -> io::Result<()> {
        if self.held == 0 {
            return Ok(());
        }
        match File::options().write(true).open(&self.path) {
            Ok(f) => f.set_len(0)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        self.held = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_taken_let_go_found_again_and_no_segment() {
        let dir = super::super::tests::scratch();
        let mut b = Ballast::find(dir.path(), 1 << 20);
        assert_eq!((b.held(), b.spent()), (0, 1 << 20));
        b.release().unwrap();
        b.take().unwrap();
        assert_eq!((b.held(), b.spent()), (1 << 20, 0));
        // A run that wants less has less.
        let mut b = Ballast::find(dir.path(), 64 << 10);
        assert_eq!(b.held(), 64 << 10);
        b.take().unwrap();
        let file = dir.path().join(NAME);
        assert_eq!(std::fs::metadata(&file).unwrap().len(), 64 << 10);
        assert!(super::super::list_segments(&super::super::Dirs::new(dir.path())).unwrap().is_empty());
        b.release().unwrap();
        assert_eq!((b.held(), std::fs::metadata(&file).unwrap().blocks()), (0, 0));
    }

    #[test]
    fn a_sparse_copy_holds_nothing_and_what_there_is_no_room_for_is_not_kept_in_part() {
        let dir = super::super::tests::scratch();
        File::create(dir.path().join(NAME)).unwrap().set_len(1 << 20).unwrap();
        assert_eq!(Ballast::find(dir.path(), 1 << 20).held(), 0);
        std::fs::remove_file(dir.path().join(NAME)).unwrap();
        let mut b = Ballast::find(dir.path(), 1 << 60);
        assert!(b.take().is_err());
        assert_eq!(std::fs::metadata(dir.path().join(NAME)).unwrap().blocks(), 0);
        assert_eq!(b.held(), 0);
    }

    #[test]
    fn a_reserve_that_somebody_removed_is_let_go_and_one_that_cannot_be_opened_is_still_held() {
        let dir = super::super::tests::scratch();
        let file = dir.path().join(NAME);
        let mut b = Ballast::find(dir.path(), 64 << 10);
        b.take().unwrap();
        std::fs::remove_file(&file).unwrap();
        b.release().unwrap();
        assert_eq!(b.held(), 0);
        b.take().unwrap();
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert_eq!(b.release().unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(b.held(), 64 << 10);
    }
}
