//! Segment files: names, creation, recycling, headers.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::format::{BLOCK, BadHeader, HEADER_LEN, Header};
use super::{Dirs, JournalError, io_error};
use crate::sys::shm;

/// One segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number.
    pub number: u64,
    /// Its file.
    pub path: PathBuf,
    /// Bytes of the file; for the one being written this is what was preallocated.
    pub len: u64,
}

pub(super) fn segment_name(number: u64) -> String {
    format!("{number:020}.seg")
}

fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    if digits.len() != 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// The segments there are, oldest first. A directory that does not exist has none.
///
/// # Errors
/// What reading a directory says.
pub fn list_segments(dirs: &Dirs) -> Result<Vec<SegmentInfo>, JournalError> {
    let mut found = Vec::new();
    for dir in dirs.all() {
        let entries = match std::fs::read_dir(dir) {
            Ok(e) => e,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(io_error(dir, "list")(e)),
        };
        for e in entries {
            let e = e.map_err(io_error(dir, "list"))?;
            if let Some(number) = e.file_name().to_str().and_then(parse_name) {
                let len = e.metadata().map_err(io_error(dir, "list"))?.len();
                found.push(SegmentInfo { number, path: e.path(), len });
            }
        }
    }
    // Stable: the primary directory's file stands first if a number should be in both.
    found.sort_by_key(|s| s.number);
    found.dedup_by_key(|s| s.number);
    Ok(found)
}

/// The file of a segment, wherever it is.
pub(super) fn find_segment(dirs: &Dirs, number: u64) -> Option<PathBuf> {
    dirs.all().map(|d| d.join(segment_name(number))).find(|p| p.exists())
}

/// What a segment's file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderState {
    Sound(Header),
    /// The first copy is damaged, the second is not.
    FromCopy(Header),
    /// Neither can be read: nothing of the segment can.
    Lost,
}

impl HeaderState {
    pub fn header(&self) -> Option<&Header> {
        match self {
            HeaderState::Sound(h) | HeaderState::FromCopy(h) => Some(h),
            HeaderState::Lost => None,
        }
    }
}

/// Reads the header, or else its copy.
pub(super) fn read_header(file: &File, path: &Path) -> Result<HeaderState, JournalError> {
    let at = |offset: u64| -> Result<Result<Header, BadHeader>, JournalError> {
        let mut b = [0u8; HEADER_LEN];
        match file.read_exact_at(&mut b, offset) {
            Ok(()) => Ok(Header::decode(&b)),
            // A bad sector is damage like any other.
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof || e.raw_os_error() == Some(libc::EIO) => {
                Ok(Err(BadHeader::Damaged))
            }
            Err(e) => Err(io_error(path, "read")(e)),
        }
    };
    Ok(match at(0)? {
        Ok(h) => HeaderState::Sound(h),
        Err(first) => match (at(BLOCK)?, first) {
            (Ok(h), _) => HeaderState::FromCopy(h),
            (Err(_), BadHeader::Newer(found)) => {
                return Err(JournalError::NewerVersion { path: path.to_path_buf(), found });
            }
            _ => HeaderState::Lost,
        },
    })
}

/// A segment that is being written. A failed call is final: the caller never repeats it on the same file.
pub(super) struct SegmentFile {
    file: File,
    pub path: PathBuf,
    #[cfg(test)]
    pub faults: std::sync::Arc<super::tests::Faults>,
}

impl SegmentFile {
    /// Writes all of `bytes` at `offset`; short writes are continued, only an error ends it.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), JournalError> {
        #[cfg(test)]
        self.faults.write(&self.file, bytes, offset).map_err(io_error(&self.path, "write"))?;
        self.file.write_all_at(bytes, offset).map_err(io_error(&self.path, "write"))
    }

    /// `fdatasync`.
    pub fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.sync()?;
        planted!("sync_skipped", Ok(()), self.file.sync_data())
    }
}

/// Creates segments and takes old ones back.
pub(super) struct Store {
    pub dirs: Dirs,
    pub spares_max: usize,
    #[cfg(test)]
    pub faults: std::sync::Arc<super::tests::Faults>,
}

impl Store {
    fn spare(&self, i: usize) -> PathBuf {
        self.dirs.primary.join(format!("spare-{i}.free"))
    }

    /// Removes what a dead process was making.
    pub fn sweep(&self) -> Result<(), JournalError> {
        for dir in self.dirs.all().filter(|d| d.exists()) {
            for e in std::fs::read_dir(dir).map_err(io_error(dir, "list"))? {
                let path = e.map_err(io_error(dir, "list"))?.path();
                if path.extension().is_some_and(|x| x == "tmp") {
                    std::fs::remove_file(&path).map_err(io_error(&path, "remove"))?;
                }
            }
        }
        Ok(())
    }

    /// A spare of the right size, ready to be renamed; the others are of no use any more.
    fn take_spare(&self, size: u64, to: &Path) -> bool {
        (0..self.spares_max).any(|i| {
            let path = self.spare(i);
            match std::fs::metadata(&path) {
                Ok(m) if m.len() == size => std::fs::rename(&path, to).is_ok(),
                Ok(_) => {
                    // Another segment size was configured when it was kept. If it stays it only costs space.
                    let _ = std::fs::remove_file(&path);
                    false
                }
                Err(_) => false,
            }
        })
    }

    /// Makes a segment in `dir` that begins with what `first` says. When this returns the header, these bytes and the name
    /// are durable and all blocks are there.
    pub fn create(
        &self,
        dir: &Path,
        mut header: Header,
        first: &mut dyn FnMut(&Header) -> Vec<u8>,
    ) -> Result<SegmentFile, JournalError> {
        let name = segment_name(header.number);
        let (tmp, path) = (dir.join(format!("{name}.tmp")), dir.join(&name));
        #[cfg(test)]
        self.faults.create().map_err(io_error(&tmp, "create"))?;
        header.recycled = dir == self.dirs.primary && self.take_spare(header.size, &tmp);
        let made = self.fill(&tmp, &header, &first(&header)).and_then(|file| {
            std::fs::rename(&tmp, &path).map_err(io_error(&path, "rename"))?;
            shm::sync_dir(dir).map_err(io_error(dir, "sync"))?;
            Ok(file)
        });
        if made.is_err() {
            // Not to be found as a segment by anybody; if it cannot be removed, the next start sweeps it.
            let _ = std::fs::remove_file(&tmp);
            let _ = std::fs::remove_file(&path);
        }
        let segment = SegmentFile {
            file: made?,
            path,
            #[cfg(test)]
            faults: self.faults.clone(),
        };
        Ok(segment)
    }

    fn fill(&self, tmp: &Path, header: &Header, first: &[u8]) -> Result<File, JournalError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(tmp)
            .map_err(io_error(tmp, "create"))?;
        shm::reserve(&file, header.size).map_err(io_error(tmp, "reserve"))?;
        let bytes = header.encode();
        file.write_all_at(&bytes, 0).map_err(io_error(tmp, "write"))?;
        file.write_all_at(&bytes, BLOCK).map_err(io_error(tmp, "write"))?;
        file.write_all_at(first, HEADER_LEN as u64).map_err(io_error(tmp, "write"))?;
        file.sync_all().map_err(io_error(tmp, "sync"))?;
        Ok(file)
    }

    /// Takes back a segment that nobody needs: kept as a spare if it is of the usual size, else removed.
    pub fn retire(&self, segment: &SegmentInfo, usual: u64) -> Result<(), JournalError> {
        let here = segment.path.parent() == Some(self.dirs.primary.as_path());
        if here && segment.len == usual {
            let free = (0..self.spares_max).map(|i| self.spare(i)).find(|p| !p.exists());
            if let Some(spare) = free {
                return std::fs::rename(&segment.path, &spare).map_err(io_error(&segment.path, "rename"));
            }
        }
        std::fs::remove_file(&segment.path).map_err(io_error(&segment.path, "remove"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_all_of_u64_and_nothing_else() {
        for n in [0, 1, 12_345, u64::MAX - 2, u64::MAX] {
            assert_eq!(parse_name(&segment_name(n)), Some(n));
        }
        for bad in [
            "1.seg",
            "00000000000000000001.seg.tmp",
            "99999999999999999999.seg",
            "+0000000000000000001.seg",
            "",
        ] {
            assert_eq!(parse_name(bad), None, "{bad}");
        }
    }
}
