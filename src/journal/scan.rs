//! One segment read in order: fragments to records, damage told and stepped over, and where it ends.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::format::{
    BLOCK, FIRST, FRAGMENT, FULL, Header, LAST, MIN_ROOM, Marker, PAD, chain, data_start, fragment_crc,
    settle,
};
use super::{JournalError, Position, io_error};
use crate::model::ids::{ConnId, LaneId};
use crate::model::record::HEADER_LEN as RECORD_HEADER;
use crate::model::{Kind, Record};

/// The last numbers of a lane, as the journal knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneState {
    /// Which lane.
    pub lane: LaneId,
    /// Its last `lane_seq`.
    pub last_seq: i64,
    /// `ts_recv` of that record, ns.
    pub last_ts_recv: i64,
    /// Greatest `ts_recv` of the lane, ns.
    pub max_ts_recv: i64,
    /// Greatest connection id of the lane; 0 = none.
    pub max_conn: ConnId,
    /// The last record was a `Stop`: the lane ended cleanly.
    pub stopped: bool,
}

/// Lanes by number. Lane numbers are dense and few.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes(Vec<LaneState>);

impl Lanes {
    pub fn from_states(states: &[LaneState]) -> Lanes {
        let mut v = states.to_vec();
        v.sort_by_key(|l| l.lane);
        Lanes(v)
    }

    pub fn states(&self) -> &[LaneState] {
        &self.0
    }

    pub fn get(&self, lane: LaneId) -> Option<&LaneState> {
        self.0.binary_search_by_key(&lane, |l| l.lane).ok().map(|i| &self.0[i])
    }

    /// Notes a record. Sync markers and seals are the journal's own and belong to no lane.
    #[inline]
    pub fn note(&mut self, kind: Kind, lane: LaneId, lane_seq: i64, conn: ConnId, ts_recv: i64) {
        if matches!(kind, Kind::Sync | Kind::Seal) {
            return;
        }
        let i = match self.0.binary_search_by_key(&lane, |l| l.lane) {
            Ok(i) => i,
            Err(i) => {
                let new = LaneState {
                    lane,
                    last_seq: i64::MIN,
                    last_ts_recv: 0,
                    max_ts_recv: i64::MIN,
                    max_conn: 0,
                    stopped: false,
                };
                self.0.insert(i, new);
                i
            }
        };
        let l = &mut self.0[i];
        l.max_conn = l.max_conn.max(conn);
        l.max_ts_recv = l.max_ts_recv.max(ts_recv);
        if lane_seq >= l.last_seq {
            l.last_seq = lane_seq;
            l.last_ts_recv = ts_recv;
            l.stopped = kind == Kind::Stop;
        }
    }

    pub fn note_record(&mut self, r: &Record<'_>) {
        self.note(r.kind, r.lane, r.lane_seq, r.conn, r.ts_recv);
    }
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A record; its bytes are [`SegmentReader::bytes`].
    Record { start: u64, end: u64 },
    /// Damage from `offset` on; the rest of the block is not read.
    Bad { offset: u64, len: u64 },
    /// Nothing more before the limit.
    End,
}

enum Place {
    Block(Range<usize>),
    Assembled,
}

/// Reads one segment in order.
pub(super) struct SegmentReader {
    file: File,
    path: PathBuf,
    pub header: Header,
    seed: u32,
    block: Box<[u8]>,
    /// Offset of the block in memory and how much of it is there.
    block_at: u64,
    filled: usize,
    pos: u64,
    assembled: Vec<u8>,
    /// Where the record being assembled began.
    pending: Option<u64>,
    last: Place,
    pub chain: u32,
}

impl SegmentReader {
    pub fn new(file: File, path: &Path, header: Header, from: u64) -> SegmentReader {
        SegmentReader {
            file,
            path: path.to_path_buf(),
            header,
            seed: header.seed(),
            block: vec![0; BLOCK as usize].into_boxed_slice(),
            block_at: 0,
            filled: 0,
            pos: from,
            assembled: Vec::new(),
            pending: None,
            last: Place::Assembled,
            chain: header.prev.map_or(0, |p| p.chain),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next fragment is looked for.
    pub fn pos(&self) -> u64 {
        self.pos
    }

    /// The file is not the one of that name any more: it was reclaimed while it was read.
    pub fn is_gone(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        match (self.file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(open), Ok(named)) => open.ino() != named.ino() || open.dev() != named.dev(),
            (_, Err(e)) => e.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// The bytes of the record that the last step returned.
    pub fn bytes(&self) -> &[u8] {
        match &self.last {
            Place::Block(r) => &self.block[r.clone()],
            Place::Assembled => &self.assembled,
        }
    }

    /// Reads on, never past `limit`, which is the end of a record.
    pub fn step(&mut self, limit: u64) -> Result<Step, JournalError> {
        loop {
            let at = settle(self.pos);
            if at >= limit {
                return Ok(Step::End);
            }
            self.pos = at;
            let Some((kind, range)) = self.fragment(limit)? else { return Ok(self.quarantine(limit)) };
            let end = at + (FRAGMENT + range.len()) as u64;
            self.pos = end;
            match kind {
                FULL => {
                    self.pending = None;
                    self.last = Place::Block(range);
                    return Ok(Step::Record { start: at, end });
                }
                FIRST => {
                    self.assembled.clear();
                    self.assembled.extend_from_slice(&self.block[range]);
                    self.pending = Some(at);
                }
                PAD => {}
                // Without a beginning it belongs to a record that a damaged block has cut.
                _ => {
                    if let Some(start) = self.pending {
                        self.assembled.extend_from_slice(&self.block[range]);
                        if kind == LAST {
                            self.pending = None;
                            self.last = Place::Assembled;
                            return Ok(Step::Record { start, end });
                        }
                    }
                }
            }
        }
    }

    /// The fragment at `pos`: its type and where its bytes are in the block. `None`: there is none.
    fn fragment(&mut self, limit: u64) -> Result<Option<(u8, Range<usize>)>, JournalError> {
        let inside = (self.pos % BLOCK) as usize;
        self.load(self.pos - inside as u64, limit)?;
        let Some(h) = self.block[..self.filled].get(inside..inside + FRAGMENT) else { return Ok(None) };
        let crc = u32::from_le_bytes([h[0], h[1], h[2], h[3]]);
        let len = usize::from(u16::from_le_bytes([h[4], h[5]]));
        let (kind, zero) = (h[6], h[7]);
        let range = inside + FRAGMENT..inside + FRAGMENT + len;
        if len == 0 || zero != 0 || !(FULL..=PAD).contains(&kind) || range.end > self.filled {
            return Ok(None);
        }
        let found = fragment_crc(self.seed, self.pos, kind, &self.block[range.clone()]);
        if planted!("crc_unchecked", false, found != crc) {
            return Ok(None);
        }
        self.chain = chain(self.chain, crc);
        Ok(Some((kind, range)))
    }

    /// Gives up the rest of the block at `pos`.
    fn quarantine(&mut self, limit: u64) -> Step {
        let offset = self.pos;
        let next = offset - offset % BLOCK + BLOCK;
        self.pending = None;
        self.pos = next;
        Step::Bad { offset, len: next.min(limit).saturating_sub(offset) }
    }

    /// Has the block at `at` in memory as far as it reaches below `limit`.
    fn load(&mut self, at: u64, limit: u64) -> Result<(), JournalError> {
        let want = (limit - at).min(BLOCK) as usize;
        if self.block_at != at {
            self.block_at = at;
            self.filled = 0;
        }
        while self.filled < want {
            match self.file.read_at(&mut self.block[self.filled..want], at + self.filled as u64) {
                Ok(0) => break,
                Ok(n) => self.filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // A bad sector is damage like any other: what was read of the block is used, the rest quarantined.
                Err(e) if e.raw_os_error() == Some(libc::EIO) => break,
                Err(e) => return Err(io_error(&self.path, "read")(e)),
            }
        }
        Ok(())
    }
}

/// Where a segment ends of which nobody has said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// End of the last good record.
    pub end: Position,
    /// The last position that is known to have been durable in this segment.
    pub durable: Position,
    /// The segment was closed cleanly.
    pub sealed: bool,
    /// Bytes after `end` that were part of the torn tail, as far as they can be told from stale ones.
    pub torn_bytes: u64,
    pub(super) chain: u32,
}

/// Finds the end of a segment: damage before the last marker's position is stepped over, the first after it ends it.
pub(super) fn find_end(file: &File, path: &Path, header: &Header) -> Result<Tail, JournalError> {
    let len = file.metadata().map_err(io_error(path, "stat"))?.len();
    let again = file.try_clone().map_err(io_error(path, "read"))?;
    let mut r = SegmentReader::new(again, path, *header, 0);
    let (mut good, mut good_chain) = (data_start(0), r.chain);
    let (mut durable, mut sealed) = (good, false);
    // What each damaged place would leave if it were the end.
    let mut bad: Vec<(u64, u64, u32)> = Vec::new();
    loop {
        match r.step(len)? {
            Step::Record { start, end } => {
                (good, good_chain) = (end, r.chain);
                let b = r.bytes();
                match Kind::from_u8(b[0]) {
                    Some(Kind::Sync) => {
                        if let Some(m) = b.get(RECORD_HEADER..).and_then(Marker::decode)
                            && m.durable.segment == header.number
                        {
                            durable = durable.max(m.durable.offset);
                        }
                    }
                    Some(Kind::Seal) => {
                        // It was written after all it seals was durable.
                        (sealed, durable) = (true, start);
                        break;
                    }
                    _ => {}
                }
            }
            Step::Bad { offset, .. } => bad.push((offset, good, good_chain)),
            Step::End => break,
        }
    }
    let last_valid = good;
    if let Some(&(_, end, chain)) = bad.iter().find(|(offset, ..)| *offset >= durable) {
        (good, good_chain) = (end, chain);
    }
    let at = |offset| Position { segment: header.number, offset };
    let mut torn_bytes = last_valid - good;
    if !sealed && !header.recycled {
        torn_bytes = torn_bytes.max(last_nonzero(file, path, good, len)?.saturating_sub(good));
    }
    Ok(Tail { end: at(good), durable: at(durable), sealed, torn_bytes, chain: good_chain })
}

/// The offset after the last byte that is not zero in `from..len`, or `from`. The header's copy does not count.
fn last_nonzero(file: &File, path: &Path, from: u64, len: u64) -> Result<u64, JournalError> {
    let mut buf = vec![0u8; BLOCK as usize];
    let (mut at, mut last) = (from, from);
    while at < len {
        let block = at - at % BLOCK;
        at = at.max(block + data_start(block));
        let want = (block + BLOCK).min(len).saturating_sub(at) as usize;
        let n = match file.read_at(&mut buf[..want], at) {
            Ok(n) => n,
            Err(e) if e.raw_os_error() == Some(libc::EIO) => 0,
            Err(e) => return Err(io_error(path, "read")(e)),
        };
        if let Some(i) = buf[..n].iter().rposition(|&b| b != 0) {
            last = at + i as u64 + 1;
        }
        at = block + BLOCK;
    }
    Ok(last)
}

const _: () = assert!(MIN_ROOM as usize > FRAGMENT);

#[cfg(test)]
mod tests {
    use super::*;

    /// A file in which every read fails as on a bad sector: the kernel answers so where there is no memory.
    fn bad_sector() -> File {
        File::open("/proc/self/mem").unwrap()
    }

    fn header() -> Header {
        Header {
            number: 1,
            size: 2 * BLOCK,
            salt: [0; 16],
            dataset: 1,
            ts_first: 0,
            recycled: false,
            prev: None,
        }
    }

    #[test]
    fn a_bad_sector_is_damage_and_nothing_is_known_to_be_torn_behind_it() {
        let path = Path::new("bad");
        let mut r = SegmentReader::new(bad_sector(), path, header(), 0);
        let (offset, len) = (data_start(0), BLOCK - data_start(0));
        assert_eq!(r.step(2 * BLOCK).unwrap(), Step::Bad { offset, len });
        assert_eq!(last_nonzero(&bad_sector(), path, 500, 2 * BLOCK).unwrap(), 500);
    }

    #[test]
    fn any_other_refusal_is_told_with_the_file() {
        let dir = super::super::tests::scratch();
        let told = |e: JournalError| match e {
            JournalError::Io { path, what, .. } => (path, what),
            other => panic!("{other:?}"),
        };
        let file = || File::open(dir.path()).unwrap();
        let want = (dir.path().to_path_buf(), "read");
        let mut r = SegmentReader::new(file(), dir.path(), header(), 0);
        assert_eq!(told(r.step(BLOCK).unwrap_err()), want);
        assert_eq!(told(last_nonzero(&file(), dir.path(), 0, BLOCK).unwrap_err()), want);
    }
}
