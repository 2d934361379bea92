//! Bytes of headers, fragments and sync markers. The layout stands in the room's documentation.

use super::Position;
use super::scan::LaneState;
use crate::sys::crc;

/// Version of the segment format.
pub const VERSION: u32 = 1;

pub(super) const MAGIC: [u8; 8] = *b"LOBTSEG\0";
/// Bytes of a block.
pub(super) const BLOCK: u64 = 64 << 10;
/// Bytes of a segment header.
pub(super) const HEADER_LEN: usize = 128;
/// Bytes of a fragment header.
pub(super) const FRAGMENT: usize = 8;
/// Less room than this before a block's end is left as zeros.
pub(super) const MIN_ROOM: u64 = 16;

const FLAG_RECYCLED: u32 = 1;
const FLAG_PREV: u32 = 2;

pub(super) const FULL: u8 = 1;
pub(super) const FIRST: u8 = 2;
pub(super) const MIDDLE: u8 = 3;
pub(super) const LAST: u8 = 4;
/// Fills a block, so that a seal stands in a block of its own and proves all before it.
pub(super) const PAD: u8 = 5;

/// Where the predecessor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Prev {
    /// Its number and the first offset that is not its own any more.
    pub end: Position,
    /// Its chain there.
    pub chain: u32,
}

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub number: u64,
    pub size: u64,
    pub salt: [u8; 16],
    pub dataset: u128,
    pub ts_first: i64,
    pub recycled: bool,
    pub prev: Option<Prev>,
}

/// Why bytes are no header of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    Newer(u32),
    Damaged,
}

fn u32_at(b: &[u8], i: usize) -> u32 {
    u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]])
}

fn u64_at(b: &[u8], i: usize) -> u64 {
    u64::from(u32_at(b, i)) | u64::from(u32_at(b, i + 4)) << 32
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut b = [0u8; HEADER_LEN];
        b[..8].copy_from_slice(&MAGIC);
        b[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let flags =
            if self.recycled { FLAG_RECYCLED } else { 0 } | if self.prev.is_some() { FLAG_PREV } else { 0 };
        b[12..16].copy_from_slice(&flags.to_le_bytes());
        b[16..24].copy_from_slice(&self.number.to_le_bytes());
        b[24..32].copy_from_slice(&self.size.to_le_bytes());
        b[32..48].copy_from_slice(&self.salt);
        b[48..64].copy_from_slice(&self.dataset.to_le_bytes());
        b[64..72].copy_from_slice(&self.ts_first.to_le_bytes());
        if let Some(p) = self.prev {
            b[72..80].copy_from_slice(&p.end.segment.to_le_bytes());
            b[80..88].copy_from_slice(&p.end.offset.to_le_bytes());
            b[88..92].copy_from_slice(&p.chain.to_le_bytes());
        }
        let crc = crc::crc32c(&b[..124]);
        b[124..].copy_from_slice(&crc.to_le_bytes());
        b
    }

    pub fn decode(b: &[u8; HEADER_LEN]) -> Result<Header, BadHeader> {
        if b[..8] != MAGIC {
            return Err(BadHeader::Damaged);
        }
        // Before the checksum: a newer layout may keep it elsewhere.
        if u32_at(b, 8) > VERSION {
            return Err(BadHeader::Newer(u32_at(b, 8)));
        }
        if u32_at(b, 8) != VERSION || crc::crc32c(&b[..124]) != u32_at(b, 124) {
            return Err(BadHeader::Damaged);
        }
        let flags = u32_at(b, 12);
        let prev =
            Prev { end: Position { segment: u64_at(b, 72), offset: u64_at(b, 80) }, chain: u32_at(b, 88) };
        let mut salt = [0u8; 16];
        salt.copy_from_slice(&b[32..48]);
        Ok(Header {
            number: u64_at(b, 16),
            size: u64_at(b, 24),
            salt,
            dataset: u128::from(u64_at(b, 48)) | u128::from(u64_at(b, 56)) << 64,
            ts_first: u64_at(b, 64) as i64,
            recycled: flags & FLAG_RECYCLED != 0,
            prev: (flags & FLAG_PREV != 0).then_some(prev),
        })
    }

    /// What every fragment CRC of this segment begins with.
    pub fn seed(&self) -> u32 {
        crc::crc32c_append(crc::crc32c(&self.salt), &self.number.to_le_bytes())
    }
}

/// Where fragments begin in the block that starts at `block`.
#[inline]
pub(super) fn data_start(block: u64) -> u64 {
    if block <= BLOCK { HEADER_LEN as u64 } else { 0 }
}

/// The offset at which the next fragment stands if the last one ended at `pos`.
#[inline]
pub(super) fn settle(pos: u64) -> u64 {
    let inside = pos % BLOCK;
    let block = pos - inside;
    if BLOCK - inside < MIN_ROOM {
        block + BLOCK + data_start(block + BLOCK)
    } else if inside < data_start(block) {
        block + data_start(block)
    } else {
        pos
    }
}

/// CRC of a fragment that stands at `offset`.
#[inline]
pub(super) fn fragment_crc(seed: u32, offset: u64, kind: u8, bytes: &[u8]) -> u32 {
    let place = ((offset >> 32) as u32).rotate_left(16) ^ offset as u32;
    let shape = (bytes.len() as u32) << 8 | u32::from(kind);
    // Both factors are odd, so different places and different shapes begin differently.
    let begin = seed ^ place.wrapping_mul(0x9E37_79B1) ^ shape.wrapping_mul(0x85EB_CA6B);
    crc::crc32c_append(begin, bytes)
}

/// The chain after one more fragment.
#[inline]
pub(super) fn chain(chain: u32, crc: u32) -> u32 {
    crc::crc32c_append(chain, &crc.to_le_bytes())
}

/// Most bytes that a record of `len` bytes takes, wherever it begins.
pub(super) fn span(len: usize) -> u64 {
    let len = len as u64;
    let blocks = len / (BLOCK - FRAGMENT as u64) + 2;
    len + blocks * (FRAGMENT as u64 + MIN_ROOM) + 2 * HEADER_LEN as u64
}

/// The payload of a `sync` record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Marker {
    /// All before this was durable when the marker was written.
    pub durable: Position,
    /// At the start of a segment: the lanes as they stood before it. Otherwise nothing.
    pub lanes: Option<Vec<LaneState>>,
}

const LANE_BYTES: usize = 40;

impl Marker {
    pub fn encode(&self) -> Vec<u8> {
        let mut b = Vec::with_capacity(24 + self.lanes.as_ref().map_or(0, |l| l.len() * LANE_BYTES));
        b.extend_from_slice(&self.durable.segment.to_le_bytes());
        b.extend_from_slice(&self.durable.offset.to_le_bytes());
        if let Some(lanes) = &self.lanes {
            for l in lanes {
                b.extend_from_slice(&l.lane.to_le_bytes());
                b.extend_from_slice(&[u8::from(l.stopped), 0, 0, 0, 0, 0]);
                b.extend_from_slice(&l.last_seq.to_le_bytes());
                b.extend_from_slice(&l.last_ts_recv.to_le_bytes());
                b.extend_from_slice(&l.max_ts_recv.to_le_bytes());
                b.extend_from_slice(&l.max_conn.to_le_bytes());
            }
            // The odd byte tells "no lanes yet" from "not said".
            b.push(1);
        }
        b
    }

    pub fn decode(b: &[u8]) -> Option<Marker> {
        let (head, rest) = b.split_at_checked(16)?;
        let durable = Position { segment: u64_at(head, 0), offset: u64_at(head, 8) };
        let Some((_, table)) = rest.split_last() else { return Some(Marker { durable, lanes: None }) };
        if table.len() % LANE_BYTES != 0 {
            return None;
        }
        let lanes = table
            .chunks_exact(LANE_BYTES)
            .map(|c| LaneState {
                lane: u16::from_le_bytes([c[0], c[1]]),
                stopped: c[2] != 0,
                last_seq: u64_at(c, 8) as i64,
                last_ts_recv: u64_at(c, 16) as i64,
                max_ts_recv: u64_at(c, 24) as i64,
                max_conn: u64_at(c, 32) as i64,
            })
            .collect();
        Some(Marker { durable, lanes: Some(lanes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            number: u64::MAX - 2,
            size: 128 << 10,
            salt: [9; 16],
            dataset: 1 << 127 | 5,
            ts_first: -7,
            recycled: true,
            prev: Some(Prev { end: Position { segment: u64::MAX - 3, offset: 77 }, chain: 0xdead_beef }),
        }
    }

    #[test]
    fn a_header_survives_and_each_flip_is_seen() {
        let h = header();
        let b = h.encode();
        assert_eq!(Header::decode(&b), Ok(h));
        for bit in 0..HEADER_LEN * 8 {
            let mut x = b;
            x[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&x).is_err(), "bit {bit}");
        }
        let none = Header { prev: None, recycled: false, ..h };
        assert_eq!(Header::decode(&none.encode()), Ok(none));
    }

    #[test]
    fn fragments_settle_behind_headers_and_before_block_ends() {
        assert_eq!(settle(0), 128);
        assert_eq!(settle(200), 200);
        assert_eq!(settle(BLOCK - 16), BLOCK - 16);
        assert_eq!(settle(BLOCK - 15), BLOCK + 128);
        assert_eq!(settle(BLOCK), BLOCK + 128);
        assert_eq!(settle(2 * BLOCK - 1), 2 * BLOCK);
        assert_eq!(settle(2 * BLOCK), 2 * BLOCK);
    }

    #[test]
    fn a_fragment_is_bound_to_its_place_and_shape() {
        let c = fragment_crc(1, 128, FULL, b"abcdefgh");
        assert_ne!(c, fragment_crc(2, 128, FULL, b"abcdefgh"));
        assert_ne!(c, fragment_crc(1, 128 + BLOCK, FULL, b"abcdefgh"));
        assert_ne!(c, fragment_crc(1, 128, FIRST, b"abcdefgh"));
        assert_ne!(c, fragment_crc(1, 128, FULL, b"abcdefg"));
    }

    #[test]
    fn markers_survive() {
        let durable = Position { segment: 3, offset: u64::MAX };
        let lane = LaneState {
            lane: 7,
            last_seq: i64::MAX,
            last_ts_recv: 1,
            max_ts_recv: 2,
            max_conn: 3,
            stopped: true,
        };
        for lanes in [None, Some(vec![]), Some(vec![lane, LaneState { lane: 9, stopped: false, ..lane }])] {
            let m = Marker { durable, lanes };
            assert_eq!(Marker::decode(&m.encode()), Some(m));
        }
        assert_eq!(Marker::decode(&[0; 15]), None);
        assert_eq!(Marker::decode(&[0; 30]), None);
    }
}
