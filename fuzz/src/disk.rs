//! What lies on a disk: journal segments, raw rings, the manifest.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lobtape::bus::raw::{self, RawError, RawOptions, Salvage};
use lobtape::dataset::{DatasetError, Manifest, manifest as lines};
use lobtape::journal::fuzzing::segment;
use lobtape::journal::{
    Dirs, JournalError, JournalReader, JournalWriter, Options, Position, ReadItem, list_segments,
};
use lobtape::model::{Kind, Record};

use crate::input::Script;

const ID: u128 = 0xabcd;
const LANE: u16 = 1;
/// The lane of records that are appended behind what a script made.
const LATER: u16 = 0xfffe;

/// An empty directory of this process.
fn room() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("lobtape-fuzz-{}", std::process::id()));
    // It may not be there yet.
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a directory for temporary files");
    dir
}

fn record(kind: Kind, lane: u16, seq: i64, payload: &[u8]) -> Vec<u8> {
    let r = Record {
        kind,
        flags: 0,
        lane,
        status: 0,
        conn: 1000,
        lane_seq: seq,
        rseq: seq,
        ts_kernel: 1,
        ts_mono: 2,
        ts_recv: 1_000_000_i64.wrapping_add(seq),
        url: "",
        payload,
    };
    r.encode()
}

/// A payload that shows in each byte which one it is.
fn pattern(seq: i64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (seq as usize).wrapping_mul(31).wrapping_add(i) as u8).collect()
}

fn options() -> Options {
    Options { segment_bytes: 128 << 10, salt_seed: Some(1), spares_max: 0, ..Options::new(ID) }
}

/// Flips, zeros and cuts, as the rest of a script says. Whether anything changed.
fn damage(script: &mut Script<'_>, file: &mut Vec<u8>) -> bool {
    let before = file.clone();
    for _ in 0..8 {
        if script.is_empty() || file.is_empty() {
            break;
        }
        let (how, at) = (script.u8(), script.u32() as usize % file.len());
        match how % 4 {
            0 | 1 => file[at] ^= script.u8(),
            2 => {
                let to = (at + usize::from(script.u16())).min(file.len());
                file[at..to].fill(0);
            }
            _ => file.truncate(at),
        }
    }
    *file != before
}

/// A journal: segments whose fragments say anything under sound checksums, or sound ones with damage, by the first
/// byte. Reading ends, shows the same twice, shows no record that was not written and each at most once; undamaged ones
/// are all shown. Recovery goes on behind them.
pub fn journal(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let dir = room();
    let choice = script.u8();
    let known = if choice & 1 == 0 { anything(&dir, &mut script) } else { sound(&dir, &mut script, choice) };
    let dirs = Dirs::new(&dir);
    let Some(shown) = read(&dirs) else { return };
    assert_eq!(Some(&shown), read(&dirs).as_ref());
    if let Some((written, damaged)) = known {
        let mut last = i64::MIN;
        for b in &shown {
            let seq = Record::decode(b).expect("it was decoded before").lane_seq;
            assert_eq!(written.get(&seq), Some(b), "a record that nobody wrote");
            assert!(seq > last, "{seq} behind {last}");
            last = seq;
        }
        assert!(damaged || shown.len() == written.len(), "{} of {}", shown.len(), written.len());
    }
    goes_on(&dir, &dirs, &shown);
}

/// Opening cuts the tail; what is appended is shown last, behind what was shown before.
fn goes_on(dir: &Path, dirs: &Dirs, shown: &[Vec<u8>]) {
    let mut w = match JournalWriter::open(dir, options()) {
        Ok(w) => w,
        Err(
            JournalError::NewerVersion { .. } | JournalError::Foreign { .. } | JournalError::Exhausted(_),
        ) => return,
        Err(e) => panic!("{e:?}"),
    };
    for b in shown {
        let r = Record::decode(b).expect("it was decoded before");
        assert!(
            w.lane(r.lane).is_some_and(|l| l.last_seq >= r.lane_seq),
            "lane {} is forgotten: {} shown, {:?}, end {}, {:?}",
            r.lane,
            r.lane_seq,
            w.lane(r.lane),
            w.durable(),
            w.tail_found()
        );
    }
    if w.lane(LATER).is_some() {
        return;
    }
    let later = record(Kind::Frame, LATER, 0, b"later");
    match w.append_encoded(&later).and_then(|_| w.close()) {
        Ok(_) => {}
        Err(JournalError::Exhausted(_)) => return,
        Err(e) => panic!("{e:?}"),
    }
    let again = read(dirs).expect("it could be read before");
    let (last, before) = again.split_last().expect("at least what was appended");
    assert_eq!(*last, later);
    assert_eq!(before, shown);
}

/// The records of a journal that nobody writes; `None`: it says that it is of a newer release.
fn read(dirs: &Dirs) -> Option<Vec<Vec<u8>>> {
    let end = match JournalReader::find_tail(dirs) {
        Ok(t) => t.map_or(Position::START, |t| t.end),
        Err(JournalError::NewerVersion { .. }) => return None,
        Err(e) => panic!("{e:?}"),
    };
    let bytes: u64 = list_segments(dirs).expect("a directory").iter().map(|s| s.len).sum();
    let mut r = JournalReader::new(dirs.clone(), Position::START);
    let (mut out, mut steps) = (Vec::new(), 0);
    loop {
        steps += 1;
        assert!(steps <= bytes / 9 + 64, "reading does not end");
        match r.read(end) {
            Ok(None) => return Some(out),
            Ok(Some(ReadItem::Record { bytes, .. })) => out.push(bytes.to_vec()),
            Ok(Some(_)) | Err(JournalError::Record { .. }) => {}
            Err(JournalError::NewerVersion { .. }) => return None,
            Err(e) => panic!("{e:?}"),
        }
    }
}

type Written = Option<(BTreeMap<i64, Vec<u8>>, bool)>;

/// A segment of fragments as the script has them.
fn anything(dir: &Path, script: &mut Script<'_>) -> Written {
    let mut made: Vec<(u8, Vec<u8>)> = Vec::new();
    while !script.is_empty() && made.len() < 64 {
        let (kind, len) = (script.u8(), usize::from(script.u16()));
        let piece = script.piece(len);
        let bytes = match kind >> 4 {
            // A sound record of any kind, so that what stands in it is looked at.
            0..8 => record(Kind::ALL[usize::from(kind >> 3) % 16], LANE, made.len() as i64, piece),
            8..12 => piece.to_vec(),
            _ => pattern(i64::from(kind), len),
        };
        made.push((1 + kind % 5, bytes));
    }
    let fragments: Vec<(u8, &[u8])> = made.iter().map(|(k, b)| (*k, b.as_slice())).collect();
    fs::write(dir.join(format!("{:020}.seg", 1)), segment(1, ID, &fragments)).expect("room for a segment");
    None
}

/// A journal as the writer makes it, closed or left as by a crash, then damaged.
fn sound(dir: &Path, script: &mut Script<'_>, choice: u8) -> Written {
    let mut w = JournalWriter::open(dir, options()).expect("an empty directory");
    let mut written = BTreeMap::new();
    for seq in 0..i64::from(choice >> 2) {
        let len = script.u16();
        let r = record(Kind::Frame, LANE, seq, &pattern(seq, usize::from(len % 20_000)));
        w.append_encoded(&r).expect("room");
        if len & 1 == 1 {
            w.sync().expect("a sync");
        }
        written.insert(seq, r);
    }
    if choice & 2 == 0 {
        w.close().expect("a seal");
    } else {
        w.commit().expect("a write");
        drop(w);
    }
    let mut damaged = false;
    let segments = list_segments(&Dirs::new(dir)).expect("a directory");
    if let Some(s) = segments.get(usize::from(script.u8()) % segments.len().max(1)) {
        let mut file = fs::read(&s.path).expect("a segment");
        damaged = damage(script, &mut file);
        fs::write(&s.path, file).expect("room for a segment");
    }
    Some((written, damaged))
}

/// A ring that a process has left, perhaps with damage: salvage gives only records that were pushed, in order and once;
/// without damage those behind the durable mark, all of them. Looking at it without its lock says the same.
pub fn ring(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let path = room().join("ring");
    let choice = script.u8();
    let o = RawOptions { dataset: ID, lane: LANE, capacity: 4096 << (choice & 1), last_lane_seq: -1 };
    let (mut producer, mut consumer) = raw::create(&path, &o).expect("a new ring");
    let (mut pushed, mut durable): (Vec<Vec<u8>>, usize) = (Vec::new(), 0);
    let mut taken = 0;
    for _ in 0..choice >> 1 {
        let len = script.u16();
        let r = record(
            Kind::Frame,
            LANE,
            pushed.len() as i64,
            &pattern(pushed.len() as i64, usize::from(len % 900)),
        );
        if producer.push(&Record::decode(&r).expect("a record")).is_ok() {
            pushed.push(r);
        }
        if len & 0x4000 != 0 && consumer.next_record().is_some() {
            taken += 1;
        }
        if len & 0x8000 != 0 {
            let at = consumer.position();
            consumer.mark_jrn();
            consumer.mark_dur(at);
            durable = taken;
        }
    }
    drop((producer, consumer));
    let mut file = fs::read(&path).expect("a ring");
    let damaged = damage(&mut script, &mut file);
    // In place: its owner and mode are looked at.
    fs::write(&path, &file).expect("room for a ring");
    let looked = raw::inspect(&path);
    let mut ring = match Salvage::open(&path, ID) {
        Ok(Some(r)) => r,
        other => {
            assert!(damaged, "{:?}", other.err());
            return;
        }
    };
    let mut found = Vec::new();
    while let Some(r) = ring.next_record() {
        found.push(r.to_vec());
        assert!(found.len() <= pushed.len(), "more than was pushed");
    }
    if damaged {
        let mut rest = pushed.iter();
        for f in &found {
            assert!(rest.any(|p| p == f), "a record that nobody pushed, or out of order");
        }
    } else {
        assert_eq!(found, pushed[durable..]);
        assert_eq!(ring.damaged(), 0);
    }
    let looked: Result<_, RawError> = looked;
    let mark = looked.expect("it could be opened").expect("it was finished");
    assert_eq!((mark.damaged, mark.lane), (ring.damaged(), ring.lane()));
}

/// A manifest: lines as they are or under sound checksums, by the first byte. A refusal names the file and a line that is
/// there; in an accepted manifest every flipped bit of a line is found.
pub fn manifest(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let (choice, flip) = (script.u8(), script.u16());
    let mut text = Vec::new();
    for line in script.rest().split_inclusive(|&b| b == b'\n') {
        match line.strip_suffix(b"}\n") {
            Some(content) if choice & 1 == 1 => {
                let crc = crc32c::crc32c(content);
                text.extend_from_slice(content);
                text.extend_from_slice(format!(",\"crc\":\"{crc:08x}\"}}\n").as_bytes());
            }
            _ => text.extend_from_slice(line),
        }
    }
    let root = room();
    let file = lines::dir(&root).join("000000.jsonl");
    fs::create_dir_all(lines::dir(&root)).expect("a directory");
    fs::write(&file, &text).expect("room for a manifest");
    let m = match Manifest::load(&root) {
        Ok(m) => m,
        Err(DatasetError::Manifest { path, line, detail }) => {
            assert!(path == file && !detail.is_empty());
            assert!((1..=text.split(|&b| b == b'\n').count()).contains(&line));
            return;
        }
        Err(e) => panic!("{e:?}"),
    };
    for p in m.parts() {
        assert_eq!(m.get(&p.path), Some(p));
        assert!(m.deleted().all(|(d, _)| d != p.path), "both there and deleted");
        if let Some(t) = p.table() {
            assert!(m.tables().contains(&t) && m.select(t, &p.venue, &p.symbol).contains(&p));
        }
        // It may be no footer, but it is the one of a known file.
        if let Ok(f) = lines::footer(&root, &p.path) {
            assert!(f.is_some());
        }
    }
    let whole = text.iter().rposition(|&b| b == b'\n').map_or(0, |i| i + 1);
    if whole > 0 {
        let at = usize::from(flip >> 3) % whole;
        if text[at] != b'\n' {
            text[at] ^= 1 << (flip & 7);
            fs::write(&file, &text).expect("room for a manifest");
            assert!(Manifest::load(&root).is_err(), "a flipped bit at {at} is not seen");
        }
    }
}
