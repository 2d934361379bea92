//! Files of every version that was ever written are read for ever: `tests/formats`. A release that changes a format adds its
//! own there (`cargo test --lib -- --ignored files_of_this_version_are_made`) and leaves the others as they are.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::tests::{ID, Seen, bytes, options, read_all, scratch};
use super::*;
use crate::bus::raw::{self, RawOptions, find_rings, ring_file_name};
use crate::model::Record;

/// Records in the segment, and those that only the ring has, of lane 1.
const IN_SEGMENT: i64 = 60;
const IN_RING: i64 = 80;

fn formats() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats")
}

fn len_of(seq: i64) -> usize {
    // One is longer than a block.
    if seq == 40 { 70_000 } else { 20 + (seq as usize * 37) % 400 }
}

#[test]
#[ignore = "writes into the checkout; by hand, once for each version: cargo test --lib files_of_this_version_are_made -- --ignored"]
fn files_of_this_version_are_made() {
    let dir = formats().join(format!("journal-{VERSION}-ring-{}", raw::VERSION));
    std::fs::create_dir(&dir).unwrap();
    let mut w = JournalWriter::open(&dir, Options { segment_bytes: 3 << 16, ..options() }).unwrap();
    let o = RawOptions { dataset: ID, lane: 1, capacity: 1 << 18, last_lane_seq: -1 };
    let (mut p, mut c) = raw::create(&dir.join(ring_file_name(ID, 1)), &o).unwrap();
    for seq in 0..IN_RING {
        let b = bytes(1, seq, len_of(seq));
        p.push(&Record::decode(&b).unwrap()).unwrap();
        if seq < IN_SEGMENT {
            w.append_encoded(c.next_record().unwrap()).unwrap();
        }
        if seq == IN_SEGMENT / 2 {
            w.sync().unwrap();
        }
    }
    w.commit().unwrap();
    drop((w, p, c));
    std::fs::remove_file(dir.join("journal.lock")).unwrap();
}

#[test]
fn files_of_every_version_are_read() {
    let mut read = Vec::new();
    for e in std::fs::read_dir(formats()).unwrap() {
        let from = e.unwrap().path();
        if !from.is_dir() {
            continue;
        }
        let dir = scratch();
        for f in std::fs::read_dir(&from).unwrap() {
            let f = f.unwrap();
            let to = dir.path().join(f.file_name());
            std::fs::copy(f.path(), &to).unwrap();
            // Version control does not keep who may read it.
            std::fs::set_permissions(&to, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        let rings = find_rings(dir.path(), ID);
        assert_eq!(rings.len(), 1, "{from:?}");
        let (w, report) = recover(dir.path(), options(), &rings).unwrap();
        assert_eq!(report.salvaged() as i64, IN_RING - IN_SEGMENT, "{from:?}");
        drop(w);
        let want: Vec<Seen> = (0..IN_RING).map(|seq| Seen::Record(1, seq)).collect();
        assert_eq!(read_all(dir.path()), want, "{from:?}");
        read.push(from.file_name().unwrap().to_string_lossy().into_owned());
    }
    assert!(!read.is_empty());
    let line = format!("PROVED formats {{\"versions_read\": {}}}\n", read.len());
    let _ = std::io::stderr().write_all(line.as_bytes());
}
