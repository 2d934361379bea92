//! Bits that flip anywhere in a journal and in published files: each is found, and costs what is promised and no more.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use lobtape::dataset::{Dataset, PartRecord, publish};
use lobtape::journal::{Dirs, JournalReader, Position, ReadItem, list_segments};

use super::rig::{Place, Venue, lobtape, number, pass, proved, turn, wait_for};

const BLOCK: u64 = 64 << 10;

/// What a journal gives up to its durable end.
struct Read {
    /// Each record's lane and number, and where it begins.
    records: BTreeMap<(u16, i64), Position>,
    damaged: usize,
}

fn read(dirs: &Dirs, upto: Position) -> Read {
    let mut reader = JournalReader::new(dirs.clone(), Position::START);
    let mut out = Read { records: BTreeMap::new(), damaged: 0 };
    loop {
        match reader.read(upto) {
            Ok(Some(ReadItem::Record { at, record, .. })) => {
                out.records.insert((record.lane, record.lane_seq), at);
            }
            // A segment that says otherwise than the one before it, a block, a header.
            Ok(Some(_)) => out.damaged += 1,
            Ok(None) => break,
            Err(e) => panic!("a flipped bit is no reason not to read: {e}"),
        }
    }
    out.damaged += reader.stats().chain_breaks.len();
    out
}

/// A byte that nobody reads: the rest of a block that no fragment fits into, and the header's copy while the header is sound.
fn is_idle(offset: u64, byte: u8) -> bool {
    (byte == 0 && offset % BLOCK >= BLOCK - 16) || (BLOCK..BLOCK + 128).contains(&offset)
}

/// Records that have a byte in the block of a place.
fn in_block(whole: &Read, at: Position) -> BTreeSet<(u16, i64)> {
    let block = at.offset - at.offset % BLOCK;
    let mut starts: Vec<(u64, (u16, i64))> =
        whole.records.iter().filter(|(_, p)| p.segment == at.segment).map(|(k, p)| (p.offset, *k)).collect();
    starts.sort();
    let mut hit = BTreeSet::new();
    for (n, (start, key)) in starts.iter().enumerate() {
        let end = starts.get(n + 1).map_or(u64::MAX, |s| s.0);
        if *start < block + BLOCK && end > block {
            hit.insert(*key);
        }
    }
    hit
}

#[derive(Default)]
struct Tally {
    flips: usize,
    found: usize,
    idle: usize,
    most_lost: usize,
    lost: usize,
}

/// Flips bits of the journal's durable part, one at a time.
fn journal_flips(dirs: &Dirs, n: usize, dice: &mut fastrand::Rng) -> Tally {
    let end = JournalReader::find_tail(dirs).unwrap().unwrap().durable;
    let whole = read(dirs, end);
    assert!(whole.damaged == 0 && whole.records.len() > 1000, "{} records", whole.records.len());
    let used = |number: u64, path: &Path| match number == end.segment {
        true => end.offset,
        false => std::fs::read(path).unwrap().iter().rposition(|b| *b != 0).unwrap() as u64 + 1,
    };
    let all: Vec<(u64, PathBuf, u64)> = list_segments(dirs)
        .unwrap()
        .into_iter()
        .filter(|s| s.number <= end.segment)
        .map(|s| (s.number, s.path.clone(), used(s.number, &s.path)))
        .collect();
    let bytes: u64 = all.iter().map(|s| s.2).sum();
    let mut t = Tally::default();
    while t.flips < n {
        let mut at = dice.u64(..bytes);
        let (number, path, _) = all
            .iter()
            .find(|s| {
                if at < s.2 {
                    true
                } else {
                    at -= s.2;
                    false
                }
            })
            .unwrap();
        let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
        let mut byte = [0u8];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << dice.u8(..8)], at).unwrap();
        let seen = read(dirs, end);
        file.write_all_at(&byte, at).unwrap();
        t.flips += 1;
        let lost: Vec<_> = whole.records.keys().filter(|k| !seen.records.contains_key(k)).copied().collect();
        if seen.damaged == 0 {
            assert!(is_idle(at, byte[0]) && lost.is_empty(), "segment {number}, byte {at}: not found");
            t.idle += 1;
            continue;
        }
        t.found += 1;
        let may = in_block(&whole, Position { segment: *number, offset: at });
        assert!(
            lost.iter().all(|k| may.contains(k)),
            "segment {number}, byte {at}: more than its block is lost"
        );
        assert!(seen.records.len() + lost.len() == whole.records.len(), "something came back that never was");
        (t.lost, t.most_lost) = (t.lost + lost.len(), t.most_lost.max(lost.len()));
    }
    t
}

/// Flips bits of published files, one at a time; each must be found by the manifest's hash.
fn file_flips(root: &Path, n: usize, dice: &mut fastrand::Rng) -> (usize, usize) {
    let ds = Dataset::open(root).unwrap();
    let manifest = ds.manifest().unwrap();
    let parts: Vec<&PartRecord> = manifest.parts().collect();
    let bytes: u64 = parts.iter().map(|p| p.bytes).sum();
    let mut found = 0;
    for _ in 0..n {
        let mut at = dice.u64(..bytes);
        let part = parts
            .iter()
            .find(|p| {
                if at < p.bytes {
                    true
                } else {
                    at -= p.bytes;
                    false
                }
            })
            .unwrap();
        let file = std::fs::File::options().read(true).write(true).open(root.join(&part.path)).unwrap();
        let mut byte = [0u8];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << dice.u8(..8)], at).unwrap();
        found += usize::from(publish::check(&ds, part).is_err_and(|e| e.is_damage()));
        file.write_all_at(&byte, at).unwrap();
        publish::check(&ds, part).unwrap();
    }
    (parts.len(), found)
}

#[test]
fn each_of_many_flips_is_found_and_costs_its_block() {
    let _turn = turn();
    let flips = number("LOBTAPE_PROVE_FLIPS", 100) as usize;
    let mut dice = fastrand::Rng::with_seed(number("LOBTAPE_PROVE_SEED", 7));
    let place = Place::new();
    let venue = Venue::start(place.dir.path(), "aster-futures", 4, 800, |_| {});
    place.configure("2s", 0, &[&venue]);
    place.change("[capture]\n", "[capture]\nsegment_size = \"1MiB\"\n");
    let recorder = place.record();
    let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
    assert!(wait_for(Duration::from_secs(60), open), "nobody came: {}", recorder.words());
    pass(Duration::from_millis(7000));
    recorder.kill();
    venue.end();
    let root = place.dataset();
    let dirs = Dirs::new(root.join("_journal"));
    let t = journal_flips(&dirs, flips / 2, &mut dice);
    // What the ring still had comes into the journal, and all is published.
    let (code, words) = lobtape(&["recover", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
    let (files, found) = file_flips(&root, flips - flips / 2, &mut dice);
    proved(
        "flips",
        &serde_json::json!({
            "flips": flips, "found": t.found + found, "read_by_nobody": t.idle, "files": files,
            "records_lost_at_most": t.most_lost, "records_lost_in_all": t.lost, "journal_flips": t.flips,
        }),
    );
    assert_eq!(found, flips - flips / 2, "flips in published files that nobody finds");
    let (code, words) = lobtape(&["verify", root.to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}
