//! A journal whose disk lies: one flipped bit costs its block, is told, and nothing else is lost.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::refold::refold;
use super::rig::{Place, Venue, lobtape, pass, proved, turn, wait_for};
use super::tape::{self, Tape};

/// The journal's segments, oldest first.
fn segments(root: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(root.join("_journal"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "seg"))
        .collect();
    all.sort();
    all
}

#[test]
fn a_flipped_bit_in_the_journal_is_a_gap_and_the_streams_go_on() {
    let _turn = turn();
    let place = Place::new();
    let venue = Venue::start(place.dir.path(), "aster-futures", 4, 800, |_| {});
    place.configure("1h", 0, &[&venue]);
    let recorder = place.record();
    let open = || venue.sim.stats().open.load(Ordering::Relaxed) > 0;
    assert!(wait_for(Duration::from_secs(60), open), "nobody came: {}", recorder.words());
    pass(Duration::from_millis(3500));
    recorder.kill();
    let (_, log) = venue.end();
    let sent = log.iter().filter(|l| l.k == "msg" && !l.dropped).count();
    let [segment] = segments(&place.dataset()).try_into().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap();
    // Behind the first snapshots, and far before what a crash may tear, also where syncs take their time.
    let at = used * 3 / 5;
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let (code, words) = lobtape(&["recover", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
    let tape = Tape::load(&place.dataset());
    let frames: usize = tape.conns.values().map(|c| c.frames.len()).sum();
    let gaps = tape::gaps(&place.dataset(), "aster-futures");
    let told: Vec<_> = gaps.iter().filter(|g| g.cause == "storage_corruption").collect();
    proved("corruption", &serde_json::json!({"sent": sent, "frames": frames, "gaps": told.len()}));
    assert_eq!(told.len(), 20, "one for each stream: {gaps:?}");
    // The block is gone and no more: 64 KiB of some thousand frames.
    assert!(frames > sent / 2 && frames < sent, "{frames} of {sent}");
    let heard = told.iter().filter(|g| g.recovered_by == "frame").count();
    assert!(heard >= 8, "trades and quotes go on: {told:?}");
    refold(&place.dataset());
    let (code, words) = lobtape(&["verify", place.dataset().to_str().unwrap()]);
    assert_eq!(code, 0, "{words}");
}
