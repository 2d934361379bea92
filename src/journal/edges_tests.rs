//! What seldom happens to a journal: files that are gone, forged or cannot be read, disks that refuse, calls in an odd order.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::sync::atomic::Ordering;

use super::format::{BLOCK, FRAGMENT, HEADER_LEN, Header};
use super::segment::{HeaderState, read_header, segment_name};
use super::tests::{Seen, bytes, options, read_all, read_upto, scratch};
use super::*;
use crate::model::{Kind, Record};

fn seqs(range: std::ops::Range<i64>) -> Vec<Seen> {
    range.map(|s| Seen::Record(1, s)).collect()
}

fn fill(w: &mut JournalWriter, range: std::ops::Range<i64>, len: usize) {
    for seq in range {
        w.append_encoded(&bytes(1, seq, len)).unwrap();
    }
}

/// What could not be done with which file.
fn refused<T>(r: Result<T, JournalError>) -> (PathBuf, &'static str) {
    match r.map(drop) {
        Err(JournalError::Io { path, what, .. }) => (path, what),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_journal_that_is_not_there_is_empty_and_one_that_cannot_be_listed_is_an_error() {
    let dir = scratch();
    let none = Dirs::new(dir.path().join("none"));
    assert_eq!(list_segments(&none).unwrap(), []);
    assert_eq!(JournalReader::find_tail(&none).unwrap(), None);
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(refused(list_segments(&Dirs::new(&file))), (file, "list"));
}

#[test]
fn only_a_disk_without_room_is_full() {
    let io = |code| JournalError::Io {
        path: PathBuf::new(),
        what: "write",
        source: io::Error::from_raw_os_error(code),
    };
    assert_eq!([libc::ENOSPC, libc::EDQUOT, libc::EIO].map(|c| io(c).is_full()), [true, true, false]);
    assert!(!JournalError::SegmentFailed { number: 1 }.is_full());
}

#[test]
fn a_disk_without_room_for_a_segment_gets_a_short_one_and_any_other_refusal_is_told() {
    let dir = scratch();
    let long = || Options { segment_bytes: 4 << 20, ..options() };
    let o = long();
    o.faults.create_in.store(1, Ordering::SeqCst);
    let mut w = JournalWriter::open(dir.path(), o).unwrap();
    fill(&mut w, 0..3, 100);
    w.close().unwrap();
    assert_eq!(list_segments(&Dirs::new(dir.path())).unwrap()[0].len, 1 << 20);
    assert_eq!(read_all(dir.path()), seqs(0..3));
    // Its directory is gone: a shorter one would not help.
    let gone = dir.path().join("gone");
    let mut w = JournalWriter::open(&gone, long()).unwrap();
    std::fs::remove_dir_all(&gone).unwrap();
    let tmp = gone.join(format!("{}.tmp", segment_name(1)));
    assert_eq!(refused(w.append_encoded(&bytes(1, 0, 100))), (tmp, "create"));
}

#[test]
fn what_stands_in_a_segment_s_way_is_not_followed_and_not_left() {
    let dir = scratch();
    let other = scratch();
    let target = other.path().join("target");
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    let tmp = dir.path().join(format!("{}.tmp", segment_name(1)));
    std::os::unix::fs::symlink(&target, &tmp).unwrap();
    assert_eq!(refused(w.append_encoded(&bytes(1, 0, 100))), (tmp.clone(), "create"));
    assert!(std::fs::symlink_metadata(&tmp).is_err() && !target.exists());
    fill(&mut w, 0..2, 100);
    w.close().unwrap();
    // What a dead process was making goes at the next start.
    std::fs::write(&tmp, "half").unwrap();
    drop(JournalWriter::open(dir.path(), options()).unwrap());
    assert!(!tmp.exists());
    assert_eq!(read_all(dir.path()), seqs(0..2));
}

#[test]
fn a_segment_of_the_second_directory_is_removed_and_no_spare() {
    let (dir, other) = (scratch(), scratch());
    let o = Options { fallback: Some(other.path().to_path_buf()), ..options() };
    let faults = o.faults.clone();
    let mut w = JournalWriter::open(dir.path(), o).unwrap();
    fill(&mut w, 0..3, 3000);
    w.sync().unwrap();
    faults.create_in.store(1, Ordering::SeqCst);
    w.abandon_segment().unwrap();
    let second = other.path().join(segment_name(2));
    assert!(second.exists());
    fill(&mut w, 3..80, 3000);
    let end = w.sync().unwrap();
    let before = Position { segment: 3, offset: 0 };
    assert!(end > before);
    assert_eq!(w.reclaim(before).unwrap(), 2);
    assert!(!second.exists());
    let free =
        |d: &Path| std::fs::read_dir(d).unwrap().filter(|e| is_free(&e.as_ref().unwrap().path())).count();
    assert_eq!((free(dir.path()), free(other.path())), (1, 0));
}

fn is_free(path: &Path) -> bool {
    path.extension().is_some_and(|x| x == "free")
}

#[test]
fn a_reader_ahead_of_the_mark_waits_where_it_is() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    fill(&mut w, 0..60, 3000);
    let end = w.commit().unwrap();
    let mut r = JournalReader::new(w.dirs().clone(), Position::START);
    let mut n = 0;
    while r.position().segment < 2 {
        assert!(matches!(r.read(end).unwrap(), Some(ReadItem::Record { .. })));
        n += 1;
    }
    let at = r.position();
    assert_eq!(r.read(Position { segment: 1, offset: 500 }).unwrap(), None);
    assert_eq!(r.position(), at);
    while let Some(item) = r.read(end).unwrap() {
        let ReadItem::Record { record, .. } = item else { panic!("{item:?}") };
        assert_eq!(record.lane_seq, n);
        n += 1;
    }
    assert_eq!(n, 60);
}

#[test]
fn records_without_a_number_are_no_repeats() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    for seq in [3, -1, -1, 3, 4] {
        w.append_encoded(&bytes(1, seq, 10)).unwrap();
    }
    w.close().unwrap();
    let want = [3, -1, -1, 4].map(|s| Seen::Record(1, s));
    assert_eq!(read_all(dir.path()), want);
}

#[test]
fn a_segment_that_is_another_file_by_now_is_missing_and_not_damaged() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), Options { segment_bytes: 8 * BLOCK, ..options() }).unwrap();
    fill(&mut w, 0..100, 3000);
    let end = w.commit().unwrap();
    let mut r = JournalReader::new(w.dirs().clone(), Position::START);
    assert!(matches!(r.read(end).unwrap(), Some(ReadItem::Record { .. })));
    let path = dir.path().join(segment_name(1));
    let open = File::options().write(true).open(&path).unwrap();
    let copy = dir.path().join("copy");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::rename(&copy, &path).unwrap();
    open.write_all_at(&[0xff; 5000], 2 * BLOCK).unwrap();
    let last = loop {
        match r.read(end).unwrap() {
            Some(ReadItem::Record { .. }) => {}
            other => break other,
        }
    };
    assert_eq!(last, Some(ReadItem::Missing { first: 1, last: 1 }));
    assert_eq!(r.read(end).unwrap(), None);
    assert_eq!(r.stats().corrupt, 0);
}

#[test]
fn a_header_that_names_another_predecessor_breaks_no_chain_and_hides_nothing() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    fill(&mut w, 0..40, 3000);
    w.close().unwrap();
    let file = File::options().read(true).write(true).open(dir.path().join(segment_name(2))).unwrap();
    let mut b = [0u8; HEADER_LEN];
    file.read_exact_at(&mut b, 0).unwrap();
    let mut h = Header::decode(&b).unwrap();
    h.prev.as_mut().unwrap().end.segment = 77;
    for at in [0, BLOCK] {
        file.write_all_at(&h.encode(), at).unwrap();
    }
    let dirs = Dirs::new(dir.path());
    let end = JournalReader::find_tail(&dirs).unwrap().unwrap().end;
    let (seen, stats) = read_upto(&dirs, end);
    assert_eq!((seen, stats.chain_breaks), (seqs(0..40), vec![]));
}

#[test]
fn a_segment_that_cannot_be_opened_or_read_is_an_error_with_its_name() {
    let dir = scratch();
    let path = dir.path().join(segment_name(1));
    let dirs = Dirs::new(dir.path());
    let socket = UnixListener::bind(&path).unwrap();
    assert_eq!(refused(JournalReader::find_tail(&dirs)), (path.clone(), "open"));
    let mut r = JournalReader::new(dirs.clone(), Position::START);
    let upto = Position { segment: 2, offset: 0 };
    // Nothing is told of what is before the first segment that is there.
    assert_eq!(r.read(Position { segment: 1, offset: 0 }).unwrap(), None);
    assert_eq!(refused(r.read(upto)), (path.clone(), "open"));
    drop(socket);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert_eq!(refused(JournalReader::find_tail(&dirs)), (path.clone(), "read"));
    // A bad sector is none of these: it is damage. The kernel answers so where no memory is.
    let bad = File::open("/proc/self/mem").unwrap();
    assert_eq!(read_header(&bad, &path).unwrap(), HeaderState::Lost);
}

#[test]
fn where_the_newest_summary_is_damaged_an_older_one_serves() {
    let dir = scratch();
    for run in 0..2 {
        let mut w = JournalWriter::open(dir.path(), options()).unwrap();
        fill(&mut w, run * 5..run * 5 + 5, 100);
        w.close().unwrap();
    }
    let file = File::options().read(true).write(true).open(dir.path().join(segment_name(2))).unwrap();
    let at = (HEADER_LEN + FRAGMENT) as u64;
    let mut b = [0u8; 1];
    file.read_exact_at(&mut b, at).unwrap();
    file.write_all_at(&[b[0] ^ 1], at).unwrap();
    let w = JournalWriter::open(dir.path(), options()).unwrap();
    assert_eq!((w.lane(1).unwrap().last_seq, w.corrupt_found()), (4, 1));
}

#[test]
fn a_marker_that_says_nothing_moves_no_end() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    fill(&mut w, 0..3, 100);
    w.sync().unwrap();
    let durable = w.durable();
    let frame = bytes(0, -1, 1);
    let empty = Record { kind: Kind::Sync, ..Record::decode(&frame).unwrap() };
    w.append(&empty).unwrap();
    fill(&mut w, 3..5, 100);
    let end = w.commit().unwrap();
    drop(w);
    let tail = JournalReader::find_tail(&Dirs::new(dir.path())).unwrap().unwrap();
    assert_eq!((tail.end, tail.durable), (end, durable));
    assert_eq!(read_all(dir.path()), seqs(0..5));
}

#[test]
fn a_file_that_ends_where_its_records_end_is_not_cut() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    fill(&mut w, 0..3, 100);
    w.sync().unwrap();
    let end = w.commit().unwrap().offset;
    drop(w);
    let path = dir.path().join(segment_name(1));
    File::options().write(true).open(&path).unwrap().set_len(end).unwrap();
    let w = JournalWriter::open(dir.path(), options()).unwrap();
    assert_eq!(w.tail_found().unwrap().end.offset, end);
    assert_eq!((std::fs::metadata(&path).unwrap().len(), w.lane(1).unwrap().last_seq), (end, 2));
    drop(w);
    assert_eq!(read_all(dir.path()), seqs(0..3));
}

/// Where fewer bytes are left of a block than a fragment needs they are zeros, and the next one stands in the next block.
#[test]
fn records_that_end_just_before_a_block_does_are_read() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), Options { segment_bytes: 40 * BLOCK, ..options() }).unwrap();
    let head = bytes(1, 0, 0).len() + FRAGMENT;
    let mut seq = 0;
    for left in 1..16 {
        // To the next block, and then to so many bytes before its end.
        fill(&mut w, seq..seq + 1, BLOCK as usize);
        let room = BLOCK - w.position().offset % BLOCK;
        fill(&mut w, seq + 1..seq + 2, room as usize - left - head);
        assert_eq!(BLOCK - w.position().offset % BLOCK, left as u64);
        let at = w.append_encoded(&bytes(1, seq + 2, 100)).unwrap();
        assert!(at.offset % BLOCK <= HEADER_LEN as u64, "{at}");
        seq += 3;
    }
    w.close().unwrap();
    assert_eq!(read_all(dir.path()), seqs(0..seq));
}

#[test]
fn bytes_behind_a_record_are_no_record() {
    let dir = scratch();
    let mut w = JournalWriter::open(dir.path(), options()).unwrap();
    let (whole, mut longer) = (bytes(1, 0, 10), bytes(1, 0, 10));
    longer.push(0);
    for b in [vec![], whole[..whole.len() - 1].to_vec(), longer] {
        let told = w.append_encoded(&b);
        assert!(matches!(told, Err(JournalError::NoRecord { len }) if len == b.len()), "{told:?}");
    }
    assert_eq!(w.position(), Position::START);
    assert!(w.lanes().is_empty());
}

#[test]
fn a_sync_under_way_is_asked_waited_for_and_given_up() {
    let dir = scratch();
    let o = options();
    let faults = o.faults.clone();
    faults.by_hand.store(true, Ordering::SeqCst);
    faults.looks.store(1, Ordering::SeqCst);
    let mut w = JournalWriter::open(dir.path(), o).unwrap();
    fill(&mut w, 0..2, 100);
    assert!(w.has_unsynced() && !w.syncing_now());
    let first = w.records_end();
    assert!(w.start_sync().unwrap());
    assert!(w.has_unsynced() && w.syncing_now() && w.durable() < first);
    // One at a time: what came since is for the next one.
    fill(&mut w, 2..3, 100);
    assert!(w.start_sync().unwrap());
    assert_eq!(w.poll_sync().unwrap(), None);
    assert_eq!(w.poll_sync().unwrap(), Some(first));
    assert!(w.has_unsynced() && !w.syncing_now());
    assert_eq!(w.lanes_durable()[0].last_seq, 1);
    assert!(w.start_sync().unwrap());
    let all = w.sync().unwrap();
    assert!(!w.syncing_now() && all >= w.records_end());
    assert_eq!(w.lanes_durable()[0].last_seq, 2);
    // The segment is given up with its sync under way.
    fill(&mut w, 3..5, 100);
    assert!(w.start_sync().unwrap());
    w.abandon_segment().unwrap();
    assert!(!w.syncing_now());
    assert_eq!(w.lane(1).unwrap().last_seq, 2);
    fill(&mut w, 3..4, 100);
    w.close().unwrap();
    assert_eq!(read_all(dir.path()), seqs(0..4));
}

#[test]
fn a_lane_of_which_nothing_was_told_has_no_durable_mark() {
    let dir = scratch();
    let w = JournalWriter::open(dir.path(), options()).unwrap();
    let shared = JournalShared::new(&w);
    let lane =
        LaneState { lane: 3, last_seq: 7, last_ts_recv: 0, max_ts_recv: 0, max_conn: 0, stopped: false };
    let at = Position { segment: 1, offset: 500 };
    shared.publish_dur(at, &[lane]);
    let m = shared.marks();
    assert_eq!((m.jrn, m.dur, m.lanes), (at, at, vec![]));
    shared.publish_jrn(at, &[lane]);
    shared.publish_dur(at, &[lane]);
    assert_eq!(shared.marks().lanes, [LaneMark { lane: 3, jrn: 7, dur: 7 }]);
}
