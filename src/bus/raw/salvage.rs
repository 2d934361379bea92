//! What a killed process left in its ring.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::entry::{Entry, entry_at, resync};
use super::{AT_DUR, AT_HEAD, AT_JRN, AT_SEQ, Header, Map, PAGE, RawError, io_error, map, open_locked};
use crate::model::Record;
use crate::model::ids::{ConnId, LaneId};

/// The marks of a ring, read from its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RingMark {
    /// Whose records.
    pub dataset: u128,
    /// Which lane's.
    pub lane: LaneId,
    /// Process that made it.
    pub pid: u32,
    /// Position after the last record (`rx`).
    pub head: u64,
    /// Position up to which the kernel has the data.
    pub jrn: u64,
    /// Position up to which the data is durable.
    pub dur: u64,
    /// Number of the last record (`rx`); −1 = none ever.
    pub last_lane_seq: i64,
    /// Last `rseq` of each connection among the records between `dur` and `head`.
    pub conns: BTreeMap<ConnId, i64>,
    /// Entries between `dur` and `head` that failed their check.
    pub damaged: u64,
}

/// Walks entries over plain bytes.
struct Walk {
    pos: u64,
    head: u64,
    capacity: u64,
    damaged: u64,
}

impl Walk {
    /// A walk from `dur` to `head`; marks that cannot be are cut to what the area can hold.
    fn new(dur: u64, head: u64, capacity: u64) -> Walk {
        let sound = dur <= head && head - dur <= capacity && dur.is_multiple_of(8) && head.is_multiple_of(8);
        Walk { pos: if sound { dur } else { head }, head, capacity, damaged: u64::from(!sound) }
    }

    /// # Safety
    /// `data` points to `capacity` bytes that nobody writes meanwhile.
    unsafe fn next(&mut self, data: *const u8) -> Option<(usize, usize)> {
        while self.pos < self.head {
            // SAFETY: passed on from the caller.
            match unsafe { entry_at(data, self.capacity, self.pos, self.head) } {
                Entry::Record { off, len, next } => {
                    self.pos = next;
                    return Some((off, len));
                }
                Entry::Skip { next } => self.pos = next,
                Entry::Bad => {
                    self.damaged += 1;
                    // SAFETY: passed on from the caller.
                    self.pos = unsafe { resync(data, self.capacity, self.pos, self.head) };
                }
            }
        }
        None
    }
}

/// The records between `dur` and `head` of a ring that nobody uses any more. Holds the ring's lock.
pub struct Salvage {
    map: Arc<Map>,
    walk: Walk,
}

impl Salvage {
    /// Opens the ring of a dead process. `Ok(None)`: the ring was never finished, nothing was in it.
    ///
    /// # Errors
    /// [`RawError`]: in use, somebody else's, newer, no ring. The file is left as it is.
    pub fn open(path: &Path, dataset: u128) -> Result<Option<Salvage>, RawError> {
        let (file, header) = open_locked(path, false)?;
        let Some(h) = header else { return Ok(None) };
        if h.dataset != dataset {
            return Err(RawError::Foreign { path: path.to_path_buf(), found: h.dataset, lane: h.lane });
        }
        Ok(Some(Salvage::of(Arc::new(map(path, file, &h)?))))
    }

    /// The records in a memory that nobody else uses any more.
    pub(super) fn of(map: Arc<Map>) -> Salvage {
        let (dur, head) = (map.dur().load(Ordering::Acquire), map.head().load(Ordering::Acquire));
        let walk = Walk::new(dur, head, map.capacity);
        Salvage { map, walk }
    }

    /// The next record's bytes; `None`: that was all.
    pub fn next_record(&mut self) -> Option<&[u8]> {
        // SAFETY: the area is `capacity` bytes long and the lock keeps every producer away.
        let (off, len) = unsafe { self.walk.next(self.map.data()) }?;
        // SAFETY: as above; the walk has checked the range.
        Some(unsafe { std::slice::from_raw_parts(self.map.data().add(off), len) })
    }

    /// Entries that failed their check so far.
    pub fn damaged(&self) -> u64 {
        self.walk.damaged
    }

    /// Which lane's ring it is.
    pub fn lane(&self) -> LaneId {
        self.map.lane
    }

    /// Empties the ring. Only after all its records are durable in the journal.
    pub fn clear(self) {
        let head = self.map.head().load(Ordering::Acquire);
        self.map.jrn().store(head, Ordering::Release);
        self.map.dur().store(head, Ordering::Release);
    }
}

/// Reads a ring's marks from its file, without its lock: exact when its process is dead, a moment's picture otherwise
/// (entries that are overwritten meanwhile count as damaged). `Ok(None)`: never finished.
///
/// # Errors
/// [`RawError`] where the file cannot be read or is no ring.
pub fn inspect(path: &Path) -> Result<Option<RingMark>, RawError> {
    let bytes = std::fs::read(path).map_err(io_error(path, "read"))?;
    let Some(h) = Header::decode(path, &bytes)? else { return Ok(None) };
    let Some(data) = bytes.get(PAGE..).filter(|d| d.len() as u64 >= h.capacity) else {
        return Err(RawError::NotARing { path: path.to_path_buf() });
    };
    let word = |at: usize| {
        let mut b = [0u8; 8];
        b.copy_from_slice(&bytes[at..at + 8]);
        u64::from_le_bytes(b)
    };
    let (head, dur) = (word(AT_HEAD), word(AT_DUR));
    let mut mark = RingMark {
        dataset: h.dataset,
        lane: h.lane,
        pid: h.pid,
        head,
        jrn: word(AT_JRN),
        dur,
        last_lane_seq: word(AT_SEQ) as i64,
        conns: BTreeMap::new(),
        damaged: 0,
    };
    let mut walk = Walk::new(dur, head, h.capacity);
    // SAFETY: `data` is our own copy, at least `capacity` bytes.
    while let Some((off, len)) = unsafe { walk.next(data.as_ptr()) } {
        if let Ok(r) = Record::decode(&data[off..off + len]) {
            mark.last_lane_seq = mark.last_lane_seq.max(r.lane_seq);
            if r.rseq >= 0 {
                mark.conns.insert(r.conn, r.rseq);
            }
        }
    }
    mark.damaged = walk.damaged;
    Ok(Some(mark))
}
