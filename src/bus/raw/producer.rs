//! The lane's end of the raw ring.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::entry::{ENTRY_HEADER, SKIP, check, entry_len, skip_check};
use super::{Map, RawMonitor};
use crate::model::Record;
use crate::model::ids::LaneId;

/// Why a record did not enter the ring. It is not in it then, not even in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// No room until the journal thread frees some: stop reading, write a `stall` record.
    #[error("the raw ring is full")]
    Full,
    /// It could never fit: hand it to the journal as a blob.
    #[error("a record of {len} bytes exceeds the raw ring's limit of {max}")]
    TooLarge {
        /// Encoded bytes.
        len: usize,
        /// Most that this ring takes.
        max: usize,
    },
}

/// The only writer of a ring. Allocates nothing, never waits, makes no system call.
pub struct RawProducer {
    map: Arc<Map>,
    head: u64,
    /// `dur` as last seen. Usually there is room by this one, so the shared word is read once per lap or so.
    freed: u64,
    /// Bytes that ordinary records may fill.
    limit: u64,
    max_record: usize,
    last_seq: i64,
}

impl RawProducer {
    pub(super) fn new(map: Arc<Map>) -> RawProducer {
        let limit = map.capacity - (map.capacity / 16).min(1 << 20);
        // Half of what is usable: whatever the position, an empty ring takes it, the skipped end included.
        let max_record = (limit / 2) as usize - 2 * ENTRY_HEADER;
        let (head, freed) = (map.head().load(Ordering::Acquire), map.dur().load(Ordering::Acquire));
        let last_seq = map.seq().load(Ordering::Acquire);
        RawProducer { map, head, freed, limit, max_record, last_seq }
    }

    /// Appends a record; it survives the process from the moment this returns `Ok`.
    ///
    /// # Errors
    /// [`PushError`]; a sixteenth of the ring, at most 1 MiB, is kept for [`RawProducer::push_control`].
    #[inline]
    pub fn push(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        self.put(record, self.limit)
    }

    /// Appends a record that must not be lost when the ring is full for frames: a stall, a close, a timer.
    ///
    /// # Errors
    /// [`PushError`] when even the space kept for control records is used up.
    pub fn push_control(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        self.put(record, self.map.capacity)
    }

    #[inline]
    fn put(&mut self, record: &Record<'_>, limit: u64) -> Result<(), PushError> {
        let len = record.encoded_len();
        if len > self.max_record || record.url.len() > usize::from(u16::MAX) {
            return Err(PushError::TooLarge { len, max: self.max_record });
        }
        let capacity = self.map.capacity;
        let size = entry_len(len) as u64;
        let off = self.head & (capacity - 1);
        let rest = capacity - off;
        let skipped = if size > rest { rest } else { 0 };
        let end = self.head + skipped + size;
        if end - self.freed > limit {
            self.freed = self.map.dur().load(Ordering::Acquire);
            if end - self.freed > limit {
                return Err(PushError::Full);
            }
        }
        let mut at = off as usize;
        if skipped != 0 {
            self.write_header(at, SKIP, skip_check(self.head));
            at = 0;
        }
        let pos = self.head + skipped;
        // SAFETY: positions `head..end` lie in the area, do not cross its end (checked above) and are ours alone: the
        // consumer reads only below `head`, which moves after the writing, and has given these bytes back by `dur`,
        // read with acquire order.
        let bytes = unsafe { std::slice::from_raw_parts_mut(self.map.data().add(at + ENTRY_HEADER), len) };
        record.encode_to(bytes);
        let sum = check(pos, bytes);
        self.write_header(at, len as u32, sum);
        self.head = end;
        self.last_seq = record.lane_seq;
        self.map.head().store(end, Ordering::Release);
        // After `head`: a process that dies in between leaves a mark that is one too small, never one that promises a
        // record which is not there.
        self.map.seq().store(record.lane_seq, Ordering::Release);
        Ok(())
    }

    #[inline]
    fn write_header(&mut self, off: usize, len: u32, check: u32) {
        let word = u64::from(len) | u64::from(check) << 32;
        // SAFETY: `off` is 8-aligned and below the capacity, the area is page-aligned, and these bytes are free (see
        // `put`, the only caller).
        unsafe { self.map.data().add(off).cast::<u64>().write(word.to_le()) };
    }

    /// Number of the last record that entered the ring; −1 before a lane's first ever.
    pub fn last_lane_seq(&self) -> i64 {
        self.last_seq
    }

    /// Number that the next record must carry.
    pub fn next_lane_seq(&self) -> i64 {
        self.last_seq + 1
    }

    /// Whose records.
    pub fn lane(&self) -> LaneId {
        self.map.lane
    }

    /// Longest encoded record that [`RawProducer::push`] takes, bytes.
    pub fn max_record(&self) -> usize {
        self.max_record
    }

    /// Share of the ring that is not durable yet, 0 to 1. Warn at 0.5.
    pub fn fill_ratio(&self) -> f64 {
        self.map.fill() as f64 / self.map.capacity as f64
    }

    /// Whether ordinary records of `bytes` encoded bytes in sum surely fit. A lane asks before it reads from a socket.
    pub fn has_room(&mut self, bytes: usize) -> bool {
        // An entry adds at most 15 bytes to a record of at least 64, and one skip at the end of the area wastes less
        // than the longest record.
        let need = entry_len(bytes + bytes / 4) as u64 + (bytes as u64).min(self.map.capacity / 2);
        if self.head + need - self.freed > self.limit {
            self.freed = self.map.dur().load(Ordering::Acquire);
        }
        self.head + need - self.freed <= self.limit
    }

    /// A handle for metrics.
    pub fn monitor(&self) -> RawMonitor {
        RawMonitor::new(Arc::clone(&self.map))
    }
}
