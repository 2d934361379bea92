use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::format::{BLOCK, HEADER_LEN, MIN_ROOM};
use super::segment::segment_name;
use super::*;
use crate::model::{Kind, Record};

/// Calls to the disk that are to fail: the n-th from now (1 = the next), 0 = none.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub write_in: AtomicI64,
    pub sync_in: AtomicI64,
    pub create_in: AtomicI64,
    /// No segment can be created at all.
    pub broken: AtomicBool,
    /// No sync ever succeeds.
    pub never_syncs: AtomicBool,
    /// Syncs are done by whoever asks how they go, after so many looks; no thread.
    pub by_hand: AtomicBool,
    pub looks: AtomicI64,
}

fn due(n: &AtomicI64) -> bool {
    n.load(Ordering::SeqCst) > 0 && n.fetch_sub(1, Ordering::SeqCst) == 1
}

impl Faults {
    /// A write that fails leaves half of its bytes.
    pub fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if due(&self.write_in) {
            file.write_all_at(&bytes[..bytes.len() / 2], offset)?;
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(())
    }

    pub fn sync(&self) -> io::Result<()> {
        let fails = due(&self.sync_in) || self.never_syncs.load(Ordering::SeqCst);
        if fails { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(()) }
    }

    /// Whether a sync that is done by hand is due at this look; `None`: it is not done by hand.
    pub fn hand(&self) -> Option<bool> {
        let slow = self.by_hand.load(Ordering::SeqCst);
        slow.then(|| self.looks.fetch_sub(1, Ordering::SeqCst) <= 0)
    }

    pub fn create(&self) -> io::Result<()> {
        let fails = due(&self.create_in) || self.broken.load(Ordering::SeqCst);
        if fails { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(()) }
    }
}

/// A directory in memory where there is one: these tests are about bytes and order, not about the disk's patience.
pub(super) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

pub(super) const ID: u128 = 0xabcd;
const SMALL: u64 = 2 * BLOCK;

pub(super) fn options() -> Options {
    Options { segment_bytes: SMALL, salt_seed: Some(1), ..Options::new(ID) }
}

/// A record that shows in each byte which one it is.
pub(super) fn bytes(lane: u16, seq: i64, len: usize) -> Vec<u8> {
    let payload: Vec<u8> =
        (0..len).map(|i| (seq as usize).wrapping_mul(31).wrapping_add(usize::from(lane) + i) as u8).collect();
    Record {
        kind: Kind::Frame,
        flags: 0,
        lane,
        status: 0,
        conn: 1000 + seq / 10,
        lane_seq: seq,
        rseq: seq % 10,
        ts_kernel: 1,
        ts_mono: 2,
        ts_recv: 1_000_000i64.wrapping_add(seq),
        url: "",
        payload: &payload,
    }
    .encode()
}

/// What a reader shows, in a form that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Record(u16, i64),
    Corrupt(u64, u64, u64),
    Missing(u64, u64),
}

pub(super) fn read_upto(dirs: &Dirs, upto: Position) -> (Vec<Seen>, ReaderStats) {
    let mut r = JournalReader::new(dirs.clone(), Position::START);
    let mut out = Vec::new();
    while let Some(item) = r.read(upto).unwrap() {
        out.push(match item {
            ReadItem::Record { record, bytes: b, .. } => {
                assert_eq!(
                    b,
                    bytes(record.lane, record.lane_seq, record.payload.len()),
                    "payload is what was written"
                );
                Seen::Record(record.lane, record.lane_seq)
            }
            ReadItem::Corrupt { segment, offset, len } => Seen::Corrupt(segment, offset, len),
            ReadItem::Missing { first, last } => Seen::Missing(first, last),
        });
    }
    (out, r.stats().clone())
}

/// All of a journal that nobody writes.
pub(super) fn read_all(dir: &Path) -> Vec<Seen> {
    let dirs = Dirs::new(dir);
    let end = JournalReader::find_tail(&dirs).unwrap().map_or(Position::START, |t| t.end);
    read_upto(&dirs, end).0
}

fn seqs(range: Range<i64>) -> Vec<Seen> {
    range.map(|s| Seen::Record(1, s)).collect()
}

fn fill(w: &mut JournalWriter, range: Range<i64>, len: usize) {
    for seq in range {
        w.append_encoded(&bytes(1, seq, len)).unwrap();
    }
}

fn only_segment(dir: &Path) -> PathBuf {
    let s = list_segments(&Dirs::new(dir)).unwrap();
    assert_eq!(s.len(), 1);
    s[0].path.clone()
}

#[test]
fn what_is_written_is_read_over_many_segments_and_restarts() {
    let dir = scratch();
    let mut n = 0;
    for run in 0..3 {
        let mut w = JournalWriter::open(dir.path(), options()).unwrap();
        assert_eq!(w.lane(1).map_or(-1, |l| l.last_seq), n - 1);
        for _ in 0..60 {
            fill(&mut w, n..n + 1, (n as usize * 977) % 9000);
            n += 1;
            w.commit().unwrap();
            if n % 7 == 0 {
                w.sync().unwrap();
            }
        }
        let end = w.commit().unwrap();
        let (seen, stats) = read_upto(w.dirs(), end);
        assert_eq!(seen, seqs(0..n));
        assert_eq!((stats.corrupt, stats.duplicates), (0, 0));
        assert!(stats.chain_breaks.is_empty());
        if run == 1 {
            w.close().unwrap();
        }
    }
    assert_eq!(read_all(dir.path()), seqs(0..n));
    assert!(list_segments(&Dirs::new(dir.path())).unwrap().len() > 5);
}

#[test]
fn opening_without_writing_changes_nothing() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    assert_eq!(w.commit().unwrap(), Position::START);
    fill(&mut w, 0..3, 100);
    w.close().unwrap();
    let before = std::fs::read(only_segment(dir.path())).unwrap();
    for _ in 0..3 {
        let w = JournalWriter::open(dir.path(), options()).unwrap();
        assert!(w.tail_found().unwrap().sealed);
        w.close().unwrap();
    }
    assert_eq!(std::fs::read(only_segment(dir.path())).unwrap(), before);
}

#[test]
fn records_longer_than_a_segment_get_one_of_their_own() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    for (seq, len) in [10, 300_000, 5, 70_000, 1_000_000].into_iter().enumerate() {
        fill(&mut w, seq as i64..seq as i64 + 1, len);
    }
    w.close().unwrap();
    assert_eq!(read_all(dir.path()), seqs(0..5));
}

/// Records, then a kill without a sync: whatever the file is cut to, the reader gives an exact prefix.
/// Found by fuzzing: cutting the torn tail took the header's copy along, and with it all that a damaged header named.
#[test]
fn a_torn_tail_is_cut_and_the_copy_of_a_damaged_header_stays() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    fill(&mut w, 0..10, 100);
    w.commit().unwrap();
    drop(w);
    let path = only_segment(dir.path());
    let mut file = std::fs::read(&path).unwrap();
    file[20] ^= 1;
    std::fs::write(&path, file).unwrap();
    let mut want = vec![Seen::Corrupt(1, 0, 128)];
    want.extend(seqs(0..10));
    for _ in 0..2 {
        assert_eq!(read_all(dir.path()), want);
        let w = JournalWriter::open(dir.path(), options()).unwrap();
        assert_eq!(w.lane(1).map(|l| l.last_seq), Some(9));
        drop(w);
    }
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    fill(&mut w, 10..12, 100);
    w.close().unwrap();
    want.extend(seqs(10..12));
    assert_eq!(read_all(dir.path()), want);
}

#[test]
fn cut_at_each_byte_leaves_an_exact_prefix() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    let mut ends = Vec::new();
    for seq in 0..40 {
        fill(&mut w, seq..seq + 1, (seq as usize * 61) % 400);
        ends.push(w.commit().unwrap().offset);
        if seq % 9 == 8 {
            w.sync().unwrap();
        }
    }
    let end = w.commit().unwrap().offset;
    drop(w);
    let path = only_segment(dir.path());
    let whole = std::fs::read(&path).unwrap();
    let scene = scratch();
    let copy = scene.path().join(path.file_name().unwrap());
    for cut in HEADER_LEN as u64..end + 10 {
        std::fs::write(&copy, &whole[..cut as usize]).unwrap();
        let want = ends.iter().filter(|&&e| e <= cut).count() as i64;
        assert_eq!(read_all(scene.path()), seqs(0..want), "cut at {cut}");
    }
    // And through the writer, which cuts the tail and goes on: at one byte of each record.
    for &e in &ends {
        std::fs::write(&copy, &whole[..e as usize - 1]).unwrap();
        let want = ends.iter().filter(|&&x| x < e).count() as i64;
        let mut w = JournalWriter::open(scene.path(), options()).unwrap();
        assert_eq!(w.lane(1).map_or(-1, |l| l.last_seq), want - 1);
        assert!(w.tail_found().unwrap().torn_bytes > 0);
        fill(&mut w, want..want + 2, 50);
        w.close().unwrap();
        assert_eq!(read_all(scene.path()), seqs(0..want + 2));
        for s in list_segments(&Dirs::new(scene.path())).unwrap() {
            std::fs::remove_file(s.path).unwrap();
        }
    }
}

#[test]
fn a_segment_cut_inside_its_header_is_told() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    fill(&mut w, 0..3, 100);
    w.close().unwrap();
    let path = only_segment(dir.path());
    let whole = std::fs::read(&path).unwrap();
    for cut in [0, 1, 127] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert_eq!(read_all(dir.path()), [Seen::Corrupt(1, 0, 0)]);
    }
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    fill(&mut w, 0..2, 100);
    w.close().unwrap();
    assert_eq!(read_all(dir.path()), [&[Seen::Corrupt(1, 0, 0)], &seqs(0..2)[..]].concat());
}

/// A closed journal of two segments; each flip is seen, costs its block at most, and everything else is read.
#[test]
fn each_flip_is_detected_and_costs_its_block() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), Options { segment_bytes: 4 * BLOCK, ..options() }).unwrap();
    let mut at = Vec::new();
    for seq in 0..130 {
        at.push(w.append_encoded(&bytes(1, seq, 1800 + (seq as usize * 37) % 900)).unwrap());
        if seq % 11 == 0 {
            w.sync().unwrap();
        }
    }
    at.push(w.position());
    w.close().unwrap();
    let segments = list_segments(&Dirs::new(dir.path())).unwrap();
    assert_eq!(segments.len(), 2);
    let mut flips = 0;
    for s in &segments {
        let whole = std::fs::read(&s.path).unwrap();
        let used = whole.iter().rposition(|&b| b != 0).unwrap();
        let file = File::options().write(true).open(&s.path).unwrap();
        let mut i = 0;
        while i <= used {
            file.write_all_at(&[whole[i] ^ 1 << (i % 8)], i as u64).unwrap();
            check_flip(dir.path(), s.number, i as u64, &at);
            file.write_all_at(&whole[i..=i], i as u64).unwrap();
            flips += 1;
            // Each byte of the headers and of some fragments, then strides that meet all offsets of a fragment.
            i += if i % (BLOCK as usize) < 150 { 1 } else { 331 };
        }
    }
    assert!(flips > 1200, "{flips}");
    assert_eq!(read_all(dir.path()), seqs(0..130));
}

fn check_flip(dir: &Path, segment: u64, offset: u64, at: &[Position]) {
    let dirs = Dirs::new(dir);
    let tail = JournalReader::find_tail(&dirs).unwrap().unwrap();
    let (seen, stats) = read_upto(&dirs, tail.end);
    let place = Position { segment, offset };
    let lost: Vec<i64> = (0..130).filter(|&s| !seen.contains(&Seen::Record(1, s))).collect();
    let block = offset - offset % BLOCK;
    for &s in &lost {
        let (a, b) = (at[s as usize], at[s as usize + 1]);
        let touches =
            a.segment == segment && a.offset < block + BLOCK && (b.segment > segment || b.offset > block);
        assert!(touches, "flip at {place} lost {s}, which lies at {a}");
    }
    // Padding zeros before a block's end and the copy of a header that is sound are nobody's data.
    let copy = (BLOCK..BLOCK + HEADER_LEN as u64).contains(&offset);
    // In the last marker or seal: the journal was not closed cleanly, it seems.
    let padding = lost.is_empty() && stats.corrupt == 0 && tail.sealed;
    assert!(stats.corrupt == 1 || copy || padding || !tail.sealed, "flip at {place}: {stats:?} {lost:?}");
    assert!(lost.is_empty() || stats.corrupt == 1, "flip at {place}: lost without a word");
    if padding && !copy {
        let inside = offset % BLOCK;
        assert!(inside > BLOCK - MIN_ROOM, "flip at {place} was not seen");
    }
}

#[test]
fn swapped_blocks_are_corruption_not_data() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), Options { segment_bytes: 8 * BLOCK, ..options() }).unwrap();
    // Fragments that fill their blocks exactly look alike in shape.
    fill(&mut w, 0..40, 65_536 / 8 - 72);
    w.close().unwrap();
    let path = only_segment(dir.path());
    let mut b = std::fs::read(&path).unwrap();
    let (two, three) = b[2 * BLOCK as usize..4 * BLOCK as usize].split_at_mut(BLOCK as usize);
    two.swap_with_slice(three);
    std::fs::write(&path, &b).unwrap();
    let seen = read_all(dir.path());
    assert_eq!(seen.iter().filter(|s| matches!(s, Seen::Corrupt(..))).count(), 2);
    let records: Vec<_> = seen.iter().filter(|s| matches!(s, Seen::Record(..))).cloned().collect();
    assert_eq!(records, [seqs(0..15), seqs(32..40)].concat());
}

/// A torn tail with sound blocks behind it, as a power cut may leave: nothing behind the hole comes back, ever.
#[test]
fn nothing_behind_a_torn_place_comes_back() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), Options { segment_bytes: 8 * BLOCK, ..options() }).unwrap();
    fill(&mut w, 0..10, 1000);
    w.sync().unwrap();
    fill(&mut w, 10..300, 1000);
    w.commit().unwrap();
    drop(w);
    let path = only_segment(dir.path());
    let mut b = std::fs::read(&path).unwrap();
    b[BLOCK as usize + 5000] ^= 1;
    std::fs::write(&path, &b).unwrap();
    let seen = read_all(dir.path());
    let n = seen.len() as i64;
    assert_eq!(seen, seqs(0..n));
    assert!((60..70).contains(&n));
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    let tail = *w.tail_found().unwrap();
    assert!(!tail.sealed && tail.torn_bytes > 200_000);
    fill(&mut w, n..n + 5, 1000);
    w.close().unwrap();
    assert_eq!(read_all(dir.path()), seqs(0..n + 5));
}

#[test]
fn stale_bytes_of_a_recycled_segment_stay_dead() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    let mut n = 0;
    let mut live_from = 0;
    for _round in 0..12 {
        let first = n;
        while w.position().segment < 2 + (n / 50) as u64 && n < first + 50 {
            fill(&mut w, n..n + 1, 700);
            n += 1;
        }
        w.sync().unwrap();
        let keep = Position { segment: w.position().segment.saturating_sub(1), offset: 0 };
        w.reclaim(keep).unwrap();
        let end = w.commit().unwrap();
        let (seen, stats) = read_upto(w.dirs(), end);
        let Some(Seen::Record(1, a)) = seen.first() else { panic!("{seen:?}") };
        assert!(*a >= live_from);
        live_from = *a;
        assert_eq!(seen, seqs(live_from..n));
        assert_eq!(stats.corrupt, 0);
    }
    let files: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    let count = |x: &str| files.iter().filter(|f| f.to_str().unwrap().ends_with(x)).count();
    assert!(count(".free") <= 2 && count(".seg") <= 3, "{files:?}");
    drop(w);
    // After a kill in a recycled segment the tail is found among the stale bytes.
    assert_eq!(read_all(dir.path()), seqs(live_from..n));
}

#[test]
fn two_writers_are_refused_and_strangers_left_alone() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    fill(&mut w, 0..3, 10);
    assert!(matches!(JournalWriter::open(dir.path(), options()), Err(JournalError::InUse { .. })));
    drop(w);
    let path = only_segment(dir.path());
    let whole = std::fs::read(&path).unwrap();
    let other = Options { dataset: ID + 1, ..options() };
    assert!(matches!(JournalWriter::open(dir.path(), other), Err(JournalError::Foreign { found: ID, .. })));
    let mut newer = whole.clone();
    newer[8] = 9;
    newer[BLOCK as usize + 8] = 9;
    std::fs::write(&path, &newer).unwrap();
    assert!(matches!(
        JournalWriter::open(dir.path(), options()),
        Err(JournalError::NewerVersion { found: 9, .. })
    ));
    assert!(matches!(
        JournalReader::find_tail(&Dirs::new(dir.path())),
        Err(JournalError::NewerVersion { .. })
    ));
    assert_eq!(std::fs::read(&path).unwrap(), newer, "untouched");
    for bad in [0, BLOCK, 2 * BLOCK + 1, 8 << 30] {
        let o = Options { segment_bytes: bad, ..options() };
        assert!(matches!(JournalWriter::open(dir.path(), o), Err(JournalError::SegmentSize(n)) if n == bad));
    }
}

#[test]
fn a_failed_write_or_sync_is_final_and_loses_nothing() {
    // Fail the n-th call of each kind until a run meets no failure (the N-loop of SQLite).
    for kind in 0..4 {
        let mut failures = 0;
        for nth in 1..200 {
            let dir = scratch();
            let o = options();
            let faults = o.faults.clone();
            let mut w = JournalWriter::open(dir.path(), o).unwrap();
            match kind {
                0 => faults.write_in.store(nth, Ordering::SeqCst),
                1 | 2 => faults.sync_in.store(nth, Ordering::SeqCst),
                _ => faults.create_in.store(nth, Ordering::SeqCst),
            }
            let mut failed = drive(&mut w, kind == 2);
            // All is durable by now; that even the seal may fail changes nothing.
            failed |= w.close().is_err();
            assert_eq!(read_all(dir.path()), seqs(0..120), "kind {kind} call {nth}");
            failures += u32::from(failed);
            if !failed {
                break;
            }
            assert!(nth < 199, "the loop must end");
        }
        assert!(failures > 1, "kind {kind} was never hit");
    }
}

/// Appends 120 records and keeps those that are not durable, as the raw ring does. True if a call failed.
fn drive(w: &mut JournalWriter, helper: bool) -> bool {
    let mut failed = false;
    let (mut next, mut safe) = (0i64, 0i64);
    // Behind each sync under way: how many records it covers.
    let mut covers = 0;
    while safe < 120 {
        let step = (|| -> Result<(), JournalError> {
            if next < 120 {
                w.append_encoded(&bytes(1, next, 3000))?;
                next += 1;
            }
            if next % 3 == 0 || next == 120 {
                w.commit()?;
            }
            if next % 5 != 0 {
                return Ok(());
            }
            if helper && next < 120 {
                if w.poll_sync()?.is_some() {
                    safe = covers;
                }
                if !w.syncing_now() && w.start_sync()? {
                    covers = next;
                }
            } else {
                w.sync()?;
                safe = next;
            }
            Ok(())
        })();
        if let Err(e) = step {
            assert!(e.is_storage(), "{e}");
            failed = true;
            while w.abandon_segment().is_err() {}
            next = safe;
        }
    }
    failed
}

#[test]
fn after_a_failure_nothing_is_accepted_until_the_segment_is_given_up() {
    let (dir, other) = (scratch(), scratch());
    let o = Options { fallback: Some(other.path().join("second")), ..options() };
    let faults = o.faults.clone();
    let mut w = JournalWriter::open(dir.path(), o).unwrap();
    fill(&mut w, 0..5, 100);
    w.sync().unwrap();
    fill(&mut w, 5..9, 100);
    let live = w.commit().unwrap();
    let mut reader = JournalReader::new(w.dirs().clone(), Position::START);
    let mut shown = 0;
    while reader.read(live).unwrap().is_some() {
        shown += 1;
    }
    assert_eq!(shown, 9);
    faults.sync_in.store(1, Ordering::SeqCst);
    assert!(w.sync().unwrap_err().is_storage());
    for _ in 0..2 {
        assert!(matches!(w.append_encoded(&bytes(1, 9, 1)), Err(JournalError::SegmentFailed { number: 1 })));
        assert!(matches!(w.commit(), Err(JournalError::SegmentFailed { .. })));
        assert!(matches!(w.sync(), Err(JournalError::SegmentFailed { .. })));
    }
    faults.create_in.store(1, Ordering::SeqCst);
    w.abandon_segment().unwrap();
    assert_eq!(w.lane(1).unwrap().last_seq, 4, "the tail counts no more");
    fill(&mut w, 5..12, 100);
    let end = w.sync().unwrap();
    assert!(other.path().join("second").join(segment_name(2)).exists());
    // The reader that was ahead sees each record once.
    while let Some(item) = reader.read(end).unwrap() {
        let ReadItem::Record { record, .. } = item else { panic!("{item:?}") };
        assert_eq!(record.lane_seq, shown);
        shown += 1;
    }
    assert_eq!((shown, reader.stats().duplicates), (12, 4));
    let dirs = w.dirs().clone();
    w.close().unwrap();
    let tail = JournalReader::find_tail(&dirs).unwrap().unwrap();
    assert_eq!(read_upto(&dirs, tail.end).0, seqs(0..12));
}

#[test]
fn numbers_near_the_end_of_u64_end_in_an_error_not_in_a_wrap() {
    let dir = scratch();
    let o = || Options { first_segment: u64::MAX - 2, ..options() };
    let mut n = 0;
    for _ in 0..3 {
        let mut w = JournalWriter::open(dir.path(), o()).unwrap();
        fill(&mut w, n..n + 2, 10);
        n += 2;
        w.close().unwrap();
    }
    assert_eq!(read_all(dir.path()), seqs(0..6));
    let mut w = JournalWriter::open(dir.path(), o()).unwrap();
    assert_eq!(w.lane(1).unwrap().last_seq, 5);
    assert!(matches!(w.append_encoded(&bytes(1, 6, 1)), Err(JournalError::Exhausted(u64::MAX))));
    assert_eq!(w.reclaim(Position { segment: u64::MAX, offset: u64::MAX }).unwrap(), 2);
    assert_eq!(read_all(dir.path()), seqs(4..6));

    let r = bytes(2, i64::MAX, 5);
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    w.append_encoded(&r).unwrap();
    w.close().unwrap();
    let w = JournalWriter::open(dir.path(), options()).unwrap();
    assert_eq!(w.lane(2).unwrap().last_seq, i64::MAX);
}

#[test]
fn missing_segments_are_told_and_the_rest_is_read() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    let mut firsts = vec![];
    for seq in 0..80 {
        let at = w.append_encoded(&bytes(1, seq, 4000)).unwrap();
        if at.segment as usize > firsts.len() {
            firsts.push(seq);
        }
    }
    w.close().unwrap();
    let all = list_segments(&Dirs::new(dir.path())).unwrap();
    assert!((5..8).contains(&all.len()), "{}", all.len());
    let keep = scratch();
    for s in &all {
        std::fs::copy(&s.path, keep.path().join(s.path.file_name().unwrap())).unwrap();
    }
    for subset in 0u32..1 << (all.len() - 1) {
        for (i, s) in all.iter().enumerate() {
            let kept = keep.path().join(s.path.file_name().unwrap());
            if i < all.len() - 1 && subset & 1 << i != 0 {
                let _ = std::fs::remove_file(&s.path);
            } else if !s.path.exists() {
                std::fs::copy(kept, &s.path).unwrap();
            }
        }
        let seen = read_all(dir.path());
        let mut want = 0;
        for (i, &first) in firsts.iter().enumerate() {
            let next = firsts.get(i + 1).copied().unwrap_or(80);
            if subset & 1 << i == 0 || i == all.len() - 1 {
                assert!((first..next).all(|s| seen.contains(&Seen::Record(1, s))), "{subset:b}");
                want += next - first;
            }
        }
        assert_eq!(seen.iter().filter(|s| matches!(s, Seen::Record(..))).count() as i64, want);
        // What is missing before the first one that is left was reclaimed; only holes are told.
        let gone: u64 = seen.iter().map(|s| if let Seen::Missing(a, b) = s { b - a + 1 } else { 0 }).sum();
        let leading = subset.trailing_ones();
        assert_eq!(gone, u64::from(subset.count_ones() - leading.min(subset.count_ones())), "{subset:b}");
        drop(JournalWriter::open(dir.path(), options()).unwrap());
    }
}

#[test]
fn a_changed_past_breaks_the_chain() {
    let (dir, other) = (scratch(), scratch());
    for (d, salt) in [(&dir, 1), (&other, 2)] {
        let mut w = JournalWriter::open(d.path(), Options { salt_seed: Some(salt), ..options() }).unwrap();
        fill(&mut w, 0..40, 3000);
        w.close().unwrap();
    }
    let name = segment_name(1);
    std::fs::copy(other.path().join(&name), dir.path().join(&name)).unwrap();
    let end = JournalReader::find_tail(&Dirs::new(dir.path())).unwrap().unwrap().end;
    let (seen, stats) = read_upto(&Dirs::new(dir.path()), end);
    assert_eq!(seen, seqs(0..40));
    assert_eq!(stats.chain_breaks, [2]);
}
