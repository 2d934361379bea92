//! Records on disk: format, writer, reader, salvage of the raw ring.
//!
//! One sequence of segments for all lanes, `<number, 20 digits>.seg`, preallocated and recycled, written by `pwrite` and
//! never by mmap (`SIGBUS` on a full disk kills a process, `fallocate` fails up front). No index, no ledger: all state
//! is derived from the segments.
//!
//! ```text
//! segment   blocks of 64 KiB; a header of 128 bytes opens block 0, its copy opens block 1 (one bad bit costs one block)
//! header    0 magic 8 | 8 version u32 | 12 flags u32 (1 recycled, 2 has a predecessor) | 16 number u64 | 24 size u64
//!           32 salt 16 | 48 dataset u128 | 64 ts_recv of the first record i64
//!           72 predecessor u64 | 80 its end u64 | 88 its chain u32 | 92 zero | 124 crc32c of 0..124
//! fragment  crc u32 | length u16 | type u8 (1 full, 2 first, 3 middle, 4 last, 5 padding) | zero u8 | bytes
//! record    the bytes of `model::Record`, in one fragment or several; never over the end of its segment
//! ```
//!
//! A fragment never crosses a block; fewer than 16 bytes before a block's end are zeros. Its CRC-32C begins with a seed made
//! of the segment's random salt and number, the fragment's offset, type and length: stale bytes of a recycled segment,
//! swapped blocks and forged lengths fail it. `chain` runs over all fragment CRCs and goes on in the next segment.
//!
//! **Durability.** After each `fdatasync` a record of kind `sync` says how far the data was durable then; a new segment
//! begins with one that also carries the last numbers of every lane. A segment is synced before the next one begins,
//! and the next one's header states where it ended. Hence the rule for bad bytes: before the last position known to be durable
//! they are *corruption* (the block is quarantined, the rest is read); after it they are the *torn tail* of a crash, cut and counted.
//!
//! **A writer never continues an old file.** After a restart it goes on in a new segment, so no byte of a torn tail can
//! come back to life. After a failed write or sync it does the same, and the records since the last durable position
//! are appended again; a reader that saw them before knows them by `(lane, lane_seq)`.

mod ballast;
#[cfg(test)]
mod edges_tests;
mod format;
#[cfg(test)]
mod formats_tests;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod marks;
#[cfg(test)]
pub(crate) mod model_tests;
mod pump;
#[cfg(test)]
mod pump_tests;
mod reader;
mod recover;
mod scan;
mod segment;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bus::raw::RawError;
use crate::model::RecordError;

pub use ballast::Ballast;
pub use format::VERSION;
pub use marks::{JournalShared, LaneMark, Marks, Storage};
pub use pump::{Appended, Command, ControlRecord, Pump, PumpOptions};
pub use reader::{JournalReader, ReadItem, ReaderStats};
pub use recover::{LaneReport, Report, RingReport, recover};
pub use scan::{LaneState, Tail};
pub use segment::{SegmentInfo, list_segments};
pub use writer::{JournalWriter, Options};

/// A place in the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Segment number.
    pub segment: u64,
    /// Bytes from the start of its file.
    pub offset: u64,
}

impl Position {
    /// Before everything: the oldest segment there is.
    pub const START: Position = Position { segment: 0, offset: 0 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

/// Where segments live: one directory, and a second one for when the first fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dirs {
    /// The dataset's `_journal/`; the lock and the spares are here.
    pub primary: PathBuf,
    /// Takes new segments when the first directory refuses; read always.
    pub fallback: Option<PathBuf>,
}

impl Dirs {
    /// One directory only.
    pub fn new(primary: impl Into<PathBuf>) -> Dirs {
        Dirs { primary: primary.into(), fallback: None }
    }

    fn all(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.primary.as_path()).chain(self.fallback.as_deref())
    }
}

/// Why the journal could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file system refused.
    #[error("journal {}: cannot {what}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A write or sync of this segment failed; it is never tried again on the same file.
    #[error("journal segment {number} has failed: abandon it and append again what was not durable")]
    SegmentFailed {
        /// Which segment.
        number: u64,
    },
    /// Another process writes here.
    #[error("journal {}: in use by another process", path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The segment belongs to another dataset.
    #[error("journal {}: belongs to dataset {found:032x}", path.display())]
    Foreign {
        /// Which segment.
        path: PathBuf,
        /// Whose it is.
        found: u128,
    },
    /// Written by a newer release; nothing was changed.
    #[error("journal {}: format version {found}, this release knows {VERSION}; use the newer release", path.display())]
    NewerVersion {
        /// Which segment.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The last segment number that 64 bits hold is in use.
    #[error("journal: no segment number after {0}")]
    Exhausted(u64),
    /// Segments must be whole blocks, at least two.
    #[error(
        "journal: a segment of {0} bytes is not a whole number of 64 KiB blocks, at least two, at most 4 GiB"
    )]
    SegmentSize(u64),
    /// Longer than a segment may ever be, or not a record at all.
    #[error("journal: {len} bytes are no record that can be stored")]
    NoRecord {
        /// Its bytes.
        len: usize,
    },
    /// The bytes are what was written, yet not a record that this release knows.
    #[error("journal {at}: unreadable record")]
    Record {
        /// Where it begins.
        at: Position,
        /// Why.
        #[source]
        source: RecordError,
    },
    /// A raw ring could not be salvaged.
    #[error(transparent)]
    Ring(#[from] RawError),
}

impl JournalError {
    /// Whether a new segment, perhaps elsewhere, may help.
    pub fn is_storage(&self) -> bool {
        matches!(self, JournalError::Io { .. } | JournalError::SegmentFailed { .. })
    }

    /// Whether there is no room.
    fn is_full(&self) -> bool {
        let JournalError::Io { source, .. } = self else { return false };
        matches!(source.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT))
    }
}

fn io_error<'a>(path: &'a Path, what: &'static str) -> impl FnOnce(io::Error) -> JournalError + 'a {
    move |source| JournalError::Io { path: path.to_path_buf(), what, source }
}
