use std::collections::VecDeque;
use std::os::unix::fs::{FileExt, PermissionsExt};

use proptest::prelude::*;

use super::*;
use crate::model::{Kind, Record};

const ID: u128 = 0xfeed_f00d_0000_0000_0000_0000_0000_0001;

fn options(capacity: u64) -> RawOptions {
    RawOptions { dataset: ID, lane: 3, capacity, last_lane_seq: -1 }
}

pub(super) fn record(seq: i64, payload: &[u8]) -> Record<'_> {
    Record {
        kind: Kind::Frame,
        flags: 0,
        lane: 3,
        status: 0,
        conn: 77 + seq / 100,
        lane_seq: seq,
        rseq: seq % 100,
        ts_kernel: 1,
        ts_mono: 2,
        ts_recv: 3 + seq,
        url: "",
        payload,
    }
}

/// A payload that depends on its number in each byte.
fn payload(seq: i64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (seq as usize).wrapping_mul(31).wrapping_add(i) as u8).collect()
}

pub(super) fn ring(capacity: u64) -> (tempfile::TempDir, PathBuf, RawProducer, RawConsumer) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(ring_file_name(ID, 3));
    // Miri maps no files: there, a test that needs nothing but the ring has it in memory.
    let made = if cfg!(miri) { Ok(ends(&memory(capacity))) } else { create(&path, &options(capacity)) };
    let (p, c) = made.unwrap();
    (dir, path, p, c)
}

/// A new ring that is no file's.
fn memory(capacity: u64) -> Arc<Map> {
    let words = (PAGE as u64 + capacity) / 8;
    let memory = Memory::Owned((0..words).map(|_| AtomicU64::new(0)).collect());
    let map = Map { memory, path: PathBuf::new(), capacity, lane: 3 };
    map.seq().store(-1, Ordering::Relaxed);
    Arc::new(map)
}

fn salvaged(path: &Path) -> Vec<Vec<u8>> {
    all_of(Salvage::open(path, ID).unwrap().unwrap())
}

fn all_of(mut s: Salvage) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while let Some(b) = s.next_record() {
        out.push(b.to_vec());
    }
    assert_eq!(s.damaged(), 0);
    out
}

#[test]
fn what_goes_in_comes_out_over_many_laps() {
    let (_dir, _path, mut p, mut c) = ring(4096);
    let n = if cfg!(miri) { 100 } else { 5_000 };
    for seq in 0..n {
        let body = payload(seq, (seq as usize * 7) % 600);
        p.push(&record(seq, &body)).unwrap();
        assert_eq!(c.next_record(), Some(&record(seq, &body).encode()[..]));
        assert_eq!(c.next_record(), None);
        c.mark_jrn();
        let pos = c.position();
        c.mark_dur(pos);
    }
    assert_eq!((p.last_lane_seq(), p.next_lane_seq()), (n - 1, n));
    assert_eq!(p.fill_ratio(), 0.0);
    let m = c.monitor();
    assert_eq!((m.head(), m.jrn(), m.last_lane_seq()), (m.dur(), m.dur(), n - 1));
}

#[test]
fn full_means_full_until_durable_and_control_has_its_own_room() {
    let (_dir, _path, mut p, mut c) = ring(4096);
    let mut n = 0;
    while p.push(&record(n, &payload(n, 56))).is_ok() {
        n += 1;
    }
    // 128 bytes an entry; 256 of 4,096 are kept for control.
    assert_eq!(n, 30);
    assert_eq!(p.push(&record(n, &payload(n, 56))), Err(PushError::Full));
    assert!(!p.has_room(64));
    assert!(p.fill_ratio() > 0.9);
    p.push_control(&record(n, &payload(n, 56))).unwrap();
    p.push_control(&record(n + 1, &payload(n, 56))).unwrap();
    assert_eq!(p.push_control(&record(n + 2, b"")), Err(PushError::Full));
    assert_eq!(p.last_lane_seq(), n + 1, "what did not enter does not count");

    while c.next_record().is_some() {}
    c.mark_jrn();
    assert_eq!(p.push(&record(n + 2, b"")), Err(PushError::Full), "read is not durable");
    let pos = c.position();
    c.mark_dur(pos);
    assert!(p.has_room(64));
    p.push(&record(n + 2, b"")).unwrap();
}

#[test]
fn a_record_that_never_fits_is_told_apart() {
    let (_dir, _path, mut p, mut c) = ring(4096);
    let max = p.max_record();
    // At every offset of the area the longest record fits an empty ring.
    let n = if cfg!(miri) { 40 } else { 600 };
    for seq in 0..n {
        p.push(&record(seq, &payload(seq, if seq % 2 == 0 { max - 64 } else { seq as usize % 64 }))).unwrap();
        assert!(c.next_record().is_some());
        let pos = c.position();
        c.mark_dur(pos);
    }
    let too_long = payload(0, max - 63);
    assert_eq!(p.push(&record(n, &too_long)), Err(PushError::TooLarge { len: max + 1, max }));
}

#[test]
fn the_unsynced_tail_can_be_read_again() {
    let (_dir, _path, mut p, mut c) = ring(4096);
    for seq in 0..5 {
        p.push(&record(seq, b"x")).unwrap();
    }
    c.next_record().unwrap();
    let durable = c.position();
    while c.next_record().is_some() {}
    c.mark_dur(durable);
    c.rewind();
    let b = c.next_record().unwrap();
    assert_eq!(Record::decode(b).unwrap().lane_seq, 1);
}

#[test]
#[cfg_attr(miri, ignore = "needs a file that is mapped")]
fn a_killed_process_leaves_all_below_head() {
    let (_dir, path, mut p, mut c) = ring(4096);
    for seq in 0..40 {
        p.push(&record(seq, &payload(seq, 100))).unwrap();
        if seq % 10 == 9 {
            while c.next_record().is_some() {}
            let pos = c.position();
            c.mark_dur(pos);
        }
    }
    for seq in 40..45 {
        p.push(&record(seq, &payload(seq, 100))).unwrap();
    }
    assert!(
        matches!(Salvage::open(&path, ID), Err(RawError::InUse { pid, .. }) if pid == std::process::id())
    );
    assert!(matches!(create(&path, &options(4096)), Err(RawError::InUse { .. })));
    let mark = inspect(&path).unwrap().unwrap();
    assert_eq!((mark.last_lane_seq, mark.damaged), (44, 0));
    assert_eq!(mark.conns.into_iter().collect::<Vec<_>>(), [(77, 44)]);
    drop((p, c));

    assert!(matches!(create(&path, &options(4096)), Err(RawError::NotDrained { .. })));
    for _twice in 0..2 {
        let want: Vec<_> = (40..45).map(|s| record(s, &payload(s, 100)).encode()).collect();
        assert_eq!(salvaged(&path), want, "reading changes nothing");
    }
    Salvage::open(&path, ID).unwrap().unwrap().clear();
    assert_eq!(salvaged(&path), Vec::<Vec<u8>>::new());
    let (p, _c) = create(&path, &RawOptions { last_lane_seq: 44, ..options(8192) }).unwrap();
    assert_eq!(p.next_lane_seq(), 45);
}

#[test]
#[cfg_attr(miri, ignore = "needs a file that is mapped")]
fn each_flipped_bit_is_found_and_the_rest_is_read() {
    let (_dir, path, mut p, c) = ring(4096);
    for seq in 0..6 {
        p.push(&record(seq, &payload(seq, 9))).unwrap();
    }
    let head = c.monitor().head();
    drop((p, c));
    let clean = std::fs::read(&path).unwrap();
    for at in 0..head as usize {
        let mut b = clean.clone();
        b[PAGE + at] ^= 1 << (at % 8);
        std::fs::write(&path, &b).unwrap();
        let mut s = Salvage::open(&path, ID).unwrap().unwrap();
        let mut seqs = Vec::new();
        while let Some(r) = s.next_record() {
            seqs.push(Record::decode(r).unwrap().lane_seq);
        }
        let padding = at % 88 >= 81;
        assert_eq!((seqs.len(), s.damaged()), if padding { (6, 0) } else { (5, 1) }, "flip at {at}");
        assert!(seqs.is_sorted());
    }
}

#[test]
#[cfg_attr(miri, ignore = "needs a file that is mapped")]
fn damaged_marks_are_no_reason_to_read_wild() {
    let (_dir, path, mut p, c) = ring(4096);
    p.push(&record(0, b"x")).unwrap();
    drop((p, c));
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    for (dur, head) in
        [(0u64, u64::MAX), (8, 0), (3, 88), (0, 4097), (0, 84), (u64::MAX - 7, 0), (1 << 63, (1 << 63) + 8)]
    {
        file.write_all_at(&dur.to_le_bytes(), AT_DUR as u64).unwrap();
        file.write_all_at(&head.to_le_bytes(), AT_HEAD as u64).unwrap();
        let mut s = Salvage::open(&path, ID).unwrap().unwrap();
        assert_eq!(s.next_record(), None);
        assert_eq!(s.damaged(), 1, "{dur} {head}");
        assert_eq!(inspect(&path).unwrap().unwrap().damaged, 1);
    }
}

#[test]
fn positions_near_the_end_of_u64_and_long_laps_are_bound_to_their_place() {
    let r = record(1, b"abc").encode();
    let near = [0u64, 8, 4096, 1 << 35, 1 << 38, !7];
    for (i, a) in near.iter().enumerate() {
        for b in &near[i + 1..] {
            assert_ne!(entry::check(*a, &r), entry::check(*b, &r));
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "needs a file that is mapped")]
fn strangers_are_refused_untouched() {
    let (_dir, path, p, c) = ring(4096);
    drop((p, c));
    let clean = std::fs::read(&path).unwrap();
    let refuse = |bytes: &[u8], check: &dyn Fn(RawError) -> bool| {
        std::fs::write(&path, bytes).unwrap();
        assert!(check(create(&path, &options(4096)).err().unwrap()));
        assert!(check(Salvage::open(&path, ID).err().unwrap()));
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "left as it is");
    };
    let mut newer = clean.clone();
    newer[8] = 2;
    refuse(&newer, &|e| matches!(e, RawError::NewerVersion { found: 2, .. }));
    let mut other = clean.clone();
    other[0] = b'X';
    refuse(&other, &|e| matches!(e, RawError::NotARing { .. }));
    for at in 12..64 {
        let mut flipped = clean.clone();
        flipped[at] ^= 4;
        refuse(&flipped, &|e| matches!(e, RawError::NotARing { .. }));
    }
    refuse(&clean[..4100], &|e| matches!(e, RawError::NotARing { .. }));
    refuse(b"hello", &|e| matches!(e, RawError::NotARing { .. }));

    std::fs::write(&path, &clean).unwrap();
    assert!(matches!(Salvage::open(&path, ID + 1), Err(RawError::Foreign { found: ID, .. })));
    let o = RawOptions { lane: 4, ..options(4096) };
    assert!(matches!(create(&path, &o), Err(RawError::Foreign { lane: 3, .. })));
    for capacity in [0, 2048, 5000, 1 << 33] {
        assert!(matches!(create(&path, &options(capacity)), Err(RawError::Capacity(n)) if n == capacity));
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(create(&path, &options(4096)), Err(RawError::Insecure { mode: 0o640, .. })));
    let link = path.with_extension("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    assert!(matches!(create(&link, &options(4096)), Err(RawError::Io { what: "open", .. })));
}

#[test]
#[cfg_attr(miri, ignore = "needs a file that is mapped")]
fn a_ring_whose_making_was_cut_short_is_blank() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r");
    for len in [0usize, 3, 64, 4096, 8192] {
        std::fs::write(&path, vec![0; len]).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Salvage::open(&path, ID).unwrap().is_none());
        assert_eq!(inspect(&path).unwrap(), None);
        drop(create(&path, &options(4096)).unwrap());
        assert!(Salvage::open(&path, ID).unwrap().is_some());
    }
    // Everything but the magic is there.
    let mut b = std::fs::read(&path).unwrap();
    b[..8].fill(0);
    std::fs::write(&path, &b).unwrap();
    assert!(Salvage::open(&path, ID).unwrap().is_none());
    drop(create(&path, &options(4096)).unwrap());
}

#[test]
#[cfg_attr(miri, ignore = "needs a file that is mapped")]
fn a_clean_stop_leaves_no_file() {
    let (_dir, path, mut p, mut c) = ring(4096);
    p.push(&record(0, b"x")).unwrap();
    assert!(c.next_record().is_some());
    let pos = c.position();
    c.mark_dur(pos);
    assert!(c.remove_if_drained());
    assert!(!path.exists());

    let (_dir, path, mut p, c) = ring(4096);
    p.push(&record(0, b"x")).unwrap();
    assert!(!c.remove_if_drained());
    assert!(path.exists());
}

/// Loom is not among our crates; this is its stand-in, a small ring with the ends on two threads: every wrap, skip and
/// full state comes up thousands of times, and each record carries its number in every byte.
#[test]
fn two_threads_lose_and_reorder_nothing() {
    let (_dir, _path, mut p, mut c) = ring(4096);
    const N: i64 = if cfg!(miri) { 200 } else { 60_000 };
    std::thread::scope(|s| {
        s.spawn(move || {
            for seq in 0..N {
                let body = payload(seq, (seq as usize).wrapping_mul(2_654_435_761) % 300);
                while p.push(&record(seq, &body)).is_err() {
                    std::thread::yield_now();
                }
            }
        });
        let mut seq = 0;
        let mut marks = VecDeque::new();
        while seq < N {
            match c.next_record() {
                Some(b) => {
                    let body = payload(seq, (seq as usize).wrapping_mul(2_654_435_761) % 300);
                    assert_eq!(b, record(seq, &body).encode());
                    seq += 1;
                }
                None => std::thread::yield_now(),
            }
            // Durability lags behind by a few records, as it does behind `fdatasync`.
            marks.push_back(c.position());
            if marks.len() > 5 {
                let pos = marks.pop_front().unwrap();
                c.mark_dur(pos);
            }
        }
        assert_eq!(c.next_record(), None);
        assert_eq!(c.damaged(), 0);
    });
}

#[derive(Clone, Debug)]
enum Op {
    Push(usize, bool),
    Read(usize),
    Jrn,
    Dur(usize),
    Rewind,
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0usize..1200, any::<bool>()).prop_map(|(n, c)| Op::Push(n, c)),
        4 => (1usize..8).prop_map(Op::Read),
        1 => Just(Op::Jrn),
        3 => (0usize..8).prop_map(Op::Dur),
        1 => Just(Op::Rewind),
        1 => Just(Op::Crash),
    ]
}

/// Where the ring under test lives: what a killed process leaves, and the ring that is made of it again.
enum Home {
    File { _dir: tempfile::TempDir, path: PathBuf },
    Memory(Arc<Map>),
}

impl Home {
    fn file() -> Home {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(ring_file_name(ID, 3));
        Home::File { _dir: dir, path }
    }

    fn open(&self, last_lane_seq: i64) -> (RawProducer, RawConsumer) {
        match self {
            Home::File { path, .. } => create(path, &RawOptions { last_lane_seq, ..options(4096) }).unwrap(),
            Home::Memory(map) => ends(map),
        }
    }

    fn salvage(&self) -> Salvage {
        match self {
            Home::File { path, .. } => Salvage::open(path, ID).unwrap().unwrap(),
            Home::Memory(map) => Salvage::of(Arc::clone(map)),
        }
    }
}

/// Against a queue: the ring holds exactly what was pushed and is not durable, through wraps, rewinds and deaths.
fn is_a_queue(home: &Home, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let (mut p, mut c) = home.open(-1);
    let mut held: VecDeque<Vec<u8>> = VecDeque::new();
    let mut ends: VecDeque<u64> = VecDeque::new();
    let mut read = 0;
    let mut seq = 0;
    for op in ops {
        match op {
            Op::Push(n, control) => {
                let body = payload(seq, n);
                let r = record(seq, &body);
                let pushed = if control { p.push_control(&r) } else { p.push(&r) };
                if pushed.is_ok() {
                    held.push_back(r.encode());
                    seq += 1;
                } else {
                    prop_assert!(!held.is_empty(), "an empty ring takes any record");
                }
            }
            Op::Read(n) => {
                for _ in 0..n {
                    prop_assert_eq!(c.next_record(), held.get(read).map(|v| &v[..]));
                    if read < held.len() {
                        read += 1;
                        ends.push_back(c.position());
                    }
                }
            }
            Op::Jrn => c.mark_jrn(),
            Op::Dur(n) => {
                for _ in 0..n.min(read) {
                    c.mark_dur(ends.pop_front().unwrap());
                    held.pop_front();
                    read -= 1;
                }
            }
            Op::Rewind => {
                c.rewind();
                read = 0;
                ends.clear();
            }
            Op::Crash => {
                drop((p, c));
                prop_assert_eq!(all_of(home.salvage()), Vec::from(held.clone()));
                if let Home::File { path, .. } = home {
                    let mark = inspect(path).unwrap().unwrap();
                    prop_assert_eq!((mark.last_lane_seq, mark.damaged), (seq - 1, 0));
                }
                home.salvage().clear();
                held.clear();
                ends.clear();
                read = 0;
                (p, c) = home.open(seq - 1);
            }
        }
        prop_assert_eq!(p.last_lane_seq(), seq - 1);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 200 }))]
    #[test]
    #[cfg_attr(miri, ignore = "needs a file that is mapped")]
    fn the_ring_is_a_queue(ops in proptest::collection::vec(op(), 1..200)) {
        is_a_queue(&Home::file(), ops)?;
    }

    #[test]
    fn the_ring_is_a_queue_in_any_memory(ops in proptest::collection::vec(op(), 1..if cfg!(miri) { 60 } else { 200 })) {
        is_a_queue(&Home::Memory(memory(4096)), ops)?;
    }
}

#[test]
fn damage_in_memory_is_found_and_the_rest_is_read() {
    let map = memory(4096);
    let (mut p, mut c) = ends(&map);
    for seq in 0..3 {
        p.push(&record(seq, &payload(seq, 9))).unwrap();
    }
    for at in [88usize, 92, 96, 168] {
        // SAFETY: inside the area, and nobody else is looking.
        unsafe { *map.data().add(at) ^= 1 };
        let read = std::iter::from_fn(|| c.next_record().map(|b| Record::decode(b).unwrap().lane_seq));
        assert_eq!(read.collect::<Vec<_>>(), [0, 2], "flip at {at}");
        c.rewind();
        // SAFETY: as above.
        unsafe { *map.data().add(at) ^= 1 };
    }
    assert_eq!(c.damaged(), 4);
    for (dur, head) in [(0u64, u64::MAX), (8, 0), (3, 88), (0, 4097), (u64::MAX - 7, 0)] {
        map.dur().store(dur, Ordering::Relaxed);
        map.head().store(head, Ordering::Relaxed);
        let mut s = Salvage::of(Arc::clone(&map));
        assert_eq!(s.next_record(), None);
        assert_eq!(s.damaged(), 1, "{dur} {head}");
    }
}
