//! What a configuration names outside its dataset, looked at before anything is made: the directory of the raw rings, the
//! other place for journal segments, the extra CA.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::sys::disk;
use crate::wire::tls::{TlsError, TlsSetup};

/// Why something that a configuration names cannot be used.
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
    #[error("{key} {}: is a file, or leads through one; name a directory, or leave the key out", path.display())]
    NotADirectory {
        /// Its key in the configuration.
        key: &'static str,
        /// The directory.
        path: PathBuf,
    },
    /// Only the kernel makes files there.
    #[error("{key} {}: takes no files; name another directory, or leave the key out", path.display())]
    NoPlace {
        /// Its key in the configuration.
        key: &'static str,
        /// The directory.
        path: PathBuf,
    },
    /// Not for this user.
    #[error(
        "{key} {}: cannot be written into: {source}; give it to who captures (chown), or name another directory",
        path.display()
    )]
    NotWritable {
        /// Its key in the configuration.
        key: &'static str,
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The extra CA cannot be read.
    #[error(
        "tls.ca {}: cannot be read: {source}; name a PEM file, or leave the key out: Mozilla's roots are always trusted",
        path.display()
    )]
    Ca {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The extra CA is no certificate.
    #[error("tls.ca {}: {source}; name a PEM file with certificates, or leave the key out", path.display())]
    CaContent {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TlsError,
    },
    /// The TLS library refuses.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl RuntimeFault {
    /// Whether another user could do it: who checks a configuration need not be who captures.
    pub fn is_of_user(&self) -> bool {
        match self {
            RuntimeFault::NotWritable { source, .. } | RuntimeFault::Ca { source, .. } => {
                source.kind() == io::ErrorKind::PermissionDenied
            }
            _ => false,
        }
    }
}

/// Looks at all that a configuration names outside its dataset; makes nothing. Empty = a capture can use all of it.
pub fn faults(config: &Config) -> Vec<RuntimeFault> {
    let c = &config.capture;
    let rings = c.runtime_dir.as_deref().map(|d| directory("capture.runtime_dir", d, false));
    let fallback = c.fallback_dir.as_deref().map(|d| directory("capture.fallback_dir", d, true));
    let ca = Some(tls(config).map(drop));
    [rings, fallback, ca].into_iter().flatten().filter_map(Result::err).collect()
}

/// Mozilla's roots, and the CA that a configuration adds.
///
/// # Errors
/// [`RuntimeFault`]: the CA cannot be had.
pub fn tls(config: &Config) -> Result<TlsSetup, RuntimeFault> {
    let Some(path) = &config.tls.ca else { return Ok(TlsSetup::new(&[])?) };
    let pem = std::fs::read(path).map_err(|source| RuntimeFault::Ca { path: path.clone(), source })?;
    TlsSetup::new(&[pem]).map_err(|source| RuntimeFault::CaContent { path: path.clone(), source })
}

/// Whether files can be made in a directory, which may be made first where `is_made`.
fn directory(key: &'static str, path: &Path, is_made: bool) -> Result<(), RuntimeFault> {
    let name = path.to_owned();
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut at = whole.as_path();
    loop {
        match std::fs::metadata(at) {
            Ok(m) if !m.is_dir() => return Err(RuntimeFault::NotADirectory { key, path: name }),
            Ok(_) => break,
            Err(e) => match (e.kind(), at.parent()) {
                (io::ErrorKind::NotFound, Some(above)) if is_made => at = above,
                (io::ErrorKind::NotFound, _) => return Err(RuntimeFault::Missing(name)),
                (io::ErrorKind::NotADirectory, _) => {
                    return Err(RuntimeFault::NotADirectory { key, path: name });
                }
                _ => return Err(RuntimeFault::NotWritable { key, path: name, source: e }),
            },
        }
    }
    if disk::keeps_files(at).is_err() {
        return Err(RuntimeFault::NoPlace { key, path: name });
    }
    disk::may_write(at).map_err(|source| RuntimeFault::NotWritable { key, path: name, source })
}
