//! One entry: where it lies, whether it is one.

use crate::model::record::HEADER_LEN;
use crate::sys::crc;

pub(super) const ENTRY_HEADER: usize = 8;
pub(super) const SKIP: u32 = u32::MAX;

/// Bytes that a record of `len` bytes takes in the ring.
#[inline]
pub(super) fn entry_len(len: usize) -> usize {
    (ENTRY_HEADER + len + 7) & !7
}

/// Where the checksum begins: other for each position and length, so that no entry passes for another.
#[inline]
fn seed(pos: u64, len: u32) -> u32 {
    ((pos >> 3) as u32) ^ ((pos >> 35) as u32).rotate_left(16) ^ len.wrapping_mul(0x9E37_79B1)
}

/// `check` of an entry.
#[inline]
pub(super) fn check(pos: u64, record: &[u8]) -> u32 {
    crc::crc32c_append(seed(pos, record.len() as u32), record)
}

/// `check` of a skip marker.
#[inline]
pub(super) fn skip_check(pos: u64) -> u32 {
    !seed(pos, SKIP)
}

/// What stands at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A sound record: bytes from `off`, the next entry at `next`.
    Record { off: usize, len: usize, next: u64 },
    /// Nothing more before the end of the area.
    Skip { next: u64 },
    /// Damage.
    Bad,
}

/// Looks at the entry at `pos`; touches only bytes of `pos..head`.
///
/// # Safety
/// `data` points to `capacity` readable bytes, and nobody writes those of positions `pos..head` meanwhile.
pub(super) unsafe fn entry_at(data: *const u8, capacity: u64, pos: u64, head: u64) -> Entry {
    let off = (pos & (capacity - 1)) as usize;
    let room = (capacity as usize - off).min(head.saturating_sub(pos).min(capacity) as usize);
    if room < ENTRY_HEADER || !pos.is_multiple_of(8) {
        return Entry::Bad;
    }
    let mut h = [0u8; ENTRY_HEADER];
    // SAFETY: `off + 8 <= capacity` and the bytes are below `head`, as just checked; the caller vouches for the rest.
    unsafe { std::ptr::copy_nonoverlapping(data.add(off), h.as_mut_ptr(), ENTRY_HEADER) };
    let len32 = u32::from_le_bytes([h[0], h[1], h[2], h[3]]);
    let stored = u32::from_le_bytes([h[4], h[5], h[6], h[7]]);
    if len32 == SKIP {
        let next = pos + (capacity - off as u64);
        return if stored == skip_check(pos) && next <= head { Entry::Skip { next } } else { Entry::Bad };
    }
    let len = len32 as usize;
    // The lower bound also keeps zeros from being an entry.
    if len < HEADER_LEN || len > room - ENTRY_HEADER || entry_len(len) > room {
        return Entry::Bad;
    }
    // SAFETY: `off + 8 + len <= off + room`, inside the area and below `head`.
    let record = unsafe { std::slice::from_raw_parts(data.add(off + ENTRY_HEADER), len) };
    if check(pos, record) != stored {
        return Entry::Bad;
    }
    Entry::Record { off: off + ENTRY_HEADER, len, next: pos + entry_len(len) as u64 }
}

/// The next position from `pos` on at which something sound stands, at most `head`.
///
/// # Safety
/// As for [`entry_at`].
pub(super) unsafe fn resync(data: *const u8, capacity: u64, pos: u64, head: u64) -> u64 {
    let mut p = (pos | 7) + 1;
    while p < head {
        // SAFETY: passed on from the caller; the range only shrinks.
        if unsafe { entry_at(data, capacity, p, head) } != Entry::Bad {
            return p;
        }
        p += 8;
    }
    head
}
