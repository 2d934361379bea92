//! The only writer of a journal.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender};

use super::format::{
    BLOCK, FIRST, FRAGMENT, FULL, HEADER_LEN, Header, LAST, MIDDLE, Marker, PAD, Prev, chain, data_start,
    fragment_crc, settle, span,
};
use super::reader::lanes_at_end;
use super::scan::{Lanes, Tail, find_end};
use super::segment::{SegmentFile, Store, read_header};
use super::{Dirs, JournalError, LaneState, Position, io_error, list_segments};
use crate::model::ids::LaneId;
use crate::model::record::HEADER_LEN as RECORD_HEADER;
use crate::model::{Kind, Record, RecordError};
use crate::sys::shm;

/// Buffered bytes are written at the latest when they are this many.
const FLUSH: usize = 256 << 10;
/// Room kept at a segment's end for the last markers, a padded block and the seal.
const TAIL_ROOM: u64 = 4096 + BLOCK;
const MAX_SEGMENT: u64 = 4 << 30;
/// A disk without room for a segment may have room for one of this size.
const SHORT_SEGMENT: u64 = 1 << 20;

static ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// How a journal is written.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whose records.
    pub dataset: u128,
    /// Bytes of a segment: whole blocks of 64 KiB, 64 to 128 MiB in production. A longer record gets a longer segment.
    pub segment_bytes: u64,
    /// Reclaimed segments kept for reuse: a recycled one syncs in half the time of a new one.
    pub spares_max: usize,
    /// Takes new segments when the first directory refuses.
    pub fallback: Option<PathBuf>,
    /// Number of the very first segment.
    pub first_segment: u64,
    /// Where the salts come from; `None` = the operating system. A simulation gives a number of its own.
    pub salt_seed: Option<u64>,
    #[cfg(test)]
    pub(crate) faults: Arc<super::tests::Faults>,
}

impl Options {
    /// The usual: 64 MiB, two spares.
    pub fn new(dataset: u128) -> Options {
        Options {
            dataset,
            segment_bytes: 64 << 20,
            spares_max: 2,
            fallback: None,
            first_segment: 1,
            salt_seed: None,
            #[cfg(test)]
            faults: Arc::default(),
        }
    }
}

/// The segment being written.
struct Current {
    file: Arc<SegmentFile>,
    at: Cursor,
    /// End of what the kernel has; the buffer holds the rest.
    written: u64,
    /// There are records that no finished sync covers.
    dirty: bool,
}

/// Cuts records into fragments.
#[derive(Clone, Copy)]
struct Cursor {
    header: Header,
    seed: u32,
    /// End of what was appended.
    pos: u64,
    chain: u32,
}

/// What is known to be on the disk.
#[derive(Clone)]
struct Durable {
    end: Position,
    chain: u32,
    lanes: Lanes,
}

/// The one sync that may be under way, on a thread of its own so that writes go on meanwhile.
struct Syncer {
    ask: Sender<Arc<SegmentFile>>,
    answer: Receiver<io::Result<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    fn start() -> io::Result<Syncer> {
        let (ask, asked) = crossbeam_channel::bounded::<Arc<SegmentFile>>(1);
        let (tell, answer) = crossbeam_channel::bounded(1);
        let thread = std::thread::Builder::new().name("lobtape-sync".into()).spawn(move || {
            while let Ok(file) = asked.recv() {
                // Whoever asked waits for this thread before it drops the other end.
                let _ = tell.send(file.sync());
            }
        })?;
        Ok(Syncer { ask, answer, thread: Some(thread) })
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        // Closing the channel ends the thread.
        self.ask = crossbeam_channel::bounded(0).0;
        if let Some(t) = self.thread.take() {
            let _ = t.join();
        }
    }
}

/// Appends records, groups them into writes, syncs, rotates. One per journal, held by a lock.
///
/// Opening changes nothing but a torn tail, which is cut; the first segment of a run is made by its first record.
pub struct JournalWriter {
    store: Store,
    options: Options,
    _lock: File,
    salts: fastrand::Rng,
    current: Option<Current>,
    buf: Vec<u8>,
    lanes: Lanes,
    durable: Durable,
    /// End of the last record, the journal's own left out.
    records_end: Position,
    failed: bool,
    syncer: Option<Syncer>,
    /// What the sync under way will have made durable.
    syncing: Option<Durable>,
    tail: Option<Tail>,
    corrupt_found: u64,
}

impl JournalWriter {
    /// Opens the journal in `dir`, which is made if it is missing, and cuts the torn tail of a crash.
    ///
    /// # Errors
    /// [`JournalError`]; a journal that is in use, foreign or newer is left exactly as it is.
    pub fn open(dir: impl Into<PathBuf>, options: Options) -> Result<JournalWriter, JournalError> {
        let size = options.segment_bytes;
        if !size.is_multiple_of(BLOCK) || !(2 * BLOCK..=MAX_SEGMENT).contains(&size) {
            return Err(JournalError::SegmentSize(size));
        }
        let dirs = Dirs { primary: dir.into(), fallback: options.fallback.clone() };
        for d in dirs.all() {
            std::fs::create_dir_all(d).map_err(io_error(d, "create"))?;
        }
        let lock = take_lock(&dirs)?;
        let store = Store {
            dirs,
            spares_max: options.spares_max,
            #[cfg(test)]
            faults: options.faults.clone(),
        };
        let segments = list_segments(&store.dirs)?;
        for s in &segments {
            let file = File::open(&s.path).map_err(io_error(&s.path, "open"))?;
            if let Some(h) = read_header(&file, &s.path)?.header()
                && h.dataset != options.dataset
            {
                return Err(JournalError::Foreign { path: s.path.clone(), found: h.dataset });
            }
        }
        store.sweep()?;
        let mut end = Position::START;
        let (mut chain, mut tail) = (0, None);
        if let Some(last) = segments.last() {
            end = Position { segment: last.number, offset: 0 };
            if let Some(t) = cut_tail(&last.path)? {
                (end, chain, tail) = (t.end, t.chain, Some(t));
            }
        }
        let (lanes, corrupt_found) = lanes_at_end(&store.dirs, &segments, end)?;
        Ok(JournalWriter {
            store,
            _lock: lock,
            salts: options.salt_seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed),
            options,
            current: None,
            buf: Vec::with_capacity(FLUSH + BLOCK as usize),
            durable: Durable { end, chain, lanes: lanes.clone() },
            lanes,
            records_end: end,
            failed: false,
            syncer: None,
            syncing: None,
            tail,
            corrupt_found,
        })
    }

    /// How the last segment ended when the journal was opened; `None` if there was none that could be read.
    pub fn tail_found(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// Damaged blocks met in the part of the journal that opening had to read.
    pub fn corrupt_found(&self) -> u64 {
        self.corrupt_found
    }

    /// The lanes' last numbers as far as they are durable.
    pub fn lanes_durable(&self) -> &[LaneState] {
        self.durable.lanes.states()
    }

    /// The lanes' last numbers, all appended records included.
    pub fn lanes(&self) -> &[LaneState] {
        self.lanes.states()
    }

    /// One lane's last numbers; `None` if the journal has none of its records.
    pub fn lane(&self, lane: LaneId) -> Option<&LaneState> {
        self.lanes.get(lane)
    }

    /// Where the segments are.
    pub fn dirs(&self) -> &Dirs {
        &self.store.dirs
    }

    /// End of what was appended.
    pub fn position(&self) -> Position {
        self.current.as_ref().map_or(self.durable.end, |c| c.at.end())
    }

    /// End of the last record that was appended: all is durable once [`JournalWriter::durable`] has reached it.
    pub fn records_end(&self) -> Position {
        self.records_end
    }

    /// All before this is on the disk.
    pub fn durable(&self) -> Position {
        self.durable.end
    }

    /// Whether records were appended that no finished sync covers.
    pub fn has_unsynced(&self) -> bool {
        self.syncing.is_some() || self.is_dirty()
    }

    /// Whether a sync is under way on the helper thread.
    pub fn syncing_now(&self) -> bool {
        self.syncing.is_some()
    }

    /// Whether a sync would make anything durable that the one under way does not.
    fn is_dirty(&self) -> bool {
        self.current.as_ref().is_some_and(|c| c.dirty)
    }

    /// Appends a record and returns where it begins. It is in the kernel after [`JournalWriter::commit`].
    ///
    /// # Errors
    /// As [`JournalWriter::append_encoded`].
    pub fn append(&mut self, record: &Record<'_>) -> Result<Position, JournalError> {
        let bytes = record.encode();
        self.append_encoded(&bytes)
    }

    /// Appends a record's bytes, as the raw ring gives them.
    ///
    /// # Errors
    /// Storage failed ([`JournalError::is_storage`]): nothing after [`JournalWriter::durable`] may be counted on until it
    /// was appended again, behind [`JournalWriter::abandon_segment`]. Or the bytes are no record; that changes nothing.
    pub fn append_encoded(&mut self, bytes: &[u8]) -> Result<Position, JournalError> {
        let note = peek(bytes).ok_or(JournalError::NoRecord { len: bytes.len() })?;
        self.check_failed()?;
        let need = span(bytes.len()) + TAIL_ROOM;
        let fits = self.current.as_ref().is_some_and(|c| c.at.pos + need <= c.at.header.size);
        if !fits {
            if self.current.is_some() {
                self.finish_segment()?;
            }
            self.begin_segment(need, note.ts_recv, false)?;
        }
        let at = planted!(
            "rotation_loses_a_record",
            if fits { self.put(bytes)? } else { self.position() },
            self.put(bytes)?
        );
        self.lanes.note(note.kind, note.lane, note.lane_seq, note.conn, note.ts_recv);
        if let Some(c) = &mut self.current {
            c.dirty = true;
        }
        self.records_end = self.position();
        Ok(at)
    }

    /// Hands what was appended to the kernel in one write; returns the new `jrn` mark.
    ///
    /// # Errors
    /// Storage failed, see [`JournalWriter::append_encoded`].
    pub fn commit(&mut self) -> Result<Position, JournalError> {
        self.check_failed()?;
        self.flush()?;
        Ok(self.position())
    }

    /// Makes all that was appended durable and returns the new `dur` mark. Waits for the disk.
    ///
    /// # Errors
    /// Storage failed, see [`JournalWriter::append_encoded`].
    pub fn sync(&mut self) -> Result<Position, JournalError> {
        self.check_failed()?;
        self.wait_sync()?;
        self.flush()?;
        if self.is_dirty() {
            self.sync_here()?;
            self.mark()?;
        }
        Ok(self.durable.end)
    }

    /// Commits and begins a sync on the helper thread; nothing happens if one is under way or all is durable.
    /// True if one is under way now.
    ///
    /// # Errors
    /// Storage failed, see [`JournalWriter::append_encoded`].
    pub fn start_sync(&mut self) -> Result<bool, JournalError> {
        self.commit()?;
        if self.syncing.is_some() {
            return Ok(true);
        }
        if !self.is_dirty() {
            return Ok(false);
        }
        #[cfg(test)]
        if self.store.faults.by_hand.load(std::sync::atomic::Ordering::SeqCst) {
            if let Some(c) = &mut self.current {
                self.syncing =
                    Some(Durable { end: c.at.end(), chain: c.at.chain, lanes: self.lanes.clone() });
                c.dirty = false;
            }
            return Ok(true);
        }
        if self.syncer.is_none() {
            self.syncer = Syncer::start().ok();
        }
        let (Some(s), Some(c)) = (&self.syncer, &mut self.current) else {
            // No thread to be had: slower, but not less safe.
            self.sync()?;
            return Ok(false);
        };
        self.syncing = Some(Durable { end: c.at.end(), chain: c.at.chain, lanes: self.lanes.clone() });
        c.dirty = false;
        // The channel is empty, for at most one sync is under way; a dead helper shows when its answer is read.
        let _ = s.ask.send(Arc::clone(&c.file));
        Ok(true)
    }

    /// Looks whether the sync under way has ended; the new `dur` mark if so.
    ///
    /// # Errors
    /// Storage failed, see [`JournalWriter::append_encoded`].
    pub fn poll_sync(&mut self) -> Result<Option<Position>, JournalError> {
        #[cfg(test)]
        if let (Some(due), true) = (self.store.faults.hand(), self.syncing.is_some()) {
            return if due { self.sync_by_hand() } else { Ok(None) };
        }
        let (Some(s), true) = (&self.syncer, self.syncing.is_some()) else { return Ok(None) };
        match s.answer.try_recv() {
            Err(crossbeam_channel::TryRecvError::Empty) => Ok(None),
            Ok(answer) => self.end_sync(answer).map(Some),
            Err(_) => self.end_sync(Err(io::Error::other("the sync thread died"))).map(Some),
        }
    }

    /// Waits for the sync under way, if there is one.
    ///
    /// # Errors
    /// Storage failed, see [`JournalWriter::append_encoded`].
    pub fn wait_sync(&mut self) -> Result<(), JournalError> {
        #[cfg(test)]
        if self.store.faults.hand().is_some() && self.syncing.is_some() {
            return self.sync_by_hand().map(drop);
        }
        let (Some(s), true) = (&self.syncer, self.syncing.is_some()) else { return Ok(()) };
        let answer = s.answer.recv().unwrap_or_else(|_| Err(io::Error::other("the sync thread died")));
        self.end_sync(answer).map(drop)
    }

    #[cfg(test)]
    fn sync_by_hand(&mut self) -> Result<Option<Position>, JournalError> {
        let answer = self.current.as_ref().map_or(Ok(()), |c| c.file.sync());
        self.end_sync(answer).map(Some)
    }

    fn end_sync(&mut self, answer: io::Result<()>) -> Result<Position, JournalError> {
        let done = self.syncing.take();
        if let Err(e) = planted!("failed_sync_taken_for_done", Ok::<_, io::Error>(()), answer) {
            return Err(self.fail("sync", e));
        }
        if let Some(d) = done {
            self.durable = d;
        }
        self.mark()?;
        Ok(self.durable.end)
    }

    /// After a failed write or sync: gives up the segment behind its last durable byte and begins a new one, in the
    /// fallback directory if the first refuses. The caller then appends again all records after `dur`.
    ///
    /// # Errors
    /// Neither directory takes a new segment; it may be tried again later.
    pub fn abandon_segment(&mut self) -> Result<(), JournalError> {
        if self.syncing.is_some() {
            // The helper still holds the file. Its answer cannot help any more.
            if let Some(s) = &self.syncer {
                let _ = s.answer.recv();
            }
            self.syncing = None;
        }
        self.failed = false;
        self.buf.clear();
        self.lanes = self.durable.lanes.clone();
        self.current = None;
        self.records_end = self.durable.end;
        self.begin_segment(0, 0, true)
    }

    /// Seals the segment and makes all durable. Returns the journal's end.
    ///
    /// # Errors
    /// Storage failed; what was durable stays so.
    pub fn close(mut self) -> Result<Position, JournalError> {
        self.sync()?;
        if self.current.is_some() {
            self.finish_segment()?;
        }
        Ok(self.durable.end)
    }

    /// Takes back the segments all of whose bytes are before `before`, oldest first; never the last one. Returns how many.
    ///
    /// # Errors
    /// What renaming or removing says; the segments that are left are still in order.
    pub fn reclaim(&mut self, before: Position) -> Result<usize, JournalError> {
        let limit = before.segment.min(self.position().segment).min(self.durable.end.segment);
        let mut n = 0;
        for s in list_segments(&self.store.dirs)?.iter().filter(|s| s.number < limit) {
            self.store.retire(s, self.options.segment_bytes)?;
            n += 1;
        }
        if n > 0 {
            for d in self.store.dirs.all() {
                shm::sync_dir(d).map_err(io_error(d, "sync"))?;
            }
        }
        Ok(n)
    }

    fn check_failed(&self) -> Result<(), JournalError> {
        match (&self.current, self.failed) {
            (Some(c), true) => Err(JournalError::SegmentFailed { number: c.at.header.number }),
            _ => Ok(()),
        }
    }

    /// Notes that the segment may not be touched again.
    fn fail(&mut self, what: &'static str, source: io::Error) -> JournalError {
        self.failed = true;
        let path =
            self.current.as_ref().map_or_else(|| self.store.dirs.primary.clone(), |c| c.file.path.clone());
        JournalError::Io { path, what, source }
    }

    fn begin_segment(&mut self, need: u64, ts_first: i64, may_fall_back: bool) -> Result<(), JournalError> {
        let last = self.durable.end;
        let number = if last == Position::START {
            self.options.first_segment
        } else {
            last.segment.checked_add(1).ok_or(JournalError::Exhausted(last.segment))?
        };
        let marker = Marker { durable: last, lanes: Some(self.lanes.states().to_vec()) }.encode();
        let least = HEADER_LEN as u64 + span(RECORD_HEADER + marker.len()) + need;
        let size = self.options.segment_bytes.max(least.next_multiple_of(BLOCK));
        if size > MAX_SEGMENT {
            return Err(JournalError::NoRecord { len: usize::try_from(need).unwrap_or(usize::MAX) });
        }
        // An unreadable predecessor (offset 0) has no end to continue from.
        let prev = (last.offset != 0).then_some(Prev { end: last, chain: self.durable.chain });
        let header = Header {
            number,
            size,
            salt: self.salts.u128(..).to_le_bytes(),
            dataset: self.options.dataset,
            ts_first,
            recycled: false,
            prev,
        };
        // The lanes' summary is durable with the header: whatever is reclaimed, each segment that is left has it.
        let mut cursor = Cursor::new(header);
        let mut first = |header: &Header| {
            cursor = Cursor::new(*header);
            let (record, mut bytes) = (own(Kind::Sync, &marker), Vec::new());
            let mut rest = &record[..];
            while !rest.is_empty() {
                rest = cursor.piece(rest, rest.len() == record.len(), &mut bytes).1;
            }
            bytes
        };
        let mut made = self.store.create(&self.store.dirs.primary, header, &mut first);
        let short = Header { size: least.max(SHORT_SEGMENT).next_multiple_of(BLOCK), ..header };
        if short.size < size && made.as_ref().is_err_and(JournalError::is_full) {
            made = self.store.create(&self.store.dirs.primary, short, &mut first);
        }
        if let (true, Err(_), Some(other)) = (may_fall_back, &made, &self.store.dirs.fallback) {
            made = self.store.create(other, header, &mut first);
        }
        let file = Arc::new(made?);
        self.durable.end = cursor.end();
        self.durable.chain = cursor.chain;
        self.current = Some(Current { file, at: cursor, written: cursor.pos, dirty: false });
        Ok(())
    }

    /// Seals the current segment and makes it durable to its end.
    fn finish_segment(&mut self) -> Result<(), JournalError> {
        self.wait_sync()?;
        self.sync_here()?;
        // In a block of their own, so that no damage takes records and the proof that they were durable alike. The
        // marker tells all before it from a torn tail even if the seal does not make it.
        if let Some(c) = &mut self.current {
            c.at.pad_block(&mut self.buf);
        }
        self.mark()?;
        self.put_own(Kind::Seal, &[])?;
        self.sync_here()?;
        self.current = None;
        Ok(())
    }

    /// `fdatasync` on this thread. What is still buffered (the marker of a sync that has just ended) goes out first, for
    /// the new `dur` mark includes it.
    fn sync_here(&mut self) -> Result<(), JournalError> {
        self.flush()?;
        let Some(c) = &mut self.current else { return Ok(()) };
        if let Err(e) = c.file.sync() {
            return Err(self.fail("sync", e));
        }
        c.dirty = false;
        self.durable = Durable { end: c.at.end(), chain: c.at.chain, lanes: self.lanes.clone() };
        Ok(())
    }

    /// Says in the journal how far it is durable. The marker goes out with the next commit.
    fn mark(&mut self) -> Result<(), JournalError> {
        if self.current.is_none() {
            return Ok(());
        }
        let marker = Marker { durable: self.durable.end, lanes: None }.encode();
        self.put_own(Kind::Sync, &marker)
    }

    fn put_own(&mut self, kind: Kind, payload: &[u8]) -> Result<(), JournalError> {
        self.put(&own(kind, payload)).map(drop)
    }

    /// Puts a record behind what is buffered. The segment has the room.
    fn put(&mut self, bytes: &[u8]) -> Result<Position, JournalError> {
        let Some(c) = &mut self.current else { return Ok(self.durable.end) };
        let number = c.at.header.number;
        let (mut rest, mut start) = (bytes, None);
        while !rest.is_empty() {
            let (at, later) = c.at.piece(rest, start.is_none(), &mut self.buf);
            start.get_or_insert(at);
            rest = later;
            if self.buf.len() >= FLUSH {
                flush(c, &mut self.buf).inspect_err(|_| self.failed = true)?;
            }
        }
        Ok(Position { segment: number, offset: start.unwrap_or(c.at.pos) })
    }

    fn flush(&mut self) -> Result<(), JournalError> {
        match &mut self.current {
            Some(c) if !self.buf.is_empty() => flush(c, &mut self.buf).inspect_err(|_| self.failed = true),
            _ => Ok(()),
        }
    }
}

fn flush(c: &mut Current, buf: &mut Vec<u8>) -> Result<(), JournalError> {
    c.file.write_at(buf, c.written)?;
    c.written += buf.len() as u64;
    buf.clear();
    Ok(())
}

impl Cursor {
    fn new(header: Header) -> Cursor {
        let chain = header.prev.map_or(0, |p| p.chain);
        Cursor { header, seed: header.seed(), pos: data_start(0), chain }
    }

    fn end(&self) -> Position {
        Position { segment: self.header.number, offset: self.pos }
    }

    /// Appends the next fragment of a record to `buf`: where it stands, and what is left of the record.
    #[inline]
    fn piece<'a>(&mut self, rest: &'a [u8], first: bool, buf: &mut Vec<u8>) -> (u64, &'a [u8]) {
        let at = settle(self.pos);
        self.fill_to(at, buf);
        let room = (BLOCK - at % BLOCK) as usize - FRAGMENT;
        let (now, later) = rest.split_at(rest.len().min(room));
        let kind = match (first, later.is_empty()) {
            (true, true) => FULL,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        self.fragment(kind, now, buf);
        (at, later)
    }

    /// Appends a fragment at `pos`, where one may stand.
    #[inline]
    fn fragment(&mut self, kind: u8, bytes: &[u8], buf: &mut Vec<u8>) {
        let crc = fragment_crc(self.seed, self.pos, kind, bytes);
        self.chain = chain(self.chain, crc);
        buf.extend_from_slice(&crc.to_le_bytes());
        buf.extend_from_slice(&(bytes.len() as u16).to_le_bytes());
        buf.extend_from_slice(&[kind, 0]);
        buf.extend_from_slice(bytes);
        self.pos += (FRAGMENT + bytes.len()) as u64;
    }

    /// Goes to the start of the next block.
    fn pad_block(&mut self, buf: &mut Vec<u8>) {
        let at = settle(self.pos);
        self.fill_to(at, buf);
        let room = (BLOCK - at % BLOCK) as usize - FRAGMENT;
        self.fragment(PAD, &ZEROS[..room], buf);
    }

    /// Zeros up to `at`, where the next fragment goes; the header's copy in block 1 is written again as it is.
    fn fill_to(&mut self, at: u64, buf: &mut Vec<u8>) {
        if at == self.pos {
            return;
        }
        let zeros = (at.min(self.pos.next_multiple_of(BLOCK)) - self.pos) as usize;
        buf.resize(buf.len() + zeros, 0);
        if at > self.pos + zeros as u64 {
            buf.extend_from_slice(&self.header.encode());
        }
        self.pos = at;
    }
}

/// A record of the journal's own: of no lane, without a number.
fn own(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let r = Record {
        kind,
        flags: 0,
        lane: 0,
        status: 0,
        conn: 0,
        lane_seq: -1,
        rseq: -1,
        ts_kernel: 0,
        ts_mono: 0,
        ts_recv: 0,
        url: "",
        payload,
    };
    r.encode()
}

struct Note {
    kind: Kind,
    lane: LaneId,
    lane_seq: i64,
    conn: i64,
    ts_recv: i64,
}

/// What the writer needs to know of a record. `None`: it is none.
#[inline]
fn peek(b: &[u8]) -> Option<Note> {
    match Record::decode(b) {
        Ok(r) if r.encoded_len() == b.len() => {
            Some(Note { kind: r.kind, lane: r.lane, lane_seq: r.lane_seq, conn: r.conn, ts_recv: r.ts_recv })
        }
        Ok(_) | Err(RecordError::Cut { .. } | RecordError::UnknownKind(_) | RecordError::Url) => None,
    }
}

fn take_lock(dirs: &Dirs) -> Result<File, JournalError> {
    let path = dirs.primary.join("journal.lock");
    let file = std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(&path)
        .map_err(io_error(&path, "open"))?;
    if shm::try_lock(&file).map_err(io_error(&path, "lock"))? {
        Ok(file)
    } else {
        Err(JournalError::InUse { path })
    }
}

/// Finds the end of the last segment, cuts what is torn and makes the rest durable: from now on it is promised.
fn cut_tail(path: &std::path::Path) -> Result<Option<Tail>, JournalError> {
    let file = File::options().read(true).write(true).open(path).map_err(io_error(path, "open"))?;
    let state = read_header(&file, path)?;
    let Some(header) = state.header() else { return Ok(None) };
    let tail = find_end(&file, path, header)?;
    if !tail.sealed {
        let len = file.metadata().map_err(io_error(path, "stat"))?.len();
        let end = tail.end.offset;
        // The header's copy stays: should the first one be damaged, all of the segment hangs on it.
        if end < BLOCK && len > end {
            let torn = (len.min(BLOCK) - end) as usize;
            file.write_all_at(&ZEROS[..torn], end).map_err(io_error(path, "cut"))?;
        }
        let keep = end.max(BLOCK + HEADER_LEN as u64);
        if len > keep {
            file.set_len(keep).map_err(io_error(path, "cut"))?;
        }
        file.sync_all().map_err(io_error(path, "sync"))?;
    }
    Ok(Some(tail))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bytes, options, read_all, scratch};
    use super::*;

    #[test]
    fn a_writer_without_a_segment_has_none_to_seal() {
        let dir = scratch();
        let mut w = JournalWriter::open(dir.path(), options()).unwrap();
        w.finish_segment().unwrap();
        assert_eq!((w.position(), w.durable()), (Position::START, Position::START));
        assert!(list_segments(w.dirs()).unwrap().is_empty());
    }

    #[test]
    fn a_record_that_fits_no_segment_is_refused_and_the_next_one_is_written() {
        let dir = scratch();
        let mut w = JournalWriter::open(dir.path(), options()).unwrap();
        let told = w.begin_segment(MAX_SEGMENT, 0, false);
        assert!(matches!(told, Err(JournalError::NoRecord { .. })), "{told:?}");
        assert!(list_segments(w.dirs()).unwrap().is_empty());
        w.append_encoded(&bytes(1, 0, 10)).unwrap();
        w.close().unwrap();
        assert_eq!(read_all(dir.path()).len(), 1);
    }
}
