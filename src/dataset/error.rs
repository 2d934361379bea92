//! What can go wrong with a dataset, each with its place and what to do about it.

use std::path::{Path, PathBuf};

use super::schema::Table;

/// An error of this room.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The system refused a file operation.
    #[error("{}: {doing}: {source}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The directory has content, but no marker.
    #[error("{}: not a dataset (no LOBTAPE file, but other files); choose an empty or a new directory", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
    },
    /// There is no dataset.
    #[error("{}: no dataset here (no LOBTAPE file)", path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// The marker cannot be read as one.
    #[error("{}: damaged marker: {detail}; restore it or choose another directory", path.display())]
    Marker {
        /// The marker file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Written by a newer program.
    #[error("{}: dataset format {found}, this program knows up to {known}; use a newer lobtape", path.display())]
    Newer {
        /// The directory.
        path: PathBuf,
        /// Format of the directory.
        found: u32,
        /// Newest known format.
        known: u32,
    },
    /// Another process writes here.
    #[error("{}: in use by another writer ({owner}); stop it or choose another directory", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Who, as the marker says.
        owner: String,
    },
    /// The directory cannot be written.
    #[error("{}: not writable: {source}; change its owner or mode, or choose another directory", path.display())]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The path is, or leads through, something that is no directory.
    #[error("{}: is a file, or leads through one; a dataset is a directory: give the path of a new or an empty one", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The directory cannot be made there.
    #[error("{}: cannot be made there: {source}; choose a directory on a disk", path.display())]
    NoPlace {
        /// The directory.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It has rows, and no journal that says with which numbers its lanes go on.
    #[error("{}: has data but no journal (an import, or `_journal/` was removed); capture into a new directory", path.display())]
    NoJournal {
        /// The directory.
        path: PathBuf,
    },
    /// Only a writer may do this.
    #[error("{}: opened for reading only", path.display())]
    ReadOnly {
        /// The directory.
        path: PathBuf,
    },
    /// A published file is not what it should be.
    #[error("{}: damaged: {detail}; rebuild it from raw (lobtape rebuild)", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The manifest is not what it should be.
    #[error("{}:{line}: damaged manifest: {detail}; the files themselves are intact (lobtape recover mends a changed byte, lobtape rebuild --out makes a new dataset)", path.display())]
    Manifest {
        /// The manifest file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        detail: String,
    },
    /// A file of this name exists and has other content.
    #[error("{}: exists with other content (sha256 {found}, expected {expected}); nothing was overwritten", path.display())]
    Conflict {
        /// The file.
        path: PathBuf,
        /// Hash of what is there.
        found: String,
        /// Hash of what should be published.
        expected: String,
    },
    /// A row was given to a part of another table.
    #[error("{}: a row of {} was given to this part", path.display(), row.name())]
    WrongTable {
        /// The part.
        path: PathBuf,
        /// The row's table.
        row: Table,
    },
    /// The Parquet writer failed.
    #[error("{}: {doing}: {source}", path.display())]
    Encode {
        /// The file being written.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The library's error.
        source: parquet::errors::ParquetError,
    },
}

impl DatasetError {
    #[cold]
    pub(super) fn io(path: &Path, doing: &'static str, source: std::io::Error) -> DatasetError {
        DatasetError::Io { path: path.to_owned(), doing, source }
    }

    #[cold]
    pub(super) fn damaged(path: &Path, detail: impl Into<String>) -> DatasetError {
        DatasetError::Damaged { path: path.to_owned(), detail: detail.into() }
    }

    /// Whether stored data is at fault, not the machine or the arguments.
    pub fn is_damage(&self) -> bool {
        matches!(
            self,
            DatasetError::Damaged { .. }
                | DatasetError::Manifest { .. }
                | DatasetError::Marker { .. }
                | DatasetError::Conflict { .. }
        )
    }

    /// Whether the disk refused, so that the same may be done again when it takes what it is given.
    pub fn is_storage(&self) -> bool {
        matches!(
            self,
            DatasetError::Io { .. } | DatasetError::Encode { .. } | DatasetError::NotWritable { .. }
        )
    }

    /// Whether another directory or other arguments would help.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            DatasetError::NotOurs { .. }
                | DatasetError::Missing { .. }
                | DatasetError::Newer { .. }
                | DatasetError::Locked { .. }
                | DatasetError::NotADirectory { .. }
                | DatasetError::NoPlace { .. }
                | DatasetError::NoJournal { .. }
                | DatasetError::ReadOnly { .. }
        )
    }
}
