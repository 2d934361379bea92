//! The directory of the raw rings, looked at before anything is made.

use std::io;
use std::path::PathBuf;

use crate::config::Config;
use crate::sys::disk;

/// Why no ring can be made in the `runtime_dir` of a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeFault {
    /// Nothing is there.
    #[error(
        "capture.runtime_dir {dir}: is not there; make it (mkdir -p {dir}), or leave the key out: the raw rings lie in memory then",
        dir = .0.display()
    )]
    Missing(PathBuf),
    /// A file is.
    #[error("capture.runtime_dir {}: is a file, or leads through one; name a directory, or leave the key out", .0.display())]
    NotADirectory(PathBuf),
    /// Only the kernel makes files there.
    #[error("capture.runtime_dir {}: takes no files; name another directory, or leave the key out", .0.display())]
    NoPlace(PathBuf),
    /// Not for this user.
    #[error(
        "capture.runtime_dir {}: cannot be written into: {source}; give it to who captures (chown), or name another directory",
        path.display()
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl RuntimeFault {
    /// Whether another user could do it: who checks a configuration need not be who captures.
    pub fn is_of_user(&self) -> bool {
        matches!(self, RuntimeFault::NotWritable { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

/// Looks at the directory that a configuration names for its rings; makes nothing.
///
/// # Errors
/// [`RuntimeFault`]: no ring can be made there.
pub fn check(config: &Config) -> Result<(), RuntimeFault> {
    let Some(path) = config.capture.runtime_dir.clone() else { return Ok(()) };
    match std::fs::metadata(&path) {
        Ok(m) if !m.is_dir() => return Err(RuntimeFault::NotADirectory(path)),
        Ok(_) => {}
        Err(e) => {
            return Err(match e.kind() {
                io::ErrorKind::NotFound => RuntimeFault::Missing(path),
                io::ErrorKind::NotADirectory => RuntimeFault::NotADirectory(path),
                _ => RuntimeFault::NotWritable { path, source: e },
            });
        }
    }
    if disk::keeps_files(&path).is_err() {
        return Err(RuntimeFault::NoPlace(path));
    }
    disk::may_write(&path).map_err(|source| RuntimeFault::NotWritable { path, source })
}
