//! Files that are mapped, reserved up front, locked and owned: what the raw ring and the journal ask of the kernel.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Gives `file` its blocks now, so that a full disk fails here and not in the middle of a write.
/// The file is at least `len` bytes long afterwards; bytes that were there stay.
///
/// # Errors
/// `ENOSPC` and whatever else `fallocate` says. File systems without `fallocate` get zeros written by the C library.
pub fn reserve(file: &File, len: u64) -> io::Result<()> {
    let len = libc::off_t::try_from(len).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))?;
    loop {
        // SAFETY: plain system call on a descriptor that `file` keeps open; no memory is passed.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len) } == 0 {
            return Ok(());
        }
        let e = io::Error::last_os_error();
        match e.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EOPNOTSUPP | libc::ENOSYS) => break,
            _ => return Err(e),
        }
    }
    // SAFETY: as above. This one returns the error instead of setting `errno`.
    match unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, len) } {
        0 => Ok(()),
        e => Err(io::Error::from_raw_os_error(e)),
    }
}

/// Our effective user id.
pub fn effective_uid() -> u32 {
    // SAFETY: cannot fail and touches no memory.
    unsafe { libc::geteuid() }
}

/// Who may read a file, where that is not only us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposure {
    /// Owner's user id.
    pub uid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// Opens a private file for reading and writing: 0600, ours, a plain file, no symbolic link.
/// With `create` it is made if it is missing.
///
/// # Errors
/// Outer: what `open` says (`ELOOP` for a link). Inner: the file belongs to somebody else or others may open it.
pub fn open_private(path: &Path, create: bool) -> io::Result<Result<File, Exposure>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(path)?;
    // The checks are on the open descriptor: the path may change under us, this file cannot.
    let meta = file.metadata()?;
    let seen = Exposure { uid: meta.uid(), mode: meta.mode() & 0o7777 };
    let fine = meta.is_file() && seen.uid == effective_uid() && seen.mode & 0o077 == 0;
    Ok(if fine { Ok(file) } else { Err(seen) })
}

/// Takes the exclusive lock of an open file (`flock`); it lasts until every handle of this opening is closed, so a
/// killed process leaves none behind. False: another process or another opening holds it.
///
/// # Errors
/// What `flock` says beyond "held by another".
pub fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(std::fs::TryLockError::WouldBlock) => Ok(false),
        Err(std::fs::TryLockError::Error(e)) => Err(e),
    }
}

/// Makes names that were created, renamed or removed in `dir` durable.
///
/// # Errors
/// What `open` or `fsync` says.
pub fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserving_keeps_bytes_and_gives_length() {
        let dir = tempfile::tempdir().unwrap();
        let p = dir.path().join("f");
        std::fs::write(&p, b"abc").unwrap();
        let f = OpenOptions::new().read(true).write(true).open(&p).unwrap();
        reserve(&f, 10_000).unwrap();
        let b = std::fs::read(&p).unwrap();
        assert_eq!((b.len(), &b[..4]), (10_000, &b"abc\0"[..]));
    }

    #[test]
    fn private_means_private() {
        let dir = tempfile::tempdir().unwrap();
        let p = dir.path().join("f");
        let f = open_private(&p, true).unwrap().unwrap();
        assert_eq!(f.metadata().unwrap().mode() & 0o777, 0o600);
        assert!(try_lock(&f).unwrap());
        let again = open_private(&p, false).unwrap().unwrap();
        assert!(!try_lock(&again).unwrap(), "a second opening is refused, even in one process");
        drop(f);
        assert!(try_lock(&again).unwrap());

        std::fs::set_permissions(&p, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert_eq!(open_private(&p, false).unwrap().unwrap_err().mode, 0o644);
        let link = dir.path().join("l");
        std::os::unix::fs::symlink(&p, &link).unwrap();
        assert_eq!(open_private(&link, true).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert!(open_private(dir.path(), false).is_err());
    }
}
