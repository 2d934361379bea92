//! The journal thread's end of the raw ring, and the handle for metrics.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Map;
use super::entry::{Entry, entry_at, resync};
use crate::model::ids::LaneId;

/// The only reader of a ring. It polls: at a few milliseconds between polls a 64 MiB ring cannot fill, so the lane
/// needs no system call to wake anybody.
pub struct RawConsumer {
    map: Arc<Map>,
    read: u64,
    /// `head` as last seen.
    head: u64,
    damaged: u64,
}

impl RawConsumer {
    pub(super) fn new(map: Arc<Map>) -> RawConsumer {
        let read = map.dur().load(Ordering::Acquire);
        RawConsumer { map, read, head: read, damaged: 0 }
    }

    /// The next record's bytes, as [`crate::model::Record::decode`] takes them; `None`: nothing new.
    pub fn next_record(&mut self) -> Option<&[u8]> {
        loop {
            if self.read == self.head {
                self.head = self.map.head().load(Ordering::Acquire);
                if self.read == self.head {
                    return None;
                }
            }
            // SAFETY: the area is `capacity` bytes long; `head` was read with acquire order, so the bytes below it are
            // complete, and the producer does not reuse them before `dur` passes them, which takes `&mut self`.
            match unsafe { entry_at(self.map.data(), self.map.capacity, self.read, self.head) } {
                Entry::Record { off, len, next } => {
                    self.read = next;
                    // SAFETY: as above; `entry_at` has checked the range, and the slice borrows `self`.
                    return Some(unsafe { std::slice::from_raw_parts(self.map.data().add(off), len) });
                }
                Entry::Skip { next } => self.read = next,
                Entry::Bad => {
                    // Somebody scribbled over our memory. What follows may be sound.
                    self.damaged += 1;
                    // SAFETY: as for `entry_at`.
                    self.read = unsafe { resync(self.map.data(), self.map.capacity, self.read, self.head) };
                }
            }
        }
    }

    /// Where the next record will be read: pass it to [`RawConsumer::mark_dur`] once all before it is durable.
    pub fn position(&self) -> u64 {
        self.read
    }

    /// All that was read is in the kernel (`jrn`).
    pub fn mark_jrn(&mut self) {
        self.map.jrn().store(self.read, Ordering::Release);
    }

    /// All before `pos` is durable: its slots are free. A position that was not read yet counts as what was read.
    pub fn mark_dur(&mut self, pos: u64) {
        let pos = pos.min(self.read);
        if pos > self.map.dur().load(Ordering::Relaxed) {
            self.map.dur().store(pos, Ordering::Release);
        }
    }

    /// Reads again from `dur`: after a failed `fsync` the tail goes to another file.
    pub fn rewind(&mut self) {
        self.read = self.map.dur().load(Ordering::Relaxed);
        self.map.jrn().store(self.read, Ordering::Release);
    }

    /// Entries that failed their check since the ring was opened.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// Whose records.
    pub fn lane(&self) -> LaneId {
        self.map.lane
    }

    /// A handle for metrics.
    pub fn monitor(&self) -> RawMonitor {
        RawMonitor::new(Arc::clone(&self.map))
    }

    /// The ring's file.
    pub fn path(&self) -> &Path {
        &self.map.path
    }

    /// Removes the file if all of it is durable (a clean stop leaves no memory behind). True if it is gone. The lane
    /// must have stopped: what it pushed later would be lost with the file.
    pub fn remove_if_drained(self) -> bool {
        self.map.fill() == 0 && std::fs::remove_file(&self.map.path).is_ok()
    }
}

/// Reads a ring's marks while it is in use.
#[derive(Clone)]
pub struct RawMonitor {
    map: Arc<Map>,
}

impl RawMonitor {
    pub(super) fn new(map: Arc<Map>) -> RawMonitor {
        RawMonitor { map }
    }

    /// Whose records.
    pub fn lane(&self) -> LaneId {
        self.map.lane
    }

    /// Bytes for entries.
    pub fn capacity(&self) -> u64 {
        self.map.capacity
    }

    /// Position after the last record (`rx`).
    pub fn head(&self) -> u64 {
        self.map.head().load(Ordering::Acquire)
    }

    /// Position up to which the kernel has the data (`jrn`).
    pub fn jrn(&self) -> u64 {
        self.map.jrn().load(Ordering::Acquire)
    }

    /// Position up to which the data is durable (`dur`).
    pub fn dur(&self) -> u64 {
        self.map.dur().load(Ordering::Acquire)
    }

    /// Number of the last record (`rx`); −1 before the first.
    pub fn last_lane_seq(&self) -> i64 {
        self.map.seq().load(Ordering::Acquire)
    }

    /// Share of the ring that is not durable yet, 0 to 1.
    pub fn fill_ratio(&self) -> f64 {
        self.map.fill() as f64 / self.map.capacity as f64
    }
}
