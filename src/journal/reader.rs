//! Reads the journal in order, while it is written or after a crash.

use std::fs::File;

use super::format::Marker;
use super::scan::{Lanes, SegmentReader, Step, Tail, find_end};
use super::segment::{HeaderState, SegmentInfo, find_segment, read_header};
use super::{Dirs, JournalError, Position, io_error, list_segments};
use crate::model::record::HEADER_LEN as RECORD_HEADER;
use crate::model::{Kind, Record};

/// What the reader found next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadItem<'a> {
    /// A record; sync markers and seals are not shown.
    Record {
        /// Where it begins.
        at: Position,
        /// The record.
        record: Record<'a>,
        /// Its encoded bytes.
        bytes: &'a [u8],
    },
    /// Damage in data that was durable: the rest of a block is not read, and neither are the records that cross its borders.
    /// To be recorded as a gap of cause `storage_corruption`.
    Corrupt {
        /// In which segment.
        segment: u64,
        /// Where the damage begins.
        offset: u64,
        /// Bytes that are not read; 0 if all of the segment is lost.
        len: u64,
    },
    /// Segments that should be there and are not.
    Missing {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
}

/// What a reader has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReaderStats {
    /// Records returned.
    pub records: u64,
    /// Records skipped because their lane had shown that number already (appended again after a failed sync).
    pub duplicates: u64,
    /// Blocks quarantined.
    pub corrupt: u64,
    /// Segments whose header names another chain than their predecessor's bytes give, although nothing is damaged:
    /// somebody has changed the past.
    pub chain_breaks: Vec<u64>,
}

/// The segment being read and where it ends.
struct Open {
    reader: SegmentReader,
    /// Where the next segment's header says that this one ended. Looked up when the reading limit has left it.
    end: Option<u64>,
    /// Read from its first byte without damage, so that its chain can be compared.
    whole: bool,
}

/// Reads records in order from a position on. Works on files only: needs no lock and no writer.
pub struct JournalReader {
    dirs: Dirs,
    pos: Position,
    open: Option<Open>,
    /// A gap in the numbers is told only after something was read.
    started: bool,
    /// Last `lane_seq` by lane.
    seen: Vec<i64>,
    /// Chain at the end of the last segment, if it was read whole.
    chain: Option<(Position, u32)>,
    stats: ReaderStats,
}

/// A step of the whole journal, without the borrowed bytes.
enum Found {
    Record(Position),
    Corrupt { segment: u64, offset: u64, len: u64 },
    Missing { first: u64, last: u64 },
}

impl JournalReader {
    /// A reader that begins at `from`, a position that a reader or writer has named, or [`Position::START`].
    pub fn new(dirs: Dirs, from: Position) -> JournalReader {
        JournalReader {
            dirs,
            pos: from,
            open: None,
            started: from != Position::START,
            seen: Vec::new(),
            chain: None,
            stats: ReaderStats::default(),
        }
    }

    /// The end of a journal that nobody writes: the last good record of the last segment. `None`: there is no segment.
    /// [`Tail::torn_bytes`] is what a crash left behind it.
    ///
    /// # Errors
    /// [`JournalError`]; the header of a newer release among them.
    pub fn find_tail(dirs: &Dirs) -> Result<Option<Tail>, JournalError> {
        let segments = list_segments(dirs)?;
        let Some(s) = segments.last() else { return Ok(None) };
        let file = File::open(&s.path).map_err(io_error(&s.path, "open"))?;
        match read_header(&file, &s.path)?.header() {
            Some(h) => find_end(&file, &s.path, h).map(Some),
            // Behind its start, so that a reader up to here tells of the loss.
            None => {
                let end = Position { segment: s.number, offset: 1 };
                Ok(Some(Tail { end, durable: end, sealed: false, torn_bytes: 0, chain: 0 }))
            }
        }
    }

    /// Where the next record will be looked for.
    pub fn position(&self) -> Position {
        self.pos
    }

    /// What was counted so far.
    pub fn stats(&self) -> &ReaderStats {
        &self.stats
    }

    /// The next item before `upto`: the writer's `jrn` mark, or [`Tail::end`]. All before it has been written, so bad
    /// bytes there are corruption. `None`: nothing more before `upto`; call again when the mark has moved.
    ///
    /// # Errors
    /// A file cannot be read, a newer release wrote it, or one record is of an unknown kind
    /// ([`JournalError::Record`]; the next call goes on behind it).
    pub fn read(&mut self, upto: Position) -> Result<Option<ReadItem<'_>>, JournalError> {
        let at = loop {
            match self.step(upto)? {
                None => return Ok(None),
                Some(Found::Corrupt { segment, offset, len }) => {
                    self.stats.corrupt += 1;
                    return Ok(Some(ReadItem::Corrupt { segment, offset, len }));
                }
                Some(Found::Missing { first, last }) => return Ok(Some(ReadItem::Missing { first, last })),
                Some(Found::Record(at)) => {
                    if self.wanted(at)? {
                        break at;
                    }
                }
            }
        };
        let bytes = self.open.as_ref().map_or(&[][..], |o| o.reader.bytes());
        self.stats.records += 1;
        let record = Record::decode(bytes).map_err(|source| JournalError::Record { at, source })?;
        Ok(Some(ReadItem::Record { at, record, bytes }))
    }

    /// Whether the record just read is to be shown: not the journal's own, not shown before.
    fn wanted(&mut self, at: Position) -> Result<bool, JournalError> {
        let bytes = self.open.as_ref().map_or(&[][..], |o| o.reader.bytes());
        let r = Record::decode(bytes).map_err(|source| JournalError::Record { at, source })?;
        if matches!(r.kind, Kind::Sync | Kind::Seal) {
            return Ok(false);
        }
        let (lane, seq) = (usize::from(r.lane), r.lane_seq);
        if lane >= self.seen.len() {
            self.seen.resize(lane + 1, i64::MIN);
        }
        if seq >= 0 && seq <= self.seen[lane] {
            self.stats.duplicates += 1;
            return Ok(false);
        }
        self.seen[lane] = self.seen[lane].max(seq);
        Ok(true)
    }

    fn step(&mut self, upto: Position) -> Result<Option<Found>, JournalError> {
        loop {
            if self.open.is_none() {
                if self.pos >= upto {
                    return Ok(None);
                }
                if let Some(found) = self.open_segment(upto)? {
                    return Ok(Some(found));
                }
                if self.open.is_none() {
                    continue;
                }
            }
            let Some(limit) = self.limit(upto)? else { return Ok(None) };
            let Some(o) = &mut self.open else { continue };
            let segment = self.pos.segment;
            let step = o.reader.step(limit)?;
            self.pos.offset = o.reader.pos();
            match step {
                Step::Record { start, .. } => {
                    return Ok(Some(Found::Record(Position { segment, offset: start })));
                }
                Step::Bad { offset, len } => {
                    o.whole = false;
                    if o.reader.is_gone() {
                        self.next_segment(None);
                        return Ok(Some(Found::Missing { first: segment, last: segment }));
                    }
                    return Ok(Some(Found::Corrupt { segment, offset, len }));
                }
                Step::End if segment >= upto.segment => return Ok(None),
                Step::End => {
                    let end = Position { segment, offset: limit };
                    // Behind a failed sync it may have read more than was kept.
                    let chain = (o.whole && o.reader.pos() == limit).then_some((end, o.reader.chain));
                    self.next_segment(chain);
                }
            }
        }
    }

    fn next_segment(&mut self, chain: Option<(Position, u32)>) {
        self.open = None;
        self.chain = chain;
        // Only called below a limit in a later segment, so there is a next number.
        self.pos = Position { segment: self.pos.segment.saturating_add(1), offset: 0 };
    }

    /// How far the open segment may be read.
    fn limit(&mut self, upto: Position) -> Result<Option<u64>, JournalError> {
        let Some(o) = &mut self.open else { return Ok(None) };
        let number = self.pos.segment;
        if number == upto.segment {
            return Ok(Some(upto.offset));
        }
        if number > upto.segment {
            return Ok(None);
        }
        if o.end.is_none() {
            o.end = Some(match successor_says(&self.dirs, number)? {
                Some(end) => end,
                // Its successor is missing or unreadable: it must speak for itself.
                None => {
                    let path = o.reader.path().to_path_buf();
                    let file = File::open(&path).map_err(io_error(&path, "open"))?;
                    find_end(&file, &path, &o.reader.header)?.end.offset
                }
            });
        }
        Ok(o.end)
    }

    /// Opens the segment at `pos`, or steps to the next one that can be read and says why.
    fn open_segment(&mut self, upto: Position) -> Result<Option<Found>, JournalError> {
        let number = self.pos.segment;
        let Some(path) = find_segment(&self.dirs, number) else {
            let later = list_segments(&self.dirs)?.into_iter().map(|s| s.number).find(|&n| n > number);
            let next = later.filter(|&n| n <= upto.segment);
            self.pos = next.map_or(upto, |segment| Position { segment, offset: 0 });
            self.chain = None;
            let last = next.unwrap_or(upto.segment.saturating_add(1)).saturating_sub(1).max(number);
            return Ok(self.started.then_some(Found::Missing { first: number, last }));
        };
        self.started = true;
        let file = match File::open(&path) {
            Ok(f) => f,
            // Reclaimed between the look and the opening: the next round finds it missing.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io_error(&path, "open")(e)),
        };
        let state = read_header(&file, &path)?;
        let Some(header) = state.header().filter(|h| h.number == number).copied() else {
            self.chain = None;
            let lost = Found::Corrupt { segment: number, offset: 0, len: 0 };
            if number >= upto.segment {
                self.pos = upto;
            } else {
                self.pos = Position { segment: number.saturating_add(1), offset: 0 };
            }
            return Ok(Some(lost));
        };
        if let (Some((end, chain)), Some(p)) = (self.chain, header.prev)
            && p.end == end
            && p.chain != chain
        {
            self.stats.chain_breaks.push(number);
        }
        let whole = self.pos.offset == 0;
        self.open =
            Some(Open { reader: SegmentReader::new(file, &path, header, self.pos.offset), end: None, whole });
        // The copy serves for all that follows; the damage is told once.
        let damaged = matches!(state, HeaderState::FromCopy(_)) && whole;
        Ok(damaged.then_some(Found::Corrupt {
            segment: number,
            offset: 0,
            len: super::format::HEADER_LEN as u64,
        }))
    }
}

/// Where segment `number` ended, if its successor is there and knows.
fn successor_says(dirs: &Dirs, number: u64) -> Result<Option<u64>, JournalError> {
    let Some(path) = number.checked_add(1).and_then(|n| find_segment(dirs, n)) else { return Ok(None) };
    let file = File::open(&path).map_err(io_error(&path, "open"))?;
    let state = read_header(&file, &path)?;
    Ok(state.header().and_then(|h| h.prev).filter(|p| p.end.segment == number).map(|p| p.end.offset))
}

/// The lanes' last numbers at the journal's end: from the newest segment that begins with a sound summary on, so that a
/// start need not read all that is kept. With it the damage met on the way.
pub(super) fn lanes_at_end(
    dirs: &Dirs,
    segments: &[SegmentInfo],
    end: Position,
) -> Result<(Lanes, u64), JournalError> {
    let mut lanes = Lanes::default();
    let mut from = Position::START;
    for s in segments.iter().rev() {
        if let Some(found) = summary(s)? {
            lanes = found;
            from = Position { segment: s.number, offset: 0 };
            break;
        }
    }
    let mut reader = JournalReader::new(dirs.clone(), from);
    loop {
        match reader.read(end) {
            Ok(Some(ReadItem::Record { record, .. })) => lanes.note_record(&record),
            Ok(Some(_)) | Err(JournalError::Record { .. }) => {}
            Ok(None) => return Ok((lanes, reader.stats().corrupt)),
            Err(e) => return Err(e),
        }
    }
}

/// What a segment's first record says of the lanes before it.
fn summary(s: &SegmentInfo) -> Result<Option<Lanes>, JournalError> {
    let file = File::open(&s.path).map_err(io_error(&s.path, "open"))?;
    let state = read_header(&file, &s.path)?;
    let Some(header) = state.header() else { return Ok(None) };
    let mut r = SegmentReader::new(file, &s.path, *header, 0);
    let Step::Record { start, .. } = r.step(s.len)? else { return Ok(None) };
    let b = r.bytes();
    let first = start == super::format::settle(0) && Kind::from_u8(b[0]) == Some(Kind::Sync);
    let marker = b.get(RECORD_HEADER..).filter(|_| first).and_then(Marker::decode);
    Ok(marker.and_then(|m| m.lanes).map(|l| Lanes::from_states(&l)))
}
