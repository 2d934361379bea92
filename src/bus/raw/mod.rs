//! The raw ring: every record of a lane, in order, in memory that outlives the process.
//!
//! One producer (the lane), one consumer (the journal thread), a fallocated file mapped by both. A record that is below
//! `head` survives SIGKILL: the pages belong to the file, not to the process. Slots are freed only at `dur`, so the
//! tail that a failed `fsync` leaves in doubt is still here to be written again.
//!
//! ```text
//! page 0      0 magic 8 | 8 version u32 | 12 zero u32 | 16 dataset u128 | 32 capacity u64 | 40 lane u16, zero 6
//!            48 owner pid u32 | 52 zero | 60 crc32c of 0..60
//!           128 head u64, 136 last_lane_seq i64      written by the lane
//!           256 jrn u64                              written by the journal thread
//!           384 dur u64                              written by the journal thread
//! 4096…       capacity bytes of entries, each 8-aligned:
//!             len u32 | check u32 | `len` bytes of one `model::Record` | zero to 8
//!             len = 0xFFFF_FFFF: nothing more before the end of the area, go on at its start
//! ```
//!
//! Positions count bytes since the ring was made and never wrap (2^64 bytes); an entry never crosses the end of the
//! area. `check` is a CRC-32C of the record, begun with the entry's position and length: an entry of an earlier lap, a
//! forged length and a flipped bit all fail it, also when the file had to live on a disk and the power went.
//!
//! The bytes are written first, then `head` with release order. Nothing is torn below `head`, whenever the process dies.

mod consumer;
mod entry;
mod place;
mod producer;
mod salvage;
#[cfg(test)]
mod stress_tests;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};

use crate::model::ids::LaneId;
use crate::sys::{crc, shm};

pub use consumer::{RawConsumer, RawMonitor};
pub use place::{find_rings, ring_dir, ring_file_name};
pub use producer::{PushError, RawProducer};
pub use salvage::{RingMark, Salvage, inspect};

const MAGIC: [u8; 8] = *b"LOBTRAW\0";
/// Version of the ring's layout.
pub const VERSION: u32 = 1;
/// Bytes before the entries.
const PAGE: usize = 4096;
const CHECKED: usize = 60;
const AT_HEAD: usize = 128;
const AT_SEQ: usize = 136;
const AT_JRN: usize = 256;
const AT_DUR: usize = 384;

/// Default capacity, bytes.
pub const DEFAULT_CAPACITY: u64 = 64 << 20;
/// Least capacity, bytes.
pub const MIN_CAPACITY: u64 = 4096;
/// Greatest capacity, bytes.
pub const MAX_CAPACITY: u64 = 1 << 32;

// Header words are read and written as they lie in memory.
const _: () = assert!(cfg!(target_endian = "little"), "the raw ring is laid out little-endian");

/// Why a ring was not made, opened or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RawError {
    /// The file system refused.
    #[error("raw ring {}: cannot {what}", path.display())]
    Io {
        /// Which ring.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Another process captures into it.
    #[error("raw ring {}: in use by process {pid}; stop that daemon first", path.display())]
    InUse {
        /// Which ring.
        path: PathBuf,
        /// Who made it (as its header says; 0 = not known).
        pid: u32,
    },
    /// Others could read or forge it.
    #[error("raw ring {}: belongs to uid {uid} with mode {mode:o}; it must be ours with mode 600: remove it", path.display())]
    Insecure {
        /// Which ring.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Another program's file, or a damaged header.
    #[error("raw ring {}: not a raw ring, or its header is damaged; left as it is", path.display())]
    NotARing {
        /// Which file.
        path: PathBuf,
    },
    /// Written by a newer release.
    #[error("raw ring {}: layout version {found}, this release knows {VERSION}; use the newer release", path.display())]
    NewerVersion {
        /// Which ring.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It belongs to another dataset or lane.
    #[error("raw ring {}: belongs to dataset {found:032x} lane {lane}", path.display())]
    Foreign {
        /// Which ring.
        path: PathBuf,
        /// Whose it is.
        found: u128,
        /// Which lane's it is.
        lane: LaneId,
    },
    /// Records of a killed process are still in it.
    #[error("raw ring {}: holds {bytes} bytes that are not durable yet; run recover first", path.display())]
    NotDrained {
        /// Which ring.
        path: PathBuf,
        /// Bytes between `dur` and `head`.
        bytes: u64,
    },
    /// Not a power of two, or out of range.
    #[error("raw ring capacity {0} is no power of two between {MIN_CAPACITY} and {MAX_CAPACITY}")]
    Capacity(u64),
}

/// What a new ring is.
#[derive(Clone, Copy, Debug)]
pub struct RawOptions {
    /// Whose records.
    pub dataset: u128,
    /// Of which lane.
    pub lane: LaneId,
    /// Bytes for entries, a power of two.
    pub capacity: u64,
    /// The lane's last `lane_seq` before this ring (−1 = none yet).
    pub last_lane_seq: i64,
}

/// Page 0 and the area of a ring, in one piece, 8-aligned at least, never moved.
enum Memory {
    /// A file's: it outlives the process.
    File {
        map: MmapRaw,
        /// Holds the lock.
        _file: File,
    },
    /// Our own, for tests: Miri maps no files.
    #[cfg(test)]
    Owned(Box<[AtomicU64]>),
}

impl Memory {
    #[inline]
    fn base(&self) -> *mut u8 {
        match self {
            Memory::File { map, .. } => map.as_mut_ptr(),
            #[cfg(test)]
            Memory::Owned(words) => words.as_ptr().cast_mut().cast(),
        }
    }
}

/// The memory with what is known of it. Shared by producer, consumer and monitors; the last one closes file and lock.
struct Map {
    memory: Memory,
    path: PathBuf,
    capacity: u64,
    lane: LaneId,
}

impl Map {
    fn word(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at.is_multiple_of(8) && at + 8 <= PAGE);
        // SAFETY: callers pass one of the AT_ constants: 8-aligned and inside page 0 of a memory that is at least a
        // page long and lives as long as `self`. Every access to these words goes through atomics.
        unsafe { AtomicU64::from_ptr(self.memory.base().add(at).cast()) }
    }

    fn head(&self) -> &AtomicU64 {
        self.word(AT_HEAD)
    }

    fn jrn(&self) -> &AtomicU64 {
        self.word(AT_JRN)
    }

    fn dur(&self) -> &AtomicU64 {
        self.word(AT_DUR)
    }

    fn seq(&self) -> &AtomicI64 {
        // SAFETY: as in `word`; i64 and u64 have one size and alignment, and this word is used as i64 only.
        unsafe { AtomicI64::from_ptr(self.memory.base().add(AT_SEQ).cast()) }
    }

    /// First byte of the entries. Only `entry`, the producer and `salvage` follow it.
    fn data(&self) -> *mut u8 {
        // SAFETY: the memory is PAGE + capacity bytes long.
        unsafe { self.memory.base().add(PAGE) }
    }

    fn fill(&self) -> u64 {
        // `dur` first: it never passes `head`, so the difference cannot be negative.
        let dur = self.dur().load(Ordering::Acquire);
        self.head().load(Ordering::Acquire).saturating_sub(dur)
    }
}

/// What page 0 says.
#[derive(Clone, Copy, Debug)]
struct Header {
    dataset: u128,
    capacity: u64,
    lane: LaneId,
    pid: u32,
}

impl Header {
    fn encode(&self) -> [u8; 64] {
        let mut b = [0u8; 64];
        b[..8].copy_from_slice(&MAGIC);
        b[8..12].copy_from_slice(&VERSION.to_le_bytes());
        b[16..32].copy_from_slice(&self.dataset.to_le_bytes());
        b[32..40].copy_from_slice(&self.capacity.to_le_bytes());
        b[40..42].copy_from_slice(&self.lane.to_le_bytes());
        b[48..52].copy_from_slice(&self.pid.to_le_bytes());
        let crc = crc::crc32c(&b[..CHECKED]);
        b[CHECKED..].copy_from_slice(&crc.to_le_bytes());
        b
    }

    /// `Ok(None)`: nobody finished making this ring, so nothing was ever in it.
    fn decode(path: &Path, b: &[u8]) -> Result<Option<Header>, RawError> {
        let damaged = || RawError::NotARing { path: path.to_path_buf() };
        // The magic is written last.
        if b.iter().take(8).all(|&x| x == 0) {
            return Ok(None);
        }
        if b.len() < 64 || b[..8] != MAGIC {
            return Err(damaged());
        }
        let u32_at = |i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        let u64_at = |i: usize| u64::from(u32_at(i)) | u64::from(u32_at(i + 4)) << 32;
        // Before the checksum: a newer layout may keep it elsewhere.
        if u32_at(8) > VERSION {
            return Err(RawError::NewerVersion { path: path.to_path_buf(), found: u32_at(8) });
        }
        let h = Header {
            dataset: u128::from(u64_at(16)) | u128::from(u64_at(24)) << 64,
            capacity: u64_at(32),
            lane: u16::from_le_bytes([b[40], b[41]]),
            pid: u32_at(48),
        };
        let sound = crc::crc32c(&b[..CHECKED]) == u32_at(CHECKED) && u32_at(8) == VERSION;
        if sound && check_capacity(h.capacity).is_ok() { Ok(Some(h)) } else { Err(damaged()) }
    }
}

fn check_capacity(n: u64) -> Result<(), RawError> {
    let fine = n.is_power_of_two() && (MIN_CAPACITY..=MAX_CAPACITY).contains(&n);
    if fine { Ok(()) } else { Err(RawError::Capacity(n)) }
}

fn io_error<'a>(path: &'a Path, what: &'static str) -> impl FnOnce(io::Error) -> RawError + 'a {
    move |source| RawError::Io { path: path.to_path_buf(), what, source }
}

/// Opens the file, checks its owner, takes its lock and reads its header.
fn open_locked(path: &Path, create: bool) -> Result<(File, Option<Header>), RawError> {
    use std::os::unix::fs::FileExt;
    let file = shm::open_private(path, create)
        .map_err(io_error(path, "open"))?
        .map_err(|e| RawError::Insecure { path: path.to_path_buf(), uid: e.uid, mode: e.mode })?;
    let len = file.metadata().map_err(io_error(path, "stat"))?.len();
    let mut b = [0u8; 64];
    let n = usize::try_from(len.min(64)).unwrap_or(64);
    file.read_exact_at(&mut b[..n], 0).map_err(io_error(path, "read"))?;
    if !shm::try_lock(&file).map_err(io_error(path, "lock"))? {
        let pid = Header::decode(path, &b[..n]).ok().flatten().map_or(0, |h| h.pid);
        return Err(RawError::InUse { path: path.to_path_buf(), pid });
    }
    let header = Header::decode(path, &b[..n])?;
    if let Some(h) = header
        && len < PAGE as u64 + h.capacity
    {
        return Err(RawError::NotARing { path: path.to_path_buf() });
    }
    Ok((file, header))
}

fn map(path: &Path, file: File, h: &Header) -> Result<Map, RawError> {
    let len = PAGE + usize::try_from(h.capacity).map_err(|_| RawError::Capacity(h.capacity))?;
    // Populated: after start no page of the ring is touched for the first time.
    let raw = MmapOptions::new().len(len).populate().map_raw(&file).map_err(io_error(path, "map"))?;
    Ok(Map {
        memory: Memory::File { map: raw, _file: file },
        path: path.to_path_buf(),
        capacity: h.capacity,
        lane: h.lane,
    })
}

/// Makes the ring of a lane, or takes over the empty one that an earlier run left.
///
/// # Errors
/// [`RawError`]: records of a killed process still in it, somebody else's file, no room (all of it is reserved here).
pub fn create(path: &Path, o: &RawOptions) -> Result<(RawProducer, RawConsumer), RawError> {
    use std::os::unix::fs::FileExt;
    check_capacity(o.capacity)?;
    let (file, old) = open_locked(path, true)?;
    if let Some(h) = old {
        if h.dataset != o.dataset || h.lane != o.lane {
            return Err(RawError::Foreign { path: path.to_path_buf(), found: h.dataset, lane: h.lane });
        }
        let mut b = [0u8; 8];
        let mut word = |at: usize| -> Result<u64, RawError> {
            file.read_exact_at(&mut b, at as u64).map_err(io_error(path, "read"))?;
            Ok(u64::from_le_bytes(b))
        };
        let bytes = word(AT_HEAD)?.wrapping_sub(word(AT_DUR)?);
        if bytes != 0 {
            return Err(RawError::NotDrained { path: path.to_path_buf(), bytes });
        }
    }
    // Magic last: a process that dies in between leaves a file that is blank, not one that lies. Only the header page
    // needs clearing, for entries are bound to their position and `head` says where they end.
    let total = PAGE as u64 + o.capacity;
    file.write_all_at(&[0; PAGE], 0).map_err(io_error(path, "write"))?;
    shm::reserve(&file, total).map_err(io_error(path, "reserve"))?;
    file.set_len(total).map_err(io_error(path, "shorten"))?;
    file.write_all_at(&o.last_lane_seq.to_le_bytes(), AT_SEQ as u64).map_err(io_error(path, "write"))?;
    let header = Header { dataset: o.dataset, capacity: o.capacity, lane: o.lane, pid: std::process::id() };
    let bytes = header.encode();
    file.write_all_at(&bytes[8..], 8).map_err(io_error(path, "write"))?;
    file.write_all_at(&bytes[..8], 0).map_err(io_error(path, "write"))?;
    Ok(ends(&Arc::new(map(path, file, &header)?)))
}

fn ends(map: &Arc<Map>) -> (RawProducer, RawConsumer) {
    (RawProducer::new(Arc::clone(map)), RawConsumer::new(Arc::clone(map)))
}
